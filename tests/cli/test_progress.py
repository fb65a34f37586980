"""How a run of many people looks while it lasts: how many, how fast, how long still, and why some are refused."""

from __future__ import annotations

from outagecast.cli.progress import _Lane, _Watch
from outagecast.lane import Progress
from outagecast.ledger import Event
from outagecast.model import State

REFUSED = "that is not a mobile number"


def told(lane: _Lane, people: int, *, per_second: int, refused: int = 0) -> float:
    """As many people told at that speed; the time at which the last was."""
    now = 0.0
    for number in range(people):
        now = number / per_second
        lane.count("failed" if number < refused else "accepted", 1, now)
    return now


def test_a_crowd_is_shown_with_its_speed_and_the_time_left() -> None:
    lane = _Lane(100_000, people=True)

    now = told(lane, 10_000, per_second=1000)

    assert lane.words(now) == ("10,000 of 100,000, 1,000 a second, 90 s left", "cyan")


def test_who_was_refused_is_counted_beside() -> None:
    lane = _Lane(100_000, people=True)

    now = told(lane, 10_000, per_second=1000, refused=12)

    assert lane.words(now)[0] == "10,000 of 100,000, 1,000 a second, 90 s left, 12 not reached"


def test_before_anything_can_be_said_of_the_speed_nothing_is() -> None:
    lane = _Lane(100_000, people=True)
    lane.count("accepted", 1, 0.0)

    assert lane.words(0.5)[0] == "1 of 100,000"


def test_who_was_told_in_an_earlier_run_does_not_make_it_look_faster() -> None:
    lane = _Lane(100_000, people=True)
    lane.done["accepted"] = 50_000

    now = told(lane, 1000, per_second=100)

    assert lane.words(now)[0] == "51,000 of 100,000, 100 a second, 8 min left"


def test_why_people_are_refused_is_counted_by_reason_and_never_without_bound() -> None:
    watch = _Watch([], {"sms"})

    for number in range(1000):
        watch.note(Progress("sms", Event.REFUSED, State.FAILED, f"{REFUSED} {number}" if number % 2 else REFUSED))

    reasons = watch._lanes["sms"].refusals
    assert reasons[REFUSED] == 500
    assert len(reasons) <= 100
