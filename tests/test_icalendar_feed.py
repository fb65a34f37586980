from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import icalendar
import pytest
from hypothesis import given

from outagecast import icalendar_feed
from outagecast.history import History
from tests.told import BASE, FUZZ, HOSTILE, WINDOW, history, inert, line, said

LATER = {"window_start": "2026-12-06T01:00:00+11:00", "window_end": "2026-12-06T05:00:00+11:00"}
WORK = said("work", 1, "09:00", "scheduled", title="The app moves", **WINDOW)
CALLED_OFF = said("work", 2, "10:00", "retracted", title="The app moves")


def raw(told: History) -> bytes:
    return icalendar_feed.files(told, BASE)["maintenance.ics"]


def calendar(told: History) -> icalendar.Calendar:
    found = icalendar.Calendar.from_ical(raw(told))
    assert isinstance(found, icalendar.Calendar)
    return found


def event(*statements: Any) -> Any:
    (found,) = calendar(history(*statements)).events
    return found


def test_planned_work_is_an_event_at_its_time() -> None:
    found = event(WORK)

    assert found.start == datetime(2026, 11, 28, 14, tzinfo=UTC)
    assert found.end == datetime(2026, 11, 28, 18, tzinfo=UTC)
    assert (found["summary"], found["status"], found["transp"]) == ("The app moves", "CONFIRMED", "TRANSPARENT")
    assert found["description"] == "The app moves\nOur cards are being declined."
    assert found["url"] == f"{BASE}/incidents/work.html"
    assert found["summary"].params["LANGUAGE"] == "en"


def test_work_that_moves_is_the_same_event_with_a_higher_sequence() -> None:
    before, after = event(WORK), event(WORK, said("work", 2, "10:00", "scheduled", **LATER))

    assert before["uid"] == after["uid"] == "work@status.example.com"
    assert after["sequence"] > before["sequence"]
    assert after["dtstamp"].dt > before["dtstamp"].dt
    assert after.start == datetime(2026, 12, 5, 14, tzinfo=UTC)


def test_work_that_is_called_off_is_cancelled_at_the_time_it_had() -> None:
    found = event(WORK, CALLED_OFF)

    assert found["status"] == "CANCELLED"
    assert found.start == datetime(2026, 11, 28, 14, tzinfo=UTC)
    assert found["sequence"] == 2


def test_incidents_are_no_events() -> None:
    assert [one["uid"] for one in calendar(history(said(), WORK)).events] == ["work@status.example.com"]


def test_the_calendar_says_what_it_is_and_how_often_to_look() -> None:
    lines = raw(history(WORK)).decode().splitlines()

    assert lines[:4] == ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//outagecast//maintenance//EN", "METHOD:PUBLISH"]
    assert "X-WR-CALNAME:Example Bank: Calendar of planned work" in lines
    assert "REFRESH-INTERVAL;VALUE=DURATION:PT1H" in lines


def test_a_calendar_without_events_still_has_the_component_that_the_grammar_asks_for() -> None:
    for told in (history(), history(said())):
        assert calendar(told).events == []
        assert len(calendar(told).subcomponents) == 1


def test_the_same_history_is_the_same_file() -> None:
    assert raw(history(WORK)) == raw(history(WORK))


@pytest.mark.parametrize("title", ["Plățile cu cardul nu merg " * 9, "日本語" * 60, "😀" * 80])
def test_no_line_is_longer_than_75_octets_and_none_is_cut_inside_a_character(title: str) -> None:
    content = raw(history(said("work", 1, "09:00", "scheduled", title=title, **WINDOW)))

    assert content.endswith(b"\r\n")
    lines = content.split(b"\r\n")
    assert all(len(line) <= 75 and b"\n" not in line for line in lines)
    assert [line.decode() for line in lines]
    assert event(said("work", 1, "09:00", "scheduled", title=title, **WINDOW))["summary"] == title


@FUZZ
@given(words=HOSTILE)
def test_hostile_words_come_back_as_words(words: str) -> None:
    told = history(said("work", 1, "09:00", "scheduled", title=words, summary=words, organisation=words, **WINDOW))

    (found,) = calendar(told).events
    assert found["summary"] == inert(words)
    assert found["description"] == "\n".join(filter(None, [line(words)] * 2))
    assert set(found) == EVENT
    assert set(calendar(told)) == CALENDAR


EVENT = {name.upper() for name in event(WORK)}
CALENDAR = {name.upper() for name in calendar(history(WORK))}
