"""Whom nothing is sent to any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from outagecast.ledger import Suppression, folded
from outagecast.ledger.rows import moment, stamp
from outagecast.ledger.store import SLICE, Store, guarded


class SuppressionList(Store):
    """See ``outagecast.ledger.Ledger``."""

    @guarded
    def suppress(self, rows: Iterable[Suppression]) -> int:
        with self._transaction():
            return self._put_on_list(rows)

    def _put_on_list(self, rows: Iterable[Suppression]) -> int:
        return self._db.executemany(
            "INSERT OR IGNORE INTO suppression (address, kind, why, at, source) VALUES (?, ?, ?, ?, ?)",
            ((folded(row.address), row.kind, row.why, stamp(row.at), row.source) for row in rows),
        ).rowcount

    def _suppress(self, delivery: int, address: str, why: str, now: datetime) -> None:
        """Whoever a delivery was refused for good, in the transaction that writes that down."""
        channel = self._db.execute(
            "SELECT b.channel FROM delivery d JOIN batch b ON b.id = d.batch WHERE d.id = ?", (delivery,)
        ).fetchone()["channel"]
        kind = "email" if "@" in address else "phone"
        self._put_on_list([Suppression(address, kind, why, now, channel)])

    @guarded
    def unsuppress(self, address: str) -> bool:
        with self._transaction():
            return self._db.execute("DELETE FROM suppression WHERE address = ?", (folded(address),)).rowcount > 0

    def suppressed(self) -> Iterator[Suppression]:
        last = ""
        while page := self._suppressed_after(last):
            yield from page
            last = page[-1].address

    @guarded
    def _suppressed_after(self, last: str) -> list[Suppression]:
        rows = self._db.execute(
            "SELECT address, kind, why, at, source FROM suppression WHERE address > ? ORDER BY address LIMIT ?",
            (last, SLICE),
        )
        return [Suppression(address, kind, why, moment(at), source) for address, kind, why, at, source in rows]

    @guarded
    def why_suppressed(self, address: str) -> str | None:
        row = self._db.execute("SELECT why FROM suppression WHERE address = ?", (folded(address),)).fetchone()
        return str(row["why"]) if row else None
