"""Lines of a CSV file (RFC 4180) that a spreadsheet shows and never runs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

_FORMULA = tuple("=+-@\t\r")  # https://owasp.org/www-community/attacks/CSV_Injection
_NUMBER = re.compile(r"[+-]?[\d.]+")


def line(cells: Iterable[str | int | None]) -> str:
    """One row, without its end of line; a text that would be taken for a formula begins with an apostrophe."""
    written = io.StringIO()
    csv.writer(written).writerow([_harmless(str("" if cell is None else cell)) for cell in cells])
    return written.getvalue().removesuffix("\r\n")


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell) else cell
