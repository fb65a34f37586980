"""The ledger in one SQLite file: what the disk, the kernel and other versions may do to it."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import outagecast.ledger.migrate
from outagecast.errors import ConflictError, ExitCode, LedgerError
from outagecast.ledger import Event, Move, Opening, Update
from outagecast.ledger.lock import held_by
from outagecast.ledger.migrate import MIGRATIONS, patiently
from outagecast.ledger.sqlite import _ENTRY, SqliteLedger, slugs
from outagecast.model import Receipt, State, Status, Variant
from outagecast.person import operator

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
UPDATE = Update("cards", 1, Status.INVESTIGATING, "f", "{}", "d", NOW, "ana@desk")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outagecast.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(path)
    yield ledger
    ledger.close()


def fill(ledger: SqliteLedger, recipients: int = 1) -> None:
    variant = Variant("x", "x", "en", {"text": "Cards fail."}, 1, "en/x.text.j2", (), ())
    openings = [Opening("x", str(number), "en", State.READY, None, None) for number in range(recipients)]
    ledger.open(UPDATE, [variant], openings)


def pragma(ledger: SqliteLedger, name: str) -> object:
    return ledger._db.execute(f"PRAGMA {name}").fetchone()[0]


def test_it_is_written_ahead_and_synced_in_full(ledger: SqliteLedger) -> None:
    assert tuple(pragma(ledger, name) for name in ("journal_mode", "synchronous", "foreign_keys")) == ("wal", 2, 1)


def test_a_place_that_can_keep_no_ledger_is_refused() -> None:
    with pytest.raises(LedgerError) as caught:
        SqliteLedger(Path("/dev/null"))
    assert caught.value.exit_code == ExitCode.LEDGER


def test_nobody_else_can_read_it_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        ledger = SqliteLedger(path)
        fill(ledger)
        with ledger.lock():
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    ledger.close()
    names = (
        "outagecast.db",
        "outagecast.db-wal",
        "outagecast.db-shm",
        "outagecast.db.lock",
    )
    assert dict.fromkeys(names, 0o600) == modes


def test_an_update_costs_each_unsent_recipient_the_same_however_many_there_are(tmp_path: Path) -> None:
    def steps(recipients: int) -> int:
        """How much it takes to open an update over one that is unsent."""
        ledger = SqliteLedger(tmp_path / f"{recipients}.db")
        fill(ledger, recipients)
        variant = Variant("x", "x", "en", {"text": "Cards still fail."}, 1, "en/x.text.j2", (), ())
        openings = [Opening("x", str(number), "en", State.READY, None, None) for number in range(recipients)]
        taken = effort(ledger, lambda: ledger.open(replace(UPDATE, number=2, fingerprint="other"), [variant], openings))
        ledger.close()
        return taken

    assert steps(800) < 5 * steps(200)


def test_migrations_are_numbered_from_one_without_a_gap_and_end_in_whole_statements() -> None:
    scripts = sorted(MIGRATIONS.glob("*"))
    assert list(range(1, len(scripts) + 1)) == [int(script.name.partition("_")[0]) for script in scripts]
    assert all(re.fullmatch(r"\d{4}_[a-z_]+\.sql", script.name) for script in scripts)
    assert all(sqlite3.complete_statement(script.read_text()) for script in scripts)


def test_each_migration_is_applied_once(path: Path) -> None:
    first = SqliteLedger(path)
    fill(first)
    first.close()
    again = SqliteLedger(path)
    assert (len(list(MIGRATIONS.glob("*.sql"))), ["cards"]) == (
        pragma(again, "user_version"),
        again.incidents(),
    )
    again.close()


def stamp(time: str) -> str:
    return f"2026-11-22T{time}:00.000000Z"


OLD = f"""
INSERT INTO incident_update VALUES
  ('cards', 1, 'investigating', 'f', '{{}}', NULL, NULL, 'd', '{stamp("07:00")}', 'ana', NULL);
INSERT INTO variant VALUES (5, 'cards', 1, 'sms', 'sms', 'en', '{{"text": "Cards fail."}}', '{{}}', 'digest');
INSERT INTO delivery VALUES
  (7, 'k7', 'cards', 1, 'sms', '+40', 'en', 5, 'accepted', NULL, NULL, 0, 1, 0, NULL, '{stamp("13:00")}',
   '{stamp("07:01")}', 'SM7', NULL, 'queued', '{stamp("07:02")}', NULL),
  (9, 'k9', 'cards', 1, 'sms', '+41', 'en', 5, 'ready', 'busy', '429', 0, 1, 0, '{stamp("07:31")}', '{stamp("13:00")}',
   NULL, NULL, NULL, NULL, '{stamp("07:02")}', 'SM0');
INSERT INTO transition VALUES
  (1, 7, '{stamp("07:01")}', 'ready', 'attempting', 'claimed', NULL, 'ana'),
  (4, 7, '{stamp("07:02")}', 'attempting', 'accepted', 'receipt', NULL, 'ana');
"""  # noqa: S608 - our own words


def test_one_of_an_earlier_version_keeps_all_that_it_knew(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        for script in sorted(MIGRATIONS.glob("000[123]*.sql")):
            database.executescript(script.read_text())
        database.executescript(f"{OLD} PRAGMA user_version=3;")

    with closing(SqliteLedger(path)) as ledger:
        first, second = ledger.entries("cards", 1, "sms", set(State))
        assert (first.id, first.delivery.target, first.receipt) == (7, "+40", Receipt("SM7", None, "queued"))
        assert first.delivery.attempted_at == datetime(2026, 11, 22, 7, 1, tzinfo=UTC)
        assert (second.delivery.edits, second.reason, second.code) == (Receipt("SM0"), "busy", "429")
        assert second.delivery.expires_at == datetime(2026, 11, 22, 13, 0, tzinfo=UTC)
        assert ledger.next_try("cards", 1, "sms") == NOW.replace(minute=31)
        assert [one.delivery.target for one in ledger.claim_window("cards", 1, "sms", 9, NOW.replace(hour=8), "b")] == [
            "+41"
        ]
        assert [one.target for one in ledger.told("cards", "sms")] == ["+40", "+41"]
        assert ledger._mark().changes == 4 + 1
        assert ledger._db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert ledger._db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        with pytest.raises(sqlite3.IntegrityError, match="history never changes"):
            ledger._db.execute("UPDATE transition SET to_state = 'accepted'")


def test_two_that_create_it_at_once_both_get_it(path: Path) -> None:
    barrier = threading.Barrier(6)
    failures: list[LedgerError] = []

    def create() -> None:
        barrier.wait()
        try:
            SqliteLedger(path).close()
        except LedgerError as error:
            failures.append(error)

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_one_of_a_newer_version_is_refused_and_left_as_it_is(path: Path) -> None:
    SqliteLedger(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(LedgerError) as caught:
        SqliteLedger(path)
    assert f"the ledger {path} was written by a newer outagecast (upgrade this one)" == str(caught.value)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (99,)


@pytest.mark.parametrize(
    "damage",
    [
        b"this is no database at all, but a note somebody saved here",
        b"SQLite format 3\0" * 99,
    ],
)
def test_a_damaged_one_is_told_in_words(path: Path, damage: bytes) -> None:
    path.write_bytes(damage)
    with pytest.raises(LedgerError) as caught:
        SqliteLedger(path)
    assert caught.value.exit_code == ExitCode.LEDGER
    assert f"the ledger {path} is damaged" in str(caught.value)
    assert "restore it from a copy before announcing anything" in str(caught.value)


def test_one_that_was_damaged_inside_is_told_in_words(path: Path) -> None:
    ledger = SqliteLedger(path)
    fill(ledger, 2000)
    ledger.close()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 4)  # the tables' own list stays whole, so it can be opened
        file.write(b"\xff" * (path.stat().st_size * 3 // 4))
    damaged = SqliteLedger(path)
    with pytest.raises(LedgerError) as caught:
        damaged.past("cards")
    damaged.close()
    assert "is damaged" in str(caught.value)


def test_a_folder_that_is_not_there_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(LedgerError) as caught:
        SqliteLedger(tmp_path / "gone" / "outagecast.db")
    assert str(caught.value).endswith("No such file or directory (check the folder and its rights)")


def test_a_full_disk_is_told_in_words_and_what_was_written_stays(
    ledger: SqliteLedger,
) -> None:
    fill(ledger)
    ledger._db.execute(f"PRAGMA max_page_count={pragma(ledger, 'page_count')}")
    with pytest.raises(LedgerError) as caught:
        ledger.open(
            Update(
                "power",
                1,
                Status.INVESTIGATING,
                "g",
                "x" * 100_000,
                "d",
                NOW,
                "ana@desk",
            ),
            [],
            [],
        )
    assert f"the disk of the ledger {ledger.path} is full (free some space, then run resume)" == str(caught.value)
    assert ledger.incidents() == ["cards"]
    ledger._db.execute("PRAGMA max_page_count=1000000")
    assert ledger.claim("cards", 1, "x", NOW, "ana@desk") is not None  # and it can go on


def test_one_that_cannot_be_written_is_told_in_words(ledger: SqliteLedger) -> None:
    fill(ledger)
    ledger._db.execute("PRAGMA query_only=ON")
    with pytest.raises(LedgerError) as caught:
        ledger.claim("cards", 1, "x", NOW, "ana@desk")
    assert f"the ledger {ledger.path} cannot be written" in str(caught.value)
    assert {item.state: item.count for item in ledger.tallies("cards", 1)} == {State.READY: 1}


def test_one_that_another_program_holds_is_told_in_words(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(ledger)
    monkeypatch.setattr(outagecast.ledger.migrate, "BUSY", 0.02)
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError) as caught:
            ledger.claim("cards", 1, "x", NOW, "ana@desk")
        other.execute("ROLLBACK")
    assert "is held by another program" in str(caught.value)
    assert ledger.claim("cards", 1, "x", NOW, "ana@desk") is not None


def test_anything_else_that_sqlite_says_is_passed_on(ledger: SqliteLedger) -> None:
    ledger._db.execute("DROP TABLE transition")
    fill(ledger)
    with pytest.raises(LedgerError) as caught:
        ledger.claim("cards", 1, "x", NOW, "ana@desk")
    assert f"the ledger {ledger.path}: no such table: transition" == str(caught.value)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE variant SET parts = '{}'", "a variant never changes"),
        ("UPDATE transition SET to_state = 'accepted'", "history never changes"),
        ("UPDATE transition SET reason = 'a better one'", "history never changes"),
    ],
)
def test_frozen_words_and_history_cannot_be_changed(ledger: SqliteLedger, statement: str, words: str) -> None:
    fill(ledger)
    ledger.claim("cards", 1, "x", NOW, "ana@desk")
    with pytest.raises(sqlite3.IntegrityError, match=words):
        ledger._db.execute(statement)


def test_each_change_of_state_leaves_one_line_of_history_saying_who_and_why(
    ledger: SqliteLedger,
) -> None:
    fill(ledger)
    entry = ledger.claim("cards", 1, "x", NOW, "ana@desk")
    assert entry
    ledger.move(entry, Move(Event.LOST, "no answer"), NOW, "ben@desk")
    history = ledger._db.execute('SELECT from_state, to_state, event, reason, "by" FROM transition ORDER BY seq')
    assert [tuple(row) for row in history] == [
        ("ready", "attempting", "claimed", None, "ana@desk"),
        ("attempting", "in_doubt", "lost", "no answer", "ben@desk"),
    ]


HOLD = """
import sys, time
from pathlib import Path
from outagecast.ledger.sqlite import SqliteLedger
with SqliteLedger(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_is_freed_by_the_kernel_when_its_holder_dies_and_not_before(
    ledger: SqliteLedger,
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(ledger.path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        os.utime(f"{ledger.path}.lock", (0, 0))  # however long ago it was taken
        os.kill(holder.pid, signal.SIGSTOP)  # a laptop that sleeps
        with pytest.raises(ConflictError) as caught, ledger.lock():
            pytest.fail("two hold the lock")
        assert f"{operator()} (process {holder.pid}, since" in str(caught.value)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with ledger.lock():
        pass


@pytest.mark.parametrize("name", ["outagecast.db", "outagecast.db.lock"])
@pytest.mark.parametrize("is_replaced", [True, False])
def test_who_no_longer_holds_the_lock_after_a_sleep_writes_and_sends_nothing(
    ledger: SqliteLedger, path: Path, name: str, is_replaced: bool
) -> None:
    fill(ledger)
    with ledger.lock():
        path.with_name(name).rename(path.with_name("away"))
        if is_replaced:
            path.with_name(name).touch()
        with pytest.raises(ConflictError, match=r"was replaced while it was being announced from"):
            ledger.claim("cards", 1, "x", NOW, "ana@desk")
    path.with_name("away").replace(path.with_name(name))
    assert ledger.claim("cards", 1, "x", NOW, "ana@desk")  # once it is back nobody has lost anything


def test_who_announces_can_be_told_without_a_ledger_being_opened(ledger: SqliteLedger, path: Path) -> None:
    assert held_by(path.with_name("none.db")) == ("", False)
    with ledger.lock():
        who, is_alive = held_by(path)
        assert who.startswith(f"{operator()} (process {os.getpid()}, since")
        assert is_alive
    assert held_by(path) == ("", False)
    Path(f"{path}.lock").write_text("ana@desk, who was killed\n")
    assert held_by(path) == ("ana@desk, who was killed", False)


def test_the_incidents_can_be_told_without_waiting_or_changing_anything(ledger: SqliteLedger, path: Path) -> None:
    fill(ledger)
    assert slugs(path) == ["cards"]
    assert slugs(path.with_name("none.db")) == []
    assert not path.with_name("none.db").exists()


def test_a_lock_that_cannot_be_made_is_told_in_words(ledger: SqliteLedger) -> None:
    Path(f"{ledger.path}.lock").mkdir()
    with pytest.raises(LedgerError) as caught, ledger.lock():
        pytest.fail("no lock is held")
    assert "Is a directory" in str(caught.value)


def effort(ledger: SqliteLedger, work: Callable[[], object]) -> int:
    """How much SQLite does for it, in tens of instructions."""
    taken = [0]

    def tick() -> int:
        taken[0] += 1
        return 0

    ledger._db.set_progress_handler(tick, 10)
    work()
    ledger._db.set_progress_handler(None, 0)
    return taken[0]


@pytest.mark.parametrize(
    "verb",
    [
        lambda ledger: ledger.claim("cards", 1, "x", NOW, "ana@desk"),
        lambda ledger: ledger.claim_window("cards", 1, "x", 50, NOW, "ana@desk"),
        lambda ledger: ledger.next_try("cards", 1, "x"),
        lambda ledger: ledger.entries("cards", 1, "x", {State.ATTEMPTING, State.FAILED}),
        lambda ledger: ledger.knows("page", "1"),
    ],
    ids=["claim", "claim_window", "next_try", "entries", "knows"],
)
def test_a_hundred_thousand_recipients_are_claimed_without_reading_them_all(
    tmp_path: Path, verb: Callable[[SqliteLedger], object]
) -> None:
    def steps(recipients: int) -> int:
        with closing(SqliteLedger(tmp_path / f"{recipients}.db")) as ledger:
            fill(ledger, recipients)
            return effort(ledger, lambda: verb(ledger))

    assert steps(2000) < 2 * steps(100) + 10


def test_what_a_second_update_replies_to_is_looked_up_by_its_recipient(ledger: SqliteLedger) -> None:
    # By update and state it read every recipient of the first for every one of the second: 20 s a page of 100,000.
    plan = [row["detail"] for row in ledger._db.execute(f"EXPLAIN QUERY PLAN {_ENTRY} WHERE d.id = 1")]
    (look,) = [step for step in plan if step.startswith("SEARCH r ")]

    assert "PRIMARY KEY (batch=? AND target=? AND language=?)" in look


def test_who_opens_a_ledger_while_another_has_it_alone_waits_a_moment(path: Path) -> None:
    SqliteLedger(path).close()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("PRAGMA journal_mode=DELETE")  # as while it is being made
        other.execute("BEGIN IMMEDIATE")  # of this SQLite tells at once, however long one would wait
        free = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        free.start()
        ledger = SqliteLedger(path)
        free.join()
    assert ledger.incidents() == []
    ledger.close()


def test_what_is_not_about_waiting_is_raised_at_once() -> None:
    def work() -> None:
        raise sqlite3.IntegrityError("no")

    with pytest.raises(sqlite3.IntegrityError):
        patiently(work)
