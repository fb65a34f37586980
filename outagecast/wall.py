"""The wall: one page that shows what the public sees, in a browser, without a network, from nobody's servers.

It is built from a preview, before anything is sent, or from what the rehearsal stand-ins hold. The frames around the
words are neutral mock-ups; the words are those that go out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from zoneinfo import ZoneInfo

from markupsafe import Markup

from outagecast import __version__, measure, registry, render
from outagecast.errors import Problem, UsageError
from outagecast.inert import inert
from outagecast.measure import Sms
from outagecast.model import Impact, State, Status, Variant
from outagecast.plan import Plan
from outagecast.wording import Wording

if TYPE_CHECKING:
    from outagecast.ledger import Opening
    from outagecast.rehearsal import Mail as TakenMail
    from outagecast.rehearsal import Providers

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
    language: str
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
        lines = sum(math.ceil(len(line) / columns) for line in self.text.splitlines() if line.strip())
        gaps = self.text.count("\n\n") + 1
        headlines = math.ceil(1.5 * len(self.subject) / columns)
        return round(5.75 + 1.8 * headlines + 1.5 * lines + 1.2 * gaps, 2)


@dataclass(frozen=True, slots=True)
class Inbox:
    """What ``people`` customers find in their mail, newest first."""

    people: int
    language: str
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
class Wall:
    """All that is seen."""

    stamp: Stamp
    organisation: str
    zone: ZoneInfo
    incident: str
    title: str
    update: int
    status: Status
    impact: Impact | None
    at: datetime
    feeds: tuple[Feed, ...] = ()
    phones: tuple[Phone, ...] = ()
    inboxes: tuple[Inbox, ...] = ()
    sites: tuple[Site, ...] = ()
    others: tuple[Other, ...] = ()
    silent: tuple[tuple[str, str], ...] = ()  # channel, and why nothing goes out there
    warnings: tuple[str, ...] = ()

    @property
    def status_words(self) -> str:
        """Where the incident stands, as people say it."""
        return STATUS_WORDS[self.status]


def _bare(stamp: Stamp, plan: Plan, at: datetime) -> Wall:
    """The wall's heading, with nothing on it yet."""
    said, organisation = plan.message, plan.organisation
    return Wall(
        stamp=stamp,
        organisation=organisation.name,
        zone=organisation.timezone,
        incident=said.incident,
        title=said.title,
        update=plan.number,
        status=said.status,
        impact=said.impact,
        at=at,
    )


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
    pictures = _Pictures()
    silent: list[tuple[str, str]] = []
    for channel in plan.channels:
        mine = [item for item in openings if item.channel == channel.name]
        ready = [item.language for item in mine if item.state is State.READY]
        if channel.is_open:
            ready = [target.language for target in channel.targets]
        if not ready:
            silent.append((channel.name, next((item.reason for item in mine if item.reason), "nobody is listed there")))
        before = [(number, words) for number, words in earlier if channel.carried and number < plan.number]
        for variant in variants:
            if variant.channel == channel.name and variant.language in ready:
                past = _without_repeats(
                    (number, item.parts)
                    for number, words in before
                    for item in words
                    if (item.channel, item.language) == (channel.name, variant.language)
                )
                sender = str(getattr(channel.config.settings, "from_", None) or plan.organisation.name)
                pictures.add(plan, variant, past, ready.count(variant.language), sender)
    return replace(
        _bare(Stamp.PREVIEW, plan, plan.as_of),
        feeds=tuple(pictures.feeds),
        phones=tuple(pictures.phones),
        inboxes=tuple(pictures.inboxes),
        sites=tuple(pictures.sites),
        others=tuple(pictures.others),
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


class _Pictures:
    """What has been drawn of a preview so far."""

    def __init__(self) -> None:
        self.feeds: list[Feed] = []
        self.phones: list[Phone] = []
        self.inboxes: list[Inbox] = []
        self.sites: list[Site] = []
        self.others: list[Other] = []

    def add(
        self, plan: Plan, variant: Variant, past: Sequence[tuple[int, Mapping[str, str]]], people: int, sender: str
    ) -> None:
        parts, addresses = variant.parts, registry.channel_class(variant.kind).addresses
        if addresses == "phone" and "text" in parts:
            self.phones.append(Phone(people, variant.language, (Text(parts["text"]),)))
        elif addresses == "email" and "text" in parts:
            mail = Mail(sender, parts.get("subject", ""), parts["text"], parts.get("html", ""))
            self.inboxes.append(Inbox(people, variant.language, (mail,)))
        elif variant.kind in NETWORKS:
            said = [*past, (plan.number, parts)]
            posts = [
                Post(each["text"], _length(variant.kind, each["text"]), None, number, variant.kind == "x" and index > 0)
                for index, (number, each) in enumerate(said)
            ]
            self.feeds.append(Feed(NETWORKS[variant.kind], plan.organisation.name, tuple(posts)))
        elif variant.kind == "banner":
            self.sites.append(Site((Banner(parts["html"]), *(Banner(each["html"]) for _, each in reversed(past)))))
        else:
            self.others.append(Other(variant.channel, variant.kind, parts))


def _length(kind: str, text: str) -> str:
    measured = render.measures(kind, {"text": text})["text"]
    if measured.limit > 10 * measured.length:  # a limit nobody will meet says nothing
        return f"{measured.length:,} {measured.unit}"
    return f"{measured.length:,} of {measured.limit:,} {measured.unit}"


# -- from a rehearsal -------------------------------------------------------------------------------------------------


def of_rehearsal(
    plan: Plan, providers: Providers, banners: Sequence[Banner], *, at: datetime, warnings: Sequence[str] = ()
) -> Wall:
    """What the stand-ins show. ``plan`` is the newest update's, ``banners`` what the website showed, oldest first."""
    author = plan.organisation.name
    x = [
        Post(post.text, _length("x", post.text), post.created_at, number, post.in_reply_to is not None)
        for number, post in enumerate(providers.x.posts, 1)
    ]
    facebook = [
        Post(post.text, _length("facebook", post.text), post.created_at, number)
        for number, post in enumerate(providers.facebook.posts, 1)
    ]
    return replace(
        _bare(Stamp.REHEARSAL, plan, at),
        feeds=(
            Feed(NETWORKS["x"], author, tuple(x), providers.x.username),
            Feed(NETWORKS["facebook"], author, tuple(facebook)),
        ),
        phones=tuple(_phones(providers)),
        inboxes=tuple(_inboxes(providers)),
        sites=(Site(tuple(reversed(banners))),),
        warnings=tuple(warnings),
    )


def _phones(providers: Providers) -> list[Phone]:
    """One phone for all who got the same texts."""
    threads: dict[str, list[Text]] = {}
    for item in providers.twilio.messages:
        threads.setdefault(item.to, []).append(Text(item.text, item.created_at))
    alike: dict[tuple[str, ...], list[list[Text]]] = {}
    for thread in threads.values():
        alike.setdefault(tuple(item.text for item in thread), []).append(thread)
    return [Phone(len(group), "", tuple(group[0])) for group in _commonest_first(alike.values())]


def _inboxes(providers: Providers) -> list[Inbox]:
    """One inbox for all who got the same mails."""
    inboxes: dict[tuple[str, ...], list[Mail]] = {}
    for item in providers.smtp.mails:
        inboxes.setdefault(item.to, []).insert(0, _mail(item))
    alike: dict[tuple[str, ...], list[list[Mail]]] = {}
    for inbox in inboxes.values():
        alike.setdefault(tuple(f"{item.subject}\n{item.text}" for item in inbox), []).append(inbox)
    return [Inbox(len(group), "", tuple(group[0])) for group in _commonest_first(alike.values())]


T = TypeVar("T", Text, Mail)


def _commonest_first(groups: Iterable[list[list[T]]]) -> list[list[list[T]]]:
    """What most people got, and where as many got more, that first."""
    return sorted(groups, key=lambda group: (-len(group), -len(group[0])))


def _mail(item: TakenMail) -> Mail:
    body = item.message.get_body(("html",))
    sender = str(item.message["From"])
    return Mail(sender, item.subject, item.text, str(body.get_content()) if body else "", item.received_at)


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


def _initials(name: str) -> str:
    letters = [word[0] for word in name.split() if word[0].isalnum()]
    return "".join(letters[:2]).upper()
