"""Text from outside, made harmless: for the terminal, for logs and for people."""

from __future__ import annotations

import re
import unicodedata

from outagecast.secret import redact

# C0 and C1 controls (ESC among them), bidi overrides and isolates, zero-width and line-separator characters:
# what can colour, reorder or hide text on a screen. Tab and newline are handled by the caller's choice.
_HARMFUL = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\ufff9-\ufffb]"
)
_SPACE = re.compile(r"\s+")


def harmful_characters(text: str) -> list[tuple[int, str]]:
    """Where control, bidi and invisible characters stand in ``text``, as (offset, name such as ``U+202E``)."""
    return [(found.start(), f"U+{ord(found.group()):04X}") for found in _HARMFUL.finditer(text)]


def folded(text: str) -> str:
    """The words alone, for comparing with what a network shows: NFC, every run of white space one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def printable(text: str) -> str:
    """``text`` fit for a terminal: every harmful character as the replacement character, lines and tabs kept."""
    return _HARMFUL.sub("\ufffd", text)


def clean(text: object, *, most: int = 300) -> str:
    """One safe line out of a provider's words: no controls, no secrets, at most ``most`` characters."""
    line = redact(_SPACE.sub(" ", _HARMFUL.sub(" ", str(text)))).strip()
    return line if len(line) <= most else line[: most - 1] + "…"
