"""A run that is killed at the worst moments, by a provider that behaves in the worst ways, and resumed.

What is killed runs in a process of its own; the stand-ins that tell what the public has live here. `make crash` plays
all cells of the sweep, these are a sample of them.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outagecast.errors import ExitCode
from outagecast.rehearsal import Reply
from tests.crash import oracle
from tests.crash.cells import BULK, CHANNELS, FREEZINGS, THREAD, Cell, every_cell, sample
from tests.crash.desk import Desk, Forge
from tests.crash.points import (
    AFTER_ANSWER,
    AFTER_NOTE,
    AFTER_REQUEST,
    ANSWER_NOTED,
    BEFORE_CONNECTING,
    BEFORE_FIRST_BYTE,
    BULK_POINTS,
    FREEZING,
    HALF_WAY,
    REPLAY_POINTS,
    RESUME_POINTS,
    SEND_POINTS,
)
from tests.crash.sweep import Forges, broken_promises, missed

pytestmark = pytest.mark.sweep

ALL_OUT = {"x": 1, "facebook": 1, "sms": 2, "email": 2, "banner": 1}
EMPTY = Reply(200, {"data": [], "messages": [], "meta": {"result_count": 0}, "page": 0})  # a list that lags behind
SETTLED = 360  # seconds, longer than any channel's settle time


@pytest.fixture(scope="module")
def forges() -> Iterator[Forges]:
    with Forges() as forges:
        yield forges


@pytest.fixture
def forge(forges: Forges) -> Iterator[Forge]:
    with forges.one() as forge:
        yield forge


@pytest.fixture
def desk(tmp_path: Path, forge: Forge) -> Iterator[Desk]:
    with Desk(tmp_path / "desk", forge, CHANNELS) as desk:
        yield desk


def check(desk: Desk, said: dict[str, Any]) -> None:
    """Everything that was said is so, and nobody has a copy too many."""
    assert [*oracle.copies(desk), *oracle.truth(desk, said)] == []


def channel(said: dict[str, Any], name: str) -> dict[str, Any]:
    """One channel of a run's report."""
    (found,) = (item for item in said["report"]["channels"] if item["channel"] == name)
    return dict(found)


def copies(desk: Desk) -> dict[str, int]:
    """How many copies are out, by channel."""
    return {name: len(desk.out(name)) for name in CHANNELS}


# -- a sample of the sweep ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", [*CHANNELS, THREAD])
def test_a_run_that_is_killed_and_resumed_breaks_no_promise(forges: Forges, channel: str) -> None:
    outcomes = forges.play(cell for cell in sample() if cell.channel == channel)

    assert broken_promises(outcomes) == []
    assert missed(outcomes) == []
    assert sum(it.killed for it in outcomes) > len(outcomes) * 2 / 3


def test_the_sample_has_every_channel_behaviour_and_point() -> None:
    whole, some = list(every_cell()), list(sample())

    assert {(cell.channel, cell.behaviour) for cell in some} == {(cell.channel, cell.behaviour) for cell in whole}
    assert {(cell.run, cell.point) for cell in some} == {(cell.run, cell.point) for cell in whole}
    assert len(SEND_POINTS) >= 12
    assert len(whole) > 1000


def test_every_point_lies_on_the_way_of_every_channel(forges: Forges) -> None:
    """A hook that the code no longer passes would make its cells prove nothing."""
    on_the_way = (BEFORE_CONNECTING, BEFORE_FIRST_BYTE, HALF_WAY, AFTER_REQUEST, AFTER_ANSWER, "before the record")
    cells = [Cell(channel, "ok", point) for channel in (*CHANNELS, THREAD) for point in on_the_way]

    assert missed(forges.play(cells)) == []


def test_every_point_lies_on_the_way_of_many_people(forges: Forges) -> None:
    cells = [Cell(channel, "ok", point) for channel in BULK for point in BULK_POINTS]
    cells += [Cell(channel, "ok", FREEZING, arrival=arrival) for channel in BULK for arrival in range(2, FREEZINGS + 1)]
    cells += [Cell("sms", "ok", point, "resume") for point in RESUME_POINTS]
    cells += [Cell("email", "ok", point, "resume") for point in REPLAY_POINTS]

    outcomes = forges.play(cells)

    assert missed(outcomes) == []
    assert broken_promises(outcomes) == []


# -- controls: what is broken on purpose is found -------------------------------------------------------------------

BROKEN = [
    (Cell("sms", "ok", AFTER_REQUEST, broken="record after the call"), "duplicate"),
    (Cell("sms", "reset_after", "before the record", broken="record after the call"), "duplicate"),
    (Cell("sms", "ok", AFTER_REQUEST, broken="noted after the call"), "duplicate"),
    (Cell("sms", "ok", HALF_WAY, arrival=2, broken="noted as taken before the call"), "loss"),
    (Cell("email", "ok", BEFORE_FIRST_BYTE, broken="noted as taken before the call"), "loss"),
    (Cell("banner", "ok", BEFORE_CONNECTING, broken="mark before the call"), "loss"),
    (Cell("facebook", "ok", HALF_WAY, broken="mark before the call"), "loss"),
    (Cell("email", "ok", BEFORE_FIRST_BYTE, broken="mark before the call"), "loss"),
    (Cell("sms", "ok", HALF_WAY, broken="mark before the call"), "loss"),
    (Cell("sms", "hang_applied", "before the channel's unlocking", broken="a lost answer is a failure"), "duplicate"),
    (Cell("facebook", "ok", AFTER_ANSWER, broken="a lost answer is a failure"), "wrong word"),
    (Cell("x", "reset_before", AFTER_ANSWER, broken="doubt is not told"), "doubt untold"),
    (Cell("sms", "ok", AFTER_ANSWER, broken="doubt is sent again"), "duplicate"),
    (Cell("sms", "ok", AFTER_ANSWER, broken="stale absence is trusted"), "duplicate"),
    (Cell("facebook", "garbage_200_applied", "before unlocking", broken="stale absence is trusted"), "wrong word"),
]


def test_the_sweep_finds_what_is_broken_on_purpose(forges: Forges) -> None:
    outcomes = forges.play(cell for cell, _ in BROKEN)

    kinds = [{violation.kind for violation in outcome.violations} for outcome in outcomes]
    found = [cell for (cell, kind), its in zip(BROKEN, kinds, strict=True) if kind in its]
    assert found == [cell for cell, _ in BROKEN]


# -- all channels at once: the kill strikes the others wherever they are --------------------------------------------


@pytest.mark.parametrize(
    ("point", "arrival"),
    [
        ("after the claim", 1),
        ("after the claim", 3),
        (AFTER_NOTE, 1),
        (AFTER_NOTE, 2),
        (ANSWER_NOTED, 1),
        ("before the record", 2),
        ("before the record", 5),
    ],
)
def test_whatever_the_other_channels_were_doing_is_finished_too(desk: Desk, point: str, arrival: int) -> None:
    assert desk.run("announce", point=point, arrival=arrival)["ended"] == -signal.SIGKILL
    desk.moved += 60
    check(desk, desk.run("resume"))
    desk.moved += SETTLED
    last = desk.run("resume")
    check(desk, last)
    held = {row["channel"] for row in last["deliveries"] if row["state"] == "needs_decision"}
    assert held <= {"x", "facebook", "sms"}  # a file and a mail never are
    assert last["report"]["exit_code"] == (ExitCode.IN_DOUBT if held else ExitCode.DONE)
    assert list(oracle.finished(desk, last, smooth=False)) == []


def test_announcing_again_finishes_a_run_that_was_killed_as_resuming_does(desk: Desk) -> None:
    assert desk.run("announce", point=AFTER_ANSWER)["ended"] == -signal.SIGKILL
    desk.moved += SETTLED
    check(desk, desk.run("announce"))


def test_what_is_killed_again_and_again_is_never_sent_again(desk: Desk) -> None:
    points = (AFTER_ANSWER, *RESUME_POINTS)
    for number, point in enumerate(points):
        desk.run("resume" if number else "announce", point=point)
        assert list(oracle.copies(desk)) == []
    desk.moved += SETTLED
    check(desk, desk.run("resume"))


# -- a person ends the doubt ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "state", "posts"),
    [("settled_resend", "accepted", 1), ("settled_not_published", "failed", 0), ("settled_published", "accepted", 0)],
)
def test_a_person_ends_the_doubt_that_a_crash_left(
    tmp_path: Path, forge: Forge, event: str, state: str, posts: int
) -> None:
    with Desk(tmp_path / "desk", forge, ("x",)) as desk:
        assert desk.run("announce", point="after the claim")["ended"] == -signal.SIGKILL
        desk.moved += SETTLED
        held = desk.run("resume")
        assert (channel(held, "x")["state"], held["report"]["exit_code"]) == ("needs_decision", ExitCode.IN_DOUBT)
        said = desk.run("settle", channel="x", event=event, url="https://x.com/examplebank/status/1")
        if event == "settled_resend":
            said = desk.run("resume")
        assert (channel(said, "x")["state"], len(desk.out("x"))) == (state, posts)


# -- lost answers without a crash -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["error_500_applied", "reset_after", "garbage_200_applied"])
def test_an_answer_that_is_lost_after_the_post_went_out_leads_to_no_second_one(desk: Desk, fault: Any) -> None:
    for provider in (desk.providers.x, desk.providers.facebook, desk.providers.twilio):
        provider.behave(fault, times=5)
    check(desk, desk.run("announce"))
    last = desk.run("resume")
    check(desk, last)
    assert (last["report"]["exit_code"], copies(desk)) == (ExitCode.DONE, ALL_OUT)


@pytest.mark.parametrize("fault", ["error_500", "reset_before", "garbage_200", "rate_limited", EMPTY])
def test_a_look_up_that_fails_or_lies_leaves_the_doubt_and_sends_nothing(desk: Desk, fault: Any) -> None:
    providers = (desk.providers.x, desk.providers.facebook, desk.providers.twilio)
    for provider in providers:
        provider.behave("reset_after", times=5)
        provider.behave(fault, times=3, method="GET")
    last = desk.run("announce")
    check(desk, last)
    assert last["report"]["exit_code"] == ExitCode.IN_DOUBT
    for _ in range(4):
        desk.moved += SETTLED
        last = desk.run("resume")
        check(desk, last)
    assert (last["report"]["exit_code"], copies(desk)) == (ExitCode.DONE, ALL_OUT)


def test_a_mail_whose_answer_was_lost_is_sent_twice_at_most_under_one_message_id(desk: Desk) -> None:
    desk.providers.smtp.behave("drop_after_dot_applied", times=4)
    first = desk.run("announce")
    check(desk, first)
    for _ in range(2):
        desk.moved += 60
        check(desk, desk.run("resume"))
    last = desk.run("resume")
    check(desk, last)
    assert Counter(copy.target for copy in desk.out("email")) == {"ana@example.com": 2, "ben@example.com": 2}
    assert len({copy.id for copy in desk.out("email")}) == 2
    assert (channel(last, "email")["state"], last["report"]["exit_code"]) == ("needs_decision", ExitCode.IN_DOUBT)


def test_a_run_that_is_not_killed_announces_everything(desk: Desk) -> None:
    said = desk.run("announce")
    check(desk, said)
    assert (said["ended"], said["report"]["exit_code"], copies(desk)) == (0, ExitCode.DONE, ALL_OUT)
    assert (desk.folder / "outagecast.db").stat().st_mode & 0o777 == 0o600
