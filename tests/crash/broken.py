"""Engines that are broken on purpose: what the sweep must find, or it proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from outagecast.channel import LookUp, OnDoubt
from outagecast.ledger import Claimed, Entry, Event, Move
from outagecast.model import DOUBTFUL, Delivery, Receipt, State
from tests.crash.points import DoomedJournal, DoomedLedger


class Careless(DoomedLedger):
    """Can change a delivery's state behind the back of all others; what is counted stays right."""

    def _put(self, delivery: int, state: State, also: str = "") -> None:
        where = "FROM delivery WHERE id = ?"
        batch, before, refused = self._db.execute(f"SELECT batch, state, refused {where}", (delivery,)).fetchone()
        with self._transaction():
            self._count(batch, State(before), -1, refused=refused)
            self._count(batch, state, 1, refused=refused)
            self._db.execute(f"UPDATE delivery SET state = ? {also} WHERE id = ?", (state.value, delivery))  # noqa: S608


class RecordAfter(Careless):
    """Writes nothing down before the call, as Alertmanager does: what is claimed is still ready on disk."""

    _under_way: frozenset[int] = frozenset()

    def claim(self, incident: str, number: int, channel: str, now: datetime, by: str) -> Entry | None:
        entry = super().claim(incident, number, channel, now, by)
        if entry:
            self._put(entry.id, State.READY)
        return entry

    def move(self, entry: Entry, move: Move, *rest: Any) -> Any:
        self._put(entry.id, entry.state)
        return super().move(entry, move, *rest)

    def claim_window(
        self, incident: str, number: int, channel: str, most: int, now: datetime, by: str
    ) -> list[Claimed]:
        if self._under_way:
            return []  # one window at a time: it would be the same one again
        window = super().claim_window(incident, number, channel, most, now, by)
        self._under_way = frozenset(claimed.id for claimed in window)
        for claimed in window:
            self._put(claimed.id, State.READY)
        return window

    def _record_many(self, moves: Sequence[tuple[Claimed, Move]], now: datetime, by: str) -> None:
        for claimed, _ in moves:
            self._put(claimed.id, State.ATTEMPTING)
        super()._record_many(moves, now, by)
        self._under_way -= {claimed.id for claimed, _ in moves}


class MarkBefore(Careless):
    """Writes down that it is out before it is, as a queue that is drained before the work does."""

    def claim(self, incident: str, number: int, channel: str, now: datetime, by: str) -> Entry | None:
        entry = super().claim(incident, number, channel, now, by)
        if entry:
            self._put(entry.id, State.ACCEPTED, ", provider_id = 'soon'")
        return entry

    def move(self, entry: Entry, move: Move, *rest: Any) -> Any:
        if entry.state is State.ATTEMPTING:
            self._put(entry.id, State.ATTEMPTING)
        return super().move(entry, move, *rest)

    def claim_window(
        self, incident: str, number: int, channel: str, most: int, now: datetime, by: str
    ) -> list[Claimed]:
        window = super().claim_window(incident, number, channel, most, now, by)
        for claimed in window:
            self._put(claimed.id, State.ACCEPTED, ", provider_id = 'soon'")
        return window

    def _record_many(self, moves: Sequence[tuple[Claimed, Move]], now: datetime, by: str) -> None:
        for claimed, _ in moves:
            self._put(claimed.id, State.ATTEMPTING)
        super()._record_many(moves, now, by)


class LostMeansFailed(Careless):
    """Calls a lost answer a failure, as most retry libraries do."""

    def move(self, entry: Entry, move: Move, *rest: Any) -> Any:
        moved = super().move(entry, move, *rest)
        if move.event is Event.LOST:
            self._put(entry.id, State.FAILED, ", attempted_at = NULL")
        return moved

    def record_many(self, moves: Sequence[tuple[Claimed, Move]], now: datetime, by: str) -> None:
        super().record_many(moves, now, by)
        for claimed, move in moves:
            if move.event is Event.LOST:
                self._put(claimed.id, State.FAILED, ", attempted_at = NULL")


class DoubtUntold(DoomedLedger):
    """Leaves out of its counts what is in doubt."""

    def tallies(self, incident: str, number: int) -> list[Any]:
        return [item for item in super().tallies(incident, number) if item.state not in DOUBTFUL]


class NoteAfter(DoomedJournal):
    """Notes what begins only when the next thing happens: it is on the wire by then."""

    _late: Sequence[str] = ()

    def note(self, begun: Iterable[str], ended: Iterable[tuple[str, Move]]) -> None:
        late, self._late = self._late, [*begun]
        super().note(late, ended)


class ReceiptBefore(DoomedJournal):
    """Notes of what begins that it was taken."""

    def note(self, begun: Iterable[str], ended: Iterable[tuple[str, Move]]) -> None:
        taken = [(key, Move(Event.RECEIPT, receipt=Receipt("soon"))) for key in begun]
        super().note((), [*taken, *ended])


def _resend(adapter: Any) -> None:
    adapter.semantics = adapter.semantics._replace(on_doubt=OnDoubt.REPLAY)
    adapter.find = _nothing


def _trust_absence(adapter: Any) -> None:
    adapter.semantics = adapter.semantics._replace(lookup=LookUp.STRONG, settle=timedelta(0))
    adapter.find = _nothing


def _nothing(delivery: Delivery) -> Receipt | None:
    """What a list that lags behind shows."""
    return None


LEDGERS: Mapping[str, type[DoomedLedger]] = {
    "record after the call": RecordAfter,
    "mark before the call": MarkBefore,
    "a lost answer is a failure": LostMeansFailed,
    "doubt is not told": DoubtUntold,
}
JOURNALS: Mapping[str, type[DoomedJournal]] = {
    "noted after the call": NoteAfter,
    "noted as taken before the call": ReceiptBefore,
}
ADAPTERS: Mapping[str, Callable[[Any], None]] = {
    "doubt is sent again": _resend,
    "stale absence is trusted": _trust_absence,
}
