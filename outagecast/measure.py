"""How long a text is for the networks that limit it: X by weight, SMS by parts, a phone line by seconds."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import accumulate
from math import ceil
from typing import NamedTuple

from outagecast import measure_sms, measure_speech, measure_x

X_LIMIT = 280  # https://docs.x.com/fundamentals/counting-characters
_X_LINK = 23  # whatever the length of a link: X rewrites it to t.co

# 140 octets; a part of several gives 6 of them to its header: https://www.twilio.com/docs/glossary/what-sms-character-limit
_CAPACITY = {"GSM-7": (160, 153), "UCS-2": (70, 67)}

_LEADS = re.compile(r"://|@|\.[A-Za-z]{2,}/")

# Grapheme cluster breaks; A and B are Hangul syllables (LV and LVT), O is everything else.
_KINDS = {
    "Control": "C", "Extend": "X", "Spacing": "S", "Prepend": "P", "L": "L", "V": "V", "T": "T",
    "Flag": "F", "Joiner": "J", "Glue": "G", "Base": "E", "GluedBase": "H", "Modifier": "M",
}  # fmt: skip


class Sms(NamedTuple):
    """A text as SMS: encoding "GSM-7" or "UCS-2", parts, and units (septets or UTF-16 code units, no headers)."""

    encoding: str
    segments: int
    units: int


@lru_cache(maxsize=256)  # the fit, the check and the preview ask for the same text
def x_length(text: str) -> int:
    """Weighted length in characters of X, at most X_LIMIT in a post; as twitter-text 3.1.0, configuration v3, counts.

    Characters newer than the interpreter's Unicode may not compose here; they then count for more, never for less.
    """
    units = measure_x.code_units(unicodedata.normalize("NFC", measure_x.code_points(text)))
    links = measure_x.links(units)
    emoji = measure_x.emoji(units)
    length = position = 0
    while position < len(units):
        if position in links:
            length += _X_LINK
            position += links[position]
        elif position in emoji:
            length += 2
            position += emoji[position]
        else:
            length += _x_weight(units[position])
            position += 2 if _is_pair(units[position : position + 2]) else 1
    return length


@lru_cache(maxsize=256)
def sms(text: str) -> Sms:
    """Encoding, parts and units of a text sent as it is; as Twilio's calculator 1.3.0 counts without Smart Encoding."""
    text = measure_x.code_points(text)
    if _is_gsm(text):
        return _sms("GSM-7", [measure_sms.septets()[character] for character in text])
    return _sms("UCS-2", [len(measure_x.code_units(cluster)) for cluster in _graphemes(text)])


@lru_cache(maxsize=256)
def sms_fit(text: str) -> str:
    """``text``, composed (NFC), as it costs least without a word of it meaning something else.

    A text of the GSM alphabet stays as it is. Of any other, the characters outside it are replaced by what says the
    same (``measure_sms``): quotes, dashes, letters without their marks. Where one has nothing of the kind, as in
    Chinese, where a link would lead elsewhere, or where it would take more parts, all of it stays: it is sent as UCS-2
    anyway, and keeps its marks.
    """
    composed = unicodedata.normalize("NFC", text)
    fitted = measure_sms.unmarked(composed)
    if fitted == composed or not _is_gsm(fitted) or _addresses(fitted) != _addresses(composed):
        return composed
    # A text of nothing but “…” grows threefold, and is then cheaper as it was.
    return fitted if sms(fitted).segments <= sms(composed).segments else composed


def sms_obstacles(text: str) -> list[int]:
    """Where the characters stand for which a fitted text is sent as UCS-2."""
    outside = [place for place, character in enumerate(text) if not _is_gsm(character)]
    # A letter that has a plain one stands in the way only where a link would change with it.
    return [place for place in outside if not _is_gsm(measure_sms.unmarked(text[place]))] or outside


def spoken_seconds(text: str, language: str) -> float:
    """How many seconds a voice takes for ``text``, with half a second between two sentences.

    Words at 140 a minute in English and Romanian, 156 in Spanish and French, 118 in German, and 233 characters a
    minute in Chinese: the rates at which what takes 45 words of English takes as long in each. Figures, and so times
    of day, count as the words that they are spoken in. A language that is not known is taken for English.
    Source: R. Hull on older people's ears and recorded voices, for the 140; budgets of our own for the rest.
    """
    return measure_speech.seconds(text, language)


def whole_seconds(text: str, language: str = "en") -> int:
    """``spoken_seconds``, rounded up, for a limit: 20.1 s are too long for one of 20."""
    return ceil(spoken_seconds(text, language))


def _is_gsm(text: str) -> bool:
    return measure_sms.septets().keys() >= set(text)


def _addresses(text: str) -> list[str]:
    """What leads somewhere: the links that X finds, and the letters and digits of whatever else a phone may follow."""
    units = measure_x.code_units(text)
    links = [units[start : start + length] for start, length in measure_x.links(units).items()]
    return [*links, *("".join(filter(str.isalnum, word)) for word in text.split() if _LEADS.search(word))]


def _x_weight(unit: str) -> int:
    if unit <= "\u10ff" or "\u2000" <= unit <= "\u200d" or "\u2010" <= unit <= "\u201f" or "\u2032" <= unit <= "\u2037":
        return 1
    return 2


def _is_pair(units: str) -> bool:
    return "\ud800" <= units[0] <= "\udbff" and "\udc00" <= units[1:] <= "\udfff"


def _sms(encoding: str, sizes: list[int]) -> Sms:
    """The parts that hold units of these sizes, none of them split."""
    alone, shared = _CAPACITY[encoding]
    units = sum(sizes)
    if units <= alone:
        return Sms(encoding, 1, units)
    used = list(accumulate(sizes))
    # The first part is filled as if it were alone; its header then moves what no longer fits to the second part,
    # together with what did not fit before. That part is not checked: clusters of dozens of code units overflow it.
    overflowing = bisect_right(used, alone)
    kept = bisect_right(used, shared)
    segments = 2
    filled = sum(sizes[kept : overflowing + 1])
    for size in sizes[overflowing + 1 :]:
        filled += size
        if filled > shared:
            segments += 1
            filled = size
    return Sms(encoding, segments, units)


def _graphemes(text: str) -> Iterator[str]:
    """The grapheme clusters of Unicode 10 as grapheme-splitter 1.0.4 cuts them, CR and LF apart."""
    classes = _break_classes()
    kinds = "".join(classes.get(ord(character), "O") for character in text)
    return (text[found.start() : found.end()] for found in _cluster().finditer(kinds))


@cache
def _cluster() -> re.Pattern[str]:
    """A grapheme cluster in letters of _KINDS."""
    tail = "[JS]|(?<=P)[^CX]|(?<=L)[LVAB]|(?<=[AV])[VT]|(?<=[BT])T|(?<=J)[GH]"
    # Two quirks: after a flag at most one mark joins, and a skin tone does not after any mark but its base's own.
    return re.compile(f"C|[PF]F[XJS]?|(?=.)(?:[^CX](?:{tail}|(?<=[EH])M)*)?(?:X(?:X|{tail}|(?<=[EH]X)M)*)?")


@cache
def _break_classes() -> dict[int, str]:
    kinds = {point: "B" if (point - 0xAC00) % 28 else "A" for point in range(0xAC00, 0xD7A4)}
    for line in measure_x.data_lines("measure_sms_graphemes.txt"):
        name, _, ranges = line.partition(" ")
        kinds |= dict.fromkeys(measure_x.code_points_in(ranges), _KINDS[name])
    return kinds
