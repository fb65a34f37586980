"""What an update changes, for the officer's eyes: a line a fact, and of each text the words that come and go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from outagecast.changes import Edit, of_words
from outagecast.cli import screen
from outagecast.text import flowing, pieces, printable

if TYPE_CHECKING:
    from outagecast.changes import Change, Value

_MOST_FACTS = 6  # the rest under -v
_MOST_EDITS = 3  # of one text
_SHORT = 24  # characters that need no comparing


def facts(changes: Sequence[Change], number: int, columns: int, *, verbose: bool) -> Iterator[str]:
    """What is said otherwise than in update ``number``."""
    yield click.style(f"Changed since update {number}:", bold=True)
    shown = changes if verbose else changes[:_MOST_FACTS]
    for change in shown:
        yield from _fact_lines(change, columns)
    if len(shown) < len(changes):
        yield f"  and {len(changes) - len(shown)} more: outagecast -v preview …"


def _fact_lines(change: Change, columns: int) -> Iterator[str]:
    before, after, name = _text(change.before), _text(change.after), printable(change.fact)
    if change.before is None or change.after is None or min(len(before), len(after)) <= _SHORT:
        was, is_ = ("not said" if value is None else text for value, text in _pairs(change))
        first, *rest = screen.wrap(f"{name}: {was} -> {is_}", columns - 2) or [""]
        yield f"  {click.style(first[: len(name) + 1], fg='cyan')}{first[len(name) + 1 :]}"
        yield from (f"    {line}" for line in rest)
        return
    yield f"  {click.style(f'{name}:', fg='cyan')}"
    yield from _edit_lines(of_words(before, after), columns, verbose=False)


def _pairs(change: Change) -> Iterator[tuple[Value, str]]:
    for value in (change.before, change.after):
        yield value, _text(value)


def _text(value: Value) -> str:
    return printable(" / ".join(value) if isinstance(value, list) else value or "")


def words(before: str, after: str, number: int, columns: int, *, verbose: bool) -> Iterator[str]:
    """How a text differs from the one of update ``number`` that is out: nothing where it does not, or is taken down."""
    edits = of_words(printable(before), printable(after))
    if not edits or not after.strip():
        return
    if not edits[0].gone and edits[0].new == flowing(pieces(printable(after))):
        yield click.style(f"    (mostly new since update {number})", dim=True)
        return
    yield click.style(f"    since update {number}:", dim=True)
    yield from _edit_lines(edits, columns, verbose=verbose)


def _edit_lines(edits: Sequence[Edit], columns: int, *, verbose: bool) -> Iterator[str]:
    shown = edits if verbose else edits[:_MOST_EDITS]
    for edit in shown:
        for sign, text, colour in (("-", edit.gone, "red"), ("+", edit.new, "green")):
            if text:
                first, *rest = screen.wrap(text, columns - 6)
                yield click.style(f"    {sign} {first}", fg=colour)
                yield from (click.style(f"      {line}", fg=colour) for line in rest)
    if len(shown) < len(edits):
        yield click.style(f"      and {len(edits) - len(shown)} more: outagecast -v preview …", dim=True)
