"""The list of those who must not be sent anything again, as a CSV file: read in, written out, never shown."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal, NamedTuple, cast

from outagecast import audience, csv_form
from outagecast.errors import AudienceError, Problem
from outagecast.ledger import Ledger, Suppression
from outagecast.plan import SUPPRESSED
from outagecast.text import clean

COLUMNS = ("address", "kind", "why", "at", "source")
_AT_ONCE = 1000  # rows that are kept together
_MOST_BAD = 1000  # rows; with more it is another kind of file
_MOST_SHOWN = 20
_MOST_SOURCE = 60  # characters


class Taken(NamedTuple):
    """What became of a file that was read in."""

    rows: int  # that could be used, repeats among them
    changed: int  # of those, what the list did not say before
    bad: tuple[Problem, ...]  # the first of the rows that could not
    bad_rows: int


def take(ledger: Ledger, path: Path, file: IO[str], now: datetime, *, remove: bool = False) -> Taken:
    """Put everybody in the file on the list, or with ``remove`` take them off it; who is named by a bad row stays.

    Each row counts by itself, so the good ones are taken whatever the others are. Raises AudienceError for what is no
    such CSV, LedgerError where it cannot be kept.
    """
    rows = _Rows(path, now)
    try:
        people, changed = rows.of(file), 0
        while some := list(itertools.islice(people, _AT_ONCE)):  # read first: an announcement must not wait for a pipe
            changed += sum(ledger.unsuppress(one.address) for one in some) if remove else ledger.suppress(some)
    except UnicodeDecodeError:
        raise AudienceError(Problem("not UTF-8", "save it as CSV in UTF-8, then run again", str(path))) from None
    except OSError as error:
        raise AudienceError(Problem(f"cannot read the list: {error.strerror}", file=str(path))) from None
    return Taken(rows.good, changed, tuple(rows.problems), rows.bad)


class _Rows:
    """The rows of one file, counted while they are read."""

    def __init__(self, path: Path, now: datetime) -> None:
        self._path, self._now = path, now
        self.good = self.bad = 0
        self.problems: list[Problem] = []  # the first of the bad ones

    def append(self, problem: Problem, /) -> None:
        """One that cannot be used. Raises AudienceError where there are too many."""
        self.bad += 1
        if self.bad <= _MOST_SHOWN:
            self.problems.append(problem)
        if self.bad > _MOST_BAD:
            hint = "its first line names the columns: address, and where you have them kind, why, at, source"
            problem = Problem(
                f"more than {_MOST_BAD:,} rows cannot be used: is this such a list?", hint, str(self._path)
            )
            raise AudienceError(*self.problems, problem)

    def of(self, lines: IO[str]) -> Iterator[Suppression]:
        for line, row in audience.rows(self._path, lines, "address", self):
            try:
                one = self._read({name: cell.strip() for name, cell in row.items()})
            except ValueError as error:
                problem, _, hint = str(error).partition("; ")
                self.append(Problem(problem, hint, str(self._path), line))
            else:
                self.good += 1
                yield one

    def _read(self, row: dict[str, str]) -> Suppression:
        """One row. Raises ValueError: what is wrong; what to do about it."""
        given, why = row["address"], row.get("why", "").casefold() or "asked"
        kind = _kind(row.get("kind", "").casefold() or ("email" if "@" in given else "phone"))
        address = audience.normal(given, kind)
        if address is None:
            raise ValueError(f'"{clean(given, most=60)}" is not a valid {kind}; like +61491570156 or ana@example.com')
        if why not in SUPPRESSED:
            raise ValueError(f'"{clean(why, most=60)}" is no reason; one of {", ".join(SUPPRESSED)}')
        source = clean(row.get("source", "") or self._path.name, most=_MOST_SOURCE)
        return Suppression(address, kind, why, self._at(row.get("at", "")), source)

    def _at(self, given: str) -> datetime:
        if not given:
            return self._now
        try:
            at = datetime.fromisoformat(given)
        except ValueError:
            raise ValueError(f'"{clean(given, most=60)}" is not a time; like 2026-11-22T18:30+11:00') from None
        return at if at.tzinfo else at.replace(tzinfo=UTC)


def _kind(given: str) -> Literal["phone", "email"]:
    if given in {"phone", "email"}:
        return cast(Literal["phone", "email"], given)
    raise ValueError(f'"{clean(given, most=60)}" is no kind of address; phone or email')


def lines(suppressed: Iterable[Suppression]) -> Iterator[str]:
    """The list as the lines of a CSV file that ``take`` reads."""
    yield csv_form.line(COLUMNS)
    for one in suppressed:
        yield csv_form.line((one.address, one.kind, one.why, one.at.isoformat(timespec="seconds"), one.source))
