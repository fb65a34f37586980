"""Lines of CSV: whatever a cell holds, it is read back as one cell, and no spreadsheet runs it."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outagecast import csv_form

CELLS = st.lists(st.text(st.characters(exclude_characters="\x00", codec="utf-8")), min_size=2)


@given(CELLS)
def test_what_is_written_is_read_back_but_for_an_apostrophe(cells: list[str]) -> None:
    (row,) = csv.reader(io.StringIO(csv_form.line(cells), newline=""), strict=True)

    assert [cell.removeprefix("'") for cell in row] == [cell.removeprefix("'") for cell in cells]


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_formula_becomes_text(cell: str) -> None:
    assert next(csv.reader([csv_form.line([cell])])) == [f"'{cell}"]


@pytest.mark.parametrize("cell", ["+61491570156", "-1.5", "ana@example.com", "Ana = Anna"])
def test_a_number_an_address_and_plain_words_stay_as_they_are(cell: str) -> None:
    assert csv_form.line([cell, None, 3]) == f"{cell},,3"
