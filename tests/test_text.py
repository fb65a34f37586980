from __future__ import annotations

import pytest

from outagecast import secret
from outagecast.text import clean, harmful_characters, printable


@pytest.mark.parametrize(
    ("character", "name"),
    [
        ("\x00", "U+0000"),
        ("\x1b", "U+001B"),
        ("\x9b", "U+009B"),
        ("\u00ad", "U+00AD"),
        ("\u200b", "U+200B"),
        ("\u202e", "U+202E"),
        ("\u2066", "U+2066"),
        ("\u2028", "U+2028"),
        ("\ufeff", "U+FEFF"),
        ("\ufff9", "U+FFF9"),
        ("\ud800", "U+D800"),
    ],
)
def test_what_hides_or_reorders_text_is_found_with_its_place_and_replaced(character: str, name: str) -> None:
    assert [(2, name)] == harmful_characters(f"ab{character}c")
    assert printable(f"ab{character}c") == "ab\ufffdc"
    assert clean(f"ab{character}c") == "ab c"


@pytest.mark.parametrize(
    "text", ["Plăți cu cardul", "日本語", "👩‍👩‍👧 🏳️‍🌈", "می‌خواهم", "a\tb\nc", "$100 – “so” …", "\u00a0"]
)
def test_what_people_write_is_harmless(text: str) -> None:
    assert harmful_characters(text) == []
    assert text == printable(text)


def test_a_providers_words_become_one_line_of_at_most_the_length_asked_for() -> None:
    assert clean("  a\n\tb \r\n c ") == "a b c"
    assert clean("abcd", most=4) == "abcd"
    assert clean("abcde", most=4) == "abc…"
    assert len(clean("x" * 1000)) == 300


def test_a_revealed_secret_is_hidden_before_the_words_are_cut() -> None:
    secret.remember("canary-of-text-1f0c")
    assert clean("token canary-of-text-1f0c", most=9) == "token ***"
    assert clean("token canary-of-text-1f0c", most=5) == "toke…"
