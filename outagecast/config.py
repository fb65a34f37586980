"""The configuration: a YAML file to a checked object, every problem at once; relative paths count from the file."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from outagecast import document, registry, schema
from outagecast.channel import Channel
from outagecast.document import Document, Place
from outagecast.errors import ConfigError, Problem
from outagecast.message import Duration, Language, Slug, Text, WebAddress
from outagecast.model import Status
from outagecast.schema import Check, Parse, about
from outagecast.secret import Secret
from outagecast.text import clean

FIRST = "first"  # in a channel's `on:`, the first word it carries of an incident
FOLLOW_UP = "follow_up"  # more on what it has told to be over
_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*/\s*(s|min|h)", re.ASCII)
_PRICE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([A-Z]{3})", re.ASCII)

# A person's own phone and inbox hear the first word and the last: more would be noise (research on status pages).
PERSONAL_STATUSES = (FIRST, Status.RESOLVED, Status.SCHEDULED, Status.RETRACTED)
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


class Price(NamedTuple):
    """What one billed unit costs: an SMS segment, a post, a mail."""

    amount: Decimal
    currency: str


def _price(value: str, _: object) -> Price:
    match = _PRICE.fullmatch(value.strip())
    if not match:
        raise ValueError(f'"{clean(value, most=60)}" is not a price; write it like 0.0515 AUD')
    return Price(Decimal(match[1]), match[2])


Zone: TypeAlias = Annotated[ZoneInfo, Parse(_zone)]
Languages: TypeAlias = Annotated[tuple[Language, ...], Check(_different)]
Statuses: TypeAlias = Annotated[tuple[Annotated[str, Parse(_status)], ...], Check(_different)]
Rate: TypeAlias = Annotated[float, Parse(_rate)]
Cost: TypeAlias = Annotated[Price, Parse(_price)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Organisation:
    """Who speaks."""

    name: Text = about("as customers know you")
    timezone: Zone = about("the clock your customers read, such as Australia/Sydney")
    languages: Languages = ("en",)
    phone: Text | None = None
    status_page: WebAddress | None = None
    official_domains: tuple[Text, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Promise:
    """What was promised to customers about being told."""

    first_announcement: Duration = timedelta(minutes=60)
    update_every: Duration = timedelta(minutes=30)
    require: tuple[Text, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """Whom ``watch`` tells before a promised word is late."""

    warn_before: Duration = timedelta(minutes=10)
    command: tuple[Text, ...] = ()
    webhook: Secret | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AudienceFile:
    """Where a set of people is listed."""

    file: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What every channel takes, whatever its kind; ``None`` where the kind or the organisation decides."""

    kind: str
    languages: Languages | None = None
    on: Statuses | None = None
    links: bool | None = None
    expires: Duration | None = None
    enabled: bool = True
    required: bool = True
    audience: str | None = None
    rate: Rate | None = None
    price: Cost | None = None
    owner: Text | None = None


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
    def is_bulk(self) -> bool:
        """Whether it reaches people one by one."""
        return self.adapter.addresses is not None

    @property
    def workers(self) -> int:
        """How many deliveries may be under way at once."""
        return int(getattr(self.settings, "connections", 8)) if self.is_bulk else 1


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    organisation: Organisation = about("who speaks: {name: …, timezone: …}")
    ledger: Text = "sqlite:///outagecast.db"
    promise: Promise = Promise()
    watch: Watch = Watch()
    components: dict[Text, tuple[Text, ...]] = field(default_factory=dict)
    templates: Path | None = None
    audiences: dict[Slug, AudienceFile] = field(default_factory=dict)
    channels: dict[str, Any] = about("at least one channel, such as x: {kind: x, …}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """The whole configuration. Paths are absolute; no secret has been looked at."""

    path: Path
    organisation: Organisation
    ledger: str
    promise: Promise
    watch: Watch
    components: Mapping[str, tuple[str, ...]]
    templates: Path | None
    audiences: Mapping[str, Path]
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
    file, problems = schema.read(_File, doc, doc.data)
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
        watch=_anchored(file.watch, base),
        components=file.components,
        templates=_beside(base, file.templates) if file.templates else None,
        audiences={name: _beside(base, audience.file) for name, audience in file.audiences.items()},
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
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", name):
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


def _contradictions(doc: Document, file: _File | None, channels: Mapping[str, ChannelConfig]) -> Iterator[Problem]:
    """What each key allows by itself, but not beside the others; ``file`` is None where it has problems of its own."""
    if doc.data.get("channels") == {}:
        yield doc.problem(("channels",), "no channel is configured", "such as x: {kind: x, …}")
    ledger = doc.data.get("ledger")
    if isinstance(ledger, str) and not re.match(r"sqlite:///.", ledger.strip()):
        # The address may hold a password: never repeat it.
        yield doc.problem(("ledger",), "is not a ledger; write it like sqlite:///outagecast.db")
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
        for number, language in enumerate(channel.options.languages or ()):
            if file and language not in file.organisation.languages:
                hint = f"the organisation promises {', '.join(file.organisation.languages)}"
                yield doc.problem((*place, "languages", number), f'"{language}" is not promised', hint)


def _with_defaults(channel: ChannelConfig, organisation: Organisation) -> ChannelConfig:
    """Public posts carry the first language, mail and texts the reader's; texts of a bank carry no link."""
    options = channel.options
    bulk, phone = channel.is_bulk, channel.adapter.addresses == "phone"
    filled = replace(
        options,
        languages=options.languages or (organisation.languages if bulk else organisation.languages[:1]),
        on=options.on if options.on is not None else _statuses(bulk=bulk, phone=phone),
        links=options.links if options.links is not None else not phone,
        expires=options.expires or (timedelta(hours=6) if bulk else None),
    )
    return replace(channel, options=filled)


def _statuses(*, bulk: bool, phone: bool) -> tuple[str, ...]:
    """Nobody is texted again about what is over; a mail about the cause can wait until it is read."""
    if phone:
        return PERSONAL_STATUSES
    return (*PERSONAL_STATUSES, FOLLOW_UP) if bulk else EVERY_STATUS
