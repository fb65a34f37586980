"""How long a voice takes: words at a rate that ageing ears follow, figures as they are said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outagecast.channel import Limit
from outagecast.measure import spoken_seconds, whole_seconds

SCRIPT = (
    "We are sorry. Our card payments have been failing since six thirty this evening. Cash machines and transfers in "
    "our app are working. We do not know the cause yet. We will update this message by seven thirty. To speak to us, "
    "please hold."
)


def words(count: float, language: str = "en") -> float:
    """How long so many words take in one sentence."""
    return spoken_seconds(" ".join(["word"] * 100), language) * count / 100


@pytest.mark.parametrize(
    ("language", "word", "count"),
    [
        ("en", "word ", 45),
        ("ro", "cuvânt ", 45),
        ("es", "palabra ", 50),
        ("fr", "l’appli ", 50),
        ("de", "App-Überweisungen ", 38),
        ("zh-Hant", "字", 75),
    ],
)
def test_each_languages_budget_takes_as_long(language: str, word: str, count: int) -> None:
    assert spoken_seconds(word * count, language) == pytest.approx(45 / 140 * 60)


def test_half_a_second_lies_between_two_sentences() -> None:
    assert spoken_seconds(SCRIPT, "en") == pytest.approx(44 / 140 * 60 + 5 * 0.5)
    assert spoken_seconds("一。二！\n三？", "zh") == pytest.approx(spoken_seconds("一二三", "zh") + 2 * 0.5)
    assert spoken_seconds("One\n\nTwo", "en") == pytest.approx(words(2) + 0.5)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("8", 1),
        ("18:30", 2),  # eighteen thirty
        ("6.45 pm", 5),  # six forty-five p m
        ("6:30pm", 4),
        ("32", 2),
        ("13 20 32", 4),  # as people say a phone number in groups
        ("0491570156", 10),  # figure by figure
        ("$100", 3),  # one hundred dollars
        ("2,500 of 12.500", 4 + 1 + 6),
        ("12\u202f500", 6),
        ("5 %", 2),
        ("", 0),
        ("…!", 0),
        ("It’s card-like", 2),
    ],
)
def test_figures_count_as_the_words_that_they_are_said_in(text: str, count: int) -> None:
    assert spoken_seconds(text, "en") == pytest.approx(words(count))


@pytest.mark.parametrize(
    ("text", "characters"),
    [("下午6時30分", "下午六時三十分"), ("18", "十八"), ("250", "二百五十"), ("本行，SMS", "本行短訊")],
)
def test_chinese_counts_by_the_character(text: str, characters: str) -> None:
    assert spoken_seconds(text, "zh-Hant") == pytest.approx(spoken_seconds(characters, "zh"))


def test_the_region_is_that_of_the_language_and_the_unknown_is_read_as_english() -> None:
    assert spoken_seconds("ein Wort", "de-AT") == spoken_seconds("ein Wort", "de")
    assert spoken_seconds("et ord", "da") == spoken_seconds("et ord", "en")


@given(st.text(), st.text(), st.sampled_from(["en", "de", "zh-Hant"]))
def test_more_takes_longer(one: str, other: str, language: str) -> None:
    assert 0 <= spoken_seconds(one, language) <= spoken_seconds(f"{one} {other}", language) + 1e-9


def test_a_limit_in_seconds_is_kept_by_language() -> None:
    limit = Limit(20, "seconds", whole_seconds, spoken=True)

    assert limit.length(SCRIPT, "en") == 22
    assert limit.length(SCRIPT, "de") == 25
    assert Limit(20, "characters", len).length("Cards", "de") == 5
