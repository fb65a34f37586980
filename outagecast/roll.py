"""People in a private scratch database: a million of them take little memory, and nothing of them stays.

SQLite's temporary file is readable by its owner alone, and has no name from the moment it is open:
https://sqlite.org/inmemorydb.html#temp_db
"""

from __future__ import annotations

import hashlib
import sqlite3
import weakref
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from outagecast.ledger import Carried
from outagecast.model import DOUBTFUL

_CACHE_KIB = 8000  # what of it is kept in memory; four times as much is a tenth faster
_SLICE = 2000  # people read or written at once

Row: TypeAlias = tuple[int, str, str, "Rank"]  # where it stands in the file, the address, the language, the rank
Rank: TypeAlias = "float | str | bytes | None"  # SQLite's own order: numbers, words, then bytes


class Group(NamedTuple):
    """People who read one language, carry the same of an incident, and are spared it for the same reason, or told."""

    language: str
    carried: Carried | None = None
    suppressed: str = ""  # why they get nothing more; empty for those who do
    people: int = 1
    owed: int | None = None  # of a retraction: the newest update that was to reach them and did not, or not yet
    name: str = ""  # what stands for them in a plan; no address is like it


class Person(NamedTuple):
    """One of a group."""

    address: str
    group: str
    began: datetime | None  # when what they carry may have reached them, where that is in doubt


class Roll:
    """Everybody who is told on one channel, each address once, whatever its capitals."""

    def __init__(self) -> None:
        # Filled by one thread and read by another, never by two at once.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self.close = weakref.finalize(self, self._db.close)  # at the latest when nobody needs it any more
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._db.execute("PRAGMA journal_mode = OFF")  # what fails leaves it damaged: it is thrown away as a whole
        self._db.execute(
            "CREATE TABLE person (id INTEGER PRIMARY KEY, address TEXT NOT NULL COLLATE NOCASE,"
            " language TEXT NOT NULL, rank, mark INTEGER, began TEXT, suppressed TEXT NOT NULL DEFAULT '')"
        )
        self._marks: dict[tuple[Carried | None, int | None], int] = {}  # what somebody carries, and is owed
        self._is_ranked = False
        self._survey: tuple[dict[tuple[str, int | None, str], Group], str] | None = None

    def fill(self, rows: Iterable[Row], *, is_ranked: bool = False) -> int:
        """Put everybody in, once; how many rows named somebody again. Whatever ``rows`` raises is raised."""
        self._is_ranked = is_ranked
        self._write("INSERT INTO person (id, address, language, rank) VALUES (?, ?, ?, ?)", rows)
        return self._fold()

    def fill_told(self, people: Iterable[tuple[str, str, Carried | None, int | None]]) -> None:
        """Put everybody in, each with the language they were told in, what they carry and what they are owed."""
        rows = ((*who, self._mark(carried, owed)) for *who, carried, owed in people)
        self._write("INSERT INTO person (address, language, mark) VALUES (?, ?, ?)", rows)
        self._fold()

    def _fold(self) -> int:
        """Keep the first of each address; how many go. An index made at the end takes half the time of one kept."""
        self._db.execute("CREATE INDEX person_by_address ON person (address)")
        again = "SELECT address, min(id) AS first FROM person GROUP BY address HAVING count(*) > 1"
        return self._db.execute(
            f"DELETE FROM person WHERE id IN (SELECT id FROM person JOIN ({again}) twice USING (address)"  # noqa: S608 - our own words
            " WHERE id > twice.first)"
        ).rowcount

    def _write(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Do one thing with each row."""
        self._survey = None
        self._db.execute("BEGIN")
        self._db.executemany(statement, rows)
        self._db.execute("COMMIT")

    @property
    def count(self) -> int:
        """How many people there are."""
        return sum(group.people for group in self.groups)

    @property
    def languages(self) -> Counter[str]:
        """How many read each language."""
        counts = Counter[str]()
        for group in self.groups:
            counts[group.language] += group.people
        return counts

    def spare(self, languages: Collection[str], instead: str) -> None:
        """Who would read one of ``languages`` reads ``instead``."""
        self._write("UPDATE person SET language = ? WHERE language = ?", ((instead, one) for one in languages))

    def suppress(self, addresses: Iterable[tuple[str, str]]) -> None:
        """Spare some people, each for the reason that stands beside the address."""
        self._write("UPDATE person SET suppressed = ? WHERE address = ?", ((why, one) for one, why in addresses))

    def mark(self, told: Iterable[tuple[str, Carried]]) -> None:
        """What some people carry of the incident; who is not among them by now carries nothing."""
        self._write("UPDATE person SET mark = NULL, began = NULL WHERE mark IS NOT NULL", [()])
        self._write("UPDATE person SET mark = ?, began = ? WHERE address = ?", map(self._noted, told))

    def _noted(self, told: tuple[str, Carried]) -> tuple[object, ...]:
        """Of what went out for certain, neither when nor under which id matters."""
        address, carried = told
        began = carried.attempted_at if carried.state in DOUBTFUL else None
        alike = Carried(carried.update, carried.state, carried.digest)
        return self._mark(alike, None), began and began.isoformat(), address

    def _mark(self, carried: Carried | None, owed: int | None) -> int:
        """The number that stands for what people carry and are owed."""
        return self._marks.setdefault((carried, owed), len(self._marks))

    @property
    def groups(self) -> tuple[Group, ...]:
        """The people in groups, as the plan needs them; in the order in which their first is told."""
        return tuple(self._surveyed[0].values())

    @property
    def digest(self) -> str:
        """SHA-256 over every address and language, in hexadecimal."""
        return self._surveyed[1]

    @property
    def _surveyed(self) -> tuple[dict[tuple[str, int | None, str], Group], str]:
        if self._survey is None:
            self._survey = self._look()
        return self._survey

    def _look(self) -> tuple[dict[tuple[str, int | None, str], Group], str]:
        hasher, counts = hashlib.sha256(), Counter[tuple[str, int | None, str]]()
        for rows in self._slices("address, language, mark, suppressed"):
            hasher.update("".join([f"{address}\x00{language}\n" for address, language, _, _ in rows]).encode())
            counts.update([row[1:] for row in rows])
        known = {number: mark for mark, number in self._marks.items()} | {None: (None, None)}
        groups = {}
        for number, (key, count) in enumerate(counts.items(), 1):
            language, mark, why = key
            carried, owed = known[mark]
            groups[key] = Group(language, carried, why, count, owed, f"group {number}")
        return groups, hasher.hexdigest()

    def people(self) -> Iterator[Person]:
        """Everybody, in the order in which they are told."""
        names = {key: group.name for key, group in self._surveyed[0].items()}
        for rows in self._slices("address, language, mark, suppressed, began"):
            for address, language, mark, why, began in rows:
                yield Person(address, names[language, mark, why], datetime.fromisoformat(began) if began else None)

    def addresses(self) -> Iterator[str]:
        """Every address, in the order in which they are told."""
        for rows in self._slices("address"):
            yield from (address for (address,) in rows)

    def _slices(self, columns: str) -> Iterator[list[Any]]:
        order = "rank, id" if self._is_ranked else "id"
        found = self._db.execute(f"SELECT {columns} FROM person ORDER BY {order}")  # noqa: S608 - our own words
        while rows := found.fetchmany(_SLICE):
            yield rows
