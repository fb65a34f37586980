"""The wall: one page that shows what the public sees, in a browser, without a network, from nobody's servers.

It is built from a preview, before anything is sent, or from what the rehearsal stand-ins hold. The frames around the
words are neutral mock-ups; the words are those that go out.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self
from zoneinfo import ZoneInfo

from markupsafe import Markup

from outagecast import __version__, language, measure, registry, render
from outagecast.channel import Briefs
from outagecast.errors import Problem, UsageError
from outagecast.inert import inert
from outagecast.inert import words as plain
from outagecast.measure import Sms
from outagecast.model import Impact, State, Status, Variant, first_of, posts
from outagecast.plan import Plan, counted
from outagecast.wording import Wording

if TYPE_CHECKING:
    from outagecast.ledger import Opening

NETWORKS: Mapping[str, str] = {"x": "X", "facebook": "Facebook"}  # kind -> as people say it, in plain text
STATUS_WORDS: Mapping[Status, str] = {
    Status.INVESTIGATING: "Looking for the cause",
    Status.IDENTIFIED: "Cause found",
    Status.MONITORING: "Working again, watching",
    Status.RESOLVED: "Fixed",
    Status.SCHEDULED: "Planned work",
    Status.IN_PROGRESS: "Planned work under way",
    Status.COMPLETED: "Planned work finished",
    Status.RETRACTED: "Correction: false alarm",
}


class Stamp(StrEnum):
    """How real the page is."""

    PREVIEW = "PREVIEW — nothing has been sent"
    REHEARSAL = "REHEARSAL — nobody was told"


@dataclass(frozen=True, slots=True)
class Post:
    """One public post. ``at`` is None while it is only planned."""

    text: str
    measure: str  # its length, as the network counts
    at: datetime | None = None
    update: int | None = None
    is_reply: bool = False


@dataclass(frozen=True, slots=True)
class Feed:
    """An account's posts on one network, oldest first."""

    network: str
    author: str
    posts: tuple[Post, ...]
    handle: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """One SMS, and what it costs in segments."""

    text: str
    at: datetime | None = None

    @property
    def size(self) -> Sms:
        """Encoding, segments and units."""
        return measure.sms(self.text)


@dataclass(frozen=True, slots=True)
class Phone:
    """What ``people`` customers find in their messages, oldest first."""

    people: int
    texts: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Mail:
    """One e-mail; ``html`` is empty where it has only a text part."""

    sender: str
    subject: str
    text: str
    html: str = ""
    at: datetime | None = None

    @property
    def source(self) -> str:
        """The HTML part for a sandboxed frame: its links ask for a new window, which the sandbox never opens."""
        return f'<base target="_blank">{self.html}'

    def height(self, columns: int) -> float:
        """How high the HTML part stands, in rem, at so many characters a line: a frame cannot ask its content."""
        lines = sum(math.ceil(_width(line) / columns) for line in self.text.splitlines() if line.strip())
        gaps = self.text.count("\n\n") + 1
        headlines = math.ceil(1.5 * _width(self.subject) / columns)
        return round(5.75 + 1.8 * headlines + 1.5 * lines + 1.2 * gaps, 2)


@dataclass(frozen=True, slots=True)
class Inbox:
    """What ``people`` customers find in their mail, newest first."""

    people: int
    mails: tuple[Mail, ...]


@dataclass(frozen=True, slots=True)
class Banner:
    """What the website shows above all else; an empty one has been taken down."""

    html: str
    at: datetime | None = None

    @property
    def words(self) -> Markup:
        """The banner as inert HTML: its words and emphasis, no attribute, no link, no script."""
        return inert(self.html)


@dataclass(frozen=True, slots=True)
class Site:
    """The website, newest banner first."""

    banners: tuple[Banner, ...]


@dataclass(frozen=True, slots=True)
class Other:
    """A channel for which there is no picture: its words as they are."""

    channel: str
    kind: str
    parts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class View:
    """What is seen in one language; its code is empty where nobody knows it."""

    language: str = ""
    feeds: tuple[Feed, ...] = ()
    phones: tuple[Phone, ...] = ()
    inboxes: tuple[Inbox, ...] = ()
    sites: tuple[Site, ...] = ()
    others: tuple[Other, ...] = ()
    without: tuple[str, ...] = ()  # channels that speak, but not this language

    @property
    def name(self) -> str:
        """The language as people call it."""
        return language.name(self.language)

    @property
    def direction(self) -> str:
        """Which way it is written, as HTML's ``dir`` takes it."""
        return language.direction(self.language)


@dataclass(frozen=True, slots=True)
class Wall:
    """All that is seen."""

    stamp: Stamp
    organisation: str
    language: str  # of the title
    zone: ZoneInfo
    incident: str
    title: str
    update: int
    status: Status
    impact: Impact | None
    at: datetime
    views: tuple[View, ...] = ()
    silent: tuple[tuple[str, str], ...] = ()  # channel, and why nothing goes out there
    warnings: tuple[str, ...] = ()

    @classmethod
    def bare(cls, stamp: Stamp, plan: Plan, at: datetime) -> Self:
        """The heading, with nothing on the wall yet."""
        said, organisation = plan.message, plan.organisation
        return cls(
            stamp=stamp,
            organisation=organisation.name,
            language=organisation.languages[0],
            zone=organisation.timezone,
            incident=said.incident,
            title=said.title,
            update=plan.number,
            status=said.status,
            impact=said.impact,
            at=at,
        )

    @property
    def status_words(self) -> str:
        """Where the incident stands, as people say it."""
        return STATUS_WORDS[self.status]


# -- from a preview ---------------------------------------------------------------------------------------------------


def of_preview(
    plan: Plan,
    variants: Sequence[Variant],
    openings: Sequence[Opening],
    earlier: Sequence[tuple[int, Sequence[Variant]]] = (),
) -> Wall:
    """What announcing ``plan`` would show. ``earlier`` is each update that is out, by number, with its words.

    No recipient is named: the page is made to be passed around.
    """
    pictures = {code: _Pictures() for code in plan.organisation.languages}
    silent: list[tuple[str, str]] = []
    everybody = list(counted(plan, openings))
    for channel in plan.channels:
        mine = [(item, count) for item, count in everybody if item.channel == channel.name]
        ready = Counter[str]()
        for item, count in mine:
            ready[item.language] += count * (item.state is State.READY)
        if channel.is_open:
            ready = channel.readers
        if issubclass(channel.config.adapter, Briefs):
            silent.append((channel.name, "it is for your own people"))
            continue
        if not ready.total():
            reasons = (item.reason for item, _ in mine if item.reason)
            silent.append((channel.name, next(reasons, "nobody is listed there")))
        before = [(number, words) for number, words in earlier if channel.carried and number < plan.number]
        for variant in variants:
            if variant.channel == channel.name and ready[variant.language]:
                past = _without_repeats(
                    (number, item.parts)
                    for number, words in before
                    for item in words
                    if (item.channel, item.language) == (channel.name, variant.language)
                )
                sender = str(getattr(channel.config.settings, "from_", None) or plan.organisation.name)
                drawn = pictures.setdefault(variant.language, _Pictures())  # it may be promised no more
                drawn.add(plan, variant, past, ready[variant.language], sender)
    return replace(
        Wall.bare(Stamp.PREVIEW, plan, plan.as_of),
        views=_views(pictures),
        silent=tuple(silent),
        warnings=plan.warnings,
    )


def _without_repeats(said: Iterable[tuple[int, Mapping[str, str]]]) -> list[tuple[int, Mapping[str, str]]]:
    """An update that changes nothing here is not posted here."""
    kept: list[tuple[int, Mapping[str, str]]] = []
    for number, parts in said:
        if not kept or dict(kept[-1][1]) != dict(parts):
            kept.append((number, parts))
    return kept


def _views(pictures: Mapping[str, _Pictures]) -> tuple[View, ...]:
    """The languages that somebody hears, each with the channels that speak only others."""
    spoken = {code: drawn for code, drawn in pictures.items() if drawn.channels}
    everywhere = dict.fromkeys(name for drawn in spoken.values() for name in drawn.channels)
    return tuple(
        View(
            code,
            feeds=tuple(drawn.feeds),
            phones=tuple(drawn.phones),
            inboxes=tuple(drawn.inboxes),
            sites=tuple(drawn.sites),
            others=tuple(drawn.others),
            without=tuple(name for name in everywhere if name not in drawn.channels),
        )
        for code, drawn in spoken.items()
    )


@dataclass
class _Pictures:
    """What has been drawn of a preview in one language so far."""

    channels: list[str] = field(default_factory=list)
    feeds: list[Feed] = field(default_factory=list)
    phones: list[Phone] = field(default_factory=list)
    inboxes: list[Inbox] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)

    def add(
        self, plan: Plan, variant: Variant, past: Sequence[tuple[int, Mapping[str, str]]], people: int, sender: str
    ) -> None:
        parts, addresses = variant.parts, registry.channel_class(variant.kind).addresses
        self.channels.append(variant.channel)
        if addresses == "phone" and "text" in parts:
            self.phones.append(Phone(people, (Text(parts["text"]),)))
        elif addresses == "email" and "text" in parts:
            mail = Mail(sender, parts.get("subject", ""), parts["text"], parts.get("html", ""))
            self.inboxes.append(Inbox(people, (mail,)))
        elif variant.kind in NETWORKS:
            said = [(number, each) for number, its in [*past, (plan.number, parts)] for each in posts(its).values()]
            shown = [
                Post(each["text"], length(variant.kind, each["text"]), None, number, variant.kind == "x" and index > 0)
                for index, (number, each) in enumerate(said)
            ]
            self.feeds.append(Feed(NETWORKS[variant.kind], plan.organisation.name, tuple(shown)))
        elif variant.kind == "banner":
            self.sites.append(Site((Banner(parts["html"]), *(Banner(each["html"]) for _, each in reversed(past)))))
        else:
            self.others.append(Other(variant.channel, variant.kind, _readable(variant.kind, parts)))


def _readable(kind: str, parts: Mapping[str, str]) -> dict[str, str]:
    """What people read of each part, as plain text."""
    adapter = registry.channel_class(kind)
    return {
        part: plain(text) if part in adapter.escapes else text
        for part, text in parts.items()
        if not adapter.parts[first_of(part)].for_programs
    }


def length(kind: str, text: str) -> str:
    """How long a post is, as its network counts, in words."""
    measured = render.measures(kind, {"text": text})["text"]
    if measured.limit > 10 * measured.length:  # a limit nobody will meet says nothing
        return f"{measured.length:,} {measured.unit}"
    return f"{measured.length:,} of {measured.limit:,} {measured.unit}"


# -- the page ---------------------------------------------------------------------------------------------------------


def page(wall: Wall) -> str:
    """The wall as one HTML page that loads nothing and runs nothing."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    wording = Wording("en", wall.zone, wall.at)
    environment.filters.update(
        moment=lambda time: str(wording.moment(time)),
        iso=lambda time: wording.moment(time).iso,
        initials=_initials,
        direction=language.direction,
        people=lambda count: f"{count:,} people" if count != 1 else "1 person",
    )
    template = environment.get_template("wall.html.j2")
    return template.render(wall=wall, zone_name=wording.zone_name, version=__version__)


def write(wall: Wall, path: Path) -> None:
    """Write the page to ``path``. Raises UsageError where that cannot be done."""
    try:
        path.write_text(page(wall), encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(Problem(f"cannot write {path}: {error.strerror}", "name another file with --html")) from None


def _width(text: str) -> int:
    """How wide a text stands, in letters: a Chinese character takes the room of two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _initials(name: str) -> str:
    letters = [word[0] for word in name.split() if word[0].isalnum()]
    return "".join(letters[:2]).upper()
