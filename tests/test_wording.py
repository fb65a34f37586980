from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outagecast.wording import Wording, bare, first_sentence, quoted, round_up, sentence

SYDNEY = ZoneInfo("Australia/Sydney")
SUNDAY = datetime(2026, 11, 22, 18, 50, tzinfo=SYDNEY)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=SYDNEY)


def english(zone: ZoneInfo = SYDNEY, as_of: datetime = SUNDAY) -> Wording:
    return Wording("en", zone, as_of)


@pytest.mark.parametrize(
    ("time", "said"),
    [
        (at(22, 18, 30), "6:30pm"),
        (at(22, 5), "5am"),
        (at(22, 0, 30), "12:30am"),
        (at(22, 12), "midday"),
        (at(22, 12, 5), "12:05pm"),
        (at(22, 0), "midnight"),
        (at(23, 0), "midnight"),  # tonight's
        (at(23, 0, 30), "12:30am on Monday 23 November"),
        (at(21, 23), "11pm on Saturday 21 November"),
        (at(25, 0), "midnight at the start of Wednesday 25 November"),
    ],
)
def test_a_time_is_said_so_that_its_day_is_clear(time: datetime, said: str) -> None:
    assert str(english().moment(time)) == said


def test_the_day_is_the_readers_own() -> None:
    late = datetime(2026, 11, 22, 13, 30, tzinfo=ZoneInfo("UTC"))  # half past midnight on Monday in Sydney

    assert str(english().moment(late)) == "12:30am on Monday 23 November"
    assert str(english(ZoneInfo("UTC")).moment(late)) == "1:30pm"


@pytest.mark.parametrize(
    ("start", "end", "span", "brief"),
    [
        (at(29, 1), at(29, 5), "Sunday 29 November, 1am to 5am", "Sun 29 Nov, 1am to 5am"),
        (at(28, 22), at(29, 0), "Saturday 28 November, 10pm to midnight", "Sat 28 Nov, 10pm to midnight"),
        (
            at(28, 23),
            at(29, 3),
            "11pm on Saturday 28 November to 3am on Sunday 29 November",
            "11pm on Sat 28 Nov to 3am on Sun 29 Nov",
        ),
    ],
)
def test_a_window_names_its_day_and_the_second_one_where_it_is_another(
    start: datetime, end: datetime, span: str, brief: str
) -> None:
    window = english().window(start, end)

    assert (window.span, window.brief) == (span, brief)


def test_a_window_until_midnight_ends_on_its_own_day() -> None:
    assert str(english().window(at(28, 22), at(29, 0)).end) == "midnight at the end of Saturday 28 November"
    assert str(english().window(at(22, 20), at(23, 0)).end) == "midnight"


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (at(22, 18, 30), at(22, 18, 45), "from 6:30pm to 6:45pm"),
        (at(21, 18, 30), at(21, 20, 50), "from 6:30pm to 8:50pm on Saturday 21 November"),
        (at(21, 23), at(22, 2), "from 11pm on Saturday 21 November to 2am"),
        (at(20, 23), at(21, 2), "from 11pm on Friday 20 November to 2am on Saturday 21 November"),
    ],
)
def test_what_is_over_lasted_from_then_to_then(start: datetime, end: datetime, said: str) -> None:
    assert english().lasted(start, end) == said


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        ("Australia/Sydney", "Sydney time"),
        ("America/Argentina/Buenos_Aires", "Buenos Aires time"),
        ("UTC", "UTC"),
        ("Etc/UTC", "UTC"),
        ("Etc/GMT-10", "UTC+10:00"),  # POSIX turns the sign
    ],
)
def test_a_zone_has_the_name_that_people_use(zone: str, name: str) -> None:
    assert english(ZoneInfo(zone)).zone_name == name


def test_clocks_that_change_are_read_off_the_wall() -> None:
    before, after = (datetime(2026, 10, 3, hour, 30, tzinfo=ZoneInfo("UTC")) for hour in (15, 16))

    assert english(as_of=before).lasted(before, after) == "from 1:30am to 3:30am"


@pytest.mark.parametrize("language", ["ro", "zh-HK", "zh-Hant", "de", "es", "fr", "en-GB", "tlh", "xx", "aaa-Zzzz-ZZ"])
def test_any_language_can_say_a_time(language: str) -> None:
    wording = Wording(language, SYDNEY, SUNDAY)
    window = wording.window(at(28, 23), at(29, 3))

    assert window.span
    assert wording.lasted(at(21, 23), at(22, 2))
    assert wording.zone_name.startswith("Sydney")


def test_other_languages_have_their_own_days_and_the_clock_of_24_hours() -> None:
    said = {language: str(Wording(language, SYDNEY, SUNDAY).moment(at(23, 0, 30))) for language in ("ro", "de", "es")}

    assert said == {
        "ro": "luni, 23 noiembrie, 00:30",
        "de": "Montag, 23. November, 00:30",
        "es": "lunes 23 de noviembre, 00:30",
    }
    assert str(Wording("en-GB", SYDNEY, SUNDAY).moment(at(23, 0, 30))) == "12:30am on Monday 23 November"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Cards fail", "Cards fail."),
        ("Cards fail.", "Cards fail."),
        ("Cards fail..", "Cards fail."),
        ("Cards fail...", "Cards fail..."),
        ("Cards fail:", "Cards fail."),
        ("Cards fail, ", "Cards fail."),
        ("Do cards fail?", "Do cards fail?"),
        ("He said “no.”", "He said “no.”"),
        ("He said “no”", "He said “no”."),
        ("卡付款失敗。", "卡付款失敗。"),
    ],
)
def test_a_sentence_ends_once(text: str, said: str) -> None:
    assert sentence(text) == said


@given(st.text(max_size=40))
def test_a_sentence_that_is_one_stays_as_it_is(text: str) -> None:
    assert sentence(sentence(text)) == sentence(text)


def test_a_bare_text_stands_inside_a_line_and_quotes_do_not_nest() -> None:
    assert bare("Cards fail.") == "Cards fail"
    assert quoted("He said “no.”") == "“He said ‘no.’”"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("We're sorry. We know you rely on your card.", "We're sorry."),
        ("We're sorry", "We're sorry"),
        ("Sorry for up to $1.50 in fees. Truly.", "Sorry for up to $1.50 in fees."),
        ("謹此致歉。我們明白。", "謹此致歉。"),
    ],
)
def test_the_first_sentence_stands_alone(text: str, first: str) -> None:
    assert first_sentence(text) == first


def test_a_promised_time_is_a_full_five_minutes_and_never_earlier() -> None:
    assert round_up(at(22, 18, 51)) == at(22, 18, 55)
    assert round_up(at(22, 18, 55)) == at(22, 18, 55)
    assert round_up(at(22, 18, 58) + timedelta(seconds=1)) == at(22, 19)
