"""Times and sums as a listener hears them, in every language, and that the fact check finds them."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from outagecast import voice
from outagecast.errors import TemplateError
from outagecast.measure import whole_seconds
from outagecast.wording import Wording

if TYPE_CHECKING:
    from tests.conftest import Newsroom

NOW = datetime(2026, 11, 22, 18, 50, tzinfo=ZoneInfo("Australia/Sydney"))
LANGUAGES = ("en", "ro", "zh-Hant", "es", "fr", "de")


def wording(language: str) -> Wording:
    return Wording(language, ZoneInfo("Australia/Sydney"), NOW, is_spoken=True)


@pytest.mark.parametrize(
    ("language", "clock", "said"),
    [
        ("en", "18:30", "six thirty in the evening"),
        ("en", "07:05", "seven oh five in the morning"),
        ("en", "21:00", "nine o'clock in the evening"),
        ("en", "12:45", "twelve forty-five in the afternoon"),
        ("en", "23:15", "eleven fifteen at night"),
        ("en", "00:00", "midnight"),
        ("en", "12:00", "midday"),
        ("ro", "18:30", "optsprezece și treizeci"),
        ("ro", "02:00", "două"),
        ("ro", "20:02", "douăzeci și două minute"),
        ("ro", "22:01", "douăzeci și două și un minut"),
        ("ro", "21:42", "douăzeci și unu și patruzeci și două"),
        ("zh-Hant", "18:30", "下午六點半"),
        ("zh-Hant", "14:05", "下午兩點零五分"),
        ("zh-Hant", "20:50", "晚上八點五十分"),
        ("zh-Hant", "00:12", "凌晨十二點十二分"),
        ("es", "18:30", "seis y media de la tarde"),
        ("es", "13:15", "una y cuarto de la tarde"),
        ("es", "02:40", "dos y cuarenta de la madrugada"),
        ("es", "12:00", "doce del mediodía"),
        ("fr", "18:30", "dix-huit heures trente"),
        ("fr", "21:01", "vingt et une heures une"),
        ("fr", "01:22", "une heure vingt-deux"),
        ("fr", "00:00", "minuit"),
        ("de", "18:30", "achtzehn Uhr dreißig"),
        ("de", "01:01", "ein Uhr eins"),
        ("de", "21:00", "einundzwanzig Uhr"),
    ],
)
def test_a_time_of_day_is_said_in_words(language: str, clock: str, said: str) -> None:
    assert said == voice.of(language).digits(time.fromisoformat(clock))


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_time_of_day_is_said_in_figures_or_like_another(language: str) -> None:
    minutes = [time(hour, minute) for hour in range(24) for minute in range(60)]
    said = [voice.of(language).digits(clock) for clock in minutes]

    assert not [clock for clock in said if any(map(str.isdigit, clock))]
    assert len(set(said)) == len(minutes)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_clock_is_found_where_it_is_said_and_nowhere_else(language: str) -> None:
    tongue = voice.of(language)
    assert tongue.bare is not None
    clocks = [time(hour, minute) for hour in (6, 7, 18, 21) for minute in (0, 5, 30, 45)]
    bare = {clock: tongue.bare(tongue.digits(clock)) for clock in clocks}

    for clock, words in bare.items():
        text = f"x {tongue.digits(clock)}." if language != "zh-Hant" else f"自{tongue.digits(clock)}起"
        found = {other for other, its in bare.items() if voice.says(text, its)}
        assert {other for other in clocks if bare[other] == words} == found


@pytest.mark.parametrize(
    ("language", "forms"),
    [
        ("en", ["at six thirty this evening", "since six thirty this evening", "by six thirty this evening"]),
        ("ro", [f"{word} ora optsprezece și treizeci" for word in ("la", "de la", "până la")]),
        ("zh-Hant", ["下午六點半", "自下午六點半起", "下午六點半或之前"]),
        ("es", [f"{word} las seis y media de la tarde" for word in ("a", "desde", "antes de")]),
        ("fr", ["à dix-huit heures trente", "depuis dix-huit heures trente", "avant dix-huit heures trente"]),
        ("de", ["um achtzehn Uhr dreißig", "seit achtzehn Uhr dreißig", "bis achtzehn Uhr dreißig"]),
    ],
)  # fmt: skip
def test_a_time_keeps_its_forms(language: str, forms: list[str]) -> None:
    moment = wording(language).moment(NOW.replace(minute=30))

    assert forms == [moment.at, moment.since, moment.by]


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "from six thirty to eight fifty this evening"),
        ("ro", "de la ora optsprezece și treizeci la ora douăzeci și cincizeci"),
        ("zh-Hant", "下午六點半至晚上八點五十分"),
        ("es", "de las seis y media de la tarde a las ocho y cincuenta de la noche"),
        ("fr", "entre dix-huit heures trente et vingt heures cinquante"),
        ("de", "von achtzehn Uhr dreißig bis zwanzig Uhr fünfzig"),
    ],
)
def test_a_stretch_names_the_part_of_the_day_once_where_it_is_one(language: str, said: str) -> None:
    start = NOW.replace(minute=30)

    assert wording(language).lasted(start, start + timedelta(hours=2, minutes=20)).endswith(said)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "from twelve ten at night to eleven fifty at night"),
        ("es", "de las doce y diez de la noche a las once y cincuenta de la noche"),
    ],
)
def test_a_stretch_from_one_night_to_the_next_names_both(language: str, said: str) -> None:
    start = NOW.replace(hour=0, minute=10)

    assert wording(language).lasted(start, start.replace(hour=23, minute=50)).endswith(said)


@pytest.mark.parametrize(
    ("language", "text", "said"),
    [
        ("en", "Until 9pm, up to $100.", "Until nine o'clock in the evening, up to 100 dollars."),
        ("en", "Fees of £1 and 2 of 7 cards; call 13 20 32.", "Fees of 1 pound and 2 of 7 cards; call 13 20 32."),
        ("ro", "Până la 18:30, 100 € sau 5 €.", "Până la optsprezece și treizeci, 100 de euro sau 5 euro."),
        ("es", "Antes de las 13:30, 20 €.", "Antes de la una y media de la tarde, 20 euros."),
        ("fr", "Avant 18 h 30 ou 9 h, 30 €.", "Avant dix-huit heures trente ou neuf heures, 30 euros."),
        ("de", "Bis 18:30 Uhr oder 5 Uhr, 30 €.", "Bis achtzehn Uhr dreißig oder fünf Uhr, 30 Euro."),
        ("zh-Hant", "至下午6時30分，HK$30。", "至下午六點半，30港元。"),
        ("it", "Fino alle 18:30, 30 €.", "Fino alle 18:30, 30 €."),
    ],
)  # fmt: skip
def test_times_and_sums_in_the_officers_words_are_said_aloud(language: str, text: str, said: str) -> None:
    assert said == voice.aloud(text, language)


FACTS: dict[str, Any] = {
    "started_at": "2026-11-22T18:30+11:00",
    "workaround": ["Contactless works up to $100, until 9pm."],
    "apology": "We're sorry.",
    "next_update_at": "2026-11-22T19:30+11:00",
}


def phone(newsroom: Newsroom) -> Newsroom:
    newsroom.settings["channels"]["phone"] = {"kind": "phone_script", "path": "phone.xml"}
    return newsroom


def test_a_phone_script_has_no_figures_of_a_clock_no_sign_no_link_and_no_zone(newsroom: Newsroom) -> None:
    text = phone(newsroom).texts("phone", **FACTS)["phone_script.text"]

    assert "It started at six thirty this evening." in text
    assert text.endswith("Next update by seven thirty this evening.")
    assert not [sign for sign in ("$", "http", "6:30", "9pm", "Sydney", "13 20 32") if sign in text]
    assert whole_seconds(text, "en") <= 20


def test_the_fact_check_finds_the_times_that_are_said_in_words(newsroom: Newsroom) -> None:
    (variant,) = phone(newsroom).variants("phone", **FACTS)

    assert {"summary", "started_at", "workaround", "apology", "next_update_at"} <= set(variant.carried)


def test_a_script_by_hand_may_say_the_part_of_the_day_once(newsroom: Newsroom) -> None:
    summary = "Our debit and credit cards are being declined in shops and online."
    text = f"We're sorry. {summary} It began at six thirty. Listen again after seven thirty in the evening."

    (variant,) = phone(newsroom).variants("phone", **FACTS, variants={"phone": {"en": {"text": text}}})

    assert variant.parts["text"] == text


def test_a_script_by_hand_with_another_time_is_refused(newsroom: Newsroom) -> None:
    summary = "Our debit and credit cards are being declined in shops and online."
    text = f"We're sorry. {summary} It began at six fifteen. Listen again after seven thirty."

    with pytest.raises(TemplateError, match="does not state started_at"):
        phone(newsroom).variants("phone", **FACTS, variants={"phone": {"en": {"text": text}}})


def test_a_script_that_takes_too_long_says_how_much_to_lose(newsroom: Newsroom) -> None:
    with pytest.raises(TemplateError, match=r"too long for phone: \d+ of 30 seconds"):
        phone(newsroom).variants("phone", summary=" ".join(["Our cards are being declined in shops"] * 14))
