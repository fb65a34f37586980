"""The engine: one run over an incident's deliveries, each channel in a lane of its own, and every outcome written down.

A crash anywhere means: run again. What was being attempted is then in doubt, and doubt is looked up, replayed where a
repeat is harmless, or left to a person; it is never simply sent again.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from outagecast.channel import Channel
from outagecast.clock import Clock, Timer
from outagecast.errors import ConflictError, LedgerError, OutagecastError, Problem, Rejected
from outagecast.lane import Lane, Progress, words_of
from outagecast.ledger import Entry, Event, Ledger, Move
from outagecast.model import Receipt

if TYPE_CHECKING:
    from outagecast.config import ChannelConfig

Turn: TypeAlias = "Callable[[ChannelConfig], AbstractContextManager[bool]]"
RETRY_FOR = 30.0  # seconds a run waits for a provider that said "later", when nothing else is said


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
    is_unsure: bool = False  # the ledger may not know all that is out, so every channel is asked first
    turn: Turn | None = None  # what each channel waits for, and whether it comes

    def __post_init__(self) -> None:
        self._failures: list[BaseException] = []
        self._ends: list[threading.Event] = []

    def run(self) -> None:
        """Reconcile what is in doubt, then send what is certainly unsent.

        Raises LedgerError, once every call under way has ended, where the ledger could not be written: it names every
        receipt that is not in it.
        """
        self.start()
        self.wait()

    def start(self) -> None:
        """Begin with every channel. ``wait`` must follow, whatever happens."""
        self.timer = Timer(self.clock)
        for channel in sorted(self.channels.values(), key=_start):
            lane = Lane(self, channel, self.numbers[channel.name])
            if self.turn:
                work: Callable[[], None] = functools.partial(_in_turn, self.turn(channel), lane)
            elif lane.has_work():
                _import(channel.adapter.imports)
                work = lane.run
            else:
                continue
            self._ends.append(self.begin(work, f"channel {channel.name}"))

    def wait(self) -> None:
        """See every channel to its end. Raises as ``run`` does."""
        try:
            for end in self._ends:
                while not end.wait(0.2):  # in slices, so that a signal is handled while we wait
                    pass
        finally:
            if not all(end.is_set() for end in self._ends):  # an exception out of a signal's handler
                self.stop.set()
                for end in self._ends:
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

    def fail(self, error: Exception) -> None:
        """Have ``wait`` raise what ends one channel alone."""
        self._failures.append(error)

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
        began: datetime | None = None,
    ) -> Entry:
        """Write down what happened, as the table has it. Raises LedgerError with the receipt if that cannot be kept."""
        move = Move(
            event=event,
            reason=reason or (words_of(error) if error else None),
            code=getattr(error, "code", None) or None,
            refused=isinstance(error, Rejected) and error.recipient,
            not_before=not_before,
            receipt=receipt,
            began=began,
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


def _in_turn(turn: AbstractContextManager[bool], lane: Lane) -> None:
    with turn as has_come:
        if has_come and lane.has_work():
            lane.run()


def _start(channel: ChannelConfig) -> tuple[bool, int]:
    """Public channels first, and of those that with least to import: it is on the wire while the others load."""
    return channel.is_bulk, len(channel.adapter.imports)


def _import(modules: Iterable[str]) -> None:
    """Import one after the other: side by side they would share one processor, and every first byte would wait."""
    for module in modules:
        with contextlib.suppress(ImportError):  # the adapter's own import says it better
            importlib.import_module(module)
