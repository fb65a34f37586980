"""An audience: a CSV file as a stream to a roll of people, addresses checked, duplicates folded, bad rows named."""

from __future__ import annotations

import codecs
import csv
import functools
import math
import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Literal, NamedTuple, Protocol, TextIO

from outagecast import dialling, language
from outagecast.config import ChannelConfig, Config
from outagecast.errors import AudienceError, Problem
from outagecast.roll import Group, Rank, Roll, Row
from outagecast.text import clean

COLUMNS = ("name", "phone", "email", "language")
# More bad rows than this and the file is the wrong one, or was damaged: nothing is sent before somebody has looked.
MOST_BAD_SHARE = 0.001
MOST_BAD_ROWS = 100
_SHOWN = 20
_LONGEST = 1_000_000  # characters of one line: what is longer is no list of people

_PHONE = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)  # E.164: at most 15 digits, https://www.itu.int/rec/T-REC-E.164
_PHONE_SPACING = re.compile(r"[\s().-]")
_EMAIL = re.compile(  # RFC 5321's Mailbox without quoted local parts, which no customer has
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_](?:[\w-]{0,61}[^\W_])"
)


class Faults(Protocol):
    """Takes the rows that cannot be used."""

    def append(self, problem: Problem, /) -> None: ...


@dataclass
class Rows:
    """What became of a file's rows, beyond the people in them."""

    bad: int = 0
    problems: list[Problem] = field(default_factory=list)  # the first of the bad ones
    duplicates: int = 0
    without: int = 0  # they give no address for this channel
    unselected: int = 0  # the config does not select them
    elsewhere: Counter[str] = field(default_factory=Counter)  # their numbers are of countries that are not told
    every: Faults | None = None  # is told of all the bad ones

    def append(self, problem: Problem, /) -> None:
        """Count one that cannot be used."""
        self.bad += 1
        if self.bad <= _SHOWN:
            self.problems.append(problem)
        if self.every is not None:
            self.every.append(problem)


class Audience(NamedTuple):
    """Who will be told on one channel, as the plan needs it: in groups of people who are told alike."""

    groups: tuple[Group, ...] = ()
    digest: str = ""
    rows: Rows = Rows()

    @property
    def people(self) -> int:
        """How many there are."""
        return sum(group.people for group in self.groups)


class Listing(NamedTuple):
    """Who will be told on one channel, and what became of the rest of their file."""

    roll: Roll
    rows: Rows

    @property
    def audience(self) -> Audience:
        """What the plan is made of."""
        return Audience(self.roll.groups, self.roll.digest, self.rows)

    @property
    def too_many_bad_rows(self) -> list[Problem]:
        """What is wrong where more rows cannot be used than may be left out without a word."""
        bad, problems = self.rows.bad, self.rows.problems
        total = self.roll.count + bad
        if bad <= min(MOST_BAD_ROWS, MOST_BAD_SHARE * total):
            return []
        file = problems[0].file
        rest = [Problem(f"and {bad - _SHOWN} more bad rows", file=file)] if bad > _SHOWN else []
        hint = "correct them, or leave them out with --accept-bad-rows; all of them: audience check --bad-rows FILE"
        return [*problems, *rest, Problem(f"{bad} of {total} rows cannot be used", hint, file)]


def of(channel: ChannelConfig, config: Config, **options: Any) -> Listing:
    """Everybody whom a channel that reaches people tells; ``options`` and errors are those of ``load``."""
    column, listed = channel.adapter.addresses, config.audiences[channel.options.audience or ""]
    assert column is not None  # noqa: S101 - a channel with an audience has one
    languages = channel.options.languages or config.organisation.languages
    choice = Choice(listed.select, listed.order_by, countries(channel, config))
    return load(listed.file, column, languages, choice, **options)


def countries(channel: ChannelConfig, config: Config) -> tuple[str, ...]:
    """The countries whose numbers get texts: the organisation's own unless told; none means all."""
    if channel.adapter.addresses != "phone":
        return ()
    return channel.options.countries or dialling.own(config.organisation.timezone)


class Choice(NamedTuple):
    """Whom of a file a channel tells, and whom first."""

    select: Mapping[str, Collection[str]] = MappingProxyType({})  # by column, the cells that are wanted
    order_by: str | None = None  # the column whose least comes first
    countries: Collection[str] = ()  # of phone numbers; empty for all


EVERYBODY = Choice()


def load(
    path: Path,
    addresses: Literal["phone", "email"],
    languages: tuple[str, ...],
    choice: Choice = EVERYBODY,
    *,
    accept_bad_rows: bool = False,
    faults: Faults | None = None,
) -> Listing:
    """The people in ``path`` who have such an address; whose language is not promised reads the first.

    ``faults`` is told of every bad row. Raises AudienceError with the line of the first ones once there are more than
    may be left out.
    """
    roll, rows = Roll(), Rows(every=faults)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            _read(path, file, roll, rows, addresses, languages, choice)
    except OSError as error:
        raise AudienceError(Problem(f"cannot read the audience: {error.strerror}", file=str(path))) from None
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 but {_encoding(path, error)}"
        raise AudienceError(Problem(problem, "save it as CSV in UTF-8, then run again", str(path))) from None
    except sqlite3.Error as error:
        hint = "is the disk for temporary files full? another folder: set TMPDIR"
        raise AudienceError(Problem(f"no room to sort the audience: {error}", hint, str(path))) from None
    listing = Listing(roll, rows)
    if not accept_bad_rows and (problems := listing.too_many_bad_rows):
        raise AudienceError(*problems)
    return listing


def _encoding(path: Path, error: UnicodeDecodeError) -> str:
    """What a file is that is not UTF-8, as well as its first bytes tell."""
    with suppress(OSError), path.open("rb") as file:
        begin = file.read(4)
        if begin.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
            return "UTF-32"
        if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "UTF-16"
    byte = error.object[error.start]
    return f"another encoding, by its byte 0x{byte:02X} perhaps {'Windows-1252' if byte < 0xA0 else 'Latin-1'}"


def _read(
    path: Path,
    file: TextIO,
    roll: Roll,
    rows: Rows,
    addresses: Literal["phone", "email"],
    languages: tuple[str, ...],
    choice: Choice,
) -> None:
    columns = (addresses, *choice.select, *([choice.order_by] if choice.order_by else ()))
    wanted = [(name.casefold(), {cell.strip().casefold() for cell in cells}) for name, cells in choice.select.items()]
    order_by, countries = (choice.order_by or "").casefold(), choice.countries if addresses == "phone" else ()

    def people() -> Iterator[Row]:
        for line, row in _rows_with(path, file, columns, rows):
            if wanted and any(row[column].strip().casefold() not in cells for column, cells in wanted):
                rows.unselected += 1
                continue
            given = row[addresses].strip()
            if not given:
                rows.without += 1
                continue
            address = normal(given, addresses)
            if address is None:
                problem = f'"{clean(given, most=60)}" is not a valid {addresses}'
                rows.append(Problem(problem, _advice(given, addresses), str(path), line))
                continue
            if countries and (country := dialling.country(address)) not in countries:
                rows.elsewhere[country] += 1
                continue
            rank = _rank(row[order_by]) if order_by else None
            yield line, address, _language(row.get("language", ""), languages), rank

    rows.duplicates = roll.fill(people(), is_ranked=bool(order_by))


@functools.lru_cache(maxsize=1000)
def _rank(given: str) -> Rank:
    """Where a cell stands in SQLite's own order: numbers by their size, then words, and what is empty last."""
    cell = given.strip()
    try:
        number = float(cell)
    except ValueError:
        return cell.casefold() or b""
    return number if math.isfinite(number) else cell.casefold()


def rows(path: Path, file: IO[str], column: str, bad: Faults) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row of a CSV file with its line; a row of another width is a bad one.

    Raises AudienceError for what is no CSV, or has no such column.
    """
    return _rows_with(path, file, (column,), bad)


def _rows_with(path: Path, file: IO[str], columns: Sequence[str], bad: Faults) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(_lines(path, file), strict=True)
    begun = 1  # a quoted cell may span lines: what counts is where its row begins
    try:
        header = [name.strip().casefold() for name in next(reader, [])]
        for column in columns:
            if column.casefold() not in header:
                hint = f"the first line must name the columns, among them {column}"
                if len(header) == 1 and re.search(r"[;\t]", header[0]):
                    hint = "save it with commas between the cells"
                raise AudienceError(Problem(f'there is no column "{column}"', hint, str(path), 1))
        if repeated := {name for name in (*COLUMNS, *map(str.casefold, columns)) if header.count(name) > 1}:
            raise AudienceError(Problem(f'the column "{min(repeated)}" stands twice', "keep one", str(path), 1))
        begun = reader.line_num + 1
        for cells in reader:
            line, begun = begun, reader.line_num + 1
            if not any(cells):
                continue
            if len(cells) != len(header):
                hint = "put a cell that holds a comma in quotes"
                bad.append(Problem(f"{len(cells)} cells, expected {len(header)}", hint, str(path), line))
                continue
            yield line, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise AudienceError(Problem(f"not valid CSV: {error}", "is a quote left open?", str(path), begun)) from None


def _lines(path: Path, file: IO[str]) -> Iterator[str]:
    number = 0
    while line := file.readline(_LONGEST):
        number += 1
        if "\x00" in line:
            raise AudienceError(Problem("a NUL byte", "save it as UTF-8 text", str(path), number))
        if len(line) == _LONGEST:
            problem = f"a line of more than {_LONGEST:,} characters"
            raise AudienceError(Problem(problem, "is it a CSV file?", str(path), number))
        yield line


def _advice(given: str, addresses: Literal["phone", "email"]) -> str:
    if addresses == "email":
        return "one address, such as ana@example.com"
    if re.fullmatch(r"[\d.,]+E\+?\d+", given, re.IGNORECASE):
        return "a spreadsheet changed it; format the column as text"
    if "(0)" in given:
        return "leave out the (0)"
    return "+, the country's code and the number, at most 15 digits"


@functools.lru_cache(maxsize=1000)
def _language(given: str, languages: tuple[str, ...]) -> str:
    """The promised language that is nearest: ``RO`` reads ro, ``zh-HK`` zh-Hant, one of no promised kind the first."""
    code = given.strip().replace("_", "-")
    if not code:
        return languages[0]
    promised = {promise.casefold(): promise for promise in languages}
    return promised.get(code.casefold()) or language.nearest(code, languages) or languages[0]


def normal(given: str, addresses: Literal["phone", "email"]) -> str | None:
    """The address in its one form, or None where it is not one."""
    if addresses == "phone":
        if "(0)" in given:  # dialled at home only: +44 (0)7911 … is not +4407911 …
            return None
        if _PHONE.fullmatch(given):
            return given
        number = _PHONE_SPACING.sub("", given)
        return number if _PHONE.fullmatch(number) else None
    local, _, domain = given.rpartition("@")
    if len(given) > 254 or len(local) > 64 or not _EMAIL.fullmatch(given):
        return None
    return f"{local}@{domain.lower()}"
