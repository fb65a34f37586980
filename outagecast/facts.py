"""The facts of a message as a reader meets them, and the proof that a finished text still states them."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from outagecast.channel import Carries
from outagecast.message import UNKNOWN, Message
from outagecast.model import Status
from outagecast.wording import Wording

# What no text may leave out where the message states it; the rest goes, least needed first, when room is short.
ESSENTIAL = frozenset({"summary", "started_at", "ended_at", "window", "next_update_at", "apology", "retraction_reason"})

# A repaired service has no estimate, and a false alarm had neither cause nor way round: left over in the file, they
# would be said of something that is not there.
_SILENT: Mapping[Status, tuple[str, ...]] = {
    Status.RESOLVED: ("eta", "next_update"),
    Status.COMPLETED: ("eta", "next_update"),
    Status.RETRACTED: (
        *("eta", "next_update", "started", "ended", "window", "scope", "scope_unknown", "cause", "cause_unknown"),
        *("workaround", "compensation"),
    ),
}

_PLAIN = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "...", "\u00a0": " ", "\u202f": " "}
)
_TAG = re.compile(r"<(?:[^>\"']|\"[^\"]*\"|'[^']*')*>")
_LINK = re.compile(r'<a\s[^>]*?href="([^"]*)"[^>]*>')
_BLOCK_END = re.compile(r"</(?:p|li|h\d|div|title|tr|td|th)>|<br\s*/?>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fact:
    """One stated fact: a text carries it when every one of ``needles`` stands in it, or any one if ``either``."""

    name: str
    needles: tuple[str, ...]
    either: bool = False


def plain(text: str) -> str:
    """Typographic quotes, dashes and spaces as the keyboard has them: one of them makes an SMS cost twice."""
    return unicodedata.normalize("NFC", text).translate(_PLAIN)


def visible(part: str) -> str:
    """The words that a reader of this HTML sees, and where its links lead."""
    return html.unescape(_TAG.sub("", _BLOCK_END.sub("\n", _LINK.sub(r"\1 ", part))))


def context(message: Message, wording: Wording, next_update_at: datetime | None, *, links: bool) -> dict[str, Any]:
    """What a template may name: every fact, None or empty where the message does not state it."""

    def said(time: datetime | None) -> Any:
        return wording.moment(time) if time else None

    window = message.window
    given = {
        "incident": message.incident,
        "status": message.status.value,
        "impact": message.impact.value if message.impact else None,
        "title": message.title,
        "summary": message.summary,
        "components": [(name, state.value) for name, state in message.components.items()],
        "scope": None if message.scope == UNKNOWN else message.scope,
        "scope_unknown": message.scope == UNKNOWN,
        "started": said(message.started_at),
        "ended": said(message.ended_at),
        "window": wording.window(window.start, window.end) if window else None,
        "cause": None if message.cause == UNKNOWN else message.cause,
        "cause_unknown": message.cause == UNKNOWN,
        "workaround": list(message.workaround),
        "eta": said(message.eta),
        "next_update": said(next_update_at),
        "apology": message.apology,
        "compensation": message.compensation,
        "aftermath": message.aftermath,
        "retraction_reason": message.retraction_reason,
        "phone": message.contact.phone,
        "url": message.contact.url if links else None,
        "zone": wording.zone_name,
        "language": wording.language,
    }
    return given | dict.fromkeys(_SILENT.get(message.status, ()))


def stated(given: Mapping[str, Any], phrases: Mapping[str, str]) -> list[Fact]:
    """The facts that a template's ``context`` states, each with what proves it in a finished text."""
    facts = [Fact("summary", (given["summary"],))]
    for name, key in (
        ("started_at", "started"),
        ("ended_at", "ended"),
        ("eta", "eta"),
        ("next_update_at", "next_update"),
    ):
        if given[key]:
            facts.append(_time(name, given[key]))
    if given["window"]:
        facts.append(Fact("window", (given["window"].span,)))
    for name in ("scope", "cause"):
        if given[name]:
            facts.append(Fact(name, (given[name],)))
        elif given[f"{name}_unknown"]:
            said = [phrase for key, phrase in phrases.items() if key.startswith(f"{name}_unknown")]
            facts.append(Fact(name, tuple(said), either=True))
    if given["workaround"]:
        facts.append(Fact("workaround", tuple(given["workaround"])))
    if given["apology"]:
        facts.append(Fact("apology", (given["apology"].long, given["apology"].short), either=True))
    for name in ("compensation", "aftermath", "retraction_reason"):
        if given[name]:
            facts.append(Fact(name, (given[name],)))
    for name in ("phone", "url"):
        if given[name]:
            facts.append(Fact(f"contact.{name}", (given[name],)))
    return facts


def _time(name: str, moment: Any) -> Fact:
    return Fact(name, (moment.clock,) if moment.when == moment.clock else (moment.clock, moment.day))


def carried(text: str, facts: list[Fact]) -> tuple[list[str], list[str]]:
    """The names of the facts found in ``text``, and of those left out."""
    hay = _folded(text)
    found = [fact for fact in facts if (any if fact.either else all)(_folded(needle) in hay for needle in fact.needles)]
    return [fact.name for fact in found], [fact.name for fact in facts if fact not in found]


def required(carries: Carries, facts: list[Fact]) -> frozenset[str]:
    """Which of ``facts`` a part of this kind may not leave out."""
    if carries is Carries.NOTHING:
        return frozenset()
    names = frozenset(fact.name for fact in facts)
    return names if carries is Carries.EVERYTHING else names & ESSENTIAL


def _folded(text: str) -> str:
    """Modulo what never changes a fact: typography, white space, capitals, and the full stop at the end."""
    return " ".join(plain(text).casefold().split()).rstrip(".")
