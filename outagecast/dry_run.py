"""The dry run: everything that will go out, planned, rendered and checked, before any of it has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from outagecast import advice, audience, changes, plan, render, report, retract, sequel, spelling, translations
from outagecast import correct as correcting
from outagecast.audience import Audience, Listing
from outagecast.config import ChannelConfig, Config
from outagecast.errors import AudienceError, Problem
from outagecast.language import name
from outagecast.ledger import NOTHING_PAST, Carried, Digests, Ledger, Opening, Past
from outagecast.message import Message
from outagecast.model import DOUBTFUL, PUBLISHED, State, Status, Variant
from outagecast.plan import Plan
from outagecast.report import ChannelReport, Report
from outagecast.roll import Roll
from outagecast.sequel import Sequel

_OUT = (PUBLISHED | DOUBTFUL) - {State.MISSING}


class Prepared(NamedTuple):
    """Everything that will go out, before any of it has."""

    plan: Plan
    variants: Sequence[Variant]
    openings: Sequence[Opening]  # of the public channels
    people: Mapping[str, Callable[[], Iterator[Opening]]]  # by channel, those of everybody it tells, as a stream
    shares: Sequence[Opening]  # of every channel; of people one for each group that is told alike
    digest: str
    report: Report  # what a dry run prints

    @classmethod
    def of(
        cls,
        drawn: Plan,
        words: Sequence[Variant],
        shares: Sequence[Opening],
        people: Mapping[str, Callable[[], Iterator[Opening]]],
        outlook: Report,
    ) -> Prepared:
        """The whole of what was drawn."""
        fresh = {item.channel for item in shares}
        public = [item for item in shares if item.channel not in people]
        due = {name: its for name, its in people.items() if name in fresh}
        return cls(drawn, words, public, due, shares, outlook.digest or "", outlook)


@dataclass(frozen=True)
class DryRun:
    """What an announcement, or its retraction, comes to at one moment."""

    config: Config
    ledger: Ledger | None  # None where there is none yet: reading must not create one
    now: datetime
    misgivings: Sequence[str] = ()  # about the ledger

    def announcement(
        self,
        said: Message,
        *,
        only: Collection[str] = (),
        without: Collection[str] = (),
        left_out: Sequence[str] = (),
        accept_bad_rows: bool = False,
        reopen: bool = False,
        correct: bool = False,
    ) -> Prepared:
        """The dry run: all that announcing ``said`` would do, short of doing it. Raises every error there can be.

        ``only`` and ``without`` are channels, ``left_out`` are languages.
        """
        chosen = plan.select(self.config, only, without)
        spoken, first = translations.leave_out(self.config, left_out), self.config.organisation.languages[0]
        past = self._past(said.incident, [channel.name for channel in chosen if not channel.is_bulk])
        listings = self._listings(chosen, accept_bad_rows=accept_bad_rows)
        rolls = {key: listing.roll for key, listing in listings.items()}
        for key, roll in rolls.items():
            roll.spare(left_out, instead=first)
            if self.ledger and past.updates and not _is_open(past, said, key):
                roll.mark(self._told(said.incident, key))
        self._suppress(rolls)
        past = self._put_right(past, said.incident) if correct else past

        def draw(audiences: Mapping[str, Audience]) -> Plan:
            choice: Any = {"only": only, "without": without, "reopen": reopen}
            return plan.draw(said, spoken, audiences=audiences, past=past, now=self.now, **choice)

        audiences = {key: listing.audience for key, listing in listings.items()}
        drawn = draw(audiences)
        drawn = self._advised(drawn, said, past)
        remarks = translations.remarks(said, self.config, [channel.name for channel in chosen], left_out)
        drawn = replace(drawn, warnings=(*remarks, *_silent(drawn), *drawn.warnings))
        drawn = correcting.applied(drawn, past)
        plain = self._plain(drawn)
        drawn = correcting.spared(drawn, plain, past.wrong)
        frozen = self._frozen(drawn)
        translations.require_unsaid(frozen, left_out)
        rendered = self._rendered(render.variants(drawn, self.config.templates), frozen)
        words = [*frozen, *rendered]
        shares = list(plan.openings(drawn, words, self.config, plain))
        digest = render.digest(drawn, words)
        known = self._recorded(said.incident, drawn)
        outlook = Report(
            incident=said.incident,
            update=drawn.number,
            status=said.status.value,
            mode="dry_run",
            digest=digest,
            next_update_at=drawn.next_update_at,
            corrects=self._corrects(drawn, past),
            warnings=[
                *self.misgivings,
                *self._perhaps_updates(said, past),
                *drawn.warnings,
                *spelling.advice(rendered),
            ],
            changes=changes.since(past, drawn),
            channels=self._compared(drawn, past, report.planned(drawn, words, shares, known)),
        )

        def people(channel: str) -> Iterator[Opening]:
            if self.ledger and past.updates:  # another run may have told some of them since
                rolls[channel].mark(self._told(said.incident, channel))
            # Not the other channels' anew: each is written down by a thread of its own.
            newly = draw({**audiences, channel: listings[channel].audience})
            again = correcting.spared(correcting.applied(newly, past), plain, past.wrong)
            its = replace(again, channels=tuple(item for item in again.channels if item.name == channel))
            return plan.people(plan.openings(its, words, self.config, plain), rolls[channel].people())

        return Prepared.of(drawn, words, shares, {key: partial(people, key) for key in rolls}, outlook)

    def _told(self, incident: str, channel: str) -> Iterator[tuple[str, Carried]]:
        return ((told.target, told.carried) for told in self._ledger.told(incident, channel))

    def _advised(self, drawn: Plan, said: Message, past: Past) -> Plan:
        """The plan with what is better said otherwise. Raises PlanError for what the config does not let pass."""
        given = advice.give(said, self.config, past.right, self.now)
        if drawn.is_new:  # else its words are out, or were let pass when it was opened
            advice.insist(given, said, self.config)
        return replace(drawn, warnings=(*drawn.warnings, *(str(item.problem(said)) for item in given)))

    def _compared(self, drawn: Plan, past: Past, channels: Sequence[ChannelReport]) -> list[ChannelReport]:
        """The channels, each with the words that it carries already."""
        earlier = changes.previous(past, self.ledger, drawn) if self.ledger else {}
        its: dict[str, dict[str, changes.Earlier]] = {}
        for (channel, language), words in earlier.items():
            its.setdefault(channel, {})[language] = words
        return [replace(channel, previous=its.get(channel.channel, {})) for channel in channels]

    def _put_right(self, past: Past, incident: str) -> Past:
        """The past, with the words of its newest update taken for wrong. Raises PlanError where nothing was said."""
        correcting.require_something(past, incident)
        words = self._ledger.variants(incident, past.updates[-1].number)
        return replace(past, wrong=plan.digests(words))

    def _plain(self, drawn: Plan) -> Digests:
        """The digests of what would be said were it no correction."""
        corrected = [channel for channel in drawn.channels if channel.sequel is Sequel.CORRECTION]
        plainly = replace(drawn, channels=tuple(replace(channel, sequel=None) for channel in corrected))
        rendered = render.variants(plainly, self.config.templates)
        return plan.digests(rendered)

    def _corrects(self, drawn: Plan, past: Past) -> int | None:
        """The update that a planned one puts right, if it does."""
        return drawn.corrects if drawn.is_new else past.updates[drawn.number - 1].corrects

    def _perhaps_updates(self, said: Message, past: Past) -> list[str]:
        """Of which open incidents a new one may be an update."""
        if past.updates or said.status.is_closing or not said.components or self.ledger is None:
            return []
        return list(sequel.perhaps_updates_of(said, self.ledger.latest()))

    def retraction(self, slug: str) -> Prepared:
        """All that taking a known incident back would do, short of doing it. Raises every error there can be."""
        ledger = self._ledger
        past = ledger.past(slug, ())
        drawn, rolls = self._taken_back(past)
        frozen = self._frozen(drawn)
        drawn, fresh = retract.worded(drawn, self.config.templates)
        words = [*frozen, *self._rendered(fresh, frozen)]
        retractions = {update.number for update in past.updates if update.status is Status.RETRACTED}
        shares = list(retract.openings(drawn, words, retractions))
        known = self._recorded(slug, drawn)
        digest = render.digest(drawn, words)
        outlook = Report(
            incident=slug,
            update=drawn.number,
            status=drawn.message.status.value,
            mode="dry_run",
            digest=digest,
            warnings=[*self.misgivings, *drawn.warnings],
            channels=report.planned(drawn, words, shares, known),
        )

        def people(channel: str) -> Iterator[Opening]:
            again, rolls = self._taken_back(past)  # what was under way has reached some of them since
            its = replace(again, channels=tuple(item for item in again.channels if item.name == channel))
            return plan.people(retract.openings(its, words, retractions), rolls[channel].people())

        return Prepared.of(drawn, words, shares, {key: partial(people, key) for key in rolls}, outlook)

    def _taken_back(self, past: Past) -> tuple[Plan, Mapping[str, Roll]]:
        """The plan that takes an incident back from everybody whom it has reached by now."""
        ledger, slug = self._ledger, past.incident
        public, rolls = retract.gathered(ledger.reached(slug))
        self._suppress(rolls)
        everybody = [*public, *retract.shares(rolls)]
        return retract.draw(past, everybody, ledger.heard(slug), self.config, self.now), rolls

    def _listings(self, chosen: Sequence[ChannelConfig], *, accept_bad_rows: bool) -> dict[str, Listing]:
        listings: dict[str, Listing] = {}
        problems: list[Problem] = []
        for channel in chosen:
            if channel.is_bulk and channel.options.audience:
                try:
                    listings[channel.name] = audience.of(channel, self.config, accept_bad_rows=accept_bad_rows)
                except AudienceError as error:
                    problems += error.problems
        if problems:
            raise AudienceError(*dict.fromkeys(problems))
        return listings

    def _suppress(self, rolls: Mapping[str, Roll]) -> None:
        """Spare whoever is on the suppression list, on every channel."""
        for roll in rolls.values() if self.ledger else ():
            roll.suppress((item.address, item.why) for item in self._ledger.suppressed())

    def _past(self, incident: str, channels: Collection[str]) -> Past:
        return self.ledger.past(incident, channels) if self.ledger else NOTHING_PAST

    def _frozen(self, drawn: Plan) -> list[Variant]:
        """The words that are in the ledger already: they are never said otherwise."""
        names = {channel.name for channel in drawn.channels if channel.is_open or channel.is_begun}
        if not names:
            return []
        return [item for item in self._ledger.variants(drawn.message.incident, drawn.number) if item.channel in names]

    def _rendered(self, rendered: Iterable[Variant], frozen: Iterable[Variant]) -> list[Variant]:
        """What is new of the words: of a channel whose people were not all written down, only what it lacks."""
        known = {(item.channel, item.language) for item in frozen}
        return [item for item in rendered if (item.channel, item.language) not in known]

    def _recorded(self, slug: str, plan: Plan) -> dict[str, ChannelReport]:
        """The channels whose deliveries of this update exist already."""
        numbers = {channel.name: plan.number for channel in plan.channels if channel.is_open}
        if not numbers:
            return {}
        channels = self.config.usable
        return {item.channel: item for item in report.recorded(self._ledger, slug, numbers, channels, self.now)}

    @property
    def _ledger(self) -> Ledger:
        """The ledger, where something is known to be in it."""
        assert self.ledger is not None  # noqa: S101 - what is open, or carried, is known from a ledger
        return self.ledger


def _silent(drawn: Plan) -> Iterator[str]:
    """Where an account told of the incident in a language in which it now says nothing."""
    for channel in drawn.channels:
        if channel.config.is_bulk or channel.is_open:
            continue
        told = {target.language for target, item in channel.carried.items() if item.state in _OUT}
        for language in sorted(told - {target.language for target in channel.targets}):
            yield f"{channel.name} told of it in {name(language)} before, and says nothing in it now"


def _is_open(past: Past, said: Message, channel: str) -> bool:
    """Whether a channel's people are in the ledger already, each with this very update."""
    newest = past.updates[-1]
    return newest.fingerprint == said.fingerprint and (channel, newest.number) in past.opened
