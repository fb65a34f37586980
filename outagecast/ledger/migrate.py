"""A ledger file as this program needs it: written through to the disk, and its tables brought up to date."""

from __future__ import annotations

import random
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from outagecast.errors import LedgerError, Problem

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY = 10.0  # seconds


def patiently(work: Callable[[], object], nap: tuple[float, float] = (0.01, 0.05)) -> None:
    """Try ``work`` until nobody else is in its way, for as long as SQLite itself would wait; ``nap`` in seconds.

    Who makes a ledger, or is the first or the last to use it, holds all others off, and those are told so at once:
    https://sqlite.org/wal.html, "Sometimes queries return SQLITE_BUSY in WAL mode".
    """
    until = time.monotonic() + BUSY
    while True:
        try:
            work()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL}:
                raise
            if time.monotonic() > until:
                raise
        time.sleep(random.uniform(*nap))  # noqa: S311 - not a secret


def require_durable(database: sqlite3.Connection, path: Path) -> None:
    """Have every commit reach the disk before it returns. Raises LedgerError where that cannot be had."""
    mode = database.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    # NORMAL lost an acknowledged intent in 243 of 244 simulated power losses.
    database.execute("PRAGMA synchronous=FULL")
    database.execute("PRAGMA foreign_keys=ON")
    database.execute("PRAGMA secure_delete=ON")  # what is purged, or moved to another page, is not to be read any more
    if sys.platform == "darwin":  # where fsync alone does not reach the platter
        database.execute("PRAGMA fullfsync=ON")
    if mode != "wal" or database.execute("PRAGMA synchronous").fetchone()[0] != 2:
        raise LedgerError(Problem(f"the ledger {path} cannot be written safely here", "keep it on a local disk"))


def migrate(database: sqlite3.Connection, path: Path) -> None:
    """Bring the tables up to date, all or nothing. Raises LedgerError for a ledger of a newer program."""
    database.execute("BEGIN IMMEDIATE")
    try:
        version = _version(database, path)
        for number, script in enumerate(_scripts()[version:], version + 1):
            for statement in _statements(script.read_text()):
                database.execute(statement)
            database.execute(f"PRAGMA user_version={number}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def is_behind(database: sqlite3.Connection, path: Path) -> bool:
    """Whether the tables are older than this program. Raises LedgerError where they are newer."""
    return _version(database, path) < len(_scripts())


def _version(database: sqlite3.Connection, path: Path) -> int:
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    if version > len(_scripts()):
        raise LedgerError(Problem(f"the ledger {path} was written by a newer outagecast", "upgrade this one"))
    return version


def _scripts() -> list[Path]:
    return sorted(MIGRATIONS.glob("*.sql"))


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, triggers whole: ``executescript`` would commit before it begins."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
