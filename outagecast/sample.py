"""A message that nobody will ever read, to try every text on before an incident does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from outagecast import document
from outagecast.errors import MessageError
from outagecast.message import UNKNOWN, Message, Translation, check
from outagecast.model import ComponentState, Impact, Status


def message(status: Status, now: datetime, *, full: bool, languages: Iterable[str] = ()) -> Message:
    """The sample of a status, with every fact or with as few as there may be; read as a file is.

    In other ``languages`` it says the same words.
    """

    def at(minutes: int) -> str:
        return (now + timedelta(minutes=minutes)).isoformat(timespec="minutes")

    facts: dict[str, Any] = {
        "incident": "check",
        "status": status.value,
        "title": "Card payments are failing",
        "summary": "Our debit and credit cards are being declined in shops and online.",
    }
    if status.is_maintenance:
        facts["window"] = {"start": at(0), "end": at(240)}
    if full:
        facts |= {
            "impact": Impact.MAINTENANCE if status.is_maintenance else Impact.MAJOR,
            "components": {
                "Card payments": ComponentState.OPERATIONAL if status.is_closing else ComponentState.MAJOR_OUTAGE
            },
            "scope": "All our cards, everywhere.",
            "started_at": at(-20),
            "cause": "A power failure at our data centre.",
            "workaround": ["Cash machines still work."],
            "eta": at(120),
            "apology": "We are sorry.",
            "compensation": "We will refund any fee this costs you.",
            "aftermath": "A declined payment takes no money from your account.",
            "briefing": {
                "say": ["Cash machines still work."],
                "do_not_say": ["A cause that is not known."],
                "faq": [{"q": "Was I charged?", "a": "No. A declined payment takes no money."}],
                "escalation": "The duty manager.",
            },
        }
        if status.is_closing or status is Status.MONITORING:
            facts["ended_at"] = at(0)
        if status is Status.RETRACTED:
            facts["retraction_reason"] = "A test was taken for the real thing."
    else:
        facts |= {"cause": UNKNOWN, "scope": UNKNOWN}
    said = {item.name: facts[item.name] for item in fields(Translation) if facts.get(item.name, UNKNOWN) != UNKNOWN}
    if "components" in said:
        said["components"] = {component: component for component in said["components"]}
    facts["translations"] = dict.fromkeys(languages, said)
    return check(document.parse("the sample message", json.dumps(facts), MessageError))
