"""The alphabet in which an SMS holds most, and what stands for the characters that it lacks.

One character outside it sends the whole text as UCS-2: 70 characters a part instead of 160.
"""

from __future__ import annotations

import unicodedata
from functools import cache

# https://www.twilio.com/docs/glossary/what-is-gsm-7-character-encoding
_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = "\f^{}\\[~]|€"  # an escape before each: two septets

# Signs that look otherwise and say the same. What could say something else is left as it is: ½ after a 2, º after a 1
# (it would be a 10), ° and ™.
_SIGNS = {
    **dict.fromkeys("“”„‟«»″", '"'),
    **dict.fromkeys("‘’‚‛‹›′ʼ`´", "'"),
    **dict.fromkeys("‐‑‒–—―−•·", "-"),  # the last three: minus, and what stands before or between items
    "…": "...",
    "×": "x",
    "\t": " ",
    **dict.fromkeys("\u2028\u2029\x85", "\n"),
    # Nobody sees them between Latin letters: soft hyphen, zero-width space, word joiner, byte order mark.
    **dict.fromkeys("\u00ad\u200b\u2060\ufeff", ""),
}

# Letters that Unicode does not take apart, as passports spell them: ICAO Doc 9303, part 3, section 6, table A. But
# Hungarian ő and ű, the long ö and ü, become those: the alphabet has them, and o and u are other letters.
_LETTERS = {
    "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "ħ": "h", "Ħ": "H", "ı": "i", "ł": "l", "Ł": "L", "ŧ": "t", "Ŧ": "T",
    "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "Th", "ẞ": "SS", "ő": "ö", "Ő": "Ö", "ű": "ü", "Ű": "Ü",
}  # fmt: skip


@cache
def septets() -> dict[str, int]:
    """How many septets each character of the alphabet takes."""
    return dict.fromkeys(_BASIC, 1) | dict.fromkeys(_EXTENSION, 2)


def unmarked(text: str) -> str:
    """``text``, composed (NFC), in characters of the alphabet, as far as some say the same; the others stay."""
    return "".join(map(_unmarked, unicodedata.normalize("NFC", text)))


@cache
def _unmarked(character: str) -> str:
    """What says the same as ``character`` in the alphabet, else itself."""
    if character in septets():
        return character
    if unicodedata.category(character) == "Zs":  # a space of another width
        return " "
    return {**_SIGNS, **_LETTERS}.get(character, _base(character))


def _base(character: str) -> str:
    """A Latin letter without what Unicode puts upon it, and a ligature in its letters.

    Other scripts keep theirs: without its mark a Greek, Cyrillic or Arabic letter would be of the same use to nobody.
    """
    is_letter = unicodedata.category(character) in {"Lu", "Ll", "Lt"}  # not ª, ᵃ or ₐ
    if not (is_letter and unicodedata.name(character).startswith("LATIN ")):
        return character
    base = "".join(part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part))
    return base if all(part.isalpha() and part in septets() for part in base) else character
