"""Every state that one delivery can come to, walked through: the shipped rules and table against all that can go wrong.

Attempts, crashes and lost answers have no bound here: ages beyond which nothing changes are one age, so that the states
are few thousands and the walk is exhaustive. Broken ways to do it are walked too, and each must be found out.
``python tests/test_model.py`` writes the table of what was walked.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pytest

from outagecast import registry
from outagecast.channel import Idempotency, LookUp, OnDoubt, Semantics
from outagecast.doubt import Doubt, Sight, may_repeat, meaning, verdict
from outagecast.errors import ConfigError, Rejected, Unavailable, Uncertain
from outagecast.ledger import Entry, Event, Move, Opening, Update
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.model import Delivery, Receipt, State, Status, Variant
from outagecast.transitions import TRANSITIONS

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
AT_ONCE, YEAR = timedelta(0), timedelta(days=365)
MOST_COPIES, MOST_FLIGHTS = 3, 3
UNPUBLISHED = frozenset({State.READY, State.FAILED, State.EXPIRED})
SAID = frozenset({State.ACCEPTED, State.FAILED, State.EXPIRED, State.NEEDS_DECISION})  # what a person is told at last
ANSWERS: Mapping[str, object] = {
    "receipt": Receipt("1"),
    "nameless": Receipt(""),
    "later": Unavailable("busy"),
    "no": Rejected("bad"),
    "no credentials": ConfigError("expired"),
    "duplicate": Rejected("again", duplicate=True),
    "silence": Uncertain("no answer"),
    "bug": ValueError("not JSON"),
}
LOST = ("silence", "nameless", "bug")  # of these the shipped rules must make the same


class Hand(NamedTuple):
    """A run: what it does next, with what it knows."""

    at: str
    may_resend: bool = False
    knows: str = ""  # what follows from an answer, or from each sight
    reads: State | None = None  # the state in which it read the delivery
    nap: int = 0  # ticks since it was about to call


class World(NamedTuple):
    """The ledger, the provider and the runs at one moment; ages and times left are in ticks."""

    state: State = State.READY
    replays: int = 0
    attempted: int | None = None  # age
    changed: int = 0  # age
    left: int | None = None  # until the words expire
    copies: int = 0
    flights: tuple[int, ...] = ()  # of each request that may still be applied, how long
    key: int | None = None  # age of our key at the provider
    hands: tuple[Hand | None, ...] = (None, None)
    owner: int | None = None
    lease: int = 0  # age


@dataclass(frozen=True)
class Case:
    """One promise, a provider that keeps to it or worse, and a way to go about it."""

    semantics: Semantics  # what the rules are told
    lookup: LookUp | None = None  # what it really is, where that is another
    late_for: timedelta | None = None
    key_lifetime: timedelta | None = None
    notes_key: str = "after"  # it is applied, or before
    expires: int | None = None  # ticks
    table: Mapping[tuple[State, Event], State] = field(default_factory=lambda: TRANSITIONS)
    intent: str = "before"  # "after" the call, or "done": the call is noted as done before it is made
    lease: int | None = None  # ticks after which a second run takes the lock of one that lives
    nap: int = 0  # ticks between the intent and the call
    rechecks: bool = True  # before it sends again, since the look-up may have taken long
    is_hasty: bool = False  # a person decides before the settle time is over

    @cached_property
    def tick(self) -> timedelta:
        return (self._settle / 2) or MINUTE

    @property
    def _settle(self) -> timedelta:
        return self.semantics.settle if self.late_for is None else self.late_for

    @cached_property
    def late(self) -> int:
        """Ticks in which a request may still be applied."""
        return self._settle // self.tick

    @cached_property
    def lifetime(self) -> int:
        """Ticks for which the provider knows our key."""
        return (self.key_lifetime or self.semantics.key_lifetime or timedelta(0)) // self.tick

    @cached_property
    def oldest(self) -> int:
        """The age beyond which nothing changes."""
        return max(self.late, self.lifetime) + self.late + 2

    @cached_property
    def looks(self) -> LookUp:
        return self.lookup or self.semantics.lookup

    @cached_property
    def most_copies(self) -> float:
        if self.semantics.idempotency is Idempotency.NATURAL:
            return float("inf")
        return 2 if self.semantics.on_doubt is OnDoubt.RESEND_ONCE else 1

    # -- the ledger -------------------------------------------------------------------------------------------------

    def write(self, world: World, event: Event) -> World:
        """As the ledger writes it; ``test_the_models_ledger_is_the_shipped_one`` compares."""
        to = self.table[world.state, event]
        replays = world.replays + (event is Event.REPLAYED)
        replays -= event is Event.NOT_SENT and world.state is State.IN_DOUBT
        attempted = world.attempted
        if to is State.READY:
            attempted = None
        elif to is State.ATTEMPTING and attempted is None:
            attempted = 0
        return world._replace(state=to, replays=min(replays, 2), attempted=attempted, changed=0)

    def verdicts(self, world: World) -> str:
        """What the shipped rules say to each sight of a look-up that is begun now; it may take long to answer."""
        doubt = Doubt.of(self.entry(world))
        events = {sight: verdict(self.semantics, doubt, sight, NOW) for sight in Sight}
        return ",".join(f"{sight}:{event}" for sight, event in events.items() if event)

    def may_repeat(self, world: World) -> bool:
        """Whether the shipped rules allow to send again at this moment."""
        return not self.rechecks or may_repeat(self.semantics, Doubt.of(self.entry(world)), NOW)

    def entry(self, world: World) -> Entry:
        """The delivery as the ledger would show it."""
        attempted = None if world.attempted is None else NOW - world.attempted * self.tick
        expires = None if world.left is None else NOW + world.left * self.tick
        said = Delivery("k", "i", 1, Status.INVESTIGATING, "", "en", {}, NOW, attempted, expires)
        return Entry(1, said, "c", world.state, 1, world.replays, NOW - world.changed * self.tick)

    # -- the provider -----------------------------------------------------------------------------------------------

    def apply(self, world: World) -> World:
        """The public has it, once more."""
        if self.semantics.idempotency is Idempotency.NATURAL:
            return world._replace(copies=1)
        noted = world.key if self.notes_key == "before" and world.key is not None else 0
        key = noted if self.semantics.idempotency is Idempotency.KEY else None
        return world._replace(copies=min(world.copies + 1, MOST_COPIES), key=key)

    def called(self, world: World) -> Iterator[tuple[str, World]]:
        """Every answer there can be to a call, true or lost, with what it did."""
        if world.key is not None:  # it knows our key: nothing is applied again
            answers = ("receipt", *LOST) if world.copies else ("later", *LOST)
            yield from ((answer, world) for answer in (*answers, "later", "no"))
            return
        if self.semantics.idempotency is Idempotency.KEY and self.notes_key == "before":
            noted = world._replace(key=0)
        else:
            noted = world
        yield from ((answer, world) for answer in ("later", "no", "no credentials", "duplicate"))
        done = self.apply(noted)
        yield from ((answer, done) for answer in ("receipt", "duplicate", *LOST))
        yield from ((answer, noted) for answer in LOST)
        if self.late:
            flights = world.flights
            if self.semantics.idempotency is Idempotency.NATURAL:
                flights = ()  # where the same bytes replace themselves the last one is all that matters
            flying = noted._replace(flights=tuple(sorted((*flights, self.late))))
            yield from ((answer, flying) for answer in LOST)

    def seen(self, world: World) -> Iterator[Sight]:
        """What a look-up can come to."""
        yield Sight.DENIED
        if self.looks is LookUp.NONE:
            return
        yield Sight.FAILED
        if world.copies:
            yield Sight.SEEN
        if not world.copies or self.looks is LookUp.EVENTUAL:
            yield Sight.UNSEEN

    # -- the moves --------------------------------------------------------------------------------------------------

    def moves(self, world: World) -> Iterator[tuple[str, World]]:
        """All that can happen next."""
        if (later := self.pass_time(world)) is not None:
            yield "time", later
        for left in set(world.flights):
            flights = list(world.flights)
            flights.remove(left)
            yield "late", self.apply(world)._replace(flights=tuple(flights))
        if world.owner is None:
            yield from self.settle(world)
        for number, hand in enumerate(world.hands):
            if hand is None:
                is_free = world.owner is None and not any(world.hands[:number])  # which of two begins is all one
                if is_free or (self.lease is not None and world.lease >= self.lease):
                    yield "start", _put(world, number, Hand("begin"))._replace(owner=number, lease=0)
                continue
            yield "crash", _leave(world, number)
            for after in self.step(world, number, hand):
                yield hand.at, after

    def pass_time(self, world: World) -> World | None:
        """One tick later; None while a call is about to be made that is made at once."""
        for hand in world.hands:
            if hand and hand.at == "call" and hand.nap >= self.nap:
                return None

        def older(age: int) -> int:
            return min(age + 1, self.oldest)

        key = None if world.key is None or world.key + 1 >= self.lifetime else world.key + 1
        return world._replace(
            attempted=None if world.attempted is None else older(world.attempted),
            changed=older(world.changed),
            left=None if world.left is None else max(world.left - 1, -self.oldest),
            flights=tuple(left - 1 for left in world.flights if left > 1),
            key=key,
            hands=tuple(
                hand._replace(nap=hand.nap + 1) if hand and hand.at == "call" else hand for hand in world.hands
            ),
            lease=0 if self.lease is None or world.owner is None else min(world.lease + 1, self.lease),
        )

    def settle(self, world: World) -> Iterator[tuple[str, World]]:
        """A person who looks, and says what is there."""
        steps = {State.ATTEMPTING: Event.LOST, State.IN_DOUBT: Event.EXHAUSTED}
        while self.is_hasty and world.state in steps:
            world = self.write(world, steps[world.state])
        if world.state is not State.NEEDS_DECISION:
            return
        if world.copies:
            yield "person", self.write(world, Event.SETTLED_PUBLISHED)
            return
        yield "person", self.write(world, Event.SETTLED_NOT_PUBLISHED)
        yield "person", self.write(world, Event.SETTLED_RESEND)

    def step(self, world: World, number: int, hand: Hand) -> Iterator[World]:
        """What a run does next: one durable write, or one call, after which it can crash."""
        does: Mapping[str, Callable[[World, int, Hand], Iterable[World]]] = {
            "begin": self._begin,
            "recover": self._recover,
            "doubt": self._doubt,
            "look": self._look,
            "judge": self._judge,
            "work": self._work,
            "call": self._call,
            "note": self._note,
            "end": self._end,
        }
        yield from does[hand.at](world, number, hand)

    def _begin(self, world: World, number: int, _: Hand) -> Iterator[World]:
        revived = self.write(world, Event.REVIVED) if world.state is State.FAILED else world
        yield _put(revived, number, Hand("recover"))

    def _recover(self, world: World, number: int, _: Hand) -> Iterator[World]:
        lost = self.write(world, Event.LOST) if world.state is State.ATTEMPTING else world
        yield _put(lost, number, Hand("doubt", may_resend=True))

    def _doubt(self, world: World, number: int, hand: Hand) -> Iterator[World]:
        then = Hand("work" if hand.may_resend else "end")
        if world.state in {State.IN_DOUBT, State.NEEDS_DECISION}:
            then = Hand("look", hand.may_resend, self.verdicts(world), world.state)
        yield _put(world, number, then)

    def _look(self, world: World, number: int, hand: Hand) -> Iterator[World]:
        events = dict(item.split(":") for item in hand.knows.split(",") if item)
        for sight in self.seen(world):
            yield _put(world, number, hand._replace(at="judge", knows=events.get(sight, "")))

    def _judge(self, world: World, number: int, hand: Hand) -> Iterator[World]:
        then = Hand("work" if hand.may_resend else "end")
        if world.state is not hand.reads and hand.knows:  # another run changed it
            yield _leave(world, number)
            return
        if hand.knows != Event.REPLAYED:
            yield _put(self.write(world, Event(hand.knows)) if hand.knows else world, number, then)
            return
        yield _put(world, number, then)  # the provider had asked for more time
        if hand.may_resend and self.may_repeat(world):
            yield _put(self.write(world, Event.REPLAYED), number, Hand("call", reads=State.IN_DOUBT))

    def _work(self, world: World, number: int, _: Hand) -> Iterator[World]:
        yield _put(world, number, Hand("doubt"))  # it is stopped, or the provider had asked for more time
        if world.state is not State.READY:
            return
        if world.left is not None and world.left <= 0:
            yield _put(self.write(world, Event.EXPIRED), number, Hand("doubt"))
            return
        if self.intent == "after":
            yield _put(world, number, Hand("call", reads=State.READY))
            return
        claimed = self.write(world, Event.CLAIMED)
        if self.intent == "done":
            claimed = self.write(claimed, Event.RECEIPT)
        yield _put(claimed, number, Hand("call", reads=claimed.state))

    def _call(self, world: World, number: int, hand: Hand) -> Iterator[World]:
        for answer, after in self.called(world):
            events = {meaning(ANSWERS[answer])}
            if answer == "duplicate" and Sight.SEEN in set(self.seen(after)):
                events.add(Event.FOUND)
            for event in events:
                yield _put(after, number, hand._replace(at="note", knows=event.value, nap=0))

    def _note(self, world: World, number: int, hand: Hand) -> Iterator[World]:
        if world.state is not hand.reads:  # another run changed it
            yield _leave(world, number)
            return
        if self.intent == "after" and world.state is State.READY:
            world = self.write(world, Event.CLAIMED)
        noted = world if self.intent == "done" else self.write(world, Event(hand.knows))
        yield _put(noted, number, Hand("work"))

    def _end(self, world: World, number: int, _: Hand) -> Iterator[World]:
        yield _leave(world, number)

    # -- what must not be -------------------------------------------------------------------------------------------

    def wrong(self, world: World) -> str | None:
        """What is wrong with a world, in a word."""
        if world.copies > self.most_copies:
            return "duplicate"
        if world.state in UNPUBLISHED and (world.copies or world.flights):
            return "out, told as not"
        if world.state is State.ACCEPTED and not world.copies:
            return "not out, told as out"
        if self.lease is None:
            at = {hand.at for hand in world.hands if hand}
            if "call" in at and world.state not in {State.ATTEMPTING, State.IN_DOUBT}:
                return "a call without an intent"
            if "call" in at and world.left is not None and world.left <= 0:
                return "sent after its time"
            if "end" in at and world.state is State.ATTEMPTING:
                return "attempting, and nobody is"
        return None

    def walk(self, until: set[str] | None = None) -> tuple[int, set[str]]:
        """How many worlds there are, and what is wrong with any of them; ``until`` that is found."""
        first = World(left=self.expires)
        worlds = {first}
        back: dict[World, list[World]] = {}
        todo, wrong = deque([first]), set[str]()
        while todo and wrong != until:
            world = todo.popleft()
            if kind := self.wrong(world):
                wrong.add(kind)
                if kind == "duplicate":
                    continue
            if len(world.flights) > MOST_FLIGHTS:
                if not wrong:
                    raise AssertionError("more requests are under way than the model has room for")
                continue
            for label, after in self.moves(world):
                if label != "crash":  # fair: in the end somebody comes who is not interrupted
                    back.setdefault(after, []).append(world)
                if after not in worlds:
                    worlds.add(after)
                    todo.append(after)
        if not wrong and self._hopeless(worlds, back):
            wrong.add("lost for good")
        return len(worlds), wrong

    @staticmethod
    def _hopeless(worlds: set[World], back: Mapping[World, list[World]]) -> set[World]:
        """The worlds from which nobody ever comes to know more."""
        todo = deque(world for world in worlds if world.state in SAID and world.owner is None)
        good = set(todo)
        while todo:
            for before in back.get(todo.popleft(), ()):
                if before not in good:
                    good.add(before)
                    todo.append(before)
        return worlds - good


def _put(world: World, number: int, hand: Hand | None) -> World:
    hands = list(world.hands)
    hands[number] = hand
    return world._replace(hands=tuple(hands))


def _leave(world: World, number: int) -> World:
    """The run is over, or dead; the kernel gives its lock back."""
    owner, lease = (None, 0) if world.owner == number else (world.owner, world.lease)
    return _put(world, number, None)._replace(owner=owner, lease=lease)


def promise(
    idempotency: Idempotency = Idempotency.NONE,
    lookup: LookUp = LookUp.NONE,
    on_doubt: OnDoubt = OnDoubt.HOLD,
    settle: timedelta = 2 * MINUTE,
    key_lifetime: timedelta | None = None,
) -> Semantics:
    """What a channel says of itself."""
    return Semantics(idempotency, lookup, on_doubt, settle, "test", key_lifetime)


KEY = promise(Idempotency.KEY, on_doubt=OnDoubt.REPLAY, key_lifetime=5 * MINUTE)
EVENTUAL = promise(lookup=LookUp.EVENTUAL)
STRONG = promise(lookup=LookUp.STRONG)
FORGETFUL = {
    **TRANSITIONS,
    (State.IN_DOUBT, Event.NOT_SENT): State.READY,
    (State.IN_DOUBT, Event.REFUSED): State.FAILED,
}
SHIPPED = {kind: registry.channel_class(kind).semantics for kind in registry.BUILTIN}
SOUND = {
    **{kind: Case(semantics) for kind, semantics in SHIPPED.items()},
    **{f"{kind}, expiring": Case(SHIPPED[kind], expires=3) for kind in ("x", "smtp", "banner")},
    "key, noted after": Case(KEY),
    "key, noted before": Case(KEY, notes_key="before"),
    "key, eventual look-up": Case(KEY._replace(lookup=LookUp.EVENTUAL)),
    "key, strong look-up": Case(KEY._replace(lookup=LookUp.STRONG)),
    "key, but hold": Case(KEY._replace(on_doubt=OnDoubt.HOLD)),
    "strong look-up": Case(STRONG),
    "strong look-up, nothing late": Case(STRONG._replace(settle=timedelta(0))),
    "strong look-up, expiring": Case(STRONG, expires=3),
    "no look-up": Case(promise()),
    "one resend, eventual look-up": Case(
        promise(Idempotency.MESSAGE_ID, LookUp.EVENTUAL, OnDoubt.RESEND_ONCE, settle=timedelta(0))
    ),
}
TWICE, FALSE_NO, FALSE_YES, UNMEANT = (
    "duplicate",
    "out, told as not",
    "not out, told as out",
    "a call without an intent",
)
BROKEN = {
    "recorded after the call": (Case(EVENTUAL, intent="after"), {TWICE, FALSE_NO, UNMEANT}),
    "done before the call": (Case(EVENTUAL, intent="done"), {FALSE_YES}),
    "doubt that a refusal ends": (Case(KEY, table=FORGETFUL), {TWICE, FALSE_NO}),
    "absence trusted of a listing that lags": (Case(STRONG, lookup=LookUp.EVENTUAL), {TWICE, FALSE_NO}),
    "absence trusted at once": (Case(STRONG._replace(settle=AT_ONCE), late_for=2 * MINUTE), {TWICE, FALSE_NO}),
    "a key trusted at once": (Case(KEY._replace(settle=AT_ONCE), late_for=2 * MINUTE), {TWICE, FALSE_NO}),
    "a key trusted for ever": (Case(KEY._replace(key_lifetime=YEAR), key_lifetime=5 * MINUTE), {TWICE}),
    "a key's age taken before a slow look-up": (Case(KEY, rechecks=False), {TWICE}),
    "a lease instead of a lock": (Case(STRONG, lease=1, nap=2), {TWICE, FALSE_NO}),
    "a person in a hurry": (Case(EVENTUAL, is_hasty=True), {TWICE, FALSE_NO}),
    "asleep between intent and call": (Case(EVENTUAL, nap=2), {TWICE, FALSE_NO}),
}


@pytest.mark.parametrize("name", SOUND)
def test_nothing_is_published_twice_or_told_wrong_or_lost(name: str) -> None:
    worlds, wrong = SOUND[name].walk()
    assert wrong == set()
    assert worlds > 500


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_way_is_found_out(name: str) -> None:
    case, wrong = BROKEN[name]
    assert case.walk(until=wrong)[1] == wrong


def test_a_person_and_time_are_enough_to_come_to_an_end() -> None:
    """Where doubt could never end, the walk would say so."""
    endless = {move: to for move, to in TRANSITIONS.items() if move[0] is not State.IN_DOUBT}
    endless |= {(State.IN_DOUBT, event): State.IN_DOUBT for event in Event}
    assert Case(EVENTUAL, table=endless).walk()[1] == {"lost for good"}


def test_the_models_ledger_is_the_shipped_one(tmp_path: Path) -> None:
    """Of every five events in a row, a minute apart, both make the same."""
    case, by = Case(STRONG), "ana@desk"
    variant = Variant("c", "x", "en", {"text": "Cards fail."}, 1, "en/x.text.j2", [], [])
    with closing(SqliteLedger(tmp_path / "outagecast.db")) as ledger:
        for number, way in enumerate(ways(5)):
            update = Update(f"i{number}", 1, Status.INVESTIGATING, "f", "{}", "d", NOW, by)
            ledger.open(update, [variant], [Opening("c", "", "en", State.READY, None, None)])
            world, now = World(), NOW
            for event in way:
                now += case.tick
                world = case.pass_time(world) or world
                (entry,) = ledger.entries(update.incident, 1, "c", {world.state})
                ledger.move(entry, Move(event), now, by)
                world = case.write(world, event)
            (entry,) = ledger.entries(update.incident, 1, "c", {world.state})
            theirs = Doubt.of(case.entry(world))
            began, last = (moment + (now - NOW) for moment in (theirs.began, theirs.last))
            ours = Doubt.of(entry)
            assert ours._replace(replays=min(ours.replays, 2)) == theirs._replace(began=began, last=last), way


def ways(steps: int) -> Iterator[tuple[Event, ...]]:
    """Every row of so many events that a delivery can see, as far as the model walks them."""
    walked = {State.READY, State.ATTEMPTING, State.IN_DOUBT, State.NEEDS_DECISION, State.FAILED}
    rows: list[tuple[State, tuple[Event, ...]]] = [(State.READY, ())]
    for _ in range(steps):
        rows = [
            (after, (*way, event))
            for here, way in rows
            for (before, event), after in TRANSITIONS.items()
            if before is here in walked and after in {*walked, State.ACCEPTED}
        ] + [row for row in rows if row[0] not in walked]
    for _, way in rows:
        yield way


if __name__ == "__main__":
    for name, case in [*SOUND.items(), *((name, case) for name, (case, _) in BROKEN.items())]:
        count, found = case.walk(until=BROKEN[name][1] if name in BROKEN else None)
        sys.stdout.write(f"| {name} | {count:,} | {', '.join(sorted(found)) or 'none'} |\n")
