"""Message + config + what is already out -> plan: which channels, which people, which languages, which number. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from outagecast import internal, links, sequel, translations
from outagecast.audience import Audience
from outagecast.channel import FIRST, FOLLOW_UP, Briefs
from outagecast.config import ChannelConfig, Config, Organisation
from outagecast.document import nearest
from outagecast.errors import ConflictError, PlanError, Problem, UsageError
from outagecast.facts import OUTDATES, Said
from outagecast.ledger import NOTHING_PAST, Carried, Digests, Opening, Past, Update
from outagecast.message import Contact, Message
from outagecast.model import DOUBTFUL, PUBLISHED, SECOND, State, Status, Variant
from outagecast.roll import Person
from outagecast.sequel import Sequel
from outagecast.text import clean
from outagecast.wording import round_up


class Reason(StrEnum):
    """Why a channel or recipient is passed over, in words."""

    NOT_ANNOUNCED = "nothing was ever announced there"
    NOT_CARRIED = "this channel does not carry this status"
    NO_FOLLOW_UP = "this channel carries no follow-up after the end"
    REFUSED = "it was refused for a reason of the recipient's own"
    SAME_WORDS = "the same words are already there"
    PERHAPS_THERE = "the same words may be there already, from an earlier update"
    TAKEN_BACK = "it was taken back there already"


SUPPRESSED = {  # why somebody is told nothing more there, by what the suppression list says
    "stop": "they answered STOP",
    "unsubscribed": "they unsubscribed",
    "bounce": "the address does not exist any more",
    "complaint": "they complained",
    "asked": "they asked not to be told",
}


class Target(NamedTuple):
    """People who are told alike, by the name of their group; a public channel is one target with no address."""

    address: str
    language: str
    people: int = 1
    suppressed: str = ""  # why they are not told, where they are on the suppression list

    @property
    def number(self) -> str:
        """Which post of a thread: "" for the first, as for all that is none, else ``SECOND``."""
        return SECOND if self.address == SECOND else ""

    def posts(self, numbers: Collection[str]) -> Iterator[Target]:
        """Itself, and the second post where ``numbers`` has one."""
        yield self
        if SECOND in numbers:
            yield Target(SECOND, self.language)


class Words(NamedTuple):
    """What one channel says in the place of the plan's message."""

    message: Message
    earlier: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class PlannedChannel:
    """One channel's part in the plan."""

    config: ChannelConfig
    targets: tuple[Target, ...]
    carried: Mapping[Target, Carried]  # what each target carries of this incident, people in whatever language
    audience: Audience | None = None
    is_open: bool = False  # its deliveries are in the ledger already, with their bytes
    is_begun: bool = False  # its bytes are, and not yet all of its people
    sequels: Mapping[Target, Sequel] = field(default_factory=dict)  # what it is to who heard an earlier one
    sequel: Sequel | None = None  # what it is to most of those who will get it
    edits: Mapping[Target, str] = field(default_factory=dict)  # the post that its words replace, where they do
    words: Words | None = None  # its own, where it takes back what was said here and not elsewhere

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def kind(self) -> str:
        return self.config.kind

    @property
    def audience_digest(self) -> str:
        """Who is told, as a hash; empty for the public."""
        return self.audience.digest if self.audience else ""

    @property
    def languages_needed(self) -> tuple[str, ...]:
        """The languages that some target reads, in the config's order; last those that it names no more."""
        read = {target.language for target in self.targets}
        named = tuple(language for language in self.config.options.languages or () if language in read)
        return (*named, *sorted(read - {*named}))

    @property
    def readers(self) -> Counter[str]:
        """How many read each language."""
        counts = Counter[str]()
        for target in self.targets:
            counts[target.language] += target.people
        return counts

    @property
    def is_first_word(self) -> bool:
        """Whether somebody hears of the incident here for the first time."""
        return any(target not in self.carried for target in self.targets if not target.suppressed)

    def has_link(self, status: Status) -> bool:
        """Whether its words on this status hold a link."""
        on = self.config.options.links or ()
        if self.sequel is Sequel.FOLLOW_UP:
            return FOLLOW_UP in on
        return status in on or (FIRST in on and (self.is_first_word or self.sequel is Sequel.BACK))


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be said where, before it is put into words."""

    message: Message  # with what the organisation and its promise add
    number: int
    is_new: bool  # False where the same update is already in the ledger
    as_of: datetime  # when it was first opened; now for a new one
    next_update_at: datetime | None
    organisation: Organisation
    channels: tuple[PlannedChannel, ...]
    earlier: tuple[Said, ...] = ()  # what was said before, oldest first, and this message outdates
    ends: tuple[Said, ...] = ()  # the closing words that a follow-up tells more about
    corrects: int | None = None  # the number of the update that it puts right
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of components, as the organisation lists them
    warnings: tuple[str, ...] = ()


def draw(
    message: Message,
    config: Config,
    *,
    audiences: Mapping[str, Audience],
    past: Past = NOTHING_PAST,
    only: Collection[str] = (),
    without: Collection[str] = (),
    reopen: bool = False,
    now: datetime,
) -> Plan:
    """The plan for ``message``. ``audiences`` is by channel name, ``reopen`` says that what was closed is back.

    Raises UsageError for a channel that is not configured, ConflictError where a newer update is out, PlanError where
    message and config, or what was said before, do not fit, or a translation is missing.
    """
    chosen = select(config, only, without)
    _check_variants(message, config)
    _check_links(message, config.organisation)
    same = _position(message, past)
    if same is None:
        sequel.check(message, past.right, reopen=reopen)
    as_of = same.opened_at if same else now
    number = same.number if same else len(past.updates) + 1
    channels = tuple(_channel(message, channel, audiences.get(channel.name), past, number) for channel in chosen)
    fresh = [channel.config for channel in channels if not channel.is_open]
    translations.require(message, config.organisation.languages[0], fresh)
    drawn = Plan(
        message=with_defaults(message, config),
        number=number,
        is_new=same is None,
        as_of=as_of,
        next_update_at=same.next_update_at if same else next_update(message, config, now),
        organisation=config.organisation,
        channels=channels,
        earlier=tuple(_said(past, OUTDATES.get(message.status, ()))),
        ends=tuple(_said(past, (message.status,))) if message.status.is_closing else (),
        groups=config.components,
        warnings=(*_remarks(audiences), *_waiting(message, same, channels)),
    )
    _check_expiry(drawn, config, now)
    return drawn


def select(config: Config, only: Collection[str], without: Collection[str]) -> list[ChannelConfig]:
    """The channels asked for, public ones first. Raises UsageError for a name that is not there or switched off."""
    for name in (*only, *without):
        if name not in config.channels:
            raise UsageError(Problem(f'there is no channel "{name}"', nearest(name, list(config.channels))))
        if name in only and not config.channels[name].options.enabled:
            raise UsageError(Problem(f'the channel "{name}" is switched off', "set enabled: true in the config"))
    chosen = [
        channel
        for channel in config.channels.values()
        if channel.options.enabled and (not only or channel.name in only) and channel.name not in without
    ]
    if not chosen:
        raise UsageError(Problem("no channel is left to announce on", "name one with --channel"))
    # Public posts reach everybody at once; thousands of texts and mails must never stand before them.
    return sorted(chosen, key=lambda channel: channel.is_bulk)


def next_update(message: Message, config: Config, now: datetime) -> datetime | None:
    """When we speak next: as written, else as promised; a duration counts from now, up to full five minutes."""
    given = message.next_update_at
    if message.status.is_closing:
        return None
    if isinstance(given, datetime):
        return given
    if given is None and message.status is Status.SCHEDULED:
        return None  # work that is weeks away promises no word every half hour
    return round_up(now + (given or config.promise.update_every))


def expiry(channel: ChannelConfig, plan: Plan, config: Config) -> datetime | None:
    """When this channel's words are too old to be sent for the first time."""
    if channel.options.expires:
        return plan.as_of + channel.options.expires
    if plan.next_update_at is None:
        return None
    # A promise that had passed when it was written is advice to the officer, and no reason to tell nobody.
    return max(plan.next_update_at, plan.as_of) + config.promise.update_every


def openings(
    plan: Plan,
    variants: Sequence[Variant],
    config: Config,
    plain: Digests = MappingProxyType({}),
) -> Iterator[Opening]:
    """The deliveries to open: one a target and post, each ready, or passed over with the reason.

    Of people, one stands for those of a group; ``people`` makes them each one's own.

    ``plain`` are the digests of what would be said were it no correction: where all of it is there already, nothing was
    wrong.
    """
    words = digests(variants)
    for channel in plan.channels:
        if channel.is_open:
            continue
        expires_at = expiry(channel.config, plan, config)
        right = [its for (name, _), its in plain.items() if name == channel.name]  # in whatever language
        for target in channel.targets:
            first: State | None = None
            its = next((its for its in right if _carries(channel, target, its)), words[channel.name, target.language])
            for post in target.posts(its):
                state, reason = _opening_state(plan, channel, target, post, its[post.number])
                if first not in {None, State.UNCHANGED} and state is State.UNCHANGED:
                    state = State.SKIPPED  # where the first post fails, nothing of the update must seem to be there
                first = first or state
                doubted = channel.carried.get(post) if state is State.IN_DOUBT else None
                yield Opening(
                    channel=channel.name,
                    target=post.address,
                    language=post.language,
                    state=state,
                    reason=reason,
                    expires_at=expires_at,
                    attempted_at=doubted.attempted_at if doubted else None,
                    edits=channel.edits.get(post) if state is State.READY else None,
                )


def people(openings: Iterable[Opening], roll: Iterable[Person]) -> Iterator[Opening]:
    """The opening of each person on a channel, out of those of its groups."""
    groups = {item.target: item for item in openings}
    for address, group, began in roll:
        channel, _, language, state, reason, expires_at, *_ = groups[group]
        since = began if state is State.IN_DOUBT else None
        yield Opening(channel, address, language, state, reason, expires_at, since)


def counted(plan: Plan, openings: Iterable[Opening]) -> Iterator[tuple[Opening, int]]:
    """Each opening, and how many it stands for."""
    counts = {
        (channel.name, target.address, target.language): target.people
        for channel in plan.channels
        for target in channel.targets
    }
    for opening in openings:
        yield opening, counts.get((opening.channel, opening.target, opening.language), 1)


def _carries(channel: PlannedChannel, target: Target, its: Mapping[str, str]) -> bool:
    """Whether a target carries each post that has one of these digests."""
    there = {post: channel.carried[post].digest for post in target.posts(its) if post in channel.carried}
    return its == {post.number: digest for post, digest in there.items()}


def _opening_state(
    plan: Plan, channel: PlannedChannel, target: Target, post: Target, digest: str
) -> tuple[State, str | None]:
    """In which state one post to ``target`` is opened; ``digest`` is that of its words."""
    if target.suppressed:
        return State.SKIPPED, why_suppressed(target)
    status, carried = plan.message.status, channel.carried.get(target)
    if why_not := _passed_over(status, channel.config, carried, channel.sequels.get(target)):
        return State.SKIPPED, why_not
    there = channel.carried.get(post)
    if there and there.digest == digest:
        if there.state in {State.ACCEPTED, State.VERIFIED}:
            return State.UNCHANGED, Reason.SAME_WORDS
        if there.state in DOUBTFUL:  # to send the same words again could put them there twice
            return State.IN_DOUBT, Reason.PERHAPS_THERE
    return State.READY, None


def why_suppressed(target: Target) -> str:
    """Why a target on the suppression list is not told, in words."""
    return SUPPRESSED.get(target.suppressed, SUPPRESSED["asked"])


def digests(variants: Iterable[Variant]) -> Digests:
    """The digest of every text."""
    return {(item.channel, item.language): item.digests for item in variants}


def _passed_over(status: Status, config: ChannelConfig, carried: Carried | None, its: Sequel | None) -> Reason | None:
    """Why a target that carries this of the incident gets no update of this status, if so."""
    if carried and carried.state is State.FAILED:
        return Reason.REFUSED
    if its is Sequel.CORRECTION:  # who was told something wrong must hear what is right
        return None
    if carried is None and status.is_closing:
        return Reason.NOT_ANNOUNCED
    on = config.options.on or ()
    if its is Sequel.FOLLOW_UP:
        return None if FOLLOW_UP in on else Reason.NO_FOLLOW_UP
    # Who was told that it is over must hear that it is back, as if for the first time.
    is_first = carried is None or its is Sequel.BACK
    return None if status in on or (is_first and FIRST in on) else Reason.NOT_CARRIED


def _channel(
    message: Message, config: ChannelConfig, audience: Audience | None, past: Past, number: int
) -> PlannedChannel:
    languages = config.options.languages or ()
    if audience is None:
        targets = tuple(Target("", language) for language in languages)
        carried = _carried(config, targets, past, number)
    else:
        groups = {Target(item.name, item.language, item.people, item.suppressed): item for item in audience.groups}
        targets = tuple(groups)
        carried = {
            target: item.carried for target, item in groups.items() if item.carried and _counts(item.carried, number)
        }
    updates = {update.number: update for update in past.updates}
    kinds = {heard: sequel.of(updates.get(heard), message) for heard in {item.update for item in carried.values()}}
    sequels = {target: its for target, item in carried.items() if (its := kinds[item.update])}
    getting = Counter[Sequel | None]()
    for target in targets:
        item, its = carried.get(target), sequels.get(target)
        if item and not target.suppressed and not _passed_over(message.status, config, item, its):
            getting[its] += target.people
    is_open, is_begun = ((config.name, number) in those for those in (past.opened, past.begun))
    most = getting.most_common(1)[0][0] if getting else None
    return PlannedChannel(config, targets, carried, audience, is_open, is_begun, sequels, most)


def _counts(carried: Carried, number: int) -> bool:
    """Whether it is, or may be, of an update before ``number``; or was refused."""
    return carried.update < number and carried.state in PUBLISHED | DOUBTFUL | {State.FAILED}


def _carried(config: ChannelConfig, targets: Sequence[Target], past: Past, number: int) -> Mapping[Target, Carried]:
    """What a public channel carries from before update ``number``."""
    known = {
        Target(address, language): item
        for (channel, address, language), item in past.carried.items()
        if channel == config.name and _counts(item, number)
    }
    others = [item for target, item in known.items() if not target.address and target not in targets]
    if others and targets[0] not in known:  # an account that spoke another language has told the same followers
        known[targets[0]] = max(others, key=lambda item: item.update)
    return known


def _position(message: Message, past: Past) -> Update | None:
    """The newest update if it says the same; None if this is a new one. Raises ConflictError for an older one."""
    for update in past.updates[:-1]:
        if update.fingerprint == message.fingerprint:
            newest = past.updates[-1]
            raise ConflictError(
                Problem(
                    f"this is update {update.number} of {past.incident} again, and update {newest.number} is newer",
                    f"look at what is out: outagecast status {past.incident}",
                )
            )
    newest_update = past.updates[-1] if past.updates else None
    return newest_update if newest_update and newest_update.fingerprint == message.fingerprint else None


def with_defaults(message: Message, config: Config) -> Message:
    """The message with the organisation's contact, where it names none."""
    organisation, contact = config.organisation, message.contact
    filled = Contact(phone=contact.phone or organisation.phone, url=contact.url or organisation.status_page)
    return replace(message, contact=filled)


def _check_variants(message: Message, config: Config) -> None:
    problems = [
        Problem(f'variants: there is no channel "{name}"', nearest(name, list(config.channels)))
        for name in message.variants
        if name not in config.channels
    ]
    if problems:
        raise PlanError(*problems)


def _check_links(message: Message, organisation: Organisation) -> None:
    """No text may lead customers to where they do not think they go."""
    given = [*_strings(json.loads(message.canonical)), organisation.status_page or ""]
    found = dict.fromkeys(address for text in given for address in links.addresses(text))
    wrong = {address: links.deception(address, organisation.official_domains) for address in found}
    hint = "correct it; or list its domain in the config, under official_domains"
    if problems := [
        Problem(f"the link {clean(address, most=60)} {what}", hint) for address, what in wrong.items() if what
    ]:
        raise PlanError(*problems)


def _strings(node: object) -> Iterator[str]:
    """Every text in a tree, names and all."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        for item in node:
            yield from _strings(item)
    elif isinstance(node, dict):
        yield from _strings([*node, *node.values()])


def _check_expiry(plan: Plan, config: Config, now: datetime) -> None:
    """What would be too old the moment it is opened must not look, in a preview, as if it were sent."""
    ends = {channel.name: expiry(channel.config, plan, config) for channel in plan.channels if not channel.is_open}
    if late := [name for name, end in ends.items() if end and end <= now]:
        hint = "give a new next_update_at, or a duration such as 30m"
        raise PlanError(Problem(f"these words are too old to be sent to {', '.join(late)}", hint))


def _said(past: Past, statuses: Collection[Status]) -> Iterator[Said]:
    for update in past.updates:
        if update.status in statuses:
            yield Said(json.loads(update.written), update.opened_at)


def _waiting(message: Message, same: Update | None, channels: Iterable[PlannedChannel]) -> Iterator[str]:
    """What staff would be thought to know: what is open keeps its bytes."""
    names = [item.name for item in channels if item.is_open and issubclass(item.config.adapter, Briefs)]
    if same and names and internal.is_changed(message, json.loads(same.written)):
        yield f"{', '.join(names)}: the changed briefing goes out with the next update, which a public fact makes"


def _remarks(audiences: Mapping[str, Audience]) -> Iterator[str]:
    """What nobody should find out from those who were not told."""
    for name, audience in audiences.items():
        rows = audience.rows
        if rows.bad:
            # The line alone: what stands in it is a customer's.
            yield f"{name}: {_rows(rows.bad)} left out, the first on line {rows.problems[0].line}"
        if abroad := rows.elsewhere.total():
            most = rows.elsewhere.most_common(5)
            where = ", ".join(f"{country or 'no country'} {count:,}" for country, count in most)
            yield f"{name}: {_rows(abroad)} left out, with numbers of other countries than it is for: {where}"
        if not audience.groups:
            yield f"{name}: nobody in the audience has such an address"


def _rows(count: int) -> str:
    return "1 row is" if count == 1 else f"{count:,} rows are"
