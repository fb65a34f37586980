"""What was promised about being told, and what is due: an incident channel by channel, with its clocks.

Everything is judged on each channel: a word that went out on one of them is none to those who read another. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from outagecast.channel import FIRST
from outagecast.config import Promise
from outagecast.ledger import Heard, Update
from outagecast.message import parse_moment
from outagecast.model import DOUBTFUL, PUBLISHED, State, Status

if TYPE_CHECKING:
    from outagecast.score import Score

_CARRIED = (PUBLISHED - {State.MISSING}) | {State.UNCHANGED}
_RUNNING = frozenset({Status.INVESTIGATING, Status.IDENTIFIED, Status.MONITORING})
# What the next word can be while nothing is over: a channel that takes none of these is promised nothing.
_FOLLOWING = {
    Status.SCHEDULED: frozenset({Status.IN_PROGRESS}),
    Status.IN_PROGRESS: frozenset({Status.IN_PROGRESS, Status.COMPLETED}),
}


class Word(StrEnum):
    """Which word is due."""

    FIRST = "first_word"
    NEXT = "next_update"
    BEGIN = "window_start"  # that the planned work has begun
    END = "window_end"  # that it is done, or takes longer


class Standing(StrEnum):
    """How a channel stands beside the incident's newest update."""

    CURRENT = "current"  # carries what it should
    UNKNOWN = "unknown"  # may carry it
    STALE = "stale"  # carries something older
    SILENT = "silent"  # carries nothing
    APART = "apart"  # was to carry nothing of it


class Due(NamedTuple):
    """A word that somebody waits for."""

    at: datetime
    word: Word


class Cell(NamedTuple):
    """One update on one channel."""

    state: State  # of many recipients the worst
    planned: int = 0
    out: int = 0  # how many of them carry it
    in_doubt: int = 0
    first_at: datetime | None = None  # when the first of them got it
    last_at: datetime | None = None

    @property
    def is_complete(self) -> bool:
        """Whether everybody who was to carry it does."""
        return 0 < self.planned == self.out

    @property
    def is_passed_over(self) -> bool:
        """Whether it was never meant for this channel."""
        return self.state is State.SKIPPED


class Party(NamedTuple):
    """A channel as far as promises concern it."""

    name: str
    required: bool = True
    on: Collection[str] | None = None  # the statuses it carries; None where it is not configured any more
    is_public: bool = False  # then what is counted are posts


@dataclass(frozen=True, slots=True)
class Row:
    """One channel through an incident."""

    channel: str
    required: bool
    on: Collection[str] | None  # as in Party
    standing: Standing
    cells: Mapping[int, Cell]  # by the number of the update
    carries: int | None = None
    since: datetime | None = None
    due: Due | None = None
    overdue: bool = False
    is_public: bool = False  # as in Party

    def as_json(self) -> dict[str, Any]:
        """The row as one object."""
        return {
            "channel": self.channel,
            "required": self.required,
            "standing": self.standing.value,
            "carries": self.carries,
            "since": stamp(self.since),
            "state": self.cells[max(self.cells)].state.value if self.cells else None,
            "due_at": stamp(self.due.at if self.due else None),
            "overdue": self.overdue,
        }


@dataclass(frozen=True, slots=True)
class Course:
    """An incident so far: what each channel carries since when, what is due, and the score once it is over."""

    incident: str
    updates: Sequence[Update]
    rows: Sequence[Row]
    promise: Promise
    now: datetime
    score: Score | None = None
    _by_name: dict[str, Row] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {row.channel: row for row in self.rows})

    def row(self, channel: str) -> Row | None:
        """A channel's row."""
        return self._by_name.get(channel)

    @property
    def newest(self) -> Update:
        return self.updates[-1]

    @property
    def started_at(self) -> datetime | None:
        """When it began, as last told."""
        return self.newest.started_at

    @property
    def dues(self) -> dict[Due, list[Row]]:
        """What the required channels wait for, the soonest first."""
        found: dict[Due, list[Row]] = {}
        for row in self.rows:
            if row.due and row.required:
                found.setdefault(row.due, []).append(row)
        return dict(sorted(found.items(), key=lambda pair: pair[0]))

    @property
    def next_due_at(self) -> datetime | None:
        """When the next word is, or was, due."""
        return next((due.at for due in self.dues), None)

    @property
    def overdue(self) -> bool:
        """Whether a required channel waits for a word that was promised."""
        return any(row.overdue and row.required for row in self.rows)

    def at(self, now: datetime) -> Course:
        """The same a moment later: clocks move where nothing else does."""
        rows = [replace(row, overdue=row.due is not None and now > row.due.at) for row in self.rows]
        return replace(self, rows=rows, now=now)

    @property
    def is_open(self) -> bool:
        """Whether more is to be said."""
        return not self.newest.status.is_closing

    @property
    def lagging(self) -> list[Row]:
        """The required channels that carry something older than they should, or perhaps do."""
        return [row for row in self.rows if row.required and row.standing in {Standing.STALE, Standing.UNKNOWN}]

    @property
    def silent(self) -> list[Row]:
        """The channels that were to carry it and on which it was never announced."""
        return [row for row in self.rows if row.standing is Standing.SILENT and not row.cells]

    def updates_json(self) -> list[dict[str, Any]]:
        """Every update, the first one first."""
        return [
            {
                "update": update.number,
                "status": update.status.value,
                "opened_at": stamp(update.opened_at),
                "opened_by": update.opened_by,
                "next_update_at": stamp(update.next_update_at),
            }
            for update in self.updates
        ]

    def as_json(self) -> dict[str, Any]:
        """The incident as ``watch`` tells it."""
        return {
            "incident": self.incident,
            "update": self.newest.number,
            "status": self.newest.status.value,
            "overdue": self.overdue,
            "next_due_at": stamp(self.next_due_at),
            "channels": [row.as_json() for row in self.rows],
        }


def course(
    updates: Sequence[Update],
    cells: Mapping[str, Mapping[int, Cell]],
    parties: Iterable[Party],
    promise: Promise,
    now: datetime,
) -> Course:
    """An incident's course out of its updates (at least one) and what became of each on every channel."""
    parties, updates = list(parties), [_absolute(update) for update in updates]
    spoken = {number for mine in cells.values() for number, cell in mine.items() if cell.out}
    rows = [_row(party, cells.get(party.name, {}), updates, promise, now, spoken=spoken) for party in parties]
    return Course(updates[-1].incident, updates, rows, promise, now)


def _absolute(update: Update) -> Update:
    """With its times in UTC: by a local clock an hour would not last an hour in the night when it is changed."""
    times = {name: getattr(update, name) for name in ("opened_at", "started_at", "next_update_at")}
    return replace(update, **{name: time.astimezone(UTC) for name, time in times.items() if time})


def cells(heard: Iterable[Heard], worst: Mapping[tuple[str, int], State]) -> dict[str, dict[int, Cell]]:
    """The matrix, by channel and update; ``worst`` is the state of each."""
    groups: dict[tuple[str, int], list[Heard]] = {}
    for item in heard:
        groups.setdefault((item.channel, item.number), []).append(item)
    matrix: dict[str, dict[int, Cell]] = {}
    for (channel, number), items in groups.items():
        told = [item for item in items if item.state in PUBLISHED | {State.UNCHANGED}]
        matrix.setdefault(channel, {})[number] = Cell(
            state=worst[channel, number],
            planned=sum(item.count for item in items if item.state is not State.SKIPPED),
            out=sum(item.count for item in items if item.state in _CARRIED),
            in_doubt=sum(item.count for item in items if item.state in DOUBTFUL),
            first_at=min((item.first_at for item in told), default=None),
            last_at=max((item.last_at for item in told), default=None),
        )
    return matrix


# -- one channel ----------------------------------------------------------------------------------------------------


def _row(
    party: Party,
    cells: Mapping[int, Cell],
    updates: Sequence[Update],
    promise: Promise,
    now: datetime,
    *,
    spoken: Collection[int],
) -> Row:
    carries = max((number for number, cell in cells.items() if cell.out), default=None)
    due = _due(party, cells, updates, promise, spoken=spoken)
    return Row(
        channel=party.name,
        required=party.required,
        on=party.on,
        standing=_standing(party, cells, updates, carries),
        cells=cells,
        carries=carries,
        since=cells[carries].first_at if carries else None,
        due=due,
        overdue=due is not None and now > due.at,
        is_public=party.is_public,
    )


def _standing(party: Party, cells: Mapping[int, Cell], updates: Sequence[Update], carries: int | None) -> Standing:
    """A channel stands where it should if nothing newer than what it carries was meant for it."""
    meant = [update.number for update in updates if is_meant(party.on, cells, update, carries=bool(carries))]
    doubtful = [number for number, cell in cells.items() if cell.in_doubt]
    if carries is None:
        if doubtful:
            return Standing.UNKNOWN
        return Standing.SILENT if meant else Standing.APART
    newer = [number for number in meant if number > carries]
    if not newer:
        return Standing.CURRENT
    return Standing.UNKNOWN if max(newer) in doubtful else Standing.STALE


def is_meant(on: Collection[str] | None, cells: Mapping[int, Cell], update: Update, *, carries: bool) -> bool:
    """Whether a channel was to carry an update: as it was planned there, else by the statuses that it takes."""
    if cell := cells.get(update.number):
        return not cell.is_passed_over
    if on is None or (update.status.is_closing and not carries):
        return False
    return update.status in on or (not carries and FIRST in on)


def _due(
    party: Party,
    cells: Mapping[int, Cell],
    updates: Sequence[Update],
    promise: Promise,
    *,
    spoken: Collection[int],
) -> Due | None:
    """What a channel's readers wait for; None where nothing was promised to them, or all is over."""
    newest = updates[-1]
    if newest.status.is_closing or party.on is None:
        return None
    opening = _reopening(updates)
    reached = _reached(cells)
    if reached is not None and reached >= opening.number:
        return next_due(updates[reached - 1], promise) if follows(newest, party.on) else None
    if FIRST not in party.on and newest.status not in party.on:
        return None
    start = newest.started_at if opening.number == 1 else opening.opened_at
    if start:
        return Due(start + promise.first_announcement, Word.FIRST)
    # When it began is not known, but others were promised when they would hear more.
    return next_due(newest, promise) if any(number >= opening.number for number in spoken) else None


def _reached(cells: Mapping[int, Cell]) -> int | None:
    """The newest update that a channel has dealt with: it carries it, or was passed over after it had spoken."""
    first = min((number for number, cell in cells.items() if cell.out), default=None)
    if first is None:
        return None
    return max(number for number, cell in cells.items() if number >= first and (cell.out or cell.is_passed_over))


def _reopening(updates: Sequence[Update]) -> Update:
    """The update that opened what is open now: the first, or the one after the last closing one."""
    closings = [index for index, update in enumerate(updates[:-1]) if update.status.is_closing]
    return updates[closings[-1] + 1] if closings else updates[0]


def next_due(update: Update, promise: Promise) -> Due | None:
    """What an update promised to be followed by; None for one that closes, or plans without a window."""
    if update.status.is_closing:
        return None
    begin, end = window(update)
    dues = [Due(update.next_update_at, Word.NEXT)] if update.next_update_at else []
    if update.status is Status.SCHEDULED:
        # What was said after the window had opened answers for itself that it did not begin.
        if begin and update.opened_at < begin:
            dues.append(Due(begin, Word.BEGIN))
        elif not dues and not begin:
            return None  # work without a date promises no word every half hour
    elif update.status is Status.IN_PROGRESS and end and update.opened_at < end:
        dues.append(Due(end, Word.END))
    return min(dues, default=Due(update.opened_at + promise.update_every, Word.NEXT))


def follows(update: Update, on: Collection[str] | None) -> bool:
    """Whether a channel that takes the statuses ``on`` would carry the next word after an update."""
    return bool(_FOLLOWING.get(update.status, _RUNNING) & set(on or ()))


def window(update: Update) -> tuple[datetime | None, datetime | None]:
    """When planned work begins and ends, as the update said it."""
    written = json.loads(update.written).get("window")
    times = written if isinstance(written, dict) else {}
    return tuple(parse_moment(times[name]) if times.get(name) else None for name in ("start", "end"))  # type: ignore[return-value]


def stamp(time: datetime | None) -> str | None:
    """For machines: with its offset, in whole seconds."""
    return time.isoformat(timespec="seconds") if time else None
