"""One update on its way to every channel: the public ones under the ledger's lock, those of many people beside them.

Each of these has a lock of its own, so that an hour of texts holds up no announcement. They begin once the public
channels are on their way; where the people are very many, once these are out, or have had a head start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from outagecast.channel import Channel
from outagecast.clock import Clock
from outagecast.config import ChannelConfig
from outagecast.control import Control
from outagecast.deliver import Run
from outagecast.errors import ConflictError, LedgerError
from outagecast.ledger import Event, Ledger, Move, every_entry
from outagecast.model import State

MANY = 1000  # people: to write them down takes a processor that public channels need for their first bytes
HEAD_START = 1.0  # seconds that public channels have before thousands of texts and mails begin, if they need so long
YIELDING = 90.0  # seconds that a run may take to end the calls under way, and leave the channel to a newer update


@dataclass
class Dispatch:
    """Whoever sends holds the ledger's lock while ``send`` lasts, and calls ``wait`` when it is let go."""

    ledger: Ledger
    create: Callable[[ChannelConfig], Channel]
    by: str
    clock: Clock
    control: Control
    _beside: list[Run] = field(default_factory=list)

    def send(
        self,
        incident: str,
        numbers: Mapping[str, int],
        channels: Mapping[str, ChannelConfig],
        *,
        freezing: Mapping[str, Callable[[], None]] = MappingProxyType({}),
        stale: Collection[str] = (),
        is_resumed: bool = False,
        people: int = MANY,
    ) -> None:
        """See the public channels to their end, and begin with the others.

        ``numbers``: which update each channel is at. ``freezing`` writes down the people of a channel. What failed on
        ``stale`` channels is not tried again; where it ``is_resumed``, what is held goes on. Where there are many
        ``people``, they wait until the public channels are out, or have had their head start. Raises as ``Run.run``.
        """
        self.control.begin(incident, numbers)
        crowd = {name: channel for name, channel in channels.items() if channel.is_bulk}
        public = {name: channel for name, channel in channels.items() if name not in crowd}
        are_public_out = threading.Event()

        @contextmanager
        def turn(channel: ChannelConfig) -> Iterator[bool]:
            name = channel.name
            are_public_out.wait(HEAD_START if people >= MANY else 0.0)
            with self._alone_on(name, run, patience=YIELDING if name in freezing else 0.0) as is_ours:
                if is_ours and name in freezing:
                    freezing[name]()  # also where the run is to end: who is not written down cannot be resumed
                if is_ours and is_resumed:
                    self.ledger.release(incident, numbers[name], name)
                if is_ours and name not in stale:
                    self._revive(incident, numbers[name], name)
                yield is_ours

        begin = partial(self._run, incident, numbers)
        run = begin(crowd)
        run.turn = turn
        for name in public.keys() - set(stale):
            self._revive(incident, numbers[name], name)
        first = begin(public)
        first.start()
        self._beside.append(run)
        run.start()
        try:
            first.wait()
        finally:
            are_public_out.set()

    def wait(self) -> None:
        """See the channels of many people to their end. Raises as ``Run.run``, or ConflictError if busy."""
        for run in self._beside:
            run.wait()
            with suppress(LedgerError):  # it is only what tells a restored ledger from this one
                self.ledger.remember()

    @contextmanager
    def _alone_on(self, channel: str, run: Run, patience: float) -> Iterator[bool]:
        """While nobody else sends on a channel, for whose end we wait for ``patience`` seconds; whether that is so."""
        until = run.timer.seconds() + patience
        with ExitStack() as held:
            is_ours = False
            while not is_ours:
                try:
                    held.enter_context(self.ledger.lock(channel))
                    is_ours = True
                except ConflictError as error:
                    if run.is_over() or run.timer.seconds() >= until:
                        run.fail(error)
                        break
                    self.clock.wait(0.2, run.stop)
            yield is_ours

    def _revive(self, incident: str, number: int, channel: str) -> None:
        """What failed for a reason of ours is worth another try once somebody asks."""
        for entry in every_entry(self.ledger, incident, number, channel, {State.FAILED}):
            if not entry.refused:
                self.ledger.move(entry, Move(Event.REVIVED), self.clock.now(), self.by)

    def _run(self, incident: str, numbers: Mapping[str, int], channels: Mapping[str, ChannelConfig]) -> Run:
        return Run(
            ledger=self.ledger,
            incident=incident,
            numbers=numbers,
            channels=channels,
            create=self.create,
            by=self.by,
            clock=self.clock,
            max_time=self.control.max_time,
            watch=self.control.watch,
            stop=self.control.stop,
            is_unsure=bool(self.ledger.unsure(self.clock.now())),
        )
