"""The screen: lines in whatever colours, width and letters it has. What was sent never depends on its being there."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from typing import Any

import click

from outagecast.text import pieces, printable

_MOST_WIDE = 100  # a longer line is hard to read
# Letters of the alphabets that most of our texts are in, and our ornaments: to measure them needs no Rich.
_ONE_CELL = re.compile(
    "[\x20-\x7e\u00a0-\u00ac\u00ae-\u02ff\u2010-\u2027\u202f-\u205e\u20a0-\u20bf\u2190-\u2193\u2500-\u257f]*"
)
_PLAIN = str.maketrans({"─": "-", "·": "-", "…": "..."})  # our own ornaments, for a screen without them


def guard() -> None:
    """Keep 0, 1 and 2 taken where the caller closed them: a socket under such a number would be printed to."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def write(text: str, *, err: bool = False) -> None:
    """Print a line; a closed pipe, a full disk or a narrow encoding must not stop anything."""
    _put(f"{text}\n", sys.stderr if err else sys.stdout)


def note(text: str) -> None:
    """A line for people, beside the result."""
    write(printable(text), err=True)


def ask(prompt: str) -> str:
    """The answer of whoever is at the terminal, in lower case; empty at the end of input."""
    _put(f"{prompt} ", sys.stderr)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        write("", err=True)
    return answer.strip().casefold()


def can_ask() -> bool:
    """Whether somebody can read a question and answer it."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def is_terminal(stream: Any) -> bool:
    """Whether ``stream`` is a terminal; no stream is none."""
    try:
        return stream is not None and bool(stream.isatty())
    except ValueError:  # closed meanwhile
        return False


def can_redraw(stream: Any) -> bool:
    """Whether lines on ``stream`` can be drawn over."""
    return is_terminal(stream) and os.environ.get("TERM", "").casefold() not in {"", "dumb", "unknown"}


def is_unicode(stream: Any) -> bool:
    """Whether every character can be shown on ``stream``."""
    return (getattr(stream, "encoding", None) or "").casefold().replace("-", "").replace("_", "") == "utf8"


def width(*, err: bool = False, most: int = _MOST_WIDE) -> int:
    """Columns to fill: the terminal's, at most ``most``."""
    stream = sys.stderr if err else sys.stdout
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if not os.environ.get("COLUMNS"):
            return max(min(os.get_terminal_size(stream.fileno()).columns or 80, most), 20)
    return max(min(shutil.get_terminal_size((80, 24)).columns, most), 20)


def cells(text: str) -> int:
    """How many columns ``text`` takes, its colours aside: a Chinese character takes two, a combining mark none."""
    bare = click.unstyle(text)
    if _ONE_CELL.fullmatch(bare):
        return len(bare)
    from rich.cells import cell_len

    return cell_len(bare)


def wrap(text: str, columns: int, indent: str = "") -> list[str]:
    """``text`` in lines that fit; words such as addresses of pages are never broken, so that they can be copied."""
    lines: list[str] = []
    line, used = "", 0
    for space, piece in pieces(text):
        added = f"{' ' * len(space)}{piece}"
        if line and used + cells(added) > columns:
            lines.append(line)
            line = ""
        line += added if line else f"{indent}{piece if lines else added}"
        used = cells(line)
    return [*lines, line] if line else lines


def rule(left: str, right: str, columns: int) -> str:
    """A heading across the screen; what stands on its right goes below where there is no room."""
    head = f"── {left} "
    tail = f" {right} ──" if right else ""
    if len(head) + len(tail) > columns:
        return "\n".join([_bar(head, columns), *wrap(right, columns, "  ")])
    return click.style(f"{head}{'─' * (columns - len(head) - len(tail))}{tail}", bold=True)


def _bar(head: str, columns: int) -> str:
    return click.style(f"{head}{'─' * max(columns - len(head), 0)}", bold=True)


def _put(text: str, stream: Any) -> None:
    if stream is None:  # closed by the caller; click would take standard output instead
        return
    # RuntimeError: a signal's handler prints while the same line is being printed
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        if not is_unicode(stream):
            encoding = getattr(stream, "encoding", None) or "ascii"
            text = text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
        else:
            text = text.encode("utf-8", "backslashreplace").decode("utf-8")  # lone surrogates, from a file's name
        colour = can_redraw(stream) and not os.environ.get("NO_COLOR")  # https://no-color.org
        click.echo(text, file=stream, nl=False, color=colour)
