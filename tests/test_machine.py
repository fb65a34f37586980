"""An officer, a provider and the clock do what they like, in any order: the real code must keep its word throughout.

Each step is an announcement, a resume, a decision, a wait or a crash, by hypothesis; after each the ledger and every
report are compared with what the public really has. OUTAGECAST_MACHINE is the number of runs of fifty steps.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, cast

import pytest
import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from outagecast import document, message, registry
from outagecast.app import App
from outagecast.channel import Channel, Idempotency, Limit, LookUp, OnDoubt, Semantics
from outagecast.clock import Clock
from outagecast.config import ChannelConfig
from outagecast.config import load as load_config
from outagecast.control import Control
from outagecast.dry_run import Prepared
from outagecast.errors import (
    ConfigError,
    ConflictError,
    MessageError,
    PlanError,
    Rejected,
    Unavailable,
    Uncertain,
    UsageError,
)
from outagecast.ledger import Entry, Event
from outagecast.ledger.lock import hold
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.message import Message
from outagecast.model import DOUBTFUL, PUBLISHED, Delivery, Receipt, State
from outagecast.plan import Reason
from outagecast.report import Report

pytestmark = pytest.mark.sweep

START = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
SLUG = "cards"
RUNS = int(os.environ.get("OUTAGECAST_MACHINE", "0"))
UNSAID = frozenset({State.READY, State.FAILED, State.EXPIRED, State.SUPERSEDED, State.SKIPPED, State.CANCELLED})
MINUTES = timedelta(minutes=1)
MEMORY = Path("/dev/shm")  # noqa: S108 - where there is one: nobody pulls the plug here, and syncing takes its time
HOLD = Semantics(Idempotency.NONE, LookUp.EVENTUAL, OnDoubt.HOLD, 5 * MINUTES, "test")
PROMISES = {
    **{kind: registry.channel_class(kind).semantics for kind in registry.BUILTIN if kind != "facebook"},  # as X
    "strong": HOLD._replace(lookup=LookUp.STRONG),
    "key": Semantics(Idempotency.KEY, LookUp.EVENTUAL, OnDoubt.REPLAY, 2 * MINUTES, "test", 60 * MINUTES),
}
BULK = {"twilio_sms", "smtp"}
MESSAGE: dict[str, Any] = {
    "incident": SLUG,
    "title": "Card payments are failing",
    "started_at": "2026-11-22T07:00+00:00",
    "cause": "unknown",
    "workaround": ["Cash machines still work."],
    "next_update_at": "30m",
    "apology": "We are sorry.",
}

FAULTS = [
    *[("ok", "applied")] * 5,
    *((answer, done) for answer in ("silence", "bug", "nameless", "crash", "twice") for done in ("applied", "late")),
    *(
        (answer, "")
        for answer in ("silence", "crash", "later", "wait", "refused", "unknown person", "account", "login")
    ),
]


class Luck(NamedTuple):
    """How it goes this time."""

    plan: Sequence[tuple[str, str]]  # what the provider answers, and what it did, call by call; then all is well
    sight: str  # what it makes of a look-up
    death: tuple[int, bool] | None  # the write of the ledger at which the process is killed, and whether after it
    lull: int  # minutes that pass before
    arrives: bool  # whether, before they do, what is still under way is applied
    only: Sequence[str]  # channels
    manner: str
    resend: bool | None  # what a person decides about what is not out; None: nobody looks
    max_time: float  # seconds

    @classmethod
    def cast(cls, seed: int) -> Luck:
        """All at once, since hypothesis by itself would draw the first of each far too often."""
        dice = random.Random(seed)  # noqa: S311 - not a secret
        return cls(
            plan=dice.choices(FAULTS, k=3),
            sight=dice.choice([*["honest"] * 4, *["lags"] * 4, "down", "denied", "bug", "slow"]),
            death=dice.choice([*[None] * 20, *((write, after) for write in range(1, 6) for after in (False, True))]),
            lull=dice.choice([0, 0, 1, 2, 5, 6, 6, 30, 70, 400]),
            arrives=dice.choice([False, True]),
            only=dice.choice([(), (), ("troubled",), ("sound",)]),
            manner=dice.choice([*["patient"] * 6, *["hasty"] * 3, "rivals"]),
            resend=dice.choice([None, False, True]),
            max_time=dice.choice([0.0, 1.0, 30.0, 30.0, 30.0]),
        )


WELL = Luck((), "honest", None, 0, False, (), "patient", None, 30.0)
LUCK = st.integers(0, 2**64 - 1).map(Luck.cast)


@pytest.fixture(autouse=True, scope="module")
def state() -> Iterator[None]:
    """What this machine remembers of a ledger lies where syncing costs nothing too."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", folder)
        yield


def _memory() -> Path | None:
    return MEMORY if MEMORY.is_dir() else None


class Crash(BaseException):
    """The process is gone."""


class SetClock(Clock):
    """A clock that moves when somebody waits for it, or when the machine says so."""

    def __init__(self) -> None:
        self.time = START
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            return self.time

    def wait(self, seconds: float, stop: threading.Event) -> None:
        self.pass_by(timedelta(seconds=seconds))

    def pass_by(self, time: timedelta) -> None:
        with self._lock:
            self.time += time


class Post(NamedTuple):
    """What the public, or one of it, was shown."""

    update: int
    target: str
    parts: tuple[tuple[str, str], ...]
    key: str
    at: datetime


class Flight(NamedTuple):
    """A request that the provider may still apply."""

    post: Post
    until: datetime


@dataclass
class Provider:
    """One channel's provider, which remembers what the public really has."""

    semantics: Semantics
    clock: SetClock
    process: Process
    posts: list[Post] = field(default_factory=list)
    flights: list[Flight] = field(default_factory=list)
    calls: list[Delivery] = field(default_factory=list)
    plan: deque[tuple[str, str]] = field(default_factory=deque)
    sight: str = "honest"
    wrongs: list[str] = field(default_factory=list)

    def arrive(self, flight: Flight) -> None:
        """The late request is applied after all: our key was not known yet when it came."""
        self.flights.remove(flight)
        self.posts.append(flight.post)

    def land(self) -> None:
        """What could no longer arrive is forgotten."""
        self.flights = [flight for flight in self.flights if self.clock.now() < flight.until]

    def _apply(self, post: Post) -> Receipt:
        if self.semantics.idempotency is Idempotency.KEY and (known := self._known(post.key)):
            return known
        self.posts.append(post)
        return Receipt(f"id-{len(self.posts)}", f"https://example.com/{len(self.posts)}")

    def _known(self, key: str) -> Receipt | None:
        lifetime = self.semantics.key_lifetime or timedelta(0)
        for number, post in enumerate(self.posts, 1):
            if post.key == key and self.clock.now() - post.at < lifetime:
                return Receipt(f"id-{number}", f"https://example.com/{number}")
        return None

    def send(self, delivery: Delivery) -> Receipt:
        """As planned: the answer, and what was done."""
        if self.process.is_dead:
            raise Crash
        now = self.clock.now()
        self._judge(delivery, now)
        self.calls.append(delivery)
        answer, done = self.plan.popleft() if self.plan else ("ok", "applied")
        post = Post(delivery.update, delivery.target, tuple(delivery.parts.items()), delivery.key, now)
        receipt = self._apply(post) if done == "applied" else Receipt("never")
        if done == "late" and self.semantics.settle and not self._known(post.key):
            self.flights.append(Flight(post, now + self.semantics.settle))
        if answer == "ok":
            return receipt
        if answer == "crash":
            self.process.is_dead = True
            raise Crash
        self.clock.pass_by(timedelta(seconds=10))
        if answer == "nameless":
            return Receipt("")
        raise _TROUBLE[answer]()

    def _judge(self, delivery: Delivery, now: datetime) -> None:
        if delivery.expires_at and now >= delivery.expires_at:
            self.wrongs.append(f"update {delivery.update} is sent after its time")
        newer = [post for post in self.posts if post.target == delivery.target and post.update > delivery.update]
        if newer:
            self.wrongs.append(f"update {delivery.update} is sent after update {newer[0].update}")

    def find(self, delivery: Delivery) -> Receipt | None:
        """What can be seen, if it can."""
        if self.process.is_dead:
            raise Crash
        if self.sight == "slow":
            self.clock.pass_by(40 * MINUTES)
        elif self.sight != "honest" and not (self.sight == "lags" and self.semantics.lookup is LookUp.STRONG):
            if self.sight == "lags":
                return None
            raise _TROUBLE[{"down": "later", "denied": "account", "bug": "bug"}[self.sight]]()
        shown = self.posts
        if self.semantics.idempotency is Idempotency.NATURAL:
            shown = self.posts[-1:]
        for number, post in enumerate(shown, 1):
            if (post.target, dict(post.parts)) == (delivery.target, dict(delivery.parts)):
                return Receipt(f"id-{number}", f"https://example.com/{number}")
        return None


_TROUBLE: dict[str, Callable[[], Exception]] = {
    "silence": lambda: Uncertain("no answer"),
    "bug": lambda: ValueError("not JSON"),
    "later": lambda: Unavailable("busy", retry_after=0.5),
    "wait": lambda: Unavailable("busy", retry_after=900.0),
    "refused": lambda: Rejected("bad words"),
    "unknown person": lambda: Rejected("no such number", recipient=True),
    "account": lambda: Rejected("suspended", account=True),
    "login": lambda: ConfigError("expired"),
    "twice": lambda: Rejected("already there", duplicate=True),
}


@dataclass
class Process:
    """Whether the program still runs, and at which write of the ledger it is killed."""

    is_dead: bool = False
    death: tuple[int, bool] | None = None  # at which write, and whether after it

    def live(self, death: tuple[int, bool] | None = None) -> None:
        self.is_dead, self.death = False, death


class Mortal:
    """The real ledger, at whose verbs the process can be killed."""

    WRITES = frozenset({"open", "claim", "move"})

    def __init__(self, ledger: SqliteLedger, process: Process) -> None:
        self.real, self._process = ledger, process

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self.real, name)
        if not callable(verb):
            return verb

        def mortal(*args: Any, **kwargs: Any) -> Any:
            dies, after = self._falls_due(name)
            if self._process.is_dead or (dies and not after):
                self._process.is_dead = True
                raise Crash
            result = verb(*args, **kwargs)
            if dies:
                self._process.is_dead = True
                raise Crash
            return result

        return mortal

    def _falls_due(self, name: str) -> tuple[bool, bool]:
        if name not in self.WRITES or not self._process.death:
            return False, False
        left, after = self._process.death
        self._process.death = (left - 1, after)
        return left == 1, after


class Sender:
    """An adapter that cannot look."""

    kind: ClassVar[str] = "x"
    parts: ClassVar[Mapping[str, Limit]] = {}
    addresses: ClassVar[Literal["phone", "email"] | None] = None
    escapes: ClassVar[frozenset[str]] = frozenset()
    imports: ClassVar[tuple[str, ...]] = ()
    semantics: Semantics = HOLD  # one class, many promises

    def __init__(self, provider: Provider) -> None:
        self.provider, self.semantics = provider, provider.semantics

    def check(self) -> None:
        raise AssertionError("nothing is checked in a run")

    def send(self, delivery: Delivery) -> Receipt:
        return self.provider.send(delivery)

    def close(self) -> None:
        pass


class Looker(Sender):
    """One that can."""

    def find(self, delivery: Delivery) -> Receipt | None:
        return self.provider.find(delivery)


class Desk(RuleBasedStateMachine):
    """One incident on two channels, of which one is in trouble."""

    def __init__(self, promise: str) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=_memory()))
        self.clock, self.process = SetClock(), Process()
        self.providers: dict[str, Provider] = {}
        self.people: list[str] = []
        self.said: Message | None = None
        self.words = 0
        self.open(promise)

    def open(self, promise: str) -> None:
        """Write the config, and start the program."""
        self.providers = {
            "troubled": Provider(PROMISES[promise], self.clock, self.process),
            "sound": Provider(HOLD, self.clock, self.process),
        }
        mine: dict[str, Any] = {"kind": "facebook", "page_id": "100", "page_token": "env:A"}
        if promise in BULK:
            mine = {"kind": "smtp", "host": "h", "from": "a@example.com", "audience": "customers", "connections": 1}
        keys = ("api_key", "api_secret", "access_token", "access_token_secret")
        told = {
            "organisation": {"name": "Example Bank", "timezone": "UTC", "status_page": "https://status.example.com"},
            "audiences": {"customers": {"file": "customers.csv"}},
            "channels": {"troubled": mine, "sound": {"kind": "x", **dict.fromkeys(keys, "env:A")}},
        }
        path = self.folder / "outagecast.yaml"
        path.write_text(yaml.safe_dump(told))
        self.config = load_config(path)
        self.join()
        self.join()
        self.boot()

    def boot(self) -> None:
        """Start the program."""
        self.process.live()
        self.app = App(self.config, "ana@desk", self.clock, self.create)
        self.ledger = SqliteLedger(self.folder / "outagecast.db")
        vars(self.app)["ledger"] = Mortal(self.ledger, self.process)

    def create(self, config: ChannelConfig) -> Channel:
        provider = self.providers[config.name]
        made = Sender(provider) if provider.semantics.lookup is LookUp.NONE else Looker(provider)
        return cast("Channel", made)

    def teardown(self) -> None:
        try:
            if "ledger" in vars(self):
                with closing(self.ledger):
                    self.keeps_its_word(last=None)
        finally:
            shutil.rmtree(self.folder)

    @contextmanager
    def running(self, luck: Luck = WELL) -> Iterator[None]:
        """What happens while the program runs, until it ends, refuses or is killed."""
        troubled = self.providers["troubled"]
        troubled.plan, troubled.sight = deque(luck.plan), luck.sight
        self.process.live(luck.death)
        before = self.calls
        try:
            yield
        except Crash:
            self.ledger.close()
            self.boot()
        except (ConflictError, PlanError, UsageError):
            assert before == self.calls
        self.process.live()

    @property
    def calls(self) -> int:
        return sum(len(provider.calls) for provider in self.providers.values())

    def tell(self, said: Message, only: Sequence[str], max_time: float = 30.0) -> None:
        report = self.app.announce(self.prepare(said, only), said, Control(max_time=max_time))
        self.compare(report)

    def prepare(self, said: Message, only: Sequence[str] = ()) -> Prepared:
        """What is said after the last word on it opens it again."""
        before = self.ledger.past(SLUG, ()).updates
        is_back = bool(before) and before[-1].status.is_closing and not said.status.is_closing
        return self.app.prepare(said, only=only, reopen=is_back)

    def message(self, status: str) -> Message:
        self.words += 1
        facts = {**MESSAGE, "status": status, "summary": f"Cards are declined, says update {self.words}."}
        if status == "resolved":
            facts = {name: fact for name, fact in facts.items() if name != "next_update_at"}
        return message.check(document.parse("incident.yaml", json.dumps(facts), MessageError))

    def wait(self, luck: Luck) -> None:
        """Time passes; before, what nobody waits for any more may be applied."""
        for provider in self.providers.values():
            provider.land()
            while luck.arrives and provider.flights:
                provider.arrive(provider.flights[0])
        self.clock.pass_by(luck.lull * MINUTES)
        for provider in self.providers.values():
            provider.land()

    @property
    def is_unfinished(self) -> bool:
        """Whether something is left to be done on the channel in trouble."""
        return any(entry.state in DOUBTFUL | {State.READY} for entry in self.entries("troubled", last=1))

    # -- what can happen --------------------------------------------------------------------------------------------

    @rule(luck=LUCK, status=st.sampled_from(["investigating", "identified", "investigating", "monitoring", "resolved"]))
    def announce(self, luck: Luck, status: str) -> None:
        """Something new; who is patient finishes first what was begun."""
        if luck.manner == "patient" and self.is_unfinished:
            self.resume(luck)
            return
        self.wait(luck)
        said = self.message(status)
        if luck.manner == "rivals":
            self.compete(said, luck)
            return
        with self.running(luck):
            self.said = said
            self.tell(said, luck.only, luck.max_time)

    @precondition(lambda self: self.said)
    @rule(luck=LUCK)
    def announce_again(self, luck: Luck) -> None:
        """The same once more, perhaps on more channels."""
        assert self.said
        self.wait(luck)
        with self.running(luck):
            self.tell(self.said, luck.only, luck.max_time)

    @precondition(lambda self: self.said)
    @rule(luck=LUCK)
    def resume(self, luck: Luck) -> None:
        """What is left, perhaps after somebody has looked."""
        self.wait(luck)
        if luck.resend is not None:
            self.settle(resend=luck.resend)
        with self.running(luck):
            self.compare(self.app.resume(SLUG, Control(max_time=luck.max_time)))

    def compete(self, theirs: Message, luck: Luck) -> None:
        """Another operator announces between our preview and our yes, and is still at it when we say yes."""
        mine = self.message("monitoring")
        with self.running(luck._replace(death=None)):
            prepared = self.prepare(mine)
            with hold(self.ledger.path):
                said = _refused(lambda: self.app.announce(prepared, mine, Control()))
            assert "is announcing from this ledger" in said
            self.said = theirs
            self.tell(theirs, ())
            assert "before you" in _refused(lambda: self.app.announce(prepared, mine, Control()))

    def settle(self, *, resend: bool) -> None:
        """A person looks, and says what is there; never more than what they were asked about."""
        for channel, provider in self.providers.items():
            newest: dict[str, Entry] = {}
            for entry in self.entries(channel, last=3):
                if entry.state in DOUBTFUL:
                    newest[entry.delivery.target] = entry
            for target, entry in newest.items():
                if entry.state is State.NEEDS_DECISION:
                    is_out = (entry.delivery.update, target) in [(post.update, post.target) for post in provider.posts]
                    decision = Event.SETTLED_RESEND if resend else Event.SETTLED_NOT_PUBLISHED
                    with self.running():
                        self.compare(
                            self.app.settle(
                                SLUG,
                                channel,
                                Event.SETTLED_PUBLISHED if is_out else decision,
                                url="https://example.com/7" if is_out else None,
                                target=target,
                            )
                        )

    @precondition(lambda self: len(self.people) < 4)
    @rule()
    def join(self) -> None:
        """One more customer."""
        self.people.append(f"person{len(self.people)}@example.com")
        rows = [f"P,{address},en" for address in self.people]
        (self.folder / "customers.csv").write_text("\n".join(["name,email,language", *rows]) + "\n")

    # -- what must be true ------------------------------------------------------------------------------------------

    def entries(self, channel: str, last: int | None = None) -> list[Entry]:
        """All deliveries of a channel, or those of the last updates, oldest first."""
        newest = len(self.ledger.past(SLUG, ()).updates)
        numbers = range(max(1, newest - last + 1) if last else 1, newest + 1)
        return [entry for number in numbers for entry in self.ledger.entries(SLUG, number, channel, set(State))]

    def compare(self, report: Report) -> None:
        """What a report says with what is so."""
        for channel in report.channels:
            provider = self.providers[channel.channel]
            out = [post for post in provider.posts if post.update == channel.update]
            flying = [flight for flight in provider.flights if flight.post.update == channel.update]
            if channel.published == "yes" and not channel.unchanged:
                assert out, f"told as out: {channel}"
            if channel.published == "no" and provider.semantics.idempotency is not Idempotency.NATURAL:
                assert not out, f"told as not out: {channel}"
                assert not flying, f"told as not out, and it may still come: {channel}"

    @invariant()
    def keeps_its_word(self, last: int | None = 2) -> None:
        """Of the last updates, since no run touches earlier ones; of all when it ends."""
        for channel, provider in self.providers.items():
            assert provider.wrongs == []
            provider.land()
            self._counts(provider)
            entries = self.entries(channel, last)
            newest = {entry.delivery.target: entry.delivery.update for entry in entries}
            for place, entry in enumerate(entries):
                self._true(provider, entry)
                if entry.state is State.READY:
                    assert entry.delivery.update == newest[entry.delivery.target], f"outdated, yet to be sent: {entry}"
                if entry.state is State.SKIPPED and last is None:
                    self._rightly_skipped(entry, entries[:place])

    @staticmethod
    def _counts(provider: Provider) -> None:
        if provider.semantics.idempotency is Idempotency.NATURAL:
            return
        most = 2 if provider.semantics.on_doubt is OnDoubt.RESEND_ONCE else 1
        told = [(post.update, post.target) for post in provider.posts]
        for one in told:
            assert told.count(one) <= most, f"published {told.count(one)} times: {one}"

    @staticmethod
    def _true(provider: Provider, entry: Entry) -> None:
        mine = (entry.delivery.update, entry.delivery.target)
        out = [post for post in provider.posts if (post.update, post.target) == mine]
        flying = [item for item in provider.flights if (item.post.update, item.post.target) == mine]
        if entry.state in PUBLISHED:
            assert out, f"not out: {entry}"
        if entry.state in UNSAID and provider.semantics.idempotency is not Idempotency.NATURAL:
            assert not out, f"out: {entry}"
            assert not flying, f"it may still come: {entry}"

    def _rightly_skipped(self, entry: Entry, earlier: Sequence[Entry]) -> None:
        mine = [item for item in earlier if item.delivery.target == entry.delivery.target]
        has_word = any(item.state in PUBLISHED | DOUBTFUL for item in mine)
        if entry.reason == Reason.REFUSED:
            assert any(item.refused for item in mine), f"never refused: {entry}"
        elif entry.reason == Reason.NOT_ANNOUNCED:
            assert entry.delivery.status.is_closing, f"never told: {entry}"
        else:
            assert has_word or any(item.state in UNSAID for item in mine), f"never told: {entry}"


def _refused(call: Callable[[], object]) -> str:
    """The reason why it was refused."""
    try:
        call()
    except ConflictError as error:
        return str(error)
    raise AssertionError("it was not refused")


@pytest.mark.parametrize("promise", PROMISES)
def test_the_desk_keeps_its_word(promise: str) -> None:
    run_state_machine_as_test(
        partial(Desk, promise),  # type: ignore[arg-type]  # all it does is call it
        settings=settings(
            max_examples=(RUNS or 204) // len(PROMISES),
            stateful_step_count=50,
            derandomize=not RUNS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
