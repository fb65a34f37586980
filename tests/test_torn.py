"""Whoever reads the outage page, at any moment, whatever happens to who writes it, reads whole files.

``make torn`` writes a thousand updates; the suite fewer.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import torn

if TYPE_CHECKING:
    from tests.conftest import Newsroom

pytestmark = pytest.mark.sweep

UPDATES = int(os.environ.get("OUTAGECAST_TORN", "30"))
KILLS = max(2, UPDATES // 25)
ROOT = Path(__file__).parents[1]


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.torn", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def write_and_kill(folder: Path, parts: Path, out: int, most: int) -> int:
    """Have updates written after number ``out``, and kill it at about ``most``; the last one told to be out."""
    with start("write", folder, parts, out + 1) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            out = int(line)
            if out >= most:
                break
        time.sleep(random.uniform(0, 0.1))  # noqa: S311 - so that the kills fall on different steps
        writer.send_signal(signal.SIGKILL)
        return max([out, *map(int, writer.stdout.read().split())])


def test_a_reader_sees_whole_files_in_order_whenever_the_writer_is_killed(newsroom: Newsroom, tmp_path: Path) -> None:
    page = {"kind": "status_page", "path": "status", "public_url": "https://status.example.com/"}
    newsroom.settings["channels"] = {"page": page}
    newsroom.settings["components"] = {"Cards": ["Card payments"]}
    (variant,) = newsroom.variants(summary="@", components={"Card payments": "major_outage"})
    parts, folder = tmp_path / "parts.json", tmp_path / "status"
    parts.write_text(json.dumps(dict(variant.parts)), encoding="utf-8")
    out = write_and_kill(folder, parts, 0, 1)

    with start("read", folder) as reader:
        for kill in range(1, KILLS + 1):
            out = write_and_kill(folder, parts, out, UPDATES * kill // KILLS)
        told = json.loads(reader.communicate()[0])

    assert sorted(set(told["wrong"]))[:20] == []
    assert out >= UPDATES
    assert told["seen"] > KILLS
    newest = torn.Reader(folder)
    newest.look()
    assert (newest.wrong, max(newest.seen) >= out) == ([], True)
