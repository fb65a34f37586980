"""``watch``: what is open, on the screen until it is over, and a warning before a promised word is late."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from outagecast.cli import Invocation, complete, output, screen, sheet
from outagecast.errors import ExitCode, LedgerError, Problem, UsageError
from outagecast.text import printable

if TYPE_CHECKING:
    from outagecast.app import App, Watched
    from outagecast.promises import Course
    from outagecast.remind import Reminder
    from outagecast.report import ChannelReport

SCHEMA_VERSION = 1
_EVERY = 5.0  # seconds between two looks into the ledger
_TICK = 1.0  # seconds between two drawings of the clocks
_REST = 20  # times as long as the last look took, at least, to the next: a million deliveries take a second to count


@click.command(short_help="Keep it on the screen, and warn before a promised word is late.")
@click.argument("incident", required=False, shell_complete=complete.incidents)
@click.option("--once", is_flag=True, help="Look once, warn of what is due, and end: for cron.")
@click.option(
    "--every",
    type=click.FloatRange(min=1, max=3600),
    default=_EVERY,
    metavar="SECONDS",
    envvar="OUTAGECAST_EVERY",
    help="How often the ledger is looked at [default: 5].",
)
@click.option("--json", "wants_json", is_flag=True, help="With --once: one JSON object on standard output.")
@click.pass_obj
def watch(invocation: Invocation, incident: str | None, once: bool, every: float, wants_json: bool) -> int:
    """Keep every open incident on the screen until Ctrl-C: what each channel carries, and what is due when.

    Before a promised word is late the terminal rings, and the command and the webhook of `watch:` in the
    configuration are called, once for each deadline. Nothing is published.

    \b
    Examples:
      outagecast watch
      outagecast watch --once --json        from cron; ends with 24 while a word is late
    """
    if wants_json and not once:
        raise UsageError(Problem("--json goes with --once", "outagecast watch --once --json"))
    with ExitStack() as stack:
        desk = _Desk(invocation, incident, stack)
        if once:
            return desk.once(wants_json=wants_json)
        return desk.stay(every)


@dataclass
class _Desk:
    """The one who watches."""

    invocation: Invocation
    incident: str | None
    stack: ExitStack
    notes: list[str] = field(default_factory=list)  # what went wrong with warning, the last few
    crowds: Mapping[str, Sequence[ChannelReport]] = field(default_factory=dict)  # as last seen, by incident

    def __post_init__(self) -> None:
        self._rung: set[str] = set()
        self._ledger: tuple[int, int] | None = None
        self._warner: threading.Thread | None = None
        self.app = self._open()
        self.stack.callback(self.close)

    def close(self) -> None:
        """Let go of the ledger; which may be another one by now."""
        self.app.close()

    def _open(self) -> App:
        from outagecast import app
        from outagecast.person import operator

        its = app.start(self.invocation.config, operator())
        self._ledger = _identity(its.ledger_path)
        return its

    @property
    def zone(self) -> ZoneInfo:
        return self.app.config.organisation.timezone

    @property
    def reminder(self) -> Reminder:
        from outagecast.ledger.witness import beside
        from outagecast.remind import Reminder

        folder = self.app.config.path.resolve().parent
        return Reminder(self.app.config.watch, folder, beside(self.app.ledger_path, ".warned"), self.zone)

    def look(self) -> Watched:
        """What is open now. The ledger may have been made, or put back, since we last looked."""
        if _identity(self.app.ledger_path) != self._ledger:
            self.app.close()
            self.app = self._open()
        seen = self.app.watched(self.incident)
        self.crowds = seen.crowds
        return seen

    def deadlines(self, courses: Sequence[Course]) -> list[Any]:
        """What is due so soon that somebody should hear of it."""
        from outagecast.remind import near

        return near([course for course in courses if course.is_open], self.app.config.watch.warn_before)

    # -- once ---------------------------------------------------------------------------------------------------------

    def once(self, *, wants_json: bool) -> int:
        """Look, warn, tell. Raises LedgerError."""
        seen = self.look()
        now = self.app.clock.now()
        warnings = [*seen.warnings, *self.reminder.remind(self.deadlines(seen.courses), now)]
        code = ExitCode.OVERDUE if any(course.overdue for course in seen.courses) else ExitCode.DONE
        output.advice(warnings, verbose=True)
        if wants_json:
            sheet.dump(
                {
                    "schema_version": SCHEMA_VERSION,
                    "exit_code": int(code),
                    "exit_name": code.label,
                    "overdue": code is ExitCode.OVERDUE,
                    "next_due_at": _soonest(seen.courses),
                    "incidents": [course.as_json() for course in seen.courses],
                    "warnings": warnings,
                }
            )
            return code
        sheet.show(self.lines(seen.courses, screen.width()))
        return code

    # -- until it is over ---------------------------------------------------------------------------------------------

    def stay(self, every: float) -> int:
        """Draw until somebody ends it: 130 or 143."""
        from outagecast.control import Control

        control = Control()
        live = screen.can_redraw(sys.stdout) and screen.is_unicode(sys.stdout)
        view = _Live() if live else _Plain()
        with self.invocation.signals.draining(control, lambda: None), view:
            seen, looked, pause = None, None, every
            while not control.stop.is_set():
                now = self.app.clock.now()
                if looked is None or not 0 <= (now - looked).total_seconds() < pause:
                    began = time.monotonic()
                    seen, looked = self._glance(seen), now
                    pause = max(every, (time.monotonic() - began) * _REST)
                if seen is not None:
                    self._warn(seen.courses, view, now)
                    view.show(self, seen, now)
                self.app.clock.wait(_TICK, control.stop)
        return control.interrupted or ExitCode.INTERRUPTED

    def _glance(self, before: Watched | None) -> Watched | None:
        """Look; what cannot be read at this moment is told and looked at again, unless it never could."""
        try:
            return self.look()
        except LedgerError as error:
            if before is None:
                raise
            return before._replace(warnings=[f"{error.problems[0].message}: this is how it was before"])

    def _warn(self, courses: Sequence[Course], view: _Live | _Plain, now: datetime) -> None:
        """Ring once for each deadline on every screen; the command and the webhook once for all of them."""
        due = self.deadlines([course.at(now) for course in courses])
        if fresh := {deadline.key for deadline in due} - self._rung:
            self._rung |= fresh
            view.ring()
        reminder = self.reminder
        if not due or not reminder.outlets or (self._warner and self._warner.is_alive()):
            return

        def warn() -> None:
            self.notes = [*self.notes, *reminder.remind(due, now)][-3:]

        # A slow webhook must not stop the clocks.
        self._warner = threading.Thread(target=warn, daemon=True)
        self._warner.start()

    def lines(self, courses: Sequence[Course], columns: int, rows: int | None = None) -> Iterator[str]:
        """Every incident, the most urgent first; the last ones in a line each where there are not ``rows`` for all."""
        from outagecast.cli import matrix

        if not courses:
            yield "Nothing is open."
            return
        left = rows
        for number, course in enumerate(sorted(courses, key=_urgency)):
            head = f"{course.incident}  update {course.newest.number}  {course.newest.status.value}"
            block = [click.style(head, bold=True), *matrix.lines(course, self.zone, columns)]
            for channel in self.crowds.get(course.incident, ()):
                block += screen.wrap(output.crowd(channel, course.incident, self.zone), columns)
            if left is not None and number and len(block) + 1 > left:
                yield from screen.wrap(matrix.brief(course, self.zone), columns)
                left -= 1
                continue
            if number:
                yield ""
            yield from block
            if left is not None:
                left -= len(block) + bool(number)


class _Live:
    """A terminal: drawn over, on a screen of its own that is gone afterwards."""

    def __enter__(self) -> _Live:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(highlight=False, markup=False)
        self._live = Live(console=self._console, screen=True, auto_refresh=False, vertical_overflow="crop")
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def ring(self) -> None:
        self._console.bell()

    def show(self, desk: _Desk, seen: Watched, now: datetime) -> None:
        from rich.console import Group
        from rich.text import Text

        columns, rows = min(self._console.width, 100), self._console.height
        courses = [course.at(now) for course in seen.courses]
        foot = [f"! {printable(words)}" for words in [*seen.warnings, *desk.notes]]
        foot = [click.style(line, fg="yellow") for words in foot for line in screen.wrap(words, columns)]
        head = _head(desk, courses, now, columns)
        body = list(desk.lines(courses, columns, rows - len(foot) - 4))
        drawn = [head, "", *body, *([""] if foot else []), *foot]
        self._live.update(Group(*(Text.from_ansi(line, no_wrap=True) for line in drawn)), refresh=True)


class _Plain:
    """No terminal: all of it again whenever something has changed, and never because time has passed."""

    def __enter__(self) -> _Plain:
        self._before: object = None
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ring(self) -> None:
        pass

    def show(self, desk: _Desk, seen: Watched, now: datetime) -> None:
        courses = [course.at(now) for course in seen.courses]
        held = [(channel.channel, channel.held) for crowd in seen.crowds.values() for channel in crowd]
        rows = [(course.updates, course.rows) for course in courses]
        stands = (rows, held, list(seen.warnings), list(desk.notes))
        if stands == self._before:
            return
        is_first, self._before = self._before is None, stands
        if not is_first:
            screen.write("")
        screen.write(f"{now.astimezone(desk.zone):%Y-%m-%d %H:%M:%S %z}")
        for words in [*seen.warnings, *desk.notes]:
            screen.note(f"! {words}")
        sheet.show(desk.lines(courses, screen.width()))


def _head(desk: _Desk, courses: Sequence[Course], now: datetime, columns: int) -> str:
    from outagecast.wording import Wording

    late = sum(course.overdue for course in courses)
    count = f"{len(courses)} open" if courses else "nothing open"
    told = f"outagecast watch   {count}{f', {late} OVERDUE' if late else ''}"
    clock = f"{now.astimezone(desk.zone):%H:%M:%S} {Wording('en', desk.zone, now).zone_name}   Ctrl-C ends"
    gap = " " * max(3, columns - len(told) - len(clock))
    return click.style(f"{told}{gap}{clock}", bold=True, fg="red" if late else None)


def _soonest(courses: Sequence[Course]) -> str | None:
    dues = [course.next_due_at for course in courses if course.next_due_at]
    return min(dues).isoformat(timespec="seconds") if dues else None


def _urgency(course: Course) -> tuple[bool, datetime]:
    return (course.next_due_at is None, course.next_due_at or datetime.max.replace(tzinfo=UTC))


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
