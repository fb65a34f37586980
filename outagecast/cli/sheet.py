"""Draws what setting up shows: tables that become lists where the screen is narrow, and one line for each finding."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from outagecast.cli import screen
from outagecast.text import printable

if TYPE_CHECKING:
    from outagecast.check import Item

_COLOURS = {"ok": "green", "warn": "yellow", "wrong": "red"}
_GAP = 2  # columns between columns


def dump(value: Mapping[str, Any]) -> None:
    """One JSON object on standard output."""
    screen.write(json.dumps(value, ensure_ascii=not screen.is_unicode(sys.stdout), indent=2))


def show(lines: Iterable[str]) -> None:
    """Lines on standard output."""
    for line in lines:
        screen.write(line)


def findings(items: Sequence[Item]) -> Iterator[str]:
    """A line for each item: how it is, what it is, the words, and the fix beside what is wrong.

    A terminal gets them folded below their own column; into a pipe each is one line, to be searched.
    """
    widest = max(len(item.name) for item in items)
    for item in items:
        label = click.style(f"{item.verdict.upper():<5}", fg=_COLOURS[item.verdict], bold=True)
        fix = f" -> {printable(item.fix)}" if item.fix else ""
        head = f"{label}  {item.name:<{widest}}  "
        line = f"{printable(item.words)}{fix}"
        if not screen.is_terminal(sys.stdout):
            yield f"{head}{line}"
        elif screen.width() < len(click.unstyle(head)) + 32:
            yield head.rstrip()
            yield from screen.wrap(line, screen.width(), "    ")
        else:
            yield from _folded(head, len(click.unstyle(head)), line)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Aligned columns where they fit, the last one folded; else one block a row."""
    widths = [max(len(row[number]) for row in (headers, *rows)) for number in range(len(headers) - 1)]
    before = sum(widths) + _GAP * len(widths)
    if before + 20 > screen.width():
        for row in rows:
            yield click.style(row[0], bold=True)
            for header, cell in zip(headers[1:], row[1:], strict=True):
                yield from _folded(f"  {header.lower()}: ", 4, cell)
        return
    for row in (headers, *rows):
        cells = [f"{cell:<{width}}" for cell, width in zip(row[:-1], widths, strict=True)]
        bold = click.style((" " * _GAP).join(cells), bold=row is headers)
        yield from _folded(f"{bold}{' ' * _GAP}", before, row[-1])


def pairs(rows: Iterable[tuple[str, str]], indent: str = "  ") -> Iterator[str]:
    """A name and its answer on a line; below each other where the screen is narrow."""
    rows = [(name.strip("`"), answer.replace("`", "")) for name, answer in rows]
    widest = max(len(name) for name, _ in rows)
    narrow = screen.width() < len(indent) + widest + 32
    for name, answer in rows:
        if narrow:
            yield from _folded(f"{indent}{name}: ", len(indent) + 2, answer)
        else:
            yield from _folded(f"{indent}{name:<{widest}}  ", len(indent) + widest + 2, answer)


def note(text: str) -> None:
    """Words for people beside the result, folded."""
    for line in screen.wrap(text, screen.width(err=True)):
        screen.note(line)


def heading(text: str) -> str:
    """A line that opens something."""
    return click.style(text, bold=True)


def _folded(head: str, column: int, text: str) -> Iterator[str]:
    """``text`` after ``head``; what does not fit goes on below, from ``column`` on, or further left if that is far."""
    columns = screen.width()
    column = column if column <= columns // 2 else 4
    used = len(click.unstyle(head))
    # The head stands in for its own width, so that the first line is folded shorter.
    first, *_ = screen.wrap(f"{'x' * used}{text}", columns) or [""]
    if len(first) > columns or len(first) <= used:  # not even the first word fits beside it
        yield head.rstrip()
        yield from screen.wrap(text, columns, "    ")
        return
    yield f"{head}{first[used:]}".rstrip()
    yield from screen.wrap(text[len(first) - used :].strip(), columns, " " * column)
