"""What this machine remembers of a ledger: that it was lost, replaced, or put back from a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from outagecast.ledger import UNSURE_FOR, Event, Move, Opening, Update
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.ledger.witness import Mark, note, recall
from outagecast.model import State, Status, Variant

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
OLDER = "the ledger is an older copy, and lacks the last 2 of its entries"

Open = Callable[[], SqliteLedger]


@pytest.fixture
def ledgers(tmp_path: Path) -> Iterator[Open]:
    """Opens the ledger, as each command does anew."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(SqliteLedger(tmp_path / "outagecast.db")))


def opened(ledger: SqliteLedger, number: int = 1) -> None:
    update = Update("cards", number, Status.INVESTIGATING, f"f{number}", "{}", "d", NOW, "ana@desk")
    variant = Variant("x", "x", "en", {"text": f"Cards fail, {number}."}, 1, "en/x.text.j2", [], [])
    ledger.open(update, [variant], [Opening("x", "", "en", State.READY, None, None)])


def sent(ledger: SqliteLedger) -> None:
    entry = ledger.claim("cards", 1, "x", NOW, "ana@desk")
    assert entry
    ledger.move(entry, Move(Event.RECEIPT), NOW, "ana@desk")


def put_back(tmp_path: Path, ledgers: Open) -> SqliteLedger:
    """A ledger from a copy that was made before what it holds was sent."""
    path, copy = tmp_path / "outagecast.db", tmp_path / "copy.db"
    first = ledgers()
    opened(first)
    first.close()
    shutil.copy(path, copy)
    first = ledgers()
    sent(first)
    first.remember()
    first.close()
    shutil.copy(copy, path)
    return ledgers()


def test_a_ledger_that_goes_on_where_it_was_is_trusted(ledgers: Open) -> None:
    for _ in range(2):
        ledger = ledgers()
        assert ledger.unsure(NOW) is None
        ledger.recognise(NOW, "ana@desk")
        ledger.remember()
        ledger.close()


def test_a_ledger_that_went_on_without_being_remembered_is_trusted(ledgers: Open) -> None:
    first = ledgers()
    first.remember()
    opened(first)
    sent(first)
    assert first.unsure(NOW) is None


def test_an_older_copy_puts_in_doubt_what_it_believes_unsent(tmp_path: Path, ledgers: Open) -> None:
    copy = put_back(tmp_path, ledgers)
    assert copy.unsure(LATER) == OLDER
    copy.recognise(LATER, "ben@desk")
    (entry,) = copy.entries("cards", 1, "x", set(State))
    assert (entry.state, entry.reason, entry.delivery.attempted_at) == (State.IN_DOUBT, OLDER, NOW)


def test_an_older_copy_is_not_trusted_for_the_length_of_a_shift(tmp_path: Path, ledgers: Open) -> None:
    copy = put_back(tmp_path, ledgers)
    copy.recognise(LATER, "ben@desk")
    copy.remember()
    assert copy.unsure(LATER + UNSURE_FOR - timedelta(seconds=1)) == OLDER
    assert copy.unsure(LATER + UNSURE_FOR) is None


def test_what_is_opened_in_an_older_copy_after_it_was_recognised_is_ready(tmp_path: Path, ledgers: Open) -> None:
    copy = put_back(tmp_path, ledgers)
    copy.recognise(LATER, "ben@desk")
    copy.remember()
    opened(copy, 2)
    copy.recognise(LATER, "ben@desk")
    assert [entry.state for entry in copy.entries("cards", 2, "x", set(State))] == [State.READY]


def test_another_ledger_in_the_place_of_the_first_is_recognised(tmp_path: Path, ledgers: Open) -> None:
    first = ledgers()
    first.remember()
    first.close()
    (tmp_path / "outagecast.db").unlink()
    second = ledgers()
    assert second.unsure(NOW) == "the ledger that was used here before is gone"
    second.recognise(NOW, "ana@desk")
    second.remember()
    assert second.unsure(NOW + UNSURE_FOR) is None


def test_two_ledgers_are_told_apart_by_their_place(tmp_path: Path) -> None:
    with closing(SqliteLedger(tmp_path / "a.db")) as one, closing(SqliteLedger(tmp_path / "b.db")) as other:
        one.remember()
        other.remember()
        assert (one.unsure(NOW), other.unsure(NOW)) == (None, None)


def test_what_is_remembered_is_for_its_owner_alone_and_names_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    note(tmp_path / "outagecast.db", Mark("id", 7))
    (file,) = (tmp_path / "state" / "outagecast").iterdir()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert recall(tmp_path / "outagecast.db") == Mark("id", 7)


@pytest.mark.parametrize("state", ["relative", "/dev/null"])
def test_where_nothing_can_be_kept_nothing_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", state)
    monkeypatch.setenv("HOME", "/dev/null")
    note(tmp_path / "outagecast.db", Mark("id", 7))
    assert recall(tmp_path / "outagecast.db") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ledger": "a"}', "\x00", '{"ledger": "a", "changes": []}'])
def test_a_memory_that_cannot_be_read_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    note(tmp_path / "outagecast.db", Mark("id", 7))
    (file,) = (tmp_path / "outagecast").iterdir()
    file.write_text(text)
    assert recall(tmp_path / "outagecast.db") is None
