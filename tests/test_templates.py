"""Every shipped text, as it is read.

The texts are kept as files, ``tests/snapshots/<language>/<story>.txt``, to be read aloud when a template changes:
``OUTAGECAST_SNAPSHOTS=write make test`` (or the same before ``pytest``) writes them anew, and ``git diff`` shows what
customers will read differently.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import outagecast.templates
from outagecast import measure, registry, render
from outagecast.model import Status
from outagecast.template import Book
from tests.conftest import BESIDE, CHANNELS
from tests.stories import STORIES, clock, texts, told_in

if TYPE_CHECKING:
    from tests.conftest import Newsroom

EXAMPLES = Path(__file__).parents[1] / "examples"
SNAPSHOTS = Path(__file__).parent / "snapshots"
NO_WORDS = {"smtp.html", "briefing.html", "status_page.data"}  # but those of the parts before them
Facts: TypeAlias = dict[str, Any]
LANGUAGES = sorted(
    folder.name
    for root in outagecast.templates.__path__
    for folder in Path(root).iterdir()
    if (folder / "phrases.j2").exists()
)


@pytest.fixture
def newsroom(newsroom: Newsroom) -> Newsroom:
    """With a channel of every kind."""
    newsroom.settings["channels"] |= {kind: {"kind": kind, **settings} for kind, settings in BESIDE.items()}
    return newsroom


SEQUELS = ("follow-up", "reminder", "moved", "again")  # read by who heard the one before
_TOLD: dict[tuple[str, str], dict[str, str]] = {}


def told(newsroom: Newsroom, story: str, language: str = "en") -> dict[str, str]:
    """Every part of every kind, for one story."""
    if (language, story) in _TOLD:
        return _TOLD[language, story]
    now, earlier, facts = STORIES[story]
    for at, said in earlier:
        newsroom.said(datetime.fromisoformat(at), **told_in(language, said))
    newsroom.now = datetime.fromisoformat(now)
    newsroom.carry = story.partition("-")[2].startswith(SEQUELS)
    newsroom.settings["organisation"]["languages"] = [language]
    newsroom.settings["channels"]["twilio_sms"]["on"] = ["first", *Status, "follow_up"]
    told = newsroom.texts(**told_in(language, facts), reopen=story.endswith("-again"))
    return _TOLD.setdefault((language, story), told)


def test_there_is_a_story_for_every_status() -> None:
    assert {status.value for status in Status} <= {name.partition("-")[0] for name in STORIES}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("story", STORIES)
def test_the_words_are_those_that_were_read_aloud(newsroom: Newsroom, story: str, language: str) -> None:
    parts = told(newsroom, story, language).items()
    shown = "\n\n".join(f"== {part}\n{text}" for part, text in parts if part not in NO_WORDS) + "\n"
    path = SNAPSHOTS / language / f"{story}.txt"
    if os.environ.get("OUTAGECAST_SNAPSHOTS") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shown, encoding="utf-8")

    assert path.read_text(encoding="utf-8") == shown, f"{path.name}: see how at the top of this file"


def test_no_snapshot_is_of_a_story_that_is_told_no_more() -> None:
    kept = {(path.parent.name, path.stem) for path in SNAPSHOTS.glob("*/*")}

    assert kept == {(language, story) for language in LANGUAGES for story in STORIES}


# --- every combination of facts


class Page(HTMLParser):
    """Checks that tags are balanced, and collects the words that are shown."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == [], html

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "head" not in self.open:
            self.text += data


def sentences(start: str) -> st.SearchStrategy[str]:
    """Sentences as officers write them: with and without an end, quotes, markup, template code and other scripts."""
    bodies = st.sampled_from(
        [
            "it is so",
            "5 of 7 fail",
            "“quoted”",
            "it's <b>bold</b> & more",
            "{{ 7*7 }} {% raw %}",
            "așa este",
            "它壞了 😀",
        ]
    )
    ends = st.sampled_from(["", ".", "!", "…", "?", ".”", ":", ",", "..."])
    return st.builds(lambda body, end: f"{start} {body}{end}", bodies, ends)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


MESSAGES = st.fixed_dictionaries(
    {
        "status": st.sampled_from([status.value for status in Status]),
        "title": sentences("Headline"),
        "summary": sentences("Summary"),
        "impact": maybe(st.sampled_from(["minor", "critical"])),
        "components": maybe(st.just({"App": "operational"})),
        "scope": maybe(sentences("Scope") | st.just("unknown")),
        "started_at": maybe(st.sampled_from([clock("18:30"), clock("23:00", 21), clock("00:00", 21)])),
        "ended_at": maybe(st.sampled_from([clock("18:45"), clock("18:30")])),
        "cause": maybe(sentences("Cause") | st.just("unknown")),
        "workaround": st.lists(sentences("Way"), max_size=4),
        "eta": maybe(st.sampled_from([clock("21:30"), clock("00:00", 23), clock("12:00", 24)])),
        "next_update_at": maybe(st.sampled_from(["30m", clock("20:00"), clock("00:00", 23), clock("00:10", 23)])),
        "apology": maybe(st.fixed_dictionaries({"short": sentences("Sorry."), "long": sentences("So sorry")})),
        "compensation": maybe(sentences("Money")),
        "aftermath": maybe(sentences("After")),
        "retraction_reason": maybe(sentences("Reason")),
        "window": st.sampled_from(
            [
                {"start": clock("01:00", 29), "end": clock("05:00", 29)},
                {"start": clock("22:00"), "end": clock("00:00", 23)},
                {"start": clock("18:00"), "end": clock("03:00", 23)},
            ]
        ),
    }
)
ARTEFACTS = ("None", "Undefined", "\x1e", "|", "[]", "True", "False", "Markup", "49", "&amp;amp;", "&amp;lt;")


@given(facts=MESSAGES, old=st.sets(st.sampled_from(["title", "summary", "workaround", "aftermath", "compensation"])))
@settings(
    max_examples=40,
    deadline=None,
    phases=[
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    ],  # each text says what is wrong with it; shrinking takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_combination_of_facts_reads_like_a_machine(newsroom: Newsroom, facts: dict[str, Any], old: set[str]) -> None:
    if facts["status"] not in {"scheduled", "in_progress", "completed", "retracted"}:
        facts["window"] = None
    newsroom.updates.clear()
    before = {name: fact for name, fact in facts.items() if name in {"title", "summary", *old}}
    if facts["status"] not in {"investigating", "scheduled"}:
        before |= dict.fromkeys({"title", "summary"} - old, "What was said before.")
        status = "scheduled" if facts["status"] in {"in_progress", "completed"} else "investigating"
        newsroom.said(datetime.fromisoformat(clock("18:35")), **before, status=status, window=facts["window"])

    for variant in newsroom.variants(**facts):
        limits = registry.channel_class(variant.kind).parts
        for part, text in variant.parts.items():
            where = f"{variant.kind}.{part} on rung {variant.rung}:\n{text}"
            assert limits[part].count(text) <= limits[part].most, where
            if part == "data":
                continue
            words = " ".join(Page(text).text.split()) if part == "html" else text
            assert not re.search(r"(?<!\.)\.\.(?!\.)|\.{4}|[!?…,;:]\.|\.[,;:!?]|  | [.,;:!?]|:\s*$|““|””", words), where
            assert not re.search(r"[.!?…][A-Z]|\)[A-Za-z]", words), where
            assert [artefact for artefact in ARTEFACTS if artefact in text] == [], where
            assert part != "html" or "<b>" not in text, where
            assert "\n\n\n" not in text, where
            if text:
                assert "summary" in variant.carried
        if variant.kind == "smtp":
            shown = f"{variant.parts['subject']}\n{variant.parts['text']}"
            plain = [line.removesuffix(":") if line.endswith(":") else line for line in shown.splitlines()]
            assert (
                Page(variant.parts["html"]).text.split() == " ".join(line.removeprefix("- ") for line in plain).split()
            )


VAGUE = (
    "inconvenience|unfortunately|as soon as possible|shortly|some users|some customers|may be|might|issues?|technical|"
    "experienc|impacted|root cause|workaround|patience|understanding|please note|currently|at this time|valued|"
    "dear|kindly|rest assured|regret|bear with|monitoring the situation|click|log in"
)


@pytest.mark.parametrize("story", STORIES)
def test_no_shipped_word_is_one_that_we_flag(newsroom: Newsroom, story: str) -> None:
    texts = told(newsroom, story)

    for part, text in ((part, text) for part, text in texts.items() if part not in NO_WORDS):
        assert not re.search(rf"\b(?:{VAGUE})", text, re.IGNORECASE), part
        assert "!" not in text.removeprefix("<!DOCTYPE html>").replace("<!-", ""), part


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("story", STORIES)
def test_an_sms_costs_what_keyboard_characters_cost(newsroom: Newsroom, story: str, language: str) -> None:
    text = told(newsroom, story, language)["twilio_sms.text"]

    assert measure.sms(text).encoding == ("UCS-2" if language.startswith("zh") else "GSM-7")
    assert measure.sms(text).segments <= (3 if language.startswith("zh") else 2)
    assert text.startswith("Example Bank")
    assert not re.search("Sydney|Sídney|悉尼", text)
    assert "http" not in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("story", STORIES)
def test_a_subject_fits_a_phone_and_a_facebook_post_opens_with_the_news(
    newsroom: Newsroom, story: str, language: str
) -> None:
    texts = told(newsroom, story, language)

    assert len(texts["smtp.subject"]) <= 145
    assert len(texts["facebook.text"].partition("\n")[0]) <= 170
    assert max(map(len, texts["facebook.text"].split("\n\n"))) <= 480


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_phrases_that_english_has(language: str) -> None:
    english, phrases = Book("en", None).phrases, Book(language, None).phrases

    assert set(phrases) == set(english)
    for name, phrase in english.items():
        if isinstance(phrase, dict):
            assert set(phrases[name]) == set(phrase)
            assert all(phrases[name].values())


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_every_text_of_the_stories_is_told_in_every_language(language: str) -> None:
    path = Path(__file__).parent / "stories" / f"{language}.yaml"
    said = yaml.safe_load(path.read_text(encoding="utf-8"))

    assert set(said) == texts()
    assert all(said.values())


def test_a_bare_old_resolved_quotes_what_was_said_and_says_it_is_over(newsroom: Newsroom) -> None:
    texts = told(newsroom, "resolved-old-summary")

    quoted = "“Our debit and credit cards are being declined in shops and online.”"
    for kind in ("x", "facebook", "smtp"):
        text = texts[f"{kind}.text"]
        before, found, after = text.partition(quoted)
        assert found
        assert "fixed" in before
        assert "Card payments are failing" not in text
        assert "Cash machines" not in after
    assert texts["banner.html"] == ""


def test_a_closed_incident_leaves_no_banner(newsroom: Newsroom) -> None:
    for story in STORIES:
        newsroom.updates.clear()
        status = STORIES[story][2].get("status", "investigating")
        assert (told(newsroom, story)["banner.html"] == "") == (status in {"resolved", "completed", "retracted"})


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_fit_every_channel_and_need_no_advice(newsroom: Newsroom, path: Path) -> None:
    facts = yaml.safe_load(path.read_text(encoding="utf-8").replace(": 2026", ": !!str 2026"))

    drawn = newsroom.plan(**facts)

    assert drawn.warnings == ()
    assert len(render.variants(drawn)) == len({**CHANNELS, **BESIDE})
