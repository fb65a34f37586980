"""What a provider's list tells, kept apart from memory and from what is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from outagecast.channel import Sighting
from outagecast.errors import Rejected
from outagecast.listed import ALONE, MOST_KINDS, Listed
from outagecast.model import Published

OURS = {"text": "Cards fail."}


@pytest.fixture
def listed() -> Iterator[Listed]:
    with closing(Listed([OURS, {"text": "Plăți eșuate."}])) as listed:
        yield listed


def told(listed: Listed, seen: Published | Rejected) -> Published | Rejected | None:
    listed.add(Sighting("+61491570006", "SM1", seen))
    return listed.get("SM1")


@pytest.mark.parametrize(
    "seen",
    [
        Published(OURS),
        Published({"text": "Cards\n fail."}, is_final=False),
        Published({"text": "Pla\u0306t\u0326i es\u0326uate."}),
        Published({}, lost="not delivered: no phone", code="30005", suppress="bounce"),
        Rejected("no texts are kept"),
    ],
)
def test_what_is_told_of_our_words_is_kept_whole(listed: Listed, seen: Published | Rejected) -> None:
    assert told(listed, seen) == seen


def test_other_words_are_not_kept_and_must_be_asked_for_alone(listed: Listed) -> None:
    assert told(listed, Published({"text": "Your code is 123456"})) is ALONE


def test_what_was_not_listed_is_nothing(listed: Listed) -> None:
    assert listed.get("SM1") is None


def test_the_newest_word_on_one_counts(listed: Listed) -> None:
    told(listed, Published(OURS))
    assert told(listed, Published(OURS, is_final=False)) == Published(OURS)


def test_reasons_without_end_take_no_memory_without_end(listed: Listed) -> None:
    for number in range(MOST_KINDS + 10):
        listed.add(Sighting("", f"SM{number}", Published({}, lost=f"reason {number}")))

    assert listed.get("SM5") == Published({}, lost="reason 5")
    assert listed.get(f"SM{MOST_KINDS + 5}") is ALONE
