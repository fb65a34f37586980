"""How long a text is for the networks that limit it: X by weight, SMS by parts."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import accumulate
from typing import NamedTuple

from outagecast import measure_x

X_LIMIT = 280  # https://docs.x.com/fundamentals/counting-characters
_X_LINK = 23  # whatever the length of a link: X rewrites it to t.co

# https://www.twilio.com/docs/glossary/what-is-gsm-7-character-encoding
_GSM_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENSION = "\f^{}\\[~]|€"  # an escape before each: two septets

# 140 octets; a part of several gives 6 of them to its header: https://www.twilio.com/docs/glossary/what-sms-character-limit
_CAPACITY = {"GSM-7": (160, 153), "UCS-2": (70, 67)}

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
    if all(character in _septets() for character in text):
        return _sms("GSM-7", [_septets()[character] for character in text])
    return _sms("UCS-2", [len(measure_x.code_units(cluster)) for cluster in _graphemes(text)])


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


@cache
def _septets() -> dict[str, int]:
    return dict.fromkeys(_GSM_BASIC, 1) | dict.fromkeys(_GSM_EXTENSION, 2)
