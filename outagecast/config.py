"""The configuration: a YAML file to a checked object, every problem at once; relative paths count from the file."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from outagecast import dialling, document, registry, rules, schema
from outagecast.about import about
from outagecast.channel import FIRST, FOLLOW_UP, Briefs, Channel, SparesLinks, Speaks
from outagecast.document import Document, Node, Place
from outagecast.errors import ConfigError, Problem
from outagecast.message import Language, Slug, Text, WebAddress
from outagecast.model import Status
from outagecast.schema import TRUTHS, Check, Parse, Reshape, whole
from outagecast.secret import Secret
from outagecast.text import clean

CHANNEL_NAME = "[a-z][a-z0-9_-]{0,63}"
_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*/\s*(s|min|h)", re.ASCII)
_LEDGER = "sqlite:///."
_PRICE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([A-Z]{3})", re.ASCII)

# A person's own phone and inbox hear the first word and the last: more would be noise (research on status pages).
PERSONAL_STATUSES = (FIRST, Status.RESOLVED, Status.SCHEDULED, Status.RETRACTED)
PHONE_OPTIONS = ("segment_rate", "countries")  # what only a channel of phone numbers takes
EVERY_STATUS = (FIRST, *Status, FOLLOW_UP)


def _zone(value: str, _: object) -> ZoneInfo:
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError, RecursionError):  # the last of hundreds of slashes
        import difflib

        close = difflib.get_close_matches(value[:100], available_timezones(), n=1)
        like = f'did you mean "{close[0]}"?' if close else "write it like Australia/Sydney"
        raise ValueError(f'"{clean(value, most=60)}" is not a time zone; {like}') from None


def _status(value: str, _: object) -> str:
    if value not in EVERY_STATUS:
        raise ValueError(f'"{clean(value, most=60)}" is not a status; {document.nearest(value, list(EVERY_STATUS))}')
    return value


def _rule(value: str, _: object) -> str:
    if value not in rules.BY_NAME:
        hint = document.nearest(value, list(rules.BY_NAME))
        raise ValueError(f'"{clean(value, most=60)}" is not a rule of advice; {hint}')
    return value


def _all_or_none(node: Node) -> Node:
    """``true`` is every status, and ``false`` none."""
    if not isinstance(node, str) or node.casefold() not in TRUTHS:
        return node
    return [*EVERY_STATUS] if TRUTHS[node.casefold()] else []


def _different(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("expected at least one")
    if repeated := [value for value in values if values.count(value) > 1]:
        raise ValueError(f'"{repeated[0]}" stands twice')
    return values


def _rate(value: str, _: object) -> float:
    match = _RATE.fullmatch(value.strip())
    if not match or not float(match[1]):
        raise ValueError(f'"{clean(value, most=60)}" is not a rate; write it like 100/s or 600/min')
    return float(match[1]) / {"s": 1, "min": 60, "h": 3600}[match[2]]


def _country(value: str, _: object) -> str:
    code = value.strip().upper()
    if code not in dialling.countries():
        raise ValueError(f'"{clean(value, most=60)}" is not a country with phone numbers; write it like AU')
    return code


class Price(NamedTuple):
    """What one billed unit costs: an SMS segment, a post, a mail."""

    amount: Decimal
    currency: str


def _price(value: str, _: object) -> Price:
    match = _PRICE.fullmatch(value.strip())
    if not match:
        raise ValueError(f'"{clean(value, most=60)}" is not a price; write it like 0.0515 AUD')
    return Price(Decimal(match[1]), match[2])


def _ledger_address(value: str, _: object) -> str:
    if not re.match(_LEDGER, value.strip()):
        # The address may hold a password: never repeat it.
        raise ValueError("is not a ledger; write it like sqlite:///outagecast.db")
    return value


Zone: TypeAlias = Annotated[ZoneInfo, Parse(_zone, "a time zone, such as Australia/Sydney", r"^[A-Za-z][\w+/-]*$")]
Languages: TypeAlias = Annotated[tuple[Language, ...], Check(_different, distinct=True)]
StatusWord: TypeAlias = Annotated[str, Parse(_status, choices=EVERY_STATUS)]
Statuses: TypeAlias = Annotated[tuple[StatusWord, ...], Check(_different, distinct=True)]
Rules: TypeAlias = tuple[Annotated[str, Parse(_rule, choices=tuple(rules.BY_NAME))], ...]
Links: TypeAlias = Annotated[tuple[StatusWord, ...], Reshape(_all_or_none, bool)]
Rate: TypeAlias = Annotated[float, Parse(_rate, "a rate, such as 100/s", whole(_RATE.pattern))]
Countries: TypeAlias = Annotated[
    tuple[Annotated[str, Parse(_country, "two letters, such as AU", r"^\s*[A-Za-z]{2}\s*$")], ...],
    Check(_different, distinct=True),
]
Cells: TypeAlias = Annotated[tuple[Text, ...], Check(_different, distinct=True)]
Cost: TypeAlias = Annotated[Price, Parse(_price, "a price, such as 0.0515 AUD", whole(_PRICE.pattern))]
Address: TypeAlias = Annotated[
    str, Parse(_ledger_address, "an address like sqlite:///outagecast.db", rf"^\s*{_LEDGER}")
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Organisation:
    """Who speaks."""

    name: Text = about("your name, as customers know you")
    timezone: Zone = about("the clock your customers read, such as Australia/Sydney")
    languages: Languages = about("what you promise to speak; public posts carry the first", default=("en",))
    phone: Text | None = about("said where the message gives no contact.phone", default=None)
    status_page: WebAddress | None = about("said where the message gives no contact.url", default=None)
    official_domains: tuple[Text, ...] = about(
        "the domains that your texts may lead to, such as example.com", default=()
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Promise:
    """What was promised to customers about being told."""

    first_announcement: timedelta = about(
        "how long after the start the first word is due, such as 60m", default=timedelta(minutes=60)
    )
    update_every: timedelta = about("how often you speak again, such as 30m", default=timedelta(minutes=30))
    require: Rules = about("the rules of advice that no announcement may break, such as apology", default=())


@dataclass(frozen=True, kw_only=True, slots=True)
class AdviceConfig:
    """What an announcement is advised on, beyond what ships."""

    words: dict[Language, dict[Text, Text]] = about(
        "by language, phrases that customers do not know, each with what to say instead", default_factory=dict
    )
    allow: tuple[Text, ...] = about("phrases that are advised against, and that your customers know", default=())
    ignore: Rules = about("the rules of advice that you do without, such as no_shouting", default=())


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """Whom ``watch`` tells before a promised word is late."""

    warn_before: timedelta = about("how long before a word is due, such as 10m", default=timedelta(minutes=10))
    command: tuple[Text, ...] = about("a program and its arguments, which gets JSON on its standard input", default=())
    webhook: Secret | None = about("an address that gets the same JSON, named as a secret", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Playbooks:
    """Where the organisation keeps the messages it agreed upon beforehand."""

    folder: Path | None = about("a folder of your own, looked in before the shipped ones", default=None)
    review_every: timedelta = about("how often each is read again, such as 180d", default=timedelta(days=180))
    owner: Text | None = about("who keeps those right that name nobody", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class AudienceFile:
    """Where a set of people is listed."""

    file: Path = about("a CSV file of recipients, such as customers.csv")
    select: dict[Text, Cells] = about(
        "by column, the cells of those who are told, such as {region: [NSW, ACT]}", default_factory=dict
    )
    order_by: Text | None = about("the column by which people are told: 1 before 2, what is empty last", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What every channel takes, whatever its kind; ``None`` where the kind or the organisation decides."""

    kind: str = about("what sends")
    languages: Languages | None = about("which of the organisation's languages it carries", default=None)
    on: Statuses | None = about("the statuses it carries; first is its first word, whatever the status", default=None)
    links: Links | None = about("whether its words hold a link: true, false, or the statuses with one", default=None)
    expires: timedelta | None = about(
        "how long after its opening an update may still be sent, such as 6h", default=None
    )
    enabled: bool = about("false: left out", default=True)
    required: bool = about("false: what happens here does not change the exit code", default=True)
    audience: str | None = about("who is told, one by one: a name under audiences", default=None)
    rate: Rate | None = about("the most calls started per time, such as 100/s or 600/min", default=None)
    segment_rate: Rate | None = about("the most SMS segments started per time, such as 100/s", default=None)
    countries: Countries | None = about("whose phone numbers get texts, such as [AU, NZ]", default=None)
    price: Cost | None = about("what one billed unit costs, such as 0.0515 AUD", default=None)
    owner: Text | None = about("whose account it is and how to reach them", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelConfig:
    """One configured channel: its options with their defaults filled in, and its adapter's own settings."""

    name: str
    options: Options
    settings: Any

    @property
    def kind(self) -> str:
        return self.options.kind

    @property
    def adapter(self) -> type[Channel]:
        """The class that will send."""
        return registry.channel_class(self.kind)

    @property
    def linked(self) -> tuple[str, ...]:
        """The statuses on which its kind's words hold a link, where the config names none."""
        return self.adapter.links() if issubclass(self.adapter, SparesLinks) else EVERY_STATUS

    @property
    def carried(self) -> tuple[str, ...]:
        """The statuses that its kind carries, where the config names none.

        Nobody is texted again about what is over; a mail about the cause can wait until it is read. Who answers people
        needs every word.
        """
        if not self.is_bulk or issubclass(self.adapter, Briefs):
            return EVERY_STATUS
        return PERSONAL_STATUSES if self.adapter.addresses == "phone" else (*PERSONAL_STATUSES, FOLLOW_UP)

    def spoken(self, promised: tuple[str, ...]) -> tuple[str, ...]:
        """Which of the organisation's languages its kind carries, where the config names none."""
        if issubclass(self.adapter, Speaks):
            return self.adapter.languages(promised)
        return promised if self.is_bulk else promised[:1]

    @property
    def is_bulk(self) -> bool:
        """Whether it reaches people one by one."""
        return self.adapter.addresses is not None

    @property
    def workers(self) -> int:
        """How many deliveries may be under way at once."""
        return int(getattr(self.settings, "connections", 8)) if self.is_bulk else 1


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """The keys of the file."""

    organisation: Organisation = about("who speaks: {name: …, timezone: …}")
    ledger: Address = about("the record of all that was said, on a local disk", default="sqlite:///outagecast.db")
    promise: Promise = about("what customers were promised about being told", default=Promise())
    advice: AdviceConfig = about("the words that you advise against", default=AdviceConfig())
    watch: Watch = about("whom watch tells before a promised word is late", default=Watch())
    retention: timedelta = about(
        "how long after an incident's end the ledger still names people, such as 90d", default=timedelta(days=90)
    )
    components: dict[Text, tuple[Text, ...]] = about(
        "components by group, such as Cards: [Card payments]", default_factory=dict
    )
    templates: Path | None = about("a folder of your own words, looked in before the shipped ones", default=None)
    playbooks: Playbooks = about("messages agreed upon beforehand, for outagecast new", default=Playbooks())
    audiences: dict[Slug, AudienceFile] = about("who is told one by one, by a name of yours", default_factory=dict)
    channels: dict[str, Any] = about("at least one channel, such as x: {kind: x, …}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """The whole configuration. Paths are absolute; no secret has been looked at."""

    path: Path
    organisation: Organisation
    ledger: str
    promise: Promise
    advice: AdviceConfig
    watch: Watch
    retention: timedelta
    components: Mapping[str, tuple[str, ...]]
    templates: Path | None
    playbooks: Playbooks
    audiences: Mapping[str, AudienceFile]
    channels: Mapping[str, ChannelConfig]

    @property
    def usable(self) -> dict[str, ChannelConfig]:
        """The channels that are not switched off."""
        return {name: channel for name, channel in self.channels.items() if channel.options.enabled}


def locate(given: str | None) -> Path:
    """The file to load: as given, else ``$OUTAGECAST_CONFIG``, ``./outagecast.yaml``, the user's config folder."""
    if chosen := given or os.environ.get("OUTAGECAST_CONFIG"):
        return Path(chosen)
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    for candidate in (Path("outagecast.yaml"), home / "outagecast" / "outagecast.yaml"):
        if candidate.exists():
            return candidate
    raise ConfigError(
        Problem(
            "there is no outagecast.yaml here or in the user's config folder",
            "make one: outagecast init; or name one: outagecast --config FILE …",
        )
    )


def load(path: Path) -> Config:
    """The configuration in ``path``. Raises ConfigError with every problem at once."""
    doc = document.parse(*document.read(path, None, ConfigError), ConfigError)
    base = path.resolve().parent
    file, problems = schema.read(File, doc, doc.data)
    channels: dict[str, ChannelConfig] = {}
    entries = doc.data.get("channels")
    for name in doc.blank(("channels",)):
        # Left out without a word, the channel would be missed when it is needed.
        problems.append(doc.problem(("channels", name), f'"{clean(name)}" has no settings', "give it a kind", key=True))
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        channel, faults = _channel(doc, name, entry, base)
        problems += faults
        if channel:
            channels[name] = channel
    problems += itertools.islice(_contradictions(doc, file, channels), document.MOST_PROBLEMS)
    if problems or file is None:
        raise ConfigError(*document.foremost(problems))
    return Config(
        path=path,
        organisation=file.organisation,
        ledger=_ledger(file.ledger, base),
        promise=file.promise,
        advice=file.advice,
        watch=_anchored(file.watch, base),
        retention=file.retention,
        components=file.components,
        templates=_beside(base, file.templates) if file.templates else None,
        playbooks=_anchored(file.playbooks, base),
        audiences={name: _anchored(audience, base) for name, audience in file.audiences.items()},
        channels={name: _with_defaults(channel, file.organisation) for name, channel in channels.items()},
    )


def _beside(base: Path, path: Path) -> Path:
    return base / os.path.expanduser(path)  # noqa: PTH111 - Path.expanduser fails on the ~ of an unknown user


def _ledger(url: str, base: Path) -> str:
    scheme, separator, path = url.strip().partition("://")
    if scheme == "sqlite" and separator:
        # sqlite:///relative and sqlite:////absolute, as database tools write it
        return f"sqlite:///{base / path.removeprefix('/')}" if not path.startswith("//") else f"sqlite:///{path[1:]}"
    return url


def _channel(doc: Document, name: str, entry: object, base: Path) -> tuple[ChannelConfig | None, list[Problem]]:
    """One entry of ``channels:``: the common options to us, the rest to the adapter's own settings."""
    place: Place = ("channels", name)
    if not re.fullmatch(CHANNEL_NAME, name):
        hint = "small letters, digits, - and _, such as x or sms-staff"
        return None, [doc.problem(place, f'"{clean(name, most=60)}" is not a channel name', hint, key=True)]
    if not isinstance(entry, dict):
        return None, [
            doc.problem(place, "expected the channel's settings", "such as {kind: x, api_key: env:X_API_KEY}")
        ]
    kind = entry.get("kind")
    if kind is None:
        return None, [doc.problem(place, '"kind" is missing', f"one of {', '.join(registry.kinds())}")]
    if not isinstance(kind, str) or not registry.is_known(kind):
        hint = document.nearest(str(kind), list(registry.kinds()))
        return None, [doc.problem((*place, "kind"), f'there is no kind "{clean(kind, most=60)}"', hint)]
    common = {option.name for option in fields(Options)}
    mine = {key: value for key, value in entry.items() if key in common}
    theirs = {key: value for key, value in entry.items() if key not in common}
    options, problems = schema.read(Options, doc, mine, at=place)
    settings, faults = schema.read(registry.settings_class(kind), doc, theirs, at=place, also=common)
    if options is None or settings is None:
        return None, problems + faults
    return ChannelConfig(name=name, options=options, settings=_anchored(settings, base)), []


def _anchored(settings: Any, base: Path) -> Any:
    """The settings with every path, and every secret kept in a file, counted from the config's folder."""
    changes: dict[str, object] = {}
    for item in fields(settings):
        value = getattr(settings, item.name)
        if isinstance(value, Path):
            changes[item.name] = _beside(base, value)
        elif isinstance(value, Secret):
            changes[item.name] = value.relative_to(base)
    return replace(settings, **changes)


def _contradictions(doc: Document, file: File | None, channels: Mapping[str, ChannelConfig]) -> Iterator[Problem]:
    """What each key allows by itself, but not beside the others; ``file`` is None where it has problems of its own."""
    if doc.data.get("channels") == {}:
        yield doc.problem(("channels",), "no channel is configured", "such as x: {kind: x, …}")
    for number, rule in enumerate(file.promise.require if file else ()):
        if file and rule in file.advice.ignore:
            text = f"{rule} cannot be required and ignored"
            yield doc.problem(("promise", "require", number), text, "take it out here, or of advice.ignore")
    listed = doc.data.get("audiences")
    audiences = list(listed) if isinstance(listed, dict) else []
    for name, channel in channels.items():
        place: Place = ("channels", name)
        audience = channel.options.audience
        if channel.is_bulk and audience is None:
            hint = f"one of: {', '.join(audiences)}" if audiences else "list one under audiences:"
            yield doc.problem(place, f'"{name}" reaches people one by one, so it needs "audience"', hint)
        if audience is not None and not channel.is_bulk:
            text = f"{channel.kind} is public and takes no audience"
            yield doc.problem((*place, "audience"), text, "remove the line")
        elif audience is not None and audience not in audiences:
            hint = document.nearest(audience, audiences) or "list it under audiences:"
            yield doc.problem((*place, "audience"), f'there is no audience "{clean(audience, most=60)}"', hint)
        for key in PHONE_OPTIONS if channel.adapter.addresses != "phone" else ():
            if getattr(channel.options, key) is not None:
                yield doc.problem((*place, key), f"{channel.kind} sends no texts and takes no {key}", "remove the line")
        for number, language in enumerate(channel.options.languages or ()):
            if file and language not in file.organisation.languages:
                hint = f"the organisation promises {', '.join(file.organisation.languages)}"
                yield doc.problem((*place, "languages", number), f'"{language}" is not promised', hint)
    yield from _exposed(doc, channels)


def _exposed(doc: Document, channels: Mapping[str, ChannelConfig]) -> Iterator[Problem]:
    """What only the organisation's own people may read must not lie where a public channel keeps its pages."""
    folders = {
        name: path
        for name, channel in channels.items()
        if not issubclass(channel.adapter, Briefs) and isinstance(path := getattr(channel.settings, "path", None), Path)
    }
    for name, channel in channels.items():
        path = getattr(channel.settings, "path", None)
        if issubclass(channel.adapter, Briefs) and isinstance(path, Path):
            for public in (other for other, folder in folders.items() if Path(path).is_relative_to(folder)):
                text = f"the public would read it: {public} publishes what is in that folder"
                yield doc.problem(("channels", name, "path"), text, "put it into a folder of its own")


def _with_defaults(channel: ChannelConfig, organisation: Organisation) -> ChannelConfig:
    """Public posts carry the first language, mail and texts the reader's, a page has room for all."""
    options = channel.options
    filled = replace(
        options,
        languages=options.languages or channel.spoken(organisation.languages),
        on=options.on if options.on is not None else channel.carried,
        links=options.links if options.links is not None else channel.linked,
        expires=options.expires or (timedelta(hours=6) if channel.is_bulk else None),
    )
    return replace(channel, options=filled)
