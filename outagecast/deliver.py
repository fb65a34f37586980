"""The engine: claim, attempt, record, reconcile. The only place that retries, and the only one that catches everything.

A crash anywhere means: run again. What was being attempted is then in doubt, and doubt is looked up, replayed where a
repeat is harmless, or left to a person; it is never simply sent again.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from outagecast.channel import Channel, Finds, LookUp, OnDoubt
from outagecast.clock import Clock
from outagecast.errors import ChannelError, ConfigError, LedgerError, OutagecastError, Problem, Rejected, Unavailable
from outagecast.ledger import Entry, Event, Ledger, Move
from outagecast.model import Receipt, State
from outagecast.text import clean

if TYPE_CHECKING:
    from outagecast.config import ChannelConfig

# The whole life of a delivery. What is not in it cannot happen.
TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.READY, Event.CLAIMED): State.ATTEMPTING,
    (State.READY, Event.SUPERSEDED): State.SUPERSEDED,
    (State.READY, Event.EXPIRED): State.EXPIRED,
    (State.READY, Event.CANCELLED): State.CANCELLED,
    (State.ATTEMPTING, Event.RECEIPT): State.ACCEPTED,
    (State.ATTEMPTING, Event.FOUND): State.ACCEPTED,  # the provider says it carries this already, and shows it
    (State.ATTEMPTING, Event.NOT_SENT): State.READY,
    (State.ATTEMPTING, Event.REFUSED): State.FAILED,
    (State.ATTEMPTING, Event.LOST): State.IN_DOUBT,
    # Doubt is sticky: a later refusal does not prove that the earlier attempt never arrived.
    (State.IN_DOUBT, Event.REPLAYED): State.IN_DOUBT,
    (State.IN_DOUBT, Event.RECEIPT): State.ACCEPTED,
    (State.IN_DOUBT, Event.NOT_SENT): State.IN_DOUBT,
    (State.IN_DOUBT, Event.REFUSED): State.IN_DOUBT,
    (State.IN_DOUBT, Event.LOST): State.IN_DOUBT,
    (State.IN_DOUBT, Event.FOUND): State.ACCEPTED,
    (State.IN_DOUBT, Event.ABSENT): State.READY,
    (State.IN_DOUBT, Event.EXHAUSTED): State.NEEDS_DECISION,
    (State.NEEDS_DECISION, Event.FOUND): State.ACCEPTED,  # to be seen is proof, however late
    (State.NEEDS_DECISION, Event.SETTLED_PUBLISHED): State.ACCEPTED,
    (State.NEEDS_DECISION, Event.SETTLED_NOT_PUBLISHED): State.FAILED,
    (State.NEEDS_DECISION, Event.SETTLED_RESEND): State.READY,
    (State.FAILED, Event.REVIVED): State.READY,
    **{(seen, Event.SEEN): State.VERIFIED for seen in (State.ACCEPTED, State.VERIFIED, State.MISMATCH, State.MISSING)},
    **{
        (seen, Event.SEEN_DIFFERENT): State.MISMATCH
        for seen in (State.ACCEPTED, State.VERIFIED, State.MISMATCH, State.MISSING)
    },
    **{(seen, Event.GONE): State.MISSING for seen in (State.ACCEPTED, State.VERIFIED, State.MISMATCH, State.MISSING)},
}

RETRY_FOR = 30.0  # seconds a run waits for a provider that said "later", when nothing else is said
_BACKOFF = (1.0, 30.0)  # seconds: the first wait, and the longest


@dataclass(frozen=True, slots=True)
class Progress:
    """Something happened to a delivery; for whoever is watching."""

    channel: str
    event: Event
    state: State
    reason: str | None = None


class _Pace:
    """At most ``rate`` starts a second, spread evenly over a channel's workers."""

    def __init__(self, rate: float | None, clock: Clock) -> None:
        self._gap = timedelta(seconds=1 / rate) if rate else None
        self._clock = clock
        self._next = clock.now()
        self._lock = threading.Lock()

    def wait(self, stop: threading.Event) -> None:
        if self._gap is None:
            return
        with self._lock:
            now = self._clock.now()
            mine = max(self._next, now)
            self._next = mine + self._gap
        if mine > now:
            self._clock.wait((mine - now).total_seconds(), stop)


@dataclass
class Run:
    """One run over an update's deliveries on some channels; the caller holds the ledger's lock."""

    ledger: Ledger
    incident: str
    number: int
    channels: Mapping[str, ChannelConfig]
    create: Callable[[ChannelConfig], Channel]
    by: str
    clock: Clock = field(default_factory=Clock)
    max_time: float | None = None  # seconds; None: go on while there is work, wait RETRY_FOR for a provider
    watch: Callable[[Progress], None] = lambda _: None
    stop: threading.Event = field(default_factory=threading.Event)
    failure: OutagecastError | None = None  # what stopped the run: the ledger could not be written

    def run(self) -> None:
        """Reconcile what is in doubt, then send what is certainly unsent.

        Raises LedgerError, once every call under way has ended, where the ledger could not be written.
        """
        started = self.clock.now()
        self._last_start = started + timedelta(seconds=self.max_time) if self.max_time is not None else None
        self._patience = started + timedelta(seconds=RETRY_FOR if self.max_time is None else self.max_time)
        threads = [
            threading.Thread(target=self._channel, args=(channel,), name=f"channel {channel.name}", daemon=True)
            for channel in self.channels.values()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)  # in slices, so that a signal is handled while we wait
        if self.failure:
            raise self.failure

    def _channel(self, config: ChannelConfig) -> None:
        try:
            self._reconcile(config, _RECOVERED)
            self._send_all(config)
            if not self.stop.is_set():
                self._reconcile(config, None)
        except OutagecastError as error:  # the ledger's: no more calls, since we could not note their receipts
            self.failure = self.failure or error
            self.stop.set()

    def _send_all(self, config: ChannelConfig) -> None:
        lane = _Lane(self, config)
        workers = [threading.Thread(target=self._guarded, args=(lane,), daemon=True) for _ in range(config.workers - 1)]
        for worker in workers:
            worker.start()
        try:
            lane.work()
        finally:
            for worker in workers:
                worker.join()

    def _guarded(self, lane: _Lane) -> None:
        try:
            lane.work()
        except OutagecastError as error:
            self.failure = self.failure or error
            self.stop.set()

    def _reconcile(self, config: ChannelConfig, interrupted: str | None) -> None:
        """Settle doubt by evidence. ``interrupted``: why an attempt without an outcome, found now, is in doubt."""
        where = (self.incident, self.number, config.name)
        if interrupted:
            for entry in self.ledger.entries(*where, {State.ATTEMPTING}):
                self.record(entry, Event.LOST, reason=interrupted)
        doubtful = self.ledger.entries(*where, {State.IN_DOUBT, State.NEEDS_DECISION})
        if not doubtful:
            return
        adapter = self.create(config)
        try:
            for entry in doubtful:
                if self.stop.is_set():
                    return
                self._resolve(adapter, entry, may_resend=bool(interrupted))
        finally:
            adapter.close()

    def _resolve(self, adapter: Channel, entry: Entry, *, may_resend: bool) -> None:
        """One doubtful delivery: look for it, then replay it where that is promised, else leave it to a person."""
        semantics, now = adapter.semantics, self.clock.now()
        settled = now - (entry.delivery.attempted_at or entry.changed_at) >= semantics.settle
        if isinstance(adapter, Finds):
            try:
                receipt = adapter.find(entry.delivery)
            except (ChannelError, ConfigError) as error:
                self.watch(Progress(entry.channel, Event.LOST, entry.state, _reason(error)))
                return
            if receipt:
                self.record(entry, Event.FOUND, receipt=receipt)
                return
            if semantics.lookup is LookUp.STRONG and settled and entry.state is State.IN_DOUBT:
                self.record(entry, Event.ABSENT, reason=entry.reason)
                return
        if entry.state is not State.IN_DOUBT:
            return
        stale = entry.delivery.expires_at is not None and now >= entry.delivery.expires_at
        again = semantics.on_doubt is OnDoubt.REPLAY or (
            semantics.on_doubt is OnDoubt.RESEND_ONCE and not entry.replays
        )
        if again and not stale:
            if may_resend:
                self.record(entry, Event.REPLAYED, reason=entry.reason)
                self.attempt(adapter, entry)
        elif settled:
            self.record(entry, Event.EXHAUSTED, reason=entry.reason)

    def attempt(self, adapter: Channel, entry: Entry) -> ChannelError | ConfigError | None:
        """Send once and write down what is certain of it; the error, if that was about the whole account."""
        try:
            receipt = adapter.send(entry.delivery)
        except Unavailable as error:
            wait = error.retry_after if error.retry_after is not None else _backoff(entry.attempts)
            due = self.clock.now() + timedelta(seconds=wait)
            self.record(entry, Event.NOT_SENT, error, not_before=due)
        except Rejected as error:
            if error.duplicate:
                self._look_for_duplicate(adapter, entry, error)
            else:
                self.record(entry, Event.REFUSED, error)
                return error if error.account else None
        except ConfigError as error:
            self.record(entry, Event.REFUSED, error)
            return error
        except Exception as error:  # noqa: BLE001 - whatever it was, the request may have arrived
            self.record(entry, Event.LOST, error)
        else:
            self.record(entry, Event.RECEIPT, receipt=receipt)
        return None

    def _look_for_duplicate(self, adapter: Channel, entry: Entry, error: Rejected) -> None:
        """The provider says it carries this already: that is evidence, and its receipt is worth having."""
        try:
            receipt = adapter.find(entry.delivery) if isinstance(adapter, Finds) else None
        except (ChannelError, ConfigError):
            receipt = None
        if receipt:
            self.record(entry, Event.FOUND, receipt=receipt)
        else:
            self.record(entry, Event.LOST, error)

    def record(
        self,
        entry: Entry,
        event: Event,
        error: Exception | None = None,
        *,
        reason: str | None = None,
        receipt: Receipt | None = None,
        not_before: datetime | None = None,
    ) -> None:
        """Write down what happened, as the table has it. Raises LedgerError with the receipt if that cannot be kept."""
        move = Move(
            event=event,
            to=TRANSITIONS[entry.state, event],
            reason=reason or (_reason(error) if error else None),
            code=getattr(error, "code", None) or None,
            refused=isinstance(error, Rejected) and error.recipient,
            not_before=not_before,
            receipt=receipt,
            forget_attempt=event is Event.NOT_SENT and entry.state is State.ATTEMPTING,
        )
        try:
            self.ledger.move(entry, move, self.clock.now(), self.by)
        except LedgerError as failure:
            self.stop.set()
            said = (
                f"{entry.channel} took it: {receipt.url or receipt.provider_id}"
                if receipt
                else f"{entry.channel}: {event}"
            )
            raise LedgerError(*failure.problems, Problem(f"this could not be written down: {said}")) from failure
        self.watch(Progress(entry.channel, event, move.to, move.reason))


_RECOVERED = "the run that was sending this ended before it had an answer"


class _Lane:
    """One channel's queue, worked by one or more threads, each with an adapter of its own."""

    def __init__(self, run: Run, config: ChannelConfig) -> None:
        self._run = run
        self._config = config
        self._pace = _Pace(config.options.rate, run.clock)
        self._dead: ChannelError | ConfigError | None = None  # the account's failure: every further call would fail too

    def work(self) -> None:
        """Send until nothing is due, time is up, or the run is stopped."""
        run = self._run
        where = (run.incident, run.number, self._config.name)
        adapter = run.create(self._config)
        try:
            while not run.stop.is_set():
                now = run.clock.now()
                if run._last_start and now >= run._last_start:
                    return
                entry = run.ledger.claim(*where, now, run.by)
                if entry:
                    self._one(adapter, entry)
                    continue
                due = run.ledger.next_try(*where)
                if due is None or due > run._patience:
                    return
                # Never asleep for long: another worker may be done, or the run may be stopped.
                run.clock.wait(min(max((due - now).total_seconds(), 0.01), 0.5), run.stop)
        finally:
            adapter.close()

    def _one(self, adapter: Channel, entry: Entry) -> None:
        run = self._run
        run.watch(Progress(entry.channel, Event.CLAIMED, State.ATTEMPTING))
        if self._dead:
            run.record(entry, Event.REFUSED, self._dead)
            return
        self._pace.wait(run.stop)
        self._dead = run.attempt(adapter, entry) or self._dead


def _reason(error: Exception) -> str:
    """What went wrong, in one safe line; for what was not foreseen, with its class."""
    if isinstance(error, OutagecastError):
        return clean(" ".join(str(problem) for problem in error.problems), most=500)
    return clean(f"{type(error).__name__}: {error}")


def _backoff(attempts: int) -> float:
    """Seconds before the next try: full jitter, so that many waiting for one provider do not come back together."""
    first, longest = _BACKOFF
    return random.uniform(first / 2, min(longest, first * 2**attempts))  # noqa: S311 - not a secret
