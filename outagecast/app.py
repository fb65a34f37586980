"""The composition root: opens config, ledger and channels, and walks the one path for whoever asks."""

from __future__ import annotations

import os
import re
import threading
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from outagecast import audience, config, message, plan, registry, render, report
from outagecast.audience import Audience
from outagecast.channel import Channel
from outagecast.clock import Clock
from outagecast.config import ChannelConfig, Config
from outagecast.errors import AudienceError, ConfigError, ConflictError, ExitCode, PlanError, Problem, UsageError
from outagecast.ledger import NOTHING_PAST, Entry, Event, Ledger, Move, Opening, Past, Update, every_entry
from outagecast.message import Message
from outagecast.model import DOUBTFUL, PUBLISHED, Receipt, State, Variant
from outagecast.plan import Plan
from outagecast.report import ChannelReport, Report

if typing.TYPE_CHECKING:
    from outagecast.deliver import Progress

_UNFINISHED = DOUBTFUL | {State.READY, State.FAILED}


class Prepared(NamedTuple):
    """Everything that will go out, before any of it has."""

    plan: Plan
    variants: Sequence[Variant]
    openings: Sequence[Opening]
    digest: str
    report: Report  # what a dry run prints


@dataclass
class Control:
    """How a run is watched and stopped from outside."""

    watch: Callable[[Progress], None] = lambda _: None
    stop: threading.Event = field(default_factory=threading.Event)
    max_time: float | None = None
    interrupted: ExitCode | None = None  # set by whoever sets ``stop``


@dataclass
class App:
    """One configuration, and what can be done with it."""

    config: Config
    by: str
    clock: Clock = field(default_factory=Clock)
    create: Callable[[ChannelConfig], Channel] = lambda channel: registry.create(channel.kind, channel.settings)

    # -- saying something -------------------------------------------------------------------------------------------

    def prepare(
        self,
        said: Message,
        *,
        only: Collection[str] = (),
        without: Collection[str] = (),
        accept_bad_rows: bool = False,
        now: datetime | None = None,
    ) -> Prepared:
        """The dry run: all that announcing ``said`` would do, short of doing it. Raises every error there can be."""
        now = now or self.clock.now()
        chosen = plan.select(self.config, only, without)
        audiences = self._audiences(chosen, accept_bad_rows=accept_bad_rows)
        past = self._past(said.incident, [channel.name for channel in chosen])
        drawn = plan.draw(said, self.config, audiences=audiences, past=past, only=only, without=without, now=now)
        frozen = self._frozen(drawn)
        rendered = render.variants(drawn, self.config.templates)
        words = [*frozen, *rendered]
        openings = list(plan.openings(drawn, words, self.config))
        digest = render.digest(drawn, words)
        numbers = {channel.name: drawn.number for channel in drawn.channels if channel.is_open}
        known = {item.channel: item for item in self._recorded(said.incident, numbers)}
        outlook = Report(
            incident=said.incident,
            update=drawn.number,
            status=said.status.value,
            mode="dry_run",
            digest=digest,
            next_update_at=drawn.next_update_at,
            warnings=drawn.warnings,
            channels=report.planned(drawn, words, openings, known),
        )
        return Prepared(drawn, words, openings, digest, outlook)

    def announce(self, prepared: Prepared, said: Message, control: Control) -> Report:
        """Send what was prepared, byte for byte. Raises ConflictError if something newer went out in between."""
        drawn = prepared.plan
        update = Update(
            incident=said.incident,
            number=drawn.number,
            status=said.status,
            fingerprint=said.fingerprint,
            written=said.as_written(),
            digest=prepared.digest,
            opened_at=drawn.as_of,
            opened_by=self.by,
            started_at=said.started_at,
            next_update_at=drawn.next_update_at,
        )
        chosen = {channel.name: channel.config for channel in drawn.channels}
        with self.ledger.lock():
            fresh = {channel.name for channel in drawn.channels if not channel.is_open}
            self.ledger.open(update, [item for item in prepared.variants if item.channel in fresh], prepared.openings)
            numbers = dict.fromkeys(chosen, drawn.number)
            self._revive(said.incident, numbers)
            self._run(said.incident, numbers, chosen, control)
        outcome = self._outcome(said.incident, numbers, drawn.number, control)
        return replace(outcome, digest=prepared.digest, warnings=drawn.warnings)

    # -- finishing what was begun -----------------------------------------------------------------------------------

    def resume(self, incident: str | None, control: Control) -> Report:
        """Settle what is in doubt by evidence, then send what is certainly unsent, of each channel's newest update."""
        slug = self._known(incident) if incident else self._only_unfinished()
        with self.ledger.lock():
            numbers, newest = self._standing(slug), self._newest(slug)
            chosen = {name: self._channels[name] for name in numbers if name in self._channels}
            # Where a newer update passed a channel over, the words that failed there have had their time.
            self._revive(
                slug, {name: number for name, number in numbers.items() if name in chosen and number == newest[name]}
            )
            self._run(slug, numbers, chosen, control)
        return self._outcome(slug, numbers, None, control)

    def settle(self, incident: str, channel: str, decision: Event, *, url: str | None, target: str | None) -> Report:
        """What a person found out where no look-up could.

        Raises UsageError where nothing is in doubt, ConflictError where words would be sent again that are outdated.
        """
        slug = self._known(incident)
        with self.ledger.lock():
            number, chosen = self._doubtful(slug, channel, target)
            if decision is Event.SETTLED_RESEND and number < self._newest(slug)[channel]:
                hint = "say --published URL or --not-published"
                raise ConflictError(Problem(f"update {number} of {slug} is in doubt, and a newer one is out", hint))
            for entry in chosen:
                self._decide(entry, decision, url)
        return self._outcome(slug, self._standing(slug), None, Control())

    def _doubtful(self, slug: str, channel: str, target: str | None) -> tuple[int, list[Entry]]:
        """The newest update that is in doubt on a channel, and its deliveries in doubt. Raises UsageError for none."""
        for update in reversed(self.ledger.past(slug, ()).updates):
            doubtful = self._entries(slug, update.number, channel, DOUBTFUL)
            if chosen := [entry for entry in doubtful if target in {None, entry.delivery.target}]:
                return update.number, chosen
        raise UsageError(Problem(f"nothing of {slug} is in doubt on {channel}", f"outagecast status {slug}"))

    def _decide(self, entry: Entry, decision: Event, url: str | None) -> None:
        """Walk one doubtful delivery to the decision, by the same table as everything else."""
        steps = {State.ATTEMPTING: Event.LOST, State.IN_DOUBT: Event.EXHAUSTED, State.NEEDS_DECISION: decision}
        while event := steps.get(entry.state):
            receipt = _seen_at(url) if event is Event.SETTLED_PUBLISHED else None
            reason = f"{self.by} looked and decided" if event is decision else entry.reason
            state = self.ledger.move(entry, Move(event, reason, receipt=receipt), self.clock.now(), self.by)
            entry = replace(entry, state=state)

    # -- reading ----------------------------------------------------------------------------------------------------

    def status(self, incident: str | None) -> Report:
        """What each channel carries of an incident; of the one that changed last if none is named."""
        slugs = self.ledger.incidents() if self.has_ledger else []
        if incident is None and not slugs:
            return Report()
        slug = self._known(incident) if incident else slugs[0]
        report = self._outcome(slug, self._standing(slug), None, Control(), is_watched=True)
        holder = self._holder()
        if not holder:
            return report
        # What is under way is no doubt yet, and resume would be refused.
        channels = [replace(channel, next_action=None) for channel in report.channels]
        return replace(
            report, channels=channels, warnings=[f"{holder} is announcing right now; look again in a moment"]
        )

    def incidents(self) -> list[str]:
        """Every incident in the ledger, the one that changed last first."""
        return self.ledger.incidents() if self.has_ledger else []

    # -- the parts --------------------------------------------------------------------------------------------------

    @property
    def has_ledger(self) -> bool:
        """Whether there is a ledger; reading must not create one."""
        try:
            Path(self.config.ledger.removeprefix("sqlite:///")).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # opening it will say what is wrong
        return True

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, created on first use."""
        from outagecast.ledger.sqlite import SqliteLedger

        return SqliteLedger(Path(self.config.ledger.removeprefix("sqlite:///")))

    def close(self) -> None:
        """Let go of the ledger, if it was opened."""
        if "ledger" in vars(self):
            self.ledger.close()

    def _holder(self) -> str:
        """Who is sending from this ledger at this moment; empty if nobody is."""
        from outagecast.ledger.lock import held_by

        holder, is_alive = held_by(Path(self.config.ledger.removeprefix("sqlite:///")))
        is_us = f"(process {os.getpid()}," in holder
        return holder if is_alive and not is_us else ""

    def _audiences(self, chosen: Sequence[ChannelConfig], *, accept_bad_rows: bool) -> dict[str, Audience]:
        audiences: dict[str, Audience] = {}
        problems: list[Problem] = []
        for channel in chosen:
            column, name = channel.adapter.addresses, channel.options.audience
            if column and name:
                languages = channel.options.languages or self.config.organisation.languages
                path = self.config.audiences[name]
                try:
                    audiences[channel.name] = audience.load(path, column, languages, accept_bad_rows=accept_bad_rows)
                except AudienceError as error:
                    problems += error.problems
        if problems:
            raise AudienceError(*dict.fromkeys(problems))
        return audiences

    def _past(self, incident: str, channels: Collection[str]) -> Past:
        return self.ledger.past(incident, channels) if self.has_ledger else NOTHING_PAST

    def _frozen(self, drawn: Plan) -> list[Variant]:
        """The words that are in the ledger already: they are never rendered again."""
        names = {channel.name for channel in drawn.channels if channel.is_open}
        if not names:
            return []
        return [item for item in self.ledger.variants(drawn.message.incident, drawn.number) if item.channel in names]

    @property
    def _channels(self) -> dict[str, ChannelConfig]:
        """The channels that may be used."""
        return {name: channel for name, channel in self.config.channels.items() if channel.options.enabled}

    def _run(
        self, slug: str, numbers: Mapping[str, int], channels: Mapping[str, ChannelConfig], control: Control
    ) -> None:
        from outagecast.deliver import Run

        Run(
            ledger=self.ledger,
            incident=slug,
            numbers=numbers,
            channels=channels,
            create=self.create,
            by=self.by,
            clock=self.clock,
            max_time=control.max_time,
            watch=control.watch,
            stop=control.stop,
        ).run()

    def _entries(self, slug: str, number: int, channel: str, states: Collection[State]) -> Iterator[Entry]:
        return every_entry(self.ledger, slug, number, channel, states)

    def _revive(self, slug: str, numbers: Mapping[str, int]) -> None:
        """What failed for a reason of ours is worth another try once somebody asks."""
        for name, number in numbers.items():
            for entry in self._entries(slug, number, name, {State.FAILED}):
                if not entry.refused:
                    self.ledger.move(entry, Move(Event.REVIVED), self.clock.now(), self.by)

    def _newest(self, slug: str) -> dict[str, int]:
        """For each channel the newest update that was opened there, be it only to pass it over."""
        return dict(sorted(self.ledger.past(slug, ()).opened, key=lambda pair: pair[1]))

    def _standing(self, slug: str) -> dict[str, int]:
        """For each channel the update to judge it by: its newest, or where that passed it over, what it carries."""
        numbers: dict[str, int] = {}
        for update in self.ledger.past(slug, ()).updates:
            states: dict[str, set[State]] = {}
            for item in self.ledger.tallies(slug, update.number):
                states.setdefault(item.channel, set()).add(item.state)
            for channel, its in states.items():
                if its != {State.SKIPPED} or not self._carries(slug, channel, numbers.get(channel)):
                    numbers[channel] = update.number
        return numbers

    def _carries(self, slug: str, channel: str, number: int | None) -> bool:
        """Whether something of an update is, or may be, out on a channel."""
        carried = PUBLISHED | DOUBTFUL | {State.UNCHANGED}
        return number is not None and any(
            item.channel == channel and item.state in carried for item in self.ledger.tallies(slug, number)
        )

    def _recorded(self, slug: str, numbers: Mapping[str, int]) -> list[ChannelReport]:
        if not numbers:
            return []
        return report.recorded(self.ledger, slug, numbers, self._channels, self.clock.now())

    def _outcome(
        self, slug: str, numbers: Mapping[str, int], number: int | None, control: Control, *, is_watched: bool = False
    ) -> Report:
        """The report on ``numbers``, the update that each channel is judged by; of update ``number``, or the newest."""
        updates = self.ledger.past(slug, ()).updates
        update = updates[(number or len(updates)) - 1]
        channels = self._recorded(slug, numbers)
        late = report.is_overdue(updates, channels, self.config.promise, self.clock.now())
        return Report(
            incident=slug,
            update=update.number,
            status=update.status.value,
            digest=update.digest,
            exit_code=report.judge(channels, interrupted=control.interrupted, overdue=late and is_watched),
            overdue=late,
            next_update_at=update.next_update_at,
            channels=channels,
        )

    def _known(self, incident: str) -> str:
        if incident not in self.incidents():
            from outagecast.document import nearest

            raise PlanError(Problem(f'there is no incident "{incident}"', nearest(incident, self.incidents())))
        return incident

    def _only_unfinished(self) -> str:
        unfinished = [slug for slug in self.incidents() if self._is_unfinished(slug)]
        if len(unfinished) == 1:
            return unfinished[0]
        if not unfinished:
            raise UsageError(Problem("nothing is unfinished", "see what is out: outagecast status"))
        raise UsageError(Problem("more than one incident is unfinished", f"name one: {', '.join(unfinished)}"))

    def _is_unfinished(self, slug: str) -> bool:
        """Whether resuming could change something."""
        return any(
            item.channel == channel and item.state in _UNFINISHED and not item.refused
            for channel, number in self._standing(slug).items()
            for item in self.ledger.tallies(slug, number)
        )


def _seen_at(url: str | None) -> Receipt:
    """The receipt of what a person saw. An address ends in the provider's own id, which the next update replies to."""
    last = (url or "").rstrip("/").rpartition("/")[2]
    return Receipt(last if re.fullmatch(r"\w+", last) else url or "seen by a person", url or None)


def start(path: str | None, by: str, clock: Clock | None = None) -> App:
    """The app for a config file. Raises ConfigError."""
    return App(config.load(config.locate(path)), by, clock or Clock())


def load(
    path: str | None,
    source: str,
    *,
    by: str,
    stdin: typing.BinaryIO | None = None,
    status: str | None = None,
    facts: Sequence[str] = (),
    clock: Clock | None = None,
) -> tuple[App, Message]:
    """The app and a message for it. A bad message is reported before a bad config: 65 before 78."""
    try:
        app = start(path, by, clock)
    except ConfigError:
        message.load(source, stdin=stdin, status=status, facts=facts)
        raise
    zone = app.config.organisation.timezone
    return app, message.load(source, stdin=stdin, status=status, facts=facts, zone=zone)
