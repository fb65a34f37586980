"""What the ledger costs a bulk channel, for each of its recipients: for docs/performance.md.

Processor time is what counts: ``python -m tests.bench.ledger 1000000``.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from outagecast.ledger import Event, Move, Opening, Update
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.model import Receipt, State, Status, Variant

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
UPDATE = Update("cards", 1, Status.INVESTIGATING, "f", "{}", "d", NOW, "ana@desk")
WINDOW = 500
R = TypeVar("R")


def openings(count: int) -> Iterator[Opening]:
    """So many people, in an order that is not that of their numbers."""
    expires = NOW + timedelta(hours=6)
    for number in range(count):
        address = f"+61{number * 618_033_989 % 1_000_000_000:09d}"
        yield Opening("sms", address, "en", State.READY, None, expires)


def words(number: int) -> Variant:
    """What they are told."""
    return Variant("sms", "twilio_sms", "en", {"text": f"Cards fail, {number}."}, 1, "en/twilio_sms.text.j2", (), ())


def send(ledger: SqliteLedger, number: int) -> int:
    """Claim and record all of an update, window by window; how many."""
    count = 0
    while window := ledger.claim_window("cards", number, "sms", WINDOW, NOW, "ana@desk"):
        moves = [(one, Move(Event.RECEIPT, receipt=Receipt(f"SM{one.delivery.key}"))) for one in window]
        ledger.record_many(moves, NOW, "ana@desk")
        count += len(moves)
    return count


def timed(name: str, work: Callable[[], R], count: int) -> R:
    """What ``work`` comes to, its cost printed as one row."""
    began, processor = time.perf_counter(), time.process_time()
    result = work()
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    print(f"| {name} | {processor / count * 1e6:.1f} | {seconds / count * 1e6:.1f} | {seconds:.2f} |", flush=True)
    return result


def main(count: int = 300_000) -> None:
    """Measure and print."""
    print(f"| {count:,} recipients | processor, µs each | by the clock, µs each | all, s |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name, closing(SqliteLedger(Path(name, "outagecast.db"))) as ledger:
        ledger.open(UPDATE, [words(1)], [])
        timed("freeze", lambda: ledger.freeze(UPDATE, "sms", openings(count)), count)
        timed("claim and record, in windows of 500", lambda: send(ledger, 1), count)
        timed("tallies", lambda: ledger.tallies("cards", 1), count)
        timed("heard", lambda: ledger.heard("cards"), count)
        timed("told", lambda: sum(1 for _ in ledger.told("cards", "sms")), count)
        timed("reached", lambda: sum(1 for _ in ledger.reached("cards")), count)
        timed("knows", lambda: ledger.knows("sms", "no"), count)
        size = Path(name, "outagecast.db").stat().st_size
        second = replace(UPDATE, number=2, fingerprint="g")
        ledger.open(second, [words(2)], [])
        timed("freeze the next update", lambda: ledger.freeze(second, "sms", openings(count)), count)
        timed("claim and record it, each in its thread", lambda: send(ledger, 2), count)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)
        print(f"\n{size / count:.0f} bytes each on the disk; memory at most {most} MiB.")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
