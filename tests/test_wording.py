from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outagecast.wording import Wording, bare, closed_up, first_sentence, quoted, round_up, sentence, sentences

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
    assert wording.zone_name
    assert wording.duration(timedelta(hours=2, minutes=20))


LANGUAGES = {
    "en": ["since 6:30pm", "by 12:30am on Monday 23 November", "at 6:30pm", "until 5am on Sunday 29 November"],
    "ro": ["de la ora 18:30", "până luni, 23 noiembrie, la ora 00:30", "la ora 18:30"],
    "zh-Hant": ["自下午6時30分起", "11月23日（星期一）凌晨12時30分或之前", "下午6時30分"],
    "es": ["desde las\u00a018:30", "antes de las\u00a00:30 del lunes 23 de noviembre", "a las\u00a018:30"],
    "fr": ["depuis 18\u00a0h\u00a030", "avant le lundi 23 novembre à 0\u00a0h\u00a030", "à 18\u00a0h\u00a030"],
    "de": ["seit 18:30 Uhr", "bis Montag, 23. November, 0:30 Uhr", "um 18:30 Uhr"],
    "tlh": ["18:30", "2026-11-23, 00:30", "18:30"],
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_since_when_and_until_when_in_its_own_way(language: str) -> None:
    started, later = (Wording(language, SYDNEY, SUNDAY).moment(time) for time in (at(22, 18, 30), at(23, 0, 30)))

    assert [started.since, later.by, started.at] == LANGUAGES[language][:3]


@pytest.mark.parametrize(
    ("hour", "minute", "said"),
    [
        (0, 0, "凌晨12時"),
        (0, 30, "凌晨12時30分"),
        (9, 5, "上午9時5分"),
        (12, 0, "中午12時"),
        (12, 30, "下午12時30分"),
        (18, 30, "下午6時30分"),
        (20, 50, "晚上8時50分"),
    ],
)
def test_hong_kong_names_the_part_of_the_day(hour: int, minute: int, said: str) -> None:
    assert Wording("zh-Hant", SYDNEY, SUNDAY).moment(at(22, hour, minute)).clock == said


@pytest.mark.parametrize(
    ("language", "zone", "said"),
    [
        ("ro", "Europe/Bucharest", "ora din București"),
        ("zh-Hant", "Asia/Hong_Kong", "香港時間"),
        ("zh-Hant", "Australia/Sydney", "悉尼時間"),
        ("es", "Australia/Sydney", "hora de Sídney"),
        ("fr", "Europe/Athens", "heure d’Athènes"),
        ("de", "Europe/Vienna", "Ortszeit Wien"),
        ("de", "America/Argentina/Buenos_Aires", "Ortszeit Buenos Aires"),
    ],
)
def test_a_city_has_the_name_that_its_readers_give_it(language: str, zone: str, said: str) -> None:
    assert Wording(language, ZoneInfo(zone), SUNDAY).zone_name == said


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "2 hours 20 minutes"),
        ("ro", "2 ore 20 de minute"),
        ("zh-Hant", "2小時20分鐘"),
        ("es", "2 horas 20 minutos"),
        ("fr", "2 heures 20 minutes"),
        ("de", "2 Stunden 20 Minuten"),
    ],
)
def test_how_long_it_took_is_counted_as_the_language_counts(language: str, said: str) -> None:
    wording = Wording(language, SYDNEY, SUNDAY)

    assert wording.duration(timedelta(hours=2, minutes=20, seconds=59)).replace("\u00a0", " ") == said
    assert wording.duration(timedelta(hours=1, minutes=1)) != said
    assert wording.duration(timedelta()).startswith("0")


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "“He said ‘no’.”"),
        ("ro", "„He said «no».”"),
        ("zh-Hant", "「He said 『no』.」"),
        ("es", "«He said “no”.»"),
        ("fr", "«\u00a0He said “no”.\u00a0»"),
        ("de", "„He said ‚no‘.“"),
        ("xx", "“He said ‘no’.”"),
    ],
)
def test_a_language_has_its_own_quotation_marks(language: str, said: str) -> None:
    assert quoted('He said "no".', language) == said


def test_scripts_without_spaces_are_closed_up() -> None:
    assert closed_up("卡未能付款。 自動櫃員機 運作正常。 https://example.com 下次") == (
        "卡未能付款。自動櫃員機運作正常。https://example.com 下次"
    )
    assert closed_up("卡 13 20 32 or two words.") == "卡 13 20 32 or two words."


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
    ("text", "parts"),
    [
        ("", []),
        ("Cards fail", ["Cards fail"]),
        ("Cards fail. We are sorry! Why?", ["Cards fail.", "We are sorry!", "Why?"]),
        ("It began at 6 p.m. (Sydney time). Sorry.", ["It began at 6 p.m. (Sydney time).", "Sorry."]),
        ("Bis 18.30 Uhr, z. B. am Abend. Danke.", ["Bis 18.30 Uhr, z. B. am Abend.", "Danke."]),
        ("It is over. https://status.example.com", ["It is over.", "https://status.example.com"]),
        ("Next update by 7pm: https://example.com", ["Next update by 7pm: https://example.com"]),
        ("They said “it works.” We know.", ["They said “it works.”", "We know."]),
        ("Cards fail. ¿Por qué? ¡Perdón!", ["Cards fail.", "¿Por qué?", "¡Perdón!"]),
        ("信用卡無法使用。我們深感抱歉！下午7時前更新。", ["信用卡無法使用。", "我們深感抱歉！", "下午7時前更新。"]),
        ("Wait… or 3. of May. It is so", ["Wait… or 3. of May.", "It is so"]),
        ("Plățile nu merg. Știm. Îmi pare rău.", ["Plățile nu merg.", "Știm.", "Îmi pare rău."]),
    ],
)
def test_a_text_is_parted_at_the_ends_of_its_sentences_only(text: str, parts: list[str]) -> None:
    assert list(sentences(text)) == parts


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("We're sorry. We know you rely on your card.", "We're sorry."),
        ("We're sorry", "We're sorry"),
        ("Sorry for up to $1.50 in fees. Truly.", "Sorry for up to $1.50 in fees."),
        (
            "We're sorry that our partners, e.g. card networks, failed. Truly.",
            "We're sorry that our partners, e.g. card networks, failed.",
        ),
        ("謹此致歉。我們明白。", "謹此致歉。"),
    ],
)
def test_the_first_sentence_stands_alone(text: str, first: str) -> None:
    assert first_sentence(text) == first


def test_a_promised_time_is_a_full_five_minutes_and_never_earlier() -> None:
    assert round_up(at(22, 18, 51)) == at(22, 18, 55)
    assert round_up(at(22, 18, 55)) == at(22, 18, 55)
    assert round_up(at(22, 18, 58) + timedelta(seconds=1)) == at(22, 19)


@pytest.mark.parametrize(
    ("language", "start", "end", "said"),
    [
        ("es", at(22, 0), at(22, 1), "de 0:00 a 1:00"),
        ("es", at(21, 18, 30), at(21, 20, 50), "de 18:30 a 20:50 del sábado 21 de noviembre"),
        (
            "es",
            at(21, 23),
            at(22, 1),
            "desde las 23:00 del sábado 21 de noviembre hasta la 1:00 del domingo 22 de noviembre",
        ),
        ("fr", at(22, 0), at(22, 1), "de 0 h à 1 h"),
        ("fr", at(21, 18, 30), at(21, 20, 50), "de 18 h 30 à 20 h 50 le samedi 21 novembre"),
        ("fr", at(21, 23), at(22, 1), "du samedi 21 novembre à 23 h au dimanche 22 novembre à 1 h"),
    ],
)
def test_what_is_over_lasted_as_a_sentence_in_spanish_and_french_goes_on(
    language: str, start: datetime, end: datetime, said: str
) -> None:
    assert Wording(language, SYDNEY, SUNDAY).lasted(start, end).replace("\u00a0", " ") == said


@pytest.mark.parametrize(
    ("language", "span", "brief"),
    [
        (
            "es",
            "del sábado 28 de noviembre, 23:00, al domingo 29 de noviembre, 3:00",
            "del sáb 28 nov, 23:00, al dom 29 nov, 3:00",
        ),
        (
            "fr",
            "du samedi 28 novembre à 23 h au dimanche 29 novembre à 3 h",
            "du sam. 28 nov. à 23 h au dim. 29 nov. à 3 h",
        ),
    ],
)
def test_a_night_of_work_in_spanish_and_french_has_both_its_days(language: str, span: str, brief: str) -> None:
    window = Wording(language, SYDNEY, SUNDAY).window(at(28, 23), at(29, 3))

    assert [text.replace("\u00a0", " ") for text in (window.span, window.brief)] == [span, brief]


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Africa/Cairo", "heure du Caire"),
        ("America/Havana", "heure de La Havane"),
        ("Africa/Algiers", "heure d’Alger"),
        ("Asia/Yangon", "heure de Yangon"),
    ],
)
def test_french_joins_a_city_to_its_clock_by_its_first_letters(zone: str, said: str) -> None:
    assert Wording("fr", ZoneInfo(zone), SUNDAY).zone_name == said


@pytest.mark.parametrize(
    ("hour", "minute", "said"),
    [(0, 30, "a las 0:30"), (1, 0, "a la 1:00"), (1, 59, "a la 1:59"), (10, 0, "a las 10:00"), (13, 0, "a las 13:00")],
)
def test_one_oclock_is_the_only_hour_that_is_singular_in_spanish(hour: int, minute: int, said: str) -> None:
    moment = Wording("es", SYDNEY, SUNDAY).moment(at(22, hour, minute))

    assert moment.at.replace("\u00a0", " ") == said


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (at(22, 18, 30), at(22, 20, 50), "下午6時30分至晚上8時50分"),
        (at(21, 18, 30), at(21, 20, 50), "11月21日（星期六）下午6時30分至晚上8時50分"),
        (at(21, 23), at(22, 0), "11月21日（星期六）晚上11時至11月22日（星期日）凌晨12時"),
    ],
)
def test_a_stretch_of_time_in_chinese_stands_in_the_middle_of_a_sentence(
    start: datetime, end: datetime, said: str
) -> None:
    assert Wording("zh-Hant", SYDNEY, SUNDAY).lasted(start, end) == said


def test_a_clock_in_figures_has_two_for_the_hour_so_that_nobody_takes_it_for_the_afternoon() -> None:
    assert Wording("zh-Hant", SYDNEY, SUNDAY).moment(at(23, 5, 5)).digits == "05:05"
