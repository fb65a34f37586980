"""What a provider lists of many deliveries, kept out of memory until each of ours is asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping

from outagecast.channel import Sighting
from outagecast.errors import Rejected
from outagecast.model import Published
from outagecast.text import folded

MOST_KINDS = 1000  # of what is told of one text; a provider may give each a reason of its own
ALONE = Rejected("the list does not tell enough")  # of which one must be asked about alone


class Listed:
    """Sightings by the provider's id, in a file that only this process can open, and that its end deletes.

    What others have sent stands in the same list, and may be secret: of words that are not among ``texts``, none is
    kept.
    """

    def __init__(self, texts: Collection[Mapping[str, str]]) -> None:
        self._ours = {_folded(parts) for parts in texts}
        self._kinds: list[Published | Rejected] = [ALONE]
        self._numbers: dict[object, int] = {}
        self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._file.execute("CREATE TABLE listed (id TEXT PRIMARY KEY, kind INTEGER NOT NULL) WITHOUT ROWID")
        self._file.execute("BEGIN")  # one for all: each of its own would be written for itself

    def add(self, sighting: Sighting) -> None:
        """Keep what is told of one; the first word on it, which is the newest, counts."""
        row = (sighting.provider_id, self._number(sighting.seen))
        self._file.execute("INSERT OR IGNORE INTO listed VALUES (?, ?)", row)

    def get(self, provider_id: str) -> Published | Rejected | None:
        """What was told of one: ``ALONE`` where that is not enough, None where nothing was."""
        row = self._file.execute("SELECT kind FROM listed WHERE id = ?", (provider_id,)).fetchone()
        return self._kinds[row[0]] if row else None

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def _number(self, seen: Published | Rejected) -> int:
        if isinstance(seen, Rejected):
            key: object = str(seen)
        elif seen.lost or _folded(seen.parts) in self._ours:
            key = (_folded(seen.parts), seen.is_final, seen.lost, seen.code, seen.suppress)
        else:
            return 0
        if key not in self._numbers:
            if len(self._kinds) >= MOST_KINDS:
                return 0
            self._numbers[key] = len(self._kinds)
            self._kinds.append(seen)
        return self._numbers[key]


def _folded(parts: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((part, folded(text)) for part, text in parts.items())
