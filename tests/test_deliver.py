"""The engine: what it does with every answer, silence, crash and bug of a channel."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, cast

import pytest

from outagecast import lane
from outagecast.channel import Channel, Idempotency, Limit, LookUp, OnDoubt, Semantics
from outagecast.clock import Clock, Timer
from outagecast.config import ChannelConfig, Options
from outagecast.deliver import RETRY_FOR, Run
from outagecast.errors import ConfigError, ConflictError, LedgerError, Problem, Rejected, Unavailable, Uncertain
from outagecast.lane import Progress
from outagecast.ledger import UNSURE_FOR, Entry, Event, Move, Opening, Update
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.model import Delivery, Receipt, State, Status, Variant
from outagecast.transitions import TRANSITIONS

START = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
SETTLE = timedelta(minutes=5)
SLUG = "cards"

# DESIGN, "The state machine of a delivery", row by row.
ROWS = [
    ("ready", "claimed", "attempting"),
    ("attempting", "receipt", "accepted"),
    ("attempting", "found", "accepted"),
    ("attempting", "not_sent", "ready"),
    ("attempting", "refused", "failed"),
    ("attempting", "lost", "in_doubt"),
    ("in_doubt", "replayed", "in_doubt"),
    ("in_doubt", "receipt", "accepted"),
    ("in_doubt", "not_sent", "in_doubt"),
    ("in_doubt", "refused", "in_doubt"),
    ("in_doubt", "lost", "in_doubt"),
    ("in_doubt", "found", "accepted"),
    ("in_doubt", "absent", "ready"),
    ("in_doubt", "exhausted", "needs_decision"),
    ("needs_decision", "found", "accepted"),
    ("needs_decision", "settled_published", "accepted"),
    ("needs_decision", "settled_not_published", "failed"),
    ("needs_decision", "settled_resend", "ready"),
    ("failed", "revived", "ready"),
    *((seen, "seen", "verified") for seen in ("accepted", "verified", "mismatch", "missing")),
    *((seen, "seen_different", "mismatch") for seen in ("accepted", "verified", "mismatch", "missing")),
    *((seen, "gone", "missing") for seen in ("accepted", "verified", "mismatch", "missing")),
    ("ready", "superseded", "superseded"),
    ("ready", "expired", "expired"),
    ("ready", "cancelled", "cancelled"),
]
NEVER = sorted(
    (before.value, event.value)
    for before, event in product(State, Event)
    if (before.value, event.value) not in {(row[0], row[1]) for row in ROWS}
)


class SetClock(Clock):
    """A clock that moves when somebody waits for it, or when a test says so."""

    def __init__(self) -> None:
        self.time = START
        self.waits: list[float] = []
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            return self.time

    def wait(self, seconds: float, stop: threading.Event) -> None:
        self.pass_by(seconds)
        time.sleep(0)

    def pass_by(self, seconds: float) -> None:
        with self._lock:
            self.waits.append(seconds)
            self.time += timedelta(seconds=seconds)


Answer = Receipt | Exception | Callable[[Delivery], Any] | None
HOLD = Semantics(Idempotency.NONE, LookUp.NONE, OnDoubt.HOLD, SETTLE, "test")


class Postbox:
    """A provider in this process: answers as it was told, in order, then takes everything."""

    kind: ClassVar[str] = "x"
    parts: ClassVar[Mapping[str, Limit]] = {}
    addresses: ClassVar[Literal["phone", "email"] | None] = None
    escapes: ClassVar[frozenset[str]] = frozenset()
    semantics: Semantics = HOLD  # one class, many promises

    def __init__(self, *answers: Answer) -> None:
        self.answers = deque(answers)
        self.sent: list[Delivery] = []
        self.closed = 0

    def check(self) -> None:
        raise AssertionError("nothing is checked in a run")

    def send(self, delivery: Delivery) -> Receipt:
        self.sent.append(delivery)
        answer = self.answers.popleft() if self.answers else Receipt(f"id-{len(self.sent)}")
        if isinstance(answer, Exception):
            raise answer
        result: Any = answer(delivery) if callable(answer) else answer
        return cast("Receipt", result)

    def close(self) -> None:
        self.closed += 1


class Archive(Postbox):
    """One that can be asked what it carries: ``shows`` answers each question."""

    def __init__(self, *answers: Answer, shows: Callable[[Delivery], Receipt | None] = lambda _: None) -> None:
        super().__init__(*answers)
        self.shows = shows
        self.asked: list[Delivery] = []

    def find(self, delivery: Delivery) -> Receipt | None:
        self.asked.append(delivery)
        return self.shows(delivery)


@dataclass
class Desk:
    """A ledger with one update opened, and runs over it."""

    ledger: SqliteLedger
    clock: SetClock
    postboxes: dict[str, Any] = field(default_factory=dict)
    configs: dict[str, ChannelConfig] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    progress: list[Progress] = field(default_factory=list)

    def add(
        self,
        postbox: Any,
        *,
        name: str = "x",
        kind: str = "x",
        targets: tuple[str, ...] = ("",),
        workers: int = 1,
        rate: float | None = None,
        expires_at: datetime | None = None,
    ) -> None:
        self.postboxes[name] = postbox
        options = Options(kind="smtp" if workers > 1 else kind, rate=rate)
        self.configs[name] = ChannelConfig(name=name, options=options, settings=SimpleNamespace(connections=workers))
        variant = Variant(name, "x", "en", {"text": "Cards fail."}, 1, "en/x.text.j2", [], [])
        openings = [Opening(name, target, "en", State.READY, None, expires_at) for target in targets]
        update = Update(SLUG, 1, Status.INVESTIGATING, "f", "{}", "d", START, "ana@desk")
        self.ledger.open(update, [variant], openings)

    def create(self, config: ChannelConfig) -> Channel:
        postbox = self.postboxes[config.name]
        made: Channel = postbox() if isinstance(postbox, Constructor) else postbox
        return made

    def run(self, max_time: float | None = None, **changes: Any) -> None:
        settings: dict[str, Any] = {
            "ledger": self.ledger,
            "incident": SLUG,
            "numbers": dict.fromkeys(self.configs, 1),
            "channels": self.configs,
            "create": self.create,
            "by": "ana@desk",
            "clock": self.clock,
            "max_time": max_time,
            "watch": self.progress.append,
            "stop": self.stop,
        }
        Run(**{**settings, **changes}).run()

    def entries(self, name: str = "x") -> list[Entry]:
        return self.ledger.entries(SLUG, 1, name, set(State))

    def entry(self, name: str = "x") -> Entry:
        (entry,) = self.entries(name)
        return entry

    def states(self, name: str = "x") -> list[State]:
        return [entry.state for entry in self.entries(name)]

    def crash(self) -> None:
        """Leave a delivery as a process does that is killed while it sends."""
        assert self.ledger.claim(SLUG, 1, "x", self.clock.now(), "ana@desk")

    def doubt(self) -> None:
        self.crash()
        self.ledger.move(self.entry(), Move(Event.LOST, "no answer"), self.clock.now(), "ana@desk")

    def history(self) -> list[str]:
        return [row["event"] for row in self.ledger._db.execute("SELECT event FROM transition ORDER BY seq")]


class Constructor:
    """What makes a new adapter each time."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __call__(self) -> Any:
        return self._make()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(SqliteLedger(tmp_path / "outagecast.db"), SetClock())
    yield desk
    desk.ledger.close()


def semantics(
    lookup: LookUp = LookUp.NONE,
    on_doubt: OnDoubt = OnDoubt.HOLD,
    idempotency: Idempotency = Idempotency.NONE,
    key_lifetime: timedelta | None = None,
    settle: timedelta = SETTLE,
) -> Semantics:
    return Semantics(idempotency, lookup, on_doubt, settle, "test", key_lifetime)


# -- the table ---


@pytest.mark.parametrize(("before", "event", "after"), ROWS)
def test_the_table_has_each_row_of_the_design(before: str, event: str, after: str) -> None:
    assert State(after) == TRANSITIONS[State(before), Event(event)]


@pytest.mark.parametrize(("before", "event"), NEVER)
def test_what_is_not_in_the_design_cannot_happen(before: str, event: str) -> None:
    assert (State(before), Event(event)) not in TRANSITIONS


def test_an_event_that_cannot_happen_is_a_bug_that_changes_nothing(desk: Desk) -> None:
    desk.add(Postbox())
    run = Run(desk.ledger, SLUG, {"x": 1}, desk.configs, desk.create, "ana@desk", desk.clock)
    with pytest.raises(KeyError):
        run.record(desk.entry(), Event.RECEIPT, receipt=Receipt("1"))
    assert desk.states() == [State.READY]


# -- what another ledger may have sent ---


def test_a_first_word_that_is_out_already_is_not_said_again(desk: Desk) -> None:
    postbox = Archive(shows=lambda _: Receipt("9", "https://x.example/9"))
    desk.add(postbox)
    desk.run()
    assert (desk.states(), postbox.sent, desk.entry().receipt) == (
        [State.ACCEPTED],
        [],
        Receipt("9", "https://x.example/9"),
    )
    assert desk.history() == ["claimed", "found"]
    assert postbox.asked[0].attempted_at == START - UNSURE_FOR


def test_each_language_of_a_public_post_is_looked_for(desk: Desk) -> None:
    postbox = Archive(shows=lambda delivery: Receipt("9") if delivery.target == "b" else None)
    desk.add(postbox, targets=("a", "b", "c"))
    desk.run()
    assert (desk.states(), [item.target for item in postbox.sent]) == ([State.ACCEPTED] * 3, ["a", "c"])


def test_of_many_recipients_the_first_is_asked_about_and_nobody_else_if_they_have_nothing(desk: Desk) -> None:
    postbox = Archive()
    desk.add(postbox, kind="twilio_sms", targets=("a", "b", "c"))
    desk.run()
    assert ([item.target for item in postbox.asked], len(postbox.sent)) == (["a"], 3)


def test_where_the_first_of_many_has_it_each_other_one_is_in_doubt_and_looked_up(desk: Desk) -> None:
    postbox = Archive(shows=lambda delivery: None if delivery.target == "c" else Receipt(f"id-{delivery.target}"))
    postbox.semantics = semantics(LookUp.EVENTUAL)
    desk.add(postbox, kind="twilio_sms", targets=("a", "b", "c"))
    desk.run()
    assert (desk.states(), postbox.sent) == ([State.ACCEPTED, State.ACCEPTED, State.NEEDS_DECISION], [])
    assert {item.attempted_at for item in postbox.asked} == {START - UNSURE_FOR}


def test_the_same_words_of_an_earlier_incident_are_not_taken_for_these(desk: Desk) -> None:
    postbox = Archive(shows=lambda _: Receipt("id-1"))
    desk.add(Postbox())
    desk.run()
    assert desk.entry().receipt == Receipt("id-1")
    desk.postboxes["x"] = postbox
    update = Update("other", 1, Status.INVESTIGATING, "f", "{}", "d", START, "ana@desk")
    variant = Variant("x", "x", "en", {"text": "Cards fail."}, 1, "en/x.text.j2", [], [])
    desk.ledger.open(update, [variant], [Opening("x", "", "en", State.READY, None, None)])
    desk.run(incident="other")
    assert (len(postbox.asked), len(postbox.sent)) == (1, 1)


@pytest.mark.parametrize("error", [Unavailable("down"), Rejected("may not read", account=True), ValueError("a bug")])
def test_a_look_up_that_fails_keeps_no_first_word_back(desk: Desk, error: Exception) -> None:
    def fail(_: Delivery) -> Receipt | None:
        raise error

    postbox = Archive(shows=fail)
    desk.add(postbox)
    desk.run()
    assert (desk.states(), len(postbox.sent)) == ([State.ACCEPTED], 1)


def test_a_look_up_that_hangs_keeps_a_first_word_back_for_a_moment_only(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "LOOK", 0.05)
    hung = threading.Event()

    def hang(_: Delivery) -> None:
        hung.wait(10)

    postbox = Archive(shows=hang)
    desk.add(postbox)
    desk.run()
    hung.set()
    assert (desk.states(), len(postbox.sent)) == ([State.ACCEPTED], 1)


def test_where_a_repeat_is_harmless_nobody_is_asked_first(desk: Desk) -> None:
    postbox = Archive()
    postbox.semantics = semantics(LookUp.STRONG, OnDoubt.REPLAY, Idempotency.NATURAL)
    desk.add(postbox)
    desk.run()
    assert (len(postbox.asked), len(postbox.sent)) == (0, 1)


@pytest.mark.parametrize(("is_unsure", "asked"), [(True, 1), (False, 0)])
def test_a_later_update_is_looked_for_only_if_the_ledger_may_have_forgotten_it(
    desk: Desk, is_unsure: bool, asked: int
) -> None:
    postbox = Archive()
    desk.add(postbox)
    desk.run()
    postbox.asked.clear()
    update = Update(SLUG, 2, Status.IDENTIFIED, "g", "{}", "d", START, "ana@desk")
    variant = Variant("x", "x", "en", {"text": "Found it."}, 1, "en/x.text.j2", [], [])
    desk.ledger.open(update, [variant], [Opening("x", "", "en", State.READY, None, None)])
    desk.run(numbers={"x": 2}, is_unsure=is_unsure)
    assert (len(postbox.asked), len(postbox.sent)) == (asked, 2)


def test_what_was_tried_already_is_not_looked_for_as_if_somebody_else_had_sent_it(desk: Desk) -> None:
    postbox = Archive(Unavailable("later", retry_after=600.0))
    desk.add(postbox)
    desk.run()
    postbox.asked.clear()
    desk.clock.pass_by(601)
    desk.run()
    assert (postbox.asked, desk.states()) == ([], [State.ACCEPTED])


def test_a_stopped_run_asks_nobody_first(desk: Desk) -> None:
    postbox = Archive()
    desk.add(postbox)
    desk.stop.set()
    desk.run()
    assert (postbox.asked, desk.states()) == ([], [State.READY])


# -- what a channel answers ---


def test_a_receipt_is_written_down(desk: Desk) -> None:
    postbox = Postbox(Receipt("77", "https://x.example/77"))
    desk.add(postbox)
    desk.run()
    assert (State.ACCEPTED, Receipt("77", "https://x.example/77"), 1) == (
        desk.entry().state,
        desk.entry().receipt,
        desk.entry().attempts,
    )
    assert [item.state for item in desk.progress] == [State.ATTEMPTING, State.ACCEPTED]
    assert postbox.closed > 0


def test_the_intent_is_on_disk_before_the_channel_is_asked(desk: Desk, tmp_path: Path) -> None:
    seen: list[State] = []

    def look(_: Delivery) -> Receipt:
        other = SqliteLedger(tmp_path / "outagecast.db")
        seen.extend(entry.state for entry in other.entries(SLUG, 1, "x", set(State)))
        other.close()
        return Receipt("1")

    desk.add(Postbox(look))
    desk.run()
    assert seen == [State.ATTEMPTING]


def test_a_run_over_what_is_out_asks_nobody(desk: Desk) -> None:
    postbox = Archive()
    desk.add(postbox)
    desk.run()
    postbox.asked.clear()
    desk.run()
    assert (len(postbox.sent), len(postbox.asked)) == (1, 0)


@pytest.mark.parametrize(
    ("answer", "state", "refused", "code"),
    [
        (Rejected("too long", code="HTTP 400"), State.FAILED, False, "HTTP 400"),
        (Rejected("no such number", code="21211", recipient=True), State.FAILED, True, "21211"),
        (Rejected("dead token", code="HTTP 401", account=True), State.FAILED, False, "HTTP 401"),
        (ConfigError("X_API_KEY is not set"), State.FAILED, False, None),
        (Uncertain("no answer within 20 seconds"), State.IN_DOUBT, False, None),
        (ValueError("a bug in the adapter"), State.IN_DOUBT, False, None),
        (TimeoutError(), State.IN_DOUBT, False, None),
        (lambda _: None, State.IN_DOUBT, False, None),
        (Receipt(""), State.IN_DOUBT, False, None),
    ],
)
def test_each_answer_becomes_a_state(desk: Desk, answer: Answer, state: State, refused: bool, code: str | None) -> None:
    desk.add(Postbox(answer))
    desk.run()
    entry = desk.entry()
    assert (state, refused, code) == (entry.state, entry.refused, entry.code)
    assert entry.reason
    if isinstance(answer, Exception):
        assert str(answer) in entry.reason
    assert entry.receipt is None


def test_a_recipients_refusal_stops_nobody_else(desk: Desk) -> None:
    desk.add(Postbox(Rejected("unsubscribed", recipient=True)), targets=("ana", "ben"))
    desk.run()
    assert desk.states() == [State.FAILED, State.ACCEPTED]


@pytest.mark.parametrize("answer", [Rejected("dead token", account=True), ConfigError("X_API_KEY is not set")])
def test_a_dead_account_stops_its_channel_without_another_call_and_no_other_channel(
    desk: Desk, answer: Exception
) -> None:
    dead, alive = Postbox(answer), Postbox()
    desk.add(dead, targets=("ana", "ben", "chi"))
    desk.add(alive, name="facebook")
    desk.run()
    assert len(dead.sent) == 1
    assert [(State.FAILED, str(answer), False)] * 3 == [
        (entry.state, entry.reason, entry.refused) for entry in desk.entries()
    ]
    assert desk.states("facebook") == [State.ACCEPTED]


@pytest.mark.parametrize("error", [ConfigError("TOKEN is not set"), ValueError("a bug"), Rejected("no", account=True)])
def test_a_channel_that_cannot_be_made_fails_alone_with_nothing_sent(desk: Desk, error: Exception) -> None:
    def broken() -> Channel:
        raise error

    desk.add(Constructor(broken))
    desk.add(Postbox(), name="facebook")
    desk.run()
    assert (desk.entry().state, desk.entry().refused) == (State.FAILED, False)
    assert str(error) in str(desk.entry().reason)
    assert desk.states("facebook") == [State.ACCEPTED]


def test_a_channel_that_cannot_be_made_leaves_its_doubt_as_it_is(desk: Desk) -> None:
    def broken() -> Channel:
        raise ConfigError("TOKEN is not set")

    desk.add(Constructor(broken))
    desk.doubt()
    desk.run()
    assert desk.states() == [State.IN_DOUBT]


def test_a_channel_that_cannot_be_closed_ends_no_run(desk: Desk) -> None:
    class Stuck(Postbox):
        def close(self) -> None:
            raise OSError("stuck")

    desk.add(Stuck())
    desk.run()
    assert desk.states() == [State.ACCEPTED]


def test_a_watcher_that_fails_ends_no_run(desk: Desk) -> None:
    def gone(_: Progress) -> None:
        raise BrokenPipeError

    desk.add(Postbox())
    desk.run(watch=gone)
    assert desk.states() == [State.ACCEPTED]


def test_a_hung_channel_delays_no_other(desk: Desk) -> None:
    release, others = threading.Event(), threading.Event()

    def hang(_: Delivery) -> Receipt:
        assert others.wait(5)
        release.set()
        return Receipt("late")

    def quick(_: Delivery) -> Receipt:
        others.set()
        return Receipt("1")

    desk.add(Postbox(hang))
    desk.add(Postbox(quick), name="facebook")
    desk.run()
    assert release.is_set()
    assert (desk.states(), desk.states("facebook")) == ([State.ACCEPTED], [State.ACCEPTED])


# -- trying again ---


def test_what_was_certainly_not_sent_is_tried_again_until_it_is_taken(desk: Desk) -> None:
    postbox = Postbox(Unavailable("connection refused"), Unavailable("connection refused"))
    desk.add(postbox)
    desk.run()
    assert (desk.entry().state, desk.entry().attempts, len(postbox.sent)) == (State.ACCEPTED, 3, 3)
    assert len({delivery.key for delivery in postbox.sent}) == 1


def test_a_run_gives_up_waiting_after_half_a_minute_and_leaves_it_to_be_resumed(desk: Desk) -> None:
    postbox = Postbox(*(Unavailable("connection refused") for _ in range(200)))
    desk.add(postbox)
    desk.run()
    assert desk.states() == [State.READY]
    assert desk.clock.now() - START <= timedelta(seconds=RETRY_FOR)
    assert 2 < len(postbox.sent) < 40
    assert desk.entry().reason == "connection refused"


def test_the_wait_that_a_provider_asks_for_is_kept_to_the_second(desk: Desk) -> None:
    times: list[datetime] = []

    def note(_: Delivery) -> Receipt:
        times.append(desk.clock.now())
        return Receipt("1")

    desk.add(Postbox(Unavailable("later", retry_after=12.0), note))
    desk.run()
    assert desk.states() == [State.ACCEPTED]
    assert timedelta(seconds=12) <= times[0] - START < timedelta(seconds=12.1)


def test_a_wait_longer_than_the_run_ends_it_at_once(desk: Desk) -> None:
    desk.add(Postbox(Unavailable("later", retry_after=31.0)))
    desk.run()
    assert (State.READY, START + timedelta(seconds=31), []) == (
        desk.entry().state,
        desk.entry().not_before,
        desk.clock.waits,
    )


def test_a_run_with_time_waits_for_a_provider_as_long_as_it_may(desk: Desk) -> None:
    desk.add(Postbox(Unavailable("later", retry_after=90.0)))
    desk.run(max_time=120)
    assert desk.states() == [State.ACCEPTED]


@pytest.mark.parametrize("asked", [0.0, 0.001, -5.0])
def test_a_provider_that_says_again_at_once_is_not_hammered(desk: Desk, asked: float) -> None:
    postbox = Postbox(*(Unavailable("later", retry_after=asked) for _ in range(1000)))
    desk.add(postbox)
    desk.run()
    assert desk.states() == [State.READY]
    assert len(postbox.sent) <= 61


def test_the_wait_grows_with_jitter_and_within_bounds(desk: Desk) -> None:
    postbox = Postbox(*(Unavailable("connection refused") for _ in range(400)))
    desk.add(postbox)
    waits: dict[int, list[float]] = {}
    for _ in range(30):
        desk.run(max_time=0.1)
        entry = desk.entry()
        assert entry.not_before
        waits.setdefault(entry.attempts, []).append((entry.not_before - desk.clock.now()).total_seconds())
        desk.clock.pass_by(60)
    assert list(range(1, 31)) == sorted(waits)
    assert all(0.4 <= wait[0] <= min(30, 2**attempts) for attempts, wait in waits.items())
    assert len({round(wait[0], 3) for wait in waits.values()}) > 20
    assert max(wait[0] for wait in waits.values()) > 4


def test_a_delivery_that_failed_a_thousand_times_still_has_a_next_time(desk: Desk) -> None:
    desk.add(Postbox(Unavailable("connection refused")))
    desk.ledger._db.execute("UPDATE delivery SET attempts = 5000")
    desk.run(max_time=0.1)
    assert (desk.entry().state, desk.entry().attempts) == (State.READY, 5001)


def test_a_delivery_that_becomes_due_late_is_sent_though_the_other_workers_have_gone(desk: Desk) -> None:
    class ByAddress(Postbox):
        def send(self, delivery: Delivery) -> Receipt:
            self.sent.append(delivery)
            if delivery.target == "ben" and sum(item.target == "ben" for item in self.sent) < 3:
                time.sleep(0.02)  # until the others found nothing more to do
                raise Unavailable("later", retry_after=8.0)
            return Receipt(delivery.target)

    desk.add(ByAddress(), targets=("ana", "ben", "chi"), workers=4)
    desk.run()
    assert {State.ACCEPTED} == set(desk.states())


def test_many_workers_send_each_delivery_once(desk: Desk) -> None:
    made: list[Postbox] = []

    def make() -> Postbox:
        made.append(Postbox())
        return made[-1]

    targets = tuple(str(number) for number in range(60))
    desk.add(Constructor(make), targets=targets, workers=6)
    desk.run()
    assert {State.ACCEPTED} == set(desk.states())
    assert sorted(targets) == sorted(item.target for postbox in made for item in postbox.sent)
    assert len(made) == 1 + 1 + 6  # one to ask whether it serves many over one line, one whether it is out already
    assert {1} == {postbox.closed for postbox in made}


def test_the_rate_is_kept_over_all_workers(desk: Desk) -> None:
    times: list[datetime] = []
    lock = threading.Lock()

    class Timed(Postbox):
        def send(self, delivery: Delivery) -> Receipt:
            with lock:
                times.append(desk.clock.now())
            return Receipt("1")

    desk.add(Timed(), targets=tuple("abcdefghij"), workers=3, rate=2.0)
    desk.run()
    assert {State.ACCEPTED} == set(desk.states())
    spread = (max(times) - min(times)).total_seconds()
    assert 4.0 <= spread <= 6.0  # ten starts, half a second apart


def test_what_waits_for_its_turn_is_not_being_attempted(desk: Desk) -> None:
    slow = threading.Event()

    class Real(Clock):
        def wait(self, seconds: float, stop: threading.Event) -> None:
            slow.set()
            super().wait(seconds, stop)

    desk.add(Postbox(), targets=("a", "b", "c", "d"), workers=4, rate=0.01)
    thread = threading.Thread(target=desk.run, kwargs={"clock": Real()})
    thread.start()
    assert slow.wait(5)
    time.sleep(0.05)
    states = desk.states()
    desk.stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert [State.ACCEPTED, State.READY, State.READY, State.READY] == states == desk.states()


# -- time and stopping ---


def test_with_no_time_at_all_nothing_is_started(desk: Desk) -> None:
    postbox = Archive()
    postbox.semantics = semantics(LookUp.STRONG, OnDoubt.REPLAY)
    desk.add(postbox, targets=("ana", "ben"))
    desk.crash()
    desk.run(max_time=0)
    assert (postbox.sent, postbox.asked) == ([], [])
    assert desk.states() == [State.IN_DOUBT, State.READY]


def test_nothing_is_started_after_the_time_is_up_and_the_rest_can_be_resumed(desk: Desk) -> None:
    def slow(_: Delivery) -> Receipt:
        desk.clock.pass_by(6)
        return Receipt("1")

    postbox = Postbox(slow, slow, slow)
    desk.add(postbox, targets=("a", "b", "c"))
    desk.run(max_time=10)
    assert desk.states() == [State.ACCEPTED, State.ACCEPTED, State.READY]
    desk.run()
    assert {State.ACCEPTED} == set(desk.states())


def test_no_look_up_is_started_after_the_time_is_up(desk: Desk) -> None:
    def slow(_: Delivery) -> Receipt:
        desk.clock.pass_by(60)
        raise Uncertain("no answer")

    postbox = Archive(slow)
    desk.add(postbox)
    desk.run(max_time=10)
    assert (desk.states(), len(postbox.asked)) == ([State.IN_DOUBT], 1)  # before it was sent, and not after


def test_a_clock_that_is_set_back_makes_no_run_longer(desk: Desk) -> None:
    def set_back(_: Delivery) -> Receipt:
        desk.clock.pass_by(-3600)
        raise Unavailable("later", retry_after=5.0)

    def slow(_: Delivery) -> Receipt:
        desk.clock.pass_by(6)
        return Receipt("1")

    desk.add(Postbox(slow, set_back, slow, slow), targets=("a", "b", "c"))
    desk.run(max_time=10)
    assert desk.states().count(State.ACCEPTED) == 2
    assert desk.clock.now() < START


def test_a_timer_counts_what_passes_and_not_what_is_set_back() -> None:
    clock = SetClock()
    timer = Timer(clock)
    clock.pass_by(5)
    first = timer.seconds()
    clock.pass_by(-3600)
    second = timer.seconds()
    clock.pass_by(2)
    assert (first, second, timer.seconds()) == (5, 5, 7)


def test_a_stopped_run_finishes_what_is_under_way_and_starts_nothing_more(desk: Desk) -> None:
    def interrupted(_: Delivery) -> Receipt:
        desk.stop.set()
        return Receipt("1")

    desk.add(Postbox(interrupted), targets=("a", "b"))
    desk.run()
    assert desk.states() == [State.ACCEPTED, State.READY]


def test_a_run_that_waits_for_a_provider_is_stopped_at_once(desk: Desk) -> None:
    desk.add(Postbox(Unavailable("later", retry_after=25.0)))
    thread = threading.Thread(target=desk.run, kwargs={"clock": Clock()})
    began = time.monotonic()
    thread.start()
    while not desk.progress or desk.progress[-1].event is not Event.NOT_SENT:
        time.sleep(0.005)
    desk.stop.set()
    thread.join(5)
    assert (thread.is_alive(), desk.states()) == (False, [State.READY])
    assert time.monotonic() - began < 3


def test_an_exception_while_waiting_lets_what_is_under_way_end_first(desk: Desk) -> None:
    under_way, finished = threading.Event(), threading.Event()

    def slow(_: Delivery) -> Receipt:
        under_way.set()
        finished.wait(0.3)
        return Receipt("1")

    desk.add(Postbox(slow), targets=("a", "b"))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            desk.run()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert desk.states() == [State.ACCEPTED, State.READY]


def test_words_that_are_too_old_are_not_sent(desk: Desk) -> None:
    postbox = Postbox()
    desk.add(postbox, expires_at=START + timedelta(minutes=1))
    desk.clock.pass_by(60)
    desk.run()
    assert (desk.states(), postbox.sent) == ([State.EXPIRED], [])


# -- doubt ---


def test_what_a_killed_run_was_sending_is_in_doubt_and_never_simply_sent_again(desk: Desk) -> None:
    postbox = Postbox()
    desk.add(postbox)
    desk.crash()
    desk.run()
    assert (desk.states(), postbox.sent) == ([State.IN_DOUBT], [])
    assert desk.entry().reason == "the run that was sending this ended before it had an answer"


def test_without_means_to_ask_doubt_goes_to_a_person_once_it_has_settled(desk: Desk) -> None:
    desk.add(Postbox())
    desk.doubt()
    desk.clock.pass_by(SETTLE.total_seconds() - 1)
    desk.run()
    assert desk.states() == [State.IN_DOUBT]
    desk.clock.pass_by(1)
    desk.run()
    assert desk.states() == [State.NEEDS_DECISION]
    desk.run()
    assert desk.states() == [State.NEEDS_DECISION]


@pytest.mark.parametrize("lookup", [LookUp.EVENTUAL, LookUp.STRONG])
def test_what_is_seen_is_out_with_its_id_recovered(desk: Desk, lookup: LookUp) -> None:
    postbox = Archive(shows=lambda _: Receipt("9", "https://x.example/9"))
    postbox.semantics = semantics(lookup)
    desk.add(postbox)
    desk.doubt()
    desk.run()
    assert (State.ACCEPTED, Receipt("9", "https://x.example/9")) == (desk.entry().state, desk.entry().receipt)
    assert postbox.sent == []


def test_a_lost_answer_is_looked_for_in_the_same_run(desk: Desk) -> None:
    postbox = Archive(Uncertain("no answer"), shows=lambda _: Receipt("9") if postbox.sent else None)
    desk.add(postbox)
    desk.run()
    assert (desk.states(), len(postbox.sent), len(postbox.asked)) == ([State.ACCEPTED], 1, 2)


def test_not_to_be_seen_by_a_strong_look_up_after_the_settle_time_means_unsent(desk: Desk) -> None:
    postbox = Archive()
    postbox.semantics = semantics(LookUp.STRONG)
    desk.add(postbox)
    desk.doubt()
    desk.clock.pass_by(SETTLE.total_seconds() - 1)
    desk.run()
    assert (desk.states(), postbox.sent) == ([State.IN_DOUBT], [])
    desk.clock.pass_by(1)
    desk.run()
    assert (desk.states(), len(postbox.sent)) == ([State.ACCEPTED], 1)
    assert desk.history() == ["claimed", "lost", "absent", "claimed", "receipt"]


def test_the_settle_time_of_a_second_attempt_counts_from_the_second(desk: Desk) -> None:
    postbox = Archive(Uncertain("no answer"), Uncertain("no answer"))
    postbox.semantics = semantics(LookUp.STRONG)
    desk.add(postbox)
    desk.run()
    desk.clock.pass_by(SETTLE.total_seconds())
    desk.run()  # absent, sent again, and the answer lost again
    assert (desk.states(), len(postbox.sent)) == ([State.IN_DOUBT], 2)
    desk.run()
    assert (desk.states(), len(postbox.sent)) == ([State.IN_DOUBT], 2)


def test_not_to_be_seen_by_an_eventual_look_up_proves_nothing_and_goes_to_a_person(desk: Desk) -> None:
    postbox = Archive()
    postbox.semantics = semantics(LookUp.EVENTUAL)
    desk.add(postbox)
    desk.doubt()
    desk.run()
    assert desk.states() == [State.IN_DOUBT]
    desk.clock.pass_by(SETTLE.total_seconds())
    desk.run()
    assert (desk.states(), postbox.sent) == ([State.NEEDS_DECISION], [])
    postbox.shows = lambda _: Receipt("9")
    desk.run()
    assert desk.states() == [State.ACCEPTED]  # to be seen is proof, however late


def test_a_clock_that_was_set_back_settles_nothing(desk: Desk) -> None:
    postbox = Archive()
    postbox.semantics = semantics(LookUp.STRONG)
    desk.add(postbox)
    desk.doubt()
    desk.clock.pass_by(-7200)
    desk.run()
    assert (desk.states(), postbox.sent) == ([State.IN_DOUBT], [])


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (Unavailable("cannot be reached"), 2),  # once before sending, once after
        (ConfigError("TOKEN is not set"), 2),
        (KeyError("a bug"), 3),
    ],
)
def test_a_look_up_that_fails_leaves_the_doubt_and_is_not_repeated_in_vain(
    desk: Desk, error: Exception, asked: int
) -> None:
    def fail(_: Delivery) -> Receipt | None:
        raise error

    postbox = Archive(shows=fail)
    postbox.semantics = semantics(LookUp.STRONG, settle=timedelta(0))
    desk.add(postbox, targets=("a", "b", "c"))
    for _ in range(3):
        desk.crash()
    desk.run()
    assert ([State.IN_DOUBT] * 3, asked) == (desk.states(), len({item.key for item in postbox.asked}))
    assert postbox.sent == []


@pytest.mark.parametrize(("error", "asked"), [(Rejected("dead token", account=True), 1), (Rejected("odd"), 3)])
def test_a_provider_that_will_not_tell_leaves_the_decision_to_a_person(desk: Desk, error: Rejected, asked: int) -> None:
    def refuse(_: Delivery) -> Receipt | None:
        raise error

    postbox = Archive(shows=refuse)
    postbox.semantics = semantics(LookUp.EVENTUAL, settle=timedelta(minutes=5))
    desk.add(postbox, targets=("a", "b", "c"))
    for _ in range(3):
        desk.crash()
    desk.run()
    assert desk.states() == [State.IN_DOUBT] * 3
    desk.clock.wait(301, threading.Event())
    postbox.asked.clear()
    desk.run()
    assert ([State.NEEDS_DECISION] * 3, asked) == (desk.states(), len(postbox.asked))


def test_who_may_not_read_may_still_publish(desk: Desk) -> None:
    def forbidden(_: Delivery) -> Receipt | None:
        raise Rejected("your plan cannot read", account=True)

    postbox = Archive(shows=forbidden)
    desk.add(postbox, targets=("a", "b"))
    desk.crash()
    desk.run()
    assert desk.states() == [State.IN_DOUBT, State.ACCEPTED]


def test_all_doubt_is_asked_about_however_much_there_is(desk: Desk) -> None:
    postbox = Archive(shows=lambda delivery: Receipt(delivery.target) if delivery.target == "1103" else None)
    desk.add(postbox, targets=tuple(str(number) for number in range(1104)))
    for _ in range(1104):
        assert desk.ledger.claim(SLUG, 1, "x", START, "ana@desk")
    desk.run()
    counts = {item.state: item.count for item in desk.ledger.tallies(SLUG, 1)}
    assert (counts, len(postbox.asked)) == ({State.ACCEPTED: 1, State.IN_DOUBT: 1103}, 1104)


def test_a_refusal_as_a_duplicate_is_looked_up(desk: Desk) -> None:
    postbox = Archive(Rejected("duplicate content", duplicate=True), shows=lambda _: Receipt("9"))
    desk.add(postbox)
    desk.run()
    assert (State.ACCEPTED, Receipt("9")) == (desk.entry().state, desk.entry().receipt)
    assert desk.history() == ["claimed", "found"]


@pytest.mark.parametrize("trouble", [None, Unavailable("cannot be reached"), KeyError("a bug")])
def test_a_duplicate_that_is_not_seen_is_doubt(desk: Desk, trouble: Exception | None) -> None:
    def look(_: Delivery) -> Receipt | None:
        if trouble:
            raise trouble
        return None

    desk.add(Archive(Rejected("duplicate content", duplicate=True), shows=look))
    desk.run()
    assert (desk.entry().state, desk.entry().reason) == (State.IN_DOUBT, "duplicate content")


def test_a_duplicate_on_a_channel_that_cannot_be_asked_is_doubt(desk: Desk) -> None:
    desk.add(Postbox(Rejected("duplicate content", duplicate=True)))
    desk.run()
    assert desk.states() == [State.IN_DOUBT]


# -- sending what may be out again ---


def test_a_mail_in_doubt_is_sent_once_more_and_then_left_to_a_person(desk: Desk) -> None:
    postbox = Postbox(*(Uncertain("no answer") for _ in range(9)))
    postbox.semantics = semantics(on_doubt=OnDoubt.RESEND_ONCE, settle=timedelta(0))
    desk.add(postbox)
    desk.run()
    assert (desk.states(), len(postbox.sent)) == ([State.IN_DOUBT], 1)
    desk.run()
    desk.run()
    assert (desk.states(), len(postbox.sent)) == ([State.NEEDS_DECISION], 2)
    assert len({delivery.key for delivery in postbox.sent}) == 1


def test_a_resend_that_is_taken_ends_the_doubt(desk: Desk) -> None:
    postbox = Postbox(Uncertain("no answer"))
    postbox.semantics = semantics(on_doubt=OnDoubt.RESEND_ONCE)
    desk.add(postbox)
    desk.run()
    desk.run()
    assert (desk.states(), len(postbox.sent)) == ([State.ACCEPTED], 2)


def test_a_resend_that_certainly_did_not_leave_may_be_made_again_when_its_time_has_come(desk: Desk) -> None:
    postbox = Postbox(Uncertain("no answer"), Unavailable("connection refused", retry_after=60.0))
    postbox.semantics = semantics(on_doubt=OnDoubt.RESEND_ONCE, settle=timedelta(0))
    desk.add(postbox)
    desk.run()
    desk.run()
    assert (desk.states(), len(postbox.sent)) == ([State.IN_DOUBT], 2)
    desk.run()
    assert len(postbox.sent) == 2
    desk.clock.pass_by(60)
    desk.run()
    assert (desk.states(), len(postbox.sent)) == ([State.ACCEPTED], 3)


def test_the_settle_time_of_a_replay_counts_from_the_replay(desk: Desk) -> None:
    postbox = Postbox(Uncertain("no answer"))
    postbox.semantics = semantics(on_doubt=OnDoubt.RESEND_ONCE)
    desk.add(postbox)
    desk.doubt()
    desk.clock.pass_by(SETTLE.total_seconds())
    desk.run()
    assert (desk.states(), len(postbox.sent)) == ([State.IN_DOUBT], 1)
    desk.clock.pass_by(SETTLE.total_seconds())
    desk.run()
    assert (desk.states(), len(postbox.sent)) == ([State.NEEDS_DECISION], 1)


@pytest.mark.parametrize(
    "later", [Rejected("refused"), Rejected("no such address", recipient=True), Unavailable("later"), KeyError("a bug")]
)
def test_doubt_is_sticky_whatever_a_later_attempt_meets(desk: Desk, later: Exception) -> None:
    postbox = Postbox(later)
    postbox.semantics = semantics(on_doubt=OnDoubt.RESEND_ONCE)
    desk.add(postbox)
    desk.doubt()
    desk.run()
    assert (desk.entry().state, desk.entry().refused, len(postbox.sent)) == (State.IN_DOUBT, False, 1)


def test_a_file_is_simply_written_again_as_often_as_it_takes(desk: Desk) -> None:
    postbox = Postbox(*(Uncertain("the disk") for _ in range(3)))
    postbox.semantics = semantics(on_doubt=OnDoubt.REPLAY, idempotency=Idempotency.NATURAL)
    desk.add(postbox)
    for _ in range(4):
        desk.run()
    assert (desk.states(), len(postbox.sent)) == ([State.ACCEPTED], 4)


def test_what_is_in_doubt_is_not_sent_again_once_it_is_outdated(desk: Desk) -> None:
    postbox = Postbox()
    postbox.semantics = semantics(on_doubt=OnDoubt.REPLAY, idempotency=Idempotency.NATURAL)
    desk.add(postbox, expires_at=START + SETTLE)
    desk.doubt()
    desk.clock.pass_by(SETTLE.total_seconds())
    desk.run()
    assert (desk.states(), postbox.sent) == ([State.NEEDS_DECISION], [])


@pytest.mark.parametrize(("age", "sent"), [(54 * 60, 1), (55 * 60, 0)])
def test_a_key_is_trusted_only_while_the_provider_surely_remembers_it(desk: Desk, age: int, sent: int) -> None:
    postbox = Postbox()
    postbox.semantics = semantics(
        on_doubt=OnDoubt.REPLAY, idempotency=Idempotency.KEY, key_lifetime=timedelta(minutes=60)
    )
    desk.add(postbox)
    desk.doubt()
    desk.clock.pass_by(age)
    desk.run()
    assert sent == len(postbox.sent)
    assert [State.ACCEPTED if sent else State.NEEDS_DECISION] == desk.states()


def test_a_key_that_is_forgotten_while_we_look_is_not_trusted(desk: Desk) -> None:
    def sleep(_: Delivery) -> Receipt | None:
        desk.clock.pass_by(10 * 60)
        return None

    postbox = Archive(shows=sleep)
    postbox.semantics = semantics(
        LookUp.EVENTUAL, OnDoubt.REPLAY, idempotency=Idempotency.KEY, key_lifetime=timedelta(minutes=60)
    )
    desk.add(postbox)
    desk.doubt()
    desk.clock.pass_by(54 * 60)
    desk.run()
    assert (desk.states(), postbox.sent) == ([State.IN_DOUBT], [])
    desk.run()
    assert (desk.states(), postbox.sent) == ([State.NEEDS_DECISION], [])


def test_a_dead_account_stops_resending_too(desk: Desk) -> None:
    postbox = Postbox(Rejected("dead token", account=True))
    postbox.semantics = semantics(on_doubt=OnDoubt.RESEND_ONCE)
    desk.add(postbox, targets=("a", "b", "c"))
    desk.crash()
    desk.crash()
    desk.run()
    assert (desk.states(), len(postbox.sent)) == ([State.IN_DOUBT, State.IN_DOUBT, State.FAILED], 1)


def test_a_stopped_run_resends_nothing(desk: Desk) -> None:
    postbox = Postbox()
    postbox.semantics = semantics(on_doubt=OnDoubt.REPLAY)
    desk.add(postbox)
    desk.doubt()
    desk.stop.set()
    desk.run()
    assert (desk.states(), postbox.sent) == ([State.IN_DOUBT], [])


def test_a_run_that_is_stopped_while_it_asks_asks_no_more(desk: Desk) -> None:
    def last(_: Delivery) -> Receipt:
        desk.stop.set()
        return Receipt("1")

    postbox = Archive(shows=last)
    desk.add(postbox, targets=("a", "b"))
    desk.crash()
    desk.crash()
    desk.run()
    assert desk.states() == [State.ACCEPTED, State.IN_DOUBT]


# -- a ledger that fails ---


def test_a_receipt_that_cannot_be_written_down_is_told_and_nothing_more_is_sent(desk: Desk) -> None:
    def fills_the_disk(_: Delivery) -> Receipt:
        desk.ledger._db.execute("PRAGMA query_only=ON")
        return Receipt("77", "https://x.example/77")

    postbox = Postbox(fills_the_disk)
    desk.add(postbox, targets=("a", "b"))
    with pytest.raises(LedgerError) as caught:
        desk.run()
    desk.ledger._db.execute("PRAGMA query_only=OFF")
    assert "cannot be written" in str(caught.value)
    assert "this could not be written down: x took it: https://x.example/77" in str(caught.value)
    assert len(postbox.sent) == 1
    assert desk.states() == [State.ATTEMPTING, State.READY]


def test_every_receipt_that_cannot_be_written_down_is_told(desk: Desk) -> None:
    both = threading.Barrier(2)

    def take(name: str) -> Callable[[Delivery], Receipt]:
        def send(_: Delivery) -> Receipt:
            both.wait(5)
            desk.ledger._db.execute("PRAGMA query_only=ON")
            return Receipt(name)

        return send

    desk.add(Postbox(take("77")))
    desk.add(Postbox(take("88")), name="facebook")
    with pytest.raises(LedgerError) as caught:
        desk.run()
    assert {"x took it: 77", "facebook took it: 88"} == {
        problem.message.partition("down: ")[2] for problem in caught.value.problems if "down: " in problem.message
    }


def test_what_was_refused_is_told_too_where_it_cannot_be_written_down(desk: Desk) -> None:
    def refuse(_: Delivery) -> Receipt:
        desk.ledger._db.execute("PRAGMA query_only=ON")
        raise Rejected("too long")

    desk.add(Postbox(refuse))
    with pytest.raises(LedgerError, match="could not be written down: x refused, too long"):
        desk.run()


def test_nothing_is_sent_where_the_intent_cannot_be_written_down(desk: Desk) -> None:
    postbox = Postbox()
    desk.add(postbox, targets=("a", "b"), workers=3)
    desk.ledger._db.execute("PRAGMA query_only=ON")
    with pytest.raises(LedgerError):
        desk.run()
    assert postbox.sent == []


def test_a_delivery_that_another_run_changed_stops_the_run_and_names_the_receipt(desk: Desk, tmp_path: Path) -> None:
    def meddle(_: Delivery) -> Receipt:
        other = SqliteLedger(tmp_path / "outagecast.db")
        first = other.entries(SLUG, 1, "x", {State.ATTEMPTING})[0]
        other.move(first, Move(Event.LOST), START, "ben@desk")
        other.close()
        return Receipt("77")

    postbox = Postbox(meddle)
    desk.add(postbox, targets=("a", "b"))
    with pytest.raises(ConflictError, match="x took it: 77"):
        desk.run()
    assert (desk.states(), len(postbox.sent)) == ([State.IN_DOUBT, State.READY], 1)


def test_a_bug_in_one_channels_thread_is_raised_after_the_others_have_ended(desk: Desk) -> None:
    class Confused(Clock):
        def now(self) -> datetime:
            if threading.current_thread().name == "channel x":
                raise ZeroDivisionError
            return START

    desk.add(Postbox())
    desk.add(Postbox(), name="facebook")
    with pytest.raises(ZeroDivisionError):
        desk.run(clock=Confused())
    assert desk.states("facebook") == [State.ACCEPTED]


def test_the_same_words_of_many_failures_are_told_once(desk: Desk) -> None:
    desk.add(Postbox(), targets=("a", "b", "c"), workers=3)
    desk.ledger._db.execute("PRAGMA query_only=ON")
    with pytest.raises(LedgerError) as caught:
        desk.run()
    assert len(caught.value.problems) == 1
    assert isinstance(caught.value.problems[0], Problem)
