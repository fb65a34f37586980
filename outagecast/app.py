"""The composition root: opens config, ledger and channels, and walks the one path for whoever asks."""

from __future__ import annotations

import os
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

from outagecast import config, hold, message, registry, report, retract, settle, standing
from outagecast.channel import Channel
from outagecast.clock import Clock
from outagecast.config import ChannelConfig, Config
from outagecast.control import Control
from outagecast.dry_run import DryRun, Prepared
from outagecast.errors import (
    ConfigError,
    ConflictError,
    ExitCode,
    LedgerError,
    OutagecastError,
    PlanError,
    Problem,
    UsageError,
)
from outagecast.ledger import Event, Ledger, Purged, Update
from outagecast.message import Message
from outagecast.model import DOUBTFUL, State, Status
from outagecast.promises import Course
from outagecast.report import ChannelReport, Report

if typing.TYPE_CHECKING:
    from outagecast.dispatch import Dispatch
    from outagecast.page import Built
    from outagecast.unreached import Unreached

_LATELY = timedelta(hours=12)  # about a shift
_UNFINISHED = DOUBTFUL | {State.READY, State.FAILED}
_LEFT_AS_IT_IS = {State.SKIPPED, State.UNCHANGED}


class Watched(NamedTuple):
    """What somebody who is on call has to keep an eye on."""

    courses: Sequence[Course]
    warnings: Sequence[str]
    crowds: Mapping[str, Sequence[ChannelReport]] = {}  # by incident, the channels on which people are still being told


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
        left_out: Sequence[str] = (),
        accept_bad_rows: bool = False,
        reopen: bool = False,
        correct: bool = False,
        now: datetime | None = None,
    ) -> Prepared:
        """The dry run: all that announcing ``said`` would do, short of doing it. Raises every error there can be."""
        return self._dry_run(now).announcement(
            said,
            only=only,
            without=without,
            left_out=left_out,
            accept_bad_rows=accept_bad_rows,
            reopen=reopen,
            correct=correct,
        )

    def _dry_run(self, now: datetime | None = None) -> DryRun:
        ledger = self.ledger if self.has_ledger else None
        return DryRun(self.config, ledger, now or self.clock.now(), self._misgivings())

    def build_on(self, incident: str, status: str | None, facts: Sequence[str]) -> Message:
        """The last update's message, with ``status`` and ``facts`` (``NAME=VALUE``) put in.

        Raises PlanError where there is no such incident, UsageError where the facts name another.
        """
        last = self.ledger.past(self._known(incident), ()).updates[-1]
        name, zone = f"update {last.number} of {incident}", self.config.organisation.timezone
        said = message.build_on(last.written, name, status=status, facts=facts, zone=zone, now=self.clock.now())
        if said.incident != incident:
            hint = "another incident needs a message file of its own"
            raise UsageError(Problem("--set incident=… does not go with --incident", hint))
        return said

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
            corrects=drawn.corrects,
        )
        chosen = {channel.name: channel.config for channel in drawn.channels}
        numbers = dict.fromkeys(chosen, drawn.number)
        fresh = {channel.name for channel in drawn.channels if not channel.is_open}
        words = [item for item in prepared.variants if item.channel in fresh]
        with self._dispatch(control) as dispatch, self._alone():
            self.ledger.open(update, words, prepared.openings)
            people = sum(channel.counts.planned for channel in prepared.report.channels)
            freezing = self._freezing(update, prepared)
            dispatch.send(said.incident, numbers, chosen, freezing=freezing, people=people)
        outcome = self._outcome(said.incident, numbers, drawn.number, control)
        outlook = prepared.report
        return replace(outcome, digest=prepared.digest, warnings=outlook.warnings, changes=outlook.changes)

    # -- taking it back ---------------------------------------------------------------------------------------------

    def prepare_retraction(self, incident: str, delete: Collection[str] = ()) -> Prepared:
        """All that taking an incident back would do, short of doing it; ``delete``: where its posts come down then.

        Raises every error there can be.
        """
        retract.require_deletable(delete, self.config.usable)
        return self._dry_run().retraction(self._known(incident))

    def retract(self, prepared: Prepared, control: Control, delete: Collection[str] = ()) -> Report:
        """Take back what was prepared to be, then delete where that was asked for.

        Raises ConflictError if something newer went out in between.
        """
        drawn = prepared.plan
        slug = drawn.message.incident
        chosen = {channel.name: channel.config for channel in drawn.channels}
        numbers = dict.fromkeys(chosen, drawn.number)
        deleted: dict[str, retract.Deleted] = {}
        update = retract.opened(drawn, prepared.digest, self.by)
        with self._dispatch(control) as dispatch, self._alone():
            if drawn.is_new or prepared.people:
                self.ledger.open(update, prepared.variants, prepared.openings)
            dispatch.send(slug, numbers, chosen, freezing=self._freezing(update, prepared))
            past = self.ledger.past(slug, ())
            again = f"outagecast retract {slug} --delete"
            for name in dict.fromkeys(delete) if not control.stop.is_set() else ():
                deletion = retract.Deletion(self.ledger, self.create, self.by, self.clock, f"{again} {name}")
                deleted[name] = deletion.run(self.config.channels[name], past)
        outcome = self._outcome(slug, numbers, drawn.number, control)
        problems = [*map(Problem, drawn.warnings), *(problem for its in deleted.values() for problem in its.problems)]
        # What still stands somewhere is a part that failed, though every word is out.
        code = ExitCode.PARTIAL if problems and outcome.exit_code is ExitCode.DONE else outcome.exit_code
        posts = {name: its.posts for name, its in deleted.items()}
        channels = [replace(channel, deleted=posts.get(channel.channel, 0)) for channel in outcome.channels]
        return replace(
            outcome,
            digest=prepared.digest,
            warnings=[warning for warning in prepared.report.warnings if warning not in drawn.warnings],
            channels=channels,
            errors=problems,
            exit_code=code,
        )

    # -- finishing what was begun -----------------------------------------------------------------------------------

    def resume(self, incident: str | None, control: Control, *, keep_held: bool = False) -> Report:
        """Settle what is in doubt by evidence, then send what is certainly unsent, of each channel's newest update.

        What somebody has paused goes on, unless it is to be kept so: ``keep_held``.
        """
        slug = self._known(incident) if incident else self._only_unfinished()
        with self._dispatch(control) as dispatch, self._alone():
            numbers, newest = standing.judged(self.ledger, slug), standing.newest(self.ledger, slug)
            chosen = {name: self.config.usable[name] for name in numbers if name in self.config.usable}
            if keep_held:
                chosen = {name: one for name, one in chosen.items() if not self.ledger.held(slug, numbers[name], name)}
            # Where a newer update passed a channel over, the words that failed there have had their time.
            stale = {name for name, number in numbers.items() if number != newest[name]}
            freezing, problems = self._unfrozen(slug, chosen)
            dispatch.send(slug, numbers, chosen, freezing=freezing, stale=stale, is_resumed=True)
        outcome = self._outcome(slug, numbers, None, control)
        return replace(outcome, errors=problems) if problems else outcome

    def settle(self, incident: str, channel: str, decision: Event, *, url: str | None, target: str | None) -> Report:
        """What a person found out where no look-up could.

        Raises UsageError where nothing is in doubt, or what is may still appear; ConflictError where words would be
        sent again that are outdated.
        """
        slug = self._known(incident)
        is_bulk = channel in self.config.channels and self.config.channels[channel].is_bulk
        with self._alone(), self.ledger.lock(channel) if is_bulk else nullcontext():
            number, chosen = settle.doubtful(self.ledger, slug, channel, target)
            if decision is Event.SETTLED_RESEND and number < standing.newest(self.ledger, slug)[channel]:
                hint = "say --published URL or --not-published"
                raise ConflictError(Problem(f"update {number} of {slug} is in doubt, and a newer one is out", hint))
            if decision is not Event.SETTLED_PUBLISHED and channel in self.config.channels:
                settle.require_settled(chosen, self.config.channels[channel].adapter.semantics.settle, self.clock.now())
            for entry in chosen:
                settle.decide(self.ledger, entry, decision, url, by=self.by, now=self.clock.now())
        return self._outcome(slug, standing.judged(self.ledger, slug), None, Control())

    def pause(self, incident: str, only: Collection[str] = ()) -> Report:
        """Let nothing more go out to many people, be it sent by another process; what is under way ends.

        Raises UsageError where nothing waits to be sent to people.
        """
        slug = self._known(incident)
        for name, number in hold.waiting(self.ledger, slug, self.config.usable, only).items():
            self.ledger.hold(slug, number, name, hold.BY_HAND, self.clock.now(), self.by)
        return self._outcome(slug, standing.judged(self.ledger, slug), None, Control())

    def waiting(self, incident: str, only: Collection[str] = ()) -> Report:
        """The channels on which people still wait for a word. Raises UsageError where there is none."""
        slug = self._known(incident)
        return self._outcome(slug, hold.waiting(self.ledger, slug, self.config.usable, only), None, Control())

    def cancel(self, incident: str, only: Collection[str] = ()) -> Report:
        """Call off what is not sent to people yet. Raises UsageError where nothing waits."""
        slug = self._known(incident)
        chosen = hold.waiting(self.ledger, slug, self.config.usable, only)
        busy = hold.cancel(self.ledger, slug, chosen, self.clock, self.by)
        warnings = [f"{name}: something is still under way; look again, then type the same" for name in busy]
        outcome = self._outcome(slug, standing.judged(self.ledger, slug), None, Control())
        return replace(outcome, warnings=warnings)

    def build_pages(self, channel: str | None = None) -> list[Built]:
        """Every outage page, or that of one channel, anew from the ledger, while nobody sends.

        Raises UsageError where there is none, ConflictError where somebody sends, ChannelError where the disk says no.
        """
        from outagecast import page

        chosen = page.chosen(self.config, channel)
        with self._alone() if self.has_ledger else nullcontext():
            return [page.build(self.config, one, self.ledger if self.has_ledger else None) for one in chosen]

    def purge(self, *, dry_run: bool = False) -> Purged:
        """Forget the addresses of incidents that were over long enough ago; with ``dry_run`` only count them."""
        if not self.has_ledger:
            return Purged()
        from outagecast import journal

        now = self.clock.now()
        purged = self.ledger.purge(now - self.config.retention, now, dry_run=dry_run)
        for slug in purged.incidents if not dry_run else ():
            for channel, number in self.ledger.past(slug, ()).opened:
                journal.forget(self.ledger_path, (slug, number, channel))
        return purged

    # -- reading ----------------------------------------------------------------------------------------------------

    def verify(
        self, incident: str | None, control: Control, *, announced: Report | None = None, max_time: float | None = None
    ) -> Report:
        """Look where the public looks, and compare: what each channel carries, or what was just ``announced``.

        ``max_time``: seconds, in the place of the control's. Raises LedgerError where it cannot be written down.
        """
        slugs = self.incidents()
        if incident is None and not slugs:
            return Report()
        slug = self._known(incident) if incident else slugs[0]
        if announced:
            numbers = {item.channel: item.update for item in announced.channels}
        else:
            numbers = standing.judged(self.ledger, slug)
        numbers = {channel: standing.worded(self.ledger, slug, channel, number) for channel, number in numbers.items()}
        from outagecast import verify

        findings = verify.Reading(
            ledger=self.ledger,
            incident=slug,
            numbers=numbers,
            channels=self.config.usable,
            create=self.create,
            by=self.by,
            clock=self.clock,
            max_time=control.max_time if max_time is None else max_time,
            watch=control.watch,
            stop=control.stop,
        ).run()
        outcome = self._outcome(slug, numbers, announced.update if announced else None, control)
        again = f"outagecast verify {slug}"
        channels = [verify.told(channel, findings.get(channel.channel), again) for channel in outcome.channels]
        code = report.judge(channels, interrupted=control.interrupted)
        outcome = replace(outcome, channels=channels, exit_code=code)
        if announced is None:
            return outcome
        return replace(outcome, digest=announced.digest, warnings=announced.warnings, changes=announced.changes)

    def status(self, incident: str | None) -> Report:
        """What each channel carries of an incident; of the one that changed last if none is named."""
        slugs = self.ledger.incidents() if self.has_ledger else []
        if incident is None and not slugs:
            return Report()
        slug = self._known(incident) if incident else slugs[0]
        report = self._outcome(slug, standing.judged(self.ledger, slug), None, Control(), is_watched=True)
        report = replace(report, warnings=self._misgivings())
        holder = self._holder()
        if not holder:
            return report
        # What is under way is no doubt yet, and resume would be refused.
        channels = [replace(channel, next_action=None) for channel in report.channels]
        busy = f"{holder} is announcing right now; look again in a moment"
        return replace(report, channels=channels, warnings=[busy, *report.warnings])

    def watched(self, incident: str | None = None) -> Watched:
        """Every incident that is open, or was closed lately and is not so everywhere; else ``incident`` alone.

        The one that changed last comes first. Raises PlanError where ``incident`` is none.
        """
        since = self.clock.now() - _LATELY
        newest = self.ledger.latest() if self.has_ledger else []
        slugs = (
            [self._known(incident)]
            if incident
            else [update.incident for update in newest if not update.status.is_closing or update.opened_at > since]
        )
        courses = [self._course(self.ledger.past(slug, ()).updates) for slug in slugs]
        if not incident:
            courses = [course for course in courses if course.is_open or course.lagging]
        holder = self._holder()
        busy = [f"{holder} is announcing right now"] if holder else []
        crowds = {course.incident: self._crowds(course) for course in courses}
        return Watched(courses, [*busy, *self._misgivings()], crowds)

    def _crowds(self, course: Course) -> list[ChannelReport]:
        """The channels on which people are being told of an incident, or would be if nobody had paused it."""
        newest = {row.channel: max(row.cells) for row in course.rows if row.cells and self._is_bulk(row.channel)}
        done = {
            row.channel for row in course.rows if row.channel in newest and row.cells[newest[row.channel]].is_complete
        }
        told = self._recorded(course.incident, {name: number for name, number in newest.items() if name not in done})
        return [channel for channel in told if channel.held or channel.sending]

    def unreached(self, incident: str, channel: str) -> Unreached:
        """Who was not reached on a channel. Raises UsageError where nobody is told one by one there."""
        from outagecast.unreached import Unreached

        slug = self._known(incident)
        number = standing.judged(self.ledger, slug).get(channel)
        addresses = self.config.channels[channel].adapter.addresses if channel in self.config.channels else None
        if addresses is None or number is None:
            why = "tells nobody one by one" if addresses is None else f"was never used for {slug}"
            raise UsageError(Problem(f"{channel} {why}", f"look with: outagecast status {slug}"))
        return Unreached(self.ledger, slug, number, channel, addresses)

    def incidents(self) -> list[str]:
        """Every incident in the ledger, the one that changed last first."""
        return self.ledger.incidents() if self.has_ledger else []

    # -- the parts --------------------------------------------------------------------------------------------------

    @property
    def has_ledger(self) -> bool:
        """Whether there is a ledger; reading must not create one."""
        try:
            self.ledger_path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # opening it will say what is wrong
        return True

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, created on first use."""
        from outagecast.ledger.sqlite import SqliteLedger

        return SqliteLedger(self.ledger_path)

    def close(self) -> None:
        """Let go of the ledger, if it was opened."""
        if "ledger" in vars(self):
            self.ledger.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While nobody else sends from this ledger, which knows what it may have forgotten."""
        with self.ledger.lock():
            self.ledger.recognise(self.clock.now(), self.by)
            self.ledger.remember()  # now too: a run that is killed must be missed if its ledger is
            try:
                yield
            finally:
                with suppress(LedgerError):  # what went wrong first is what is told
                    self.ledger.remember()

    @property
    def ledger_path(self) -> Path:
        """Where the ledger lies, or will."""
        return Path(self.config.ledger.removeprefix("sqlite:///"))

    def _misgivings(self) -> list[str]:
        """What the officer should know of the ledger before it is trusted."""
        if self.has_ledger:
            why = self.ledger.unsure(self.clock.now())
        else:
            from outagecast.ledger.witness import recall

            last = recall(self.ledger_path)
            why = last and last.contradicts("", 0)
        return [f"{why}: each channel is asked first whether it carries these words already"] if why else []

    def _holder(self, channel: str | None = None) -> str:
        """Who is sending to the public from this ledger at this moment, or to people; empty if nobody is."""
        from outagecast.ledger.lock import held_by

        holder, is_alive = held_by(self.ledger_path, channel)
        is_us = f"(process {os.getpid()}," in holder
        return holder if is_alive and not is_us else ""

    @contextmanager
    def _dispatch(self, control: Control) -> Iterator[Dispatch]:
        """What sends, waited for once the ledger is let go."""
        from outagecast.dispatch import Dispatch

        dispatch = Dispatch(self.ledger, self.create, self.by, self.clock, control)
        try:
            yield dispatch
        finally:
            dispatch.wait()

    def _freezing(self, update: Update, prepared: Prepared) -> dict[str, Callable[[], None]]:
        """By channel, what writes down all its people."""

        def freeze(channel: str) -> None:
            self.ledger.freeze(update, channel, prepared.people[channel]())

        return {channel: partial(freeze, channel) for channel in prepared.people}

    def _unfrozen(
        self, slug: str, channels: Collection[str]
    ) -> tuple[dict[str, Callable[[], None]], Sequence[Problem]]:
        """What writes down the people of ``channels`` where a run ended before it had; else why that cannot be done."""
        past = self.ledger.past(slug, ())
        update = past.updates[-1]
        names = [name for name, number in past.begun if number == update.number and name in channels]
        if not names:
            return {}, ()
        zone = self.config.organisation.timezone
        try:
            if update.status is Status.RETRACTED:
                prepared = self.prepare_retraction(slug)
            else:  # by the clock of that time, so that it is the same message
                said = message.build_on(update.written, slug, zone=zone, now=update.opened_at)
                prepared = self.prepare(said, only=names)
        except OutagecastError as error:  # the audience's file has changed, say: all else can be finished
            return {}, error.problems
        if prepared.plan.number != update.number:
            return {}, ()
        return {name: its for name, its in self._freezing(update, prepared).items() if name in names}, ()

    def _recorded(self, slug: str, numbers: Mapping[str, int]) -> list[ChannelReport]:
        if not numbers:
            return []
        sending = {name: self._holder(name) for name in numbers if self._is_bulk(name)}
        return report.recorded(self.ledger, slug, numbers, self.config.usable, self.clock.now(), sending=sending)

    def _is_bulk(self, name: str) -> bool:
        return name in self.config.usable and self.config.usable[name].is_bulk

    def _outcome(
        self, slug: str, numbers: Mapping[str, int], number: int | None, control: Control, *, is_watched: bool = False
    ) -> Report:
        """The report on ``numbers``, the update that each channel is judged by; of update ``number``, or the newest."""
        updates = self.ledger.past(slug, ()).updates
        update = updates[(number or len(updates)) - 1]
        channels = self._recorded(slug, numbers)
        course = self._course(updates)
        return Report(
            incident=slug,
            update=update.number,
            status=update.status.value,
            digest=update.digest,
            exit_code=report.judge(channels, interrupted=control.interrupted, overdue=course.overdue and is_watched),
            overdue=course.overdue,
            next_update_at=update.next_update_at,
            corrects=update.corrects,
            course=course,
            channels=[replace(channel, row=course.row(channel.channel)) for channel in channels],
        )

    def _course(self, updates: Sequence[Update]) -> Course:
        return report.course(self.ledger, updates, self.config.usable, self.config.promise, self.clock.now())

    def _known(self, incident: str) -> str:
        if incident not in self.incidents():
            from outagecast.document import nearest

            raise PlanError(Problem(f'there is no incident "{incident}"', nearest(incident, self.incidents())))
        return incident

    def _only_unfinished(self) -> str:
        unfinished = [slug for slug in self.incidents() if standing.is_unfinished(self.ledger, slug)]
        if len(unfinished) == 1:
            return unfinished[0]
        if not unfinished:
            raise UsageError(Problem("nothing is unfinished", "see what is out: outagecast status"))
        raise UsageError(Problem("more than one incident is unfinished", f"name one: {', '.join(unfinished)}"))


def start(path: str | None, by: str, clock: Clock | None = None) -> App:
    """The app for a config file. Raises ConfigError."""
    return App(config.load(config.locate(path)), by, clock or Clock())


def load(
    path: str | None,
    source: str | None,
    *,
    by: str,
    incident: str | None = None,
    stdin: typing.BinaryIO | None = None,
    status: str | None = None,
    facts: Sequence[str] = (),
    clock: Clock | None = None,
) -> tuple[App, Message]:
    """The app and a message for it: that of a file, or one that builds on the last update of ``incident``.

    A bad file is reported before a bad config: 65 before 78.
    """
    try:
        app = start(path, by, clock)
    except ConfigError:
        if source is not None:
            message.load(source, stdin=stdin, status=status, facts=facts)
        raise
    zone = app.config.organisation.timezone
    if source is not None:
        return app, message.load(source, stdin=stdin, status=status, facts=facts, zone=zone)
    try:
        return app, app.build_on(incident or "", status, facts)
    except BaseException:
        app.close()
        raise
