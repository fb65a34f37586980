"""How fast people are told: measured over the last minutes, and silent where nothing can be said."""

from __future__ import annotations

import pytest

from outagecast.speed import LATELY, per_second, seconds_left


def test_a_steady_stream_has_its_own_speed() -> None:
    told = [(float(at), 500) for at in range(0, 100, 5)]

    assert per_second(told, 96.0) == 100.0


@pytest.mark.parametrize("told", [[], [(0.0, 500)], [(0.0, 500), (0.0, 500)]])
def test_of_too_little_nothing_is_said(told: list[tuple[float, int]]) -> None:
    assert per_second(told, 0.0) is None
    assert seconds_left(1000, per_second(told, 0.0)) is None


def test_a_window_that_takes_as_long_as_the_others_does_not_make_it_look_slower() -> None:
    told = [(0.0, 500), (10.0, 500), (20.0, 500)]

    assert per_second(told, 29.0) == 50.0


def test_a_stream_that_has_stopped_sinks_and_is_then_forgotten() -> None:
    told = [(0.0, 500), (10.0, 500), (20.0, 500)]

    assert per_second(told, 100.0) == 10.0
    assert per_second(told, LATELY + 21) is None


def test_what_was_long_ago_does_not_count() -> None:
    told = [(0.0, 1_000_000), (1.0, 1_000_000), (1000.0, 10), (1010.0, 10)]

    assert per_second(told, 1011.0) == 1.0


def test_the_time_left_is_rounded_up_and_never_divided_by_nothing() -> None:
    assert seconds_left(1001, 100.0) == 11
    assert seconds_left(0, 100.0) == 0
    assert seconds_left(10, 0.0) is None
