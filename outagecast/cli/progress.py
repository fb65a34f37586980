"""A run as it goes: live on a terminal, a line for each public channel elsewhere; and how it ends when broken off."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from outagecast.cli import screen
from outagecast.cli.signals import Interrupted, Signals
from outagecast.cli.words import WORDS, of_people, speed
from outagecast.errors import PRECEDENCE, ConflictError, ExitCode, LedgerError, PlanError, Problem
from outagecast.speed import LATELY, per_second, seconds_left
from outagecast.text import printable

if TYPE_CHECKING:
    from outagecast.control import Control
    from outagecast.events import Events
    from outagecast.lane import Progress
    from outagecast.report import ChannelReport, Report

_EVERY = 15.0  # seconds between two lines about thousands of people, where nothing can be drawn over
_MOST_REASONS = 3  # lines of why people were refused
_MOST_KEPT = 100  # reasons that are counted
_STOPPING = "stopping once what is under way has ended; Ctrl-C again to leave now"
_SPARE = 4  # columns at the right, where the terminal puts its ^C: a line that wraps could not be drawn over
_UNREADABLE = Problem("what is out cannot be read from the ledger", "post nothing by hand; later: outagecast resume")
_LEFT = Problem("left before the providers answered", "what was under way may be out; resume looks it up")


def walk(
    go: Callable[[Control], Report],
    *,
    look: Callable[[], Report],
    channels: Sequence[ChannelReport],
    bulk: Collection[str],
    signals: Signals,
    max_time: float | None,
    tell: Callable[[Report], None] | None = None,
    events: Events | None = None,
    left: Problem = _LEFT,
) -> Report:
    """Run ``go`` under the signals, on a live screen; where it breaks off in the middle, ``look`` tells what is out.

    ``channels`` are those known beforehand, ``bulk`` the names of all that reach people one by one. With ``tell``, a
    second Ctrl-C ends the process: at once, still holding the ledger, so that nobody else sends what is under way.
    """
    from outagecast.control import Control

    watch = _Watch(channels, bulk)
    control = Control(watch=watch.note, max_time=max_time)
    if events:
        control.begin, control.watch = events.started, events.beside(watch.note)

    def leave(interrupted: ExitCode) -> None:
        code = ExitCode.IN_DOUBT
        try:
            watch.close()
            report = _broken_off(look(), interrupted, (left,))
            code = report.exit_code
            if tell:
                tell(report)
        finally:
            os._exit(code)  # without waiting for the threads whose calls are left

    try:
        with signals.draining(control, watch.stopping, leave if tell else None), watch:
            return go(control)
    except Interrupted as interrupt:
        return _broken_off(look(), interrupt.code, (left,))
    except ConflictError as error:
        return _outrun(look, error)
    except LedgerError as error:
        if not watch.has_begun:
            raise
        # 74 promises that nothing was sent, which is no longer true.
        return _broken_off(_look(look, error), None, error.problems)


def _outrun(look: Callable[[], Report], error: ConflictError) -> Report:
    """What is out by somebody else's hand. Raises ``error`` where nothing of this incident is."""
    try:
        report = look()
    except PlanError:
        raise error from None
    return replace(report, exit_code=ExitCode.CONFLICT, errors=error.problems)


def _look(look: Callable[[], Report], failure: LedgerError) -> Report:
    """What is out. Raises LedgerError, in doubt, where the ledger that failed cannot even say that."""
    try:
        return look()
    except LedgerError as error:
        problems = dict.fromkeys((*failure.problems, *error.problems, _UNREADABLE))
        raise LedgerError(*problems, exit_code=ExitCode.IN_DOUBT) from None


def _broken_off(report: Report, code: ExitCode | None, problems: Sequence[Problem]) -> Report:
    codes = [report.exit_code, *([code] if code else [])]
    worst = min(codes, key=PRECEDENCE.index)
    return replace(report, exit_code=ExitCode.LEDGER if worst is ExitCode.DONE else worst, errors=problems)


@dataclass
class _Lane:
    """One channel while the run lasts."""

    planned: int
    people: bool
    done: Counter[str] = field(default_factory=Counter)
    is_sending: bool = False
    since: float = 0.0  # of the attempt under way, on the monotonic clock
    reason: str = ""
    told: float = field(default_factory=time.monotonic)
    refusals: Counter[str] = field(default_factory=Counter)  # of people, by reason
    _lately: deque[tuple[float, int]] = field(default_factory=deque)  # how many people were told in each second

    def count(self, state: str, people: int, now: float) -> None:
        """So many more people are told, or will not be."""
        self.done[state] += people
        if self._lately and now - self._lately[-1][0] < 1:
            at, already = self._lately.pop()
            self._lately.append((at, already + people))
            return
        self._lately.append((now, people))
        while self._lately[0][0] < now - LATELY:
            self._lately.popleft()

    def words(self, now: float) -> tuple[str, str]:
        """What to say of it at this moment of the monotonic clock, and in which colour."""
        if self.people:
            done = min(self.done.total(), self.planned) if self.planned else self.done.total()
            share = f"{done:,} of {self.planned:,}" if self.planned else f"{done:,}"
            rate = per_second(self._lately, now)
            fast = speed(rate, seconds_left(max(self.planned - done, 0), rate))
            odd = {_word(state): count for state, count in self.done.items() if state not in _FINE and count}
            return ", ".join([share, *([fast] if fast else []), *(f"{n:,} {word}" for word, n in odd.items())]), "cyan"
        if self.is_sending:
            waited = now - self.since
            return f"sending, {waited:.0f} s" if waited >= 2 else "sending", "cyan"
        if self.done:
            return WORDS[next(iter(self.done))]
        return "waiting", "cyan"


_FINE = {"accepted", "verified", "unchanged"}


def _word(state: str) -> str:
    """What became of people, in small letters."""
    return "not reached" if state == "failed" else WORDS[state][0].lower()


class _Watch:
    """What a run reports to."""

    def __init__(self, channels: Sequence[ChannelReport], bulk: Collection[str]) -> None:
        self.has_begun = False
        self._bulk = bulk
        self._lanes = {channel.channel: _lane(channel) for channel in channels if channel.counts.planned}
        self._mutex = threading.Lock()
        self._is_stopping = False
        self._live: Any = None

    def __enter__(self) -> Self:
        if screen.can_redraw(sys.stderr) and screen.is_unicode(sys.stderr):
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True, highlight=False, markup=False)
            self._live = Live(console=console, refresh_per_second=8, transient=True, get_renderable=self._screen)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the live screen away."""
        if self._live:
            with contextlib.suppress(OSError, ValueError):  # the terminal is gone
                self._live.stop()

    def stopping(self) -> None:
        """Tell that the run was asked to stop."""
        self._is_stopping = True
        if self._live is None:
            screen.note(_STOPPING)

    def note(self, progress: Progress) -> None:
        """Something happened to a delivery."""
        state, now = progress.state.value, time.monotonic()
        with self._mutex:
            self.has_begun |= state == "attempting"
            lane = self._lanes.setdefault(progress.channel, _Lane(0, progress.channel in self._bulk))
            lane.is_sending = state == "attempting"
            if lane.is_sending:
                lane.since = now
            elif not lane.people:
                lane.done = Counter({state: 1})
            elif state != "ready":  # which will be tried again
                lane.count(state, progress.count, now)
            lane.reason = progress.reason or ""
            if lane.people and state == "failed" and (lane.reason in lane.refusals or len(lane.refusals) < _MOST_KEPT):
                lane.refusals[lane.reason] += progress.count
            line = self._line(progress.channel, lane, now)
        if line and self._live is None:
            screen.note(line)

    def _line(self, name: str, lane: _Lane, now: float) -> str | None:
        if lane.is_sending or (lane.people and now - lane.told < _EVERY):
            return None
        lane.told = now
        words = lane.words(now)[0] if lane.people else lane.words(now)[0].lower()
        return f"{name}: {words}{f' ({lane.reason})' if lane.reason and not lane.people else ''}"

    def _screen(self) -> Any:
        """The channels as they stand this moment, each on one line."""
        from rich.console import Group
        from rich.text import Text

        widest = max((len(name) for name in self._lanes), default=0)
        lines = []
        with self._mutex:
            for name, lane in self._lanes.items():
                words, colour = lane.words(time.monotonic())
                line = Text(f"  {name:<{widest}}  ", no_wrap=True, overflow="ellipsis")
                reason = lane.reason if not lane.refusals else ""
                line.append(f"{words:<14}", colour).append(f"  {printable(reason)}" if reason else "")
                lines.append(line)
                for why, count in lane.refusals.most_common(_MOST_REASONS):
                    below = f"  {'':<{widest}}  {count:>7,} refused: {printable(why) or 'no reason given'}"
                    lines.append(Text(below, "yellow", no_wrap=True, overflow="ellipsis"))
        if self._is_stopping:
            lines.append(Text(_STOPPING, "bold yellow", no_wrap=True))
        for line in lines:
            line.truncate(screen.width(err=True) - _SPARE, overflow="ellipsis")
        return Group(*lines)


def _lane(channel: ChannelReport) -> _Lane:
    people = of_people(channel)
    lane = _Lane(channel.counts.planned, people)
    if people:
        done = {"accepted": channel.counts.accepted, "failed": channel.counts.refused}
        lane.done.update({state: count for state, count in done.items() if count})
    elif channel.state.value != "ready":
        lane.done[channel.state.value] = 1
    return lane
