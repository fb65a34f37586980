"""Why people were refused, and how fast the others were told: counted for whoever looks, and never naming anybody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from outagecast.ledger import Event, Move, Opening, Refusal, Update
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.model import Receipt, State, Status, Variant

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
WHERE = ("cards", 1, "sms")
WORDS = Variant("sms", "twilio_sms", "en", {"text": "Cards are declined."}, 1, "en/twilio_sms", (), ())
PEOPLE = 30


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    """A ledger in which thirty people wait for a text."""
    update = Update("cards", 1, Status.INVESTIGATING, "f", "{}", "d", NOW, "ana@desk")
    ledger = SqliteLedger(tmp_path / "outagecast.db")
    ledger.open(update, [WORDS], [])
    people = [Opening("sms", f"+614915701{number:02}", "en", State.READY, None, None) for number in range(PEOPLE)]
    ledger.freeze(update, "sms", people)
    yield ledger
    ledger.close()


def refuse(ledger: SqliteLedger, reasons: list[tuple[str, str | None]], *, refused: bool = True) -> None:
    claimed = ledger.claim_window(*WHERE, len(reasons), NOW, "ana@desk")
    moves = [
        Move(Event.REFUSED, reason.replace("TARGET", one.delivery.target), code, refused=refused)
        for one, (reason, code) in zip(claimed, reasons, strict=True)
    ]
    ledger.record_many(list(zip(claimed, moves, strict=True)), NOW, "ana@desk")


def test_reasons_are_counted_the_most_frequent_first(ledger: SqliteLedger) -> None:
    refuse(ledger, [("they answered STOP", "21610"), *[("not a mobile number", "21211")] * 3])

    assert ledger.refusals(*WHERE) == [
        Refusal("not a mobile number (21211)", 3),
        Refusal("they answered STOP (21610)", 1),
    ]


def test_a_code_that_the_words_hold_is_not_said_twice(ledger: SqliteLedger) -> None:
    refuse(ledger, [("Twilio answered 21211: no such number", "21211")])

    assert ledger.refusals(*WHERE) == [Refusal("Twilio answered 21211: no such number", 1)]


@pytest.mark.parametrize("code", [None, "5.1.1"])
def test_what_names_each_person_is_one_reason_and_names_nobody(ledger: SqliteLedger, code: str | None) -> None:
    refuse(ledger, [("<TARGET> is unknown here", code)] * 5)

    (one,) = ledger.refusals(*WHERE)

    assert (one.count, one.words.startswith("<…> is unknown here")) == (5, True)


def test_one_code_is_one_reason_whatever_else_the_provider_says(ledger: SqliteLedger) -> None:
    refuse(ledger, [(f"no such user, queue id {number}", "5.1.1") for number in range(20)])

    assert [one.count for one in ledger.refusals(*WHERE)] == [20]


def test_the_rarest_reasons_are_counted_together(ledger: SqliteLedger) -> None:
    refuse(ledger, [(f"reason {number}", None) for number in range(PEOPLE)])

    found = ledger.refusals(*WHERE)

    assert len(found) == 11
    assert found[0] == Refusal("other reasons", PEOPLE - 10)


def test_what_failed_for_another_reason_is_no_refusal(ledger: SqliteLedger) -> None:
    refuse(ledger, [("the account is suspended", "20005")], refused=False)

    assert ledger.refusals(*WHERE) == []


def test_windows_are_told_since_a_time_in_their_order(ledger: SqliteLedger) -> None:
    for seconds, most in ((0, 5), (10, 7), (20, 9)):
        at = NOW + timedelta(seconds=seconds)
        claimed = ledger.claim_window(*WHERE, most, at, "ana@desk")
        ledger.record_many([(one, Move(Event.RECEIPT, receipt=Receipt("SM1"))) for one in claimed], at, "ana@desk")

    since = NOW + timedelta(seconds=5)
    assert ledger.windows(*WHERE, since) == [(NOW + timedelta(seconds=10), 7), (NOW + timedelta(seconds=20), 9)]
    assert ledger.windows("cards", 1, "email", NOW) == []
