"""Taking a false alarm back: to whom it goes, in which words, what is called off, and what is deleted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, timedelta
from typing import Any

import pytest

from outagecast.control import Control
from outagecast.errors import ConflictError, ExitCode, PlanError, Rejected, TemplateError, UsageError
from outagecast.ledger import Event, Move
from outagecast.model import State
from outagecast.rehearsal import Reply
from tests.conftest import Bank
from tests.office import SLUG, Office, by_name, states, texts

ALARM = "Our debit and credit cards are being declined in shops and online."


@pytest.fixture
def office(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    for name, value in bank.providers.environment.items():
        monkeypatch.setenv(name, value)
    office = Office(bank)
    yield office
    office.close()


def stop_all(office: Office, *channels: str) -> None:
    """Open the announcement and send none of it, as a run does that is stopped before its first call."""
    control = Control()
    control.stop.set()
    office.announce(*channels, control=control)


# -- to whom -----------------------------------------------------------------------------------------------------------


def test_it_goes_to_everybody_who_got_the_alarm_in_the_thread_and_the_banner_comes_down(office: Office) -> None:
    office.announce()

    report = office.retract()

    assert report.exit_code is ExitCode.DONE
    assert (report.update, report.status) == (2, "retracted")
    assert states(report) == dict.fromkeys(("x", "facebook", "banner", "sms", "email"), "accepted")
    assert office.bank.sent == {"x": 2, "facebook": 2, "sms": 4, "email": 4, "banner": 0}
    first, second = office.bank.providers.x.posts
    assert second.in_reply_to == first.id
    first_mail, *_, last_mail = office.bank.providers.smtp.mails
    assert {mail.message["References"] for mail in office.bank.providers.smtp.mails[2:]} >= {first_mail.id}
    assert last_mail.message["Subject"].startswith("Correction, a false alarm")


def test_a_second_time_says_nothing_more_and_finishes_what_is_unfinished(office: Office) -> None:
    office.announce()
    office.bank.providers.facebook.behave("unauthorized")
    assert office.retract().exit_code is ExitCode.PARTIAL

    report = office.retract()

    assert (report.update, report.exit_code) == (2, ExitCode.DONE)
    assert office.retract().update == 2
    assert office.bank.sent == {"x": 2, "facebook": 2, "sms": 4, "email": 4, "banner": 0}


def test_it_goes_where_the_alarm_may_be_and_waits_for_no_doubt(office: Office) -> None:
    office.bank.providers.x.behave("error_500_applied")
    office.bank.providers.x.behave("error_500", method="GET", times=3)
    assert states(office.announce("x"))["x"] == "in_doubt"
    asked = len(office.bank.providers.x.requests)

    report = office.retract()

    assert report.exit_code is ExitCode.DONE
    assert [post.text[:11] for post in office.bank.providers.x.posts] == ["Our debit a", "Correction."]
    assert [request.method for request in office.bank.providers.x.requests[asked:]] == ["POST"]
    assert office.entry(number=1).state is State.IN_DOUBT  # and nothing will ever be sent of it
    assert office.app.resume(SLUG, Control()).exit_code is ExitCode.DONE
    assert len(office.bank.providers.x.posts) == 2


@pytest.mark.parametrize("state", [State.ATTEMPTING, State.NEEDS_DECISION, State.MISMATCH, State.MISSING])
def test_it_goes_wherever_the_alarm_is_or_may_be_known(office: Office, lead: Any, state: State) -> None:
    stop_all(office, "facebook")
    with office.app.ledger.lock():
        lead(office.app.ledger, office.entry("facebook"), state, office.clock.now())

    assert states(office.retract()) == {"facebook": "accepted"}


def test_it_goes_to_those_who_got_the_first_word_alone_whatever_on_says(office: Office) -> None:
    office.bank.config["channels"]["sms"]["on"] = ["first"]
    office.bank.config["channels"]["facebook"]["on"] = ["investigating"]
    office.bank.write()
    office.open()
    office.announce()
    office.announce(status="identified", cause="A power cut.")

    report = office.retract()

    assert by_name(report)["sms"].counts.accepted == 2
    assert states(report)["facebook"] == "accepted"


def test_it_needs_neither_the_audience_nor_the_message_file(office: Office) -> None:
    office.announce("sms")
    office.bank.customers(("Cai", "+61491570158", "cai@example.com"))
    (office.bank.folder / "incident.yaml").unlink()

    report = office.retract()

    assert by_name(report)["sms"].counts.accepted == 2
    assert {message.to for message in office.bank.providers.twilio.messages} == {"+61491570156", "+61491570157"}
    (office.bank.folder / "customers.csv").unlink()
    assert office.retract().exit_code is ExitCode.DONE


def test_who_the_alarm_never_reached_hears_nothing_of_it(office: Office) -> None:
    office.bank.providers.facebook.behave("unauthorized")
    office.bank.providers.twilio.behave(Reply(400, {"code": 21211, "message": "no such number", "status": 400}))
    office.announce("x", "facebook", "sms")

    report = office.retract()

    assert report.exit_code is ExitCode.DONE
    assert states(report)["facebook"] == "skipped"
    assert office.bank.providers.facebook.posts == ()
    assert sorted(office.states(2)["sms"]) == ["accepted", "skipped"]
    assert "email" not in office.states(2)


def test_an_optional_channel_is_told_as_well(office: Office) -> None:
    office.bank.config["channels"]["facebook"]["required"] = False
    office.bank.write()
    office.open()
    office.announce()
    office.retract()

    assert len(office.bank.providers.facebook.posts) == 2


@pytest.mark.parametrize("how", ["gone", "off"])
def test_a_channel_that_is_not_in_the_config_any_more_is_named_and_is_no_success(office: Office, how: str) -> None:
    office.announce("x", "facebook")
    if how == "gone":
        del office.bank.config["channels"]["facebook"]
    else:
        office.bank.config["channels"]["facebook"]["enabled"] = False
    office.bank.write()
    office.open()

    for _ in range(2):
        report = office.retract()

        assert report.exit_code is ExitCode.PARTIAL
        assert [problem.message for problem in report.errors] == [
            "facebook carries it and is not in the config: take it back there by hand"
        ]
        assert (report.update, len(office.bank.providers.x.posts)) == (2, 2)


def test_once_the_channel_is_back_only_it_is_told(office: Office) -> None:
    office.announce("x", "facebook")
    facebook = office.bank.config["channels"].pop("facebook")
    office.bank.write()
    office.open()
    office.retract()
    office.bank.config["channels"]["facebook"] = facebook
    office.bank.write()
    office.open()

    report = office.retract()

    assert (report.update, report.exit_code) == (3, ExitCode.DONE)
    assert states(report) == {"x": "skipped", "facebook": "accepted"}
    assert (len(office.bank.providers.x.posts), len(office.bank.providers.facebook.posts)) == (2, 2)


def test_what_an_announced_retraction_left_out_is_made_up_for(office: Office) -> None:
    office.announce()
    office.announce("x", status="retracted", components=None)

    report = office.retract()

    assert (report.update, report.exit_code) == (3, ExitCode.DONE)
    assert states(report)["x"] == "skipped"
    assert office.bank.sent == {"x": 2, "facebook": 2, "sms": 4, "email": 4, "banner": 0}


def test_what_was_taken_back_and_said_again_can_be_taken_back_again(office: Office) -> None:
    office.announce("x")
    office.retract()
    office.clock.pass_by(3600)
    office.announce("x", reopen=True, workaround=None)

    report = office.retract()

    assert (report.update, report.exit_code) == (4, ExitCode.DONE)
    assert len(office.bank.providers.x.posts) == 4
    assert office.bank.providers.x.posts[3].text != office.bank.providers.x.posts[1].text  # another time


def test_an_incident_that_is_over_can_still_turn_out_to_have_been_none(office: Office) -> None:
    office.announce("x")
    office.announce("x", status="resolved", components=None, summary="Cards work again.", next_update_at=None)

    office.retract()

    assert ALARM in office.bank.providers.x.posts[-1].text
    assert "Cards work again" not in office.bank.providers.x.posts[-1].text  # which nobody calls wrong


# -- what was still queued ---------------------------------------------------------------------------------------------


def test_what_is_queued_of_a_false_alarm_is_never_sent(office: Office) -> None:
    office.announce("x")
    stop_all(office)

    office.retract()

    assert office.states(1)["email"] == ["cancelled", "cancelled"]
    assert office.states(1)["facebook"] == ["cancelled"]
    assert office.app.resume(SLUG, Control()).exit_code is ExitCode.DONE
    assert office.bank.sent == {"x": 2, "facebook": 0, "sms": 0, "email": 0, "banner": 0}


def test_what_failed_is_not_tried_again_once_it_is_taken_back(office: Office) -> None:
    office.bank.providers.facebook.behave("unauthorized", times=9)
    office.announce("x", "facebook")
    office.bank.providers.facebook._plan.clear()

    office.retract()
    office.app.resume(SLUG, Control())

    assert office.bank.providers.facebook.posts == ()


def test_one_that_is_announced_calls_off_what_is_queued_on_every_channel(office: Office) -> None:
    office.announce("x")
    stop_all(office, "x", "sms")

    office.announce("x", status="retracted", components=None)

    assert office.states(1)["sms"] == ["cancelled", "cancelled"]


def test_the_history_says_who_called_it_off_and_why(office: Office) -> None:
    stop_all(office, "sms")
    office.retract()
    told = office.app.ledger._db.execute(  # type: ignore[attr-defined]
        "SELECT from_state, to_state, event, reason, by FROM transition"
    ).fetchall()

    assert [tuple(row) for row in told] == [
        ("ready", "cancelled", "cancelled", "update 2 took it back before it was sent", "ana@desk")
    ] * 2
    assert states(office.app.status(SLUG)) == {"sms": "skipped"}


def test_a_text_that_is_late_by_a_day_still_takes_it_back(office: Office) -> None:
    office.announce("sms")
    control = Control()
    control.stop.set()
    assert office.retract(control=control).exit_code is ExitCode.PENDING
    office.clock.pass_by(timedelta(days=1).total_seconds())

    assert office.app.resume(SLUG, Control()).exit_code is ExitCode.DONE
    assert len(office.bank.providers.twilio.messages) == 4


def test_while_another_run_sends_it_is_refused_and_nothing_changes(office: Office) -> None:
    office.announce("x")
    prepared = office.app.prepare_retraction(SLUG)
    other = Office(office.bank)
    try:
        with other.app.ledger.lock(), pytest.raises(ConflictError):
            office.app.retract(prepared, Control())
    finally:
        other.close()

    assert 2 not in {number for _, number in office.app.ledger.past(SLUG).opened}


# -- the words ---------------------------------------------------------------------------------------------------------


def test_it_quotes_what_was_said_and_leaves_out_what_was_meant_for_a_real_one(office: Office) -> None:
    office.announce()
    said = texts(office.app.prepare_retraction(SLUG))

    for channel in ("x", "facebook", "sms", "email"):
        assert ALARM in said[channel], channel
        assert "sorry for the alarm" in said[channel]
        assert "at a till" not in said[channel]  # an apology for what never happened
        assert "Cash machines" not in said[channel]
        assert "Next update" not in said[channel]
    assert said["banner"] == ""


def test_each_channel_takes_back_what_it_said_itself(office: Office) -> None:
    office.bank.config["channels"]["sms"]["on"] = ["first"]
    office.bank.write()
    office.open()
    office.announce("x", "sms")
    office.clock.pass_by(1800)
    office.announce("x", "sms", status="identified", summary="Our cards fail, our app too.")

    said = texts(office.app.prepare_retraction(SLUG))

    assert "Our cards fail, our app too." in said["x"]
    assert ALARM in said["sms"]
    assert "app too" not in said["sms"]


def test_planned_work_is_called_off_rather_than_wrong(office: Office) -> None:
    day = (office.bank.clock + timedelta(days=7)).replace(hour=1, minute=0, second=0, microsecond=0)
    window = {
        "start": day.isoformat(timespec="minutes"),
        "end": (day + timedelta(hours=4)).isoformat(timespec="minutes"),
    }
    work: dict[str, Any] = {"status": "scheduled", "impact": "maintenance", "window": window, "started_at": None}
    office.announce(**work, title="Our app will be off", summary="You cannot use our app.", components=None)

    said = texts(office.app.prepare_retraction(SLUG))

    for channel in ("x", "facebook", "sms", "email"):
        assert "called off" in said[channel]
        assert "change of plan" in said[channel]
        assert "wrong" not in said[channel]


def test_every_language_is_told_in_its_own(office: Office) -> None:
    office.speak_romanian("Cardurile sunt refuzate.", english="we told you:", romanian="v-am spus:")
    office.announce()
    office.bank.config["channels"]["x"]["languages"] = ["en"]  # and who read the other hears of it all the same
    office.bank.write()
    office.open()

    office.retract()

    assert len(office.bank.providers.x.posts) == 4
    assert any("v-am spus: „Cardurile sunt refuzate.”" in post.text for post in office.bank.providers.x.posts)


@pytest.mark.parametrize("status", ["investigating", "scheduled"])
def test_the_longest_that_fits_a_post_can_be_taken_back_in_one(office: Office, status: str) -> None:
    day = (office.bank.clock + timedelta(days=7)).replace(hour=9, minute=0, second=0, microsecond=0)
    window = {name: (day + timedelta(hours=hours)).isoformat() for name, hours in (("start", 0), ("end", 4))}
    facts: dict[str, Any] = dict.fromkeys(("workaround", "cause", "apology", "components", "started_at"))
    facts |= {"status": status, "window": window if status == "scheduled" else None}
    summary = ""
    for length in range(280, 0, -1):
        summary = ("Our cards fail here. " * 20)[: length - 1].strip() + "."
        with suppress(TemplateError):
            office.announce("x", "sms", **facts, summary=summary)
            break

    office.retract()

    assert summary.rstrip(".") in office.bank.providers.x.posts[-1].text
    assert len(summary) > 160


def test_where_words_by_hand_stood_for_a_summary_too_long_to_quote_the_title_is_quoted(office: Office) -> None:
    midday = office.bank.clock.replace(hour=12, minute=0, second=0, microsecond=0)
    office.clock.time = midday.astimezone(UTC)
    facts: dict[str, Any] = {
        "summary": "Our cards fail in shops, " * 20 + "and online.",
        "next_update_at": (midday + timedelta(minutes=90)).isoformat(timespec="minutes"),
        "variants": {"x": {"en": {"text": "Our cards fail in shops and online. Next update by 1:30pm."}}},
        **dict.fromkeys(("started_at", "apology", "workaround")),
    }
    office.announce("x", "sms", "facebook", **facts)

    office.retract()

    assert "We told you: “Card payments are failing.” That was wrong." in office.bank.providers.x.posts[-1].text
    assert facts["summary"] in office.bank.providers.facebook.posts[-1].text


def test_what_only_ever_said_that_it_works_again_has_no_words_to_call_wrong(office: Office) -> None:
    office.announce("x", status="monitoring", components=None, summary="Cards work again.")

    with pytest.raises(PlanError, match="no words to call wrong"):
        office.app.prepare_retraction(SLUG)


def test_an_unknown_incident_is_a_mistake(office: Office) -> None:
    with pytest.raises(PlanError):
        office.app.prepare_retraction("nothing")


# -- deleting ----------------------------------------------------------------------------------------------------------


def test_nothing_is_deleted_that_is_not_named(office: Office) -> None:
    office.announce("x", "facebook")
    office.announce("x", "facebook", status="identified", cause="A power cut.")

    report = office.retract("x")

    assert [post.text[:11] for post in office.bank.providers.x.posts] == ["Correction."]
    assert len(office.bank.providers.facebook.posts) == 3
    assert (by_name(report)["x"].deleted, by_name(report)["facebook"].deleted) == (2, 0)
    assert [(office.entry(number=number).state, office.entry(number=number).reason) for number in (1, 2)] == [
        (State.MISSING, "deleted by ana@desk")
    ] * 2
    assert office.app.verify(SLUG, Control()).exit_code is ExitCode.DONE  # nobody calls it drift
    assert office.app.status(SLUG).exit_code is ExitCode.DONE


def test_what_is_deleted_already_is_no_trouble_and_a_second_time_there_is_nothing(office: Office) -> None:
    office.announce("facebook")
    office.bank.providers.facebook._posts.clear()

    assert by_name(office.retract("facebook"))["facebook"].deleted == 1
    assert by_name(office.retract("facebook"))["facebook"].deleted == 0


def test_what_was_in_doubt_is_found_and_deleted(office: Office) -> None:
    office.bank.providers.x.behave("error_500_applied")
    office.announce("x")

    report = office.retract("x")

    assert [post.text[:11] for post in office.bank.providers.x.posts] == ["Correction."]
    assert report.exit_code is ExitCode.DONE


def test_a_correction_that_took_the_place_of_the_alarm_is_not_deleted_with_it(office: Office) -> None:
    office.announce("facebook")
    office.announce("facebook", correct=True, status="retracted", components=None)

    report = office.retract("facebook")

    assert (report.update, by_name(report)["facebook"].deleted) == (2, 0)
    assert ["It was a false alarm." in post.text for post in office.bank.providers.facebook.posts] == [True]


def test_what_is_in_doubt_and_not_found_is_told(office: Office) -> None:
    office.bank.providers.x.behave("error_500")
    office.announce("x")

    report = office.retract("x")

    assert report.exit_code is ExitCode.PARTIAL
    assert "may still be up" in report.errors[0].message
    assert "outagecast retract card-payments --delete x" in report.errors[0].hint


def test_a_post_that_cannot_be_deleted_keeps_no_other_and_is_told(office: Office) -> None:
    office.announce("x", "facebook")
    office.announce("x", "facebook", status="identified", cause="A power cut.")
    office.bank.providers.facebook.behave("error_500", method="DELETE")

    report = office.retract("facebook", "x")

    assert report.exit_code is ExitCode.PARTIAL
    assert (by_name(report)["facebook"].deleted, by_name(report)["x"].deleted) == (1, 2)
    assert len(report.errors) == 1
    assert by_name(office.retract("facebook"))["facebook"].deleted == 1


def test_nothing_is_deleted_before_the_correction_is_out(office: Office) -> None:
    office.announce("x")
    office.bank.providers.x.behave("error_500")

    report = office.retract("x")

    assert report.exit_code is ExitCode.IN_DOUBT
    assert [problem.message for problem in report.errors] == [
        "x: nothing was deleted, since the correction is not out there"
    ]
    assert len(office.bank.providers.x.posts) == 1


@pytest.mark.parametrize("name", ["sms", "email", "banner", "nothing"])
def test_a_channel_that_cannot_delete_is_refused_before_anything_is_sent(office: Office, name: str) -> None:
    office.announce()
    before = office.bank.sent

    with pytest.raises(UsageError):
        office.retract(name)

    assert office.bank.sent == before


def test_an_adapter_that_cannot_be_made_deletes_nothing_and_says_so(office: Office) -> None:
    office.announce("x")
    office.retract()
    working = office.made

    def broken(channel: Any) -> Any:
        raise Rejected("no key")

    office.made = broken
    report = office.retract("x")
    office.made = working

    assert [problem.message for problem in report.errors] == ["x: no key"]


# -- the command -------------------------------------------------------------------------------------------------------


def test_one_person_types_one_command_and_one_word(bank: Bank) -> None:
    assert bank.run("announce", "incident.yaml", "--yes").returncode == 0
    terminal = bank.terminal("retract", SLUG, "--delete", "x")

    terminal.expect("Type retract to publish this")
    assert "told you: “Our debit and" in terminal.text
    assert "sms to 2 people" in terminal.text
    assert "Then what was posted on x before is deleted." in terminal.text
    assert bank.sent["x"] == 1
    terminal.type("retract\n")

    assert terminal.wait() == 0
    assert "All 5 channels published." in terminal.text
    assert "1 earlier post deleted" in terminal.text
    assert bank.sent == {"x": 1, "facebook": 2, "sms": 4, "email": 4, "banner": 0}


@pytest.mark.parametrize("answer", ["", "y", "send"])
def test_anything_but_the_word_stops_it(bank: Bank, answer: str) -> None:
    bank.run("announce", "incident.yaml", "--yes", "--channel", "x")
    terminal = bank.terminal("retract", SLUG)
    terminal.expect("Type retract")
    terminal.type(f"{answer}\n")

    assert terminal.wait() == 130
    assert bank.sent["x"] == 1


def test_a_runbook_says_yes_and_without_it_nothing_is_sent(bank: Bank) -> None:
    bank.run("announce", "incident.yaml", "--yes", "--channel", "x")

    assert bank.run("retract", SLUG).returncode == 2
    assert bank.sent["x"] == 1
    found = bank.json("retract", SLUG, "--yes")
    assert (found["exit_code"], found["status"], found["update"]) == (0, "retracted", 2)
    assert [channel["published"] for channel in found["channels"]] == ["yes"]
    assert bank.json("retract", "nothing", "--yes")["exit_code"] == 65
    assert bank.json("retract", SLUG, "--yes", "--delete", "banner")["exit_code"] == 2


def test_an_alarm_that_is_still_being_sent_is_stopped_and_taken_back(bank: Bank) -> None:
    people = [(f"P{number}", f"+614915701{number}", f"p{number}@example.com") for number in range(50, 70)]
    bank.customers(*people)
    bank.config["channels"]["sms"]["rate"] = "4/s"
    bank.write()
    sending = bank.start("announce", "incident.yaml", "--yes", "--channel", "x", "--channel", "sms")
    while not bank.providers.twilio.messages:
        time.sleep(0.05)

    found = bank.json("retract", SLUG, "--yes")
    assert sending.wait(20) == 10
    got = {message.to for message in bank.providers.twilio.messages}

    assert found["exit_code"] == 0
    assert 0 < len(got) < len(people)
    corrected = [text.to for text in bank.providers.twilio.messages if "That was wrong" in text.text]
    assert sorted(corrected) == sorted(got)
    assert len(bank.providers.twilio.messages) == 2 * len(got)
    assert bank.json("resume", SLUG)["exit_code"] == 0
    assert len(bank.providers.twilio.messages) == 2 * len(got)


def test_it_takes_less_than_ten_seconds(bank: Bank) -> None:
    bank.run("announce", "incident.yaml", "--yes")
    began = time.monotonic()

    done = bank.run("retract", SLUG, "--yes", "--json")

    assert time.monotonic() - began < 10
    assert json.loads(done.stdout)["exit_code"] == 0


def test_a_ledger_knows_whom_an_incident_reached_and_with_what(office: Office) -> None:
    office.announce("x", "sms")
    office.announce("x", status="identified", cause="A power cut.")
    stop_all(office, "facebook")
    ledger = office.app.ledger
    with ledger.lock():
        ledger.move(office.entry(number=2), Move(Event.GONE), office.clock.now(), "ana@desk")

    assert sorted((item.channel, item.target, item.number, item.owed) for item in ledger.reached(SLUG)) == [
        ("facebook", "", None, 2),
        ("sms", "+61491570156", 1, None),
        ("sms", "+61491570157", 1, None),
        ("x", "", 2, None),
    ]
    assert list(ledger.reached("nothing")) == []
