"""Every shipped text, as it is read.

The texts are kept as files, ``tests/snapshots/en/<story>.<kind>.txt``, to be read aloud when a template changes:
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

from outagecast import measure, registry, render
from outagecast.model import Status

if TYPE_CHECKING:
    from tests.conftest import Newsroom

EXAMPLES = Path(__file__).parents[1] / "examples"
SNAPSHOTS = Path(__file__).parent / "snapshots" / "en"
KINDS = ("x", "facebook", "twilio_sms", "smtp", "banner")
Facts: TypeAlias = dict[str, Any]


def clock(time: str, day: int = 22) -> str:
    return f"2026-11-{day}T{time}+11:00"


CARDS: Facts = {
    "impact": "major",
    "components": {"Card payments": "major_outage", "Mobile app": "operational"},
    "scope": "All our cards, everywhere.",
    "started_at": clock("18:30"),
    "cause": "unknown",
    "workaround": ["Cash machines and transfers in our app still work."],
    "aftermath": "A declined payment takes no money from your account.",
    "apology": {
        "short": "We're sorry. We know you rely on your card.",
        "long": "We're sorry. We know you rely on your card, and that being declined at a till is upsetting.",
    },
    "compensation": "If this costs you a fee, we will refund it.",
}
FOUND: Facts = CARDS | {"status": "identified", "cause": "An update we made to the system that approves payments."}
WORKING = {"Card payments": "operational", "Mobile app": "operational"}
BACK: Facts = FOUND | {
    "status": "resolved",
    "title": "Card payments are working again",
    "summary": "They were declined in shops and online.",
    "components": WORKING,
    "ended_at": clock("20:50"),
    "cause": "An update we made to the system that approves payments went wrong, and we have undone it.",
    "aftermath": "Declined payments took no money.",
    "workaround": None,
    "apology": "We're sorry. You could not pay with your own money, and that should not happen.",
    "compensation": "If this cost you a fee, we will refund it: call 13 20 32 or visit a branch by 31 December.",
}
WORK: Facts = {
    "status": "scheduled",
    "impact": "maintenance",
    "title": "Our app and internet banking will be off for planned work",
    "summary": "You cannot use our app or internet banking while we move them to new computers.",
    "window": {"start": clock("01:00", 29), "end": clock("05:00", 29)},
    "scope": "Everyone who uses our app or internet banking.",
    "cause": "The old computers are too slow on pay day.",
    "workaround": [
        "Cards and cash machines will work.",
        "If you must pay something that night, please do it before 1am.",
    ],
    "apology": "We're sorry for the night you lose.",
}
NIGHT: Facts = WORK | {"window": {"start": clock("23:00", 28), "end": clock("03:00", 29)}}
WORK_DONE: Facts = WORK | {
    "status": "completed",
    "title": "Our app and internet banking are back",
    "summary": "You can use both as usual.",
    "ended_at": clock("04:20", 29),
    "workaround": None,
    "aftermath": "Payments you had scheduled for today will go out as usual.",
}
MORE: Facts = BACK | {
    "cause": "A change to our payments system failed its checks, and nobody was watching it.",
    "compensation": "We will refund every fee it cost you by 31 December; you need do nothing.",
}
WRONG: Facts = {
    "status": "retracted",
    "retraction_reason": "A fault in our own monitoring misled us; cards have worked all evening.",
    "apology": "We're sorry for the alarm.",
}
LONG: Facts = CARDS | {
    "summary": "Our debit and credit cards, and the virtual cards in our app, are being declined in shops, online and "
    "at petrol pumps in all states and abroad, whether you tap, insert or type in the number.",
    "workaround": [
        "Cash machines work.",
        "Transfers in our app and internet banking work.",
        "Our branches are open until 9pm and will give you cash without a card.",
        "Direct debits and standing orders run as usual.",
    ],
    "eta": clock("21:30"),
}

# (when it is written, what was said before at what time, the message)
STORIES: dict[str, tuple[str, list[tuple[str, Facts]], Facts]] = {
    "investigating": (clock("18:50"), [], CARDS),
    "investigating-minimal": (clock("18:50"), [], {}),
    "investigating-two-ways-no-start": (
        clock("18:50"),
        [],
        CARDS | {"started_at": None, "workaround": ["Cash machines work.", "Transfers in our app work."]},
    ),
    "investigating-long": (clock("18:50"), [], LONG),
    "investigating-near-midnight": (clock("23:50"), [], CARDS | {"started_at": clock("23:30")}),
    "investigating-after-midnight": (
        clock("00:20", 23),
        [],
        CARDS | {"started_at": clock("23:30"), "scope": "unknown", "eta": clock("09:00", 24)},
    ),
    "identified": (clock("19:30"), [(clock("18:50"), CARDS)], FOUND | {"eta": clock("21:30")}),
    "identified-minimal": (clock("19:30"), [(clock("18:50"), {})], {"status": "identified"}),
    "identified-cause-unknown": (clock("19:30"), [(clock("18:50"), CARDS)], CARDS | {"status": "identified"}),
    "monitoring": (
        clock("20:55"),
        [(clock("18:50"), CARDS), (clock("19:30"), FOUND)],
        BACK
        | {"status": "monitoring", "workaround": ["If your card was declined, please try once more."]}
        | {"compensation": None},
    ),
    "monitoring-old-summary": (
        clock("20:55"),
        [(clock("18:50"), CARDS)],
        CARDS | {"status": "monitoring", "ended_at": clock("20:50")},
    ),
    "resolved": (clock("21:40"), [(clock("18:50"), CARDS), (clock("19:30"), FOUND)], BACK),
    "resolved-old-summary": (
        clock("21:40"),
        [(clock("18:50"), CARDS)],
        CARDS | {"status": "resolved", "components": WORKING},
    ),
    "resolved-old-summary-minimal": (clock("21:40"), [(clock("18:50"), {})], {"status": "resolved"}),
    "resolved-new-title-old-summary": (
        clock("21:40"),
        [(clock("18:50"), CARDS)],
        BACK | {"summary": None, "workaround": CARDS["workaround"]},
    ),
    "resolved-old-title-new-summary": (
        clock("21:40"),
        [(clock("18:50"), CARDS)],
        BACK | {"title": None, "summary": "Our cards are working again in shops and online."},
    ),
    "resolved-next-day": (clock("09:00", 23), [(clock("18:50"), CARDS)], BACK),
    "scheduled": (clock("10:00"), [], WORK),
    "scheduled-over-midnight": (clock("10:00"), [], NIGHT),
    "scheduled-minimal": (clock("10:00"), [], {key: WORK[key] for key in ("status", "title", "summary", "window")}),
    "in_progress": (
        clock("01:00", 29),
        [(clock("10:00"), WORK)],
        WORK
        | {"status": "in_progress", "title": "Our app and internet banking are off for planned work"}
        | {"summary": "You cannot use either until we are done.", "next_update_at": clock("05:00", 29)},
    ),
    "in_progress-old-summary": (
        clock("23:00", 28),
        [(clock("10:00"), NIGHT)],
        NIGHT | {"status": "in_progress", "next_update_at": clock("03:00", 29)},
    ),
    "completed": (clock("04:30", 29), [(clock("10:00"), WORK)], WORK_DONE),
    "completed-old-summary": (clock("04:30", 29), [(clock("10:00"), WORK)], WORK | {"status": "completed"}),
    "retracted": (
        clock("20:00"),
        [(clock("18:50"), CARDS)],
        WRONG
        | {"title": "Card payments work", "summary": "Your cards work in shops and online."}
        | {"aftermath": "No payment was affected."},
    ),
    "retracted-old-summary": (clock("20:00"), [(clock("18:50"), CARDS)], CARDS | WRONG | {"components": WORKING}),
    "resolved-follow-up": (
        clock("10:00", 23),
        [(clock("18:50"), CARDS), (clock("21:40"), BACK)],
        MORE,
    ),
    "resolved-follow-up-old-summary": (
        clock("10:00", 23),
        [(clock("18:50"), CARDS), (clock("21:40"), CARDS | {"status": "resolved", "components": WORKING})],
        MORE | {"title": None, "summary": None},
    ),
    "resolved-follow-up-new-words": (
        clock("10:00", 23),
        [(clock("18:50"), CARDS), (clock("21:40"), BACK)],
        MORE
        | {"title": "What went wrong with our cards on Sunday"}
        | {"summary": "A change of ours stopped all card payments for more than two hours."},
    ),
    "resolved-follow-up-cause-unknown": (
        clock("10:00", 23),
        [(clock("18:50"), CARDS), (clock("21:40"), BACK)],
        MORE | {"cause": "unknown"},
    ),
    "scheduled-reminder": (clock("10:00", 28), [(clock("10:00"), WORK)], WORK | {"scope": "Everyone."}),
    "scheduled-moved": (clock("10:00", 28), [(clock("10:00"), WORK)], NIGHT),
    "completed-follow-up": (
        clock("10:00", 30),
        [(clock("10:00"), WORK), (clock("04:30", 29), WORK_DONE)],
        WORK_DONE | {"aftermath": "Payments you had scheduled for Sunday went out as usual."},
    ),
    "investigating-again": (
        clock("22:30"),
        [(clock("18:50"), CARDS), (clock("21:40"), BACK)],
        CARDS | {"started_at": clock("22:20")},
    ),
    "identified-again": (
        clock("22:30"),
        [(clock("18:50"), CARDS), (clock("21:40"), BACK)],
        FOUND,
    ),
    "in_progress-again": (
        clock("04:50", 29),
        [(clock("10:00"), WORK), (clock("04:30", 29), WORK_DONE)],
        WORK
        | {"status": "in_progress", "title": "Our app and internet banking are off again"}
        | {"summary": "You cannot use either until we are done.", "next_update_at": clock("05:00", 29)},
    ),
    "retracted-planned-work": (
        clock("09:00", 28),
        [(clock("10:00"), WORK)],
        WORK
        | {"status": "retracted", "retraction_reason": "The new computers are not ready; we will name a new date."},
    ),
}


SEQUELS = ("follow-up", "reminder", "moved", "again")  # read by who heard the one before
_TOLD: dict[str, dict[str, str]] = {}


def told(newsroom: Newsroom, story: str) -> dict[str, str]:
    """Every part of every kind, for one story."""
    if story in _TOLD:
        return _TOLD[story]
    now, earlier, facts = STORIES[story]
    for at, said in earlier:
        newsroom.said(datetime.fromisoformat(at), **said)
    newsroom.now = datetime.fromisoformat(now)
    newsroom.carry = story.partition("-")[2].startswith(SEQUELS)
    newsroom.settings["channels"]["twilio_sms"]["on"] = ["first", *Status, "follow_up"]
    return _TOLD.setdefault(story, newsroom.texts(**facts, reopen=story.endswith("-again")))


def test_there_is_a_story_for_every_status() -> None:
    assert {status.value for status in Status} <= {name.partition("-")[0] for name in STORIES}


@pytest.mark.parametrize("story", STORIES)
def test_the_words_are_those_that_were_read_aloud(newsroom: Newsroom, story: str) -> None:
    texts = told(newsroom, story)

    for kind in KINDS:
        path = SNAPSHOTS / f"{story}.{kind}.txt"
        parts = [(name.partition(".")[2], text) for name, text in texts.items() if name.startswith(f"{kind}.")]
        shown = "\n\n".join(f"== {part}\n{text}" for part, text in parts if part != "html" or kind == "banner") + "\n"
        if os.environ.get("OUTAGECAST_SNAPSHOTS") == "write":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(shown, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == shown, f"{path.name}: see how at the top of this file"


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

    for part, text in texts.items():
        assert not re.search(rf"\b(?:{VAGUE})", text, re.IGNORECASE), part
        assert "!" not in text.removeprefix("<!DOCTYPE html>").replace("<!-", ""), part


@pytest.mark.parametrize("story", STORIES)
def test_an_sms_costs_what_keyboard_characters_cost(newsroom: Newsroom, story: str) -> None:
    text = told(newsroom, story)["twilio_sms.text"]

    assert measure.sms(text).encoding == "GSM-7"
    assert measure.sms(text).segments <= 2
    assert text.startswith("Example Bank: ")
    assert "Sydney" not in text
    assert "http" not in text


@pytest.mark.parametrize("story", STORIES)
def test_a_subject_fits_a_phone_and_a_facebook_post_opens_with_the_news(newsroom: Newsroom, story: str) -> None:
    texts = told(newsroom, story)

    assert len(texts["smtp.subject"]) <= 110
    assert len(texts["facebook.text"].partition("\n")[0]) <= 140
    assert max(map(len, texts["facebook.text"].split("\n\n"))) <= 420


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
    assert len(render.variants(drawn)) == len(KINDS)
