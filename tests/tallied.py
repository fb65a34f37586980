"""Whether a ledger's own counts are those of its rows."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

_WRONG = """
SELECT batch, state, refused, sum(count) AS too_many FROM (
    SELECT batch, state, refused, count FROM tally
    UNION ALL SELECT d.batch, d.state, d.refused, -count(*) FROM delivery d JOIN batch b ON b.id = d.batch
     WHERE b.frozen_at IS NOT NULL GROUP BY d.batch, d.state, d.refused
) GROUP BY batch, state, refused HAVING sum(count) <> 0
UNION ALL SELECT d.batch, d.state, 'out of bounds', d.id FROM delivery d JOIN batch b ON b.id = d.batch
 WHERE b.frozen_at IS NOT NULL AND coalesce(d.id NOT BETWEEN b.first AND b.last, TRUE)
"""


def miscounted(ledger: Path) -> list[tuple[Any, ...]]:
    """What it counts too much, by batch, state and refusal, and what it would not find: nothing where all is well.

    Nor where it has no tables yet, or no longer.
    """
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(ledger)) as database:
        if database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'tally'").fetchone():
            return database.execute(_WRONG).fetchall()
    return []
