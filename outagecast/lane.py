"""One channel's queue: claim, attempt, look up. The only place that retries, and the only one that catches all."""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from outagecast.call import Call
from outagecast.channel import Bulk, Channel, Edits, Finds, OnDoubt, Semantics
from outagecast.doubt import EDITING, Doubt, Sight, may_repeat, meaning, verdict
from outagecast.errors import ConfigError, OutagecastError, Rejected, Unavailable
from outagecast.ledger import UNSURE_FOR, Entry, Event, Move, every_entry
from outagecast.model import DOUBTFUL, Delivery, Receipt, State
from outagecast.pace import backoff
from outagecast.text import clean

if TYPE_CHECKING:
    from outagecast.config import ChannelConfig
    from outagecast.deliver import Run

_SOONEST = 0.5  # seconds until the next try, however soon the provider allows it
MOST_LOST = 5  # answers in a row that a provider of many may lose before this run asks it for no more
LOOK = 5.0  # seconds that a first word waits for the answer whether it is there already
_MANY = 500  # that are put in doubt at once
_NAP = 0.5  # seconds: never asleep for longer, since the run may be stopped
_RECOVERED = "the run that was sending this ended before it had an answer"
_ELSEWHERE = "it was sent from another ledger"
NAMELESS = "the provider's answer names nothing that was published"

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """Something happened to a delivery, or to many at once; for whoever is watching."""

    channel: str
    event: Event
    state: State
    reason: str | None = None
    count: int = 1


class Lane:
    """One channel's queue, worked by one or more threads, each with an adapter of its own."""

    def __init__(self, run: Run, config: ChannelConfig, number: int) -> None:
        self._run = run
        self._config = config
        self._where = (run.incident, number, config.name)
        self._is_unsure = run.is_unsure or number == 1  # other ledgers may know more of it
        self._gap = 1 / config.options.rate if config.options.rate else 0.0  # seconds between two starts
        self._free_at = 0.0  # by the run's timer: when the next may start
        self._turn = threading.Lock()
        self._dead: Exception | None = None  # the account's failure: every further call would fail too
        self._asked: set[int] = set()  # what this run has looked for in vain
        self._is_blind = False  # the account may not read: no look-up can succeed
        self._found = False  # whether the last look saw what was in doubt
        self._lost = 0  # deliveries in a row whose answer was lost

    def has_work(self) -> bool:
        """Whether anything waits to be sent, or to be found out."""
        if self._run.ledger.next_try(*self._where) is not None:
            return True
        return next(self._entries(*DOUBTFUL), None) is not None

    def run(self) -> None:
        """All that can be done on this channel now."""
        if self._config.is_bulk and self._run_bulk():
            return
        for entry in self._entries(State.ATTEMPTING):
            self._run.record(entry, Event.LOST, reason=_RECOVERED)
        self._reconcile(may_resend=True)
        if self._is_unsure:
            self._look_first()
        self._send()
        while self._has_found_more():
            self._send()

    def _run_bulk(self) -> bool:
        """The same for many over few lines; whether the adapter can. Doubt is settled beside the sending."""
        from outagecast.bulk import Sending
        from outagecast.journal import recover

        run, channel = self._run, self._adapter()
        if channel is None:  # for want of a secret, say: a million refusals would tell no more than one
            run.ledger.hold(*self._where, words_of(self._dead or Exception()), run.clock.now(), run.by)
            return True
        adapter: object = channel  # mypy takes no channel for one
        try:
            if not isinstance(adapter, Bulk):
                return False
            recover(run, self._where)
            if self._is_unsure:
                self._look_first()
            sending = Sending(run, self._config, self._where, adapter)
            settled = run.begin(
                lambda: self._reconcile(may_resend=True, passing_over=sending.lost), f"{self._config.name}: doubt"
            )
            try:
                sending.run()
            finally:
                settled.wait()
            while self._has_found_more():
                Sending(run, self._config, self._where, adapter).run()
            return True
        finally:
            _close(channel)

    def _send(self) -> None:
        """Send all that is due, by one worker or more."""
        names = [f"{self._config.name} {number}" for number in range(1, self._config.workers)]
        workers = [self._run.begin(self._work, name) for name in names]
        try:
            self._work()
        finally:
            for worker in workers:
                worker.wait()

    def _has_found_more(self) -> bool:
        """Look for what this run has lost; whether it is seen, and more is due: a thread's second post below it."""
        self._found = False
        self._reconcile(may_resend=False)
        return self._found and self._run.ledger.next_try(*self._where) is not None and not self._run.is_over()

    def _entries(self, *states: State) -> Iterator[Entry]:
        return every_entry(self._run.ledger, *self._where, states)

    def _adapter(self) -> Channel | None:
        """An adapter, unless none can be made; then nothing was sent, and the channel is dead."""
        adapter = outcome(self._run.create, self._config)
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
        answer = outcome(_publish, adapter, entry.delivery)
        event = meaning(answer)
        if isinstance(answer, Rejected) and answer.duplicate:
            # The provider says it carries this already: that is evidence, and its receipt is worth having.
            _, found = self._look(adapter, entry.delivery)
            event, answer = (Event.FOUND, found) if isinstance(found, Receipt) else (event, answer)
        self._lost = self._lost + 1 if event is Event.LOST else 0
        wait = None
        if isinstance(answer, Unavailable):
            asked = answer.retry_after
            wait = max(asked, _SOONEST) if asked is not None else backoff(entry.attempts)
        error = answer if isinstance(answer, Exception) else None
        run.record(
            entry,
            event,
            error,
            reason=NAMELESS if event is Event.LOST and not error else None,
            receipt=answer if isinstance(answer, Receipt) and event is not Event.LOST else None,
            not_before=None if wait is None else run.clock.now() + timedelta(seconds=wait),
        )
        return error if event is Event.REFUSED and is_account(error) else None

    # -- what is, or may be, out already ------------------------------------------------------------------------------

    def _look(self, adapter: Channel, delivery: Delivery) -> tuple[Sight, Receipt | Exception | None]:
        """Ask once whether the channel carries it: its receipt if it does, the error if that cannot be told now."""
        if self._is_blind or not isinstance(adapter, Finds):
            return Sight.DENIED, None
        found = outcome(adapter.find, delivery)
        if isinstance(found, Rejected):  # it will never tell; of an account that may not read, nothing
            self._is_blind = found.account
            return Sight.DENIED, None
        if isinstance(found, Exception):
            return Sight.FAILED, found
        return (Sight.SEEN, found) if found else (Sight.UNSEEN, None)

    def _look_first(self) -> None:
        """Ask whether it was said from another ledger: to send it then would be to say it twice.

        Of many recipients only the first is asked about; if they have it, all others may, and each is looked up.
        """
        fresh = (entry for entry in self._entries(State.READY) if self._run.is_unsure or not entry.attempts)
        first = next(fresh, None)
        if first is None or self._run.is_over() or (adapter := self._adapter()) is None:
            return
        try:
            if _semantics(adapter, first.delivery).on_doubt is not OnDoubt.HOLD:
                return  # a repeat is harmless there, or promised
            unseen = set[str]()  # languages; without its first post a thread's second is not there either
            for entry in [first] if self._config.is_bulk else [first, *fresh]:
                if entry.delivery.is_second and entry.delivery.language in unseen:
                    continue
                receipt = self._seen_before(adapter, entry.delivery)
                if receipt is None:
                    unseen.add(entry.delivery.language)
                else:
                    self._take_over(entry, Event.FOUND, receipt)
                    if self._config.is_bulk:
                        self._doubt_everybody(entry)
        finally:
            _close(adapter)

    def _seen_before(self, adapter: Channel, delivery: Delivery) -> Receipt | None:
        """The receipt of what the channel carries of it; None as well where that cannot be told soon."""
        early = delivery._replace(attempted_at=delivery.opened_at - UNSURE_FOR)
        answer = outcome(Call(LOOK).run, lambda: self._look(adapter, early))
        found = None if isinstance(answer, Exception) else answer[1]
        if not isinstance(found, Receipt) or self._run.ledger.knows(self._config.name, found.provider_id):
            return None  # or the same words of another incident, which are no news
        return found

    def _take_over(self, entry: Entry, event: Event, receipt: Receipt | None = None) -> None:
        """Write down what was, or may have been, sent from another ledger."""
        began = entry.delivery.opened_at - UNSURE_FOR
        taken = self._run.record(entry, Event.CLAIMED, reason=_ELSEWHERE, began=began)
        self._run.record(taken, event, reason=_ELSEWHERE, receipt=receipt)

    def _doubt_everybody(self, first: Entry) -> None:
        """Whoever waits may have been told, as ``first`` was: from the time of the earliest look-up for them."""
        run, began = self._run, first.delivery.opened_at - UNSURE_FOR
        while not run.is_over() and (some := run.ledger.claim_window(*self._where, _MANY, began, run.by)):
            run.ledger.record_many([(one, Move(Event.LOST, _ELSEWHERE)) for one in some], run.clock.now(), run.by)

    def _reconcile(self, *, may_resend: bool, passing_over: Container[int] = ()) -> None:
        """Settle doubt by evidence; ``may_resend``: where the channel promises so, by sending again.

        ``passing_over``: the ids of what is lost meanwhile, which the next run may send again.
        """
        every = self._entries(State.IN_DOUBT, State.NEEDS_DECISION)
        doubtful = (entry for entry in every if entry.id not in passing_over)
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
        run = self._run
        now = run.clock.now()  # before the look-up, since the settle time must be over when it is made
        if isinstance(adapter, Finds) and not self._is_blind:
            self._asked.add(entry.id)
        sight, found = self._look(adapter, entry.delivery)
        if isinstance(found, Exception):
            run.tell(Progress(entry.channel, Event.LOST, entry.state, words_of(found)))
            return not _is_general(found)
        semantics = _semantics(adapter, entry.delivery)
        event = verdict(semantics, Doubt.of(entry), sight, now)
        if event is Event.REPLAYED:
            is_early = entry.not_before is not None and now < entry.not_before
            # The look-up may have taken long, and a key that was known when it began be forgotten.
            if may_resend and not is_early and may_repeat(semantics, Doubt.of(entry), run.clock.now()):
                run.record(entry, event, reason=entry.reason)
                self._asked.discard(entry.id)
                self._dead = self._attempt(adapter, entry)
        elif event:
            run.record(entry, event, reason=None if found else entry.reason, receipt=found)
            self._found = self._found or event is Event.FOUND
        return True


def outcome(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Exception:
    """What an adapter's call came to. The one place where everything is caught: whatever it was, it may be out."""
    try:
        return call(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - a bug in an adapter must not end the run
        return error


def _publish(adapter: Channel, delivery: Delivery) -> Receipt:
    """Put the words into the post that they replace, else into one of their own."""
    return adapter.edit(delivery) if delivery.edits and isinstance(adapter, Edits) else adapter.send(delivery)


def _semantics(adapter: Channel, delivery: Delivery) -> Semantics:
    """What a repeat of this delivery does."""
    return EDITING if delivery.edits and isinstance(adapter, Edits) else adapter.semantics


def _close(adapter: Channel | None) -> None:
    with contextlib.suppress(Exception):  # it promised never to raise
        if adapter:
            adapter.close()


def _is_general(error: Exception) -> bool:
    """Whether asking for the next delivery would fail in the same way."""
    return isinstance(error, Unavailable) or is_account(error)


def is_account(error: Exception | None) -> bool:
    """Whether it is about the whole account, so that every further call would fail too."""
    return isinstance(error, ConfigError) or (isinstance(error, Rejected) and error.account)


def words_of(error: Exception) -> str:
    """What went wrong, in one safe line; for what was not foreseen, with its class."""
    if isinstance(error, OutagecastError):
        return clean(" ".join(str(problem) for problem in error.problems), most=500)
    return clean(f"{type(error).__name__}: {error}")
