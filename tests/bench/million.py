"""A million recipients, from the CSV to the last mail, with a SIGKILL in the middle: ``make bench``.

``python -m tests.bench.million [COUNT]``. The real command line mails to Postfix's ``smtp-sink``; only the first mail
after the kill goes to a sink of our own, which knows when it came.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import desk
from tests.bench.sinks import Hosted, MailSink, smtp_sink

CONNECTIONS = 16
LONGEST = 900.0  # seconds for any one part
END = ("--max-time", f"{LONGEST:.0f}")
SHARE = 10  # the first and the last tenth are compared


def main(count: str = "1000000") -> None:
    """Measure and print."""
    people = int(count)
    with tempfile.TemporaryDirectory() as name, smtp_sink() as port:
        bank = desk.Desk(Path(name))
        message = str(bank.write_message())
        bank.write_audience(people)
        bank.configure({"email": desk.smtp_at(port, CONNECTIONS, expires="12h")})
        began = time.time()
        with bank.start("announce", message, "--yes", *END) as process:
            _until(lambda: _claimed(bank) > people // 2, process)
            process.kill()
            peak = [_peak(process)]
        ingest = _first_claim(bank) - began
        resumed, peak_resumed = _first_after(bank)
        peak.append(peak_resumed)
        bank.configure({"email": desk.smtp_at(port, CONNECTIONS, expires="12h")})
        with bank.start("resume", desk.INCIDENT, *END) as process:
            peak.append(_peak(process))
        if process.returncode:
            sys.exit(f"exit {process.returncode}\n{bank.said}")
        first, last = _rates(bank, people)
        size = bank.ledger.stat().st_size / 2**20
    print(f"{people:,} recipients, {CONNECTIONS} connections, killed in the middle and resumed:\n")
    print("| | figure | goal |\n|---|---|---|")
    print(f"| highest resident memory, of announce, resume and resume | {_all(peak)} MB | ≤ 100 |")
    print(f"| from the start of `announce` to the first claim: all are frozen then | {ingest:.1f} s | ≤ 40 |")
    print(f"| rate of the last tenth / of the first | {last / first:.2f} ({last:,.0f}/{first:,.0f} a second) | ≥ 0.9 |")
    print(f"| from `resume` after a SIGKILL to the first mail taken | {resumed:.2f} s | ≤ 5 |")
    print(f"| the ledger's file | {size:,.0f} MB | |\n")


def _all(figures: list[float]) -> str:
    return ", ".join(f"{figure:.0f}" for figure in figures)


def _peak(process: subprocess.Popen[bytes]) -> float:
    """Wait for its end; the most memory it had, in MB."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_maxrss / (2**10 if sys.platform == "linux" else 2**20)


def _until(done: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + LONGEST
    while not done():
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            sys.exit(f"it ended too soon, or never: {process.returncode}")
        time.sleep(0.1)


def _first_after(bank: desk.Desk) -> tuple[float, float]:
    """Seconds from the start of ``resume`` to the first mail taken, and that process's peak memory."""
    sink = MailSink()
    with Hosted(sink) as hosted:
        bank.configure({"email": desk.smtp_at(hosted.port, CONNECTIONS, expires="12h")})
        began = time.time()
        with bank.start("resume", desk.INCIDENT, *END) as process:
            _until(lambda: sink.first_at is not None, process)
            process.terminate()  # it ends what is under way
            peak = _peak(process)
    assert sink.first_at is not None
    return sink.first_at - began, peak


def ask(bank: desk.Desk, query: str) -> list[tuple[object, ...]]:
    """What the ledger's file says, read beside whoever writes it; nothing where there is none yet."""
    try:
        with closing(sqlite3.connect(f"file:{bank.ledger}?mode=ro", uri=True)) as ledger:
            return ledger.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []


def _claimed(bank: desk.Desk) -> int:
    return sum(int(str(count)) for (count,) in ask(bank, "SELECT count FROM window"))


def _first_claim(bank: desk.Desk) -> float:
    return _seconds(ask(bank, "SELECT min(at) FROM window")[0][0])


def _seconds(written: object) -> float:
    return datetime.fromisoformat(str(written)).replace(tzinfo=UTC).timestamp()


def _rates(bank: desk.Desk, people: int) -> tuple[float, float]:
    """How many were claimed a second in the first and in the last part of them."""
    windows = [(_seconds(at), int(str(count))) for at, count in ask(bank, "SELECT at, count FROM window ORDER BY seq")]

    def rate(part: list[tuple[float, int]]) -> float:
        taken, began = 0, part[0][0]
        for at, count in part[1:]:
            taken += count
            if taken >= people / SHARE:
                return taken / abs(at - began)
        raise AssertionError("too few were claimed in one go")

    return rate(windows), rate(windows[::-1])


if __name__ == "__main__":
    main(*sys.argv[1:])
