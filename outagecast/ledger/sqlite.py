"""The ledger in one SQLite file: WAL with full sync, so that an intent that was written survives a power loss."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from outagecast.errors import ConflictError, Problem
from outagecast.ledger import (
    UNSURE_FOR,
    Carried,
    Entry,
    Event,
    Heard,
    Move,
    Opening,
    Past,
    Tally,
    Update,
    Words,
)
from outagecast.ledger.crowd import Crowd
from outagecast.ledger.purge import Purging
from outagecast.ledger.rows import from_update, maybe, moment, parts_of, stamp, to_entry, to_update
from outagecast.ledger.store import COMMON, IS_NEWEST, ITS_OWN, RARE, READY, guarded
from outagecast.ledger.witness import Mark, note, recall
from outagecast.model import DOUBTFUL, PUBLISHED, SECOND, State, Status, Variant, digest_of
from outagecast.transitions import LEADS

MOST_ENTRIES = 500

_ENTRY = f"""
    SELECT d.*, b.incident, b.number, b.channel, b.expires_at, v.parts, v.digest AS words,
           u.status AS update_status, u.opened_at AS update_opened_at,
           (SELECT p.provider_id FROM batch e CROSS JOIN recipient r ON r.batch = e.id -- by recipient, or it reads all
              CROSS JOIN delivery p ON p.id = r.delivery
             WHERE e.incident = b.incident AND e.channel = b.channel
             AND r.target IN (d.target, '', '{SECOND}') AND r.language = d.language -- of a thread all its posts
             AND (e.number, r.target) < (b.number, d.target) AND p.provider_id IS NOT NULL AND p.state <> 'missing'
             ORDER BY e.number DESC, r.target DESC LIMIT 1) AS thread_id
      FROM delivery d JOIN batch b ON b.id = d.batch JOIN variant v ON v.id = d.variant
      JOIN incident_update u ON u.incident = b.incident AND u.number = b.number
"""  # noqa: S608 - our own words

_OUT = ",".join(f"'{state}'" for state in sorted(PUBLISHED | DOUBTFUL))
_LEADS = ",".join(f"'{state}'" for state in sorted(LEADS))
# A thread's second post waits for the first.
_MAY_GO = f"""(d.target <> '{SECOND}' OR EXISTS (SELECT 1 FROM recipient r JOIN delivery f ON f.id = r.delivery
    WHERE r.batch = d.batch AND r.target = '' AND r.language = d.language AND f.state IN ({_LEADS})))
"""  # noqa: S608 - our own words
_ITS = " b.incident = :incident AND b.number = :number AND b.channel = :channel AND b.frozen_at IS NOT NULL"


def slugs(path: Path) -> list[str]:
    """Every incident of an existing ledger, newest first, for what must be quick: nothing is waited for or changed."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=0.2)) as db:
            rows = db.execute("SELECT incident FROM incident_update GROUP BY incident ORDER BY max(opened_at) DESC")
            return [str(row[0]) for row in rows]
    except sqlite3.Error:
        return []


class SqliteLedger(Crowd, Purging):
    """See ``outagecast.ledger.Ledger``."""

    @guarded
    def unsure(self, now: datetime) -> str | None:
        if why := self._contradiction():
            return why
        row = self._db.execute("SELECT unsure, why FROM ledger").fetchone()
        since = maybe(row["unsure"])
        return str(row["why"]) if since and now - since < UNSURE_FOR else None

    @guarded
    def recognise(self, now: datetime, by: str) -> None:
        why = self._contradiction()
        if why is None:
            return
        with self._transaction():
            self._db.execute("UPDATE ledger SET unsure = ?, why = ?", (stamp(now), why))
            for row in self._db.execute(
                "SELECT b.id, u.opened_at FROM batch b JOIN incident_update u USING (incident, number)"
                " WHERE b.frozen_at IS NOT NULL"
            ).fetchall():
                lost = [Move(Event.CLAIMED, began=moment(row["opened_at"])), Move(Event.LOST, why)]
                last = 0
                while ids := self._change_unsent(row["id"], lost, now, by, after=last):
                    last = ids[-1]

    @guarded
    def remember(self) -> None:
        note(self.path, self._mark())

    def _mark(self) -> Mark:
        """Which ledger this is, and how far."""
        row = self._db.execute(
            "SELECT id, (SELECT coalesce(max(seq), 0) FROM transition) + (SELECT coalesce(max(seq), 0) FROM window)"
            " FROM ledger"
        )
        return Mark(*row.fetchone())

    def _contradiction(self) -> str | None:
        """Why this is not the ledger that was used here last, in words, if it is not."""
        last = recall(self.path)
        return last and last.contradicts(*self._mark())

    @guarded
    def incidents(self) -> list[str]:
        rows = self._db.execute("SELECT incident FROM incident_update GROUP BY incident ORDER BY max(opened_at) DESC")
        return [row["incident"] for row in rows]

    @guarded
    def past(self, incident: str, channels: Collection[str] | None = None) -> Past:
        updates = [
            to_update(row)
            for row in self._db.execute("SELECT * FROM incident_update WHERE incident = ? ORDER BY number", (incident,))
        ]
        batches = self._db.execute(
            "SELECT channel, number, frozen_at FROM batch WHERE incident = ?", (incident,)
        ).fetchall()
        opened = frozenset((row["channel"], row["number"]) for row in batches if row["frozen_at"])
        begun = frozenset((row["channel"], row["number"]) for row in batches if not row["frozen_at"])
        carried: dict[tuple[str, str, str], Carried] = {}
        for channel in {name for name, _ in opened if channels is None or name in channels}:
            rows = self._db.execute(
                "SELECT d.target, d.language, b.number, d.state, d.attempted_at, d.provider_id, v.digest,"  # noqa: S608
                f" CASE WHEN d.target IN ('', '{SECOND}') THEN v.parts END AS parts"  # people's are many
                f" FROM batch b CROSS JOIN delivery d ON {ITS_OWN} JOIN variant v ON v.id = d.variant"
                " WHERE b.incident = ? AND b.channel = ? AND (d.state IN"
                " ('attempting', 'in_doubt', 'needs_decision', 'accepted', 'verified', 'mismatch', 'missing')"
                " OR (d.state = 'failed' AND d.refused)) ORDER BY b.number",
                (incident, channel),
            )
            for row in rows:
                key = (channel, row["target"], row["language"])
                state, began = State(row["state"]), maybe(row["attempted_at"])
                digest = digest_of(parts_of(row)) if row["parts"] else row["digest"]
                carried[key] = Carried(row["number"], state, digest, began, row["provider_id"])
        return Past(incident, updates, carried, opened, begun)

    def open(self, update: Update, variants: Iterable[Variant], openings: Iterable[Opening]) -> None:
        self._open(update, variants, openings)
        if update.status is Status.RETRACTED:  # what is too much for one transaction, and cannot be claimed any more
            for batch in self._before(update):
                self._sweep(batch, _taken_back(update), update.opened_at, update.opened_by)

    @guarded
    def _open(self, update: Update, variants: Iterable[Variant], openings: Iterable[Opening]) -> None:
        with self._transaction():
            is_new = self._existing(update) is None
            if is_new:
                self._insert("incident_update", from_update(update))
            if update.status is Status.RETRACTED:
                self._call_off(update)
            batches: dict[str, int] = {}
            words: dict[tuple[str, str], int] = {}
            for variant in variants:
                words[variant.channel, variant.language] = self._freeze_words(update, variant)
                batches[variant.channel] = self._declare(update, variant.channel)
            opened: set[str] = set()
            for opening in openings:
                if opening.channel not in opened:
                    self._seal(batches[opening.channel], update.opened_at, opening.expires_at)
                    opened.add(opening.channel)
                self._open_one(update, opening, batches[opening.channel], words[opening.channel, opening.language])
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

    def _freeze_words(self, update: Update, variant: Variant) -> int:
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

    def _declare(self, update: Update, channel: str) -> int:
        where = {"incident": update.incident, "number": update.number, "channel": channel}
        known = self._db.execute(
            "SELECT id FROM batch WHERE incident = ? AND number = ? AND channel = ?", tuple(where.values())
        ).fetchone()
        if known:
            return int(known["id"])
        held = self._db.execute(  # what somebody holds is held until somebody lets it go on, whatever is said next
            "SELECT held_at, held_by, held_why FROM batch WHERE incident = ? AND channel = ? ORDER BY number DESC",
            (update.incident, channel),
        ).fetchone()
        return self._insert("batch", {**where, **dict(held or {})})

    def _open_one(self, update: Update, opening: Opening, batch: int, variant: int) -> None:
        # A newer word overtakes a thread's second post too, also where it is no thread itself; and with somebody who
        # reads another language by now, what was in the former one.
        rows = self._db.execute(
            "SELECT d.id FROM batch b CROSS JOIN recipient r ON r.batch = b.id"  # else each reads all that is unsent
            " CROSS JOIN delivery d ON d.id = r.delivery"
            " WHERE b.incident = ? AND b.channel = ? AND b.number < ? AND r.target IN (?, ?)"
            " AND (r.language = ? OR r.target NOT IN ('', ?)) AND d.state = 'ready'",
            (
                *(update.incident, opening.channel, update.number),
                *(opening.target, opening.target or SECOND, opening.language, SECOND),
            ),
        ).fetchall()
        if rows:
            ids = [row["id"] for row in rows]
            self._change(ids, State.READY, Move(Event.SUPERSEDED), update.opened_at, update.opened_by)
        where = {"batch": batch, "target": opening.target, "language": opening.language}
        if self._db.execute(
            "SELECT 1 FROM recipient WHERE batch = ? AND target = ? AND language = ?", tuple(where.values())
        ).fetchone():
            return  # another run of the same update opened it a moment ago
        delivery = self._insert(
            "delivery",
            {
                **where,
                "variant": variant,
                "state": opening.state.value,
                "reason": opening.reason,
                "attempted_at": stamp(opening.attempted_at),
                "edits": opening.edits,
                "changed_at": stamp(update.opened_at),
            },
        )
        self._insert("recipient", {**where, "delivery": delivery})
        self._reach(batch, delivery, delivery)
        self._count(batch, opening.state, 1)

    def _call_off(self, update: Update) -> None:
        """What is still queued of a false alarm must never go out; of a million the first are called off at once."""
        for batch in self._before(update):
            self._db.execute(
                "UPDATE batch SET expires_at = :at WHERE id = :batch AND coalesce(expires_at, :at) >= :at",
                {"at": stamp(update.opened_at), "batch": batch},
            )
            self._change_unsent(batch, [_taken_back(update)], update.opened_at, update.opened_by)

    def _before(self, update: Update) -> list[int]:
        """The batches of earlier updates."""
        where = update.incident, update.number
        rows = self._db.execute("SELECT id FROM batch WHERE incident = ? AND number < ? ORDER BY id", where)
        return [row["id"] for row in rows.fetchall()]

    @guarded
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

    def claim(self, incident: str, number: int, channel: str, now: datetime, by: str) -> Entry | None:
        self._write_off(incident, number, channel, now, by)
        return self._claim(incident, number, channel, now, by)

    @guarded
    def _claim(self, incident: str, number: int, channel: str, now: datetime, by: str) -> Entry | None:
        with self._transaction():
            batch = self._claimable(incident, number, channel, now)
            row = self._db.execute(
                # in the index's own order, what was never tried first: a hundred thousand others cost nothing
                "SELECT d.id FROM delivery d INDEXED BY delivery_due WHERE d.batch = ? AND d.state = 'ready'"  # noqa: S608
                f" AND (d.not_before IS NULL OR d.not_before <= ?) AND {_MAY_GO} ORDER BY d.not_before, d.id LIMIT 1",
                (batch, stamp(now)),
            ).fetchone()
            if row is None:
                return None
            self._change([row["id"]], State.READY, Move(Event.CLAIMED), now, by)
            row = self._db.execute(f"{_ENTRY} WHERE d.id = ?", (row["id"],)).fetchone()
        return to_entry(row)

    @guarded
    def next_try(self, incident: str, number: int, channel: str) -> datetime | None:
        row = self._db.execute(
            "SELECT d.not_before FROM batch b CROSS JOIN delivery d INDEXED BY delivery_due ON d.batch = b.id"  # noqa: S608
            f" WHERE {_ITS} AND b.held_at IS NULL AND {IS_NEWEST} AND d.state = 'ready' AND {_MAY_GO}"
            " ORDER BY d.not_before LIMIT 1",
            {"incident": incident, "number": number, "channel": channel},
        ).fetchone()
        if row is None:
            return None
        return maybe(row["not_before"]) or datetime.min.replace(tzinfo=UTC)

    @guarded
    def move(self, entry: Entry, move: Move, now: datetime, by: str) -> State:
        try:
            return self._move(entry, move, now, by)
        except sqlite3.Error as error:
            if not self._reserve.give_back(error):
                raise
            return self._move(entry, move, now, by)

    def _move(self, entry: Entry, move: Move, now: datetime, by: str) -> State:
        with self._transaction():
            if move.suppress:
                self._suppress(entry.id, entry.delivery.target, move.suppress, now)
            return self._change([entry.id], entry.state, move, now, by)

    @guarded
    def entries(
        self, incident: str, number: int, channel: str, states: Collection[State], *, after: int = 0
    ) -> list[Entry]:
        parts = [
            f"SELECT * FROM (SELECT d.id FROM batch b CROSS JOIN delivery d {place} WHERE {_ITS} AND {which}"  # noqa: S608
            f" AND d.id > :after ORDER BY d.id LIMIT {MOST_ENTRIES})"
            for place, which in _places(states)
        ]
        ids = self._db.execute(
            f"{' UNION ALL '.join(parts)} ORDER BY 1 LIMIT {MOST_ENTRIES}",
            {"incident": incident, "number": number, "channel": channel, "after": after},
        )
        which = json.dumps([row[0] for row in ids])
        rows = self._db.execute(f"{_ENTRY} WHERE d.id IN (SELECT value FROM json_each(?)) ORDER BY d.id", (which,))  # noqa: S608
        return [to_entry(row) for row in rows]

    @guarded
    def tallies(self, incident: str, number: int) -> list[Tally]:
        rows = self._db.execute(
            "SELECT b.channel, t.state, t.refused, t.count FROM batch b JOIN tally t ON t.batch = b.id"
            " WHERE b.incident = ? AND b.number = ? AND b.frozen_at IS NOT NULL AND t.count > 0"
            " ORDER BY b.id, t.state, t.refused",  # as declared, whoever froze first
            (incident, number),
        )
        return [Tally(row["channel"], State(row["state"]), bool(row["refused"]), row["count"]) for row in rows]

    @guarded
    def latest(self) -> list[Update]:
        rows = self._db.execute(
            "SELECT * FROM incident_update u WHERE number = (SELECT max(number) FROM incident_update"
            " WHERE incident = u.incident) ORDER BY opened_at DESC"
        )
        return [to_update(row) for row in rows]

    @guarded
    def heard(self, incident: str) -> list[Heard]:
        # What the public had in doubt first counts from when it may have been out, not from when we found it. A million
        # were claimed in windows, whose times are read instead of theirs.
        first, last = (
            f"CASE WHEN t.state NOT IN ({_OUT}) THEN u.opened_at ELSE coalesce("  # noqa: S608 - our own words
            f"(SELECT {which}(at) FROM window w WHERE w.batch = b.id), (SELECT {which}(coalesce(d.attempted_at,"
            f" d.changed_at)) FROM delivery d WHERE {ITS_OWN} AND d.state = t.state AND d.refused = t.refused)) END"
            for which in ("min", "max")
        )
        rows = self._db.execute(
            f"SELECT b.number, b.channel, t.state, t.refused, t.count, {first} AS first_at, {last} AS last_at"  # noqa: S608
            " FROM batch b JOIN incident_update u USING (incident, number) JOIN tally t ON t.batch = b.id"
            " WHERE b.incident = ? AND b.frozen_at IS NOT NULL AND t.count > 0"
            " ORDER BY b.number, b.id, t.state, t.refused",
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

    def carried(self, channel: str) -> Iterator[Words]:
        last = 0
        while page := self._carried_after(channel, last):
            yield from (Words(row["incident"], row["number"], row["language"], parts_of(row)) for row in page)
            last = page[-1]["id"]

    @guarded
    def _carried_after(self, channel: str, last: int) -> list[sqlite3.Row]:
        states = ",".join(f"'{state.value}'" for state in sorted(PUBLISHED))
        return self._db.execute(
            "SELECT v.id, b.incident, b.number, d.language, d.target, v.parts FROM variant v"  # noqa: S608 - our own words
            " CROSS JOIN batch b ON b.incident = v.incident AND b.number = v.number AND b.channel = v.channel"
            " CROSS JOIN recipient r ON r.batch = b.id AND r.target = '' AND r.language = v.language"
            f" CROSS JOIN delivery d ON d.id = r.delivery AND d.state IN ({states})"
            " WHERE v.channel = ? AND v.id > ? ORDER BY v.id LIMIT ?",
            (channel, last, MOST_ENTRIES),
        ).fetchall()

    @guarded
    def knows(self, channel: str, provider_id: str) -> bool:
        where = (channel, provider_id)
        found = self._db.execute(
            f"SELECT 1 FROM batch b CROSS JOIN delivery d ON {ITS_OWN}"  # noqa: S608 - our own words
            " WHERE b.channel = ? AND d.provider_id = ? LIMIT 1",
            where,
        )
        return found.fetchone() is not None


def _places(states: Collection[State]) -> Iterator[tuple[str, str]]:
    """Where those in these states are, and which of what is there they are.

    Each place is in the order of ids by itself: to sort them would read a million for each page.
    """
    for state in sorted(states):
        if state is State.READY:
            for part in READY:
                yield "INDEXED BY delivery_due ON d.batch = b.id", part
        elif state in COMMON:
            any_ = f"SELECT 1 FROM tally t WHERE t.batch = b.id AND t.state = '{state}' AND t.count > 0"  # noqa: S608
            yield f"ON {ITS_OWN}", f"d.state = '{state}' AND EXISTS ({any_})"
        else:
            for refused in (0, 1)[: 1 + (state is State.FAILED)]:
                which = f"d.state = '{state}' AND d.refused = {refused} AND {RARE}"
                yield "INDEXED BY delivery_by_state ON d.batch = b.id", which


def _taken_back(update: Update) -> Move:
    return Move(Event.CANCELLED, f"update {update.number} took it back before it was sent")
