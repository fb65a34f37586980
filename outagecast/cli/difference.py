"""Where the public sees other words than were sent: the words around each place, above one another."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from outagecast.model import Difference

_AROUND = 4  # words on each side of a place
_MOST_PLACES, _MOST_WORDS = 3, 60
_LABEL = "sent: "


class _Word(NamedTuple):
    text: str
    differs: bool = False


def lines(difference: Difference, kind: str, columns: int, indent: str) -> Iterator[str]:
    """Each place on two lines, what was sent and what is seen; the words that differ in colour."""
    from outagecast.verify import MOST_WORDS, readable

    sent, seen = readable(kind, difference.part, difference.sent, difference.seen)
    old, new = sent.split()[:MOST_WORDS], seen.split()[:MOST_WORDS]
    places = list(difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(_AROUND))
    for place in places[:_MOST_PLACES]:
        first, last = place[0], place[-1]
        was = [_Word(word, step != "equal") for step, i1, i2, _, _ in place for word in old[i1:i2]]
        now = [_Word(word, step != "equal") for step, _, _, j1, j2 in place for word in new[j1:j2]]
        yield from _row("sent", _cut(was, first[1] > 0, last[2] < len(old)), "green", columns, indent)
        yield from _row("seen", _cut(now, first[3] > 0, last[4] < len(new)), "red", columns, indent)
    if len(places) > _MOST_PLACES:
        yield f"{indent}and {len(places) - _MOST_PLACES} more places"


def _cut(words: Sequence[_Word], is_after: bool, is_before: bool) -> list[_Word]:
    """With a sign where the text goes on."""
    shown = list(words[:_MOST_WORDS])
    before = [_Word("…")] if is_after and words else []
    after = [_Word("…")] if is_before or len(shown) < len(words) else []
    return [*before, *shown, *after] if words else [_Word("(nothing)", differs=True)]


def _row(label: str, words: Sequence[_Word], colour: str, columns: int, indent: str) -> Iterator[str]:
    """Words in lines that fit, styled after they were measured."""
    line, used = [click.style(f"{label}:", dim=True)], len(indent) + len(label) + 1
    for word in words:
        if used + 1 + len(word.text) > columns and len(line) > 1:
            yield indent + " ".join(line)
            line, used = [" " * (len(_LABEL) - 1)], len(indent) + len(_LABEL) - 1
        line.append(click.style(word.text, fg=colour, bold=True) if word.differs else word.text)
        used += 1 + len(word.text)
    yield indent + " ".join(line)
