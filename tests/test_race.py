"""Many processes at once: one of them sends, and the others are told so. Each is the command line itself."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from outagecast.errors import ExitCode
from outagecast.model import State
from tests.crash import oracle
from tests.crash.cells import CHANNELS
from tests.crash.desk import MESSAGE, Desk, Forge
from tests.crash.points import AFTER_ANSWER

ANNOUNCE = ["announce", "incident.yaml", "--yes", "--json"]
CROWD = 50


class Runner(NamedTuple):
    """One of the processes, at its end."""

    code: int
    said: dict[str, Any]

    @property
    def states(self) -> dict[str, str]:
        """What it says of each channel."""
        return {channel["channel"]: channel["state"] for channel in self.said["channels"]}

    @property
    def words(self) -> str:
        """The first error it tells."""
        return str(self.said["errors"][0]["message"]) if self.said["errors"] else ""


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    with Forge() as forge:
        yield forge


@pytest.fixture
def desk(tmp_path: Path, forge: Forge) -> Iterator[Desk]:
    with Desk(tmp_path / "desk", forge, CHANNELS) as desk:
        yield desk


def race(desk: Desk, *runners: list[str]) -> list[Runner]:
    """Start them at one instant, and hear all of them."""
    ended = desk.run("race", runners=runners)["runners"]
    trouble = (desk.folder / "stderr").read_text()
    assert "Traceback" not in trouble
    assert "locked" not in trouble
    for code, said in ended:
        assert code in {ExitCode.DONE, ExitCode.IN_DOUBT, ExitCode.CONFLICT}, said
        assert "locked" not in said
    return [Runner(code, json.loads(said)) for code, said in ended]


def copies(desk: Desk) -> Counter[tuple[str, str]]:
    """How many copies everybody has on every channel."""
    return Counter((channel, copy.target) for channel in CHANNELS for copy in desk.out(channel))


def slow(desk: Desk, seconds: float) -> None:
    """Have each provider think for so long about each request."""
    for provider in (desk.providers.x, desk.providers.facebook, desk.providers.twilio, desk.providers.smtp):
        provider.delay = seconds


def test_fifty_announce_the_same_update_and_one_of_them_sends(desk: Desk) -> None:
    slow(desk, 0.3)
    runners = race(desk, *[ANNOUNCE] * CROWD)

    assert set(copies(desk).values()) == {1}
    assert len(copies(desk)) == 7
    asked = [provider.requests for provider in (desk.providers.x, desk.providers.facebook, desk.providers.twilio)]
    assert [sum(request.method == "POST" for request in requests) for requests in asked] == [1, 1, 2]
    codes = Counter(runner.code for runner in runners)
    assert codes[ExitCode.DONE] >= 1
    assert codes[ExitCode.DONE] + codes[ExitCode.CONFLICT] == CROWD
    for runner in runners:
        if runner.code == ExitCode.DONE:  # who sent it, and who came after and was shown what is out
            assert runner.states == dict.fromkeys(CHANNELS, State.ACCEPTED.value)
        else:
            assert re.search("is (announcing|sending to (sms|email)) from this ledger|before you", runner.words)
    said = desk.run("resume")
    assert [*oracle.truth(desk, said), *oracle.finished(desk, said, smooth=True)] == []


def test_of_two_who_say_different_things_at_once_one_wins_and_the_other_is_told(desk: Desk) -> None:
    slow(desk, 1.5)
    other = MESSAGE | {"summary": "Our cards are being declined online only."}
    (desk.folder / "other.yaml").write_text(yaml.safe_dump(other))
    runners = race(desk, ANNOUNCE, ["announce", "other.yaml", "--yes", "--json"])

    assert sorted(runner.code for runner in runners) == [ExitCode.DONE, ExitCode.CONFLICT]
    (loser,) = (runner for runner in runners if runner.code == ExitCode.CONFLICT)
    assert "is announcing from this ledger" in loser.words or "before you" in loser.words
    won = "online only" if runners.index(loser) == 0 else "in shops and online"
    assert set(copies(desk).values()) == {1}
    for channel in CHANNELS:
        assert all(won in " ".join(copy.parts.values()) for copy in desk.out(channel))


def test_who_lost_announces_once_more_and_that_is_the_next_update(desk: Desk) -> None:
    assert race(desk, ANNOUNCE)[0].said["update"] == 1
    other = MESSAGE | {"summary": "Our cards are being declined online only."}
    (desk.folder / "other.yaml").write_text(yaml.safe_dump(other))
    (later,) = race(desk, ["announce", "other.yaml", "--yes", "--json"])

    assert (later.code, later.said["update"]) == (ExitCode.DONE, 2)
    assert [len(desk.out(channel)) for channel in ("x", "facebook", "banner")] == [2, 2, 1]


def test_eight_who_resume_at_once_send_nothing_twice(desk: Desk) -> None:
    assert desk.run("announce", point=AFTER_ANSWER)["ended"] == -signal.SIGKILL
    slow(desk, 0.1)
    runners = race(desk, *[["resume", "cards", "--json"]] * 8)

    assert any(runner.code != ExitCode.CONFLICT for runner in runners)
    assert list(oracle.copies(desk)) == []
    desk.moved = 0
    said = desk.run("resume")
    assert [*oracle.truth(desk, said), *oracle.finished(desk, said, smooth=False)] == []
