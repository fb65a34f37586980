"""The engine: claim, attempt, record, reconcile. The only place that retries, and the only one that catches everything.

A crash anywhere means: run again. What was being attempted is then in doubt, and doubt is looked up, replayed where a
repeat is harmless, or left to a person; it is never simply sent again.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import math
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from outagecast.channel import Channel, Finds, Idempotency, LookUp, OnDoubt, Semantics
from outagecast.clock import Clock, Timer
from outagecast.errors import ConfigError, ConflictError, LedgerError, OutagecastError, Problem, Rejected, Unavailable
from outagecast.ledger import Entry, Event, Ledger, Move, every_entry
from outagecast.model import DOUBTFUL, Receipt, State
from outagecast.text import clean

if TYPE_CHECKING:
    from outagecast.config import ChannelConfig

RETRY_FOR = 30.0  # seconds a run waits for a provider that said "later", when nothing else is said
_BACKOFF = (1.0, 30.0)  # seconds: the first wait, and the longest
MOST_LOST = 5  # answers in a row that a provider of many may lose before this run asks it for no more
_NAP = 0.5  # seconds: never asleep for longer, since the run may be stopped
_RECOVERED = "the run that was sending this ended before it had an answer"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """Something happened to a delivery; for whoever is watching."""

    channel: str
    event: Event
    state: State
    reason: str | None = None


@dataclass
class Run:
    """One run over an incident's deliveries on some channels; the caller holds the ledger's lock."""

    ledger: Ledger
    incident: str
    numbers: Mapping[str, int]  # which update each channel is at
    channels: Mapping[str, ChannelConfig]
    create: Callable[[ChannelConfig], Channel]
    by: str
    clock: Clock = field(default_factory=Clock)
    max_time: float | None = None  # seconds; None: go on while there is work, wait RETRY_FOR for a provider
    watch: Callable[[Progress], None] = lambda _: None
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Reconcile what is in doubt, then send what is certainly unsent.

        Raises LedgerError, once every call under way has ended, where the ledger could not be written: it names every
        receipt that is not in it.
        """
        self.timer = Timer(self.clock)
        self._failures: list[BaseException] = []
        ends: list[threading.Event] = []
        try:
            for channel in sorted(self.channels.values(), key=_start):
                lane = _Lane(self, channel, self.numbers[channel.name])
                if lane.has_work():
                    _import(channel.adapter.imports)
                    ends.append(self.begin(lane.run, f"channel {channel.name}"))
            for end in ends:
                while not end.wait(0.2):  # in slices, so that a signal is handled while we wait
                    pass
        finally:
            if not all(end.is_set() for end in ends):  # an exception out of a signal's handler
                self.stop.set()
                for end in ends:
                    end.wait()
        self._raise()

    def begin(self, work: Callable[[], None], name: str) -> threading.Event:
        """Start ``work`` in a thread of its own; the event is set at its end, and what it raises is raised by ``run``.

        Not the thread: an exception out of a signal's handler makes Python 3.11 take it for dead while it is joined.
        """
        end = threading.Event()

        def body() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread, whatever it is
                self._failures.append(error)
                if isinstance(error, OutagecastError):  # no more calls, since their receipts could not be noted
                    self.stop.set()
            finally:
                end.set()

        threading.Thread(target=body, name=name, daemon=True).start()
        return end

    def _raise(self) -> None:
        for kind in (LedgerError, ConflictError):
            if failures := [error for error in self._failures if isinstance(error, kind)]:
                raise kind(*dict.fromkeys(problem for error in failures for problem in error.problems)) from failures[0]
        if self._failures:
            raise self._failures[0]

    def is_over(self) -> bool:
        """Whether nothing more may be started."""
        return self.stop.is_set() or (self.max_time is not None and self.timer.seconds() >= self.max_time)

    def is_worth_waiting(self, seconds: float) -> bool:
        """Whether something due in ``seconds`` still belongs to this run."""
        return self.timer.seconds() + seconds <= (RETRY_FOR if self.max_time is None else self.max_time)

    def record(
        self,
        entry: Entry,
        event: Event,
        error: Exception | None = None,
        *,
        reason: str | None = None,
        receipt: Receipt | None = None,
        not_before: datetime | None = None,
    ) -> Entry:
        """Write down what happened, as the table has it. Raises LedgerError with the receipt if that cannot be kept."""
        move = Move(
            event=event,
            reason=reason or (_reason(error) if error else None),
            code=getattr(error, "code", None) or None,
            refused=isinstance(error, Rejected) and error.recipient,
            not_before=not_before,
            receipt=receipt,
        )
        try:
            state = self.ledger.move(entry, move, self.clock.now(), self.by)
        except (LedgerError, ConflictError) as failure:
            said = (
                f"took it: {receipt.url or receipt.provider_id}"
                if receipt
                else f"{event}, {move.reason or 'no reason'}"
            )
            lost = Problem(f"this could not be written down: {entry.channel} {said}")
            raise type(failure)(*failure.problems, lost) from failure
        self.tell(Progress(entry.channel, event, state, move.reason))
        return replace(entry, state=state)

    def tell(self, progress: Progress) -> None:
        """Show what happened. A terminal that went away must not end a run."""
        with contextlib.suppress(Exception):
            self.watch(progress)


class _Lane:
    """One channel's queue, worked by one or more threads, each with an adapter of its own."""

    def __init__(self, run: Run, config: ChannelConfig, number: int) -> None:
        self._run = run
        self._config = config
        self._where = (run.incident, number, config.name)
        self._gap = 1 / config.options.rate if config.options.rate else 0.0  # seconds between two starts
        self._free_at = 0.0  # by the run's timer: when the next may start
        self._turn = threading.Lock()
        self._dead: Exception | None = None  # the account's failure: every further call would fail too
        self._asked: set[int] = set()  # what this run has looked for in vain
        self._is_blind = False  # the account may not read: no look-up can succeed
        self._lost = 0  # deliveries in a row whose answer was lost

    def has_work(self) -> bool:
        """Whether anything waits to be sent, or to be found out."""
        if self._run.ledger.next_try(*self._where) is not None:
            return True
        return next(self._entries(*DOUBTFUL), None) is not None

    def run(self) -> None:
        """All that can be done on this channel now."""
        for entry in self._entries(State.ATTEMPTING):
            self._run.record(entry, Event.LOST, reason=_RECOVERED)
        self._reconcile(may_resend=True)
        names = [f"{self._config.name} {number}" for number in range(1, self._config.workers)]
        workers = [self._run.begin(self._work, name) for name in names]
        try:
            self._work()
        finally:
            for worker in workers:
                worker.wait()
        self._reconcile(may_resend=False)

    def _entries(self, *states: State) -> Iterator[Entry]:
        return every_entry(self._run.ledger, *self._where, states)

    def _adapter(self) -> Channel | None:
        """An adapter, unless none can be made; then nothing was sent, and the channel is dead."""
        adapter = _outcome(lambda: self._run.create(self._config))
        if isinstance(adapter, Exception):
            self._dead = adapter
            return None
        return adapter

    # -- what is certainly unsent -----------------------------------------------------------------------------------

    def _work(self) -> None:
        """Send until nothing is due, time is up, or the run is stopped."""
        adapter = self._adapter()
        try:
            while entry := self._next():
                self._run.tell(Progress(entry.channel, Event.CLAIMED, State.ATTEMPTING))
                if self._dead or adapter is None:
                    self._run.record(entry, Event.REFUSED, self._dead)
                else:
                    self._dead = self._attempt(adapter, entry) or self._dead
        finally:
            _close(adapter)

    def _next(self) -> Entry | None:
        """The next delivery, as soon as it is due and the pace allows it; None where this run has no more to send."""
        run = self._run
        while not run.is_over() and not self._is_failing():
            with self._turn:  # one worker at a time: what waits for the pace is not being attempted yet
                self._keep_pace()
                if run.is_over() or self._is_failing():
                    return None
                if entry := run.ledger.claim(*self._where, run.clock.now(), run.by):
                    self._free_at = max(self._free_at, run.timer.seconds()) + self._gap
                    return entry
            due = run.ledger.next_try(*self._where)
            wait = (due - run.clock.now()).total_seconds() if due else math.inf
            if not run.is_worth_waiting(wait):
                return None
            run.clock.wait(min(max(wait, 0.01), _NAP), run.stop)
        return None

    def _is_failing(self) -> bool:
        """Whether a provider of many keeps losing answers: each one more would be a person in doubt."""
        return self._config.is_bulk and self._lost >= MOST_LOST

    def _keep_pace(self) -> None:
        run = self._run
        while (wait := self._free_at - run.timer.seconds()) > 0 and not run.is_over():
            if run.ledger.next_try(*self._where) is None:
                return
            run.clock.wait(min(wait, _NAP), run.stop)

    def _attempt(self, adapter: Channel, entry: Entry) -> Exception | None:
        """Send once and write down what is certain of it; the error, if that was about the whole account."""
        run = self._run
        outcome = _outcome(lambda: adapter.send(entry.delivery))
        is_certain = isinstance(outcome, (Receipt, Unavailable, Rejected, ConfigError))
        self._lost = 0 if is_certain else self._lost + 1
        if isinstance(outcome, Unavailable):
            asked = outcome.retry_after
            wait = max(asked, _BACKOFF[0] / 2) if asked is not None else _backoff(entry.attempts)
            run.record(entry, Event.NOT_SENT, outcome, not_before=run.clock.now() + timedelta(seconds=wait))
        elif isinstance(outcome, Rejected) and outcome.duplicate:
            self._look_for_duplicate(adapter, entry, outcome)
        elif isinstance(outcome, (Rejected, ConfigError)):
            run.record(entry, Event.REFUSED, outcome)
            return outcome if isinstance(outcome, ConfigError) or outcome.account else None
        elif isinstance(outcome, Receipt) and outcome.provider_id:
            run.record(entry, Event.RECEIPT, receipt=outcome)
        elif isinstance(outcome, Exception):
            run.record(entry, Event.LOST, outcome)
        else:
            run.record(entry, Event.LOST, reason="the provider's answer names nothing that was published")
        return None

    def _look_for_duplicate(self, adapter: Channel, entry: Entry, error: Rejected) -> None:
        """The provider says it carries this already: that is evidence, and its receipt is worth having."""
        receipt = _outcome(lambda: adapter.find(entry.delivery)) if isinstance(adapter, Finds) else None
        if isinstance(receipt, Receipt):
            self._run.record(entry, Event.FOUND, receipt=receipt)
        else:
            self._run.record(entry, Event.LOST, error)

    # -- what is in doubt -------------------------------------------------------------------------------------------

    def _reconcile(self, *, may_resend: bool) -> None:
        """Settle doubt by evidence; ``may_resend``: where the channel promises so, by sending again."""
        doubtful = self._entries(State.IN_DOUBT, State.NEEDS_DECISION)
        first = next((entry for entry in doubtful if entry.id not in self._asked), None)
        if first is None or self._run.is_over() or (adapter := self._adapter()) is None:
            return
        try:
            for entry in itertools.chain([first], doubtful):
                if self._run.is_over() or self._dead:
                    return
                if entry.id not in self._asked and not self._resolve(adapter, entry, may_resend=may_resend):
                    return
        finally:
            _close(adapter)

    def _resolve(self, adapter: Channel, entry: Entry, *, may_resend: bool) -> bool:
        """Look for one delivery, replay it where that is promised, else leave it to a person; False: ask no more."""
        run, semantics = self._run, adapter.semantics
        now = run.clock.now()
        # A replay is an attempt too; when it was made is when the entry last changed.
        began = entry.changed_at if entry.replays else entry.delivery.attempted_at or entry.changed_at
        settled = now - began >= semantics.settle
        if isinstance(adapter, Finds) and not self._is_blind:
            self._asked.add(entry.id)
            found = _outcome(lambda: adapter.find(entry.delivery))
            if isinstance(found, Rejected):  # it will never tell; of an account that may not read, nothing
                self._is_blind = found.account
                found = None
            elif isinstance(found, Exception):
                run.tell(Progress(entry.channel, Event.LOST, entry.state, _reason(found)))
                return not _is_general(found)
            elif found is None and semantics.lookup is LookUp.STRONG and settled and entry.state is State.IN_DOUBT:
                run.record(entry, Event.ABSENT, reason=entry.reason)
                return True
            if found:
                run.record(entry, Event.FOUND, receipt=found)
                return True
        if entry.state is State.NEEDS_DECISION:
            return True
        if self._may_replay(semantics, entry, now):
            if may_resend and not (entry.not_before and now < entry.not_before):
                run.record(entry, Event.REPLAYED, reason=entry.reason)
                self._asked.discard(entry.id)
                self._dead = self._attempt(adapter, entry)
        elif settled:
            run.record(entry, Event.EXHAUSTED, reason=entry.reason)
        return True

    def _may_replay(self, semantics: Semantics, entry: Entry, now: datetime) -> bool:
        """Whether the channel's promise allows to send again what may be out."""
        delivery = entry.delivery
        if delivery.expires_at and now >= delivery.expires_at:
            return False
        if semantics.idempotency is Idempotency.KEY:
            age = now - (delivery.attempted_at or entry.changed_at)
            if semantics.key_lifetime is None or age + semantics.settle >= semantics.key_lifetime:
                return False  # the provider may have forgotten our key by the time it reads it
        return semantics.on_doubt is OnDoubt.REPLAY or (semantics.on_doubt is OnDoubt.RESEND_ONCE and not entry.replays)


def _start(channel: ChannelConfig) -> tuple[bool, int]:
    """Public channels first, and of those that with least to import: it is on the wire while the others load."""
    return channel.is_bulk, len(channel.adapter.imports)


def _import(modules: Iterable[str]) -> None:
    """Import one after the other: side by side they would share one processor, and every first byte would wait."""
    for module in modules:
        with contextlib.suppress(ImportError):  # the adapter's own import says it better
            importlib.import_module(module)


def _outcome(call: Callable[[], T]) -> T | Exception:
    """What an adapter's call came to. The one place where everything is caught: whatever it was, it may be out."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - a bug in an adapter must not end the run
        return error


def _close(adapter: Channel | None) -> None:
    with contextlib.suppress(Exception):  # it promised never to raise
        if adapter:
            adapter.close()


def _is_general(error: Exception) -> bool:
    """Whether asking for the next delivery would fail in the same way."""
    return isinstance(error, (Unavailable, ConfigError)) or (isinstance(error, Rejected) and error.account)


def _reason(error: Exception) -> str:
    """What went wrong, in one safe line; for what was not foreseen, with its class."""
    if isinstance(error, OutagecastError):
        return clean(" ".join(str(problem) for problem in error.problems), most=500)
    return clean(f"{type(error).__name__}: {error}")


def _backoff(attempts: int) -> float:
    """Seconds before the next try: full jitter, so that many waiting for one provider do not come back together."""
    first, longest = _BACKOFF
    return random.uniform(first / 2, min(longest, first * 2 ** min(attempts, 10)))  # noqa: S311 - not a secret
