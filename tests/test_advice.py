from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import outagecast.templates
from outagecast import advice, facts, message, plan, registry, render, rules, sample, wordlist
from outagecast.audience import Audience
from outagecast.errors import ConfigError, PlanError
from outagecast.ledger import Past
from outagecast.message import Message
from outagecast.model import Status
from outagecast.roll import Group

if TYPE_CHECKING:
    from tests.conftest import Newsroom

EXAMPLES = Path(__file__).parents[1] / "examples"
TEMPLATES = Path(next(iter(outagecast.templates.__path__)))
LANGUAGES = sorted(path.parent.name for path in TEMPLATES.glob("*/advice.yaml"))
WRITTEN = sorted(path.parent.name for path in TEMPLATES.glob("*/phrases.j2"))
GOOD: dict[str, Any] = {
    "components": {"Card payments": "major_outage"},
    "scope": "All our cards, everywhere.",
    "started_at": "2026-11-22T18:30+11:00",
    "cause": "An update we made went wrong.",
    "workaround": ["Cash machines and contactless up to $100 still work."],
    "eta": "2026-11-22T21:30+11:00",
    "apology": {"short": "We're sorry.", "long": "We're sorry. Some of you are standing at a till right now."},
    "compensation": "If this costs you a fee, we will refund it.",
}
WINDOW = {"start": "2026-11-29T01:00+11:00", "end": "2026-11-29T05:00+11:00"}
Advise = Callable[..., list[str]]


def given(newsroom: Newsroom, said: Message) -> list[advice.Advice]:
    return advice.give(said, newsroom.config, Past("card-payments", tuple(newsroom.updates)), newsroom.now)


@pytest.fixture
def advise(newsroom: Newsroom) -> Advise:
    """A function that returns what a good message, changed, is advised on, as it is shown; None takes a fact out."""

    def advise(**changes: Any) -> list[str]:
        said = newsroom.message(**{**GOOD, **changes})
        return [str(item.problem(said)) for item in given(newsroom, said)]

    return advise


def broken(shown: list[str]) -> list[str]:
    """The rules that are named at the ends of the lines."""
    return [line.rpartition("[")[2].rstrip("]") for line in shown]


@pytest.mark.parametrize("status", ["investigating", "identified"])
def test_a_good_message_is_given_none(advise: Advise, status: str) -> None:
    assert advise(status=status) == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_given_none(newsroom: Newsroom, path: Path) -> None:
    assert given(newsroom, message.load(path)) == []


# --- facts


@pytest.mark.parametrize(
    ("fact", "rule", "wanting"),
    [
        ("workaround", "workaround", {"investigating", "identified", "scheduled", "in_progress"}),
        ("apology", "apology", {"investigating", "identified", "monitoring", "resolved", "retracted"}),
        ("eta", "estimate", {"identified"}),
        ("cause", "cause", {"identified"}),
    ],
)
@pytest.mark.parametrize("status", Status)
def test_a_missing_fact_is_missed_by_the_statuses_that_want_it(
    advise: Advise, status: Status, fact: str, rule: str, wanting: set[str]
) -> None:
    planned = {"window": WINDOW, "eta": None} if status.is_maintenance else {}
    over = {"components": {"Card payments": "operational"}} if status.is_closing else {}

    shown = advise(status=status.value, **{**planned, **over, fact: None})

    assert broken(shown) == ([rule] if status in wanting else [])


def test_a_missing_fact_is_named_with_what_to_say_its_lesson_and_its_rule(advise: Advise) -> None:
    assert advise(workaround=None) == [
        "no workaround: say what still works, or that nothing does (lesson 20) [workaround]"
    ]


@pytest.mark.parametrize(
    ("changes", "rule", "words"),
    [
        ({"status": "identified", "cause": "unknown"}, "cause", "yet the cause is unknown"),
        ({"ended_at": "2026-11-22T18:40+11:00"}, "consistent", "ended_at is left unsaid while the status is investi"),
        ({"window": WINDOW}, "consistent", "window is left unsaid: investigating is not planned work"),
        ({"started_at": "2026-11-22T18:51+11:00"}, "consistent", "started_at is still to come"),
        ({"eta": "2026-11-22T18:50+11:00"}, "estimate", "eta has passed"),
        ({"next_update_at": "2026-11-22T18:50+11:00"}, "next_update", "next_update_at has passed"),
        (
            {"status": "scheduled", "window": WINDOW | {"start": "2026-11-22T18:50+11:00"}},
            "estimate",
            "the window has begun",
        ),
        (
            {
                "status": "in_progress",
                "window": {"start": "2026-11-22T01:00+11:00", "end": "2026-11-22T18:50+11:00"},
            },
            "estimate",
            "the window is over",
        ),
    ],
)
def test_facts_at_odds_with_status_or_clock_are_pointed_out(
    advise: Advise, changes: dict[str, Any], rule: str, words: str
) -> None:
    (shown,) = advise(**changes)

    assert words in shown
    assert broken([shown]) == [rule]


@pytest.mark.parametrize(
    "changes",
    [
        {"ended_at": "2026-11-22T18:40+11:00", "status": "monitoring"},
        {"started_at": "2026-11-22T18:50+11:00"},
        {"eta": "2026-11-22T18:51+11:00"},
        {"eta": "2026-11-22T18:50+11:00", "status": "monitoring"},
        {"next_update_at": "2026-11-22T18:51+11:00"},
        {"next_update_at": "5m"},
        {"status": "scheduled", "window": WINDOW, "eta": None},
        {"status": "in_progress", "window": WINDOW | {"start": "2026-11-22T18:00+11:00"}, "eta": None},
    ],
)
def test_facts_that_agree_with_status_and_clock_are_left_alone(advise: Advise, changes: dict[str, Any]) -> None:
    assert advise(**changes) == []


def test_a_summary_that_was_true_only_before_is_pointed_out_once_it_is_over(newsroom: Newsroom, advise: Advise) -> None:
    newsroom.said(newsroom.now)

    over = {"components": {"Card payments": "operational"}}
    (shown,) = advise(status="resolved", **over)
    assert "the summary still says" in shown
    assert broken([shown]) == ["consistent"]
    assert advise(status="resolved", summary="Cards work again.", **over) == []
    assert advise(status="identified") == []

    newsroom.said(newsroom.now, status="resolved")
    assert advise(status="resolved", **over) == []


# --- words


@pytest.mark.parametrize(
    ("rule", "words", "neighbour"),
    [
        ("no_login", "Please log in to check your balance.", "You can't log in."),
        ("no_login", "- Log in with your old password.", "People can log in again."),
        ("no_login", "Click here.", "Click and collect works."),
        ("no_login", "Enter your PIN.", "Nobody will ask you to enter your PIN."),
        ("no_false_label", "Our app is under maintenance.", "The scheduled maintenance went wrong."),
        ("no_guarantee", "This will never happen again.", "It happened again."),
        ("no_guarantee", "We do everything we can.", "We do this tonight."),
        ("no_blame", "A third party supplier failed.", "Our payments supplier, Acme, is down, and we pay for it."),
        ("no_blame", "It fails because of our supplier, Acme.", "Our supplier has repaired it."),
        ("no_blame", "It was human error.", "The change was wrong, and we have undone it."),
        ("no_blame", "Due to high demand, pages are slow.", "Pages take 20 seconds."),
        ("no_vagueness", "Some customers can't pay.", "Some of you are at a till."),
        ("no_vagueness", "It works intermittently.", "1 in 4 payments fails."),
        ("no_vagueness", "Back as soon as possible.", "We'll post as soon as cards work."),
        ("no_vagueness", "Back soon.", "Back by 9pm."),
        ("no_vagueness", "You may be affected.", "You are affected."),
        ("no_jargon", "We found the root  cause.", "We found the cause."),
        ("no_jargon", "The DNS is down.", "Cards work in Oldnsworth and dnsby."),
        ("no_jargon", "The load-balancer failed.", "The load on our app is high."),
        ("no_jargon", "Technical issues.", "We issue new cards."),
        ("no_hollow_words", "We’re sorry for any inconvenience.", "We're sorry that you could not pay."),
        ("no_hollow_words", "Thank you FOR your patience.", "Doctors can reach their patients."),
        ("no_shouting", "CARDS ARE DOWN.", "ATM and POS are down, SMS works."),
        ("no_shouting", "URGENT: cards fail.", "Cards in NSW, ACT and QLD fail."),
        ("no_shouting", "Cards fail!!", "Cards fail!"),
        ("no_shouting", "Cards fail？！", "Do cards fail?"),
        ("short_sentences", f"Cards {'and ' * 30}fail.", f"Cards {'and ' * 14}. {'They ' * 29}fail."),
        ("three_points", "One. Two. Three. Four.", "Open 9 a.m. to 5 p.m. every day. Two. Three."),
        ("one_alphabet", "Your c\u0430rd fails.", "Café Ω \u0430 本行App."),
        ("own_links", "See https://www.example.org/.", "See https://status.example.com/x."),
        ("own_links", "See example.org for more.", "See status.example.com for more."),
    ],
)
def test_a_rule_finds_what_breaks_it_and_leaves_its_neighbour_alone(
    advise: Advise, rule: str, words: str, neighbour: str
) -> None:
    (shown,) = advise(summary=words)

    assert broken([shown]) == [rule]
    assert re.match(r"message.yaml:1:\d+: summary ", shown)
    assert advise(summary=neighbour) == []


def test_more_than_three_ways_round_are_too_many(advise: Advise) -> None:
    ways = ["Cash machines work.", "The app works.", "Branches are open.", "Transfers work."]

    assert broken(advise(workaround=ways)) == ["three_points"]
    assert advise(workaround=ways[:3]) == []


def test_a_phrase_is_shown_as_it_is_written_with_its_place_and_what_to_say_instead(
    newsroom: Newsroom, tmp_path: Path
) -> None:
    path = tmp_path / "incident.yaml"
    lines = ["incident: cards", "status: resolved", "title: Cards work", "summary: Cards work again."]
    lines += ["apology: Sorry.", "translations:", "  ro: {title: Merge, cause: O Disfuncționalitate a apărut.}"]
    path.write_text("\n".join(lines), encoding="utf-8")
    said = message.load(path)

    (shown,) = [str(item.problem(said)) for item in given(newsroom, said)]

    assert shown.startswith(f'{path}:7:29: translations.ro.cause says "Disfuncționalitate": say what does not work')
    assert shown.endswith(" (lesson 13) [no_jargon]")


@pytest.mark.parametrize(
    ("language", "words", "rule"),
    [
        ("ro", "O parte dintre clienti nu pot plati.", "no_vagueness"),  # without its accents
        ("ro", "Introduceți codul PIN.", "no_login"),
        ("ro", "Vă rugăm să vă autentificați.", "no_login"),
        ("zh-Hant", "不便之處，敬請見諒。", "no_hollow_words"),
        ("zh-Hant", "本行API出錯。", "no_jargon"),
        ("zh-Hant", "由於供應商設備故障。", "no_blame"),
        ("es", "Disculpe las molestias.", "no_hollow_words"),
        ("es", "Algunos usuarios no pueden pagar.", "no_vagueness"),
        ("fr", "Panne indépendante de notre volonté.", "no_blame"),
        ("fr", "Retour dans les plus brefs délais.", "no_vagueness"),
        ("fr", "Nous mettons tout en œuvre.", "no_guarantee"),
        ("de", "Bitte klicken Sie hier.", "no_login"),
        ("de", "Wir bitten, die UNANNEHMLICHKEITEN zu entschuldigen.", "no_hollow_words"),
        ("de", "Es liegt an unserem Lieferanten.", "no_blame"),
        ("de-AT", "Die Ursache war menschliches Versagen.", "no_blame"),
    ],
)
def test_every_translation_is_read_in_its_own_language(advise: Advise, language: str, words: str, rule: str) -> None:
    shown = advise(translations={language: {"cause": words}})

    assert [line for line in shown if f"translations.{language}.cause " in line] == shown
    assert rule in broken(shown)


def test_words_of_another_language_are_not_looked_for(advise: Advise) -> None:
    assert advise(translations={"fr": {"cause": "Some customers."}}) == []


def test_names_of_components_are_words_too(advise: Advise) -> None:
    assert broken(advise(components={"Data-transfer component": "major_outage"})) == ["no_jargon"]
    translated = {"ro": {"components": {"Card payments": "Serverul de plăți"}}}
    assert broken(advise(translations=translated)) == ["no_jargon"]


def test_a_text_by_hand_is_read_like_any_other_and_its_markup_is_not(advise: Advise) -> None:
    text = "Cards fail.\n\n- One\n- Two\n- Three\n\nSome customers wait. We know. We work. We post."
    html = '<p class="API">Cards fail. <!-- ISSUES ISSUES --></p>'

    shown = advise(variants={"x": {"en": {"text": text}}, "banner": {"en": {"html": html}}})

    assert broken(shown) == ["no_vagueness"]
    assert "variants.x.en.text says" in shown[0]
    assert broken(advise(variants={"x": {"en": {"text": text + "\n- Four"}}})) == ["no_vagueness", "three_points"]


def test_maintenance_may_be_called_what_it_is(advise: Advise) -> None:
    planned = {"status": "scheduled", "window": WINDOW, "eta": None}

    assert advise(summary="Our app is off for maintenance.", **planned) == []


def test_one_word_of_several_that_overlap_is_enough(advise: Advise) -> None:
    (shown,) = advise(summary="Sorry for any inconvenience.")

    assert 'says "Sorry for any inconvenience"' in shown


def test_the_organisations_own_name_may_be_in_capitals(newsroom: Newsroom, advise: Advise) -> None:
    assert broken(advise(summary="The EXAMPLE cards fail.")) == ["no_shouting"]
    newsroom.settings["organisation"]["name"] = "EXAMPLE Bank"
    assert advise(summary="The EXAMPLE cards fail.") == []


def test_a_contact_is_a_link_too(newsroom: Newsroom, advise: Advise) -> None:
    elsewhere = {"url": "https://example.statuspage.io"}

    assert broken(advise(contact=elsewhere)) == ["own_links"]
    newsroom.settings["organisation"]["official_domains"] = ["statuspage.io"]
    assert advise(contact=elsewhere) == []


def test_the_most_important_comes_first(advise: Advise) -> None:
    shown = broken(advise(summary="ISSUES!! Please log in.", apology=None, workaround=None))

    assert shown == ["no_login", "workaround", "apology", "no_jargon", "no_shouting"]


# --- what the config says


def test_the_config_adds_words_and_allows_some_and_ignores_rules(newsroom: Newsroom, advise: Advise) -> None:
    newsroom.settings["advice"] = {
        "words": {"en": {"core-bank*": "say the system that keeps your accounts"}},
        "allow": ["API", "Issue*"],
        "ignore": ["no_hollow_words", "workaround"],
    }

    (shown,) = advise(workaround=None, summary="Unfortunately the API of the Core Banking has issues and Issues.")

    assert 'says "Core Banking": say the system that keeps your accounts (lesson 13) [no_jargon]' in shown


def test_advice_that_is_required_stops_all_at_once_and_the_rest_does_not(newsroom: Newsroom) -> None:
    newsroom.settings["promise"] = {"require": ["apology", "no_jargon", "estimate"]}
    said = newsroom.message(summary="Technical issues: some users can't pay.")
    found = given(newsroom, said)

    with pytest.raises(PlanError) as refused:
        advice.insist(found, said, newsroom.config)

    assert refused.value.exit_code == 65
    assert [problem.message.rpartition(" ")[2] for problem in refused.value.problems] == ["[apology]", "[no_jargon]"]
    assert refused.value.problems[0].hint == (
        'write "apology: We\'re sorry that you cannot pay."; promise.require in the config asks for it'
    )
    advice.insist([item for item in found if item.rule.name == "no_vagueness"], said, newsroom.config)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"promise": {"require": ["apologies"]}}, '"apologies" is not a rule of advice; did you mean "apology"?'),
        ({"advice": {"ignore": ["jargon"]}}, '"jargon" is not a rule of advice; did you mean "no_jargon"?'),
        (
            {"promise": {"require": ["estimate", "apology"]}, "advice": {"ignore": ["apology"]}},
            "apology cannot be required and ignored",
        ),
    ],
)
def test_a_rule_that_is_none_or_is_wanted_and_not_is_a_mistake_in_the_config(
    newsroom: Newsroom, settings: dict[str, Any], problem: str
) -> None:
    newsroom.settings |= settings

    with pytest.raises(ConfigError, match=re.escape(problem)):
        given(newsroom, newsroom.message())


# --- the shipped words


def test_every_rule_about_words_has_some_in_every_language() -> None:
    about_words = {"no_login", "no_false_label", "no_guarantee", "no_blame"}
    about_words |= {"no_vagueness", "no_jargon", "no_hollow_words"}

    assert {
        language: {phrase.rule for phrase in wordlist.shipped(language)} for language in LANGUAGES
    } == dict.fromkeys(LANGUAGES, about_words)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_phrase_is_found_by_itself_and_none_stands_twice(language: str) -> None:
    phrases = wordlist.shipped(language)

    lost = [
        phrase.words
        for phrase in phrases
        if not any(wordlist.find(f"{phrase.words.strip('^').replace('*', '')}.", [phrase._replace(unless=())]))
    ]

    assert lost == []
    kept = [(phrase.rule, phrase.words) for phrase in phrases]
    assert sorted(set(kept)) == sorted(kept)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_said_instead_is_no_better_avoided_itself(language: str) -> None:
    quoted = {
        words for phrase in wordlist.shipped(language) for words in re.findall('["„「«](.+?)["“」»]', phrase.instead)
    }

    found = [(words, item.words) for words in quoted for item in wordlist.find(words, wordlist.shipped(language))]

    assert found == []


@pytest.mark.parametrize("language", WRITTEN)
@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("full", [True, False], ids=["full", "bare"])
def test_no_shipped_text_holds_a_word_that_we_advise_against(
    newsroom: Newsroom, language: str, status: Status, full: bool
) -> None:
    newsroom.settings["organisation"]["languages"] = [language]
    said = sample.message(status, newsroom.now, full=full)
    crowd = Audience((Group(language),))
    drawn = plan.draw(said, newsroom.config, audiences=dict.fromkeys(("twilio_sms", "smtp"), crowd), now=newsroom.now)

    found = []
    for variant in render.variants(drawn):
        for part, text in variant.parts.items():
            shown = facts.visible(text) if part in registry.channel_class(variant.kind).escapes else text
            found += [(variant.kind, part, item.words) for item in _of_ours(shown, language, status)]

    assert found == []


def _of_ours(text: str, language: str, status: Status) -> list[wordlist.Found]:
    phrases = [
        phrase
        for phrase in wordlist.shipped(language)
        if not (status.is_maintenance and phrase.rule == rules.NO_FALSE_LABEL.name)
    ]
    return list(wordlist.find(text, phrases))
