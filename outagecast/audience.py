"""An audience: a CSV file to recipients, each address checked, duplicates folded, bad rows named by their line."""

from __future__ import annotations

import csv
import functools
import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, TextIO

from outagecast import language
from outagecast.errors import AudienceError, Problem
from outagecast.model import Recipient
from outagecast.text import clean

COLUMNS = ("name", "phone", "email", "language")
# More bad rows than this and the file is the wrong one, or was damaged: nothing is sent before somebody has looked.
MOST_BAD_SHARE = 0.001
MOST_BAD_ROWS = 100
_SHOWN = 20

_PHONE = re.compile(r"\+[1-9]\d{6,14}")  # E.164: at most 15 digits, https://www.itu.int/rec/T-REC-E.164
_PHONE_SPACING = re.compile(r"[\s().-]")
_EMAIL = re.compile(  # RFC 5321's Mailbox without quoted local parts, which no customer has
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_](?:[\w-]{0,61}[^\W_])"
)


class Audience(NamedTuple):
    """Who will be told on one channel, each once, in the order of the file."""

    recipients: tuple[Recipient, ...]
    bad: tuple[Problem, ...] = ()
    duplicates: int = 0
    without: int = 0  # rows that give no address for this channel

    @property
    def digest(self) -> str:
        """SHA-256 over every address and language, in hexadecimal."""
        hasher = hashlib.sha256()
        for recipient in self.recipients:
            hasher.update(f"{recipient.address}\x00{recipient.language}\n".encode())
        return hasher.hexdigest()

    def spared(self, languages: Collection[str], *, instead: str) -> Audience:
        """The same people; who would read one of ``languages`` reads ``instead``."""
        if not languages:
            return self
        people = (replace(one, language=instead) if one.language in languages else one for one in self.recipients)
        return self._replace(recipients=tuple(people))


def load(
    path: Path, addresses: Literal["phone", "email"], languages: tuple[str, ...], *, accept_bad_rows: bool = False
) -> Audience:
    """The people in ``path`` who have such an address; whose language is not promised reads the first.

    Raises AudienceError with the line of every bad row once there are more than may be left out.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            audience = _read(path, file, addresses, languages)
    except OSError as error:
        raise AudienceError(Problem(f"cannot read the audience: {error.strerror}", file=str(path))) from None
    except UnicodeDecodeError as error:
        guess = "UTF-16" if bytes(error.object[:2]) in {b"\xff\xfe", b"\xfe\xff"} else "another encoding"
        raise AudienceError(
            Problem(f"not UTF-8 but {guess}", "save it as CSV in UTF-8, then run again", str(path))
        ) from None
    bad, good = len(audience.bad), len(audience.recipients)
    if not accept_bad_rows and bad > min(MOST_BAD_ROWS, MOST_BAD_SHARE * (good + bad)):
        rest = [Problem(f"and {bad - _SHOWN} more bad rows", file=str(path))] if bad > _SHOWN else []
        advice = Problem(
            f"{bad} of {good + bad} rows cannot be used",
            "correct them, or leave them out with --accept-bad-rows",
            str(path),
        )
        raise AudienceError(*audience.bad[:_SHOWN], *rest, advice)
    return audience


def _read(path: Path, file: TextIO, addresses: Literal["phone", "email"], languages: tuple[str, ...]) -> Audience:
    recipients: dict[str, Recipient] = {}
    bad: list[Problem] = []
    duplicates = without = 0
    for line, row in _rows(path, file, addresses, bad):
        given = row.get(addresses, "").strip()
        if not given:
            without += 1
            continue
        address = normal(given, addresses)
        if address is None:
            problem = f'"{clean(given, most=60)}" is not a valid {addresses}'
            bad.append(Problem(problem, _advice(given, addresses), str(path), line))
            continue
        if address in recipients:
            duplicates += 1
            continue
        recipients[address] = Recipient(address, _language(row.get("language", ""), languages), line)
    return Audience(tuple(recipients.values()), tuple(bad), duplicates, without)


def _rows(path: Path, file: TextIO, addresses: str, bad: list[Problem]) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with its line; a row of another width is a bad one. Raises AudienceError for what is no CSV."""
    reader = csv.reader(_lines(path, file), strict=True)
    begun = 1  # a quoted cell may span lines: what counts is where its row begins
    try:
        header = [name.strip().casefold() for name in next(reader, [])]
        if addresses not in header:
            hint = f"the first line must name the columns, among them {addresses}"
            if len(header) == 1 and re.search(r"[;\t]", header[0]):
                hint = "save it with commas between the cells"
            raise AudienceError(Problem(f'there is no column "{addresses}"', hint, str(path), 1))
        if repeated := {name for name in COLUMNS if header.count(name) > 1}:
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


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        if "\x00" in line:
            raise AudienceError(Problem("a NUL byte", "save it as UTF-8 text", str(path), number))
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
        number = _PHONE_SPACING.sub("", given)
        return number if _PHONE.fullmatch(number) and number.isascii() else None
    if len(given) > 254 or len(given.rpartition("@")[0]) > 64 or not _EMAIL.fullmatch(given):
        return None
    local, _, domain = given.rpartition("@")
    return f"{local}@{domain.lower()}"
