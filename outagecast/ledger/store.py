"""The SQLite file under the ledger's verbs: its transactions, its locks, and the one way in which a state changes."""

from __future__ import annotations

import functools
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from outagecast.errors import ConflictError, LedgerError, Problem
from outagecast.ledger import Event, Move
from outagecast.ledger.disk import THIS_MACHINE, Disk, Reserve, connect, explain, require_sound
from outagecast.ledger.lock import hold
from outagecast.ledger.migrate import BUSY, is_behind, migrate, patiently, require_durable
from outagecast.ledger.rows import stamp
from outagecast.model import State
from outagecast.transitions import TRANSITIONS

# While the people of a newer update are being written down, the older one is left to them.
IS_NEWEST = """NOT EXISTS (SELECT 1 FROM batch n WHERE n.incident = b.incident AND n.channel = b.channel
    AND n.number > b.number AND n.frozen_at IS NULL)"""
COMMON = (State.READY, State.ATTEMPTING, State.ACCEPTED)  # what nearly all are is not in the index by state,
RARE = " AND ".join(f"d.state <> '{state}'" for state in COMMON)  # so that a statement that uses it must say this
# What is ready, by the index of what is due, in two parts: by itself that has only those in the order of ids that were
# never put off, and to sort them all would read all.
READY = tuple(f"d.state = 'ready' AND d.not_before IS {null}" for null in ("NULL", "NOT NULL"))
ITS_OWN = "d.batch = b.id AND d.id BETWEEN b.first AND b.last"  # a batch's deliveries, in the order of ids
SLICE = 2000  # rows that are written in one go: everybody else waits for 30 ms

P = ParamSpec("P")
R = TypeVar("R")


def guarded(verb: Callable[P, R]) -> Callable[P, R]:
    """One thread at a time, and SQLite's errors in words that say what to do."""

    @functools.wraps(verb)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        store: Any = args[0]
        with store._mutex:
            try:
                return verb(*args, **kwargs)
            except sqlite3.Error as error:
                raise LedgerError(explain(store.path, error)) from error

    return wrapper


class Store:
    """One file. Safe to share between threads."""

    def __init__(self, path: Path, disk: Disk = THIS_MACHINE) -> None:
        """Open or create the ledger; one that cannot be written is only read, and its lock says why.

        Raises LedgerError where it could not keep what it is told.
        """
        self.path = path
        self._mutex = threading.RLock()
        self._disk = disk
        self._reserve = Reserve()
        self._checks: list[Callable[[], None]] = []  # of each lock that is held: whether it still is
        self._db, self._refusal = connect(path, disk)  # why nothing may be written, if so
        self._db.row_factory = sqlite3.Row
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    @property
    def place(self) -> str:
        return str(self.path)

    @guarded
    def _prepare(self) -> None:
        if self._refusal is None:
            patiently(lambda: require_durable(self._db, self.path))
            patiently(lambda: migrate(self._db, self.path))
        elif is_behind(self._db, self.path):
            raise LedgerError(self._refusal)  # it cannot be brought up to date

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        for check in self._checks:
            check()
        self._begin()
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                with suppress(sqlite3.Error):  # what went wrong first is what is told
                    self._db.execute("ROLLBACK")
            raise

    def _begin(self) -> None:
        """Begin to write, as soon as whoever writes many rows lets others in: SQLite would ask ever more seldom."""
        self._db.execute("PRAGMA busy_timeout=0")
        try:
            patiently(lambda: self._db.execute("BEGIN IMMEDIATE"), nap=(0.0005, 0.002))
        finally:
            self._db.execute(f"PRAGMA busy_timeout={BUSY * 1000:.0f}")

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        """Around a transaction that a power loss may undo, and nothing else: https://sqlite.org/wal.html."""
        self._db.execute("PRAGMA synchronous=NORMAL")
        try:
            yield
        finally:
            self._db.execute("PRAGMA synchronous=FULL")

    @contextmanager
    def lock(self, channel: str | None = None) -> Iterator[None]:
        self.inspect()
        with hold(self.path, channel) as check, self._reserve.kept(self.path):
            with self._mutex:
                self._checks.append(check)
            try:
                yield
            finally:
                with self._mutex:
                    self._checks.remove(check)

    @guarded
    def inspect(self) -> None:
        """Raises LedgerError where nothing may be sent from this ledger."""
        if self._refusal:
            raise LedgerError(self._refusal)
        self._disk.require_room(self.path)
        require_sound(self._db, self.path)

    @guarded
    def close(self) -> None:
        self._db.close()

    # -- writing -----------------------------------------------------------------------------------------------------

    def _insert(self, table: str, row: dict[str, object], otherwise: str = "ABORT") -> int:
        names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
        statement = f"INSERT OR {otherwise} INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - our own names
        return self._db.execute(statement, tuple(row.values())).lastrowid or 0

    def _change(self, deliveries: Sequence[int], before: State, move: Move, now: datetime, by: str) -> State:
        """What happened to some deliveries alike, and their history. Raises ConflictError where one is elsewhere."""
        to = TRANSITIONS[before, move.event]
        if move.event in {Event.CLAIMED, Event.REPLAYED}:
            self._require_reserve()
        receipt = move.receipt
        attempt = to is State.ATTEMPTING
        # A replay that was certainly not sent is no second copy.
        replay = (move.event is Event.REPLAYED) - (move.event is Event.NOT_SENT and before is State.IN_DOUBT)
        which = json.dumps(deliveries)
        counts = self._db.execute(
            "SELECT d.batch, d.refused, count(*) FROM delivery d JOIN batch b ON b.id = d.batch"
            " WHERE d.id IN (SELECT value FROM json_each(?)) AND b.frozen_at IS NOT NULL GROUP BY d.batch, d.refused",
            (which,),
        ).fetchall()
        is_refused = move.refused and to is State.FAILED
        changed = self._db.execute(
            "UPDATE delivery SET state = ?, reason = ?, code = ?, refused = ?, not_before = ?, changed_at = ?,"
            " attempts = attempts + ?, replays = replays + ?,"
            " attempted_at = CASE WHEN ? THEN NULL ELSE coalesce(attempted_at, ?) END,"
            " provider_id = coalesce(?, provider_id), url = coalesce(?, url), detail = coalesce(?, detail)"
            " WHERE id IN (SELECT value FROM json_each(?)) AND state = ?",
            (
                *(to.value, move.reason, move.code, is_refused),
                *(stamp(move.not_before), stamp(now), attempt, replay),
                # What may be sent again was certainly never out: a later look-up need not reach back to it.
                *(to is State.READY, stamp(move.began or now) if attempt else None),
                *(receipt and receipt.provider_id, receipt and receipt.url, receipt and receipt.detail),
                *(which, before.value),
            ),
        ).rowcount
        self._require_all(changed, len(deliveries))
        for batch, was_refused, count in counts:
            self._count(batch, before, -count, refused=was_refused)
            self._count(batch, to, count, refused=is_refused)
        self._db.execute(
            "INSERT INTO transition (delivery, at, from_state, to_state, event, reason, by)"
            " SELECT value, ?, ?, ?, ?, ?, ? FROM json_each(?)",
            (stamp(now), before.value, to.value, move.event.value, move.reason, by, which),
        )
        return to

    def _reach(self, batch: int, first: int, last: int) -> None:
        """Have the bounds of a batch include these deliveries of it. An id may be smaller than one that was removed."""
        self._db.execute(
            "UPDATE batch SET first = min(coalesce(first, :first), :first), last = max(coalesce(last, :last), :last)"
            " WHERE id = :batch",
            {"batch": batch, "first": first, "last": last},
        )

    def _count(self, batch: int, state: State, more: int, *, refused: bool = False) -> None:
        """Keep the tally of a frozen batch."""
        self._db.execute(
            "INSERT INTO tally VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
            (batch, state.value, refused, more),
        )

    def _change_unsent(
        self, batch: int, moves: Sequence[Move], now: datetime, by: str, *, after: int = 0, also: str = ""
    ) -> list[int]:
        """The next slice of what is ready in a batch, which ``moves`` happen to, one after the other."""
        parts = [
            "SELECT d.id FROM delivery d INDEXED BY delivery_due"  # noqa: S608 - our own words
            f" WHERE d.batch = :batch AND {part} AND d.id > :after {also}"
            for part in READY
        ]
        found = self._db.execute(
            f"{' UNION ALL '.join(parts)} ORDER BY 1 LIMIT {SLICE}", {"batch": batch, "after": after}
        )
        ids = [row[0] for row in found]
        state = State.READY
        for move in moves if ids else ():
            state = self._change(ids, state, move, now, by)
        return ids

    @guarded
    def _slice_of_unsent(self, batch: int, move: Move, now: datetime, by: str, after: int, also: str) -> list[int]:
        with self._transaction():
            return self._change_unsent(batch, [move], now, by, after=after, also=also)

    def _sweep(self, batch: int, move: Move, now: datetime, by: str, also: str = "") -> int:
        """What happens to all of a batch that is ready, slice by slice; to how many it did."""
        count = last = 0
        while ids := self._slice_of_unsent(batch, move, now, by, last, also):
            count, last = count + len(ids), ids[-1]
        return count

    def _delete_recipients(self, batch: int) -> int:
        """A slice of them; how many."""
        return self._db.execute(
            "DELETE FROM recipient WHERE (batch, target, language) IN"
            " (SELECT batch, target, language FROM recipient WHERE batch = ? LIMIT ?)",
            (batch, SLICE),
        ).rowcount

    def _require_reserve(self) -> None:
        if self._reserve.is_spent:
            raise sqlite3.OperationalError("database or disk is full")  # there would be no room for its receipt

    @staticmethod
    def _require_all(changed: int, meant: int) -> None:
        if changed != meant:
            raise ConflictError(Problem("another run changed this delivery", "look with: outagecast status"))
