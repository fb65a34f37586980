"""What is due on each channel and when, what is stale or silent, and how well it was kept once all is over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from outagecast import promises, score
from outagecast.config import EVERY_STATUS, PERSONAL_STATUSES, Promise
from outagecast.ledger import Heard, Update
from outagecast.model import State, Status
from outagecast.promises import Cell, Course, Due, Party, Standing, Word

START = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
X, FACEBOOK = Party("x", on=EVERY_STATUS), Party("facebook", on=EVERY_STATUS)
SMS = Party("sms", on=PERSONAL_STATUSES)
Told = Mapping[str, Mapping[int, Cell]]


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def said(
    number: int,
    minutes: float,
    status: Status = Status.INVESTIGATING,
    *,
    next_after: float | None = None,
    start: datetime | None = START,
    window: tuple[datetime, datetime] | None = None,
) -> Update:
    """An update that was opened so many minutes after the start."""
    facts: dict[str, Any] = {"summary": "Cards fail."}
    if window:
        facts["window"] = dict(zip(("start", "end"), (time.isoformat() for time in window), strict=True))
    return Update(
        incident="cards",
        number=number,
        status=status,
        fingerprint=str(number),
        written=json.dumps(facts),
        digest="",
        opened_at=after(minutes),
        opened_by="ana@desk",
        started_at=start,
        next_update_at=after(next_after) if next_after is not None else None,
    )


def out(minutes: float, state: State = State.ACCEPTED) -> Cell:
    return Cell(state, 1, 1, 0, after(minutes), after(minutes))


LOST = Cell(State.FAILED, 1)
DOUBT = Cell(State.IN_DOUBT, 1, 0, 1)
PASSED = Cell(State.SKIPPED)


def course(
    updates: list[Update], told: Told, *parties: Party, minutes: float = 0, promise: Promise | None = None
) -> Course:
    return score.scored(promises.course(updates, told, parties or (X,), promise or Promise(), after(minutes)))


def due(updates: list[Update], told: Told, party: Party = X, *others: Party) -> Due | None:
    row = course(updates, told, party, *others).row(party.name)
    assert row is not None
    return row.due


# -- the clocks -----------------------------------------------------------------------------------------------------


def test_the_first_word_is_due_from_the_start_on_every_channel_that_has_none() -> None:
    updates = [said(1, 10, next_after=40)]
    told = {"x": {1: out(10)}}

    found = course(updates, told, X, FACEBOOK)

    assert found.dues == {
        Due(after(40), Word.NEXT): [found.row("x")],
        Due(after(60), Word.FIRST): [found.row("facebook")],
    }
    assert found.next_due_at == after(40)


@pytest.mark.parametrize("cell", [LOST, DOUBT, PASSED])
def test_what_is_not_certainly_out_is_no_first_word(cell: Cell) -> None:
    assert due([said(1, 10)], {"x": {1: cell}}) == Due(after(60), Word.FIRST)


@pytest.mark.parametrize("state", [State.ACCEPTED, State.VERIFIED, State.MISMATCH, State.UNCHANGED])
def test_once_something_is_out_the_next_update_is_due(state: State) -> None:
    assert due([said(1, 10, next_after=40)], {"x": {1: out(10, state)}}) == Due(after(40), Word.NEXT)


def test_without_a_promised_time_the_next_update_is_due_as_the_config_says() -> None:
    assert due([said(1, 10)], {"x": {1: out(12)}}) == Due(after(40), Word.NEXT)
    often = Promise(update_every=timedelta(minutes=5))
    row = course([said(1, 10)], {"x": {1: out(12)}}, promise=often).row("x")
    assert row is not None
    assert row.due == Due(after(15), Word.NEXT)


def test_a_channel_that_was_left_out_of_an_update_is_held_to_what_its_own_readers_were_promised() -> None:
    updates = [said(1, 10, next_after=40), said(2, 30, next_after=60)]
    told = {"x": {1: out(10), 2: out(30)}, "facebook": {1: out(10)}}

    found = course(updates, told, X, FACEBOOK, minutes=41)

    assert {row.channel: (row.due.at if row.due else None, row.overdue) for row in found.rows} == {
        "x": (after(60), False),
        "facebook": (after(40), True),
    }
    assert found.overdue


def test_where_the_start_is_not_known_a_silent_channel_is_late_with_the_others() -> None:
    updates = [said(1, 10, start=None, next_after=40)]

    assert due(updates, {"x": {1: out(10)}}, FACEBOOK, X) == Due(after(40), Word.NEXT)
    assert due(updates, {"x": {1: LOST}}) is None


@pytest.mark.parametrize("status", [Status.RESOLVED, Status.COMPLETED, Status.RETRACTED])
def test_when_all_is_over_nothing_is_due(status: Status) -> None:
    updates = [said(1, 10), said(2, 30, status)]

    found = course(updates, {"x": {1: out(10), 2: LOST}}, X, FACEBOOK, minutes=9000)

    assert (found.dues, found.overdue, found.next_due_at) == ({}, False, None)


def test_texts_that_carry_only_first_word_and_last_are_promised_nothing_in_between() -> None:
    assert due([said(1, 10, next_after=40)], {"sms": {1: out(10)}}, SMS) is None
    assert due([said(1, 10, next_after=40)], {}, SMS) == Due(after(60), Word.FIRST)


def test_a_channel_that_takes_no_status_of_the_incident_waits_for_nothing() -> None:
    party = Party("page", on=[Status.RESOLVED])

    assert due([said(1, 10)], {}, party) is None
    assert course([said(1, 10)], {}, party).rows[0].standing is Standing.APART


def test_an_update_that_a_channel_passes_over_on_purpose_moves_its_promise_on() -> None:
    party = Party("x", on=["first", Status.MONITORING, Status.RESOLVED])
    updates = [said(1, 10, next_after=40), said(2, 30, Status.IDENTIFIED, next_after=60)]

    assert due(updates, {"x": {1: out(10), 2: PASSED}}, party) == Due(after(60), Word.NEXT)


def test_what_is_not_required_is_late_by_itself_alone() -> None:
    optional = Party("x", required=False, on=EVERY_STATUS)

    found = course([said(1, 10, next_after=40)], {"x": {1: out(10)}}, optional, minutes=50)

    assert (found.rows[0].overdue, found.overdue, found.dues) == (True, False, {})


def test_what_is_configured_no_more_is_shown_and_waits_for_nothing() -> None:
    found = course([said(1, 10, next_after=40)], {"old": {1: out(10)}}, Party("old", required=False), minutes=90)

    assert (found.rows[0].due, found.rows[0].carries) == (None, 1)


def test_a_post_that_is_gone_is_a_word_no_more() -> None:
    gone = Cell(State.MISSING, 1, 0, 0, after(10), after(10))

    assert due([said(1, 10, next_after=40)], {"x": {1: gone}}) == Due(after(60), Word.FIRST)


def test_after_a_reopening_the_first_word_is_due_again_and_counts_from_it() -> None:
    updates = [said(1, 10, next_after=40), said(2, 50, Status.RESOLVED), said(3, 200, next_after=230)]
    told = {"x": {1: out(10), 2: out(50), 3: out(200)}, "facebook": {1: out(10), 2: out(50)}}

    assert due(updates, told, X) == Due(after(230), Word.NEXT)
    assert due(updates, told, FACEBOOK) == Due(after(260), Word.FIRST)


def test_the_moment_itself_is_still_in_time() -> None:
    updates, told = [said(1, 10, next_after=40)], {"x": {1: out(10)}}

    assert [course(updates, told, minutes=minutes).overdue for minutes in (39, 40, 40.02)] == [False, False, True]
    assert course(updates, told, minutes=39).at(after(41)).overdue


# -- planned work ---------------------------------------------------------------------------------------------------

WINDOW = (after(600), after(840))


def planned(number: int, minutes: float, status: Status = Status.SCHEDULED, **given: Any) -> Update:
    return said(number, minutes, status, start=None, **{"window": WINDOW, **given})


@pytest.mark.parametrize(
    ("updates", "expected"),
    [
        ([planned(1, 0)], Due(after(600), Word.BEGIN)),
        ([planned(1, 0, next_after=500)], Due(after(500), Word.NEXT)),  # a reminder was promised
        ([planned(1, 0, next_after=700)], Due(after(600), Word.BEGIN)),
        ([planned(1, 0), planned(2, 610)], Due(after(640), Word.NEXT)),  # it did not begin, and that was said
        ([planned(1, 0, window=None)], None),
        ([planned(1, 0), planned(2, 600, Status.IN_PROGRESS, next_after=900)], Due(after(840), Word.END)),
        ([planned(1, 0), planned(2, 600, Status.IN_PROGRESS, next_after=660)], Due(after(660), Word.NEXT)),
        ([planned(1, 0), planned(2, 850, Status.IN_PROGRESS, next_after=900)], Due(after(900), Word.NEXT)),
        ([planned(1, 0), planned(2, 840, Status.COMPLETED)], None),
    ],
)
def test_planned_work_has_to_be_told_when_it_begins_and_when_it_ends(
    updates: list[Update], expected: Due | None
) -> None:
    assert due(updates, {"x": {update.number: out(0) for update in updates}}) == expected


def test_texts_about_planned_work_end_with_its_announcement() -> None:
    assert due([planned(1, 0)], {"sms": {1: out(0)}}, SMS) is None


def test_planned_work_that_was_told_to_some_is_due_to_the_others_when_it_begins() -> None:
    assert due([planned(1, 0)], {"x": {1: out(0)}}, FACEBOOK, X) == Due(after(600), Word.BEGIN)


# -- where clocks change --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "start", "wall"),
    [
        ("Australia/Sydney", "2026-10-04T01:50+10:00", "03:50"),  # at 2 it is 3
        ("Europe/Bucharest", "2026-10-25T03:50+03:00", "03:50"),  # at 4 it is 3 again
        ("Australia/Sydney", "2026-10-03T01:50+10:00", "02:50"),
    ],
)
def test_an_hour_lasts_an_hour_in_the_night_when_the_clocks_change(zone: str, start: str, wall: str) -> None:
    local = datetime.fromisoformat(start).astimezone(ZoneInfo(zone))
    update = said(1, 0, start=local)

    found = promises.course([update], {}, [X], Promise(), local.astimezone(UTC) + timedelta(minutes=60, seconds=1))

    assert found.next_due_at is not None
    assert found.next_due_at.astimezone(UTC) - local.astimezone(UTC) == timedelta(hours=1)
    assert f"{found.next_due_at.astimezone(ZoneInfo(zone)):%H:%M}" == wall
    assert found.overdue
    assert not found.at(local.astimezone(UTC) + timedelta(minutes=60)).overdue


# -- what stands out ------------------------------------------------------------------------------------------------

TWO = [said(1, 10), said(2, 30, Status.IDENTIFIED)]


@pytest.mark.parametrize(
    ("cells", "party", "standing", "carries"),
    [
        ({1: out(10), 2: out(30)}, X, Standing.CURRENT, 2),
        ({1: out(10), 2: out(30, State.UNCHANGED)}, X, Standing.CURRENT, 2),
        ({1: out(10), 2: LOST}, X, Standing.STALE, 1),
        ({1: out(10)}, X, Standing.STALE, 1),
        ({1: out(10), 2: DOUBT}, X, Standing.UNKNOWN, 1),
        ({2: out(30)}, X, Standing.CURRENT, 2),
        ({1: out(10), 2: PASSED}, SMS, Standing.CURRENT, 1),
        ({1: out(10)}, SMS, Standing.CURRENT, 1),  # which would not have carried it
        ({}, X, Standing.SILENT, None),
        ({}, SMS, Standing.SILENT, None),  # the first word it would have carried
        ({1: LOST, 2: LOST}, X, Standing.SILENT, None),
        ({1: LOST, 2: DOUBT}, X, Standing.UNKNOWN, None),
        ({2: PASSED}, Party("page", on=[Status.RESOLVED]), Standing.APART, None),
    ],
)
def test_what_each_channel_carries_and_whether_it_should_carry_more(
    cells: dict[int, Cell], party: Party, standing: Standing, carries: int | None
) -> None:
    (row,) = course(TWO, {party.name: cells}, party).rows

    assert (row.standing, row.carries) == (standing, carries)
    assert row.since == (cells[carries].first_at if carries else None)


def test_a_channel_that_still_says_that_it_fails_when_all_is_over_is_stale() -> None:
    updates = [said(1, 10), said(2, 30, Status.RESOLVED)]
    told = {"x": {1: out(10), 2: LOST}, "facebook": {2: PASSED}}

    found = course(updates, told, X, FACEBOOK, SMS)

    assert {row.channel: row.standing for row in found.rows} == {
        "x": Standing.STALE,
        "facebook": Standing.SILENT,
        "sms": Standing.SILENT,
    }
    assert course(updates, {}, Party("page", on=[Status.RESOLVED])).rows[0].standing is Standing.APART
    assert [row.channel for row in found.lagging] == ["x"]
    assert [row.channel for row in found.silent] == ["sms"]


def test_of_many_people_the_cell_counts_who_has_it_and_since_when() -> None:
    heard = [
        Heard(1, "sms", State.ACCEPTED, False, 90, after(10), after(14)),
        Heard(1, "sms", State.MISSING, False, 4, after(9), after(11)),
        Heard(1, "sms", State.IN_DOUBT, False, 3, after(12), after(13)),
        Heard(1, "sms", State.SKIPPED, False, 7, after(1), after(1)),
        Heard(1, "sms", State.FAILED, True, 2, after(2), after(20)),
    ]

    found = promises.cells(heard, {("sms", 1): State.IN_DOUBT})

    assert found == {"sms": {1: Cell(State.IN_DOUBT, 99, 90, 3, after(9), after(14))}}


# -- the score ------------------------------------------------------------------------------------------------------


def test_while_it_lasts_there_is_no_score() -> None:
    assert course(TWO, {"x": {1: out(10)}}).score is None


def test_the_score_tells_first_words_silences_and_promises_kept() -> None:
    updates = [
        said(1, 12, next_after=42),
        said(2, 40, Status.IDENTIFIED, next_after=70),
        said(3, 78, Status.MONITORING, next_after=110),
        said(4, 100, Status.RESOLVED),
    ]
    told = {
        "x": {1: out(12), 2: out(40), 3: out(78), 4: out(100)},
        "facebook": {1: LOST, 2: LOST, 3: out(78), 4: out(100)},
        "sms": {1: out(13), 2: PASSED, 3: PASSED, 4: out(101)},
    }

    found = course(updates, told, X, FACEBOOK, SMS).score

    assert found is not None
    assert (found.first_word_s, found.everywhere_s) == (12 * 60, 78 * 60)
    assert found.longest_gap_s == 38 * 60  # not that of the texts, which promised nothing in between
    # x: the first word and two of three; facebook: none of the first, one of one; sms: the first
    assert (found.promised, found.kept) == (4 + 2 + 1, 3 + 1 + 1)
    assert [(one.channel, one.kept, one.promised, one.first_word_kept) for one in found.channels] == [
        ("x", 3, 4, True),
        ("facebook", 1, 2, False),
        ("sms", 1, 1, True),
    ]
    assert found.closed_at == after(100)


def test_a_channel_that_never_spoke_broke_its_promise_and_the_incident_was_never_told_everywhere() -> None:
    updates = [said(1, 10, next_after=40), said(2, 30, Status.RESOLVED)]

    found = course(updates, {"x": {1: out(10), 2: out(30)}, "facebook": {2: PASSED}}, X, FACEBOOK, SMS).score

    assert found is not None
    assert (found.first_word_s, found.everywhere_s, found.promised, found.kept) == (600, None, 4, 2)
    assert [(one.first_word_s, one.first_word_kept) for one in found.channels[1:]] == [(None, False)] * 2


def test_a_promise_that_was_never_answered_is_broken() -> None:
    updates = [said(1, 10, next_after=40), said(2, 30, Status.RESOLVED)]

    found = course(updates, {"x": {1: out(10), 2: LOST}}).score

    assert found is not None
    assert (found.promised, found.kept) == (2, 1)


def test_a_follow_up_next_day_changes_nothing_of_the_score() -> None:
    updates = [said(1, 10, next_after=40), said(2, 30, Status.RESOLVED)]
    told = {"x": {1: out(10), 2: out(30), 3: out(1500)}}

    found = course([*updates, said(3, 1500, Status.RESOLVED)], told).score

    assert found is not None
    assert (found.closed_at, found.kept, found.longest_gap_s) == (after(30), 2, 1200)


def test_where_no_start_is_known_the_score_has_no_first_word() -> None:
    updates = [said(1, 10, start=None, next_after=40), said(2, 30, Status.RESOLVED, start=None)]

    found = course(updates, {"x": {1: out(10), 2: out(30)}}).score

    assert found is not None
    assert (found.first_word_s, found.everywhere_s, found.promised, found.kept) == (None, None, 1, 1)


def test_planned_work_is_scored_by_its_window() -> None:
    updates = [planned(1, 0), planned(2, 605, Status.IN_PROGRESS, next_after=900), planned(3, 830, Status.COMPLETED)]

    found = course(updates, {"x": {1: out(0), 2: out(605), 3: out(830)}}).score

    assert found is not None
    assert (found.promised, found.kept) == (2, 1)  # five minutes late that it began, in time that it was done
