"""A bank's outage page over some weeks, as deliveries: planned work that is done, an outage that is over, planned work
ahead, and an outage that goes on. The words are those of the shipped templates.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from outagecast import config, document, message, plan, render
from outagecast.channels.status_page import Settings, StatusPage
from outagecast.errors import MessageError
from outagecast.ledger import Carried, Past, Update
from outagecast.model import Delivery, State
from tests.stories import BACK, BASE, CARDS, FOUND, WORK, WORK_DONE, Facts, clock, told_in

URL = "https://status.example.com/"
NOW = "cards-2026-11-22"
_OCTOBER = {"window": {"start": "2026-10-11T01:00+11:00", "end": "2026-10-11T05:00+11:00"}}
_EARLIER = {"started_at": "2026-11-02T18:30+11:00"}
STORY: dict[str, list[tuple[str, Facts]]] = {
    "app-2026-10-11": [
        ("2026-10-07T09:00+11:00", WORK | _OCTOBER),
        ("2026-10-11T04:25+11:00", WORK_DONE | _OCTOBER | {"ended_at": "2026-10-11T04:20+11:00"}),
    ],
    "cards-2026-11-02": [
        ("2026-11-02T18:50+11:00", CARDS | _EARLIER),
        ("2026-11-02T21:40+11:00", BACK | _EARLIER | {"ended_at": "2026-11-02T20:50+11:00"}),
    ],
    "app-2026-11-29": [(clock("09:00", 20), WORK)],
    NOW: [(clock("18:50"), CARDS), (clock("19:30"), FOUND)],
}
OVER = (clock("21:40"), BACK)
_FACTS = {item.name for item in fields(message.Translation)}


@cache
def deliveries(languages: tuple[str, ...] = ("en", "ro"), *, is_over: bool = False) -> tuple[Delivery, ...]:
    """All that was said, in the order in which it was; ``is_over``: the last outage too."""
    story = STORY | ({NOW: [*STORY[NOW], OVER]} if is_over else {})
    return tuple(each for slug, updates in story.items() for each in _told(slug, updates, languages))


def first(**facts: Any) -> Delivery:
    """One announcement of an incident, in English."""
    return next(_told("cards", [(clock("18:50"), {**CARDS, **facts})], ("en",)))


def published(folder: Path, languages: tuple[str, ...] = ("en", "ro"), *, is_over: bool = False) -> Path:
    """The folder of a page on which all of it was published."""
    page = StatusPage(Settings(path=folder, public_url=URL))
    for delivery in deliveries(languages, is_over=is_over):
        page.send(delivery)
    return folder


def bank(languages: Sequence[str]) -> config.Config:
    """A bank that has nothing but an outage page."""
    settings = {
        "organisation": {
            "name": "Example Bank",
            "timezone": "Australia/Sydney",
            "languages": languages,
            "phone": "13 20 32",
            "status_page": URL,
        },
        "components": {"Cards": ["Card payments", "Cash machines"], "Digital": ["Mobile app"]},
        "channels": {"page": {"kind": "status_page", "path": "status"}},
    }
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "outagecast.yaml")
        path.write_text(json.dumps(settings), encoding="utf-8")
        return config.load(path)


def _told(slug: str, story: Sequence[tuple[str, Facts]], languages: tuple[str, ...]) -> Iterator[Delivery]:
    settings, updates = bank(languages), list[Update]()
    for number, (at, told) in enumerate(story, 1):
        given = {"incident": slug, "status": "investigating", **BASE, **told}
        facts = {name: fact for name, fact in given.items() if fact is not None}
        facts["translations"] = {code: _translated(code, facts) for code in languages[1:]}
        said = message.check(document.parse("message", json.dumps(facts), MessageError))
        now = datetime.fromisoformat(at)
        carried = Carried(number - 1, State.ACCEPTED, "")
        past = Past(slug, tuple(updates), {("page", "", code): carried for code in languages if updates})
        for variant in render.variants(plan.draw(said, settings, audiences={}, past=past, now=now)):
            key = f"{slug}/{number}/{variant.language}"
            yield Delivery(key, slug, number, said.status, "", variant.language, variant.parts, now, now)
        updates.append(
            Update(
                incident=slug,
                number=number,
                status=said.status,
                fingerprint=said.fingerprint,
                written=said.as_written(),
                digest="",
                opened_at=now,
                opened_by="Ana",
            )
        )


def _translated(language: str, facts: Facts) -> Facts:
    told = told_in(language, facts)
    words = {name: fact for name, fact in told.items() if name in _FACTS and fact != "unknown"}
    if "components" in facts:
        words["components"] = dict(zip(facts["components"], told["components"], strict=True))
    return words
