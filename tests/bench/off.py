"""A ledger and a journal that write nothing down, to tell what writing down costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from outagecast.ledger import Claimed, Entry, Event, Move, Tally
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.model import State


class Silent:
    """In a journal's place."""

    size = 0  # bytes

    def __init__(self, path: Path, opened_at: datetime) -> None:
        """Open nothing."""

    def note(self, begun: Iterable[str], ended: Iterable[tuple[str, Move]]) -> None:
        """Note nothing."""

    def renew(self, begun: Iterable[str]) -> None:
        """Begin nothing anew."""

    def close(self) -> None:
        """Close nothing."""

    def remove(self) -> None:
        """Remove nothing."""


class Off:
    """In a ledger's place: its deliveries are read, as they are where they are claimed, and nothing is written down."""

    def __init__(self, ledger: SqliteLedger, incident: str, channel: str) -> None:
        self._ledger, self._where = ledger, (incident, 1, channel)
        self._last, self._is_read = 0, False
        self._outcomes = Counter[Event]()

    def claim_window(
        self, incident: str, number: int, channel: str, most: int, now: datetime, by: str
    ) -> list[Claimed]:
        """The next ones."""
        found = self._ledger._db.cursor()
        found.row_factory = None
        rows = found.execute(
            "SELECT id, target, language, variant, attempts, attempted_at, edits, NULL FROM delivery"
            " WHERE id > ? ORDER BY id LIMIT ?",
            (self._last, most),
        ).fetchall()
        self._last, self._is_read = (rows[-1][0], False) if rows else (self._last, True)
        return self._ledger._about(*self._where).claimed(rows, now)

    def record_many(self, moves: Sequence[tuple[Claimed, Move]], now: datetime, by: str) -> None:
        """Count them."""
        self._outcomes.update(move.event for _, move in moves)

    def next_try(self, incident: str, number: int, channel: str) -> datetime | None:
        """At once, until all are read."""
        return None if self._is_read else datetime.now().astimezone()

    def entries(
        self, incident: str, number: int, channel: str, states: Collection[State], *, after: int = 0
    ) -> list[Entry]:
        """None: nothing was left by a run before."""
        return []

    def tallies(self, incident: str, number: int) -> list[Tally]:
        """What was counted."""
        ends = {Event.RECEIPT: State.ACCEPTED, Event.REFUSED: State.FAILED}
        return [
            Tally(self._where[2], ends.get(event, State.IN_DOUBT), False, count)
            for event, count in self._outcomes.items()
        ]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)
