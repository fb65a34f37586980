"""A ledger and a journal that write nothing down, to tell what writing down costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from outagecast.ledger import Claimed, Entry, Event, Ledger, Move, Tally
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
    """In a ledger's place: the deliveries it has frozen, claimed before anything is timed, their outcomes forgotten."""

    def __init__(self, ledger: Ledger, incident: str, channel: str) -> None:
        self._ledger, self._channel = ledger, channel
        self._began = datetime.now().astimezone()
        self._waiting: list[Claimed] = []
        while window := ledger.claim_window(incident, 1, channel, 500, self._began, "bench"):
            self._waiting += window
        self._waiting.reverse()
        self._outcomes = Counter[Event]()

    def claim_window(
        self, incident: str, number: int, channel: str, most: int, now: datetime, by: str
    ) -> list[Claimed]:
        """The next ones."""
        return [self._waiting.pop() for _ in range(min(most, len(self._waiting)))]

    def record_many(self, moves: Sequence[tuple[Claimed, Move]], now: datetime, by: str) -> None:
        """Count them."""
        self._outcomes.update(move.event for _, move in moves)

    def next_try(self, incident: str, number: int, channel: str) -> datetime | None:
        """At once, while there is anything."""
        return self._began if self._waiting else None

    def entries(
        self, incident: str, number: int, channel: str, states: Collection[State], *, after: int = 0
    ) -> list[Entry]:
        """None: nothing was left by a run before."""
        return []

    def tallies(self, incident: str, number: int) -> list[Tally]:
        """What was counted."""
        ends = {Event.RECEIPT: State.ACCEPTED, Event.REFUSED: State.FAILED}
        return [
            Tally(self._channel, ends.get(event, State.IN_DOUBT), False, count)
            for event, count in self._outcomes.items()
        ]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)
