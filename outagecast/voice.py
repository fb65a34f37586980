"""How each language says times, sums of money and the like to a listener: in words, with the part of the day.

A voice reads "18:30" as it pleases, "$100" as a sign and a number, and "6:30pm" as letters. Numbers alone, and days,
every voice says right, so they stay as they are. The words for numbers are our own: num2words 0.5.14 has no Chinese,
and its Romanian counts hours as men.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import time
from types import MappingProxyType
from typing import Any, NamedTuple

from outagecast import tongue
from outagecast.tongue import Stretch, Tongue

# The facts that are the officer's own words.
_WRITTEN = (
    *("title", "headline", "summary", "scope", "cause", "workaround", "apology", "compensation", "aftermath"),
    *("retraction_reason", "components"),
)
_SIGNS = re.compile(r"(?P<sign>HK\$|US\$|A\$|[$€£])\s?(?P<before>\d[\d.,\u00a0\u202f]*\d|\d)")
_SIGNS_AFTER = re.compile(r"(?P<after>\d[\d.,\u00a0\u202f]*\d|\d)\s?(?P<sign>[$€£])")
_CLOCK_12 = re.compile(r"(?<![\d.:])(1[0-2]|0?[1-9])(?:[:.]([0-5]\d))?\s?([ap])\.?m\b\.?", re.IGNORECASE)
_CLOCK_24 = re.compile(r"(?<![\d.:])([01]?\d|2[0-3]):([0-5]\d)(?:\s?Uhr|\s?h\b)?(?![\d:])")
_CLOCK_UHR = re.compile(r"(?<![\d.:])([01]?\d|2[0-3])()\s?Uhr\b")
_CLOCK_H = re.compile(r"(?<![\d.:])([01]?\d|2[0-3])\s?h(?:\s?([0-5]\d))?\b")
_CLOCK_HAN = re.compile(r"(?:凌晨|早上|上午|中午|下午|晚上)(1[0-2]|0?\d)時(?:([0-5]?\d)分)?")


def _words(text: str) -> list[str]:
    return text.split()


_ENGLISH = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_ENGLISH_TENS = _words("twenty thirty forty fifty")
_ROMANIAN = _words(
    "zero unu două trei patru cinci șase șapte opt nouă zece unsprezece douăsprezece treisprezece paisprezece "
    "cincisprezece șaisprezece șaptesprezece optsprezece nouăsprezece"
)
_ROMANIAN_TENS = _words("douăzeci treizeci patruzeci cincizeci")
_SPANISH = _words(
    "cero una dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete "
    "dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete "
    "veintiocho veintinueve"
)
_SPANISH_TENS = _words("treinta cuarenta cincuenta")
_FRENCH = _words(
    "zéro une deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit "
    "dix-neuf"
)
_FRENCH_TENS = _words("vingt trente quarante cinquante")
_GERMAN = _words(
    "null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
    "achtzehn neunzehn"
)
_GERMAN_TENS = _words("zwanzig dreißig vierzig fünfzig")
_HAN = "零一二三四五六七八九"


def _counted(number: int, words: list[str], tens: list[str], joint: str) -> str:
    """A number below sixty, where the ones follow the tens and ``words`` go up to nineteen."""
    if number < 20:
        return words[number]
    ten, one = divmod(number, 10)
    return f"{tens[ten - 2]}{joint}{words[one]}" if one else tens[ten - 2]


def _english_number(number: int) -> str:
    return _counted(number, _ENGLISH, _ENGLISH_TENS, "-")


def _romanian_number(number: int) -> str:
    return _counted(number, _ROMANIAN, _ROMANIAN_TENS, " și ")


def _spanish_number(number: int) -> str:
    if number < 30:
        return _SPANISH[number]
    tens, ones = divmod(number, 10)
    return f"{_SPANISH_TENS[tens - 3]} y {'uno' if ones == 1 else _SPANISH[ones]}" if ones else _SPANISH_TENS[tens - 3]


def _french_number(number: int) -> str:
    return _counted(number, _FRENCH, _FRENCH_TENS, " et " if number % 10 == 1 else "-")


def _german_number(number: int) -> str:
    if number < 20:
        return "eins" if number == 1 else _GERMAN[number]
    tens, ones = divmod(number, 10)
    return f"{_GERMAN[ones]}und{_GERMAN_TENS[tens - 2]}" if ones else _GERMAN_TENS[tens - 2]


def _han_number(number: int) -> str:
    tens, ones = divmod(number, 10)
    return f"{_HAN[tens] if tens > 1 else ''}{'十' if tens else ''}{_HAN[ones] if ones or not tens else ''}"


def _english(clock: time) -> str:
    if (clock.hour, clock.minute) in {(0, 0), (12, 0)}:
        return "midday" if clock.hour else "midnight"
    hour, minute = _english_number(clock.hour % 12 or 12), clock.minute
    oh = "oh " if minute < 10 else ""
    part = "at night" if clock.hour in {0, 22, 23} else f"in the {_english_part(clock.hour)}"
    minutes = f"{oh}{_english_number(minute)}" if minute else "o'clock"
    return f"{hour} {minutes} {part}"


def _english_part(hour: int) -> str:
    return "morning" if hour < 12 else "afternoon" if hour < 18 else "evening"


def _romanian(clock: time) -> str:
    hour, minute = _romanian_number(clock.hour), clock.minute
    if not minute:
        return hour
    if minute < 10:  # twenty and two would be twenty-two
        return f"{hour} și {'un minut' if minute == 1 else f'{_romanian_number(minute)} minute'}"
    return f"{hour} și {_romanian_number(minute)}"


def _spanish(clock: time) -> str:
    hour = _spanish_number(clock.hour % 12 or 12)
    minutes = {0: "", 15: " y cuarto", 30: " y media", 1: " y uno"}.get(
        clock.minute, f" y {_spanish_number(clock.minute)}"
    )
    parts = ((1, "de la noche"), (6, "de la madrugada"), (12, "de la mañana"), (13, "del mediodía"))
    part = next((part for end, part in parts if clock.hour < end), "de la tarde" if clock.hour < 20 else "de la noche")
    return f"{hour}{minutes} {part}"


def _spanish_article(clock: str) -> str:
    return f"la {clock}" if clock.partition(" ")[0] == "una" else f"las {clock}"


def _french(clock: time) -> str:
    if (clock.hour, clock.minute) in {(0, 0), (12, 0)}:
        return "midi" if clock.hour else "minuit"
    hours = f"{_french_number(clock.hour)} heure{'s' if clock.hour > 1 else ''}"
    return f"{hours} {_french_number(clock.minute)}" if clock.minute else hours


def _german(clock: time) -> str:
    hour = "ein" if clock.hour == 1 else _german_number(clock.hour)
    return f"{hour} Uhr {_german_number(clock.minute)}" if clock.minute else f"{hour} Uhr"


def _hong_kong(clock: time) -> str:
    hour = clock.hour % 12 or 12
    minutes = "零" * (0 < clock.minute < 10) + f"{_han_number(clock.minute)}分" if clock.minute else ""
    half = "半" if clock.minute == 30 else minutes
    return f"{tongue.part_of_day(clock)}{'兩' if hour == 2 else _han_number(hour)}點{half}"


# Between words there are spaces, but not in Chinese. Six is not six thirty: "șase și treizeci", "sechs Uhr dreißig".
_NO_WORD_BEFORE = "(?<![^\\W\u3400-\u9fff])(?<![一二三四五六七八九十])"
_MINUTES = "|".join(said(number) for said in (_french_number, _german_number) for number in range(1, 60))
_NO_CLOCK_AFTER = rf"(?![^\W\u3400-\u9fff]|[{_HAN}十半]|-| (?:și|si|y|{_MINUTES})\b)"


class _Money(NamedTuple):
    """How a language says a sum: one of it, several, and what joins the number and the name."""

    names: Mapping[str, tuple[str, str]]
    joint: Callable[[str], str] = lambda _: " "


def _romanian_joint(amount: str) -> str:
    """Twenty and more take ``de``: 19 dolari, 20 de dolari, 101 dolari."""
    digits = re.sub(r"\D", "", amount)
    return " " if not digits or 0 < int(digits) % 100 < 20 or digits == "0" else " de "


_DOLLARS = ("$", "HK$", "US$", "A$")
_MONEY: Mapping[str, _Money] = {
    "en": _Money(
        dict.fromkeys(_DOLLARS, ("dollar", "dollars")) | {"€": ("euro", "euros"), "£": ("pound", "pounds")},
    ),
    "ro": _Money(
        dict.fromkeys(_DOLLARS, ("dolar", "dolari")) | {"€": ("euro", "euro"), "£": ("liră", "lire")},
        _romanian_joint,
    ),
    "es": _Money(
        dict.fromkeys(_DOLLARS, ("dólar", "dólares")) | {"€": ("euro", "euros"), "£": ("libra", "libras")},
    ),
    "fr": _Money(
        dict.fromkeys(_DOLLARS, ("dollar", "dollars")) | {"€": ("euro", "euros"), "£": ("livre", "livres")},
    ),
    "de": _Money(dict.fromkeys(_DOLLARS, ("Dollar", "Dollar")) | {"€": ("Euro", "Euro"), "£": ("Pfund", "Pfund")}),
    "zh": _Money(
        dict.fromkeys(_DOLLARS, ("元", "元"))
        | {"HK$": ("港元", "港元"), "US$": ("美元", "美元"), "A$": ("澳元", "澳元")}
        | {"€": ("歐元", "歐元"), "£": ("英鎊", "英鎊")},
        lambda _: "",
    ),
}


def _today(clock: str) -> str:
    """A time of today: ``six thirty this evening``."""
    return clock.replace(" in the ", " this ")


def _once(start: str, end: str) -> tuple[str, str]:
    """From when to when, with the part of the day said once: ``six thirty to eight fifty in the evening``."""
    bare = _without_part(start), _without_part(end)
    if start.removeprefix(bare[0]) == end.removeprefix(bare[1]) != "":
        return bare[0], end
    if start.removesuffix(bare[0]) == end.removesuffix(bare[1]) != "":
        return start, bare[1]
    return start, end


def _without_part(clock: str) -> str:
    """The clock without the part of the day, which whoever writes by hand may say once."""
    return re.sub(r" (?:in the|at night|de la|del)\b.*|^(?:凌晨|上午|中午|下午|晚上)", "", clock)


_TONGUES: Mapping[str, Tongue] = MappingProxyType(
    {
        "en": tongue.ENGLISH._replace(digits=_english, today=_today, once=_once, bare=_without_part),
        "ro": tongue.ROMANIAN._replace(
            digits=_romanian,
            window=Stretch(
                "{day}, de la ora {start} până la ora {end}",
                "{day}, de la ora {start} până la ora {end}",
                "de {day}, ora {start}, până {last_day}, ora {end}",
            ),
            once=_once,
            bare=_without_part,
        ),
        "zh": tongue.HONG_KONG._replace(digits=_hong_kong, day="M月d日EEEE", once=_once, bare=_without_part),
        "es": tongue.SPANISH._replace(
            digits=_spanish,
            the=_spanish_article,
            window=Stretch(
                "{day}, de {the_start} a {the_end}",
                "{day}, de {the_start} a {the_end}",
                "desde {the_start} del {day} hasta {the_end} del {last_day}",
            ),
            lasted=Stretch(
                "de {the_start} a {the_end}",
                "de {the_start} a {the_end} del {day}",
                "desde {the_start} del {day} hasta {the_end} del {last_day}",
            ),
            once=_once,
            bare=_without_part,
        ),
        "fr": tongue.FRENCH._replace(  # "de une heure" would be "d’une heure"
            digits=_french,
            window=Stretch(
                "{day}, entre {start} et {end}", "{day}, entre {start} et {end}", tongue.FRENCH.window.two_days
            ),
            lasted=Stretch("entre {start} et {end}", "entre {start} et {end} le {day}", tongue.FRENCH.lasted.two_days),
            once=_once,
            bare=_without_part,
        ),
        "de": tongue.GERMAN._replace(
            digits=_german,
            clock="{}",
            window=Stretch(
                "{day}, {start} bis {end}", "{day}, {start} bis {end}", "{day}, {start}, bis {last_day}, {end}"
            ),
            lasted=Stretch(
                "von {start} bis {end}", "am {day} von {start} bis {end}", "von {day}, {start}, bis {last_day}, {end}"
            ),
            once=_once,
            bare=_without_part,
        ),
    }
)


def of(language: str) -> Tongue:
    """How a listener hears times in a language; as they are written, where nobody here knows its words."""
    return _TONGUES.get(_base(language)) or tongue.of(language)


def aloud(text: str, language: str) -> str:
    """``text`` with its times of day and sums of money in words."""
    said, base = of(language), _base(language)
    if said.bare is None:
        return text

    def clock(found: re.Match[str]) -> str:
        hour, minute = int(found[1]), int(found[2] or 0)
        if found.re is _CLOCK_12:
            hour = hour % 12 + (12 if found[3].casefold() == "p" else 0)
        if found.re is _CLOCK_HAN:
            hour = hour % 12 + (12 if found[0][:2] in {"下午", "晚上", "中午"} else 0)
        return said.digits(time(hour, minute))

    patterns = [_CLOCK_12] if base == "en" else [_CLOCK_HAN] if base == "zh" else []
    patterns += [_CLOCK_24, *([_CLOCK_UHR] if base == "de" else [_CLOCK_H] if base == "fr" else [])]
    for pattern in patterns:
        text = pattern.sub(clock, text)
    if base == "es":
        text = re.sub(r"\blas una (?=y |de )", "la una ", text)
    return _sums(text, _MONEY[base])


def says(text: str, clock: str) -> bool:
    """Whether a text says this clock, as a ``Moment`` has it for the ear, and not a longer one that begins with it."""
    found = re.search(rf"{_NO_WORD_BEFORE}{re.escape(clock)}{_NO_CLOCK_AFTER}", text)
    return bool(found)


def facts(given: Mapping[str, Any], language: str) -> dict[str, Any]:
    """The officer's own words among a template's facts, as they are said aloud."""
    spoken = {name: _tree(given[name], language) for name in _WRITTEN}
    before = given["said_before"]
    retold = {name: _tree(before[name], language) for name in ("title", "headline", "summary")}
    return spoken | {"said_before": before | retold}


def _tree(node: Any, language: str) -> Any:
    if isinstance(node, str):
        return aloud(node, language)
    if isinstance(node, Mapping):
        return {name: _tree(value, language) for name, value in node.items()}
    if isinstance(node, list):
        return [_tree(value, language) for value in node]
    if isinstance(node, tuple):
        return tuple(_tree(value, language) for value in node)
    return node


def _sums(text: str, money: _Money) -> str:
    def said(found: re.Match[str]) -> str:
        amount = found.groupdict().get("before") or found.groupdict().get("after") or ""
        one, many = money.names[found["sign"]]
        return f"{amount}{money.joint(amount)}{one if amount == '1' else many}"

    return _SIGNS_AFTER.sub(said, _SIGNS.sub(said, text))


def _base(language: str) -> str:
    return language.partition("-")[0]
