"""The message: what the officer wrote, once, as named facts; from a YAML or JSON file to a checked object."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import re
import typing
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from outagecast import document, schema
from outagecast.document import MOST_PROBLEMS, Document, Node, Place, nearest
from outagecast.errors import MessageError, Problem
from outagecast.model import ComponentState, Impact, Status
from outagecast.schema import Parse, Reshape, about
from outagecast.text import clean, folded, harmful_characters

UNKNOWN = "unknown"  # an honest value of `cause` and `scope`, which is said in words
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
# Monitoring systems write fractions of a second; nobody announces them.
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.\d{1,9})?\s*(Z|[+-]\d{2}:\d{2})?", re.ASCII)
_DURATION = re.compile(r"(?:(\d{1,3})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Z][a-z]{3})?(?:-[A-Z]{2})?")
_YEARS = range(2000, 2100)  # another one is a slip of the finger
_WIDEST_OFFSET = timedelta(hours=14)
_LIKE = "2026-11-22T18:30+11:00"


def _text(value: str, _: object = None) -> str:
    text = folded(value)
    if not text:
        raise ValueError("is empty; write a value, or remove the line")
    return text


def _slug(value: str, _: object = None) -> str:
    if not SLUG.fullmatch(value):
        raise ValueError("must be small letters, digits and hyphens, at most 64, such as card-payments-2026-11-22")
    return value


def language(value: str, _: object = None) -> str:
    """``value`` if it is a language code. Raises ValueError."""
    if not _LANGUAGE.fullmatch(value):
        raise ValueError(f'"{clean(value, most=60)}" is not a language code; write it like en, ro or zh-Hant')
    return value


def parse_moment(value: str, zone: ZoneInfo | None = None) -> datetime:
    """``2026-11-22T18:30+11:00`` as a time. Raises ValueError for a naive or impossible one, with what to write."""
    text = _one_line(value)
    match = _MOMENT.fullmatch(text)
    if not match:
        raise ValueError(f'"{text}" is not a time; write it like {_LIKE}')
    day, clock, offset = match.groups()
    try:
        naive = datetime.fromisoformat(f"{day}T{clock}")
    except ValueError as error:
        raise ValueError(f'"{text}" does not exist: {error}') from None
    if naive.year not in _YEARS:
        raise ValueError(f'"{text}" is in the year {naive.year}; write it like {_LIKE}')
    if not offset:
        raise ValueError(_missing_offset(naive, zone))
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{offset}")
    except ValueError:
        moment = None
    if moment is None or abs(moment.utcoffset() or timedelta()) > _WIDEST_OFFSET:
        raise ValueError(f'"{text}" does not exist: no place is {offset} from UTC')
    return moment


def _one_line(value: str) -> str:
    text = clean(value, most=60)
    if not text:
        raise ValueError("is empty; write a value, or remove the line")
    return text


def _missing_offset(naive: datetime, zone: ZoneInfo | None) -> str:
    """What to write in the place of a time without an offset, by the organisation's clock."""
    if zone is None:
        return f"has no offset from UTC; write {naive:%Y-%m-%dT%H:%M}+00:00 or your own"
    early, late = naive.replace(tzinfo=zone), naive.replace(tzinfo=zone, fold=1)
    if early.utcoffset() != late.utcoffset():
        back = early.astimezone(ZoneInfo("UTC")).astimezone(zone).replace(tzinfo=None)
        if back != naive:
            return (
                f"has no offset from UTC, and {naive:%H:%M} does not exist that day in {zone.key}, where "
                f"the clocks change; is it {back.replace(tzinfo=zone).isoformat(timespec='minutes')}?"
            )
        return (
            f"has no offset from UTC, and {naive:%H:%M} comes twice that day in {zone.key}; "
            f"write {early.isoformat(timespec='minutes')} or {late.isoformat(timespec='minutes')}"
        )
    return f"has no offset from UTC; in {zone.key} write {early.isoformat(timespec='minutes')}"


def parse_duration(value: str, _: object = None) -> timedelta:
    """``30m``, ``1h30m``, ``2d`` as a duration. Raises ValueError with the form it must have."""
    text = _one_line(value)
    match = _DURATION.fullmatch(text)
    if not match or not any(match.groups()):
        raise ValueError(f'"{text}" is not a duration; write it like 30m, 2h or 1h30m')
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not duration:
        raise ValueError("must be longer than nothing")
    return duration


def _moment_or_duration(value: str, zone: ZoneInfo | None) -> datetime | timedelta:
    if _DURATION.fullmatch(value.strip()):
        return parse_duration(value)
    if not re.match(r"\s*\d{4}-", value):
        raise ValueError(f'"{_one_line(value)}" is neither a time nor a duration; write it like {_LIKE} or 30m')
    return parse_moment(value, zone)


def web_address(value: str, _: object = None) -> str:
    """``value`` if it is a plain http or https address. Raises ValueError."""
    address = value.strip()
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.username or parts.password:
        # It may be a real password: never repeat it.
        raise ValueError("holds a user name or a password; write the address that customers open")
    if parts.scheme not in {"https", "http"} or not parts.hostname or re.search(r'[\s<>"]', address):
        shown = clean(address, most=60)
        raise ValueError(f'"{shown}" is not a web address; write it like https://status.example.com')
    return address


def _wording(value: str, _: object = None) -> str:
    if not value.strip():
        raise ValueError("is empty; write the text, or remove the line")
    return value


Text: TypeAlias = Annotated[str, Parse(_text)]
Slug: TypeAlias = Annotated[str, Parse(_slug)]
Moment: TypeAlias = Annotated[datetime, Parse(parse_moment, f"one time, such as {_LIKE}")]
Duration: TypeAlias = Annotated[timedelta, Parse(parse_duration, "a duration, such as 30m")]
Language: TypeAlias = Annotated[str, Parse(language)]
Wording: TypeAlias = Annotated[str, Parse(_wording)]
WebAddress: TypeAlias = Annotated[str, Parse(web_address)]
Texts: TypeAlias = Annotated[tuple[Text, ...], Reshape(lambda node: [node] if isinstance(node, str) else node)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Apology:
    """What we are sorry for, for short channels and for long ones."""

    short: Text
    long: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Contact:
    """Where to turn."""

    phone: Text | None = None
    url: WebAddress | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """When planned work begins and ends."""

    start: Moment
    end: Moment


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question the call centre will hear, and the answer."""

    q: Text
    a: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Briefing:
    """What only the call centre may know; never part of a public variant."""

    say: tuple[Text, ...] = ()
    do_not_say: tuple[Text, ...] = ()
    faq: tuple[Question, ...] = ()
    escalation: Text | None = None


Apologies: TypeAlias = Annotated[
    Apology, Reshape(lambda node: {"short": node, "long": node} if isinstance(node, str) else node)
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Translation:
    """The free-text facts in another language."""

    title: Text | None = None
    summary: Text | None = None
    components: dict[str, Text] = field(default_factory=dict)
    scope: Text | None = None
    cause: Text | None = None
    workaround: Texts = ()
    apology: Apologies | None = None
    compensation: Text | None = None
    aftermath: Text | None = None
    retraction_reason: Text | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One statement on one incident. Times are aware; texts are NFC, one line each."""

    incident: Slug = about("a name for the incident, such as card-payments-2026-11-22")
    status: Status = about(f"one of {', '.join(Status)}")
    impact: Impact | None = None
    title: Text = about("the incident in a few words, such as: Card payments are failing")
    summary: Text = about("one sentence: what people cannot do")
    components: dict[Text, ComponentState] = field(default_factory=dict)
    scope: Text | None = None
    started_at: Moment | None = None
    ended_at: Moment | None = None
    window: Window | None = None
    cause: Text | None = None
    workaround: Texts = ()
    eta: Moment | None = None
    next_update_at: Annotated[datetime | timedelta, Parse(_moment_or_duration, f"one time, such as {_LIKE}")] | None = (
        None
    )
    apology: Apologies | None = None
    compensation: Text | None = None
    aftermath: Text | None = None
    retraction_reason: Text | None = None
    contact: Contact = Contact()
    translations: dict[Language, Translation] = field(default_factory=dict)
    briefing: Briefing | None = None
    variants: dict[str, dict[Language, dict[str, Wording]]] = field(default_factory=dict)
    _written: dict[str, Node] = field(default_factory=dict, compare=False, repr=False)

    @property
    def canonical(self) -> str:
        """The public facts as written, in one order: what makes two messages the same update."""
        public = {key: value for key, value in self._written.items() if key not in {"briefing", "variants"}}
        public = typing.cast("dict[str, Node]", _meant(public))
        # Somebody chose each blank and line of these.
        public |= {"variants": self._written["variants"]} if self._written.get("variants") else {}
        return json.dumps(public, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical message, in hexadecimal."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()

    def as_written(self) -> str:
        """The file's own words as JSON, for the record and for an update that builds on this one."""
        return json.dumps(self._written, ensure_ascii=False)

    def translated(self, language: str) -> Message:
        """The message with its free-text facts in ``language`` where they are translated."""
        translation = self.translations.get(language)
        if translation is None:
            return self
        given = {item.name: getattr(translation, item.name) for item in fields(translation)}
        names = {translation.components.get(name, name): state for name, state in self.components.items()}
        return replace(self, **{name: value for name, value in given.items() if value} | {"components": names})


def _meant(node: Node) -> Node:
    """The same facts, however they were quoted and folded; an empty list says no more than none."""
    if isinstance(node, str):
        return folded(node)
    if isinstance(node, list):
        return [_meant(item) for item in node]
    return {key: _meant(value) for key, value in node.items() if value}


def load(
    source: str | Path,
    *,
    stdin: typing.BinaryIO | None = None,
    status: str | None = None,
    facts: typing.Sequence[str] = (),
    zone: ZoneInfo | None = None,
) -> Message:
    """The message in a file, or on ``stdin`` for ``-``, with ``status`` and ``facts`` (``NAME=VALUE``) put in.

    ``zone`` only serves the hint for a time without an offset. Raises MessageError with every problem at once.
    """
    doc = document.parse(*document.read(source, stdin, MessageError), MessageError)
    _amend(doc, status, facts)
    return check(doc, zone)


def build_on(
    written: str,
    name: str,
    *,
    status: str | None = None,
    facts: typing.Sequence[str] = (),
    zone: ZoneInfo | None = None,
    now: datetime,
) -> Message:
    """The message that an update was ``written`` as, with ``status`` and ``facts`` put in; problems point to ``name``.

    Where that says anything new, what was right only at its own time is left out of it, but what is put in. Raises
    MessageError with every problem at once.
    """
    doc = Document(name, document.parse(name, written, MessageError).data)  # nobody wrote its lines and columns
    before = typing.cast("dict[str, Node]", _meant(doc.data))
    _amend(doc, status, facts)
    if _meant(doc.data) != before:
        is_back = _is_closing(before["status"]) and not _is_closing(doc.data.get("status"))
        doc = Document(name, document.parse(name, written, MessageError).data)
        _leave_behind(doc.data, is_back=is_back, now=now)
        _amend(doc, status, facts)
    return check(doc, zone)


def _is_closing(status: Node | None) -> bool:
    return isinstance(status, str) and status in {item.value for item in Status if item.is_closing}


def _leave_behind(written: dict[str, Node], *, is_back: bool, now: datetime) -> None:
    """Take out what was said for one moment: times that have passed, and wording by hand, which nobody reads again."""
    for fact in ("next_update_at", "eta"):
        given = written.get(fact)
        time = _moment_or_duration(given, None) if isinstance(given, str) else None
        if isinstance(time, datetime) and time <= now:
            del written[fact]
    written.pop("variants", None)
    if is_back:
        written.pop("ended_at", None)


def _amend(doc: Document, status: str | None, facts: typing.Sequence[str]) -> None:
    """Put what the command line gives into a document. Raises MessageError with every problem at once."""
    before = copy.deepcopy(doc.data)
    problems = [] if status is None else _put(doc, "status", status, "--status")
    for fact in facts:
        name, separator, value = fact.partition("=")
        if separator and name.strip():
            problems += _put(doc, name.strip(), value, f"--set {clean(name.strip(), most=60)}")
        else:
            given = f"--set {clean(fact, most=60)}"
            problems.append(Problem("expected NAME=VALUE", 'such as --set cause="A power cut"', given))
    problems = problems or _untranslated(doc, before, [fact.partition("=")[0].strip() for fact in facts])
    if problems:
        raise MessageError(*problems)


def _untranslated(doc: Document, before: typing.Mapping[str, Node], given: typing.Sequence[str]) -> list[Problem]:
    """The facts that say something new, and in another language still the old; one taken out is, in all languages."""
    translations = doc.data.get("translations")
    problems: list[Problem] = []
    for language_, translation in translations.items() if isinstance(translations, dict) else ():
        for fact in (item.name for item in fields(Translation) if item.name != "components"):
            if not isinstance(translation, dict) or fact not in translation or doc.data.get(fact) == before.get(fact):
                continue
            place = f"translations.{language_}.{fact}"
            if fact not in doc.data:
                del translation[fact]
            elif not any(name == place or name.startswith(f"{place}.") for name in given):
                hint = f'give it too: --set "{place}=…"'
                problems.append(Problem(f"{place} still says the old {fact}", hint, f"--set {fact}"))
    return problems


def check(doc: Document, zone: ZoneInfo | None = None) -> Message:
    """The message a document holds. Raises MessageError with every problem at once."""
    message, problems = schema.read(Message, doc, doc.data, context=zone)
    if message:
        found = itertools.islice(_contradictions(message), MOST_PROBLEMS)  # whose hints take long to find
        problems = [doc.problem(place, text, hint) for place, text, hint in found]
    if problems or message is None:
        raise MessageError(*problems)
    return replace(message, _written=doc.data)


def _put(doc: Document, name: str, value: str, option: str) -> list[Problem]:
    """Set one fact by its dotted name, as ``--set contact.phone=…`` gives it; an empty value takes the fact away."""
    if harmful := harmful_characters(name + value):
        return [Problem(f"an invisible character, {harmful[0][1]}", "retype this text by hand", option)]
    if value.lstrip().startswith(("[", "{")):
        return [Problem("takes one sentence as it is, not a list", "write several into the file", option)]
    path, components, rest = name.partition("components.")  # the names of components have dots of their own
    place = (*path.rstrip(".").split("."), "components", rest) if components else tuple(name.split("."))
    if not (steps := tuple(step for step in place if step)):
        return [Problem("names no fact", 'such as --set cause="A power cut"', option)]
    try:
        doc.put(steps, value, option)
    except ValueError as error:
        return [Problem(str(error), "", option)]
    return []


def _contradictions(message: Message) -> typing.Iterator[tuple[Place, str, str]]:
    """What each fact allows by itself, but not beside the others."""
    if message.status in {Status.RESOLVED, Status.COMPLETED}:
        for name, state in message.components.items():
            if state is not ComponentState.OPERATIONAL:
                hint = f'say operational, as with --set "components.{name}=operational", or keep the status open'
                yield ("components", name), f"{message.status}, but {name} is {state}", hint
    for language_, translation in message.translations.items():
        for name in translation.components:
            if name not in message.components:
                place = ("translations", language_, "components", name)
                yield place, f'"{clean(name)}" is not among the components', nearest(name, list(message.components))
    if message.started_at and message.ended_at and message.ended_at < message.started_at:
        yield ("ended_at",), "ends before it started", "check both times and their offsets"
    if message.window and message.window.end <= message.window.start:
        yield ("window", "end"), "the window ends before it starts", "check both times and their offsets"
    if message.status.is_maintenance and message.window is None:
        yield ("status",), f'{message.status} needs "window"', "window: {start: …, end: …}"
    spoken = message.next_update_at
    if isinstance(spoken, datetime) and message.started_at and spoken <= message.started_at:
        yield ("next_update_at",), "the next update comes before the start", "check both times and their offsets"
