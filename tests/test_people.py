"""People in the ledger: those who must not be told, and those who were not all written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from outagecast.control import Control
from outagecast.dry_run import Prepared
from outagecast.errors import ExitCode
from outagecast.ledger import Event, Move, Opening, Suppression
from outagecast.model import State
from tests.office import SLUG, Office, by_name, texts

if TYPE_CHECKING:
    from tests.conftest import Bank

ANA, BEN = "+61491570156", "+61491570157"


@pytest.fixture
def office(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    for name, value in bank.providers.environment.items():
        monkeypatch.setenv(name, value)
    desk = Office(bank)
    yield desk
    desk.close()


def suppress(office: Office, address: str, why: str = "stop") -> None:
    office.app.ledger.suppress([Suppression(address, "phone", why, datetime(2026, 11, 1, tzinfo=UTC), "sms")])


def told(office: Office) -> list[str]:
    """Every number that got a text, in order."""
    return sorted(sent.to for sent in office.bank.providers.twilio.messages)


def broken(prepared: Prepared) -> Prepared:
    """The same, on a machine that goes down when the first of the people is written down."""

    def half(people: Callable[[], Iterator[Opening]]) -> Iterator[Opening]:
        yield next(people())
        raise KeyboardInterrupt

    people = {name: lambda its=its: half(its) for name, its in prepared.people.items()}
    return prepared._replace(people=people)


def test_who_answered_stop_is_told_nothing_and_the_record_says_why(office: Office) -> None:
    suppress(office, BEN)

    done = by_name(office.announce("sms"))["sms"]

    assert told(office) == [ANA]
    assert (done.counts.planned, done.counts.skipped, done.complete) == (1, 1, True)
    reasons = [entry.reason for entry in office.app.ledger.entries(SLUG, 1, "sms", {State.SKIPPED})]
    assert reasons == ["they answered STOP"]


def test_a_preview_counts_only_those_who_will_be_told(office: Office) -> None:
    suppress(office, BEN)

    sms = by_name(office.prepare("sms").report)["sms"]

    assert (sms.counts.planned, sms.counts.skipped) == (1, 1)


def test_who_answered_stop_since_the_alarm_is_not_told_that_it_was_false_and_is_not_owed_it(office: Office) -> None:
    office.announce("sms")
    suppress(office, BEN)

    assert office.retract().exit_code is ExitCode.DONE
    assert told(office) == [ANA, ANA, BEN]
    again = office.retract()

    assert (again.update, told(office)) == (2, [ANA, ANA, BEN])


def test_whoever_was_not_written_down_is_told_when_it_is_announced_again(office: Office) -> None:
    prepared = broken(office.prepare("x", "sms"))
    with pytest.raises(KeyboardInterrupt):
        office.app.announce(prepared, office.said, Control())
    before = {item.channel: dict(item.parts) for item in prepared.variants}
    assert told(office) == []

    report = office.announce("x", "sms")

    assert (report.update, report.exit_code, told(office)) == (1, ExitCode.DONE, [ANA, BEN])
    assert {item.channel: dict(item.parts) for item in office.app.ledger.variants(SLUG, 1)} == before


def test_the_words_of_those_who_are_still_to_be_written_down_stay_as_they_were_announced(office: Office) -> None:
    prepared = broken(office.prepare("sms"))
    with pytest.raises(KeyboardInterrupt):
        office.app.announce(prepared, office.said, Control())
    office.bank.config["organisation"]["name"] = "Another Bank"
    office.bank.write()
    office.open()

    again = office.prepare("sms")

    assert "Example Bank" in texts(prepared)["sms"]
    assert texts(again) == texts(prepared)


def test_whoever_was_not_written_down_is_told_when_it_is_taken_back_again(office: Office) -> None:
    office.announce("x", "sms")
    with pytest.raises(KeyboardInterrupt):
        office.app.retract(broken(office.app.prepare_retraction(SLUG)), Control())
    assert told(office) == [ANA, BEN]

    report = office.retract()

    assert (report.update, report.exit_code, told(office)) == (2, ExitCode.DONE, [ANA, ANA, BEN, BEN])


def test_who_was_about_to_be_told_and_was_not_is_told_by_the_next_update(office: Office) -> None:
    ledger, now = office.app.ledger, office.clock.now()
    stopped = Control(max_time=0)
    office.announce("sms", control=stopped)
    window = ledger.claim_window(SLUG, 1, "sms", 9, now, "ben@desk")  # as another desk does that sends it

    prepared = office.prepare("sms", summary="All our cards fail.")
    ledger.record_many([(claimed, Move(Event.NOT_SENT)) for claimed in window], now, "ben@desk")  # and leaves it to us
    report = office.app.announce(prepared, office.said, Control())

    assert (len(window), report.exit_code) == (2, ExitCode.DONE)
    assert told(office) == [ANA, BEN]


@pytest.mark.parametrize("taken_back", [False, True])
def test_resume_writes_down_whom_a_run_did_not_and_tells_them(office: Office, taken_back: bool) -> None:
    if taken_back:
        office.announce("sms")
        broken_off = broken(office.app.prepare_retraction(SLUG))
    else:
        broken_off = broken(office.prepare("sms"))
    with pytest.raises(KeyboardInterrupt):
        office.app.retract(broken_off, Control()) if taken_back else office.app.announce(
            broken_off, office.said, Control()
        )
    before = len(told(office))
    office.clock.pass_by(3600)

    report = office.app.resume(SLUG, Control())

    assert (report.exit_code, len(told(office)) - before) == (ExitCode.DONE, 2)
    assert office.app.resume(SLUG, Control()).exit_code is ExitCode.DONE
    assert len(told(office)) - before == 2


def test_where_the_list_of_people_is_gone_resume_finishes_the_rest_and_says_so(office: Office) -> None:
    with pytest.raises(KeyboardInterrupt):
        office.app.announce(broken(office.prepare("x", "sms")), office.said, Control())
    (office.bank.folder / "customers.csv").unlink()

    report = office.app.resume(SLUG, Control())

    assert report.exit_code is ExitCode.PENDING
    assert "cannot read the audience" in report.errors[0].message
    assert by_name(report)["sms"].next_action == f"outagecast announce --incident {SLUG}"
    assert by_name(report)["x"].complete
