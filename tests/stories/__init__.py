"""Outages and planned work from first word to last, in English; their words in other languages lie beside this file.

``<language>.yaml`` maps each English text to what an officer of that country would write in its place.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import yaml

WORDS = (
    "title",
    "summary",
    "scope",
    "cause",
    "workaround",
    "apology",
    "compensation",
    "aftermath",
    "retraction_reason",
)
BASE = {
    "title": "Card payments are failing",
    "summary": "Our debit and credit cards are being declined in shops and online.",
}
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


def told_in(language: str, facts: Facts) -> Facts:
    """The facts with every text in another language; those that every message has are among them."""
    if language == "en":
        return facts
    given = BASE | {name: fact for name, fact in facts.items() if fact is not None}
    said = {name: said_in(language, given[name]) for name in WORDS if name in given}
    if "components" in given:
        said["components"] = {said_in(language, name): state for name, state in given["components"].items()}
    return {**dict.fromkeys(facts), **given, **said}


def texts() -> set[str]:
    """Every text of the stories."""
    found: set[str] = set()
    for _, earlier, facts in STORIES.values():
        for told in (BASE, facts, *(said for _, said in earlier)):
            for name in ("components", *WORDS):
                found |= set(_leaves(told.get(name)))
    return found - {"unknown"}


def _leaves(node: Any) -> list[str]:
    if isinstance(node, dict):  # of an apology, the texts; of components, the names
        return [str(text) for text in (node.values() if "short" in node else node)]
    return [node] if isinstance(node, str) else list(node or ())


def said_in(language: str, node: Any) -> Any:
    """A text, or several, in another language."""
    if isinstance(node, str):
        return node if node == "unknown" or language == "en" else _dictionary(language)[node]
    if isinstance(node, dict):
        return {name: said_in(language, text) for name, text in node.items()}
    return node and [said_in(language, text) for text in node]


@cache
def _dictionary(language: str) -> dict[str, str]:
    path = Path(__file__).with_name(f"{language}.yaml")
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))
