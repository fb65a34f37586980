"""Draws an incident: channels against updates, what each carries since when, the clocks, and the score when it is over.

Colours only underline what the words say: they are taken out where the screen has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from outagecast.cli import screen
from outagecast.cli.words import people
from outagecast.promises import Cell, Row, Standing, Word
from outagecast.remind import WORDS, when
from outagecast.wording import span

if TYPE_CHECKING:
    from outagecast.promises import Course
    from outagecast.score import Score

_CELL = 6  # columns of one update
_SOON = timedelta(minutes=10)
_NAME = 18  # the longest name of a channel that is not cut

# What stands in a cell, in which colour, and what it means.
_SIGNS: Mapping[str, tuple[str, str, str]] = {
    "accepted": ("out", "green", "published"),
    "verified": ("seen", "green", "published, and seen in public"),
    "unchanged": ("same", "green", "the same words stand there already"),
    "part": ("part", "yellow", "out to some"),
    "attempting": ("?", "yellow", "may be out"),
    "in_doubt": ("?", "yellow", "may be out"),
    "needs_decision": ("?", "yellow", "may be out"),
    "mismatch": ("DIFF", "red", "the public sees other words"),
    "missing": ("GONE", "red", "was out, and is not there any more"),
    "failed": ("FAIL", "red", "not published"),
    "ready": ("wait", "cyan", "not sent yet"),
    "superseded": ("past", "cyan", "overtaken before it was sent"),
    "expired": ("late", "red", "too old to be sent"),
    "cancelled": ("off", "cyan", "called off"),
    "skipped": ("-", "", "not for this channel"),
    "": (".", "", "never announced there"),
}
_MARKS = {
    Standing.CURRENT: ("", ""),
    Standing.UNKNOWN: ("UNKNOWN", "yellow"),
    Standing.STALE: ("STALE", "yellow"),
    Standing.SILENT: ("SILENT", "red"),
    Standing.APART: ("", ""),
}


def lines(course: Course, zone: ZoneInfo, columns: int) -> Iterator[str]:
    """The whole picture of one incident, without its name."""
    yield from table(course, zone, columns)
    yield ""
    yield from clocks(course, zone, columns)


def table(course: Course, zone: ZoneInfo, columns: int) -> Iterator[str]:
    """A row for each channel, a column for each update, as many of the last ones as there is room for."""
    names = {row.channel: _cut(row.channel) for row in course.rows}
    widest = max(len(name) for name in names.values())
    said = {row.channel: _carries(row, zone, course.now) for row in course.rows}
    reach = max((len(words) for words, (mark, _) in said.values() if mark), default=0)
    right = max(max(len(words), (reach + 2 + len(mark)) * bool(mark)) for words, (mark, _) in said.values())
    left = 2 + widest + 1
    room = (columns - left - 3 - right) // _CELL
    is_narrow = room < 1
    shown = [update.number for update in course.updates][-max(1, (columns - left) // _CELL if is_narrow else room) :]
    more = "…" if len(shown) < len(course.updates) else " "
    head = "".join(f"{number:>{_CELL}}" for number in shown)
    yield click.style(f"  {'':<{widest}}{more}{head}{'' if is_narrow else '   carries now'}", bold=True)
    for row in course.rows:
        cells = "".join(_styled(_sign(row.cells.get(number))) for number in shown)
        words, (mark, colour) = said[row.channel]
        start = f"  {names[row.channel]:<{widest}} {cells}"
        if is_narrow:
            yield start
            folded = screen.wrap(f"{words} {mark}", columns, "    ")
            yield from (click.style(line, fg=colour or None, bold=bool(mark)) for line in folded)
        elif mark:
            yield f"{start}   {words:<{reach}}  {click.style(mark, fg=colour or None, bold=True)}"
        else:
            yield f"{start}   {words}"
    yield from _legend(course, shown, zone, columns)


def clocks(course: Course, zone: ZoneInfo, columns: int) -> Iterator[str]:
    """The first word, and what is due next, each against what was promised; the score once it is over."""
    if course.score:
        yield from _score(course.score, columns)
        return
    for text, colour in [*_dues(course, zone), *_first_word(course)]:
        folded = screen.wrap(text, columns)
        yield from (click.style(line, fg=colour, bold=colour == "red") if colour else line for line in folded)


def brief(course: Course, zone: ZoneInfo) -> str:
    """An incident in one line: its name, where it stands, what is due."""
    head = f"{course.incident}  update {course.newest.number}  {course.newest.status.value}"
    if not course.dues:
        return head
    due, rows = next(iter(course.dues.items()))
    words = f"{WORDS[due.word]} {when(due.at, course.now, zone)}"
    return f"{head}  {click.style(words, fg='red', bold=True) if course.now > due.at else words}{_on(rows, course)}"


def command(course: Course) -> str | None:
    """What to type where a word is late; None where none is."""
    late = [due.word for due in course.dues if course.now > due.at]
    if not late:
        return None
    facts = {Word.FIRST: "", Word.NEXT: " --set summary=…", Word.BEGIN: " --status in_progress"}
    said = next((word for word in late if word is not Word.FIRST), Word.FIRST)
    return f"outagecast announce --incident {course.incident}{facts.get(said, ' --status completed')}"


# -- the table ------------------------------------------------------------------------------------------------------


def _sign(cell: Cell | None) -> str:
    """Which of the signs stands for a cell."""
    if cell is None:
        return ""
    is_fine = cell.state.value in {"accepted", "verified", "unchanged", "mismatch", "missing"}
    return "part" if cell.out and not is_fine else cell.state.value


def _styled(sign: str) -> str:
    word, colour, _ = _SIGNS[sign]
    return " " * (_CELL - len(word)) + click.style(word, fg=colour or None, dim=not colour)


def _carries(row: Row, zone: ZoneInfo, now: datetime) -> tuple[str, tuple[str, str]]:
    """What a channel carries since when, and the mark of one that does not carry what it should."""
    mark, colour = _MARKS[row.standing]
    if not row.required and mark:
        mark, colour = mark.lower(), ""
    if row.carries is None or row.since is None:
        return ("not known" if row.standing is Standing.UNKNOWN else "nothing"), (mark, colour)
    cell = row.cells[row.carries]
    crowd = ""
    if cell.planned > 1 and row.is_public:
        crowd = "" if cell.is_complete else f", {cell.out} of {cell.planned} posts"
    elif cell.planned > 1:
        crowd = f", {people(cell.out)}" if cell.is_complete else f", {cell.out:,} of {people(cell.planned)}"
    return f"{row.carries} since {_since(row.since, zone, now)}{crowd}", (mark, colour)


def _legend(course: Course, shown: Sequence[int], zone: ZoneInfo, columns: int) -> Iterator[str]:
    """Which update was which, and what the signs mean that are on the screen."""
    chosen = [update for update in course.updates if update.number in shown]
    said = [f"{one.number} {one.status.value} {_since(one.opened_at, zone, course.now)}" for one in chosen]
    present = {_sign(row.cells.get(number)) for row in course.rows for number in shown}
    meant = {word: meaning for sign, (word, _, meaning) in _SIGNS.items() if sign in present and word != "out"}
    for parts in (said, [f"{word} {meaning}" for word, meaning in meant.items()]):
        for line in _flowing(parts, columns - 2):
            yield from (click.style(folded, dim=True) for folded in screen.wrap(line, columns, "  "))


def _flowing(parts: Sequence[str], columns: int) -> Iterator[str]:
    """``parts`` side by side, none of them folded."""
    line = ""
    for part in parts:
        if line and len(line) + 3 + len(part) > columns:
            yield line
            line = ""
        line = f"{line}   {part}" if line else part
    if line:
        yield line


def _since(time: datetime, zone: ZoneInfo, now: datetime) -> str:
    local = time.astimezone(zone)
    return f"{local:%H:%M}" if local.date() == now.astimezone(zone).date() else f"{local.day} {local:%b %H:%M}"


def _cut(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


# -- the clocks -----------------------------------------------------------------------------------------------------


def _first_word(course: Course) -> Iterator[tuple[str, str]]:
    """How long the first word took on the required channels that have had it."""
    start = course.started_at
    told = {row.channel: _first(row) for row in course.rows if row.required}
    times = {name: at for name, at in told.items() if at}
    if not start or not times:
        return
    limit = course.promise.first_announcement
    early, last = min(times, key=lambda name: times[name]), max(times, key=lambda name: times[name])
    late = [name for name, at in times.items() if at > start + limit]
    words = f"First word {_after(times[early], start)}"
    if times[last] - times[early] >= limit / 10 and times[last] >= start:
        words += f", on {last} after {span(times[last] - start)}"
    verdict = f"BROKEN on {', '.join(late)}" if late else "kept"
    yield f"{words}; promised within {span(limit)}: {verdict}.", "yellow" if late else ""


def _after(time: datetime, start: datetime) -> str:
    return f"{span(time - start)} {'after' if time >= start else 'before'} the start"


def _first(row: Row) -> datetime | None:
    return min((cell.first_at for cell in row.cells.values() if cell.first_at), default=None)


def _dues(course: Course, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    """What is due, and where, the soonest first."""
    for due, rows in course.dues.items():
        words = WORDS[due.word]
        colour = "red" if course.now > due.at else "yellow" if course.now > due.at - _SOON else ""
        yield f"{words[0].upper()}{words[1:]} {when(due.at, course.now, zone)}{_on(rows, course)}.", colour
    if not course.dues:
        yield "No word is promised for a time.", ""


def _on(rows: Sequence[Row], course: Course) -> str:
    """On which channels, unless it is all those that wait for anything."""
    if len(course.dues) == 1 and all(row in rows for row in course.rows if row.required):
        return ""
    return f", on {', '.join(row.channel for row in rows)}"


# -- the score ------------------------------------------------------------------------------------------------------


def _score(score: Score, columns: int) -> Iterator[str]:
    """How it was told, in a few lines: first word, gaps, promises."""

    def lasted(seconds: int) -> str:
        return f"{'' if seconds >= 0 else '-'}{span(timedelta(seconds=seconds))}"

    parts = []
    if score.first_word_s is not None:
        words = f"first word after {lasted(score.first_word_s)}"
        if score.everywhere_s is None:
            words += ", on some channels never"
        elif score.everywhere_s - score.first_word_s >= 60:
            words += f", everywhere after {lasted(score.everywhere_s)}"
        parts.append(words)
    if score.longest_gap_s:
        parts.append(f"longest silence {lasted(score.longest_gap_s)}")
    if score.promised:
        parts.append(f"{score.kept} of {score.promised} promises kept")
    if not parts:
        return
    worst = [one for one in score.channels if one.required and one.kept < one.promised]
    yield from screen.wrap(f"Score: {'; '.join(parts)}.", columns)
    for one in worst:
        first = ", no first word" if one.first_word_s is None and one.first_word_kept is False else ""
        late = f", first word after {lasted(one.first_word_s)}" if one.first_word_s and not one.first_word_kept else ""
        gap = f", longest silence {lasted(one.longest_gap_s)}" if one.longest_gap_s else ""
        said = f"{one.channel}: {one.kept} of {one.promised} kept{first}{late}{gap}"
        yield from (click.style(line, fg="yellow") for line in screen.wrap(said, columns, "  "))
