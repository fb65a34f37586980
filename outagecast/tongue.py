"""How each language says a time of day, a day and a stretch of time, as patterns around the officer's facts.

Babel names days, months, cities and units. Its times of day are not used: in English and French it puts U+202F into
them, which halves an SMS and counts twice on X; in French it writes 18:30 for 18 h 30, and in Hong Kong it calls half
past midnight the morning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import time
from types import MappingProxyType
from typing import NamedTuple

_NBSP = "\u00a0"


class Form(NamedTuple):
    """One way to say when, by the clock alone or with its day; ``{the}`` is the clock with its article."""

    today: str
    other_day: str


class Stretch(NamedTuple):
    """From when to when: both on the day of writing, both on another one, or on two days."""

    today: str
    one_day: str
    two_days: str


def _same(clock: str) -> str:
    return clock


def _both(start: str, end: str) -> tuple[str, str]:
    return start, end


class Tongue(NamedTuple):
    """What a language says around clocks and days."""

    day: str  # Babel's pattern, or strftime's for English, which needs no Babel
    brief_day: str
    digits: Callable[[time], str]  # the clock as it stands in a stretch: "18:30"
    clock: str  # the clock alone, around its digits: "{} Uhr"
    the: Callable[[str], str]  # the clock with its article: "las 18:30"
    when: Form
    at: Form
    since: Form
    by: Form
    until: Form
    window: Stretch
    lasted: Stretch
    zone: Callable[[str], str]  # a city's clock
    quotes: tuple[str, str, str, str]  # outer, then inner ones
    today: Callable[[str], str] = _same  # clocks alone, where they are today's
    once: Callable[[str, str], tuple[str, str]] = _both  # the ends of a stretch, without what both of them name
    bare: Callable[[str], str] | None = None  # of one that is heard: the clock without the part of the day


def _colon(clock: time) -> str:
    return f"{clock.hour}:{clock.minute:02}"


def _english(clock: time) -> str:
    if (clock.hour, clock.minute) in {(0, 0), (12, 0)}:
        return "midday" if clock.hour else "midnight"
    minutes = f":{clock.minute:02}" if clock.minute else ""
    return f"{clock.hour % 12 or 12}{minutes}{'pm' if clock.hour >= 12 else 'am'}"


def _french(clock: time) -> str:
    minutes = f"{_NBSP}{clock.minute:02}" if clock.minute else ""
    return f"{clock.hour}{_NBSP}h{minutes}"


def _german(clock: time) -> str:
    return _colon(clock) if clock.minute else str(clock.hour)


def _hong_kong(clock: time) -> str:
    hour, minutes = clock.hour % 12 or 12, f"{clock.minute}分" if clock.minute else ""
    return f"{part_of_day(clock)}{hour}時{minutes}"


def part_of_day(clock: time) -> str:
    """How Hong Kong calls this part of the day."""
    if (clock.hour, clock.minute) == (12, 0):
        return "中午"
    for end, name in ((6, "凌晨"), (12, "上午"), (19, "下午")):
        if clock.hour < end:
            return name
    return "晚上"


def _spanish_article(clock: str) -> str:
    return f"la{_NBSP}{clock}" if clock.startswith("1:") else f"las{_NBSP}{clock}"


def _french_zone(city: str) -> str:
    if city.startswith("Le "):  # heure du Caire
        return f"heure du {city[3:]}"
    return f"heure d’{city}" if city[:1] in "AEIOUÀÂÉÈÎÏÔÛÜ" else f"heure de {city}"


ENGLISH = Tongue(
    day="%A {} %B",
    brief_day="%a {} %b",
    digits=_english,
    clock="{}",
    the=_same,
    when=Form("{clock}", "{clock} on {day}"),
    at=Form("at {clock}", "at {clock} on {day}"),
    since=Form("since {clock}", "since {clock} on {day}"),
    by=Form("by {clock}", "by {clock} on {day}"),
    until=Form("until {clock}", "until {clock} on {day}"),
    window=Stretch("{day}, {start} to {end}", "{day}, {start} to {end}", "{start} on {day} to {end} on {last_day}"),
    lasted=Stretch("from {start} to {end}", "from {start} to {end} on {day}", "from {first} to {last}"),
    zone="{} time".format,
    quotes=("“", "”", "‘", "’"),
)
ROMANIAN = Tongue(
    day="EEEE, d MMMM",
    brief_day="EEE, d MMM",
    digits=lambda clock: f"{clock:%H:%M}",
    clock="{}",
    the=_same,
    when=Form("ora {clock}", "{day}, ora {clock}"),
    at=Form("la ora {clock}", "{day}, la ora {clock}"),
    since=Form("de la ora {clock}", "de {day}, ora {clock}"),
    by=Form("până la ora {clock}", "până {day}, la ora {clock}"),
    until=Form("până la ora {clock}", "până {day}, la ora {clock}"),
    window=Stretch(
        "{day}, între orele {start} și {end}",
        "{day}, între orele {start} și {end}",
        "de {day}, ora {start}, până {last_day}, ora {end}",
    ),
    lasted=Stretch(
        "de la ora {start} la ora {end}",
        "{day}, de la ora {start} la ora {end}",
        "de {day}, ora {start}, până {last_day}, ora {end}",
    ),
    zone="ora din {}".format,
    quotes=("„", "”", "«", "»"),
)
HONG_KONG = Tongue(
    day="M月d日（EEEE）",
    brief_day="M月d日",
    digits=_hong_kong,
    clock="{}",
    the=_same,
    when=Form("{clock}", "{day}{clock}"),
    at=Form("{clock}", "{day}{clock}"),
    since=Form("自{clock}起", "自{day}{clock}起"),
    by=Form("{clock}或之前", "{day}{clock}或之前"),
    until=Form("至{clock}", "至{day}{clock}"),
    window=Stretch("{day}{start}至{end}", "{day}{start}至{end}", "{day}{start}至{last_day}{end}"),
    lasted=Stretch("{start}至{end}", "{day}{start}至{end}", "{day}{start}至{last_day}{end}"),
    zone="{}時間".format,
    quotes=("「", "」", "『", "』"),
)
SPANISH = Tongue(
    day="EEEE d 'de' MMMM",
    brief_day="EEE d MMM",
    digits=_colon,
    clock="{}",
    the=_spanish_article,
    when=Form("{the}", "{the} del {day}"),
    at=Form("a {the}", "a {the} del {day}"),
    since=Form("desde {the}", "desde {the} del {day}"),
    by=Form("antes de {the}", "antes de {the} del {day}"),
    until=Form("hasta {the}", "hasta {the} del {day}"),
    window=Stretch(
        "{day}, de {start} a {end}",
        "{day}, de {start} a {end}",
        "del {day}, {start}, al {last_day}, {end}",
    ),
    lasted=Stretch(
        "de {start} a {end}",
        "de {start} a {end} del {day}",
        "desde {the_start} del {day} hasta {the_end} del {last_day}",
    ),
    zone="hora de {}".format,
    quotes=("«", "»", "“", "”"),
)
FRENCH = Tongue(
    day="EEEE d MMMM",
    brief_day="EEE d MMM",
    digits=_french,
    clock="{}",
    the=_same,
    when=Form("{clock}", "{day} à {clock}"),
    at=Form("à {clock}", "le {day} à {clock}"),
    since=Form("depuis {clock}", "depuis le {day} à {clock}"),
    by=Form("avant {clock}", "avant le {day} à {clock}"),
    until=Form("jusqu’à {clock}", "jusqu’au {day} à {clock}"),
    window=Stretch(
        "{day}, de {start} à {end}", "{day}, de {start} à {end}", "du {day} à {start} au {last_day} à {end}"
    ),
    lasted=Stretch("de {start} à {end}", "de {start} à {end} le {day}", "du {day} à {start} au {last_day} à {end}"),
    zone=_french_zone,
    quotes=(f"«{_NBSP}", f"{_NBSP}»", "“", "”"),
)
GERMAN = Tongue(
    day="EEEE, d. MMMM",
    brief_day="EEE, d. MMM",
    digits=_german,
    clock="{} Uhr",
    the=_same,
    when=Form("{clock}", "{day}, {clock}"),
    at=Form("um {clock}", "am {day}, um {clock}"),
    since=Form("seit {clock}", "seit {day}, {clock}"),
    by=Form("bis {clock}", "bis {day}, {clock}"),
    until=Form("bis {clock}", "bis {day}, {clock}"),
    window=Stretch(
        "{day}, {start} Uhr bis {end} Uhr",
        "{day}, {start} Uhr bis {end} Uhr",
        "{day}, {start} Uhr, bis {last_day}, {end} Uhr",
    ),
    lasted=Stretch(
        "von {start} Uhr bis {end} Uhr",
        "am {day} von {start} Uhr bis {end} Uhr",
        "von {day}, {start} Uhr, bis {last_day}, {end} Uhr",
    ),
    zone="Ortszeit {}".format,
    quotes=("„", "“", "‚", "‘"),
)
# What any reader of figures understands, for a language that has no entry here.
NEUTRAL = Tongue(
    day="EEEE d MMMM",
    brief_day="EEE d MMM",
    digits=lambda clock: f"{clock:%H:%M}",
    clock="{}",
    the=_same,
    when=Form("{clock}", "{day}, {clock}"),
    at=Form("{clock}", "{day}, {clock}"),
    since=Form("{clock}", "{day}, {clock}"),
    by=Form("{clock}", "{day}, {clock}"),
    until=Form("{clock}", "{day}, {clock}"),
    window=Stretch("{day}, {start} – {end}", "{day}, {start} – {end}", "{day}, {start} – {last_day}, {end}"),
    lasted=Stretch("{start} – {end}", "{day}, {start} – {end}", "{first} – {last}"),
    zone=_same,
    quotes=("“", "”", "‘", "’"),
)

_TONGUES: Mapping[str, Tongue] = MappingProxyType(
    {"en": ENGLISH, "ro": ROMANIAN, "zh": HONG_KONG, "es": SPANISH, "fr": FRENCH, "de": GERMAN}
)


def of(language: str) -> Tongue:
    """The tongue of a language code such as ``ro`` or ``zh-Hant``."""
    return _TONGUES.get(language.partition("-")[0], NEUTRAL)
