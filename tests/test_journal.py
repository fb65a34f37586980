"""The journal of a bulk channel: what a run that was cut short can be believed to have done."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from outagecast import journal
from outagecast.errors import LedgerError
from outagecast.journal import Evidence, Journal, place
from outagecast.ledger import Event, Move
from outagecast.model import Receipt

OPENED = datetime(2026, 11, 22, 7, 30, 0, 123456, tzinfo=UTC)
ANA, BEN, CAT, DAN = (f"{number:032x}" for number in range(4))
TAKEN = Move(Event.RECEIPT, receipt=Receipt("SM1", "https://example.com/1", 'queued as "1"'))
LOST = Event.LOST


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outagecast.db.1.journal"


def events(path: Path, *keys: str, opened_at: datetime = OPENED, is_sure: bool = True) -> list[Event]:
    evidence = Evidence(path, opened_at, is_sure=is_sure)
    return [evidence.of(key).event for key in keys]


def test_what_never_began_is_certainly_unsent_and_what_began_is_in_doubt_until_it_ended(path: Path) -> None:
    notes = Journal(path, OPENED)
    notes.note([ANA, BEN], [])
    notes.note([], [(ANA, TAKEN)])
    assert events(path, ANA, BEN, CAT) == [Event.RECEIPT, LOST, Event.NOT_SENT]
    assert Evidence(path, OPENED).of(ANA) == TAKEN
    assert "before it had an answer" in (Evidence(path, OPENED).of(BEN).reason or "")


@pytest.mark.parametrize(
    "move",
    [
        Move(Event.RECEIPT, receipt=Receipt("id\n\t\"'\\\u2028ü")),
        Move(Event.NOT_SENT, "later\nplease", "429", not_before=OPENED + timedelta(seconds=7)),
        Move(Event.REFUSED, "no such number", "21211", refused=True, suppress="bounce"),
        Move(Event.LOST, "no answer"),
    ],
)
def test_an_outcome_is_recalled_as_it_was_noted(path: Path, move: Move) -> None:
    Journal(path, OPENED).note([ANA], [(BEN, move)])
    assert Evidence(path, OPENED).of(BEN) == move
    assert len(path.read_bytes().splitlines()) == 3


def test_what_was_put_off_and_began_again_is_in_doubt_again(path: Path) -> None:
    notes = Journal(path, OPENED)
    notes.note([ANA], [])
    notes.note([], [(ANA, Move(Event.NOT_SENT, "later"))])
    assert events(path, ANA) == [Event.NOT_SENT]
    notes.note([ANA], [])
    assert events(path, ANA) == [LOST]


def test_of_a_turn_what_ended_stands_before_what_begins(path: Path) -> None:
    Journal(path, OPENED).note([ANA], [(ANA, Move(Event.NOT_SENT, "later"))])
    assert events(path, ANA) == [LOST]


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_torn_last_line_was_never_acted_upon(path: Path, cut: int) -> None:
    notes = Journal(path, OPENED)
    notes.note([ANA], [])
    whole = path.stat().st_size
    notes.note([BEN] if cut < 33 else [], [] if cut < 33 else [(ANA, TAKEN)])
    os.truncate(path, min(whole + cut, path.stat().st_size - 1))
    assert events(path, ANA, BEN) == [LOST, Event.NOT_SENT]


@pytest.mark.parametrize("line", [b"+12\n", b"\n", b"[1]\n", b'["x","receipt"]\n', b"\x00\x00\n", b'{"a":1}\n', b"5\n"])
def test_a_damaged_line_may_have_been_anybodys_so_nobody_is_certainly_unsent(path: Path, line: bytes) -> None:
    Journal(path, OPENED).note([], [(ANA, TAKEN)])
    with path.open("ab") as file:
        file.write(line + f"+{BEN}\n".encode())
    assert events(path, ANA, BEN, CAT) == [Event.RECEIPT, LOST, LOST]


def test_without_a_journal_all_are_in_doubt(path: Path) -> None:
    assert events(path, ANA) == [LOST]


def test_the_journal_of_another_ledger_proves_nothing(path: Path) -> None:
    Journal(path, OPENED).note([BEN], [(ANA, TAKEN)])
    assert events(path, ANA, BEN, CAT, opened_at=OPENED + timedelta(microseconds=1)) == [LOST, LOST, LOST]


def test_beside_an_older_copy_of_the_ledger_nobody_is_certainly_unsent(path: Path) -> None:
    Journal(path, OPENED).note([], [(ANA, TAKEN)])
    assert events(path, ANA, BEN, is_sure=False) == [Event.RECEIPT, LOST]


def test_after_a_power_loss_what_it_says_is_true_and_what_it_does_not_say_proves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Journal(path, OPENED).note([BEN], [(ANA, TAKEN)])
    path.write_bytes(path.read_bytes().replace(journal._boot().encode(), b"another-boot"))
    assert events(path, ANA, BEN, CAT) == [Event.RECEIPT, LOST, LOST]


def test_where_nothing_tells_one_boot_from_another_nobody_is_certainly_unsent(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_boot", lambda: "")
    Journal(path, OPENED).note([], [(ANA, TAKEN)])
    assert events(path, ANA, CAT) == [Event.RECEIPT, LOST]


def test_it_begins_anew_with_what_is_still_under_way(path: Path) -> None:
    notes = Journal(path, OPENED)
    notes.note([ANA, BEN], [(CAT, TAKEN)])
    before = notes.size
    notes.renew([BEN])
    assert notes.size < before
    notes.note([DAN], [])
    assert events(path, ANA, BEN, DAN) == [Event.NOT_SENT, LOST, LOST]
    assert [*path.parent.iterdir()] == [path]


def test_a_run_replaces_the_journal_of_the_run_before(path: Path) -> None:
    Journal(path, OPENED).note([ANA], [])
    Journal(path, OPENED)
    assert events(path, ANA) == [Event.NOT_SENT]


def test_it_is_for_its_owner_alone_and_goes_when_it_is_not_needed(path: Path) -> None:
    notes = Journal(path, OPENED)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    notes.remove()
    assert not path.exists()


def test_each_update_and_channel_has_its_own_whatever_the_ledger_is_called(tmp_path: Path) -> None:
    ledger, link = tmp_path / "a.db", tmp_path / "b.db"
    ledger.touch()
    link.symlink_to(ledger)
    assert place(ledger, ("cards", 1, "sms")) == place(link, ("cards", 1, "sms"))
    where = [("cards", 1, "sms"), ("cards", 1, "email"), ("cards", 2, "sms"), ("other", 1, "sms")]
    assert len({place(ledger, one) for one in where}) == 4


def test_a_journal_that_cannot_be_written_stops_everything(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be noted"):
        Journal(tmp_path / "missing" / "journal", OPENED)
    notes = Journal(tmp_path / "journal", OPENED)
    notes.close()
    with pytest.raises(LedgerError, match="cannot be noted"):
        notes.note([ANA], [])
