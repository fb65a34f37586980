"""Every n-th file operation of a run fails, by the kernel's own hand: nothing is sent without an intent on disk.

The command runs under strace, which makes the n-th call of one kind answer EIO or ENOSPC (strace counts in each thread
by itself). The suite runs a sample; `make syscalls` runs every n, until a run has no more such calls.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from outagecast.rehearsal import Providers

if TYPE_CHECKING:
    from tests.conftest import Bank

pytestmark = pytest.mark.sweep

MakeBank = Callable[[Path, Providers], "Bank"]
BANNER = "site/banner.html"
ERRORS = ("EIO", "ENOSPC")
LEDGER = ("", "-journal", "-wal", "-shm", ".lock")
NOTHING_SENT = {2, 11, 22, 65, 74, 77, 78}  # as far as the JSON names no channel


class Situation(NamedTuple):
    """What is run while calls fail."""

    channel: str
    command: tuple[str, ...]
    calls: tuple[str, ...]
    paths: tuple[str, ...]  # whose calls fail; none: everybody's
    before: tuple[str, ...] = ()


ANNOUNCE = ("announce", "incident.yaml", "--yes")
SITUATIONS = {
    # A ledger is made and written, by the main thread up to the first byte; then by the channel's.
    "first": Situation(
        *("x", ANNOUNCE, ("openat", "pwrite64", "fdatasync", "ftruncate", "unlink", "fcntl", "flock", "mmap")),
        tuple(f"outagecast.db{suffix}" for suffix in LEDGER),
    ),
    # Only the channel's thread writes the log: the intent, then the receipt.
    "resumed": Situation(
        "x", ("resume",), ("pwrite64", "fdatasync"), ("outagecast.db-wal",), (*ANNOUNCE, "--max-time", "0")
    ),
    # The file that is shown to the public. No one else renames, and only its text is written by the channel's thread.
    "banner": Situation("banner", ANNOUNCE, ("fsync", "fchmod", "/^rename"), ()),
    "banner's folder": Situation("banner", ANNOUNCE, ("openat", "fsync", "/^rename", "flock"), ("site",)),
}
SAMPLE = [
    *(("first", "openat", "EIO", n) for n in (1, 3, 5)),
    *(("first", "pwrite64", "ENOSPC", n) for n in (1, 25, 45)),
    *(("first", "fdatasync", "EIO", n) for n in (1, 2, 5)),
    *(("resumed", "pwrite64", error, n) for error, n in (("ENOSPC", 1), ("EIO", 5), ("EIO", 11), ("ENOSPC", "12+"))),
    *(("resumed", "fdatasync", "EIO", n) for n in (1, 2, 3)),
    *(("banner", "fsync", error, n) for error, n in (("ENOSPC", 1), ("EIO", 2))),
    ("banner", "/^rename", "EIO", 1),
]


@dataclass
class Outcome:
    """How one run under failing calls went, and the clean ones after it."""

    code: int
    was_hit: bool
    asked: int
    wrong: list[str]


@pytest.fixture
def make_bank(bank: Bank) -> MakeBank:
    return type(bank)


@pytest.fixture(autouse=True)
def _strace() -> None:
    why = ""
    if not shutil.which("strace"):
        why = "there is no strace"
    elif subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
        why = "this machine lets nobody trace a process"
    if why and os.environ.get("CI"):
        pytest.fail(why)
    if why:
        pytest.skip(why)


def cell(make_bank: MakeBank, folder: Path, situation: Situation, call: str, error: str, n: int | str) -> Outcome:
    """Run it with the n-th ``call`` failing (``3+``: and all that follow), then without; and look at everything."""
    folder.mkdir()
    with Providers() as providers, closing(make_bank(folder, providers)) as bank:
        bank.config["channels"] = {situation.channel: bank.config["channels"][situation.channel]}
        if situation.channel == "banner":
            providers.website.files["banner.html"] = folder / BANNER
            bank.config["channels"]["banner"]["path"] = BANNER
            (folder / BANNER).parent.mkdir()
        bank.write()
        if situation.before:
            bank.json(*situation.before)
        log = folder / "strace.log"
        paths = [part for name in situation.paths for part in ("-P", str(folder / name))]
        inject = f"inject={call}:error={error}:when={n}"
        tracer = ["strace", "-f", "-qq", "-o", str(log), *paths, "-e", f"trace={call}", "-e", inject, "--"]
        done = subprocess.run(
            [*tracer, *bank.command(*situation.command, "--json")],
            cwd=folder,
            env={**bank.environment, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        asked = out(bank, situation.channel)
        wrong = [*judge(done, asked), *examine(folder / "outagecast.db", asked)]
        wrong += finish(bank, situation.channel, done.returncode)
        return Outcome(done.returncode, "INJECTED" in log.read_text(), asked, wrong)


def out(bank: Bank, channel: str) -> int:
    """How often something was, or may have been, put before the public."""
    if channel == "banner":
        return carried(bank, channel)
    return sum(request.method == "POST" for request in bank.providers.x.requests)


def carried(bank: Bank, channel: str) -> int:
    """How many copies the public sees."""
    if channel != "banner":
        return bank.sent[channel]
    banner = bank.folder / BANNER
    return banner.read_text(encoding="utf-8").count("outagecast:begin") if banner.exists() else 0


def judge(done: subprocess.CompletedProcess[str], asked: int) -> Iterator[str]:
    """What is not true of what the command said."""
    if "Traceback" in done.stderr or done.returncode in {1, -6, -9, -11}:
        yield f"it broke: {done.returncode} {done.stderr[-500:]}"
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        yield f"no JSON: {done.stdout[:100]!r}"
        return
    if found["exit_code"] != done.returncode:
        yield f"exit {done.returncode}, and JSON says {found['exit_code']}"
    published = [channel["published"] for channel in found["channels"]]
    if asked and (published == ["no"] or (not published and done.returncode in NOTHING_SENT)):
        yield f"it is out, and was said not to be: exit {done.returncode}, {published}"
    if not asked and (done.returncode == 0 or published == ["yes"]):
        yield f"it is not out, and was said to be: exit {done.returncode}, {published}"


def examine(ledger: Path, asked: int) -> Iterator[str]:
    """What is wrong with the ledger that was left behind."""
    with closing(sqlite3.connect(ledger)) as database:
        sound = database.execute("PRAGMA integrity_check").fetchone()[0]
        if sound != "ok":
            yield f"the ledger is damaged: {sound}"
        if not asked:
            return
        try:
            rows = database.execute("SELECT state, attempts FROM delivery").fetchall()
        except sqlite3.Error as error:
            rows = [str(error)]
        if len(rows) != 1 or rows[0][0] == "ready" or rows[0][1] < 1:
            yield f"it was sent without an intent on disk: {rows}"


def finish(bank: Bank, channel: str, code: int) -> Iterator[str]:
    """What is wrong once the disk works again and somebody goes on."""
    found = bank.json(*ANNOUNCE)
    if found["exit_code"] == 13:
        found = bank.json("resume")
    asked = out(bank, channel)
    copies = carried(bank, channel)
    if asked > 1 or copies > 1:
        yield f"it was sent {asked} times, and {copies} copies are out (first exit {code})"
    if (found["exit_code"] == 0) != (copies == 1):
        yield f"{copies} copies are out, and the clean run ended with {found['exit_code']} (first exit {code})"


@pytest.mark.skipif("OUTAGECAST_SYSCALLS" in os.environ, reason="every n is swept instead")
def test_a_failing_file_operation_never_sends_twice_nor_without_an_intent(make_bank: MakeBank, tmp_path: Path) -> None:
    def run(number: int, name: str, call: str, error: str, n: int | str) -> tuple[str, Outcome]:
        outcome = cell(make_bank, tmp_path / f"cell {number}", SITUATIONS[name], call, error, n)
        return f"{name}: {call} {error} {n}", outcome

    with ThreadPoolExecutor(2) as pool:
        outcomes = dict(pool.map(lambda item: run(item[0], *item[1]), enumerate(SAMPLE)))

    assert {name: found.wrong for name, found in outcomes.items() if found.wrong} == {}
    assert [name for name, found in outcomes.items() if not found.was_hit] == []
    assert {found.code for found in outcomes.values()} >= {0, 12, 74}  # before the send, around it, and after


@pytest.mark.skipif("OUTAGECAST_SYSCALLS" not in os.environ, reason="long: make syscalls")
def test_no_failing_file_operation_ever_does(make_bank: MakeBank, tmp_path: Path) -> None:
    def sweep(name: str, call: str, error: str, on: str) -> list[tuple[str, Outcome]]:
        outcomes: list[tuple[str, Outcome]] = []
        while not outcomes or outcomes[-1][1].was_hit:
            n = f"{len(outcomes) + 1}{on}"
            folder = tmp_path / re.sub(r"\W", "-", f"{name}-{call}-{error}-{n}")
            outcomes.append((f"{name}: {call} {error} {n}", cell(make_bank, folder, SITUATIONS[name], call, error, n)))
            shutil.rmtree(folder)
        return outcomes

    chains = [(name, call, error, "") for name, its in SITUATIONS.items() for call in its.calls for error in ERRORS]
    chains += [("resumed", call, error, "+") for call in SITUATIONS["resumed"].calls for error in ERRORS]  # a dead disk
    with ThreadPoolExecutor(2) as pool:
        cells = [item for chain in pool.map(lambda chain: sweep(*chain), chains) for item in chain]

    hit = [found for _, found in cells if found.was_hit]
    codes = sorted(Counter(found.code for found in hit).items())
    print(f"\n{len(hit)} failing calls, exit codes {dict(codes)}, {sum(f.asked for f in hit)} sends")  # noqa: T201
    assert [f"{name}: {wrong}" for name, found in cells for wrong in found.wrong] == []
    assert len(hit) > 100
