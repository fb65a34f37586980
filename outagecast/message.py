"""The message: what the officer wrote, once, as named facts; from a YAML or JSON file to a checked object."""

from __future__ import annotations

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

from outagecast import amendment, document, schema
from outagecast.about import about
from outagecast.document import MOST_PROBLEMS, Document, Node, Place, nearest
from outagecast.errors import MessageError, Problem
from outagecast.model import ComponentState, Impact, Status
from outagecast.schema import DURATION, Parse, Reshape, duration, whole
from outagecast.text import clean, folded

UNKNOWN = "unknown"  # an honest value of `cause` and `scope`, which is said in words
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
# Monitoring systems write fractions of a second; nobody announces them.
_NAIVE, _OFFSET = r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.\d{1,9})?", r"(Z|[+-]\d{2}:\d{2})"
_MOMENT = re.compile(rf"{_NAIVE}\s*{_OFFSET}?", re.ASCII)
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


def _moment_or_duration(value: str, zone: ZoneInfo | None) -> datetime | timedelta:
    if DURATION.fullmatch(value.strip()):
        return duration(value)
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


_A_MOMENT, _A_DURATION = whole(rf"{_NAIVE}\s*{_OFFSET}"), whole(rf"(?=\d){DURATION.pattern}")

Text: TypeAlias = Annotated[str, Parse(_text, pattern=r"\S")]
Slug: TypeAlias = Annotated[str, Parse(_slug, "small letters, digits and hyphens", f"^{SLUG.pattern}$")]
Moment: TypeAlias = Annotated[datetime, Parse(parse_moment, f"one time, such as {_LIKE}", _A_MOMENT)]
Language: TypeAlias = Annotated[str, Parse(language, "a language code, such as zh-Hant", f"^{_LANGUAGE.pattern}$")]
Wording: TypeAlias = Annotated[str, Parse(_wording, pattern=r"\S")]
WebAddress: TypeAlias = Annotated[
    str, Parse(web_address, "a web address", whole(r"[Hh][Tt][Tt][Pp][Ss]?://[^\s<>\"]+"))
]
Texts: TypeAlias = Annotated[tuple[Text, ...], Reshape(lambda node: [node] if isinstance(node, str) else node, Text)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Apology:
    """What we are sorry for, for short channels and for long ones."""

    short: Text = about("where there is little room")
    long: Text = about("where there is room")


@dataclass(frozen=True, kw_only=True, slots=True)
class Contact:
    """Where to turn."""

    phone: Text | None = about("a number to call", default=None)
    url: WebAddress | None = about("a page to read", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """When planned work begins and ends."""

    start: Moment = about(f"when the work begins, such as {_LIKE}")
    end: Moment = about(f"when the work ends, such as {_LIKE}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question the call centre will hear, and the answer."""

    q: Text = about("what people will ask")
    a: Text = about("what to answer")


@dataclass(frozen=True, kw_only=True, slots=True)
class Briefing:
    """What only the call centre may know; never part of a public variant."""

    say: tuple[Text, ...] = about("what to say", default=())
    do_not_say: tuple[Text, ...] = about("what not to say", default=())
    faq: tuple[Question, ...] = about("questions to expect, each a q and an a", default=())
    escalation: Text | None = about("whom to pass a call to", default=None)


Apologies: TypeAlias = Annotated[
    Apology, Reshape(lambda node: {"short": node, "long": node} if isinstance(node, str) else node, Text)
]
SpokenNext: TypeAlias = Annotated[
    datetime | timedelta,
    Parse(_moment_or_duration, f"one time, such as {_LIKE}", f"{_A_MOMENT}|{_A_DURATION}"),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Translation:
    """The free-text facts in another language."""

    title: Text | None = about("the title, translated", default=None)
    summary: Text | None = about("the summary, translated", default=None)
    components: dict[str, Text] = about("each component's name, and how it is called", default_factory=dict)
    scope: Text | None = about("the scope, translated", default=None)
    cause: Text | None = about("the cause, translated", default=None)
    workaround: Texts = about("what people can do meanwhile, translated", default=())
    apology: Apologies | None = about("the apology, translated: a sentence, or a short and a long", default=None)
    compensation: Text | None = about("the compensation, translated", default=None)
    aftermath: Text | None = about("the aftermath, translated", default=None)
    retraction_reason: Text | None = about("why the alarm was false, translated", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One statement on one incident. Times are aware; texts are NFC, one line each."""

    incident: Slug = about("a name for the incident, such as card-payments-2026-11-22")
    status: Status = about(f"one of {', '.join(Status)}")
    impact: Impact | None = about("how much it takes away; it sets the banner's style, no words", default=None)
    title: Text = about("the incident in a few words, such as: Card payments are failing")
    summary: Text = about("one sentence: what people cannot do")
    components: dict[Text, ComponentState] = about(
        "what fails and what does not, such as Mobile app: degraded_performance", default_factory=dict
    )
    scope: Text | None = about("who is affected, where, how many; or unknown", default=None)
    started_at: Moment | None = about(f"when it began, such as {_LIKE}", default=None)
    ended_at: Moment | None = about("when the service was back", default=None)
    window: Window | None = about("when planned work begins and ends: {start: …, end: …}", default=None)
    cause: Text | None = about("why it happened, in a sentence; or unknown", default=None)
    workaround: Texts = about("what people can do meanwhile: a sentence, or a list", default=())
    eta: Moment | None = about("when you expect the fix", default=None)
    next_update_at: SpokenNext | None = about("when you speak next: a time, or 30m from now", default=None)
    apology: Apologies | None = about("one sentence, or a short and a long one", default=None)
    compensation: Text | None = about("what you will make good", default=None)
    aftermath: Text | None = about("whether money, data or supply is safe, and what was lost", default=None)
    retraction_reason: Text | None = about("with retracted: why the alarm was false", default=None)
    contact: Contact = about("where to turn, if not where the configuration says", default=Contact())
    translations: dict[Language, Translation] = about("the free-text facts by language", default_factory=dict)
    briefing: Briefing | None = about("for the call centre only, in no public text", default=None)
    variants: dict[str, dict[Language, dict[str, Wording]]] = about(
        "wording by hand: channel, language, part", default_factory=dict
    )
    _document: Document = field(default=Document("", {}), compare=False, repr=False)

    @property
    def canonical(self) -> str:
        """The public facts as written, in one order: what makes two messages the same update."""
        written = self._document.data
        public = {key: value for key, value in written.items() if key not in {"briefing", "variants"}}
        public = typing.cast("dict[str, Node]", amendment.meant(public))
        # Somebody chose each blank and line of these.
        public |= {"variants": written["variants"]} if written.get("variants") else {}
        return json.dumps(public, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical message, in hexadecimal."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()

    def as_written(self) -> str:
        """The file's own words as JSON, for the record and for an update that builds on this one."""
        return json.dumps(self._document.data, ensure_ascii=False)

    def problem(self, place: Place, text: str, hint: str = "", *, key: bool = False) -> Problem:
        """A problem with what the message says at ``place``: where that, or what is around it, was written."""
        return self._document.problem(place, text, hint, key=key)

    def translated(self, language: str) -> Message:
        """The message with its free-text facts in ``language`` where they are translated."""
        translation = self.translations.get(language)
        if translation is None:
            return self
        given = {item.name: getattr(translation, item.name) for item in fields(translation)}
        names = {translation.components.get(name, name): state for name, state in self.components.items()}
        return replace(self, **{name: value for name, value in given.items() if value} | {"components": names})


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
    amendment.amend(doc, status, facts)
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
    before = typing.cast("dict[str, Node]", amendment.meant(doc.data))
    amendment.amend(doc, status, facts)
    if amendment.meant(doc.data) != before:
        is_back = _is_closing(before["status"]) and not _is_closing(doc.data.get("status"))
        doc = Document(name, document.parse(name, written, MessageError).data)
        _leave_behind(doc.data, is_back=is_back, now=now)
        amendment.amend(doc, status, facts)
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


def check(doc: Document, zone: ZoneInfo | None = None) -> Message:
    """The message a document holds. Raises MessageError with every problem at once."""
    message, problems = schema.read(Message, doc, doc.data, context=zone)
    if message:
        found = itertools.islice(_contradictions(message), MOST_PROBLEMS)  # whose hints take long to find
        problems = [doc.problem(place, text, hint) for place, text, hint in found]
    if problems or message is None:
        raise MessageError(*problems)
    return replace(message, _document=doc)


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
