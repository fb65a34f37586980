"""What a pre-agreed message leaves open: ``FILL IN what it says | an example`` in the place of a value.

No file is read while a value holds the mark, so that nobody announces one by accident.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MARK = "FILL IN"
_MARK = re.compile(rf"(?<![A-Z]){MARK}(?![A-Z])")


class Placeholder(NamedTuple):
    """What still has to be written."""

    before: str  # words that stay
    wanted: str  # what to write
    example: str  # empty where none is given

    @property
    def filled(self) -> str:
        """The value with the example in its place; without one, with the words that ask for it."""
        return f"{self.before}{self.example or self.wanted}".strip()


def find(text: str) -> Placeholder | None:
    """The placeholder in ``text``, if there is one."""
    mark = _MARK.search(text)
    if mark is None:
        return None
    wanted, _, example = text[mark.end() :].partition("|")
    return Placeholder(text[: mark.start()], wanted.strip(" :"), example.strip())


def put(wanted: str, example: str = "") -> str:
    """A value that is still open."""
    return f"{MARK} {wanted} | {example}" if example else f"{MARK} {wanted}"
