"""Lines on the screen: broken between words, or between the characters of a script without spaces."""

from __future__ import annotations

import sys
import textwrap
from subprocess import run

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outagecast.cli import screen


@given(st.text(alphabet="abé -,.)", max_size=80), st.integers(8, 40))
def test_text_with_spaces_is_wrapped_as_the_standard_library_does(text: str, columns: int) -> None:
    text = text.strip()
    expected = textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False)

    assert expected == screen.wrap(text, columns)


def test_chinese_is_wrapped_by_the_room_it_takes_and_no_line_begins_with_a_full_stop() -> None:
    text = "我們的扣賬卡及信用卡付款（網上及商店）失敗。請瀏覽https://status.example.com/now查看。「很抱歉」！"

    lines = screen.wrap(text, 20, "  ")

    assert lines == [
        "  我們的扣賬卡及信用",
        "  卡付款（網上及商",
        "  店）失敗。請瀏覽",
        "  https://status.example.com/now",
        "  查看。「很抱歉」！",
    ]
    assert "".join(line.strip() for line in lines) == text


@pytest.mark.parametrize(
    ("text", "columns"),
    [("", 0), ("abc", 3), ("ăîșț – “…” 5 €", 14), ("中文", 4), ("ا\u064e", 1), ("\x1b[31mab\x1b[0m", 2)],
)
def test_the_room_of_a_text_is_counted_as_a_terminal_does(text: str, columns: int) -> None:
    assert columns == screen.cells(text)


def test_western_text_is_measured_without_rich() -> None:
    script = "from outagecast.cli import screen; screen.cells('Plăți – “5 €” … ─'); import sys; print(*sys.modules)"

    told = run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert "rich" not in told.split()
