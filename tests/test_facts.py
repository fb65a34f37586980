from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from outagecast import facts
from outagecast.channel import Carries
from outagecast.facts import Fact, Said
from outagecast.model import Status
from outagecast.wording import Wording

if TYPE_CHECKING:
    from tests.conftest import Newsroom

SYDNEY = ZoneInfo("Australia/Sydney")
NOW = datetime(2026, 11, 22, 18, 50, tzinfo=SYDNEY)
WORDING = Wording("en", SYDNEY, NOW)
HALF_PAST_SIX = WORDING.moment(NOW - timedelta(minutes=20))
FIVE_TOMORROW = WORDING.moment(datetime(2026, 11, 23, 5, 0, tzinfo=SYDNEY))


def states(text: str, *needles: Any, by_hand: bool = False) -> bool:
    return facts.carried(text, [Fact("it", needles)], by_hand=by_hand)[0] == ["it"]


def given(newsroom: Newsroom, earlier: tuple[Said, ...] = (), **said: Any) -> dict[str, Any]:
    return facts.context(newsroom.message(**said), WORDING, NOW, links=True, earlier=earlier)


@pytest.mark.parametrize("text", ["since 6:30pm", "since 6.30 p.m.", "at 18:30", "at 18.30", "à 18 h 30", "6:30PM."])
def test_a_time_is_found_however_it_is_written(text: str) -> None:
    assert states(text, HALF_PAST_SIX)


@pytest.mark.parametrize(
    "text", ["since 6:30am", "since 16:30pm", "6:35pm", "18:301", "6pm", "30pm", "on 6.30.2026", ""]
)
def test_another_time_is_not_taken_for_it(text: str) -> None:
    assert not states(text, HALF_PAST_SIX)


def test_a_time_of_another_day_needs_its_day() -> None:
    assert not states("by 5am", FIVE_TOMORROW)
    assert not states("by 5am on Tuesday 24 November", FIVE_TOMORROW)
    assert not states("by 15am on Monday 23 November", FIVE_TOMORROW)
    assert states("by 5am on Monday 23 November", FIVE_TOMORROW)
    assert states("by 5am, Mon 23 Nov", FIVE_TOMORROW)


def test_midnight_and_midday_are_times() -> None:
    midday, midnight = (WORDING.moment(NOW.replace(hour=hour, minute=0)) for hour in (12, 0))

    assert states("at midday", midday)
    assert states("at noon", midday)
    assert not states("at midday", midnight)
    assert states("at midnight", midnight)


def test_typography_and_capitals_change_no_fact() -> None:
    assert states("“We’re sorry – truly…”", "we're sorry - truly...")
    assert states("NE PARE RAU", "Ne pare rău.")
    assert states("我們曾公布：「顯示『系統繁忙』。」該情況已結束。", "顯示「系統繁忙」。")


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("Cards are not declined", "Cards are declined."),
        ("up to $1000", "up to $100"),
        ("call 113 20 32", "13 20 32"),
        ("call 13 20 323", "13 20 32"),
        ("", "Cards are declined."),
    ],
)
def test_a_changed_fact_is_not_found(text: str, fact: str) -> None:
    assert not states(text, fact)


def test_words_by_hand_may_differ_but_not_the_numbers() -> None:
    fact = "Our debit and credit cards are being declined in shops and online, 9 of 10 payments."

    assert states("9 out of 10 card payments fail in shops and online right now.", fact, by_hand=True)
    assert not states("9 out of 10 card payments fail in shops and online right now.", fact)
    assert not states("8 out of 10 card payments fail in shops and online right now.", fact, by_hand=True)
    assert not states("9 of 10: hello, have a nice day.", fact, by_hand=True)
    assert not states("at 19:30", HALF_PAST_SIX, by_hand=True)


def test_only_what_is_seen_counts_in_markup() -> None:
    html = (
        "<head><title>Cards fail</title><style>p { cards: fail }</style></head><!-- Cards fail -->"
        '<script>"Cards fail"</script><p>We&#39;re <b>so</b>rry &lt;b&gt;</p><p>See <a class="x" '
        'href="https://example.com?a=1&amp;b=2">this</a></p>'
    )

    assert "Cards fail" not in facts.visible(html)
    assert "We're sorry <b>" in facts.visible(html)
    assert "https://example.com?a=1&b=2" in facts.visible(html)


def test_every_status_says_only_what_it_has_a_place_for(newsroom: Newsroom) -> None:
    everything: dict[str, Any] = {
        "scope": "unknown",
        "started_at": "2026-11-22T18:30+11:00",
        "ended_at": "2026-11-22T18:40+11:00",
        "window": {"start": "2026-11-22T18:00+11:00", "end": "2026-11-22T20:00+11:00"},
        "cause": "An update of ours.",
        "workaround": "Use cash.",
        "eta": "2026-11-22T21:00+11:00",
        "retraction_reason": "A monitor broke.",
    }
    said = {
        status.value: {fact.name for fact in facts.stated(given(newsroom, **everything, status=status.value), {})}
        for status in Status
    }
    always = {"status", "summary"}
    incident = always | {"scope", "started_at", "cause", "workaround"}

    assert said == {
        "investigating": incident | {"eta", "next_update_at"},
        "identified": incident | {"eta", "next_update_at"},
        "monitoring": incident | {"ended_at", "next_update_at"},
        "resolved": incident | {"ended_at"},
        "scheduled": always | {"scope", "cause", "workaround", "window", "next_update_at"},
        "in_progress": incident | {"window", "eta", "next_update_at"},
        "completed": incident | {"window", "ended_at"},
        "retracted": always | {"workaround", "retraction_reason"},
    }


def test_an_old_way_round_is_not_offered_for_what_works_again(newsroom: Newsroom) -> None:
    earlier = (Said({"title": "x", "summary": "x", "workaround": "Use  cash."}, NOW),)

    assert given(newsroom, earlier, status="resolved", workaround="Use cash.")["workaround"] is None
    assert given(newsroom, earlier, status="resolved", workaround="Pay again.")["workaround"] == ["Pay again."]


def test_news_is_told_from_what_was_said_before(newsroom: Newsroom) -> None:
    old: dict[str, Any] = {"title": "Card payments are failing", "summary": "Our cards are declined."}
    earlier = (Said(old, NOW - timedelta(minutes=60)), Said(old, NOW - timedelta(minutes=30)))
    same = given(newsroom, earlier, status="resolved", **old)
    news = given(newsroom, earlier, status="resolved", title="Cards work again", summary="They were declined.")
    twice = given(newsroom, earlier, status="resolved", title="Cards work", summary="Our cards work again.")

    assert (same["headline"], same["summary_is_old"]) == (None, True)
    assert (news["headline"], news["summary_is_old"]) == ("Cards work again", False)
    assert twice["headline"] is None
    assert same["said_before"]["at"].clock == "5:50pm"  # the first time that it was said


def test_a_correction_quotes_what_was_said_and_not_the_correction(newsroom: Newsroom) -> None:
    earlier = (Said({"title": "x", "summary": "Our cards are declined."}, NOW),)

    assert given(newsroom, earlier, status="retracted", summary="Our cards work.")["said_before"]["summary"] == (
        "Our cards are declined."
    )
    assert given(newsroom, status="retracted", summary="Our cards fail.")["said_before"]["summary"] == "Our cards fail."


def test_what_was_said_before_is_compared_in_the_readers_language() -> None:
    said = Said({"summary": "Cards fail.", "translations": {"ro": {"summary": "Cardurile nu merg."}}}, NOW)

    assert said.words("summary", "ro") == ("Cardurile nu merg.",)
    assert said.words("summary", "de") == ("Cards fail.",)
    assert said.words("scope", "de") == ()


def test_a_headline_must_state_nothing_and_a_long_form_everything() -> None:
    stated = [Fact("summary", ("a",)), Fact("scope", ("b",))]

    assert facts.required(Carries.NOTHING, stated, Status.RESOLVED) == set()
    assert facts.required(Carries.ESSENTIALS, stated, Status.RESOLVED) == {"summary"}
    assert facts.required(Carries.EVERYTHING, stated, Status.RESOLVED) == {"summary", "scope"}


PHRASES = {
    "cause_unknown": "we don't yet know the cause",
    "no_estimate_brief": "no estimate yet",
    "status_said": {
        "investigating": ["looking for the cause"],
        "identified": ["found the cause"],
        "monitoring": ["watching closely"],
        "resolved": ["working again"],
        "scheduled": ["planned work"],
        "in_progress": ["planned work"],
        "completed": ["work is finished"],
        "retracted": ["correction"],
    },
    "component_states": {"major_outage": "down", "operational": "working"},
}


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("Cards fail since 6:30pm. Fixed by 9pm.", []),
        ("Cards fail since 6:30pm. More by 8:30pm.", [("times", "20:30")]),
        ("Cards fail since 18 h 30, more at 19h45.", [("times", "19:45")]),
        ("自下午6時30分起。晚上8時30分或之前。", [("times", "20:30")]),
        ("Karten gehen nicht. Neues bis 20 Uhr.", [("times", "20:00")]),
        ("A fee of $18.30 is refunded.", []),  # a price, and not a time
        ("Réparé dans 2 heures environ, au plus tard en 3 h.", []),  # how long, and not when
        ("Estará resuelto en 2 horas.", []),
        ("It takes another 2h.", []),
        ("Prochain point à 22 h.", [("times", "22:00")]),
        ("Lo arreglamos antes de las 22 horas.", [("times", "22:00")]),
        ("晚上12時更新。", [("times", "0:00")]),
        ("Branches close at 9pm.", []),  # the officer's own words say so
        ("Cards are working again. Sorry.", [("status", "working again")]),
        ("We are working against time.", []),
        ("Card payments\nThey are working again.", [("status", "working again")]),
        ("We will e-mail you. That is when cards are working again.", []),  # what begins a text says how it is
        ("Cards fail; we are looking for the cause. Not all are working again.", []),
        ("Correction: it began at 6:30pm.", []),  # every status has its corrections
        ("We don’t yet know the cause.", [("cause", "we don't yet know the cause")]),
        ("We do not yet know the cause.", [("cause", "we don't yet know the cause")]),
        ("Cards fail. Call 13 20 32.", []),
        ("Cards fail. Call 13 20 33.", [("contact.phone", "13 20 33")]),
        ("Cards fail. Call (02) 5550-1234 on 2026-11-22.", [("contact.phone", "02) 5550-1234")]),
        ("No estimate yet.", [("eta", "no estimate yet")]),
    ],
)
def test_a_text_by_hand_may_not_deny_a_fact(newsroom: Newsroom, text: str, denied: list[tuple[str, str]]) -> None:
    facts_given = given(
        newsroom,
        started_at="2026-11-22T18:30+11:00",
        cause="An update of ours.",
        workaround="Branches are open until 9pm.",
        eta="2026-11-22T21:00+11:00",
        contact={"phone": "13 20 32"},
    )

    assert list(facts.contradictions(text, facts_given, PHRASES)) == denied


def test_the_state_of_each_part_is_said_in_words(newsroom: Newsroom) -> None:
    components = {"Card payments": "major_outage", "Mobile app": "operational"}
    stated = facts.stated(given(newsroom, components=components), PHRASES)
    parts = [fact for fact in stated if fact.name == "components"]

    assert facts.carried("Card payments: down. Mobile app: working.", parts) == (["components"], [])
    assert facts.carried("Card payments: down. Mobile app.", parts) == ([], ["components"])
    assert facts.carried("Card payments: download. Mobile app: working.", parts) == ([], ["components"])
    assert facts.carried("Neither card payments nor the mobile app.", parts, by_hand=True) == (["components"], [])


def test_that_there_is_no_estimate_is_a_fact_of_an_open_incident(newsroom: Newsroom) -> None:
    def names(**more: Any) -> list[str]:
        return [fact.name for fact in facts.stated(given(newsroom, **more), PHRASES)]

    assert "eta" in names(status="investigating")
    assert "eta" in names(status="investigating", eta="2026-11-22T21:00+11:00")
    assert "eta" not in names(status="monitoring")


def test_words_from_before_there_was_a_translation_are_not_quoted_to_its_readers(newsroom: Newsroom) -> None:
    english_only = newsroom.message(summary="Cards fail.")
    resolved = newsroom.message(
        status="resolved",
        summary="Cards fail.",
        translations={"ro": {"title": "Cardurile nu merg", "summary": "Cardurile nu merg."}},
    )
    earlier = (Said(json.loads(english_only.as_written()), NOW),)
    wording = Wording("ro", WORDING.zone, NOW)

    told = facts.context(resolved.translated("ro"), wording, None, links=True, earlier=earlier)

    assert told["summary_is_old"]
    assert told["said_before"]["summary"] == "Cardurile nu merg."
    assert told["said_before"]["title"] == "Cardurile nu merg"
