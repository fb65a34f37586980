"""A false alarm taken back: in words that nobody has to write, everywhere and to everybody it reached or may have.

The words are those of the alarm, quoted, and called wrong. They stand alone, so no doubt is waited for; whatever of the
alarm is still queued is called off when they are opened. What is deleted is asked for by name, once they are out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from outagecast import document, message, render
from outagecast.channel import Channel, Finds, Withdraws
from outagecast.clock import Clock
from outagecast.config import ChannelConfig, Config
from outagecast.errors import LedgerError, MessageError, OutagecastError, PlanError, Problem, TemplateError, UsageError
from outagecast.facts import Said
from outagecast.lane import words_of
from outagecast.ledger import Carried, Entry, Event, Heard, Ledger, Move, Opening, Past, Reached, Update, every_entry
from outagecast.message import Message
from outagecast.model import DOUBTFUL, PUBLISHED, ComponentState, State, Status, Variant, digest_of
from outagecast.plan import Plan, PlannedChannel, Reason, Target, Words, digests, why_suppressed, with_defaults
from outagecast.roll import Roll
from outagecast.template import Book

_ALARMS = frozenset({Status.INVESTIGATING, Status.IDENTIFIED, Status.SCHEDULED, Status.IN_PROGRESS})
_REACHED = PUBLISHED | DOUBTFUL

# What a correction needs of the alarm. The rest was written for a real one: its apology, say, or words by hand.
_KEPT = ("incident", "title", "summary", "components", "window", "started_at", "contact", "translations")
_BY_HAND = "outagecast announce MESSAGE --status retracted"


class Share(NamedTuple):
    """A public post of an incident, or people who are to hear alike that it was wrong."""

    what: Reached  # of people: by the name of their group
    people: int = 1
    suppressed: str = ""


def gathered(reached: Iterable[Reached]) -> tuple[list[Share], dict[str, Roll]]:
    """The public posts of an incident, and by channel the people whom it was for; ``reached`` is by channel."""
    public: list[Share] = []
    rolls: dict[str, Roll] = {}

    def people(its: Iterable[Reached]) -> Iterator[tuple[str, str, Carried | None, int | None]]:
        for item in _by_person(its):
            if item.target:
                carried = None if item.number is None else Carried(item.number, State.ACCEPTED, "")
                yield item.target, item.language, carried, item.owed
            else:
                public.append(Share(item))

    for channel, its in groupby(reached, key=attrgetter("channel")):
        roll = Roll()
        roll.fill_told(people(its))
        if roll.count:
            rolls[channel] = roll
    return public, rolls


def shares(rolls: Mapping[str, Roll]) -> Iterator[Share]:
    """The people, in groups that are told alike."""
    for channel, roll in rolls.items():
        for group in roll.groups:
            number = group.carried.update if group.carried else None
            what = Reached(channel, group.name, group.language, number, group.owed)
            yield Share(what, group.people, group.suppressed)


def draw(past: Past, everybody: Iterable[Share], heard: Iterable[Heard], config: Config, now: datetime) -> Plan:
    """The plan that takes an incident back; the newest update's own where that is a retraction that nobody lacks.

    Raises PlanError where nothing that was said can be quoted as wrong.
    """
    newest = past.updates[-1]
    known = {name: channel for name, channel in config.channels.items() if channel.options.enabled}
    # Where a name stood for posts once and stands for people now, it is no way back to those who were told.
    reached = [
        one
        for one in everybody
        if one.what.channel not in known or known[one.what.channel].is_bulk is bool(one.what.target)
    ]
    retractions = {update.number for update in past.updates if update.status is Status.RETRACTED}
    last = newest.number if newest.number in retractions else None
    lacking = [
        item
        for item, _, suppressed in reached
        if not suppressed
        # Who is still to get the last retraction gets that one, however often it failed.
        and item.number is not None
        and item.number not in retractions
        and (last is None or (item.owed != last and (item.channel, last) not in past.begun))
    ]
    unreachable = dict.fromkeys(item.channel for item in lacking if item.channel not in known)
    stranded = tuple(f"{name} carries it and is not in the config: take it back there by hand" for name in unreachable)
    targets: dict[str, dict[Target, Carried | None]] = {name: {} for name in _public_first(known.values())}
    for item, people, suppressed in reached:
        if item.channel in targets:
            carried = Carried(item.number, State.ACCEPTED, "") if item.number is not None else None
            targets[item.channel][Target(item.target, item.language, people, suppressed)] = carried
    numbers: dict[str, set[int]] = {}
    for its in heard:
        if its.state in _REACHED:
            numbers.setdefault(its.channel, set()).add(its.number)

    def owing(name: str, alarms: Iterable[Update]) -> PlannedChannel:
        its = [alarm for alarm in alarms if alarm.number in numbers.get(name, ())]
        return _channel(known[name], targets[name], its, config)

    if last is not None and all(item.channel in unreachable for item in lacking):
        begun = [name for name in targets if (name, last) in past.begun]
        alarms = _alarms(past) if begun else []
        channels = (*_open(past, known, targets), *(replace(owing(name, alarms), is_begun=True) for name in begun))
        said = _as_said(newest, config)
        whole = (newest.number, False, newest.opened_at, None, config.organisation, channels)
        return Plan(said, *whole, groups=config.components, warnings=stranded)
    alarms = _alarms(past)
    said = _taken_back(alarms, config)
    channels = tuple(owing(name, alarms) for name, its in targets.items() if its)
    whole = (newest.number + 1, True, now, None, config.organisation, channels)
    return Plan(said, *whole, groups=config.components, warnings=stranded)


def _by_person(reached: Iterable[Reached]) -> Iterator[Reached]:
    """Each person once, however many languages they were told in, in that of their newest word; each public post."""
    for _, found in groupby(reached, key=lambda one: (one.target, "" if one.target else one.language)):
        its = list(found)
        newest = max(its, key=lambda one: (one.number or 0, one.owed or 0))
        yield newest._replace(owed=max(one.owed or 0 for one in its) or None)


def _public_first(channels: Iterable[ChannelConfig]) -> list[str]:
    return [channel.name for channel in sorted(channels, key=lambda channel: channel.is_bulk)]


def _open(
    past: Past, known: Mapping[str, ChannelConfig], targets: Mapping[str, Mapping[Target, Carried | None]]
) -> Iterator[PlannedChannel]:
    """The channels of a retraction that is in the ledger already."""
    for name, its in targets.items():
        if (name, past.updates[-1].number) in past.opened:
            yield PlannedChannel(known[name], tuple(its), {}, is_open=True)


def _alarms(past: Past) -> list[Update]:
    """The updates to call wrong: of what was taken back and said again, only what was said again."""
    earlier = [update.number for update in past.updates[:-1] if update.status is Status.RETRACTED]
    every = [update for update in past.updates if update.status in _ALARMS]
    alarms = [update for update in every if update.number > max(earlier, default=0)] or every
    if not alarms:
        problem = f"no update of {past.incident} says that something fails, so there are no words to call wrong"
        raise PlanError(Problem(problem, f"say it in your own: {_BY_HAND}"))
    return alarms


def _channel(
    config: ChannelConfig, targets: Mapping[Target, Carried | None], alarms: Sequence[Update], settings: Config
) -> PlannedChannel:
    """One channel, which quotes what was said there: texts may have gone out with the first word alone."""
    carried = {target: item for target, item in targets.items() if item}
    if not alarms:
        return PlannedChannel(config, tuple(targets), carried)
    earlier = tuple(Said(json.loads(alarm.written), alarm.opened_at) for alarm in alarms)
    return PlannedChannel(config, tuple(targets), carried, words=Words(_taken_back(alarms, settings), earlier))


def _as_said(update: Update, config: Config) -> Message:
    name = f"update {update.number} of {update.incident}"
    return with_defaults(message.check(document.parse(name, update.written, MessageError)), config)


def _taken_back(alarms: Sequence[Update], config: Config) -> Message:
    """The message that calls the last of some alarms wrong; in each language, the last that was said in it."""
    written: dict[str, Any] = json.loads(alarms[-1].written)
    facts = {name: written[name] for name in _KEPT if name in written}
    facts["status"] = Status.RETRACTED.value
    facts["components"] = dict.fromkeys(written.get("components", {}), ComponentState.OPERATIONAL.value)
    facts["translations"] = {}
    for alarm in alarms:
        for language, its in json.loads(alarm.written).get("translations", {}).items():
            if {"title", "summary"} <= its.keys():
                names = its.get("components", {}).items()
                facts["translations"][language] = {
                    "title": its["title"],
                    "summary": its["summary"],
                    "components": {name: called for name, called in names if name in facts["components"]},
                }
    text = json.dumps({name: fact for name, fact in facts.items() if fact}, ensure_ascii=False)
    return with_defaults(message.check(document.parse("retraction", text, MessageError)), config)


def worded(plan: Plan, templates: Path | None) -> tuple[Plan, list[Variant]]:
    """The plan and its words. Where a summary is too long to be quoted, or was put into words by hand, its title is.

    Raises TemplateError where that cannot be said either.
    """
    books: dict[str, Book] = {}
    channels: list[PlannedChannel] = []
    variants: list[Variant] = []
    problems: list[Problem] = []
    for channel in plan.channels:
        try:
            its, words = _said_by(plan, channel, templates, books)
        except TemplateError as error:
            problems += error.problems
            continue
        channels.append(its)
        variants += words
    if problems:
        raise TemplateError(*problems)
    return replace(plan, channels=tuple(channels)), variants


def _said_by(
    plan: Plan, channel: PlannedChannel, templates: Path | None, books: dict[str, Book]
) -> tuple[PlannedChannel, list[Variant]]:
    try:
        return channel, render.variants(replace(plan, channels=(channel,)), templates, books)
    except TemplateError:
        said = channel.words.message if channel.words else plan.message
        languages = {name: replace(its, summary=its.title) for name, its in said.translations.items()}
        briefer = replace(channel, words=Words(replace(said, summary=said.title, translations=languages), ()))
        return briefer, render.variants(replace(plan, channels=(briefer,)), templates, books)


def openings(plan: Plan, variants: Iterable[Variant], retractions: Collection[int]) -> Iterator[Opening]:
    """A delivery of each post for everybody it was meant for; ready where the incident got, whatever `on:` says.

    ``retractions`` are the updates that took it back. It never expires: late is better than to leave a false alarm.
    """
    words = digests(variants)
    for channel in plan.channels:
        for target in channel.targets if not channel.is_open else ():
            carried = channel.carried.get(target)
            state: State = State.READY
            reason: str | None = None
            if target.suppressed:
                state, reason = State.SKIPPED, why_suppressed(target)
            elif carried is None:
                state, reason = State.SKIPPED, Reason.NOT_ANNOUNCED
            elif carried.update in retractions:
                state, reason = State.SKIPPED, Reason.TAKEN_BACK
            for post in target.posts(words.get((channel.name, target.language), ())):
                yield Opening(channel.name, post.address, post.language, state, reason, None)


def opened(plan: Plan, digest: str, by: str) -> Update:
    """The update as the ledger is to have it; unlike an announcement's, its words may be those of an older one."""
    said = plan.message
    return Update(
        incident=said.incident,
        number=plan.number,
        status=said.status,
        fingerprint=digest_of({"retraction": plan.number, "message": said.canonical}),
        written=said.as_written(),
        digest=digest,
        opened_at=plan.as_of,
        opened_by=by,
        started_at=said.started_at,
    )


# -- deleting what was said --------------------------------------------------------------------------------------------


def require_deletable(names: Iterable[str], channels: Mapping[str, ChannelConfig]) -> None:
    """Raises UsageError for a channel that is not there, or cannot take down a post."""
    for name in names:
        if name not in channels:
            raise UsageError(Problem(f'there is no channel "{name}"', document.nearest(name, list(channels))))
        if not issubclass(channels[name].adapter, Withdraws):
            problem = f"{name} cannot take down what it published; nothing was sent"
            raise UsageError(Problem(problem, f"leave out --delete {name}"))


class Deleted(NamedTuple):
    """What became of a channel's earlier posts."""

    posts: int = 0
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Deletion:
    """Takes down what a channel published of an incident before it was taken back."""

    ledger: Ledger
    create: Callable[[ChannelConfig], Channel]
    by: str
    clock: Clock
    again: str  # the command that tries once more

    def run(self, config: ChannelConfig, past: Past) -> Deleted:
        """Once the correction is out there: an alarm that vanishes without a word is a rumour."""
        name, newest = config.name, past.updates[-1].number
        mine = list(every_entry(self.ledger, past.incident, newest, name, set(State)))
        if any(entry.state in {State.READY, State.FAILED, *DOUBTFUL} for entry in mine):
            problem = Problem(f"{name}: nothing was deleted, since the correction is not out there", self.again)
            return Deleted(0, (problem,))
        kept = {entry.receipt.provider_id for entry in mine if entry.receipt}
        alarms = [update.number for update in past.updates if update.status is not Status.RETRACTED]
        entries = [
            entry
            for number in alarms
            for entry in every_entry(self.ledger, past.incident, number, name, _REACHED - {State.MISSING})
        ]
        if not entries:
            return Deleted()
        problems: list[Problem] = []
        gone: set[str] = set()
        try:
            adapter = self.create(config)
        except OutagecastError as error:
            return Deleted(0, tuple(Problem(f"{name}: {problem.message}", problem.hint) for problem in error.problems))
        try:
            for entry in entries:
                try:
                    if taken := self._take_down(adapter, entry, kept, gone):
                        gone.add(taken)
                except LedgerError:
                    raise
                except Exception as error:  # noqa: BLE001 - what is out is out: one post that stays keeps no other
                    said = f"{name}: the post of update {entry.delivery.update} may still be up: {words_of(error)}"
                    problems.append(Problem(said, f"delete it there, or try again: {self.again}"))
        finally:
            adapter.close()
        return Deleted(len(gone), tuple(problems))

    def _take_down(self, adapter: Channel, entry: Entry, kept: Collection[str], gone: Collection[str]) -> str | None:
        """The id of the post that is down now; None where the correction stands in it. Raises ChannelError."""
        assert isinstance(adapter, Withdraws)  # noqa: S101 - asked before anything was sent
        receipt = entry.receipt
        if receipt is None:
            receipt = adapter.find(entry.delivery) if isinstance(adapter, Finds) else None
            if receipt is None:
                raise LookupError("it is not known whether it ever was, and it was not found")
            state = entry.state
            if state is State.ATTEMPTING:
                state = self.ledger.move(entry, Move(Event.LOST), self.clock.now(), self.by)
            move = Move(Event.FOUND, receipt=receipt)
            entry = replace(entry, state=self.ledger.move(replace(entry, state=state), move, self.clock.now(), self.by))
        if receipt.provider_id in kept:
            return None
        if receipt.provider_id not in gone:
            adapter.withdraw(receipt)
        self.ledger.move(entry, Move(Event.GONE, f"deleted by {self.by}"), self.clock.now(), self.by)
        return receipt.provider_id
