"""The ledger in one SQLite file: WAL with full sync, so that an intent that was written survives a power loss."""

from __future__ import annotations

import contextlib
import functools
import json
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from outagecast.errors import ConflictError, LedgerError, Problem
from outagecast.ledger import (
    UNSURE_FOR,
    Carried,
    Entry,
    Event,
    Heard,
    Move,
    Opening,
    Past,
    Reached,
    Tally,
    Update,
    Words,
)
from outagecast.ledger.disk import THIS_MACHINE, Disk, Reserve, connect, explain, require_sound
from outagecast.ledger.lock import hold
from outagecast.ledger.migrate import is_behind, migrate, patiently, require_durable
from outagecast.ledger.rows import from_update, key_of, maybe, moment, parts_of, stamp, to_entry, to_update
from outagecast.ledger.witness import Mark, note, recall
from outagecast.model import DOUBTFUL, PUBLISHED, SECOND, State, Status, Variant, digest_of
from outagecast.transitions import LEADS, TRANSITIONS

MOST_ENTRIES = 500

P = ParamSpec("P")
R = TypeVar("R")

_ENTRY = f"""
    SELECT d.*, v.parts, u.status AS update_status, u.opened_at AS update_opened_at,
           (SELECT p.provider_id FROM delivery p INDEXED BY delivery_by_target -- else it reads all that went before
             WHERE p.incident = d.incident AND p.channel = d.channel
             AND p.target IN (d.target, '', '{SECOND}') AND p.language = d.language -- of a thread all its posts
             AND (p.number, p.target) < (d.number, d.target) AND p.provider_id IS NOT NULL AND p.state <> 'missing'
             ORDER BY p.number DESC, p.target DESC LIMIT 1) AS thread_id
      FROM delivery d JOIN variant v ON v.id = d.variant
      JOIN incident_update u ON u.incident = d.incident AND u.number = d.number
"""  # noqa: S608 - our own words

_LEADS = ",".join(f"'{state}'" for state in sorted(LEADS))
# A thread's second post waits for the first.
_MAY_GO = f"""(d.target <> '{SECOND}' OR EXISTS (SELECT 1 FROM delivery f
    WHERE f.incident = d.incident AND f.number = d.number AND f.channel = d.channel AND f.target = ''
      AND f.language = d.language AND f.state IN ({_LEADS})))
"""  # noqa: S608 - our own words


def slugs(path: Path) -> list[str]:
    """Every incident of an existing ledger, newest first, for what must be quick: nothing is waited for or changed."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=0.2)) as db:
            rows = db.execute("SELECT incident FROM incident_update GROUP BY incident ORDER BY max(opened_at) DESC")
            return [str(row[0]) for row in rows]
    except sqlite3.Error:
        return []


def _guarded(verb: Callable[P, R]) -> Callable[P, R]:
    """One thread at a time, and SQLite's errors in words that say what to do."""

    @functools.wraps(verb)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        ledger: Any = args[0]
        with ledger._mutex:
            try:
                return verb(*args, **kwargs)
            except sqlite3.Error as error:
                raise LedgerError(explain(ledger.path, error)) from error

    return wrapper


class SqliteLedger:
    """See ``outagecast.ledger.Ledger``. Safe to share between threads."""

    def __init__(self, path: Path, disk: Disk = THIS_MACHINE) -> None:
        """Open or create the ledger; one that cannot be written is only read, and its lock says why.

        Raises LedgerError where it could not keep what it is told.
        """
        self.path = path
        self._mutex = threading.RLock()
        self._disk = disk
        self._reserve = Reserve()
        self._check: Callable[[], None] = _nothing  # while the lock is held: whether it still is
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

    @_guarded
    def _prepare(self) -> None:
        if self._refusal is None:
            patiently(lambda: require_durable(self._db, self.path))
            patiently(lambda: migrate(self._db, self.path))
        elif is_behind(self._db, self.path):
            raise LedgerError(self._refusal)  # it cannot be brought up to date

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._check()
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                with suppress(sqlite3.Error):  # what went wrong first is what is told
                    self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def lock(self) -> Iterator[None]:
        self.inspect()
        with hold(self.path) as check, self._reserve.kept(self.path):
            self._check = check
            try:
                yield
            finally:
                self._check = _nothing

    @_guarded
    def unsure(self, now: datetime) -> str | None:
        if why := self._contradiction():
            return why
        row = self._db.execute("SELECT unsure, why FROM ledger").fetchone()
        since = maybe(row["unsure"])
        return str(row["why"]) if since and now - since < UNSURE_FOR else None

    @_guarded
    def recognise(self, now: datetime, by: str) -> None:
        why = self._contradiction()
        if why is None:
            return
        with self._transaction():
            self._db.execute("UPDATE ledger SET unsure = ?, why = ?", (stamp(now), why))
            for row in self._db.execute(f"{_ENTRY} WHERE d.state = 'ready'").fetchall():
                self._change(
                    row["id"], State.READY, Move(Event.CLAIMED, began=moment(row["update_opened_at"])), now, by
                )
                self._change(row["id"], State.ATTEMPTING, Move(Event.LOST, why), now, by)

    @_guarded
    def remember(self) -> None:
        note(self.path, self._mark())

    def _mark(self) -> Mark:
        """Which ledger this is, and how far."""
        row = self._db.execute("SELECT id, (SELECT coalesce(max(seq), 0) FROM transition) AS changes FROM ledger")
        return Mark(*row.fetchone())

    def _contradiction(self) -> str | None:
        """Why this is not the ledger that was used here last, in words, if it is not."""
        last = recall(self.path)
        return last and last.contradicts(*self._mark())

    @_guarded
    def inspect(self) -> None:
        """Raises LedgerError where nothing may be sent from this ledger."""
        if self._refusal:
            raise LedgerError(self._refusal)
        self._disk.require_room(self.path)
        require_sound(self._db, self.path)

    @_guarded
    def incidents(self) -> list[str]:
        rows = self._db.execute("SELECT incident FROM incident_update GROUP BY incident ORDER BY max(opened_at) DESC")
        return [row["incident"] for row in rows]

    @_guarded
    def past(self, incident: str, channels: Collection[str] | None = None) -> Past:
        updates = [
            to_update(row)
            for row in self._db.execute("SELECT * FROM incident_update WHERE incident = ? ORDER BY number", (incident,))
        ]
        pairs = self._db.execute("SELECT DISTINCT channel, number FROM delivery WHERE incident = ?", (incident,))
        opened = frozenset((row["channel"], row["number"]) for row in pairs)
        carried: dict[tuple[str, str, str], Carried] = {}
        for channel in {name for name, _ in opened if channels is None or name in channels}:
            rows = self._db.execute(
                "SELECT d.target, d.language, d.number, d.state, d.attempted_at, d.provider_id, v.digest,"  # noqa: S608
                f" CASE WHEN d.target IN ('', '{SECOND}') THEN v.parts END AS parts"  # people's are many
                " FROM delivery d JOIN variant v ON v.id = d.variant"
                " WHERE d.incident = ? AND d.channel = ? AND (d.state IN"
                " ('attempting', 'in_doubt', 'needs_decision', 'accepted', 'verified', 'mismatch', 'missing')"
                " OR (d.state = 'failed' AND d.refused)) ORDER BY d.number",
                (incident, channel),
            )
            for row in rows:
                key = (channel, row["target"], row["language"])
                state, began = State(row["state"]), maybe(row["attempted_at"])
                digest = digest_of(parts_of(row)) if row["parts"] else row["digest"]
                carried[key] = Carried(row["number"], state, digest, began, row["provider_id"])
        return Past(incident, updates, carried, opened)

    @_guarded
    def open(self, update: Update, variants: Iterable[Variant], openings: Iterable[Opening]) -> None:
        with self._transaction():
            is_new = self._existing(update) is None
            if is_new:
                self._insert("incident_update", from_update(update))
            if update.status is Status.RETRACTED:
                self._call_off(update)
            words: dict[tuple[str, str], tuple[int, str]] = {}
            for variant in variants:
                words[variant.channel, variant.language] = self._freeze(update, variant), variant.digest
            opened = False
            for opening in openings:
                self._open_one(update, opening, *words[opening.channel, opening.language])
                opened = True
            if opened and not is_new:
                self._db.execute(
                    "UPDATE incident_update SET digest = ? WHERE incident = ? AND number = ?",
                    (update.digest, update.incident, update.number),
                )

    def _existing(self, update: Update) -> int | None:
        """The row of this very update. Raises ConflictError where its number, or its words, are taken."""
        rows = self._db.execute(
            "SELECT number, fingerprint, opened_by, opened_at FROM incident_update"
            " WHERE incident = ? AND (number >= ? OR fingerprint = ?) ORDER BY number DESC",
            (update.incident, update.number, update.fingerprint),
        ).fetchall()
        if not rows:
            return None
        newest = rows[0]
        if (newest["number"], newest["fingerprint"]) != (update.number, update.fingerprint):
            raise ConflictError(
                Problem(
                    f"{newest['opened_by']} opened update {newest['number']} before you; nothing was sent",
                    f"look at what is out: outagecast status {update.incident}",
                )
            )
        return update.number

    def _freeze(self, update: Update, variant: Variant) -> int:
        where = (update.incident, update.number, variant.channel, variant.language)
        known = self._db.execute(
            "SELECT id FROM variant WHERE incident = ? AND number = ? AND channel = ? AND language = ?", where
        ).fetchone()
        if known:
            return int(known["id"])
        facts = {name: getattr(variant, name) for name in ("rung", "source", "carried", "left_out")}
        return self._insert(
            "variant",
            {
                **dict(zip(("incident", "number", "channel", "language"), where, strict=True)),
                "kind": variant.kind,
                "parts": json.dumps(dict(variant.parts), ensure_ascii=False),
                "facts": json.dumps(facts),
                "digest": variant.digest,
            },
        )

    def _open_one(self, update: Update, opening: Opening, variant: int, digest: str) -> None:
        where = (update.incident, opening.channel, opening.target, opening.language)
        # A newer word overtakes a thread's second post too, also where it is no thread itself; and with somebody who
        # reads another language by now, what was in the former one.
        also = opening.target or SECOND
        for row in self._db.execute(
            "SELECT id FROM delivery INDEXED BY delivery_by_target"  # else each reads all that is unsent
            " WHERE incident = ? AND channel = ? AND target IN (?, ?)"
            " AND (language = ? OR target NOT IN ('', ?)) AND number < ? AND state = 'ready'",
            (*where[:3], also, opening.language, SECOND, update.number),
        ).fetchall():
            self._change(row["id"], State.READY, Move(Event.SUPERSEDED), update.opened_at, update.opened_by)
        self._insert(
            "delivery",
            {
                **dict(zip(("incident", "channel", "target", "language"), where, strict=True)),
                "key": key_of(update.number, *where, digest),
                "number": update.number,
                "variant": variant,
                "state": opening.state.value,
                "reason": opening.reason,
                "expires_at": stamp(opening.expires_at),
                "attempted_at": stamp(opening.attempted_at),
                "edits": opening.edits,
                "changed_at": stamp(update.opened_at),
            },
            otherwise="IGNORE",  # another run of the same update opened it a moment ago
        )

    def _call_off(self, update: Update) -> None:
        """What is still queued of a false alarm must never go out: in two statements, since it may be a million."""
        queued = "WHERE incident = ? AND number < ? AND state = 'ready'"
        where, to = (update.incident, update.number), TRANSITIONS[State.READY, Event.CANCELLED]
        at, why = stamp(update.opened_at), f"update {update.number} took it back before it was sent"
        self._db.execute(
            "INSERT INTO transition (delivery, at, from_state, to_state, event, reason, by)"  # noqa: S608 - our own words
            f" SELECT id, ?, state, ?, ?, ?, ? FROM delivery {queued}",
            (at, to.value, Event.CANCELLED.value, why, update.opened_by, *where),
        )
        self._db.execute(
            f"UPDATE delivery SET state = ?, reason = ?, not_before = NULL, changed_at = ? {queued}",  # noqa: S608
            (to.value, why, at, *where),
        )

    @_guarded
    def variants(self, incident: str, number: int) -> list[Variant]:
        rows = self._db.execute(
            "SELECT * FROM variant WHERE incident = ? AND number = ? ORDER BY id", (incident, number)
        )
        return [
            Variant(
                channel=row["channel"],
                kind=row["kind"],
                language=row["language"],
                parts=json.loads(row["parts"]),
                **json.loads(row["facts"]),
            )
            for row in rows
        ]

    @_guarded
    def claim(self, incident: str, number: int, channel: str, now: datetime, by: str) -> Entry | None:
        where = (incident, number, channel)
        due = " WHERE d.incident = ? AND d.number = ? AND d.channel = ? AND d.state = 'ready'"
        with self._transaction():
            for row in self._db.execute(f"{_ENTRY}{due} AND d.expires_at <= ?", (*where, stamp(now))).fetchall():
                self._change(row["id"], State.READY, Move(Event.EXPIRED, "too old to be sent"), now, by)
            row = self._db.execute(
                # in the index's own order, what was never tried first: a hundred thousand others cost nothing
                f"{_ENTRY}{due} AND (d.not_before IS NULL OR d.not_before <= ?) AND {_MAY_GO}"
                " ORDER BY d.not_before, d.id LIMIT 1",
                (*where, stamp(now)),
            ).fetchone()
            if row is None:
                return None
            self._change(row["id"], State.READY, Move(Event.CLAIMED), now, by)
            row = self._db.execute(f"{_ENTRY} WHERE d.id = ?", (row["id"],)).fetchone()
        return to_entry(row)

    @_guarded
    def next_try(self, incident: str, number: int, channel: str) -> datetime | None:
        row = self._db.execute(
            "SELECT d.not_before FROM delivery d WHERE d.incident = ? AND d.number = ? AND d.channel = ?"  # noqa: S608
            f" AND d.state = 'ready' AND {_MAY_GO} ORDER BY d.not_before LIMIT 1",
            (incident, number, channel),
        ).fetchone()
        if row is None:
            return None
        return maybe(row["not_before"]) or datetime.min.replace(tzinfo=UTC)

    @_guarded
    def move(self, entry: Entry, move: Move, now: datetime, by: str) -> State:
        try:
            return self._move(entry, move, now, by)
        except sqlite3.Error as error:
            if not self._reserve.give_back(error):
                raise
            return self._move(entry, move, now, by)

    def _move(self, entry: Entry, move: Move, now: datetime, by: str) -> State:
        with self._transaction():
            return self._change(entry.id, entry.state, move, now, by)

    def _change(self, delivery: int, before: State, move: Move, now: datetime, by: str) -> State:
        to = TRANSITIONS[before, move.event]
        if self._reserve.is_spent and move.event in {Event.CLAIMED, Event.REPLAYED}:
            raise sqlite3.OperationalError("database or disk is full")  # there would be no room for its receipt
        receipt = move.receipt
        attempt = to is State.ATTEMPTING
        # A replay that was certainly not sent is no second copy.
        replay = (move.event is Event.REPLAYED) - (move.event is Event.NOT_SENT and before is State.IN_DOUBT)
        changed = self._db.execute(
            "UPDATE delivery SET state = ?, reason = ?, code = ?, refused = ?, not_before = ?, changed_at = ?,"
            " attempts = attempts + ?, replays = replays + ?,"
            " attempted_at = CASE WHEN ? THEN NULL ELSE coalesce(attempted_at, ?) END,"
            " provider_id = coalesce(?, provider_id), url = coalesce(?, url), detail = coalesce(?, detail)"
            " WHERE id = ? AND state = ?",
            (
                *(to.value, move.reason, move.code, move.refused and to is State.FAILED),
                *(stamp(move.not_before), stamp(now), attempt, replay),
                # What may be sent again was certainly never out: a later look-up need not reach back to it.
                *(to is State.READY, stamp(move.began or now) if attempt else None),
                *(receipt and receipt.provider_id, receipt and receipt.url, receipt and receipt.detail),
                *(delivery, before.value),
            ),
        ).rowcount
        if changed != 1:
            raise ConflictError(Problem("another run changed this delivery", "look with: outagecast status"))
        self._insert(
            "transition",
            {
                "delivery": delivery,
                "at": stamp(now),
                "from_state": before.value,
                "to_state": to.value,
                "event": move.event.value,
                "reason": move.reason,
                "by": by,
            },
        )
        return to

    @_guarded
    def entries(
        self, incident: str, number: int, channel: str, states: Collection[State], *, after: int = 0
    ) -> list[Entry]:
        marks = ",".join("?" * len(states))
        rows = self._db.execute(
            f"{_ENTRY} WHERE d.incident = ? AND d.number = ? AND d.channel = ? AND d.state IN ({marks})"
            f" AND d.id > ? ORDER BY d.id LIMIT {MOST_ENTRIES}",
            (incident, number, channel, *(state.value for state in states), after),
        )
        return [to_entry(row) for row in rows]

    @_guarded
    def tallies(self, incident: str, number: int) -> list[Tally]:
        rows = self._db.execute(
            "SELECT channel, state, refused, count(*) AS count FROM delivery WHERE incident = ? AND number = ?"
            " GROUP BY channel, state, refused ORDER BY min(id)",
            (incident, number),
        )
        return [Tally(row["channel"], State(row["state"]), bool(row["refused"]), row["count"]) for row in rows]

    @_guarded
    def latest(self) -> list[Update]:
        rows = self._db.execute(
            "SELECT * FROM incident_update u WHERE number = (SELECT max(number) FROM incident_update"
            " WHERE incident = u.incident) ORDER BY opened_at DESC"
        )
        return [to_update(row) for row in rows]

    @_guarded
    def heard(self, incident: str) -> list[Heard]:
        # What the public had in doubt first counts from when it may have been out, not from when we found it.
        rows = self._db.execute(
            "SELECT number, channel, state, refused, count(*) AS count,"
            " min(coalesce(attempted_at, changed_at)) AS first_at, max(coalesce(attempted_at, changed_at)) AS last_at"
            " FROM delivery WHERE incident = ? GROUP BY number, channel, state, refused ORDER BY number, min(id)",
            (incident,),
        )
        return [
            Heard(
                number=row["number"],
                channel=row["channel"],
                state=State(row["state"]),
                refused=bool(row["refused"]),
                count=row["count"],
                first_at=moment(row["first_at"]),
                last_at=moment(row["last_at"]),
            )
            for row in rows
        ]

    @_guarded
    def reached(self, incident: str) -> list[Reached]:
        carrying = sorted(state.value for state in PUBLISHED | DOUBTFUL)
        marks = ",".join("?" * len(carrying))
        rows = self._db.execute(
            f"SELECT channel, target, language, max(CASE WHEN state IN ({marks}) THEN number END) AS number,"  # noqa: S608
            " max(CASE WHEN state IN ('ready', 'failed') THEN number END) AS owed"
            " FROM delivery WHERE incident = ? AND target <> ? GROUP BY channel, target, language",
            (*carrying, incident, SECOND),
        )
        return [Reached(row["channel"], row["target"], row["language"], row["number"], row["owed"]) for row in rows]

    def _insert(self, table: str, row: dict[str, object], otherwise: str = "ABORT") -> int:
        names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
        statement = f"INSERT OR {otherwise} INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - our own names
        return self._db.execute(statement, tuple(row.values())).lastrowid or 0

    def carried(self, channel: str) -> Iterator[Words]:
        last = 0
        while page := self._carried_after(channel, last):
            yield from (Words(row["incident"], row["number"], row["language"], parts_of(row)) for row in page)
            last = page[-1]["id"]

    @_guarded
    def _carried_after(self, channel: str, last: int) -> list[sqlite3.Row]:
        states = ",".join(f"'{state.value}'" for state in sorted(PUBLISHED))
        return self._db.execute(
            "SELECT v.id, d.incident, d.number, d.language, d.target, v.parts FROM variant v"  # noqa: S608 - our own words
            " JOIN delivery d INDEXED BY delivery_by_target ON d.incident = v.incident AND d.channel = v.channel"
            f" AND d.target = '' AND d.language = v.language AND d.variant = v.id AND d.state IN ({states})"
            " WHERE v.channel = ? AND v.id > ? ORDER BY v.id LIMIT ?",
            (channel, last, MOST_ENTRIES),
        ).fetchall()

    @_guarded
    def knows(self, channel: str, provider_id: str) -> bool:
        where = (channel, provider_id)
        found = self._db.execute("SELECT 1 FROM delivery WHERE channel = ? AND provider_id = ? LIMIT 1", where)
        return found.fetchone() is not None

    @_guarded
    def close(self) -> None:
        self._db.close()


def _nothing() -> None:
    """Nobody's right to send hangs on this."""
