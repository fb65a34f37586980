"""How well an incident was told, once it is over: time to the first word, silences, promises kept. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from outagecast.config import Promise
from outagecast.ledger import Update
from outagecast.promises import Cell, Course, Due, Row, follows, is_meant, next_due, stamp


class ChannelScore(NamedTuple):
    """How one channel was served, once all is over. Times in seconds."""

    channel: str
    required: bool
    first_word_s: int | None  # after the start
    first_word_kept: bool | None  # None where no start is known, or nothing was owed
    longest_gap_s: int | None  # between two words
    promised: int  # words that were promised for a time, the first among them
    kept: int


class Score(NamedTuple):
    """How an incident was told, once it is over. Times in seconds, counts over the channels that are required."""

    started_at: datetime | None
    closed_at: datetime
    first_word_s: int | None  # after the start, on the first channel
    everywhere_s: int | None  # and on the last; None where one never spoke
    longest_gap_s: int | None  # on the channels that carry updates in between
    promised: int
    kept: int
    channels: Sequence[ChannelScore]

    def as_json(self) -> dict[str, Any]:
        """The score as one object."""
        return {
            **self._asdict(),
            "started_at": stamp(self.started_at),
            "closed_at": stamp(self.closed_at),
            "channels": [channel._asdict() for channel in self.channels],
        }


def scored(course: Course) -> Course:
    """The course with its score, where it is over."""
    return course if course.is_open else replace(course, score=_score(course))


def _score(course: Course) -> Score:
    updates = course.updates
    start = course.started_at
    rows = [row for row in course.rows if row.on is not None and (row.required or row.carries)]
    channels = [_channel_score(row, updates, course.promise) for row in rows]
    counted = [channel for channel in channels if channel.required]
    # Those that carry nothing between the first word and the last are not silent, but quiet.
    talking = [one for row, one in zip(rows, channels, strict=True) if one.required and follows(updates[0], row.on)]
    firsts = [channel.first_word_s for channel in counted if channel.first_word_kept is not None]
    heard = [seconds for seconds in firsts if seconds is not None]
    return Score(
        started_at=start,
        closed_at=_closing(updates).opened_at,
        first_word_s=min(heard, default=None),
        everywhere_s=max(heard, default=None) if len(heard) == len(firsts) else None,
        longest_gap_s=max((channel.longest_gap_s for channel in talking if channel.longest_gap_s), default=None),
        promised=sum(channel.promised for channel in counted),
        kept=sum(channel.kept for channel in counted),
        channels=channels,
    )


def _closing(updates: Sequence[Update]) -> Update:
    """The update that closed the incident; what follows it is a follow-up."""
    closing = updates[-1]
    for update in updates[::-1]:
        if not update.status.is_closing:
            break
        closing = update
    return closing


def _channel_score(row: Row, updates: Sequence[Update], promise: Promise) -> ChannelScore:
    words = list(_words(row.cells))
    start, first = updates[-1].started_at, words[0][1] if words else None
    is_owed = any(is_meant(row.on, row.cells, update, carries=False) for update in updates)
    first_kept = None
    if start and is_owed:
        first_kept = first is not None and first <= start + promise.first_announcement
    kept, promised = int(first_kept or 0), int(first_kept is not None)
    for due, answer in _promises(row, updates, promise):
        promised += 1
        kept += answer is not None and answer <= due.at
    last = _closing(updates).number
    gaps = [later - earlier for (_, earlier), (number, later) in itertools.pairwise(words) if number <= last]
    return ChannelScore(
        channel=row.channel,
        required=row.required,
        first_word_s=_seconds(first - start) if first and start else None,
        first_word_kept=first_kept,
        longest_gap_s=_seconds(max(gaps)) if gaps else None,
        promised=promised,
        kept=kept,
    )


def _words(cells: Mapping[int, Cell]) -> Iterator[tuple[int, datetime]]:
    """Each update that a channel carried, and when it first did."""
    for number in sorted(cells):
        if at := cells[number].first_at:
            yield number, at


def _promises(row: Row, updates: Sequence[Update], promise: Promise) -> Iterator[tuple[Due, datetime | None]]:
    """Each promise that was made on a channel, and when it was answered there; None if it never was."""
    words = dict(_words(row.cells))
    for number in words:
        update = updates[number - 1]
        due = next_due(update, promise)
        if due is None or not follows(update, row.on):
            continue
        answers = [at for later, at in words.items() if later > number]
        # What was passed over there on purpose broke nothing.
        answers += [
            updates[later - 1].opened_at for later, cell in row.cells.items() if later > number and cell.is_passed_over
        ]
        yield due, min(answers, default=None)


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())
