"""How long the voice of a phone line takes to say a text: an estimate, to be compared once with that voice."""

from __future__ import annotations

import re
from typing import NamedTuple


class _Pace(NamedTuple):
    """How many words of a language, or characters of one without spaces, are said in ``_SECONDS``."""

    units: int
    by_character: bool = False


# 45 English words at 140 a minute: ageing ears follow some 124, most adults 160 and more (R. Hull, on listening to
# voice menus). The same sentence takes as long in every language, in fewer words where they are longer.
_SECONDS = 45 / 140 * 60
_PACES = {
    "en": _Pace(45),
    "ro": _Pace(45),
    "es": _Pace(50),
    "fr": _Pace(50),
    "de": _Pace(38),
    "zh": _Pace(75, by_character=True),
}
_PAUSE = 0.5  # seconds between two sentences

_CHARACTER = (
    r"[\u2e80-\u2fff\u3005-\u3007\u3040-\u9fff\uac00-\ud7a3\uf900-\ufaff]"  # of a script without spaces between words
)
_BETWEEN_SENTENCES = re.compile(r"[.!?…][\"'”’»)]*\s+(?=\S)|[。！？][」』）]*\s*(?=[^\s」』）])|\n+(?=\S)")
_SAID = re.compile(
    r"(?P<number>\d{1,3}(?:[.,'’\u00a0\u202f]\d{3})+(?!\d)|\d+)"
    r"|(?P<half>(?<=\d)\s?[ap]\.?m\b)"
    r"|(?P<sign>[$€£¥%&+@])"
    rf"|(?P<character>{_CHARACTER})"
    rf"|(?P<word>(?:(?!{_CHARACTER})[^\W\d_]|(?<=\w)['’-](?=\w))+)",
    re.IGNORECASE,
)


def seconds(text: str, language: str) -> float:
    """How many seconds it takes; ``measure.spoken_seconds`` says how they are counted."""
    pace = _PACES.get(language.partition("-")[0].casefold(), _PACES["en"])
    said = sum(_units(found, by_character=pace.by_character) for found in _SAID.finditer(text))
    return said / pace.units * _SECONDS + _PAUSE * len(_BETWEEN_SENTENCES.findall(text.strip()))


def _units(found: re.Match[str], *, by_character: bool) -> int:
    """How many words, or characters, are said for a piece of a text."""
    if found["number"]:
        return _of_number(found["number"], by_character=by_character)
    if found["half"]:
        return 2  # p, m
    if found["character"]:
        return 1
    return 2 if by_character else 1  # a foreign word among characters takes about as long as two of them


def _of_number(written: str, *, by_character: bool) -> int:
    """Thirty-two is two words, three characters; a number as long as a phone's is said figure by figure."""
    digits = re.sub(r"\D", "", written)
    if written == digits and (len(digits) > 4 or digits.startswith("0")):
        return len(digits)
    if int(digits) < 20:
        return 2 if by_character and int(digits) > 10 else 1
    # Seven, thirty; from the hundreds on, two: the figure, and what it counts.
    places = enumerate(reversed(digits))
    return sum(2 if place > (0 if by_character else 1) else 1 for place, digit in places if digit != "0")
