"""Putting the last update right: who hears of it, where it takes the place of the wrong words, and how doubt ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from outagecast.channel import Edits, Finds
from outagecast.channels.facebook import Facebook
from outagecast.control import Control
from outagecast.doubt import EDITING, Doubt, Sight, verdict
from outagecast.errors import ExitCode, PlanError
from outagecast.ledger import Event
from outagecast.model import State, Status
from outagecast.rehearsal import Reply
from tests.conftest import Bank
from tests.office import ROMANIAN, SLUG, Office, by_name, states

RIGHT: dict[str, Any] = {"workaround": ["Only transfers in our app still work."]}


@pytest.fixture
def office(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    for name, value in bank.providers.environment.items():
        monkeypatch.setenv(name, value)
    office = Office(bank)
    yield office
    office.close()


# -- where it goes ---------------------------------------------------------------------------------------------------


def test_a_post_that_can_be_edited_is_and_elsewhere_a_correction_is_said(office: Office) -> None:
    office.announce()

    report = office.correct(**RIGHT)

    assert (report.exit_code, report.update, report.corrects) == (ExitCode.DONE, 2, 1)
    assert office.bank.sent == {"x": 2, "facebook": 1, "sms": 4, "email": 4, "banner": 1}
    (post,) = office.bank.providers.facebook.posts
    assert "Only transfers" in post.text
    assert "Cash machines" not in post.text
    assert "Correction" not in post.text  # Facebook itself shows that it was edited
    assert "Only transfers" in (office.bank.folder / "banner.html").read_text()
    first, second = office.bank.providers.x.posts
    assert second.in_reply_to == first.id
    assert second.text.startswith("Correction: Our debit and credit cards")
    assert office.bank.providers.twilio.messages[-1].text.startswith("Example Bank: correction. Our debit")
    mail = office.bank.providers.smtp.mails[-1].message
    assert mail["Subject"].startswith("Correction: Card payments")
    text = mail.get_body(("plain",))
    assert text is not None
    assert "Something in our last e-mail was wrong. This is right:" in text.get_content()


def test_who_was_told_something_wrong_hears_what_is_right_whatever_on_says(office: Office) -> None:
    office.bank.config["channels"]["x"]["on"] = ["resolved", "first"]
    office.bank.write()
    office.open()
    office.announce()

    report = office.correct(**RIGHT)

    assert by_name(report)["sms"].counts.accepted == 2
    assert states(report)["x"] == "accepted"


def test_who_never_had_the_wrong_words_gets_the_right_ones_by_the_usual_rules(office: Office) -> None:
    office.announce("x", "sms")
    office.announce("x", "sms", status="identified", cause="A power cut.")  # which texts do not carry

    report = office.correct("x", "sms", "facebook", cause="A burst pipe.")

    assert states(report) == {"x": "accepted", "facebook": "accepted", "sms": "skipped"}
    assert office.bank.providers.x.posts[-1].text.startswith("Correction: ")
    assert "Correction" not in office.bank.providers.facebook.posts[-1].text  # their first word
    assert len(office.bank.providers.twilio.messages) == 2


def test_a_channel_whose_own_words_were_not_wrong_says_nothing(office: Office) -> None:
    office.announce()

    report = office.correct(components={"Card payments": "partial_outage"})  # which only long texts state

    assert states(report) == {
        "x": "unchanged",
        "facebook": "accepted",
        "banner": "unchanged",
        "sms": "unchanged",
        "email": "accepted",
    }
    assert office.bank.sent == {"x": 1, "facebook": 1, "sms": 2, "email": 4, "banner": 1}
    second = office.correct(**RIGHT)
    assert second.corrects == 2
    assert office.bank.sent == {"x": 2, "facebook": 1, "sms": 4, "email": 6, "banner": 1}


def test_a_wrong_translation_is_put_right_for_those_who_read_it_alone(office: Office) -> None:
    office.speak_romanian("Conturile sunt goale.", english="Correction:", romanian="Rectificare:")
    office.announce()

    office.correct(translations={"ro": ROMANIAN})

    *_, last = office.bank.providers.x.posts
    assert last.text.startswith("Rectificare: Cardurile sunt refuzate.")
    assert office.states(2) == {"x": ["unchanged", "accepted"]}


def test_a_correction_can_be_wrong_too(office: Office) -> None:
    office.announce()
    office.correct(**RIGHT)

    report = office.correct(workaround=["Nothing works."])

    assert (report.update, report.corrects) == (3, 2)
    assert office.bank.sent == {"x": 3, "facebook": 1, "sms": 6, "email": 6, "banner": 1}
    assert "Nothing works." in office.bank.providers.facebook.posts[0].text


def test_the_same_message_again_only_finishes_it(office: Office) -> None:
    office.announce("x", "facebook")
    office.bank.providers.facebook.behave("unauthorized")
    assert office.correct("x", "facebook", **RIGHT).exit_code is ExitCode.PARTIAL

    report = office.correct("x", "facebook")

    assert (report.exit_code, report.update, report.corrects) == (ExitCode.DONE, 2, 1)
    assert (len(office.bank.providers.x.posts), len(office.bank.providers.facebook.posts)) == (2, 1)
    assert "Only transfers" in office.bank.providers.facebook.posts[0].text
    assert office.app.status(SLUG).corrects == 1


def test_with_nothing_announced_there_is_nothing_to_correct(office: Office) -> None:
    with pytest.raises(PlanError, match="nothing to correct"):
        office.correct()


def test_an_end_that_was_no_end_is_corrected_without_reopening(office: Office) -> None:
    office.announce("x")
    office.announce("x", status="resolved", components=None, summary="Cards work again.")

    report = office.correct("x", status="monitoring", summary="Cards work for most of you.")

    assert report.exit_code is ExitCode.DONE
    assert office.bank.providers.x.posts[-1].text.startswith("Correction: ")


def test_the_next_update_stays_promised_for_when_it_was(office: Office) -> None:
    first = office.announce("x")
    office.clock.pass_by(600)

    assert office.correct("x", **RIGHT).next_update_at == first.next_update_at
    assert office.correct("x", next_update_at="2h").next_update_at != first.next_update_at
    office.clock.pass_by(timedelta(hours=3).total_seconds())
    late = office.correct("x", workaround=None).next_update_at
    assert late is not None
    assert late > office.clock.now()


def test_an_update_that_is_none_leaves_the_post_of_the_one_before_alone(office: Office) -> None:
    office.announce("facebook")
    office.announce("facebook", status="identified", cause="A power cut.")

    assert len(office.bank.providers.facebook.posts) == 2
    assert [office.entry("facebook", number).delivery.edits for number in (1, 2)] == [None, None]


def test_only_the_wrong_post_is_edited(office: Office) -> None:
    office.announce("facebook")
    office.bank.providers.facebook.behave("unauthorized")
    office.announce("facebook", status="identified", cause="A power cut.")  # which nobody ever saw there

    office.correct("facebook", cause="A burst pipe.")

    first, second = office.bank.providers.facebook.posts
    assert "burst pipe" not in first.text
    assert "burst pipe" in second.text


def test_where_the_wrong_words_may_be_the_right_ones_are_said_anew(office: Office) -> None:
    office.bank.providers.facebook.behave("error_500_applied")
    office.bank.providers.facebook.behave("error_500", method="GET", times=3)
    assert states(office.announce("facebook"))["facebook"] == "in_doubt"

    assert states(office.correct("facebook", **RIGHT))["facebook"] == "accepted"

    assert len(office.bank.providers.facebook.posts) == 2
    assert office.bank.providers.facebook.posts[-1].text.startswith("Correction: Card payments")


def test_a_post_that_is_gone_is_not_edited_but_written_anew(office: Office, lead: Any) -> None:
    office.announce("facebook")
    office.bank.providers.facebook._posts.clear()
    office.app.verify(SLUG, Control())

    office.correct("facebook", **RIGHT)

    assert len(office.bank.providers.facebook.posts) == 1


def test_a_false_alarm_that_was_corrected_is_deleted_once(office: Office) -> None:
    office.announce("facebook")
    office.correct("facebook", **RIGHT)

    report = office.retract("facebook")

    assert (by_name(report)["facebook"].deleted, len(office.bank.providers.facebook.posts)) == (1, 1)


def everywhere(office: Office) -> None:
    """Have texts and mails carry every status."""
    for name in ("sms", "email"):
        office.bank.config["channels"][name]["on"] = ["first", *map(str, Status)]
    office.bank.write()
    office.open()


@pytest.mark.parametrize("status", ["investigating", "identified", "monitoring", "resolved"])
def test_every_status_says_that_it_is_a_correction(office: Office, status: str) -> None:
    ended: dict[str, Any] = (
        {"components": None, "next_update_at": None, "summary": "Cards work again."} if status == "resolved" else {}
    )
    everywhere(office)
    office.announce()
    office.announce(status=status, **ended)

    said = office.words(apology="We are truly sorry.")

    assert said["x"].startswith("Correction: ")
    assert said["sms"].startswith("Example Bank: correction. ")
    assert "Something in our last e-mail was wrong. This is right: " in said["email"]
    assert not said["facebook"].startswith("Correction")


@pytest.mark.parametrize("status", ["scheduled", "in_progress", "completed"])
def test_so_does_planned_work(office: Office, status: str) -> None:
    day = (office.bank.clock + timedelta(days=7)).replace(hour=9, minute=0, second=0, microsecond=0)
    window = {name: (day + timedelta(hours=hours)).isoformat() for name, hours in (("start", 0), ("end", 4))}
    facts: dict[str, Any] = {"window": window, **dict.fromkeys(("started_at", "components", "next_update_at"))}
    everywhere(office)
    office.announce(**facts, status="scheduled")
    office.announce(**facts, status=status, apology="We are sorry.")

    said = office.words(apology="We are truly sorry.")

    assert said["x"].startswith("Correction: ")
    assert said["sms"].startswith("Example Bank: correction. ")
    assert "This is right: " in said["email"]
    assert not said["facebook"].startswith("Correction")


# -- doubt -----------------------------------------------------------------------------------------------------------


LOST = ("error_500", "error_500_applied", "reset_before", "reset_after", "garbage_200", "garbage_200_applied")


@pytest.mark.parametrize("fault", LOST)
def test_an_edit_whose_answer_is_lost_ends_with_the_right_words_in_one_post(office: Office, fault: Any) -> None:
    office.announce("facebook")
    office.bank.providers.facebook.behave(fault)

    report = office.correct("facebook", **RIGHT)
    if report.exit_code is not ExitCode.DONE:
        report = office.app.resume(SLUG, Control())

    assert report.exit_code is ExitCode.DONE
    (post,) = office.bank.providers.facebook.posts
    assert "Only transfers" in post.text
    receipts = [office.entry("facebook", number).receipt for number in (1, 2)]
    assert [receipt and receipt.provider_id for receipt in receipts] == [post.id] * 2


def test_an_edit_that_was_applied_is_found_and_not_made_again(office: Office) -> None:
    office.announce("facebook")
    held = office.bank.providers.facebook._posts
    for post in list(held.values()):  # from long before
        held[post.id] = replace(post, created_at=post.created_at - timedelta(hours=1))
    office.bank.providers.facebook.behave("error_500_applied")

    assert office.correct("facebook", **RIGHT).exit_code is ExitCode.DONE

    posted = [request.path for request in office.bank.providers.facebook.requests if request.method == "POST"]
    assert len(posted) == 2


def test_a_run_that_was_killed_in_an_edit_is_finished_by_the_next(office: Office) -> None:
    office.announce("facebook")
    control = Control()
    control.stop.set()
    office.announce("facebook", correct=True, control=control, **RIGHT)
    with office.app.ledger.lock():
        assert office.app.ledger.claim(SLUG, 2, "facebook", office.clock.now(), "ana@desk")

    assert office.app.resume(SLUG, Control()).exit_code is ExitCode.DONE

    assert [("Only transfers" in post.text) for post in office.bank.providers.facebook.posts] == [True]


def test_a_refused_edit_is_told_and_nothing_is_posted_in_its_place(office: Office) -> None:
    office.announce("facebook")
    error = {"error": {"code": 100, "message": "no such object", "fbtrace_id": "A"}}
    office.bank.providers.facebook.behave(Reply(400, error))

    report = office.correct("facebook", **RIGHT)

    assert report.exit_code is ExitCode.NOTHING_PUBLISHED
    assert "does not let us edit the post 100_" in (by_name(report)["facebook"].error or "")
    assert len(office.bank.providers.facebook.posts) == 1


def test_an_answer_that_is_no_yes_leaves_an_edit_in_doubt(office: Office) -> None:
    office.announce("facebook")
    office.bank.providers.facebook.behave(Reply(200, {"success": False}))
    office.bank.providers.facebook.behave("error_500", method="GET")

    assert states(office.correct("facebook", **RIGHT))["facebook"] == "in_doubt"
    assert office.app.resume(SLUG, Control()).exit_code is ExitCode.DONE


def test_an_edit_in_doubt_is_looked_up_else_made_again_and_never_held_for_a_person(office: Office) -> None:
    now = office.clock.now()
    doubt = Doubt(State.IN_DOUBT, now, now, 5, None)

    assert verdict(EDITING, doubt, Sight.SEEN, now) is Event.FOUND
    assert verdict(EDITING, doubt, Sight.UNSEEN, now) is Event.REPLAYED
    assert verdict(EDITING, doubt, Sight.DENIED, now) is Event.REPLAYED
    assert verdict(EDITING, doubt, Sight.FAILED, now) is None


def test_facebook_edits_and_finds_what_it_edited() -> None:
    assert issubclass(Facebook, Edits)
    assert issubclass(Facebook, Finds)


# -- the command -----------------------------------------------------------------------------------------------------


def test_the_officer_sees_what_is_corrected_before_it_is(bank: Bank) -> None:
    bank.run("announce", "incident.yaml", "--yes")
    terminal = bank.terminal("announce", "incident.yaml", "--correct", "--set", "workaround=Only transfers work.")
    terminal.expect("Send it? [y/N]")

    assert "update 2, corrects 1" in terminal.text
    assert "edits the earlier post" in terminal.text
    assert "Correction: Our debit and credit cards" in terminal.text
    terminal.type("y\n")
    assert terminal.wait() == 0
    assert bank.sent["facebook"] == 1


def test_a_runbook_corrects_and_is_told_of_what(bank: Bank) -> None:
    assert bank.json("announce", "incident.yaml", "--yes", "--correct")["exit_code"] == 65
    assert bank.json("announce", "incident.yaml", "--yes", "--channel", "x")["corrects"] is None
    right = ("announce", "--incident", SLUG, "--set", "workaround=Only transfers work.", "--channel", "x", "--correct")

    assert bank.json(*right, "--dry-run")["corrects"] == 1
    assert bank.json(*right, "--yes")["corrects"] == 1
    assert bank.json("status")["corrects"] == 1
    assert bank.sent["x"] == 2
