"""What the picture of an incident shows, at any width, and that its words say all that its colours do."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import click
import pytest

from outagecast import promises, score
from outagecast.cli import matrix
from outagecast.config import EVERY_STATUS, PERSONAL_STATUSES, Promise
from outagecast.ledger import Update
from outagecast.model import State, Status
from outagecast.promises import Cell, Course, Party

START = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)  # 18:30 in Sydney
SYDNEY = ZoneInfo("Australia/Sydney")
STATUSES = (Status.INVESTIGATING, Status.IDENTIFIED, Status.MONITORING, Status.RESOLVED)


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def updates(*minutes: float, statuses: tuple[Status, ...] = STATUSES) -> list[Update]:
    return [
        Update("cards", number, status, "", "{}", "", after(at), "ana@desk", START)
        for number, at, status in zip(
            itertools.count(1), minutes, itertools.chain(statuses, itertools.repeat(STATUSES[2]))
        )
    ]


def out(minutes: float, people: int = 1, of: int | None = None) -> Cell:
    return Cell(State.ACCEPTED, of or people, people, 0, after(minutes), after(minutes))


LOST, PASSED = Cell(State.FAILED, 1), Cell(State.SKIPPED)
PARTIES = [
    Party("x", on=EVERY_STATUS),
    Party("facebook", on=EVERY_STATUS),
    Party("intranet", required=False, on=EVERY_STATUS),
    Party("sms", on=PERSONAL_STATUSES),
    Party("email", on=PERSONAL_STATUSES),
]
TOLD = {
    "x": {1: out(12), 2: out(35)},
    "facebook": {1: out(12), 2: LOST},
    "sms": {1: out(12, 9980, 10000), 2: PASSED},
}


def story(minutes: float = 50) -> Course:
    return promises.course(updates(12, 35), TOLD, PARTIES, Promise(), after(minutes))


def drawn(course: Course, columns: int = 80) -> list[str]:
    return [click.unstyle(line) for line in matrix.lines(course, SYDNEY, columns)]


def test_a_row_for_each_channel_a_column_for_each_update_and_the_clocks_below() -> None:
    assert drawn(story()) == [
        "                1     2   carries now",
        "  x           out   out   2 since 19:05",
        "  facebook    out  FAIL   1 since 18:42  STALE",
        "  intranet      .     .   nothing        silent",
        "  sms         out     -   1 since 18:42, 9,980 of 10,000 people",
        "  email         .     .   nothing        SILENT",
        "  1 investigating 18:42   2 identified 19:05",
        "  FAIL not published   - not for this channel   . never announced there",
        "",
        "Next update OVERDUE by 8 min, was due 7:12pm (Sydney time), on facebook.",
        "First word due 7:30pm (Sydney time), in 10 min, on email.",
        "Next update due 7:35pm (Sydney time), in 15 min, on x.",
        "First word 12 min after the start; promised within 60 min: kept.",
    ]


def test_what_is_the_same_everywhere_names_no_channel() -> None:
    course = promises.course(updates(12), {"x": {1: out(12)}}, PARTIES[:1], Promise(), after(20))

    assert drawn(course)[-2:] == [
        "Next update due 7:12pm (Sydney time), in 22 min.",
        "First word 12 min after the start; promised within 60 min: kept.",
    ]


def test_a_first_word_that_came_late_somewhere_is_broken_there() -> None:
    told = {"x": {1: out(12)}, "facebook": {1: out(75)}}
    course = promises.course(updates(12), told, PARTIES[:2], Promise(), after(80))

    assert (
        "First word 12 min after the start, on facebook after 75 min; promised within 60 min: BROKEN on facebook."
        in " ".join(drawn(course))
    )


def test_what_happened_on_another_day_says_so() -> None:
    assert "  x           out   out   2 since 22 Nov 19:05" in drawn(story(minutes=60 * 10))


def test_of_many_updates_the_last_ones_are_shown() -> None:
    many = updates(*range(12, 400, 12))
    course = promises.course(many, {"x": {one.number: out(12) for one in many}}, PARTIES[:2], Promise(), after(400))

    head, *rest = drawn(course)

    assert head.split()[0] == "…"
    assert head.split()[1:-2] == [str(number) for number in range(34 - len(head.split()[1:-2]), 34)]
    assert all(len(line) <= 80 for line in [head, *rest])


@pytest.mark.parametrize("columns", [20, 30, 40, 60, 80, 100])
def test_nothing_is_wider_than_the_screen_or_left_out_on_a_narrow_one(columns: int) -> None:
    lines = drawn(story(), columns)

    wide = [line for line in lines if len(line) > columns and len(line.split()) > 1]
    assert wide == []
    whole = "\n".join(lines)
    assert [word for word in ("STALE", "SILENT", "FAIL", "OVERDUE", "18:42") if word not in whole] == []


def test_once_it_is_over_the_score_stands_in_the_place_of_the_clocks() -> None:
    told = {
        "x": {1: out(12), 2: out(35), 3: out(70), 4: out(90)},
        "facebook": {1: LOST, 2: out(75), 3: out(76), 4: out(90)},
        "sms": {1: out(13, 2), 2: PASSED, 3: PASSED, 4: out(91, 2)},
    }
    course = score.scored(promises.course(updates(12, 35, 70, 90), told, PARTIES, Promise(), after(100)))

    assert drawn(course)[-5:] == [
        "Score: first word after 12 min, on some channels never; longest silence 35 min;",
        "5 of 9 promises kept.",
        "  x: 3 of 4 kept, longest silence 35 min",
        "  facebook: 1 of 3 kept, first word after 75 min, longest silence 14 min",
        "  email: 0 of 1 kept, no first word",
    ]


def test_an_incident_in_a_line_says_where_it_stands_and_what_is_due() -> None:
    course = story(minutes=50)

    assert (
        click.unstyle(matrix.brief(course, SYDNEY))
        == "cards  update 2  identified  next update OVERDUE by 8 min, was due 7:12pm (Sydney time), on facebook"
    )


@pytest.mark.parametrize(
    ("minutes", "statuses", "words"),
    [
        (40, STATUSES, None),
        (43, STATUSES, "outagecast announce --incident cards --set summary=…"),
        (700, (Status.SCHEDULED,), "outagecast announce --incident cards --status in_progress"),
        (700, (Status.IN_PROGRESS,), "outagecast announce --incident cards --status completed"),
    ],
)
def test_where_a_word_is_late_the_command_that_says_it_is_named(
    minutes: float, statuses: tuple[Status, ...], words: str | None
) -> None:
    window = json.dumps({"window": {"start": after(600).isoformat(), "end": after(660).isoformat()}})
    (update,) = updates(12, statuses=statuses)
    if words and "--status" in words:
        update = replace(update, written=window, next_update_at=after(2000))
    course = promises.course([update], {"x": {1: out(12)}}, PARTIES[:1], Promise(), after(minutes))

    assert matrix.command(course) == words


def test_a_silent_channel_is_told_by_the_same_words() -> None:
    course = promises.course(updates(50), {"x": {1: out(50)}}, PARTIES[:2], Promise(), after(61))

    assert matrix.command(course) == "outagecast announce --incident cards"


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_a_sign_with_a_meaning(state: State) -> None:
    course = promises.course(updates(12), {"x": {1: Cell(state, 1)}}, PARTIES[:1], Promise(), after(20))

    sign = drawn(course)[1].split()[1]

    assert sign == "out" or any(line.strip().startswith(f"{sign} ") for line in drawn(course)[2:])


def test_colours_only_underline_words() -> None:
    assert any("\x1b[" in line for line in matrix.lines(story(), SYDNEY, 80))
    assert not any("\x1b[" in line for line in drawn(story()))
