"""What is imported when: the officer who wants to look must not wait for what only sends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SENDS = {"requests", "urllib3", "tweepy", "twilio", "smtplib", "ssl", "asyncio", "sqlite3", "rich", "aiosmtpd"}
WORDS = {"jinja2", "yaml", "babel", "outagecast.app", "outagecast.config", "outagecast.channels.x"}
LISTED = """
import json, sys
from outagecast.cli import run
code = run({arguments!r})
print("\\n" + json.dumps([code, sorted(sys.modules)]))
"""


def imported(*arguments: str) -> set[str]:
    """The modules that a command has imported at its end."""
    script = LISTED.format(arguments=list(arguments))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stdout.rstrip().rpartition("\n")[2])
    assert code == 0
    return set(modules)


def test_help_imports_neither_what_sends_nor_what_writes_words() -> None:
    assert imported("--help") & (SENDS | WORDS) == set()


@pytest.mark.usefixtures("_of_its_own")
def test_a_preview_imports_nothing_that_sends() -> None:
    from outagecast import catalogue

    shipped = Path(catalogue.__file__).parent
    arguments = (
        "--config",
        str(shipped / "config.example.yaml"),
        "preview",
        str(shipped / "examples/card-payments.yaml"),
    )
    # Its people stand in a scratch database, and Babel's list knows the country that they are texted in.
    assert imported(*arguments) & (SENDS - {"sqlite3"} | {"babel.dates", "outagecast.deliver"}) == set()


@pytest.fixture
def _of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, so that templates are compiled too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
