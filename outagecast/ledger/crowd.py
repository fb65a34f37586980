"""Many recipients: frozen in slices, claimed in windows, recorded together, read page by page."""

from __future__ import annotations

import heapq
import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from outagecast.errors import ConflictError, LedgerError, Problem
from outagecast.ledger import (
    Carried,
    Claimed,
    Event,
    Hold,
    Move,
    Opening,
    Reached,
    Refusal,
    Told,
    Update,
)
from outagecast.ledger.disk import explain, real
from outagecast.ledger.rows import Keys, maybe, moment, stamp
from outagecast.ledger.store import IS_NEWEST, ITS_OWN, RARE, SLICE, guarded
from outagecast.ledger.suppression import SuppressionList
from outagecast.model import DOUBTFUL, PUBLISHED, SECOND, Delivery, Receipt, State, Status, posts
from outagecast.text import clean
from outagecast.transitions import TRANSITIONS

_CARRYING = PUBLISHED | DOUBTFUL
_AT_ONCE = 100  # receipts in one statement
_MOST_REASONS = 10  # why people were refused, one by one; the rest together
_OTHER = "other reasons"
_IT = " incident = ? AND number = ? AND channel = ?"
# What somebody carries already, by the recipient: else each would read all that went before.
_THREAD = """(SELECT p.provider_id FROM batch e CROSS JOIN recipient r ON r.batch = e.id
    CROSS JOIN delivery p ON p.id = r.delivery
    WHERE e.incident = :incident AND e.channel = :channel AND e.number < :number
      AND r.target = d.target AND r.language = d.language AND p.provider_id IS NOT NULL AND p.state <> 'missing'
    ORDER BY e.number DESC LIMIT 1)"""

_TWICE = f"""DELETE FROM delivery WHERE id IN (SELECT d.id FROM batch b CROSS JOIN delivery d ON {ITS_OWN}
    WHERE b.id = ? AND NOT EXISTS (SELECT 1 FROM recipient r WHERE r.batch = d.batch AND r.target = d.target
      AND r.language = d.language AND r.delivery = d.id)) RETURNING state"""  # noqa: S608 - our own words


class _Row(NamedTuple):
    """What one update was to one target."""

    target: str
    language: str
    number: int
    state: State
    refused: bool
    attempted_at: str | None
    provider_id: str | None
    digest: str


class Crowd(SuppressionList):
    """See ``outagecast.ledger.Ledger``."""

    # -- freezing ----------------------------------------------------------------------------------------------------

    def freeze(self, update: Update, channel: str, openings: Iterable[Opening]) -> None:
        batch = self._unfrozen(update, channel)
        if batch is None:
            return
        while self._empty(batch):
            pass
        words = self._variants_of(update, channel)
        at, expires_at, rest = stamp(update.opened_at), None, iter(openings)
        counts, unequal = Counter[State](), 0
        while some := list(itertools.islice(rest, SLICE)):
            expires_at = some[0].expires_at
            rows = [
                (batch, target, language, words[language], state.value, reason, stamp(attempted_at), edits, at)
                for _, target, language, state, reason, _, attempted_at, edits in some
            ]
            self._write_deliveries(update, channel, batch, rows)
            unequal += len(rows)
            counts.update(opening.state for opening in some)
        for page in self._by_address(batch):
            self._write_recipients(update, channel, page)
            unequal -= len(page)
        if unequal:
            counts -= self._strike_out_twice(update, channel, batch)
        same = f"AND EXISTS (SELECT 1 FROM recipient r WHERE r.batch = {batch:d} AND r.target = d.target)"  # noqa: S608
        for older in self._older(update, channel):
            self._sweep(older, Move(Event.SUPERSEDED), update.opened_at, update.opened_by, same)
        self._finish(update, channel, batch, expires_at, counts)

    @guarded
    def is_frozen(self, incident: str, number: int, channel: str) -> bool:
        row = self._batch(incident, number, channel)
        return row is not None and row["frozen_at"] is not None

    def _batch(self, incident: str, number: int, channel: str) -> sqlite3.Row | None:
        row = self._db.execute(f"SELECT * FROM batch WHERE {_IT}", (incident, number, channel)).fetchone()  # noqa: S608
        return row if isinstance(row, sqlite3.Row) else None

    @guarded
    def _unfrozen(self, update: Update, channel: str) -> int | None:
        row = self._known(update.incident, update.number, channel)
        return None if row["frozen_at"] else int(row["id"])

    def _known(self, incident: str, number: int, channel: str) -> sqlite3.Row:
        row = self._batch(incident, number, channel)
        if row is None:
            said = f"update {number} of {incident} has nothing for {channel}"
            raise ConflictError(Problem(said, f"look at what is out: outagecast status {incident}"))
        return row

    @guarded
    def _empty(self, batch: int) -> int:
        """A slice less of what an earlier try left."""
        with self._unsynced(), self._transaction():
            self._delete_recipients(batch)
            return self._db.execute(
                "DELETE FROM delivery WHERE id IN"  # noqa: S608 - our own words
                f" (SELECT d.id FROM batch b CROSS JOIN delivery d ON {ITS_OWN} WHERE b.id = ? LIMIT ?)",
                (batch, SLICE),
            ).rowcount

    @guarded
    def _variants_of(self, update: Update, channel: str) -> dict[str, int]:
        rows = self._db.execute(
            f"SELECT language, id FROM variant WHERE {_IT}",  # noqa: S608 - our own words
            (update.incident, update.number, channel),
        )
        return {row["language"]: row["id"] for row in rows}

    @contextmanager
    def _freezing(self, update: Update, channel: str) -> Iterator[None]:
        """Around a slice of it. A power loss may undo it: it counts for nothing before all are there."""
        with self._unsynced(), self._transaction():
            self._require_newest(update, channel)
            yield

    @guarded
    def _write_deliveries(self, update: Update, channel: str, batch: int, rows: Sequence[tuple[object, ...]]) -> None:
        with self._freezing(update, channel):
            self._db.executemany(
                "INSERT INTO delivery"
                " (batch, target, language, variant, state, reason, attempted_at, edits, changed_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            last = self._db.execute("SELECT last_insert_rowid()").fetchone()[0]
            self._reach(batch, last - len(rows) + 1, last)

    @guarded
    def _write_recipients(self, update: Update, channel: str, rows: Sequence[tuple[object, ...]]) -> None:
        with self._freezing(update, channel):
            self._db.executemany("INSERT INTO recipient VALUES (?, ?, ?, ?)", rows)

    @guarded
    def _strike_out_twice(self, update: Update, channel: str, batch: int) -> Counter[State]:
        """Whoever is in it twice is told once; in which states those were that are not told."""
        with self._freezing(update, channel):
            return Counter(State(state) for (state,) in self._db.execute(_TWICE, (batch,)).fetchall())

    def _require_newest(self, update: Update, channel: str) -> None:
        newer = self._db.execute(
            "SELECT max(number) FROM batch WHERE incident = ? AND channel = ?", (update.incident, channel)
        ).fetchone()[0]
        if newer > update.number:
            said = f"update {newer} of {update.incident} was opened for {channel} meanwhile"
            raise ConflictError(Problem(said, f"look at what is out: outagecast status {update.incident}"))

    def _by_address(self, batch: int) -> Iterator[list[tuple[object, ...]]]:
        """Its recipients in the order of their index, which is then written from one end to the other.

        In the order in which they are sent to, each slice would touch every page of it: 7 GB for a million.
        """
        try:
            # Another connection, since all others would wait for the sorting; the table is in a file without a name.
            with closing(sqlite3.connect(f"{real(self.path).as_uri()}?mode=ro", uri=True, timeout=10)) as own:
                own.execute(
                    "CREATE TEMP TABLE sorted AS SELECT d.target, d.language, min(d.id) AS delivery"  # noqa: S608
                    f" FROM main.batch b CROSS JOIN main.delivery d ON {ITS_OWN} WHERE b.id = ?"
                    " GROUP BY d.target, d.language",
                    (batch,),
                )
                last = 0
                while page := own.execute(
                    "SELECT ?, target, language, delivery, rowid FROM sorted WHERE rowid > ? ORDER BY rowid LIMIT ?",
                    (batch, last, SLICE),
                ).fetchall():
                    last = page[-1][-1]
                    yield [row[:-1] for row in page]
        except sqlite3.Error as error:
            raise LedgerError(explain(self.path, error)) from error

    @guarded
    def _older(self, update: Update, channel: str) -> list[int]:
        rows = self._db.execute(
            "SELECT id FROM batch WHERE incident = ? AND channel = ? AND number < ? AND frozen_at IS NOT NULL",
            (update.incident, channel, update.number),
        )
        return [row["id"] for row in rows]

    @guarded
    def _finish(
        self, update: Update, channel: str, batch: int, expires_at: datetime | None, counts: Counter[State]
    ) -> None:
        with self._transaction():
            self._require_newest(update, channel)
            self._seal(batch, update.opened_at, expires_at)
            for state, count in counts.items():
                self._count(batch, state, count)

    def _seal(self, batch: int, at: datetime, expires_at: datetime | None) -> None:
        """Note that all of a batch is there."""
        self._db.execute(
            "UPDATE batch SET frozen_at = coalesce(frozen_at, ?), expires_at = coalesce(expires_at, ?) WHERE id = ?",
            (stamp(at), stamp(expires_at), batch),
        )

    # -- sending -----------------------------------------------------------------------------------------------------

    def _claimable(self, incident: str, number: int, channel: str, now: datetime) -> int | None:
        """The batch that may be claimed from, in the transaction that claims."""
        row = self._db.execute(
            f"SELECT id FROM batch b WHERE {_IT} AND frozen_at IS NOT NULL AND held_at IS NULL"  # noqa: S608
            f" AND (expires_at IS NULL OR expires_at > ?) AND {IS_NEWEST}",
            (incident, number, channel, stamp(now)),
        ).fetchone()
        return row and int(row["id"])

    def _write_off(self, incident: str, number: int, channel: str, now: datetime, by: str) -> None:
        """Nothing is sent of what has expired."""
        if (batch := self._expired(incident, number, channel, now)) is not None:
            self._sweep(batch, Move(Event.EXPIRED, "too old to be sent"), now, by)

    @guarded
    def _expired(self, incident: str, number: int, channel: str, now: datetime) -> int | None:
        row = self._db.execute(
            f"SELECT id FROM batch WHERE {_IT} AND frozen_at IS NOT NULL AND expires_at <= ?",  # noqa: S608
            (incident, number, channel, stamp(now)),
        ).fetchone()
        return row and int(row["id"])

    def claim_window(
        self, incident: str, number: int, channel: str, most: int, now: datetime, by: str
    ) -> list[Claimed]:
        self._write_off(incident, number, channel, now, by)
        return self._claim_window(incident, number, channel, most, now, by)

    @guarded
    def _claim_window(
        self, incident: str, number: int, channel: str, most: int, now: datetime, by: str
    ) -> list[Claimed]:
        its = {"incident": incident, "number": number, "channel": channel, "now": stamp(now), "most": most}
        with self._transaction():
            batch = self._claimable(incident, number, channel, now)
            if batch is None:
                return []
            self._require_reserve()
            follows = "SELECT EXISTS (SELECT 1 FROM batch WHERE incident = ? AND channel = ? AND number < ?)"
            thread = _THREAD if self._db.execute(follows, (incident, channel, number)).fetchone()[0] else "NULL"
            found = self._db.cursor()
            found.row_factory = None  # plain tuples are made faster
            rows = found.execute(
                "SELECT d.id, d.target, d.language, d.variant, d.attempts, d.attempted_at, d.edits,"  # noqa: S608
                f" {thread} FROM delivery d INDEXED BY delivery_due"
                " WHERE d.batch = :batch AND d.state = 'ready' AND (d.not_before IS NULL OR d.not_before <= :now)"
                " ORDER BY d.not_before, d.id LIMIT :most",
                {**its, "batch": batch},
            ).fetchall()
            if not rows:
                return []
            self._db.execute(
                "UPDATE delivery SET state = 'attempting', reason = NULL, code = NULL, not_before = NULL,"
                " changed_at = :now, attempts = attempts + 1, attempted_at = coalesce(attempted_at, :now)"
                " WHERE id IN (SELECT value FROM json_each(:ids))",
                {"now": stamp(now), "ids": json.dumps([row[0] for row in rows])},
            )
            self._insert("window", {"batch": batch, "at": stamp(now), "by": by, "count": len(rows)})
            self._count(batch, State.READY, -len(rows))
            self._count(batch, State.ATTEMPTING, len(rows))
            about = self._about(incident, number, channel)
        return about.claimed(rows, now)

    def _about(self, incident: str, number: int, channel: str) -> _About:
        row = self._db.execute(
            "SELECT u.status, u.opened_at, b.expires_at FROM batch b JOIN incident_update u USING (incident, number)"  # noqa: S608
            f" WHERE {_IT}",
            (incident, number, channel),
        ).fetchone()
        variants = self._db.execute(
            f"SELECT id, parts, digest FROM variant WHERE {_IT}",  # noqa: S608 - our own words
            (incident, number, channel),
        )
        words = {id_: (posts(json.loads(parts))[""], digest) for id_, parts, digest in variants}
        opened_at, expires_at = moment(row["opened_at"]), maybe(row["expires_at"])
        keys = Keys(incident, number, channel)
        return _About(incident, number, Status(row["status"]), opened_at, expires_at, words, keys)

    @guarded
    def record_many(self, moves: Sequence[tuple[Claimed, Move]], now: datetime, by: str) -> None:
        try:
            self._record_many(moves, now, by)
        except sqlite3.Error as error:
            if not self._reserve.give_back(error):
                raise
            self._record_many(moves, now, by)

    def _record_many(self, moves: Sequence[tuple[Claimed, Move]], now: datetime, by: str) -> None:
        receipts: list[tuple[object, ...]] = []
        with self._unsynced(), self._transaction():
            for claimed, move in moves:
                if move.event is Event.RECEIPT:  # of a million, nearly all: the claim's line of history tells of it
                    its = move.receipt
                    receipts.append((claimed.id, *((its.provider_id, its.url, its.detail) if its else (None,) * 3)))
                else:
                    self._change([claimed.id], State.ATTEMPTING, move, now, by)
            if receipts:
                self._accept(receipts, now)
            for claimed, move in moves:
                if move.suppress:
                    self._suppress(claimed.id, claimed.delivery.target, move.suppress, now)

    def _accept(self, receipts: Sequence[tuple[object, ...]], now: datetime) -> None:
        """What the provider took, all of one batch: id, provider_id, url and detail."""
        to, changed = TRANSITIONS[State.ATTEMPTING, Event.RECEIPT], 0
        batch = self._db.execute("SELECT batch FROM delivery WHERE id = ?", receipts[0][:1]).fetchone()["batch"]
        for start in range(0, len(receipts), _AT_ONCE):  # one by one takes a third longer
            some = receipts[start : start + _AT_ONCE]
            changed += self._db.execute(
                "UPDATE delivery SET state = ?, changed_at = ?, provider_id = column2, url = column3,"  # noqa: S608
                " detail = column4"
                f" FROM (VALUES {', '.join(['(?, ?, ?, ?)'] * len(some))})"
                " WHERE id = column1 AND +batch = ? AND +state = ?",
                (to.value, stamp(now), *itertools.chain.from_iterable(some), batch, State.ATTEMPTING.value),
            ).rowcount
        self._require_all(changed, len(receipts))
        self._count(batch, State.ATTEMPTING, -changed)
        self._count(batch, to, changed)

    @guarded
    def windows(self, incident: str, number: int, channel: str, since: datetime) -> list[tuple[datetime, int]]:
        rows = self._db.execute(
            'SELECT w.at, w.count FROM "window" w JOIN batch b ON b.id = w.batch'  # noqa: S608 - our own words
            f" WHERE {_IT} AND w.at >= ? ORDER BY w.seq",
            (incident, number, channel, stamp(since)),
        )
        return [(moment(row["at"]), row["count"]) for row in rows]

    @guarded
    def refusals(self, incident: str, number: int, channel: str) -> list[Refusal]:
        # By the provider's code where it gives one: its words may differ for each, and name them.
        rows = self._db.execute(
            "SELECT d.code, min(replace(d.reason, d.target, '…')) AS reason, count(*) AS count"  # noqa: S608
            " FROM batch b JOIN delivery d INDEXED BY delivery_by_state ON d.batch = b.id"
            f" WHERE {_IT} AND d.state = 'failed' AND d.refused AND {RARE}"
            " GROUP BY coalesce(d.code, replace(d.reason, d.target, '…'), '') ORDER BY count(*) DESC",
            (incident, number, channel),
        )
        found = Counter[str]()
        for row in rows:
            words = _words_of(row["reason"], row["code"])
            found[words if words in found or len(found) < _MOST_REASONS else _OTHER] += row["count"]
        return [Refusal(words, count) for words, count in found.most_common()]

    # -- holding -----------------------------------------------------------------------------------------------------

    @guarded
    def hold(self, incident: str, number: int, channel: str, why: str, now: datetime, by: str) -> None:
        with self._transaction():
            batch = self._known(incident, number, channel)["id"]
            self._db.execute(
                "UPDATE batch SET held_at = ?, held_by = ?, held_why = ? WHERE id = ? AND held_at IS NULL",
                (stamp(now), by, why, batch),
            )

    @guarded
    def release(self, incident: str, number: int, channel: str) -> None:
        with self._transaction():
            self._db.execute(
                f"UPDATE batch SET held_at = NULL, held_by = NULL, held_why = NULL WHERE {_IT}",  # noqa: S608
                (incident, number, channel),
            )

    @guarded
    def held(self, incident: str, number: int, channel: str) -> Hold | None:
        row = self._batch(incident, number, channel)
        if row is None or row["held_at"] is None:
            return None
        return Hold(moment(row["held_at"]), row["held_by"], row["held_why"])

    def cancel(self, incident: str, number: int, channel: str, now: datetime, by: str) -> int:
        batch = self._known_batch(incident, number, channel)
        return self._sweep(batch, Move(Event.CANCELLED, f"called off by {by}"), now, by)

    @guarded
    def _known_batch(self, incident: str, number: int, channel: str) -> int:
        return int(self._known(incident, number, channel)["id"])

    # -- reading -----------------------------------------------------------------------------------------------------

    def told(self, incident: str, channel: str) -> Iterator[Told]:
        for target, rows in itertools.groupby(self._by_target(incident, channel), lambda row: row.target):
            known = [row for row in rows if row.state in _CARRYING or (row.state is State.FAILED and row.refused)]
            if known and target not in {"", SECOND}:
                row = max(known, key=lambda row: row.number)
                carried = Carried(row.number, row.state, row.digest, maybe(row.attempted_at), row.provider_id)
                yield Told(target, row.language, carried)

    def reached(self, incident: str) -> Iterator[Reached]:
        for channel in self._channels(incident):
            targets = itertools.groupby(self._by_target(incident, channel), lambda row: (row.target, row.language))
            for (target, language), group in targets:
                if target != SECOND:
                    rows = list(group)
                    number = max((row.number for row in rows if row.state in _CARRYING), default=None)
                    unsent = {State.READY, State.FAILED}
                    owed = max((row.number for row in rows if row.state in unsent), default=None)
                    yield Reached(channel, target, language, number, owed)

    @guarded
    def _channels(self, incident: str) -> list[str]:
        rows = self._db.execute("SELECT DISTINCT channel FROM batch WHERE incident = ? ORDER BY channel", (incident,))
        return [row["channel"] for row in rows.fetchall()]

    def _by_target(self, incident: str, channel: str) -> Iterator[_Row]:
        """What each target was to hear of an incident, in the order of targets and languages."""
        batches = self._batches(incident, channel)
        updates = (self._update_by_target(batch, number) for batch, number in batches)
        return heapq.merge(*updates, key=lambda row: row[:2])

    @guarded
    def _batches(self, incident: str, channel: str) -> list[tuple[int, int]]:
        rows = self._db.execute(
            "SELECT id, number FROM batch WHERE incident = ? AND channel = ? AND frozen_at IS NOT NULL"
            " AND purged_at IS NULL ORDER BY number",
            (incident, channel),
        )
        return [(row["id"], row["number"]) for row in rows]

    def _update_by_target(self, batch: int, number: int) -> Iterator[_Row]:
        last = ("", "")
        while page := self._page_by_target(batch, last):
            for target, language, state, *rest in page:
                yield _Row(target, language, number, State(state), *rest)
            last = page[-1][0], page[-1][1]

    @guarded
    def _page_by_target(self, batch: int, last: tuple[str, str]) -> list[sqlite3.Row]:
        return self._db.execute(
            "SELECT r.target, r.language, d.state, d.refused, d.attempted_at, d.provider_id, v.digest FROM recipient r"
            " CROSS JOIN delivery d ON d.id = r.delivery CROSS JOIN variant v ON v.id = d.variant"
            " WHERE r.batch = ? AND (r.target, r.language) > (?, ?) ORDER BY r.target, r.language LIMIT ?",
            (batch, *last, SLICE),
        ).fetchall()


def _words_of(reason: str | None, code: str | None) -> str:
    """Why somebody was refused, in a line, with the provider's code."""
    words = clean(reason or "no reason given", most=100)
    return f"{words} ({code})" if code and code not in words else words


class _About(NamedTuple):
    """What the deliveries of a window share."""

    incident: str
    number: int
    status: Status
    opened_at: datetime
    expires_at: datetime | None
    words: dict[int, tuple[dict[str, str], str]]  # by variant: its parts, their digest
    keys: Keys

    def claimed(self, rows: Iterable[tuple[Any, ...]], now: datetime) -> list[Claimed]:
        incident, number, status, opened_at, expires_at, words, keys = self
        claimed: list[Claimed] = []
        for id_, target, language, variant, attempts, attempted_at, edits, thread in rows:
            parts, digest = words[variant]
            delivery = Delivery(
                keys.of(target, language, digest),
                incident,
                number,
                status,
                target,
                language,
                parts,
                opened_at,
                maybe(attempted_at) or now,
                expires_at,
                Receipt(thread) if thread else None,
                Receipt(edits) if edits else None,
            )
            claimed.append(Claimed(id_, delivery, attempts + 1))
        return claimed
