"""Many recipients over few lines: nobody twice and nobody never, whatever the provider or the machine does."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from outagecast.channel import Outgoing
from outagecast.errors import LedgerError, Rejected, Unavailable
from outagecast.journal import Journal, place
from outagecast.ledger import Event, Move
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.model import State
from outagecast.pace import Pace, Throttle
from tests.lines import BY, CHANNEL, SLUG, Caller, Desk, Provider, Talk, people
from tests.test_deliver import SetClock

ROOT = Path(__file__).parents[1]
WHERE = (SLUG, 1, CHANNEL)
ACCEPTED, READY, FAILED, IN_DOUBT = State.ACCEPTED, State.READY, State.FAILED, State.IN_DOUBT


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "outagecast.db")
    yield desk
    desk.ledger.close()


def deep(depth: int, **more: Any) -> Callable[[], Talk]:
    return lambda: Talk(depth, **more)


class Hasty(Talk):
    patience = 0.3


# -- all goes well ---


@pytest.mark.parametrize(("connections", "depth"), [(1, 1), (4, 1), (4, 8)])
def test_everybody_is_told_once(desk: Desk, connections: int, depth: int) -> None:
    desk.freeze(people(1_203))
    with Provider() as provider:
        desk.run(Caller(provider.port, connections, talk=deep(depth)))
        assert provider.taken == Counter(people(1_203))
        assert provider.lines <= connections
    assert desk.states() == {ACCEPTED: 1_203}
    receipts = {entry.delivery.target: entry.receipt.provider_id for entry in desk.entries() if entry.receipt}
    assert receipts == {target: f"id-{target}" for target in people(1_203)}
    assert desk.journals == []
    told = Counter[State]()
    for progress in desk.progress:
        told[progress.state] += progress.count
    assert told == {State.ATTEMPTING: 1_203, ACCEPTED: 1_203}


def test_those_who_come_first_are_told_first(desk: Desk) -> None:
    desk.freeze(people(700))
    with Provider() as provider:
        desk.run(Caller(provider.port, 1))
        assert provider.order == people(700)


def test_lines_are_taken_leave_of(desk: Desk) -> None:
    desk.freeze(people(50))
    with Provider() as provider:
        desk.run(Caller(provider.port, 3))
        lines = provider.lines
        _until(lambda: provider.goodbyes == lines)


def test_an_encrypted_line_carries_more_than_fits_into_one_record(desk: Desk) -> None:
    desk.freeze(people(300))
    with Provider(is_encrypted=True) as provider:
        desk.run(Caller(provider.port, 2, talk=deep(6, size=50_000), is_encrypted=True))
        assert provider.taken == Counter(people(300))
    assert desk.states() == {ACCEPTED: 300}


def test_a_provider_that_reads_slowly_is_written_to_as_it_reads(desk: Desk) -> None:
    desk.freeze(people(12))
    with Provider() as provider:
        provider.slow = 0.05
        desk.run(Caller(provider.port, 2, talk=deep(2, size=3_000_000)))
        assert provider.taken == Counter(people(12))
    assert desk.states() == {ACCEPTED: 12}


# -- crashes ---


def test_nobody_is_told_twice_or_lost_when_it_is_killed_at_any_moment(desk: Desk) -> None:
    many, connections, depth, kills = 3_000, 4, 2, 0
    desk.freeze(people(many))
    dice = random.Random(8)  # noqa: S311 - where to kill, not a secret
    with Provider() as provider:
        provider.slow = 0.0005
        while desk.states()[READY] or desk.states()[State.ATTEMPTING]:
            before = provider.taken.total()
            process = _sender(desk, provider, connections, depth)
            if kills < 8:
                while provider.taken.total() == before and process.poll() is None:
                    time.sleep(0.002)
                time.sleep(dice.uniform(0, 0.15))
                process.kill()
                kills += process.wait() == -signal.SIGKILL
            else:
                assert process.wait(60) == 0
        assert kills >= 8
        assert max(provider.taken.values()) == 1
        doubtful = {entry.delivery.target for entry in desk.entries(IN_DOUBT)}
        assert len(doubtful) <= kills * connections * depth
        assert {entry.delivery.target for entry in desk.entries(ACCEPTED)} | doubtful == {*people(many)}
        assert {*people(many)} - {*provider.taken} <= doubtful
    assert desk.journals == []


def test_what_a_killed_run_had_heard_is_known_to_the_next(desk: Desk) -> None:
    _cut_short(desk, begun=[0, 1, 2], ended={0: Move(Event.NOT_SENT, "later")})
    with Provider() as provider:
        desk.run(Caller(provider.port))
        assert provider.taken == Counter(people(5)) - Counter(people(5)[1:3])
    assert desk.states() == {ACCEPTED: 3, IN_DOUBT: 2}


def test_without_its_journal_a_killed_run_leaves_its_window_in_doubt(desk: Desk) -> None:
    _cut_short(desk, begun=[0], ended={})
    for path in desk.journals:
        path.unlink()
    with Provider() as provider:
        desk.run(Caller(provider.port))
        assert provider.taken == {}
    assert desk.states() == {IN_DOUBT: 5}


def test_answers_that_the_ledger_cannot_keep_are_kept_by_the_journal(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.freeze(people(40))
    with monkeypatch.context() as broken, Provider() as provider:
        broken.setattr(SqliteLedger, "record_many", _fail)
        with pytest.raises(LedgerError, match="disk is full"):
            desk.run(Caller(provider.port))
        told = provider.taken.total()
        assert 0 < told <= 40
    with Provider() as provider:
        desk.run(Caller(provider.port))
        assert provider.taken.total() == 40 - told
    assert desk.states() == {ACCEPTED: 40}


def test_where_the_journal_cannot_be_begun_nothing_is_sent(desk: Desk) -> None:
    desk.freeze(people(5))
    journal = place(desk.path, WHERE)
    journal.with_name(f"{journal.name}.tmp").mkdir()
    with Provider() as provider:
        with pytest.raises(LedgerError, match="cannot be noted"):
            desk.run(Caller(provider.port))
        assert provider.lines == 0
    assert desk.states() == {READY: 5}


# -- the provider's faults ---


def test_a_line_that_breaks_leaves_in_doubt_what_was_on_it_and_no_other_is_disturbed(desk: Desk) -> None:
    desk.freeze(people(200))
    with Provider(lambda target, _: "hang up" if target == people(200)[20] else "ok") as provider:
        desk.run(Caller(provider.port, 2))
        assert provider.taken == Counter(people(200))
        assert provider.lines in {2, 3}
    assert [entry.delivery.target for entry in desk.entries(IN_DOUBT)] == [people(200)[20]]
    assert desk.states() == {ACCEPTED: 199, IN_DOUBT: 1}


def test_no_answer_within_the_patience_is_a_broken_line(desk: Desk) -> None:
    desk.freeze(people(60))
    with Provider(lambda target, _: "silence" if target == people(60)[7] else "ok") as provider:
        desk.run(Caller(provider.port, 2, talk=Hasty))
    (doubtful,) = desk.entries(IN_DOUBT)
    assert doubtful.reason == "no answer within 0.3 seconds; it may be out"
    assert desk.states() == {ACCEPTED: 59, IN_DOUBT: 1}


def test_a_line_that_is_over_is_replaced(desk: Desk) -> None:
    desk.freeze(people(100))
    with Provider(lambda target, _: f"ok id-{target}\nbye" if target.endswith("9") else "ok") as provider:
        desk.run(Caller(provider.port, 1))
        assert provider.lines == 10
    assert desk.states() == {ACCEPTED: 100}


def test_a_bug_in_a_conversation_leaves_in_doubt_what_it_held(desk: Desk) -> None:
    desk.freeze(people(50))
    with Provider(lambda target, _: "bug" if target == people(50)[5] else "ok") as provider:
        desk.run(Caller(provider.port, 1, talk=deep(3)))
        assert max(provider.taken.values()) == 1
    assert desk.states()[ACCEPTED] + desk.states()[IN_DOUBT] == 50
    assert 1 <= desk.states()[IN_DOUBT] <= 3


def test_what_a_conversation_does_not_take_is_refused_alone(desk: Desk) -> None:
    desk.freeze(["+61400000001", "unspeakable", "+61400000002"])
    with Provider() as provider:
        desk.run(Caller(provider.port, 1))
    assert desk.states() == {ACCEPTED: 2, FAILED: 1}
    (failed,) = desk.entries(FAILED)
    assert (failed.delivery.target, failed.refused, failed.reason) == ("unspeakable", True, "this cannot be said")


def test_a_refused_person_is_refused_alone_and_suppressed_where_it_lasts(desk: Desk) -> None:
    ana, ben, cat = people(3)
    desk.freeze([ana, ben, cat])
    with Provider(lambda target, _: {ana: "no", ben: "no bounce"}.get(target, "ok")) as provider:
        desk.run(Caller(provider.port))
    assert [(entry.delivery.target, entry.code, entry.refused) for entry in desk.entries(FAILED)] == [
        (ana, "404", True),
        (ben, "404", True),
    ]
    assert [row.address for row in desk.ledger.suppressed()] == [ben]


def test_five_answers_lost_one_after_the_other_end_it(desk: Desk) -> None:
    desk.freeze(people(100))
    desk.clock = SetClock()
    with Provider(lambda *_: "hang up") as provider:
        desk.run(Caller(provider.port, 1))
        assert provider.taken.total() == 5
    assert desk.states() == {READY: 95, IN_DOUBT: 5}


def test_many_lines_that_break_together_count_as_one_lost_answer(desk: Desk) -> None:
    desk.freeze(people(400))
    with Provider() as provider:

        def answer(target: str, _: int) -> str:
            if provider.taken.total() == 100:
                provider.hang_up()
            return "ok"

        provider.answer = answer
        desk.run(Caller(provider.port, 8, talk=deep(4)))
        assert provider.taken == Counter(people(400)) - (Counter(people(400)) - provider.taken)
    assert desk.states()[READY] == 0
    assert desk.states()[ACCEPTED] >= 400 - 8 * 4


def test_what_said_later_is_tried_later(desk: Desk) -> None:
    desk.freeze(people(30))
    with Provider(lambda target, count: "busy 0.6" if target.endswith("3") and count == 1 else "ok") as provider:
        desk.run(Caller(provider.port, 2))
        assert provider.taken == Counter([*people(30), *(who for who in people(30) if who.endswith("3"))])
        assert provider.times[-1] - provider.times[0] >= 0.6
    assert desk.states() == {ACCEPTED: 30}


def test_a_provider_that_says_when_is_left_alone_until_then(desk: Desk) -> None:
    desk.freeze(people(60))
    told = threading.Event()

    def answer(target: str, _: int) -> str:
        if len(provider.order) >= 20 and not told.is_set():
            told.set()
            return "later 1"
        return "ok"

    with Provider(answer) as provider:
        desk.run(Caller(provider.port, 1))
        gaps = [after - before for before, after in zip(provider.times, provider.times[1:], strict=False)]
        assert max(gaps) >= 0.9
    assert desk.states() == {ACCEPTED: 60}


def test_a_provider_that_bears_few_at_once_gets_few_at_once(desk: Desk) -> None:
    desk.freeze(people(600))

    def answer(target: str, _: int) -> str:
        crowd = provider.under_way
        time.sleep(0.005)
        return "later" if crowd > 4 else "ok"

    with Provider(answer) as provider:
        desk.run(Caller(provider.port, 16), max_time=60)
        assert provider.most_under_way > 4
        assert provider.taken.total() < 2 * 600
    assert desk.states() == {ACCEPTED: 600}


def test_a_provider_that_cannot_be_reached_is_waited_for_and_then_left(desk: Desk) -> None:
    desk.freeze(people(10))
    desk.clock = SetClock()
    with Provider() as provider:
        port = provider.port
    caller = Caller(port)
    desk.run(caller)
    assert desk.states() == {READY: 10}
    assert "no connection" in (desk.entries()[0].reason or "")
    waited = (desk.clock.time - SetClock().time).total_seconds()
    assert 10 <= waited <= 40


def test_only_one_line_is_opened_before_it_is_known_that_any_can_be(desk: Desk) -> None:
    desk.freeze(people(40))
    with Provider() as provider:
        caller = Caller(provider.port, 8)
        caller.failures.append(Rejected("wrong password", hint="ask for a new one", account=True))
        desk.run(caller)
        assert (provider.lines, len(caller.failures)) == (0, 0)
    assert desk.states() == {READY: 40}
    hold = desk.ledger.held(*WHERE)
    assert hold
    assert (hold.why, hold.by) == ("wrong password (ask for a new one)", BY)


def test_a_line_that_could_not_be_opened_is_tried_again(desk: Desk) -> None:
    desk.freeze(people(40))
    with Provider() as provider:
        caller = Caller(provider.port, 2)
        caller.failures.append(Unavailable("full", retry_after=0.1))
        desk.run(caller)
    assert desk.states() == {ACCEPTED: 40}


# -- stops ---


def test_a_closed_account_ends_it_and_leaves_the_rest_ready(desk: Desk) -> None:
    desk.freeze(people(1_000))
    with Provider(lambda *_: "account" if provider.taken.total() > 30 else "ok") as provider:
        desk.run(Caller(provider.port, 2))
        assert provider.taken.total() <= 33
    hold = desk.ledger.held(*WHERE)
    assert hold
    assert hold.why == "your account is closed (pay first)"
    assert desk.states()[FAILED] <= 2
    assert desk.states()[READY] >= 960


def test_more_than_five_in_a_hundred_refused_is_no_chance_and_a_person_is_asked(desk: Desk) -> None:
    desk.freeze(people(1_000))
    with Provider(lambda target, _: "no" if int(target) % 10 == 0 else "ok") as provider:
        desk.run(Caller(provider.port, 2))
        assert provider.taken.total() < 130
    hold = desk.ledger.held(*WHERE)
    assert hold
    assert "11 of the last" in hold.why
    assert "no such person" in hold.why
    assert 10 < desk.states()[FAILED] <= 12


def test_few_refusals_among_many_hold_nothing(desk: Desk) -> None:
    desk.freeze(people(1_000))
    with Provider(lambda target, _: "no" if int(target) % 25 == 0 else "ok") as provider:
        desk.run(Caller(provider.port, 2))
    assert desk.ledger.held(*WHERE) is None
    assert desk.states() == {FAILED: 40, ACCEPTED: 960}


def test_a_hold_by_another_process_is_seen_soon_and_what_is_under_way_ends(desk: Desk) -> None:
    desk.freeze(people(5_000))
    is_held = threading.Event()

    def answer(target: str, _: int) -> str:
        time.sleep(0.2 if is_held.is_set() else 0.001)
        if target == people(1_501)[1_500]:
            other = SqliteLedger(desk.path)
            other.hold(*WHERE, "wrong number in it", desk.clock.now(), "ben@desk")
            other.close()
            is_held.set()
        return "ok"

    with Provider(answer) as provider:
        desk.run(Caller(provider.port, 2))
        told = provider.taken.total()
        assert told < 1_530  # though hundreds had been claimed
        assert desk.states() == {ACCEPTED: told, READY: 5_000 - told}
    hold = desk.ledger.held(*WHERE)
    assert hold
    assert hold.by == "ben@desk"


def test_it_makes_room_for_a_newer_update(desk: Desk) -> None:
    desk.freeze(people(3_000))
    is_outdated = threading.Event()

    def answer(target: str, _: int) -> str:
        time.sleep(0.2 if is_outdated.is_set() else 0.001)
        if target == people(1_501)[1_500]:
            other = Desk(desk.path)
            other.declare(2)
            other.ledger.close()
            is_outdated.set()
        return "ok"

    with Provider(answer) as provider:
        desk.run(Caller(provider.port, 2))
        told = provider.taken.total()
        assert told < 1_530
    assert desk.states() == {ACCEPTED: told, READY: 3_000 - told}


def test_one_that_is_held_does_not_begin(desk: Desk) -> None:
    desk.freeze(people(5))
    desk.ledger.hold(*WHERE, "wait", desk.clock.now(), BY)
    with Provider() as provider:
        desk.run(Caller(provider.port))
        assert provider.lines == 0
        desk.ledger.release(*WHERE)
        desk.run(Caller(provider.port))
    assert desk.states() == {ACCEPTED: 5}


def test_a_stop_ends_it_when_what_is_under_way_has_its_answer(desk: Desk) -> None:
    desk.freeze(people(500))

    def answer(target: str, _: int) -> str:
        if provider.taken.total() >= 20:
            desk.stop.set()
            time.sleep(0.3)
        return "ok"

    with Provider(answer) as provider:
        desk.run(Caller(provider.port, 4))
        told = provider.taken.total()
        assert 20 <= told <= 30
    assert desk.states() == {ACCEPTED: told, READY: 500 - told}
    assert desk.journals == []


def test_a_stop_waits_no_longer_than_the_patience(desk: Desk) -> None:
    desk.freeze(people(50))

    def answer(target: str, _: int) -> str:
        desk.stop.set()
        return "silence"

    with Provider(answer) as provider:
        desk.run(Caller(provider.port, 1, talk=Hasty))
    assert desk.states() == {IN_DOUBT: 1, READY: 49}


def test_it_takes_no_longer_than_it_may(desk: Desk) -> None:
    desk.freeze(people(5_000))
    with Provider() as provider:
        provider.slow = 0.01
        desk.run(Caller(provider.port, 1), max_time=0.5)
        told = provider.taken.total()
        assert 0 < told < 500
    assert desk.states() == {ACCEPTED: told, READY: 5_000 - told}


def test_words_that_are_out_of_date_are_not_sent(desk: Desk) -> None:
    clock = desk.clock = SetClock()
    desk.freeze(people(300), expires_at=clock.now() + timedelta(minutes=1))

    def answer(target: str, _: int) -> str:
        if provider.taken.total() == 50:
            clock.pass_by(61)
        return "ok"

    with Provider(answer) as provider:
        desk.run(Caller(provider.port, 1))
        told = provider.taken.total()
        assert told <= 51
    assert desk.states() == {ACCEPTED: told, State.EXPIRED: 300 - told}


# -- pace ---


@pytest.mark.parametrize(("option", "text", "seconds"), [("rate", "x", 10), ("segment_rate", "x" * 400, 30)])
def test_a_rate_holds_over_a_run(desk: Desk, option: str, text: str, seconds: int) -> None:
    clock = desk.clock = SetClock()
    desk.text = text
    desk.freeze(people(100))
    began = clock.now()
    with Provider() as provider:
        desk.run(Caller(provider.port, 4), max_time=100, **{option: 10.0})
    assert desk.states() == {ACCEPTED: 100}
    assert (clock.now() - began).total_seconds() >= seconds - 1


def test_a_pace_makes_up_for_a_late_start_but_not_for_a_long_one() -> None:
    pace = Pace(100)
    for now in (1.0, 60.0):
        started = 0
        while pace.wait(now) == 0:
            pace.spend(now)
            started += 1
        assert started <= 6
    assert pace.wait(60.0) == pytest.approx(0.01)


def test_the_throttle_falls_once_a_round_and_recovers() -> None:
    throttle = Throttle()
    assert throttle.put_off(0, 64, None) == 0
    assert throttle.most == 32
    assert throttle.put_off(0, 63, None) == 0  # it was under way with the first
    assert throttle.most == 32
    throttle.put_off(1, 32, None)
    assert throttle.most == 16
    for _ in range(16):
        throttle.answered()
    assert 16.9 < throttle.most < 17.1
    assert throttle.put_off(2, 10, 7.0) == 7.0


def test_a_provider_that_bears_nothing_is_asked_ever_more_seldom() -> None:
    throttle = Throttle()
    for expected in range(6):
        throttle.put_off(expected, 1, None)
    assert throttle.most == 1
    assert throttle.put_off(6, 1, None) >= 0.5


# -- the parts ---


class _Meddler(Talk):
    """Notes what had been noted when it was asked what to say."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk

    def outgoing(self) -> Outgoing:
        said = super().outgoing()
        for delivery in said.begins:
            (journal,) = self._desk.journals
            assert delivery.key not in journal.read_text()
        return said


def test_what_begins_is_noted_before_the_provider_hears_of_it(desk: Desk) -> None:
    desk.freeze(people(50))
    keys = {entry.delivery.target: entry.delivery.key for entry in desk.entries()}

    def answer(target: str, _: int) -> str:
        (journal,) = desk.journals
        return "ok" if f"+{keys[target]}\n" in journal.read_text() else "account"

    with Provider(answer) as provider:
        desk.run(Caller(provider.port, 3, talk=lambda: _Meddler(desk)))
    assert desk.states() == {ACCEPTED: 50}


def _sender(desk: Desk, provider: Provider, connections: int, depth: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.lines", str(desk.path), str(provider.port), str(connections), str(depth)]
    return subprocess.Popen(command, cwd=ROOT)


def _cut_short(desk: Desk, begun: list[int], ended: dict[int, Move]) -> None:
    """Leave a window of five as a run does that is killed: of those begun, some ended."""
    desk.freeze(people(5))
    window = desk.ledger.claim_window(*WHERE, 5, desk.clock.now(), BY)
    journal = Journal(place(desk.path, WHERE), window[0].delivery.opened_at)
    journal.note([window[index].delivery.key for index in begun], [])
    journal.note([], [(window[index].delivery.key, move) for index, move in ended.items()])
    journal.close()


def _fail(*_: Any) -> None:
    raise LedgerError("the disk is full")


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
