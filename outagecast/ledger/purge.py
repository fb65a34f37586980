"""What becomes of addresses once nobody needs them: hashes under a key that never leaves this machine."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from outagecast.errors import LedgerError, Problem
from outagecast.ledger import Event, Move, Purged
from outagecast.ledger.disk import real
from outagecast.ledger.rows import stamp
from outagecast.ledger.store import SLICE, Store, guarded
from outagecast.model import SECOND, Status

_HASH = re.compile("#[0-9a-f]{32}")
_PEOPLE = f"r.target NOT IN ('', '{SECOND}')"
_CLOSING = ",".join(f"'{status}'" for status in Status if status.is_closing)


class Purging(Store):
    """See ``outagecast.ledger.Ledger``."""

    def purge(self, before: datetime, now: datetime, *, dry_run: bool = False) -> Purged:
        purged: list[str] = []
        kept: list[str] = []
        count = 0
        for incident, batches in self._due(before).items():
            if any(self._is_busy(batch, now) for batch in batches):
                kept.append(incident)
                continue
            purged.append(incident)
            for batch in batches:
                count += self._addresses(batch)
                if not dry_run:
                    self._purge(batch, now)
        if purged and not dry_run:
            self._fold_log()
        return Purged(tuple(purged), count, tuple(kept))

    @guarded
    def _due(self, before: datetime) -> dict[str, list[int]]:
        """The batches that hold addresses of what was over before then, by incident."""
        due: dict[str, list[int]] = {}
        for row in self._db.execute(
            "SELECT b.id, b.incident FROM incident_update u JOIN batch b ON b.incident = u.incident"  # noqa: S608
            " WHERE u.number = (SELECT max(number) FROM incident_update WHERE incident = u.incident)"
            f" AND u.status IN ({_CLOSING}) AND u.opened_at < ?"
            f" AND EXISTS (SELECT 1 FROM recipient r WHERE r.batch = b.id AND {_PEOPLE}) ORDER BY u.opened_at, b.id",
            (stamp(before),),
        ):
            due.setdefault(row["incident"], []).append(row["id"])
        return due

    @guarded
    def _is_busy(self, batch: int, now: datetime) -> bool:
        """Whether something of it is being sent, or is still to be."""
        row = self._db.execute(
            "SELECT 1 FROM tally t JOIN batch b ON b.id = t.batch WHERE t.batch = ? AND t.count > 0"
            " AND (t.state = 'attempting' OR t.state = 'ready' AND coalesce(b.expires_at > ?, TRUE)) LIMIT 1",
            (batch, stamp(now)),
        )
        return row.fetchone() is not None

    @guarded
    def _addresses(self, batch: int) -> int:
        count = self._db.execute(f"SELECT count(*) FROM recipient r WHERE r.batch = ? AND {_PEOPLE}", (batch,))  # noqa: S608
        return int(count.fetchone()[0])

    def _purge(self, batch: int, now: datetime) -> None:
        key = _key(self.path)
        last, end = self._end(batch, now)
        self._sweep(batch, Move(Event.EXPIRED, "too old to be sent"), now, "purge")
        while last < end:
            last = self._purge_slice(batch, key, last, end)
        while self._forget(batch):  # at last: as long as there are some, it is due
            pass

    @guarded
    def _end(self, batch: int, now: datetime) -> tuple[int, int]:
        """Whatever is settled or revived later cannot be sent: its address is gone. Between which ids they are."""
        with self._transaction():
            self._db.execute(
                "UPDATE batch SET purged_at = :now, expires_at = min(coalesce(expires_at, :now), :now)"
                " WHERE id = :batch",
                {"now": stamp(now), "batch": batch},
            )
        row = self._db.execute("SELECT first - 1, last FROM batch WHERE id = ?", (batch,)).fetchone()
        return row[0], row[1]

    @guarded
    def _purge_slice(self, batch: int, key: bytes, last: int, end: int) -> int:
        rows = self._db.execute(
            "SELECT id, target, language FROM delivery WHERE id > ? AND id <= ? AND batch = ? ORDER BY id LIMIT ?",
            (last, end, batch, SLICE),
        ).fetchall()
        plain = [row for row in rows if not _HASH.fullmatch(row["target"])]
        hashes = [_hashed(row["target"], key) for row in plain]
        with self._unsynced(), self._transaction():
            self._db.executemany(
                "UPDATE delivery SET target = ?, reason = NULL, provider_id = NULL, url = NULL, detail = NULL,"
                " edits = NULL WHERE id = ?",
                ((to, row["id"]) for to, row in zip(hashes, plain, strict=True)),
            )
            self._db.executemany(  # a provider's words may name whom they are about
                "UPDATE transition SET reason = NULL WHERE delivery = ? AND reason IS NOT NULL",
                ((row["id"],) for row in plain),
            )
        return rows[-1]["id"] if rows else end

    @guarded
    def _forget(self, batch: int) -> int:
        with self._unsynced(), self._transaction():
            return self._delete_recipients(batch)

    @guarded
    def _fold_log(self) -> None:
        """The write-ahead log still has the pages as they were: https://sqlite.org/pragma.html#pragma_wal_checkpoint."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _hashed(address: str, key: bytes) -> str:
    return "#" + hashlib.blake2b(address.encode(), key=key, digest_size=16).hexdigest()


def _key(ledger: Path) -> bytes:
    """The key of this ledger's hashes, made when it is first asked for."""
    file = real(ledger)
    place = file.with_name(f"{file.name}.key")
    try:
        with suppress(FileExistsError):
            descriptor = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as made:
                made.write(os.urandom(32))
        key = place.read_bytes()
    except OSError as error:
        raise LedgerError(
            Problem(f"cannot keep {place}: {error.strerror}", "check the folder and its rights")
        ) from None
    if len(key) != 32:
        raise LedgerError(Problem(f"{place} holds no key", "remove it: what was purged before stays purged"))
    return key
