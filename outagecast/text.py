"""Text from outside, made harmless: for the terminal, for logs and for people."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from outagecast.secret import redact

# C0 and C1 controls (ESC among them), bidi overrides and isolates, zero-width and line-separator characters: what can
# colour, reorder or hide text on a screen; and U+FFFE and U+FFFF, which XML has no place for. Tab and newline are
# handled by the caller's choice.
_HARMFUL = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\ufff9-\ufffb\ufffe\uffff]"
)
_SPACE = re.compile(r"\s+")
# Scripts without spaces between words may be broken between any two characters, but for the punctuation that must not
# begin or end a line. Spaces that must not be broken are part of a word.
_BLANK = " \t\n\r\f\v\u3000"
_WIDE = "\u2e80-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff01-\uffee\U00020000-\U0003fffd"
_OPENING, _CLOSING = "（〔［｛〈《「『【", "、。，．：；？！）〕］｝〉》」』】…"
_PIECE = re.compile(
    f"([{_BLANK}]*)((?:[{_OPENING}]*(?:(?![{_OPENING}{_CLOSING}])[{_WIDE}]|[^{_BLANK}{_WIDE}]+)|[^{_BLANK}])"
    f"[{_CLOSING},.;:!?)”’]*)"
)


def harmful_characters(text: str) -> list[tuple[int, str]]:
    """Where control, bidi and invisible characters stand in ``text``, as (offset, name such as ``U+202E``)."""
    return [(found.start(), f"U+{ord(found.group()):04X}") for found in _HARMFUL.finditer(text)]


def folded(text: str) -> str:
    """The words alone, for comparing with what a network shows: NFC, every run of white space one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def pieces(text: str) -> list[tuple[str, str]]:
    """What ``text`` may be broken between, each with the white space before it: words, or the letters of Chinese."""
    return _PIECE.findall(text)


def flowing(found: Iterable[tuple[str, str]]) -> str:
    """Pieces in one line: all white space between two of them one space."""
    return "".join(f"{' ' if space else ''}{piece}" for space, piece in found).strip()


def printable(text: str) -> str:
    """``text`` fit for a terminal: every harmful character as the replacement character, lines and tabs kept."""
    return _HARMFUL.sub("\ufffd", text)


def clean(text: object, *, most: int = 300) -> str:
    """One safe line out of a provider's words: no controls, no secrets, at most ``most`` characters."""
    line = redact(_SPACE.sub(" ", _HARMFUL.sub(" ", str(text)))).strip()
    return line if len(line) <= most else line[: most - 1] + "…"
