"""Many recipients over few lines: one thread, one loop over all sockets, and whatever happens nobody twice or never.

Deliveries are claimed in windows, each one synced transaction. What is about to begin, and what has ended, is noted in
the journal with one write a turn of the loop, before a byte of it leaves; what has ended goes into the ledger in
batches. So a kill at any moment leaves in doubt only what was on the wire.

What is said on a line, and what an answer means, is the adapter's; sockets are ``outagecast.wire``'s, the speed
``outagecast.pace``'s, and what a crash leaves ``outagecast.journal``'s.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from outagecast.channel import Bulk
from outagecast.deliver import RETRY_FOR
from outagecast.doubt import meaning
from outagecast.errors import ConflictError, LedgerError, Rejected, Unavailable, Uncertain
from outagecast.journal import Journal, Where, place
from outagecast.lane import MOST_LOST, NAMELESS, Progress, is_account, words_of
from outagecast.ledger import Claimed, Event, Move
from outagecast.model import Receipt, State
from outagecast.pace import Length, Pace, Throttle, backoff
from outagecast.transitions import TRANSITIONS
from outagecast.wire import Exchange, Heard, Wire

if TYPE_CHECKING:
    from outagecast.config import ChannelConfig
    from outagecast.deliver import Run

WINDOW = 500  # deliveries that are claimed, or recorded, in one transaction: more saves little
MOST_OPENING = 32  # lines that are being opened at once
AHEAD = 2.0  # seconds of work that are claimed at most: what is claimed goes out, whatever happens meanwhile
BATCH_AGE = 0.1  # seconds that an answer waits for others before it is recorded
OUTAGE = 600.0  # seconds that a run waits for a provider that had answered in it; else it is RETRY_FOR
TICK = 0.2  # seconds between two looks at what no socket tells
JOURNAL = 4_000_000  # bytes, after which the journal begins anew
SAMPLE, MOST_REFUSED = 200, 10  # refused for good of the last so many: more than 5 % is no chance
SOONEST = 0.5  # seconds until one delivery's next try, however soon the provider allows it


class Sending:
    """One channel's deliveries on their way, until none is due or the run has to end."""

    def __init__(self, run: Run, config: ChannelConfig, where: Where, adapter: Bulk) -> None:
        self._run, self._where, self._adapter = run, where, adapter
        self._length = Length(config.adapter.parts)
        self._pace, self._segments = Pace(config.options.rate), Pace(config.options.segment_rate)
        self._is_paced = bool(config.options.rate or config.options.segment_rate)
        self._throttle = Throttle()
        self._queue: deque[Claimed] = deque()
        self._under_way: dict[str, tuple[Claimed, Wire, int]] = {}  # by key, with the throttle's round
        self._begun: set[str] = set()  # keys of those that may be out
        self._moves: list[tuple[Claimed, Move]] = []  # that are to be recorded
        self._unnoted: list[tuple[str, Move]] = []  # that are to be noted in the journal
        self._sample: deque[bool] = deque(maxlen=SAMPLE)  # of the last that were decided: whether it was refused
        self.lost: set[int] = set()  # ids of those that this run has left in doubt
        self._failure: LedgerError | ConflictError | None = None
        self._is_closing = self._is_done = self._has_answered = False
        self._now = self._progress_at = run.timer.seconds()
        self._tick_at = self._claim_at = self._open_at = self._now
        self._pause_until = 0.0  # by the run's timer
        self._record_at = 0.0  # by the monotonic clock
        self._failures = 0  # lines in a row that could not be opened, or ended before they had served
        self._speed = 0.0  # deliveries decided a second, lately
        self._decided = 0  # since the last tick

    def run(self) -> None:
        """Send all that is due.

        Raises LedgerError, once what was under way has ended, where ledger or journal could not be written.
        """
        opened_at = self._run.ledger.past(self._where[0], ()).updates[self._where[1] - 1].opened_at
        self._journal = Journal(place(Path(self._run.ledger.place), self._where), opened_at)
        self._exchange = Exchange(self._adapter.connect)
        try:
            while not self._is_done:
                self._turn()
        finally:
            self._exchange.close()
            self._journal.close()
        if self._failure:
            raise self._failure
        self._journal.remove()
        # What was claimed and put back may have been taken back meanwhile: it is written off, and nothing is claimed.
        self._run.ledger.claim_window(*self._where, 0, self._run.clock.now(), self._run.by)

    def _turn(self) -> None:
        """Once around: claim, give, note, write, read, record."""
        self._now = self._run.timer.seconds()
        is_time = self._now >= self._tick_at or (self._run.stop.is_set() and not self._is_closing)
        if is_time:
            self._look_around()
        self._open()
        self._claim()
        self._give()
        self._speak()
        for heard in self._exchange.listen(self._wait()):
            self._hear(heard)
        if is_time:
            self._exchange.lose_patience()
        self._record()
        self._is_done = self._is_closing and not (self._under_way or self._moves)

    # -- what is to be sent ------------------------------------------------------------------------------------------

    def _look_around(self) -> None:
        """What no socket tells: an end that was asked for, a hold, words that are out of date."""
        run, passed = self._run, self._now - self._tick_at + TICK
        self._speed += (self._decided / passed - self._speed) / 4
        self._decided, self._tick_at = 0, self._now + TICK
        if self._claim_at == math.inf:
            self._claim_at = self._now
        if self._is_closing:
            return
        expires_at = self._queue[0].delivery.expires_at if self._queue else None
        with self._guarded():
            if run.is_over() or run.ledger.held(*self._where) or self._is_outdated():
                self._close()
            elif expires_at and run.clock.now() >= expires_at:
                self._put_back()  # to be written off with all others

    def _is_outdated(self) -> bool:
        """Whether a newer update wants the channel, and supersedes whatever is ready of this one."""
        incident, number, channel = self._where
        past = self._run.ledger.past(incident, ())
        return any(name == channel and its > number for name, its in (*past.opened, *past.begun))

    def _claim(self) -> None:
        """The next window, as soon as there is room for it."""
        if self._is_closing or self._queue or self._now < self._claim_at:
            return
        run = self._run
        soon = int(AHEAD * max(self._speed, self._decided / (self._now - self._tick_at + TICK + 0.001)))
        most = min(WINDOW, max(soon, self._adapter.connections))
        with self._guarded():
            window = run.ledger.claim_window(*self._where, most, run.clock.now(), run.by)
            if window:
                self._queue.extend(window)
                self._tell(Event.CLAIMED, State.ATTEMPTING, None, len(window))
            elif self._under_way or self._moves:
                self._claim_at = math.inf  # until something is recorded, which may be due again, or for a tick
            else:
                self._await_next()

    def _await_next(self) -> None:
        """Nothing is due, and nothing under way: wait for what is due soon, else be done."""
        due = self._run.ledger.next_try(*self._where)
        wait = (due - self._run.clock.now()).total_seconds() if due else math.inf
        self._claim_at = self._now + max(wait, 0.01)
        if wait < -1 or not self._is_worth(wait):  # what has long been due, and is not given to us, never will be
            self._close()

    def _open(self) -> None:
        """Take in what lines were opened, and have more opened where none has room: the first alone, then many."""
        exchange = self._exchange
        for error in exchange.opened():
            if is_account(error):
                self._hold(words_of(error))
                return
            self._fail_line(error)
        if exchange.free or not self._queue or self._now < self._open_at or not self._has_room():
            return
        most = MOST_OPENING if exchange.wires else 1
        more = min(most - exchange.opening, self._adapter.connections - exchange.opening - len(exchange.wires))
        for _ in range(min(more, len(self._queue))):
            exchange.open()

    def _give(self) -> None:
        """Give to the lines that have room, to each one before any gets a second."""
        queue, free = self._queue, self._exchange.free
        while queue and free and self._has_room() and not self._blocked_for():
            wire = free.popleft()
            wire.is_free = False
            if not wire.is_open or wire.conversation.is_over or wire.conversation.room < 1:
                continue
            claimed = queue.popleft()
            delivery = claimed.delivery
            if error := self._exchange.take(wire, delivery):
                self._decide(claimed, error, self._throttle.round)
            else:
                self._under_way[delivery.key] = (claimed, wire, self._throttle.round)
                if self._is_paced:
                    self._pace.spend(self._now)
                    self._segments.spend(self._now, self._length.of(delivery))
            self._exchange.rest(wire)

    def _has_room(self) -> bool:
        return len(self._under_way) + 1 <= self._throttle.most

    def _blocked_for(self) -> float:
        """Seconds for which nothing may start."""
        if not (self._is_paced or self._pause_until):
            return 0.0
        return max(self._pause_until - self._now, self._pace.wait(self._now), self._segments.wait(self._now), 0.0)

    def _wait(self) -> float:
        """Seconds to listen for; where nothing can be heard, they pass here, by the run's clock."""
        if self._is_closing:
            due = self._tick_at if self._under_way or self._moves else self._now
        elif not self._queue:
            due = self._claim_at
        elif self._exchange.free:
            due = self._now + self._blocked_for() if self._has_room() else self._tick_at
        else:
            due = self._tick_at if self._exchange.wires or self._exchange.opening else self._open_at
        wait = max(0.0, min(due - self._now, TICK))
        is_idle = wait and not (self._under_way or self._exchange.opening)
        if self._moves:
            self._record_at = 0.0 if is_idle else self._record_at
            return max(0.0, min(wait, self._record_at - time.monotonic()))
        if is_idle:
            self._run.clock.wait(max(wait, 0.001), self._run.stop)
        return 0.0 if is_idle else wait

    def _speak(self) -> None:
        """Note what ended and what begins, then let it begin."""
        begins = [delivery.key for delivery in self._exchange.outgoing()]
        if self._note(begins):
            self._begun.update(begins)
            self._exchange.write()
        else:
            self._exchange.unsay("what begins could not be noted")

    def _note(self, begins: Sequence[str] = ()) -> bool:
        """Whether the journal has what ended, and these."""
        try:
            self._journal.note(begins, self._unnoted)
        except LedgerError as error:
            self._fail(error)
            return False
        finally:
            self._unnoted.clear()
        return True

    # -- what came of it ---------------------------------------------------------------------------------------------

    def _hear(self, heard: Heard) -> None:
        """Decide on what a line came to; if it ended, on all that it still held."""
        wire = heard.wire
        for delivery, result in heard.outcomes:
            self._end(delivery.key, result, is_answer=not heard.has_ended)
        self._exchange.rest(wire)
        if heard.has_ended:
            why = heard.bug or Uncertain("the connection ended, and nobody said what that means")
            for key in [key for key, (_, its_wire, _) in self._under_way.items() if its_wire is wire]:
                self._end(key, why, is_answer=False)
            if not wire.is_proven:
                self._fail_line(heard.bug or Unavailable("the connection ended before it had served anybody"))

    def _end(self, key: str, result: Receipt | Exception, *, is_answer: bool) -> None:
        """One that was under way is so no more. ``is_answer``: the line did not end with it."""
        taken = self._under_way.pop(key, None)
        if taken is None:
            return  # it was decided on before
        claimed, wire, its_round = taken
        wire.held -= 1
        wire.since = time.monotonic()
        self._begun.discard(key)
        event = self._decide(claimed, result, its_round, is_answer=is_answer)
        if event is Event.RECEIPT or event is Event.REFUSED:
            wire.is_proven = self._has_answered = True
            self._failures, self._progress_at = 0, self._now

    def _decide(
        self, claimed: Claimed, result: Receipt | Exception, its_round: int, *, is_answer: bool = True
    ) -> Event:
        """What an outcome means for its delivery, and for all others. ``is_answer``: the line did not end with it."""
        event = meaning(result)
        if event is Event.RECEIPT and isinstance(result, Receipt):
            self._throttle.answered()
            self._sample.append(False)
            move = Move(event, None, None, False, None, result)  # by name it takes half as long again
        else:
            error = result if isinstance(result, Exception) else Uncertain(NAMELESS)
            move = self._setback(claimed, event, error, its_round, is_answer=is_answer)
        if not self._moves:
            self._record_at = time.monotonic() + BATCH_AGE
        self._moves.append((claimed, move))
        self._unnoted.append((claimed.delivery.key, move))
        self._decided += 1
        return event

    def _setback(self, claimed: Claimed, event: Event, error: Exception, its_round: int, *, is_answer: bool) -> Move:
        not_before, words = None, words_of(error)
        if event is Event.REFUSED:
            self._throttle.answered()
            self._sample.append(True)
            if is_account(error):
                self._hold(words)
            elif sum(self._sample) > MOST_REFUSED:
                self._hold(f"{sum(self._sample)} of the last {len(self._sample)} were refused, the last so: {words}")
        elif isinstance(error, Unavailable):
            asked = error.retry_after
            wait = max(asked, SOONEST) if asked is not None else backoff(claimed.attempts)
            not_before = self._run.clock.now() + timedelta(seconds=wait)
            if is_answer and not error.recipient:
                self._pause(self._throttle.put_off(its_round, len(self._under_way) + 1, asked), words)
        else:
            self.lost.add(claimed.id)
            self._pause(self._throttle.lose(its_round), words)
            if self._throttle.lost >= MOST_LOST:
                self._close(words)
        is_own = isinstance(error, Rejected) and error.recipient
        suppress = error.suppress if isinstance(error, Rejected) else ""
        return Move(event, words, getattr(error, "code", None) or None, is_own, not_before, suppress=suppress)

    def _record(self) -> None:
        """Write down what was decided, when it is much, or has waited, or nothing else is to come."""
        moves, is_idle = self._moves, not (self._under_way or self._queue)
        if not moves or (not is_idle and (self._failure or self._is_early())):
            return
        self._note()  # before the ledger is asked, which may take long
        self._moves = []
        try:
            self._run.ledger.record_many(moves, self._run.clock.now(), self._run.by)
            if self._journal.size > JOURNAL:
                self._journal.renew(self._begun)
        except (LedgerError, ConflictError) as error:
            if not self._failure:
                self._moves = moves  # once more, when all is said
            self._fail(error)
            return
        if self._claim_at == math.inf:
            self._claim_at = self._now
        for (event, reason), count in Counter((move.event, move.reason) for _, move in moves).items():
            self._tell(event, TRANSITIONS[State.ATTEMPTING, event], reason, count)

    def _is_early(self) -> bool:
        return len(self._moves) < WINDOW and time.monotonic() < self._record_at

    # -- when not to go on -------------------------------------------------------------------------------------------

    def _fail_line(self, error: Exception) -> None:
        """A line could not be opened, or had served nobody when it ended; many at the same time are one failure."""
        if self._now < self._open_at:
            return
        self._failures += 1
        asked = error.retry_after if isinstance(error, Unavailable) else None
        wait = backoff(self._failures) if asked is None else max(asked, SOONEST)
        self._open_at = self._now + wait
        if not self._exchange.wires and not self._is_worth(wait):
            self._close(words_of(error))

    def _pause(self, seconds: float, why: str) -> None:
        """Start nothing for so long; not at all, where that is longer than this run waits."""
        self._pause_until = max(self._pause_until, self._now + seconds)
        if seconds and not self._is_worth(self._pause_until - self._now):
            self._close(why)

    def _is_worth(self, seconds: float) -> bool:
        """Whether something due in ``seconds`` still belongs to this run."""
        if self._run.max_time is not None:
            return self._run.is_worth_waiting(seconds)
        return self._now - self._progress_at + seconds <= (OUTAGE if self._has_answered else RETRY_FOR)

    def _hold(self, why: str) -> None:
        """Stop until a person says otherwise; who waits stays ready."""
        with self._guarded():
            self._run.ledger.hold(*self._where, why, self._run.clock.now(), self._run.by)
        self._close()

    def _close(self, why: str | None = None) -> None:
        """Claim and start nothing more; what is under way ends as it ends."""
        self._is_closing = True
        self._put_back(why)

    def _put_back(self, why: str | None = None) -> None:
        """Make ready again what was claimed and given to no line."""
        for claimed in self._queue:
            self._moves.append((claimed, Move(Event.NOT_SENT, why)))
        self._queue.clear()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Where the ledger cannot be used, end; what is under way is still noted in the journal."""
        try:
            yield
        except (LedgerError, ConflictError) as error:
            self._fail(error)

    def _fail(self, error: LedgerError | ConflictError) -> None:
        self._failure = self._failure or error
        self._close()

    def _tell(self, event: Event, state: State, reason: str | None, count: int) -> None:
        self._run.tell(Progress(self._where[2], event, state, reason, count))
