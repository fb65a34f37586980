"""Made-up incidents, each in every language on every kind of channel: what it must state is there, and it fits.

The suite tells a sample; ``make words`` tells two thousand.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

import outagecast.templates
from outagecast import facts, registry
from outagecast.model import Status, Variant
from outagecast.wording import Wording
from tests.conftest import BESIDE
from tests.stories import WORDS, said_in

if TYPE_CHECKING:
    from tests.conftest import Newsroom

INCIDENTS = int(os.environ.get("OUTAGECAST_WORDS", "48"))
LANGUAGES = sorted(
    (
        folder.name
        for root in outagecast.templates.__path__
        for folder in Path(root).iterdir()
        if (folder / "phrases.j2").exists()
    ),
    key=lambda language: (language != "en", language),  # the message is in English
)
SYDNEY = ZoneInfo("Australia/Sydney")
NOW = datetime(2026, 11, 22, 18, 50, tzinfo=SYDNEY)
TOMORROW = datetime(2026, 11, 23, tzinfo=SYDNEY)

FAILING = [("Card payments are failing", "Our debit and credit cards are being declined in shops and online.")]
WORKING = [
    ("Card payments are working again", "They were declined in shops and online."),
    ("Card payments are working again", "Our cards are working again in shops and online."),
]
PLANNED = [
    (
        "Our app and internet banking will be off for planned work",
        "You cannot use our app or internet banking while we move them to new computers.",
    ),
    ("Our app and internet banking are off for planned work", "You cannot use either until we are done."),
]
NEWS = {
    Status.INVESTIGATING: FAILING,
    Status.IDENTIFIED: FAILING,
    Status.MONITORING: WORKING + FAILING,
    Status.RESOLVED: WORKING + FAILING,
    Status.SCHEDULED: PLANNED,
    Status.IN_PROGRESS: PLANNED,
    Status.COMPLETED: [("Our app and internet banking are back", "You can use both as usual."), *PLANNED],
    Status.RETRACTED: [("Card payments work", "Your cards work in shops and online.")],
}
POOLS: dict[str, list[Any]] = {
    "impact": ["minor", "major", "critical"],
    "components": [
        {"Card payments": "operational"},
        {"Card payments": "operational", "Mobile app": "operational"},
    ],
    "scope": ["All our cards, everywhere.", "Everyone.", "unknown"],
    "cause": [
        "An update we made to the system that approves payments.",
        "The old computers are too slow on pay day.",
        "unknown",
    ],
    "apology": [
        "We're sorry for the alarm.",
        "We're sorry for the night you lose.",
        {
            "short": "We're sorry. We know you rely on your card.",
            "long": "We're sorry. We know you rely on your card, and that being declined at a till is upsetting.",
        },
    ],
    "compensation": ["If this costs you a fee, we will refund it."],
    "aftermath": ["Declined payments took no money.", "No payment was affected."],
    "retraction_reason": ["A fault in our own monitoring misled us; cards have worked all evening."],
}
WAYS = [
    "Cash machines work.",
    "Transfers in our app work.",
    "Cards and cash machines will work.",
    "If your card was declined, please try once more.",
]


def incident(number: int) -> dict[str, Any]:
    """The ``number``-th made-up incident: the same on every machine."""
    draw = random.Random(number)  # noqa: S311 - no secret

    def after(minutes: int) -> str:
        return (NOW + timedelta(minutes=draw.randrange(1, minutes))).isoformat(timespec="minutes")

    status = list(Status)[number % len(Status)]
    title, summary = draw.choice(NEWS[status])
    start = NOW - timedelta(minutes=draw.choice([1, 20, 110, 600, 1500, 3000]))
    return {
        **{name: draw.choice([None, *pool, *pool]) for name, pool in POOLS.items()},
        "status": status.value,
        "title": title,
        "summary": summary,
        "workaround": draw.sample(WAYS, draw.randrange(len(WAYS))),
        "started_at": draw.choice([None, start.isoformat(), TOMORROW.replace(day=22).isoformat()]),
        "ended_at": draw.choice([None, NOW.isoformat()]),
        "eta": draw.choice([None, after(30), after(2000)]),
        "next_update_at": draw.choice([None, "30m", after(60), after(600), TOMORROW.isoformat()]),
        "window": {"start": start.isoformat(), "end": after(3000)} if status.is_maintenance else None,
    }


def translated(told: dict[str, Any], language: str) -> dict[str, Any]:
    """What an officer would put under ``translations``."""
    words = {name: said_in(language, told[name]) for name in WORDS if told.get(name) not in (None, [], "unknown")}
    if told["components"]:
        words["components"] = {name: said_in(language, name) for name in told["components"]}
    return words


def clocks(told: dict[str, Any], next_update: datetime | None) -> Iterator[datetime]:
    """The times that no text of this status may leave out, by a table of the test's own."""
    status = Status(told["status"])
    if next_update and not status.is_closing:
        yield next_update
    if told["started_at"] and status in {Status.INVESTIGATING, Status.IDENTIFIED, Status.RESOLVED}:
        yield datetime.fromisoformat(told["started_at"])
    if told["ended_at"] and status in {Status.MONITORING, Status.RESOLVED, Status.COMPLETED}:
        yield datetime.fromisoformat(told["ended_at"])
    if told["window"] and status in {Status.SCHEDULED, Status.IN_PROGRESS}:
        yield datetime.fromisoformat(told["window"]["end"])


def sentences(told: dict[str, Any]) -> Iterator[str]:
    """The sentences that no text of this status may leave out."""
    yield told["summary"]
    if told["retraction_reason"] and told["status"] == Status.RETRACTED:
        yield told["retraction_reason"]


def letters(text: str) -> str:
    """The text without what networks change: marks, typography, spaces and the ends of sentences."""
    from unicodedata import category, normalize

    return "".join(letter for letter in normalize("NFKD", text).casefold() if category(letter)[0] in "LN")


def check(variant: Variant, told: dict[str, Any], next_update: datetime | None) -> None:
    """Every limit kept, every fact that must be there found by its letters."""
    limits = registry.channel_class(variant.kind).parts
    for part, text in variant.parts.items():
        where = f"{variant.language} {variant.kind}.{part} on rung {variant.rung} of {told}:\n{text}"
        limit = limits[part]
        wording = Wording(variant.language, SYDNEY, NOW, is_spoken=limit.spoken)
        assert limit.length(text, variant.language) <= limit.most, where
        if limit.carries == "nothing" or not text:
            continue
        words = letters(facts.visible(text) if part == "html" else text)
        for sentence in sentences(told):
            assert letters(said_in(variant.language, sentence)) in words, where
        if told["apology"]:
            short = told["apology"] if isinstance(told["apology"], str) else told["apology"]["short"]
            assert letters(re.split(r"(?<=[.。])", said_in(variant.language, short))[0]) in words, where
        for time in clocks(told, next_update):
            said = wording.moment(time)
            ends = (said.clock, said.digits, "midnight" if variant.language == "en" else said.clock)
            spoken = (said.when, said.at, said.since, said.by, said.until) if limit.spoken else ()  # "this evening"
            assert any(letters(clock) in words for clock in (*ends, *spoken)), f"{said.clock} is not in {where}"


@pytest.mark.parametrize("part", range(8))
def test_every_incident_is_told_whole_in_every_language(newsroom: Newsroom, part: int) -> None:
    newsroom.settings["organisation"]["languages"] = LANGUAGES
    newsroom.settings["channels"] |= {kind: {"kind": kind, **settings} for kind, settings in BESIDE.items()}
    for kind, channel in newsroom.settings["channels"].items():
        channel["languages"] = LANGUAGES
        if kind == "twilio_sms":
            channel["on"] = ["first", *Status]

    for number in range(part, INCIDENTS, 8):
        told = incident(number)
        others = {language: translated(told, language) for language in LANGUAGES if language != "en"}
        drawn = newsroom.plan(**told, translations=others)
        variants = newsroom.variants(**told, translations=others)

        assert {variant.language for variant in variants} == set(LANGUAGES)
        assert len(variants) == len(LANGUAGES) * len(newsroom.settings["channels"])
        for variant in variants:
            check(variant, told, drawn.next_update_at)
