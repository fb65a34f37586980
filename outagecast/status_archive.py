"""All that an outage page has said, kept in its folder, so that an update reads only what it changes.

One SQLite file, ``.outagecast/page.db``. It is written last: what it does not know was not wholly published, and is
published again. Nothing in it is secret, should a web server show it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC
from functools import cached_property
from pathlib import Path
from typing import Any

from outagecast.errors import ChannelError, Rejected, Unavailable, Uncertain
from outagecast.history import Incident, Statement
from outagecast.public_file import make_folder
from outagecast.text import clean, printable

FOLDER, NAME = ".outagecast", "page.db"
_ENCODER = json.JSONEncoder(ensure_ascii=False)
PATIENCE = 1.0  # seconds that another process's update is waited for

_SCHEMA = """
CREATE TABLE statement (
    incident TEXT, number INTEGER, language TEXT, html TEXT, data TEXT,
    PRIMARY KEY (incident, number, language)
) WITHOUT ROWID;
CREATE TABLE incident (
    id INTEGER PRIMARY KEY,  -- in the order in which they began
    slug TEXT UNIQUE, created_at TEXT, is_open INTEGER
);
CREATE INDEX incident_by_time ON incident (created_at);
CREATE INDEX incident_open ON incident (id) WHERE is_open;
CREATE TABLE language (code TEXT PRIMARY KEY, furniture TEXT);
CREATE TABLE file (path TEXT PRIMARY KEY, digest TEXT) WITHOUT ROWID;
"""


class Archive:
    """What was said, by incident; open it with ``opened``."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    # -- what it is told ----------------------------------------------------------------------------------------------

    def keep(self, incident: Incident) -> Incident:
        """Keep an incident as it is now; what was said of it before and is not in it stays. The incident as kept."""
        facts = [_kept(said.data) for said in incident.statements]
        self._db.executemany(
            "INSERT OR REPLACE INTO statement VALUES (?, ?, ?, ?, ?)",
            [
                (said.incident, said.number, said.language, said.html, data)
                for said, (data, _) in zip(incident.statements, facts, strict=True)
            ],
        )
        row = (incident.slug, incident.created_at.astimezone(UTC).isoformat(), incident.is_open)
        self._db.execute(
            "INSERT INTO incident (slug, created_at, is_open) VALUES (?, ?, ?)"
            " ON CONFLICT (slug) DO UPDATE SET is_open = excluded.is_open",
            row,
        )
        return incident if all(is_same for _, is_same in facts) else self.incident(incident.slug)

    def furnish(self, furniture: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what stands around the updates, by language: the page's words, and the components as they are listed."""
        self._db.executemany(
            "INSERT OR REPLACE INTO language VALUES (?, ?)",
            [(language, _kept(words)[0]) for language, words in furniture.items()],
        )
        vars(self).pop("furniture", None)

    def add(self, said: Statement) -> Incident:
        """Keep one more update, or the same again; its incident, with all that was said of it."""
        self.furnish({said.language: said.data})
        self.keep(Incident(said.incident, [said, *self._said(said.incident, but=said)]))
        return self.incident(said.incident)

    def note(self, path: str, content: bytes) -> None:
        """Keep that a file is published, to know whether it changes next."""
        self._db.execute("INSERT OR REPLACE INTO file VALUES (?, ?)", (path, _digest(content)))

    # -- what it knows ------------------------------------------------------------------------------------------------

    def has(self, path: str, content: bytes) -> bool:
        """Whether a file is published with this content."""
        return bool(self._one("SELECT digest FROM file WHERE path = ?", path) == _digest(content))

    def knows(self, path: str) -> bool:
        """Whether there is such a file, whatever is in it."""
        return self._one("SELECT 1 FROM file WHERE path = ?", path) is not None

    def carries(self, said: Statement) -> bool:
        """Whether this very statement is published."""
        where = (said.incident, said.number, said.language)
        found = self._db.execute(
            "SELECT html, data FROM statement WHERE incident = ? AND number = ? AND language = ?", where
        ).fetchone()
        return found is not None and tuple(found) == (said.html, _kept(said.data)[0])

    @cached_property
    def furniture(self) -> dict[str, dict[str, Any]]:
        """What stands around the updates, by language; what was told last is the last."""
        rows = self._db.execute("SELECT code, furniture FROM language ORDER BY rowid")
        return {code: json.loads(words) for code, words in rows}

    @property
    def promised(self) -> list[str]:
        """The languages that the organisation speaks and that were spoken here, its own first."""
        newest: Mapping[str, Any] = next(reversed(self.furniture.values()), {})
        return [language for language in newest.get("languages", ()) if language in self.furniture]

    @property
    def languages(self) -> list[str]:
        """Those, and what it spoke once."""
        return list(dict.fromkeys([*self.promised, *self.furniture]))

    def incident(self, slug: str) -> Incident:
        """One incident with all that was said of it."""
        order = self.languages
        return Incident(slug, sorted(self._said(slug), key=lambda said: order.index(said.language)))

    def _said(self, slug: str, but: Statement | None = None) -> list[Statement]:
        rows = self._db.execute("SELECT * FROM statement WHERE incident = ? ORDER BY number", (slug,))
        said = [Statement(name, number, code, html, json.loads(data)) for name, number, code, html, data in rows]
        return [one for one in said if but is None or (one.number, one.language) != (but.number, but.language)]

    def recent(self, most: int) -> list[Incident]:
        """All that is open or ahead, and the newest ``most`` others; the newest first."""
        rows = self._db.execute(
            "SELECT slug FROM incident WHERE is_open OR id IN"
            " (SELECT id FROM incident INDEXED BY incident_by_time ORDER BY created_at DESC LIMIT ?)"
            " ORDER BY created_at DESC",
            (most,),
        ).fetchall()
        return [self.incident(slug) for (slug,) in rows]

    def place(self, slug: str) -> int:
        """Which incident it was, counted from 0: this never changes."""
        return int(self._one("SELECT id FROM incident WHERE slug = ?", slug) or 1) - 1

    def count(self) -> int:
        """How many incidents there are."""
        return int(self._one("SELECT max(id) FROM incident") or 0)

    def everything(self) -> Iterator[Incident]:
        """All incidents, the oldest first."""
        for (slug,) in self._db.execute("SELECT slug FROM incident ORDER BY id").fetchall():
            yield self.incident(slug)

    def stretch(self, first: int, end: int) -> list[Incident]:
        """The incidents from place ``first`` up to ``end``, the newest first."""
        rows = self._db.execute(
            "SELECT slug FROM incident WHERE id > ? AND id <= ? ORDER BY id DESC", (first, end)
        ).fetchall()
        return [self.incident(slug) for (slug,) in rows]

    def _one(self, query: str, *given: str) -> Any:
        row = self._db.execute(query, given).fetchone()
        return row[0] if row else None


def exists(folder: Path) -> bool:
    """Whether a page of ours is in ``folder``; until its first commit SQLite's file is empty."""
    path = folder / FOLDER / NAME
    return path.is_file() and path.stat().st_size > 0


@contextmanager
def opened(folder: Path, *, anew: bool = False) -> Iterator[Archive]:
    """The archive in ``folder``, alone, made where there is none; what it is told is kept where nothing is raised.

    ``anew``: with nothing in it, whatever was there. Raises OSError, or sqlite3.Error.
    """
    path = folder / FOLDER / (f"{NAME}.new" if anew else NAME)
    make_folder(folder / FOLDER)
    if anew:  # what a killed run left
        path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)
            db.execute("COMMIT")  # whatever becomes of the first update, the pages are ours
            db.execute("BEGIN IMMEDIATE")
        try:
            yield Archive(db)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    if anew:
        path.replace(folder / FOLDER / NAME)


@contextmanager
def read(folder: Path) -> Iterator[Archive]:
    """The archive in ``folder``, to look at. Raises sqlite3.Error where there is none."""
    path = folder / FOLDER / NAME
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=PATIENCE)) as db:
        yield Archive(db)


def meaning(error: sqlite3.Error, folder: Path) -> ChannelError:
    """What a no of the archive means: the pages may be out by then, and are published again."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Unavailable(f"another outagecast is just writing {folder}", retry_after=1.0)
    words = f"the archive of {folder} cannot be used: {clean(error)}"
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}:
        return Rejected(words, hint="outagecast page build", account=True)
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return Rejected(words, hint=f"let the user who runs outagecast write in {folder}", account=True)
    return Uncertain(words)


def _kept(data: Mapping[str, Any]) -> tuple[str, bool]:
    """Facts as they are kept, without what would hide or reorder words, and whether that is all of them."""
    written = _ENCODER.encode(dict(data))
    safe = printable(written)
    return safe, safe == written


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
