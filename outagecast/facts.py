"""The facts of a message as a reader meets them, and the proof that a finished text still states them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from outagecast import voice
from outagecast.channel import Carries
from outagecast.measure_sms import unmarked
from outagecast.message import UNKNOWN, Message
from outagecast.model import Status
from outagecast.text import folded
from outagecast.wording import Moment, Window, Wording, bare, closed_up, first_sentence

_INCIDENT = (Status.INVESTIGATING, Status.IDENTIFIED)
_PLANNED = (Status.SCHEDULED, Status.IN_PROGRESS)

# The statuses under which a sentence may have been written that this one makes untrue.
OUTDATES: Mapping[Status, tuple[Status, ...]] = {
    Status.MONITORING: _INCIDENT,
    Status.RESOLVED: _INCIDENT,
    Status.IN_PROGRESS: (Status.SCHEDULED,),
    Status.COMPLETED: _PLANNED,
    Status.RETRACTED: (*_INCIDENT, *_PLANNED, Status.MONITORING),
}

# What a status has no place for. A repaired service has no estimate, and a false alarm no start: left over in the
# file, they would be said of something that is not there.
_SILENT: Mapping[Status, tuple[str, ...]] = {
    Status.INVESTIGATING: ("ended", "window", "retraction_reason"),
    Status.IDENTIFIED: ("ended", "window", "retraction_reason"),
    Status.MONITORING: ("eta", "window", "retraction_reason"),
    Status.RESOLVED: ("eta", "next_update", "window", "retraction_reason", "components"),
    Status.SCHEDULED: ("started", "ended", "eta", "retraction_reason", "components"),
    Status.IN_PROGRESS: ("ended", "retraction_reason"),
    Status.COMPLETED: ("eta", "next_update", "retraction_reason", "components"),
    Status.RETRACTED: (
        *("eta", "next_update", "started", "ended", "window", "scope", "scope_unknown", "cause", "cause_unknown"),
        "components",
    ),
}

# What is left unsaid only where it was written for an earlier status: a way round what works again, say.
_SILENT_IF_OLD: Mapping[Status, tuple[str, ...]] = {
    Status.MONITORING: ("workaround",),
    Status.RESOLVED: ("workaround",),
    Status.COMPLETED: ("workaround",),
    Status.RETRACTED: ("workaround", "compensation", "aftermath"),
}

# What no text may leave out where the message states it; the rest goes, least needed first, when room is short.
_ALWAYS = frozenset({"summary", "next_update_at", "apology", "retraction_reason"})
_ESSENTIAL: Mapping[Status, frozenset[str]] = {
    Status.INVESTIGATING: _ALWAYS | {"started_at"},
    Status.IDENTIFIED: _ALWAYS | {"started_at"},
    Status.MONITORING: _ALWAYS | {"ended_at"},
    Status.RESOLVED: _ALWAYS | {"started_at", "ended_at"},
    Status.SCHEDULED: _ALWAYS | {"window"},
    Status.IN_PROGRESS: _ALWAYS | {"window"},
    Status.COMPLETED: _ALWAYS | {"ended_at"},
    Status.RETRACTED: _ALWAYS,
}

# What a status claims of the service: a text that claims another one's denies it.
_STAGE: Mapping[Status, str] = {
    Status.INVESTIGATING: "failing",
    Status.IDENTIFIED: "failing",
    Status.MONITORING: "working",
    Status.RESOLVED: "working",
    Status.SCHEDULED: "ahead",
    Status.IN_PROGRESS: "under way",
    Status.COMPLETED: "finished",
    Status.RETRACTED: "wrong",
}

_TAG = re.compile(r"<(?:[^>\"']|\"[^\"]*\"|'[^']*')*>")
_LINK = re.compile(r'<a\s[^>]*?href="([^"]*)"[^>]*>')
_BLOCK_END = re.compile(r"</(?:p|li|h\d|div|title|tr|td|th)>|<br\s*/?>", re.IGNORECASE)
_UNSEEN = re.compile(r"<!--.*?-->|<(head|style|script)\b.*?</\1>", re.IGNORECASE | re.DOTALL)
_CLOCK_12 = re.compile(r"(?<![\d.:])(1[0-2]|0?[1-9])(?:[:.]([0-5]\d))?\s?([ap])\.?m\b")
_CLOCK_24 = re.compile(r"(?<![\d.:])([01]?\d|2[0-3])(?:[:.]|\s?h\s?)([0-5]\d)(?!\d|:\d|\s?[ap]\.?m\b)")
_FULL_HOUR = re.compile(r"(?<![\d.:])([01]?\d|2[0-3])\s?(?:h|uhr|heures|horas)\b(?!\s?\d)")
_CLOCK_HAN = re.compile(r"(凌晨|早上|上午|中午|下午|晚上)(1[0-2]|0?\d)[時时](?:([0-5]?\d)分|(半))?")
_DOTTED = re.compile(r"\d\.\d\d(?!\s?[ap]\.?m)")  # a price as well as a time
_HOURS = re.compile(r"(?<!\bà )(?<!\bavant )(?<!\blas )(?<![\d.:])\d{1,2}\s?(?:h|heures|horas)\b(?!\s?\d)")  # how long
_WORDS_END = "(?:(?![^\\W_\u2e80-\u9fff])|(?<![^\\W_\u2e80-\u9fff]))"  # "is over" is not in "is overloaded"
_CALLED = re.compile(r"(?<![\w.:/-])(?!\d{4}-\d\d-\d\d)\+?\d(?:[ ()-]{0,2}\d){5,14}(?![\w:/-])")
_WORD = re.compile(r"[^\W\d_]{4,}")
_NUMBER = re.compile(r"\d+")
_CONTRACTED = (("can't", "cannot"), ("won't", "will not"), ("n't", " not"))  # English; both say the same
_QUOTES = str.maketrans(dict.fromkeys('"「」『』', "'"))  # quoted, outer ones become inner ones


class Said(NamedTuple):
    """An earlier statement on the incident that this one outdates: its message as written, and since when it is out."""

    written: Mapping[str, Any]
    at: datetime

    def words(self, name: str, language: str) -> tuple[str, ...]:
        """What it said of one free-text fact, in that language where it was translated."""
        translated = self.written.get("translations", {}).get(language, {})
        value = translated.get(name) or self.written.get(name) or ()
        texts = [value] if isinstance(value, str) else value
        return tuple(map(folded, texts))


class Fact(NamedTuple):
    """One stated fact: a text carries it when every one of ``needles`` stands in it, or any one if ``either``.

    ``loosely`` are the needles that are enough in a text that somebody wrote by hand.
    """

    name: str
    needles: tuple[str | Moment, ...]
    either: bool = False
    loosely: tuple[str | Moment, ...] | None = None


def visible(part: str) -> str:
    """The words that a reader of this HTML sees, and where its links lead."""
    return html.unescape(_TAG.sub("", _BLOCK_END.sub("\n", _LINK.sub(r"\1 ", _UNSEEN.sub("", part)))))


def context(
    message: Message,
    wording: Wording,
    next_update_at: datetime | None,
    *,
    links: bool,
    earlier: Sequence[Said] = (),
    sequel: str | None = None,
) -> dict[str, Any]:
    """What a template may name: every fact, None or empty where the message does not state it.

    ``earlier`` are the statements, oldest first, that this one outdates; ``sequel`` what it is to who heard them.
    """

    def said(time: datetime | None) -> Moment | None:
        return wording.moment(time) if time else None

    window, started, ended = message.window, message.started_at, message.ended_at
    given: dict[str, Any] = {
        "incident": message.incident,
        "status": message.status.value,
        "impact": message.impact.value if message.impact else None,
        "title": message.title,
        "summary": message.summary,
        "components": [(name, state.value) for name, state in message.components.items()],
        "scope": None if message.scope == UNKNOWN else message.scope,
        "scope_unknown": message.scope == UNKNOWN,
        "started": said(started),
        "ended": said(ended),
        "lasted": wording.lasted(started, ended) if started and ended else None,
        "duration": wording.duration(ended - started) if started and ended else None,
        "window": wording.window(window.start, window.end) if window else None,
        "cause": None if message.cause == UNKNOWN else message.cause,
        "cause_unknown": message.cause == UNKNOWN,
        "cause_found": message.cause != UNKNOWN,
        "workaround": list(message.workaround),
        "eta": said(message.eta),
        "no_estimate": message.eta is None and message.status in _INCIDENT,
        "next_update": said(next_update_at),
        "apology": _apology(message),
        "compensation": message.compensation,
        "aftermath": message.aftermath,
        "retraction_reason": message.retraction_reason,
        "phone": message.contact.phone,
        "url": message.contact.url if links else None,
        "now": wording.moment(wording.as_of),
        "zone": wording.zone_name,
        "language": wording.language,
        "is_planned": window is not None,
        "sequel": sequel,
    }
    old = set(_outdated(message, wording.language, earlier))
    silent = {*_SILENT[message.status], *(old & {*_SILENT_IF_OLD.get(message.status, ())})}
    return given | dict.fromkeys(silent) | _retold(message, wording, earlier, old)


def _apology(message: Message) -> dict[str, str] | None:
    if message.apology is None:
        return None
    short, long = message.apology.short, message.apology.long
    return {"short": short, "long": long, "brief": first_sentence(short)}


def _outdated(message: Message, language: str, earlier: Sequence[Said]) -> Iterator[str]:
    """The free-text facts that still stand as they were written for an earlier status."""
    for name in ("title", "summary", "workaround", "compensation", "aftermath"):
        value = getattr(message, name)
        now = (value,) if isinstance(value, str) else value
        if now and any(_repeats(message, name, language, now, said) for said in earlier):
            yield name


def _repeats(message: Message, name: str, language: str, now: tuple[str, ...], said: Said) -> bool:
    """Whether ``said`` said the same: in this language, or, where it was not translated yet, in its own."""
    if _heard_in(message, language, said):
        return said.words(name, language) == now
    return said.words(name, "") == Said(json.loads(message.as_written()), said.at).words(name, "")


def _heard_in(message: Message, language: str, said: Said) -> bool:
    """Whether its words can be quoted to readers of this language: a translation may be younger than it."""
    return language not in message.translations or language in said.written.get("translations", {})


def _retold(message: Message, wording: Wording, earlier: Sequence[Said], old: set[str]) -> dict[str, Any]:
    """What a text needs to tell news from what was said before: the news' headline, and the old statement's time."""
    is_news = message.status in OUTDATES and "title" not in old
    repeated = _folded(bare(message.title)) in _folded(message.summary)
    summary_is_old = "summary" in old or (message.status is Status.RETRACTED and not earlier)
    heard = [said for said in earlier if _heard_in(message, wording.language, said)]
    before = message.summary if summary_is_old or not heard else heard[-1].words("summary", wording.language)[0]
    first = next((said for said in earlier if said.words("summary", wording.language) == (before,)), None)
    open_ones = [said for said in earlier if said.written.get("status") != message.status]
    was_news = "title" in old and "title" not in _outdated(message, wording.language, open_ones)
    return {
        "headline": message.title if is_news and not repeated and (earlier or not summary_is_old) else None,
        "summary_is_old": summary_is_old,
        "said_before": {
            "title": next(iter(heard[0].words("title", wording.language) if heard else ()), message.title),
            "headline": message.title if was_news and not repeated else None,
            "summary": before,
            "at": wording.moment(first.at) if first else None,
        },
    }


def stated(given: Mapping[str, Any], phrases: Mapping[str, Any]) -> list[Fact]:
    """The facts that a template's ``context`` states, each with what proves it in a finished text."""
    facts = [
        Fact("status", tuple(phrases.get("status_said", {}).get(given["status"], ())), either=True),
        Fact("summary", (given["summary"],)),
    ]
    if given["components"]:
        facts.append(_components(given["components"], phrases.get("component_states", {})))
    facts += [Fact(f"{key}_at", (given[key],)) for key in ("started", "ended") if given[key]]
    if given["eta"]:
        facts.append(Fact("eta", (given["eta"],)))
    elif given["no_estimate"]:
        facts.append(Fact("eta", _phrases(phrases, "no_estimate"), either=True))
    if given["next_update"]:
        facts.append(Fact("next_update_at", (given["next_update"],)))
    if window := given["window"]:
        under_way = given["status"] == Status.IN_PROGRESS
        facts.append(Fact("window", (window.end,) if under_way else (window.start, window.end)))
    for name in ("scope", "cause"):
        if given[name]:
            facts.append(Fact(name, (given[name],)))
        elif given[f"{name}_unknown"]:
            facts.append(Fact(name, _phrases(phrases, f"{name}_unknown"), either=True))
    if given["workaround"]:
        facts.append(Fact("workaround", tuple(given["workaround"])))
    if given["apology"]:
        facts.append(Fact("apology", tuple(given["apology"].values()), either=True))
    sentences = ("compensation", "aftermath", "retraction_reason")
    facts += [Fact(name, (given[name],)) for name in sentences if given[name]]
    facts += [Fact(f"contact.{name}", (given[name],)) for name in ("phone", "url") if given[name]]
    return facts


def _components(components: Sequence[tuple[str, str]], states: Mapping[str, str]) -> Fact:
    """The parts of the service and how each is; in a text by hand, their names are enough."""
    names = tuple(name for name, _ in components)
    return Fact("components", (*names, *(states.get(state, state) for _, state in components)), loosely=names)


def _phrases(phrases: Mapping[str, Any], beginning: str) -> tuple[str, ...]:
    """The shared phrases whose names begin so."""
    return tuple(str(phrase) for key, phrase in phrases.items() if key.startswith(beginning))


def carried(text: str, facts: Sequence[Fact], *, by_hand: bool = False) -> tuple[list[str], list[str]]:
    """The names of the facts found in ``text``, and of those left out.

    Sentences are looked for word by word; where somebody wrote the text ``by_hand``, every number and a third of the
    words are enough. Times, numbers and addresses must be right in both.
    """
    hay = _Text(_folded(text), by_hand)

    def states(fact: Fact) -> bool:
        needles = fact.loosely if by_hand and fact.loosely is not None else fact.needles
        return (any if fact.either else all)(map(hay.states, needles))

    found = [fact for fact in facts if states(fact)]
    return [fact.name for fact in found], [fact.name for fact in facts if fact not in found]


def contradictions(text: str, given: Mapping[str, Any], phrases: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a text written by hand says against the facts, as pairs of a fact's name and the words that deny it."""
    hay = _Text(_folded(text), by_hand=True)
    own = _Text(_folded(" ".join(strings(given))), by_hand=True)
    known = {(time.hour, time.minute) for time in _times(given)} | set(own.clocks())
    for clock in sorted(set(hay.clocks(surely=True)) - known):
        yield "times", f"{clock[0]}:{clock[1]:02}"
    ours = {_digits(number) for number in _CALLED.findall(own.words)}
    for number in _CALLED.findall(hay.words) if given["phone"] else ():
        if _digits(number) not in ours:
            yield "contact.phone", number
    for fact, beginning in (("cause", "cause_unknown"), ("scope", "scope_unknown"), ("eta", "no_estimate")):
        if given[fact]:
            yield from ((fact, phrase) for phrase in _phrases(phrases, beginning) if hay.states(phrase, exactly=True))
    said = phrases.get("status_said", {})
    mine = said.get(given["status"], ())
    if not any(hay.states(phrase, exactly=True) for phrase in mine):
        opening = _Text(_folded(first_sentence(folded(text))), by_hand=True)  # later ones may tell of what is to come
        for status, theirs in said.items():
            its = Status(status)
            if its is not Status.RETRACTED and _STAGE[its] != _STAGE[Status(given["status"])]:  # any text may correct
                denied = [phrase for phrase in theirs if phrase not in mine and opening.states(phrase, exactly=True)]
                yield from (("status", phrase) for phrase in denied)


def _digits(number: str) -> str:
    return re.sub(r"\D", "", number)


def strings(node: Any) -> Iterator[str]:
    """Every text in a tree of facts, the times left out."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from strings(value)
    elif isinstance(node, (list, tuple)) and not isinstance(node, (Moment, Window)):
        for value in node:
            yield from strings(value)


def _times(node: Any) -> Iterator[datetime]:
    """Every time in a tree of facts, by the reader's clock."""
    if isinstance(node, Moment):
        yield datetime.fromisoformat(node.iso)
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _times(value)
    elif isinstance(node, Window):
        yield from _times({"start": node.start, "end": node.end})


def required(carries: Carries, facts: Sequence[Fact], status: Status) -> frozenset[str]:
    """Which of ``facts`` a part of this kind may not leave out."""
    if carries is Carries.NOTHING:
        return frozenset()
    names = frozenset(fact.name for fact in facts)
    return names if carries is Carries.EVERYTHING else names & _ESSENTIAL[status]


@dataclass(frozen=True, slots=True)
class _Text:
    """A finished text, folded, to look for facts in."""

    words: str
    by_hand: bool

    def states(self, needle: str | Moment, *, exactly: bool = False) -> bool:
        if isinstance(needle, Moment):
            return self._tells(needle)
        folded = bare(_folded(needle))
        if re.search(rf"(?<!\d){re.escape(folded)}{_WORDS_END}(?!\d)", self.words):
            return True
        return self.by_hand and not exactly and self._resembles(folded)

    def _tells(self, moment: Moment) -> bool:
        """Whether the clock time stands in the text, however it is written, and the day where it must be named."""
        time = datetime.fromisoformat(moment.iso)
        days = (_folded(moment.day), _folded(moment.brief_day))
        is_clear = not moment.names_day or any(day in self.words for day in days)
        as_said = re.search(rf"(?<![\d.:]){re.escape(_folded(moment.clock))}(?![\d:])", self.words)
        heard = bool(moment.spoken) and voice.says(self.words, _folded(moment.spoken))
        return is_clear and (bool(as_said) or heard or (time.hour, time.minute) in set(self.clocks()))

    def clocks(self, *, surely: bool = False) -> Iterator[tuple[int, int]]:
        """The times of day in the text; ``surely`` without what may be a price, or how long it takes."""
        words = _HOURS.sub(" ", _DOTTED.sub(" ", self.words)) if surely else self.words
        for hour, minute, half in _CLOCK_12.findall(words):
            yield int(hour) % 12 + (12 if half == "p" else 0), int(minute or 0)
        for hour, minute in _CLOCK_24.findall(words):
            yield int(hour), int(minute)
        for hour in _FULL_HOUR.findall(words):
            yield int(hour), 0
        for part, hour, minute, half in _CLOCK_HAN.findall(words):
            afternoon = 12 if part in {"下午", "中午"} or (part == "晚上" and hour != "12") else 0  # 晚上12時: midnight
            yield int(hour) % 12 + afternoon, 30 if half else int(minute or 0)
        for word, clock in (("midnight", 0), ("midday", 12), ("noon", 12)):
            if word in words:
                yield clock, 0

    def _resembles(self, needle: str) -> bool:
        numbers, words = _NUMBER.findall(needle), _WORD.findall(needle)
        heads = {word[:4] for word in words}
        known = {word[:4] for word in _WORD.findall(self.words)}
        return bool(words) and {*numbers} <= {*_NUMBER.findall(self.words)} and len(heads & known) * 3 >= len(heads)


def _folded(text: str) -> str:
    """Modulo what never changes a fact: typography, white space, capitals, and whether *not* is written out."""
    words = " ".join(unmarked(text).translate(_QUOTES).casefold().split())
    for short, full in _CONTRACTED:
        words = words.replace(short, full)
    return closed_up(words)
