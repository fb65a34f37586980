"""Finds out on a quiet day what would go wrong on a bad one: everything that announcing needs, and publishes nothing.

Every channel is asked in a thread of its own, and all together have ``PATIENCE``; a provider that never answers makes
its own line wrong, and keeps nobody waiting.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from outagecast import audience, plan, playbook, remind, render, sample
from outagecast.audience import Audience
from outagecast.channel import Channel, Inspects
from outagecast.clock import Clock
from outagecast.config import ChannelConfig, Config
from outagecast.errors import (
    AudienceError,
    ChannelError,
    ConfigError,
    ExitCode,
    LedgerError,
    OutagecastError,
    Problem,
    TemplateError,
    Unavailable,
)
from outagecast.ledger import Carried, Past
from outagecast.message import Message
from outagecast.model import State, Status
from outagecast.roll import Group
from outagecast.template import Book
from outagecast.text import clean

PATIENCE = 25.0  # seconds for everything together
LITTLE_ROOM = 64 << 20  # bytes beside the ledger
SKEW, GREAT_SKEW = 5.0, 60.0  # seconds; X, for one, refuses signatures that are minutes off
SOON = timedelta(days=14)  # before a credential ends, so that there is time to make a new one
_MOST_PROBLEMS = 20


class Verdict(StrEnum):
    """How one thing is."""

    OK = "ok"
    WARN = "warn"  # announcing would work today
    WRONG = "wrong"


class Area(StrEnum):
    """What a line is about."""

    CONFIG = "config"
    TEMPLATES = "templates"
    PLAYBOOKS = "playbooks"
    AUDIENCE = "audience"
    LEDGER = "ledger"
    DISK = "disk"
    CHANNEL = "channel"
    CLOCK = "clock"


# Where several things are wrong the first of these is the answer: bad input stops everything, so does the ledger, and
# a credential stops its own channel.
PRECEDENCE: Mapping[ExitCode, frozenset[Area]] = {
    ExitCode.BAD_INPUT: frozenset({Area.TEMPLATES, Area.PLAYBOOKS, Area.AUDIENCE}),
    ExitCode.LEDGER: frozenset({Area.LEDGER, Area.DISK}),
    ExitCode.CONFIG: frozenset({Area.CONFIG, Area.CHANNEL, Area.CLOCK}),
}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was looked at, how it is, and what to do about it."""

    area: Area
    name: str
    verdict: Verdict
    words: str
    fix: str = ""


def judge(items: Sequence[Item]) -> ExitCode:
    """The exit code: 0 if nothing is wrong."""
    wrong = {item.area for item in items if item.verdict is Verdict.WRONG}
    return next((code for code, areas in PRECEDENCE.items() if areas & wrong), ExitCode.DONE)


def as_json(items: Sequence[Item]) -> dict[str, Any]:
    """The items as one JSON object."""
    code = judge(items)
    return {
        "schema_version": 1,
        "exit_code": int(code),
        "exit_name": code.label,
        "items": [{name: str(getattr(item, name)) for name in Item.__slots__} for item in items],
    }


def unusable(error: ConfigError) -> list[Item]:
    """The items of a configuration that cannot be loaded, so that nothing else can be looked at."""
    return [_wrong(Area.CONFIG, "config", problem) for problem in error.problems]


def free_room(folder: Path) -> int:
    """Bytes that this user may still write on the disk of ``folder``."""
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, slots=True)
class _Task:
    area: Area
    name: str
    work: Callable[[], Iterator[Item]]
    required: bool = True


@dataclass
class Check:
    """Looks at everything that announcing on ``channels`` needs."""

    config: Config
    channels: Sequence[ChannelConfig]
    create: Callable[[ChannelConfig], Channel]
    clock: Clock = field(default_factory=Clock)
    room: Callable[[Path], int] = free_room
    patience: float = PATIENCE  # seconds

    def run(self) -> list[Item]:
        """Every item, in the order of a reader's interest. Takes ``patience`` at most."""
        began = time.monotonic()
        tasks = list(self._tasks())
        found: list[list[Item] | None] = [None] * len(tasks)

        def work(number: int) -> None:
            found[number] = _outcome(tasks[number])

        threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(tasks))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, began + self.patience - time.monotonic()))
        items = [self._configuration()]
        for task, its in zip(tasks, list(found), strict=True):
            items += [_required(item, task) for item in (self._silent(task) if its is None else its)]
        return [*items, *self._time(began)]

    def _tasks(self) -> Iterator[_Task]:
        yield _Task(Area.TEMPLATES, "templates", self._templates)
        yield _Task(Area.PLAYBOOKS, "playbooks", self._playbooks)
        for channel in self.channels:
            if channel.is_bulk:
                yield _Task(Area.AUDIENCE, f"audience of {channel.name}", partial(self._audience, channel))
        yield _Task(Area.LEDGER, "ledger", self._ledger)
        yield _Task(Area.DISK, "disk", self._disk)
        if self.config.watch.command or self.config.watch.webhook:
            yield _Task(Area.CONFIG, "watch", self._watch)
        for channel in self.channels:
            yield _Task(Area.CHANNEL, channel.name, partial(self._channel, channel), channel.options.required)

    def _silent(self, task: _Task) -> list[Item]:
        words = f"no answer within {self.patience:g} seconds"
        fix = "is it down, or is a firewall in the way?" if task.area is Area.CHANNEL else "is it on a disk that hangs?"
        return [Item(task.area, task.name, Verdict.WRONG, words, fix)]

    # -- what is written here ------------------------------------------------------------------------------------------

    def _configuration(self) -> Item:
        config = self.config
        off = [channel.name for channel in config.channels.values() if not channel.options.enabled]
        words = f"{config.path}: {_count(len(config.channels), 'channel')}"
        words += f" ({', '.join(off)} switched off)" if off else ""
        return Item(Area.CONFIG, "config", Verdict.OK, f"{words}, in {', '.join(config.organisation.languages)}")

    def _watch(self) -> Iterator[Item]:
        why = remind.unready(self.config.watch, self.config.path.resolve().parent)
        fix = "nobody would be warned before a promised word is late" if why else ""
        yield Item(Area.CONFIG, "watch", Verdict.WARN if why else Verdict.OK, why or "somebody can be warned", fix)

    def _templates(self) -> Iterator[Item]:
        """Every status in every promised language, for the first word and for an update, with many facts and few."""
        now = self.clock.now()
        problems: dict[Problem, None] = {}
        books: dict[str, Book] = {}
        texts = 0
        for status in Status:
            for full in (True, False):
                said = sample.message(status, now, full=full, languages=self.config.organisation.languages[1:])
                drawn = self._drawn(said, now, is_update=full)
                texts += sum(len(channel.languages_needed) for channel in drawn.channels)
                try:
                    render.variants(drawn, self.config.templates, books)
                except TemplateError as error:
                    problems |= dict.fromkeys(error.problems)
        for problem in list(problems)[:_MOST_PROBLEMS]:
            yield _wrong(Area.TEMPLATES, "templates", problem)
        if len(problems) > _MOST_PROBLEMS:
            more = f"and {len(problems) - _MOST_PROBLEMS} more problems"
            yield Item(Area.TEMPLATES, "templates", Verdict.WRONG, more, "correct the first ones, then check again")
        if not problems:
            words = f"{texts} sample texts on {_count(len(self.channels), 'channel')}, every status: all fit"
            yield Item(Area.TEMPLATES, "templates", Verdict.OK, words)

    def _playbooks(self) -> Iterator[Item]:
        """Every pre-agreed message, as a new one would be with its placeholders filled."""
        now = self.clock.now().astimezone(self.config.organisation.timezone)
        books: dict[str, Book] = {}

        def attempt(said: Message) -> None:
            # Nobody hears a last word who did not hear the first.
            drawn = self._drawn(said, now, is_update=said.status.is_closing)
            render.variants(drawn, self.config.templates, books)

        count, found = playbook.examine(self.config, now, attempt)
        for name, problem, is_wrong in found:
            item = _wrong(Area.PLAYBOOKS, name, problem)
            yield item if is_wrong else replace(item, verdict=Verdict.WARN)
        if not found:
            words = f"{_count(count, 'playbook')} on {_count(len(self.channels), 'channel')}: all fit"
            yield Item(Area.PLAYBOOKS, "playbooks", Verdict.OK, words)

    def _drawn(self, said: Message, now: datetime, *, is_update: bool) -> plan.Plan:
        """A plan that tells one reader of each language, of whom nobody exists."""
        carried = Carried(0, State.ACCEPTED, "")
        readers = {
            channel.name: tuple(
                Group(language, carried if is_update else None, name=f"reader-{language}")
                for language in channel.options.languages or ()
            )
            for channel in self.channels
            if channel.is_bulk
        }
        posts = {
            (channel.name, "", language): carried
            for channel in self.channels
            for language in channel.options.languages or ()
            if not channel.is_bulk
        }
        return plan.draw(
            said,
            self.config,
            audiences={name: Audience(people) for name, people in readers.items()},
            past=Past(said.incident, (), posts if is_update else {}),
            only=[channel.name for channel in self.channels],
            now=now,
        )

    def _audience(self, channel: ChannelConfig) -> Iterator[Item]:
        column, name = channel.adapter.addresses, f"audience of {channel.name}"
        path = self.config.audiences[channel.options.audience or ""].file
        try:
            listing = audience.of(channel, self.config)
        except AudienceError as error:
            yield from (_wrong(Area.AUDIENCE, name, problem) for problem in error.problems)
            return
        rows, read = listing.rows, listing.roll.languages
        words = f"{_count(listing.roll.count, 'person', 'people')} with {column}"
        promised = channel.options.languages or ()
        words += f" ({', '.join(f'{read[code]:,} {code}' for code in promised)})" if len(promised) > 1 else ""
        words += f", {rows.without:,} without" if rows.without else ""
        words += f", {rows.duplicates:,} twice" if rows.duplicates else ""
        words += f", {rows.unselected:,} not selected" if rows.unselected else ""
        words += f", {rows.elsewhere.total():,} of other countries" if rows.elsewhere else ""
        if rows.bad:
            words += f", {_count(rows.bad, 'row')} left out; the first: {rows.problems[0].message}"
            fix = f"correct {rows.problems[0].file}:{rows.problems[0].line}"
            yield Item(Area.AUDIENCE, name, Verdict.WARN, words, fix)
        elif not listing.roll.count:
            yield Item(Area.AUDIENCE, name, Verdict.WARN, f"nobody in {path} has an address for it", f"fill in {path}")
        else:
            yield Item(Area.AUDIENCE, name, Verdict.OK, words)

    # -- the record ----------------------------------------------------------------------------------------------------

    @property
    def _ledger_path(self) -> Path:
        return Path(self.config.ledger.removeprefix("sqlite:///"))

    def _ledger(self) -> Iterator[Item]:
        """Whether it can be written safely; where there is none yet, whether one could be, and none is made."""
        from outagecast.ledger.lock import held_by

        path = self._ledger_path
        exists = path.exists()
        try:
            if exists:
                _inspect(path)
            else:
                with tempfile.TemporaryDirectory(prefix=".outagecast-", dir=path.parent) as folder:
                    _inspect(Path(folder, "trial.db"))
        except LedgerError as error:
            yield _wrong(Area.LEDGER, "ledger", error.problems[0])
            return
        except OSError as error:
            words = f"no ledger can be made in {path.parent}: {error.strerror}"
            fix = f"mkdir -p {path.parent}" if isinstance(error, FileNotFoundError) else "change its owner or rights"
            yield Item(Area.LEDGER, "ledger", Verdict.WRONG, words, fix)
            return
        holder, alive = held_by(path)
        if alive:
            yield Item(Area.LEDGER, "ledger", Verdict.WARN, f"{holder} is announcing from {path}", "wait for it")
        elif holder:
            words = f"{holder} was announcing from {path}, and did not come to the end"
            yield Item(Area.LEDGER, "ledger", Verdict.WARN, words, "look: outagecast status")
        else:
            words = str(path) if exists else f"{path} can be made, by the first announcement"
            yield Item(Area.LEDGER, "ledger", Verdict.OK, words)

    def _disk(self) -> Iterator[Item]:
        folder = self._ledger_path.parent
        if not folder.is_dir():
            return  # the ledger's own line says so
        room = self.room(folder)
        if room < LITTLE_ROOM:
            words = f"only {_size(room)} free beside the ledger, and a full disk stops an announcement"
            yield Item(Area.DISK, "disk", Verdict.WARN, words, f"make room on the disk of {folder}")
        else:
            yield Item(Area.DISK, "disk", Verdict.OK, f"{_size(room)} free beside the ledger")

    # -- the world outside ---------------------------------------------------------------------------------------------

    def _channel(self, config: ChannelConfig) -> Iterator[Item]:
        adapter = self.create(config)
        try:
            adapter.check()
            yield self._grant(config, adapter)
        except Unavailable as error:
            # Asked too often, which says nothing of announcing; anything else would keep a post from going out now.
            verdict = Verdict.WARN if error.retry_after is not None else Verdict.WRONG
            wait = f"; ask again in {error.retry_after:.0f} s" if error.retry_after else ""
            problem = error.problems[0]
            yield Item(Area.CHANNEL, config.name, verdict, problem.message + wait, problem.hint or "is it down?")
        except (ChannelError, ConfigError) as error:
            item = _wrong(Area.CHANNEL, config.name, error.problems[0])
            called = f"{item.fix}; call {config.options.owner}" if config.options.owner else item.fix
            yield replace(item, fix=called.removeprefix("; "))
        finally:
            adapter.close()

    def _grant(self, config: ChannelConfig, adapter: Channel) -> Item:
        """What the credentials are good for, where the provider tells."""
        try:
            grant = adapter.inspect() if isinstance(adapter, Inspects) else None
        except ChannelError as error:
            words = f"ready, but when the credentials end could not be found out: {error.problems[0].message}"
            return Item(Area.CHANNEL, config.name, Verdict.WARN, words, "check again later")
        if grant is None:
            return Item(Area.CHANNEL, config.name, Verdict.OK, "ready")
        if grant.lacks:
            words = f"the credentials may not publish: they lack {', '.join(grant.lacks)}"
            fix = f"make them anew with {' and '.join(grant.lacks)}: docs/channels/{config.kind}.md"
            return Item(Area.CHANNEL, config.name, Verdict.WRONG, words, fix)
        if grant.expires_at is None:
            return Item(Area.CHANNEL, config.name, Verdict.OK, "ready; the credentials do not end by themselves")
        left, day = grant.expires_at - self.clock.now(), f"{grant.expires_at:%Y-%m-%d}"
        words = f"ready; the credentials end on {day}, in {_count(max(left.days, 0), 'day')}"
        if left > SOON:
            return Item(Area.CHANNEL, config.name, Verdict.OK, words)
        fix = f"make new ones now: docs/channels/{config.kind}.md"
        return Item(Area.CHANNEL, config.name, Verdict.WARN, words, fix)

    def _time(self, began: float) -> Iterator[Item]:
        """Our clock against those of the servers that answered."""
        from outagecast import transport

        told = transport.clocks(since=began)
        if not told:
            return
        # The one that agrees with us most: where our clock is wrong all say so, where one says so it is theirs.
        host, ahead = min(told.items(), key=lambda pair: abs(pair[1]))
        words = f"{abs(ahead):.0f} seconds {'ahead of' if ahead > 0 else 'behind'} {host}"
        fix = "set this computer's clock by the network (NTP)"
        if abs(ahead) > GREAT_SKEW:
            yield Item(Area.CLOCK, "clock", Verdict.WRONG, words, fix)
        elif abs(ahead) > SKEW:
            yield Item(Area.CLOCK, "clock", Verdict.WARN, words, fix)
        else:
            yield Item(Area.CLOCK, "clock", Verdict.OK, f"agrees with {host} to within {SKEW:g} seconds")


def _outcome(task: _Task) -> list[Item]:
    try:
        return list(task.work())
    except OutagecastError as error:
        return [_wrong(task.area, task.name, problem) for problem in error.problems]
    except Exception as error:  # noqa: BLE001 - it is one line that is wrong, and not the others
        words = clean(f"{type(error).__name__}: {error}")
        return [Item(task.area, task.name, Verdict.WRONG, words, "this is a bug: report it")]


def _required(item: Item, task: _Task) -> Item:
    """What is wrong with a channel that need not work is only worth a warning."""
    if task.required or item.verdict is not Verdict.WRONG:
        return item
    return replace(item, verdict=Verdict.WARN, words=f"{item.words} (not required)")


def _wrong(area: Area, name: str, problem: Problem) -> Item:
    place = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part is not None)
    words = f"{place}: {problem.message}" if place else problem.message
    return Item(area, name, Verdict.WRONG, words, problem.hint)


def _inspect(path: Path) -> None:
    """Raises LedgerError where nothing could be sent from this ledger."""
    from outagecast.ledger.sqlite import SqliteLedger

    with closing(SqliteLedger(path)) as ledger:
        ledger.inspect()


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def _size(size: int) -> str:
    mebibytes = size / (1 << 20)
    return f"{mebibytes / 1024:,.0f} GiB" if mebibytes >= 10240 else f"{mebibytes:,.0f} MiB"
