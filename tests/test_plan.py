from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from outagecast import plan
from outagecast.audience import Audience, Rows
from outagecast.errors import ConflictError, PlanError, Problem, UsageError
from outagecast.ledger import Carried, Past
from outagecast.model import State, Status, Variant
from outagecast.roll import Group, Person

if TYPE_CHECKING:
    from tests.conftest import Newsroom

Draw = Callable[..., plan.Plan]


@pytest.fixture
def draw(newsroom: Newsroom) -> Draw:
    """A function that draws a plan: of facts, of what was said, and of what each channel carries."""

    def drawn(*kinds: str, past: Past | None = None, without: tuple[str, ...] = (), **facts: Any) -> plan.Plan:
        carried = {kind: item for (kind, who, _), item in past.carried.items() if who} if past else {}
        crowds = {
            kind: Audience((Group("en", carried.get(kind), name="ana"), Group("en", name="ben")))
            for kind in ("twilio_sms", "smtp")
        }
        return plan.draw(
            newsroom.message(**facts),
            newsroom.config,
            audiences=crowds,
            past=past or Past("card-payments", tuple(newsroom.updates)),
            only=kinds,
            without=without,
            now=newsroom.now,
        )

    return drawn


def past(newsroom: Newsroom, **carried: Carried) -> Past:
    """What was said, and what each channel's ``en`` public or ``ana`` carries of it."""
    bulk = {"twilio_sms", "smtp"}
    return Past(
        "card-payments",
        tuple(newsroom.updates),
        {(kind, "ana" if kind in bulk else "", "en"): item for kind, item in carried.items()},
    )


def opened(newsroom: Newsroom, drawn: plan.Plan, digest: str = "") -> dict[tuple[str, str], tuple[State, str | None]]:
    words = [Variant(c.name, c.kind, "en", {"text": digest}, 1, "", (), ()) for c in drawn.channels]
    found = plan.openings(drawn, words, newsroom.config)
    return {(item.channel, item.target): (item.state, item.reason) for item in found}


def test_public_channels_come_before_the_thousands(draw: Draw) -> None:
    assert [channel.name for channel in draw().channels] == ["x", "facebook", "banner", "twilio_sms", "smtp"]


def test_channels_are_chosen_and_left_out_by_name(newsroom: Newsroom, draw: Draw) -> None:
    assert [channel.name for channel in draw("x", "smtp").channels] == ["x", "smtp"]
    assert "x" not in [channel.name for channel in draw(without=("x",)).channels]
    with pytest.raises(UsageError, match='there is no channel "facebok"'):
        draw("facebok")
    with pytest.raises(UsageError, match="no channel is left"):
        draw("x", without=("x",))

    newsroom.settings["channels"]["x"]["enabled"] = False
    assert "x" not in [channel.name for channel in draw().channels]
    with pytest.raises(UsageError, match='"x" is switched off'):
        draw("x")


def test_words_by_hand_for_a_channel_that_is_not_there_are_an_error(draw: Draw) -> None:
    with pytest.raises(PlanError, match='variants: there is no channel "twitter"'):
        draw(variants={"twitter": {"en": {"text": "Hello"}}})


def test_the_next_update_is_as_written_or_as_promised(newsroom: Newsroom, draw: Draw) -> None:
    window = {"start": "2026-11-29T01:00+11:00", "end": "2026-11-29T05:00+11:00"}

    newsroom.now += timedelta(minutes=1)
    assert draw().next_update_at == datetime.fromisoformat("2026-11-22T19:25+11:00")
    assert draw(next_update_at="1h").next_update_at == datetime.fromisoformat("2026-11-22T19:55+11:00")
    assert draw(next_update_at="2026-11-22T20:01+11:00").next_update_at == datetime.fromisoformat(
        "2026-11-22T20:01+11:00"
    )
    for status in ("resolved", "retracted"):
        assert draw(status=status, next_update_at="30m").next_update_at is None
    assert draw(status="scheduled", window=window).next_update_at is None
    assert draw(status="completed", window=window, next_update_at="30m").next_update_at is None


def test_the_same_message_again_is_the_same_update_as_of_then(newsroom: Newsroom, draw: Draw) -> None:
    newsroom.said(newsroom.now - timedelta(minutes=10), scope="Everyone.")

    again, new = draw(scope="Everyone."), draw(scope="Half of you.")

    assert (again.number, again.is_new, again.as_of) == (1, False, newsroom.now - timedelta(minutes=10))
    assert (new.number, new.is_new, new.as_of) == (2, True, newsroom.now)


def test_an_older_message_again_conflicts_with_the_newer_one(newsroom: Newsroom, draw: Draw) -> None:
    newsroom.said(newsroom.now)
    newsroom.said(newsroom.now, scope="Everyone.")

    with pytest.raises(ConflictError, match="this is update 1 of card-payments again, and update 2 is newer"):
        draw()


def test_what_a_status_outdates_is_what_was_said_before_it(newsroom: Newsroom, draw: Draw) -> None:
    for status in ("investigating", "identified", "monitoring"):
        newsroom.said(newsroom.now, status=status, scope=status)

    def outdated(status: str) -> list[str]:
        return [said.written["scope"] for said in draw(status=status).earlier]

    assert outdated("identified") == []
    assert outdated("monitoring") == outdated("resolved") == ["investigating", "identified"]
    assert outdated("retracted") == ["investigating", "identified", "monitoring"]


def test_an_update_does_not_outdate_itself(newsroom: Newsroom, draw: Draw) -> None:
    newsroom.said(newsroom.now, status="investigating")
    newsroom.said(newsroom.now, status="resolved")

    assert len(draw(status="resolved").earlier) == 1
    assert draw(status="resolved").is_new is False


def test_nobody_hears_of_the_end_of_what_they_never_heard_of(newsroom: Newsroom, draw: Draw) -> None:
    newsroom.said(newsroom.now)
    seen = past(newsroom, x=Carried(1, State.ACCEPTED, "old"), smtp=Carried(1, State.IN_DOUBT, "old"))

    states = opened(newsroom, draw(past=seen, status="resolved"))

    assert states == {
        ("x", ""): (State.READY, None),
        ("facebook", ""): (State.SKIPPED, plan.Reason.NOT_ANNOUNCED),
        ("banner", ""): (State.SKIPPED, plan.Reason.NOT_ANNOUNCED),
        ("twilio_sms", "ana"): (State.SKIPPED, plan.Reason.NOT_ANNOUNCED),
        ("twilio_sms", "ben"): (State.SKIPPED, plan.Reason.NOT_ANNOUNCED),
        ("smtp", "ana"): (State.READY, None),
        ("smtp", "ben"): (State.SKIPPED, plan.Reason.NOT_ANNOUNCED),
    }


def test_people_hear_the_first_word_and_the_last_and_who_heard_none_hears_the_newest(
    newsroom: Newsroom, draw: Draw
) -> None:
    newsroom.said(newsroom.now)
    seen = past(newsroom, x=Carried(1, State.VERIFIED, "old"), smtp=Carried(1, State.ACCEPTED, "old"))

    states = opened(newsroom, draw(past=seen, status="identified"))

    assert states["x", ""] == (State.READY, None)
    assert states["smtp", "ana"] == (State.SKIPPED, plan.Reason.NOT_CARRIED)
    assert states["smtp", "ben"] == (State.READY, None)  # as first word
    assert states["twilio_sms", "ana"] == (State.READY, None)


def test_the_same_words_are_not_said_twice_not_even_where_they_only_may_be_there(
    newsroom: Newsroom, draw: Draw
) -> None:
    newsroom.said(newsroom.now)
    digest = Variant("x", "x", "en", {"text": "Cards fail."}, 1, "", (), ()).digest
    out = past(newsroom, x=Carried(1, State.ACCEPTED, digest), facebook=Carried(1, State.NEEDS_DECISION, digest))

    states = opened(newsroom, draw(past=out, status="identified"), "Cards fail.")

    assert states["x", ""] == (State.UNCHANGED, plan.Reason.SAME_WORDS)
    assert states["facebook", ""] == (State.IN_DOUBT, plan.Reason.PERHAPS_THERE)


def test_what_is_open_already_is_not_opened_again(newsroom: Newsroom, draw: Draw) -> None:
    newsroom.said(newsroom.now)
    seen = Past("card-payments", tuple(newsroom.updates), {}, {("x", 1)})

    drawn = draw(past=seen)

    assert [channel.name for channel in drawn.channels if channel.is_open] == ["x"]
    assert ("x", "") not in opened(newsroom, drawn)


def test_a_first_word_is_still_one_when_it_is_said_again(newsroom: Newsroom, draw: Draw) -> None:
    newsroom.said(newsroom.now)
    seen = past(newsroom, x=Carried(1, State.ACCEPTED, "these"))

    assert draw("x", past=seen).channels[0].is_first_word
    assert not draw("x", past=seen, scope="Everyone.").channels[0].is_first_word


def test_public_words_grow_stale_with_the_next_promise_and_mails_after_hours(newsroom: Newsroom, draw: Draw) -> None:
    drawn = draw(next_update_at="2026-11-22T20:00+11:00")
    expiry = {channel.name: plan.expiry(channel.config, drawn, newsroom.config) for channel in drawn.channels}

    assert expiry["x"] == datetime.fromisoformat("2026-11-22T20:30+11:00")
    assert expiry["smtp"] == newsroom.now + timedelta(hours=6)
    assert plan.expiry(drawn.channels[0].config, draw(status="resolved"), newsroom.config) is None


def test_a_promise_that_has_passed_keeps_nobody_from_being_told(newsroom: Newsroom, draw: Draw) -> None:
    drawn = draw(next_update_at="2026-11-21T20:00+11:00", started_at="2026-11-21T18:30+11:00")
    assert plan.expiry(drawn.channels[0].config, drawn, newsroom.config) == newsroom.now + timedelta(minutes=30)


def test_words_too_old_to_be_sent_are_not_opened_on_further_channels(newsroom: Newsroom, draw: Draw) -> None:
    opened = newsroom.now - timedelta(hours=1)
    newsroom.said(opened, next_update_at="2026-11-22T18:00+11:00", started_at=None)
    seen = Past("card-payments", (replace(newsroom.updates[0], next_update_at=opened),), {}, {("x", 1)})
    with pytest.raises(PlanError, match="too old to be sent to facebook, banner") as refused:
        draw("x", "facebook", "banner", past=seen, next_update_at="2026-11-22T18:00+11:00", started_at=None)
    assert refused.value.exit_code == 65


def test_the_organisations_contact_fills_in_for_the_messages(draw: Draw) -> None:
    assert draw().message.contact.phone == "13 20 32"
    assert draw(contact={"phone": "999"}).message.contact.phone == "999"
    assert draw(contact={"phone": "999"}).message.contact.url == "https://status.example.com"


def test_bad_rows_and_empty_audiences_are_pointed_out(newsroom: Newsroom) -> None:
    rows = Rows()
    rows.append(Problem("is no address", file="customers.csv", line=3))
    crowds = {"smtp": Audience(rows=rows)}
    drawn = plan.draw(newsroom.message(), newsroom.config, audiences=crowds, only=["smtp"], now=newsroom.now)

    assert drawn.warnings == (
        "smtp: 1 row is left out, the first on line 3",
        "smtp: nobody in the audience has such an address",
    )


def test_each_status_has_its_closing_and_maintenance_sides() -> None:
    assert {status for status in Status if status.is_closing} == {"resolved", "completed", "retracted"}


def test_who_is_on_the_suppression_list_gets_nothing_whatever_they_carry(newsroom: Newsroom) -> None:
    newsroom.said(newsroom.now)
    wrong = Carried(1, State.ACCEPTED, "old")
    crowd = Audience((Group("en", wrong, "stop", 30, name="a"), Group("en", wrong, name="b", people=5)))

    drawn = plan.draw(
        newsroom.message(status="resolved"),
        newsroom.config,
        audiences={"smtp": crowd},
        past=Past("card-payments", tuple(newsroom.updates)),
        only=["smtp"],
        now=newsroom.now,
    )

    assert opened(newsroom, drawn) == {
        ("smtp", "a"): (State.SKIPPED, "they answered STOP"),
        ("smtp", "b"): (State.READY, None),
    }
    words = [Variant("smtp", "smtp", "en", {"text": ""}, 1, "", (), ())]
    shares = list(plan.openings(drawn, words, newsroom.config))
    assert [count for _, count in plan.counted(drawn, shares)] == [30, 5]


def test_each_person_is_opened_as_their_group_is(newsroom: Newsroom, draw: Draw) -> None:
    words = [Variant("smtp", "smtp", "en", {"text": "new"}, 1, "", (), ())]
    shares = list(plan.openings(draw("smtp"), words, newsroom.config))
    roll = [
        Person("1@example.com", "ana", None),
        Person("2@example.com", "ben", None),
        Person("3@example.com", "ana", None),
    ]

    found = list(plan.people(shares, roll))

    assert [(item.target, item.channel, item.state, item.expires_at) for item in found] == [
        (f"{number}@example.com", "smtp", State.READY, newsroom.now + timedelta(hours=6)) for number in (1, 2, 3)
    ]


def test_where_a_mail_is_in_doubt_each_person_keeps_the_time_of_theirs(newsroom: Newsroom, draw: Draw) -> None:
    newsroom.said(newsroom.now)
    words = [Variant("smtp", "smtp", "en", {"text": "new"}, 1, "", (), ())]
    seen = past(newsroom, smtp=Carried(1, State.IN_DOUBT, words[0].digest))
    shares = list(plan.openings(draw("smtp", past=seen, status="resolved"), words, newsroom.config))

    (one,) = plan.people(shares, [Person("1@example.com", "ana", newsroom.now)])

    assert (one.state, one.attempted_at) == (State.IN_DOUBT, newsroom.now)


def test_numbers_of_other_countries_are_told_of_by_their_country(newsroom: Newsroom) -> None:
    rows = Rows(elsewhere=Counter({"NZ": 1200, "": 1}))
    crowd = {"twilio_sms": Audience((Group("en"),), rows=rows)}

    drawn = plan.draw(newsroom.message(), newsroom.config, audiences=crowd, only=["twilio_sms"], now=newsroom.now)

    assert list(drawn.warnings) == [
        "twilio_sms: 1,201 rows are left out, with numbers of other countries than it is for: NZ 1,200, no country 1"
    ]
