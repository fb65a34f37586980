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
# The parts of the day by the time at which each begins, by a table of the test's own. By a clock of twenty-four hours,
# as in German, French and Romanian, nothing is left unsaid: there every time must be found by itself.
PARTS_OF_DAY = {
    "en": {
        "00:00": "at night",
        "01:00": "in the morning",
        "12:00": "in the afternoon",
        "18:00": "in the evening",
        "22:00": "at night",
    },
    "es": {
        "00:00": "de la noche",
        "01:00": "de la madrugada",
        "06:00": "de la mañana",
        "12:00": "del mediodía",
        "13:00": "de la tarde",
        "20:00": "de la noche",
    },
    "zh-Hant": {"00:00": "凌晨", "06:00": "上午", "12:00": "中午", "12:01": "下午", "19:00": "晚上"},
}
# Six is not six fifty: in Chinese, where no part of the day ends it, the last clock must not go on.
SAID_ONCE = {
    "en": r"\b{start} to {end} {part}\b",
    "es": r"\blas? {start} a las? {end} {part}\b",
    "zh-Hant": r"{part}{start}至{end}(?![零一二三四五六七八九十半])",
}


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


def stretch(told: dict[str, Any]) -> tuple[datetime, datetime] | None:
    """From when to when, where a text of this status may say both in one breath."""
    status = Status(told["status"])
    if told["started_at"] and told["ended_at"] and status in {Status.MONITORING, Status.RESOLVED}:
        return datetime.fromisoformat(told["started_at"]), datetime.fromisoformat(told["ended_at"])
    if told["window"] and status is Status.SCHEDULED:
        return datetime.fromisoformat(told["window"]["start"]), datetime.fromisoformat(told["window"]["end"])
    return None


def part_of_day(time: datetime, language: str) -> tuple[str, str] | None:
    """When it began and how it is called: the night before the morning is not the one after the evening."""
    begun = [part for part in PARTS_OF_DAY.get(language, {}).items() if part[0] <= f"{time:%H:%M}"]
    return begun[-1] if begun else None


def says_once(text: str, start: datetime, end: datetime, wording: Wording) -> bool:
    """Whether it says from when to when, with the part of the day that both times share said once."""
    start, end = start.astimezone(SYDNEY), end.astimezone(SYDNEY)
    part = part_of_day(start, wording.language)
    if part is None or start.date() != end.date() or part != part_of_day(end, wording.language):
        return False
    name = part[1]
    first, last = (re.escape(wording.moment(time).clock.replace(name, "").strip()) for time in (start, end))
    names = [name, name.replace("in the ", "this ")] if start.date() == NOW.date() else [name]
    pattern = SAID_ONCE[wording.language].format(start=first, end=last, part=f"(?:{'|'.join(names)})")
    return bool(re.search(pattern, text))


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
        together = stretch(told) if limit.spoken else None
        for time in clocks(told, next_update):
            if together and time in together and says_once(text, *together, wording):
                continue
            said = wording.moment(time)
            ends = (said.clock, said.digits)
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
