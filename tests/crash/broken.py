"""Engines that are broken on purpose: what the sweep must find, or it proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from outagecast.channel import LookUp, OnDoubt
from outagecast.ledger import Claimed, Entry, Event, Move
from outagecast.model import DOUBTFUL, Delivery, Receipt, State
from tests.crash.points import DoomedLedger


class RecordAfter(DoomedLedger):
    """Writes nothing down before the call, as Alertmanager does: what is claimed is still ready on disk."""

    def claim(self, incident: str, number: int, channel: str, now: datetime, by: str) -> Entry | None:
        entry = super().claim(incident, number, channel, now, by)
        if entry:
            self._put(entry.id, State.READY)
        return entry

    def move(self, entry: Entry, move: Move, *rest: Any) -> Any:
        self._put(entry.id, entry.state)
        return super().move(entry, move, *rest)

    def claim_window(self, *window: Any) -> list[Claimed]:
        claimed = super().claim_window(*window)
        for one in claimed:
            self._put(one.id, State.READY)
        return claimed

    def record_many(self, moves: Sequence[tuple[Claimed, Move]], *rest: Any) -> None:
        for claimed, _ in moves:
            self._put(claimed.id, State.ATTEMPTING)
        super().record_many(moves, *rest)

    def _put(self, delivery: int, state: State) -> None:
        self._db.execute("UPDATE delivery SET state = ? WHERE id = ?", (state.value, delivery))


class MarkBefore(DoomedLedger):
    """Writes down that it is out before it is, as a queue that is drained before the work does."""

    def claim(self, incident: str, number: int, channel: str, now: datetime, by: str) -> Entry | None:
        entry = super().claim(incident, number, channel, now, by)
        if entry:
            self._db.execute("UPDATE delivery SET state = 'accepted', provider_id = 'soon' WHERE id = ?", (entry.id,))
        return entry

    def move(self, entry: Entry, move: Move, *rest: Any) -> Any:
        if entry.state is State.ATTEMPTING:
            self._db.execute("UPDATE delivery SET state = 'attempting' WHERE id = ?", (entry.id,))
        return super().move(entry, move, *rest)

    def claim_window(self, *window: Any) -> list[Claimed]:
        claimed = super().claim_window(*window)
        for one in claimed:
            self._db.execute("UPDATE delivery SET state = 'accepted', provider_id = 'soon' WHERE id = ?", (one.id,))
        return claimed

    def record_many(self, moves: Sequence[tuple[Claimed, Move]], *rest: Any) -> None:
        for claimed, _ in moves:
            self._db.execute("UPDATE delivery SET state = 'attempting' WHERE id = ?", (claimed.id,))
        super().record_many(moves, *rest)


class LostMeansFailed(DoomedLedger):
    """Calls a lost answer a failure, as most retry libraries do."""

    def move(self, entry: Entry, move: Move, *rest: Any) -> Any:
        moved = super().move(entry, move, *rest)
        self._fail(entry.id, move)
        return moved

    def record_many(self, moves: Sequence[tuple[Claimed, Move]], *rest: Any) -> None:
        super().record_many(moves, *rest)
        for claimed, move in moves:
            self._fail(claimed.id, move)

    def _fail(self, delivery: int, move: Move) -> None:
        if move.event is Event.LOST:
            self._db.execute("UPDATE delivery SET state = 'failed', attempted_at = NULL WHERE id = ?", (delivery,))


class DoubtUntold(DoomedLedger):
    """Leaves out of its counts what is in doubt."""

    def tallies(self, incident: str, number: int) -> list[Any]:
        return [item for item in super().tallies(incident, number) if item.state not in DOUBTFUL]


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
ADAPTERS: Mapping[str, Callable[[Any], None]] = {
    "doubt is sent again": _resend,
    "stale absence is trusted": _trust_absence,
}
