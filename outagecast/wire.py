"""The open lines of one bulk channel in one loop: opened in threads, read and written without waiting for any of them.

Nothing here knows what is said, or what it means; whatever ends a line is handed to its conversation.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from ssl import SSLWantReadError, SSLWantWriteError
from typing import NamedTuple

from outagecast.channel import Line, Outcome
from outagecast.lane import outcome, words_of
from outagecast.model import Delivery

_READ = 65_536  # bytes taken at once: more than a TLS record, so that none is left where no select sees it
_LATER = (BlockingIOError, SSLWantReadError, SSLWantWriteError)
_IN, _OUT = selectors.EVENT_READ, selectors.EVENT_WRITE


class Wire:
    """An open line."""

    __slots__ = (
        "conversation",
        "held",
        "is_free",
        "is_open",
        "is_proven",
        "is_watched",
        "since",
        "socket",
        "unsent",
    )

    def __init__(self, line: Line) -> None:
        self.socket, self.conversation = line
        self.unsent = b""
        self.held = 0  # deliveries it has taken, and not decided on
        self.since = 0.0  # when it was given the first of them, or last decided on one, on the monotonic clock
        self.is_open = True
        self.is_proven = False  # whether it has decided on any
        self.is_free = False  # whether it stands among those that may have room
        self.is_watched = False  # whether the loop waits for room to write, too


class Heard(NamedTuple):
    """What an answer on a line came to, or its end."""

    wire: Wire
    outcomes: list[Outcome]
    has_ended: bool = False
    bug: Exception | None = None  # of the conversation: nobody knows what became of what it holds


class Exchange:
    """All lines of one channel."""

    def __init__(self, connect: Callable[[], Line]) -> None:
        self._connect = connect
        self.wires: set[Wire] = set()
        self.free: deque[Wire] = deque()  # those that may have room
        self.opening = 0
        self._opened: deque[Line | Exception] = deque()
        self._touched: set[Wire] = set()  # those that may have something to say
        self._speaking: list[Wire] = []
        self._heard: list[Heard] = []
        self._is_closed = False
        self._mutex = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._bell, bell = socket.socketpair()  # rung when a line is open
        self._ear = bell
        for end in (self._bell, self._ear):
            end.setblocking(False)
        self._selector.register(self._ear, _IN, None)

    # -- opening ---------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Have one more line opened, in a thread of its own."""
        self.opening += 1
        threading.Thread(target=self._open, name="line", daemon=True).start()

    def _open(self) -> None:
        found = outcome(self._connect)
        with self._mutex:
            if not self._is_closed:
                self._opened.append(found)
                with contextlib.suppress(BlockingIOError):  # it rings already
                    self._bell.send(b"\0")
                return
        if isinstance(found, Line):
            found.socket.close()

    def opened(self) -> Iterator[Exception]:
        """Take in the lines that are open by now; why others could not be opened."""
        while self._opened:
            self.opening -= 1
            found = self._opened.popleft()
            if isinstance(found, Exception):
                yield found
                continue
            wire = Wire(found)
            wire.socket.setblocking(False)
            self.wires.add(wire)
            self._selector.register(wire.socket, _IN, wire)
            self._touched.add(wire)
            self.rest(wire)

    # -- in the loop -------------------------------------------------------------------------------------------------

    def take(self, wire: Wire, delivery: Delivery) -> Exception | None:
        """Give a line a delivery; the error where it does not take it."""
        self._touched.add(wire)
        try:
            wire.conversation.take(delivery)
        except Exception as error:  # noqa: BLE001 - as ``outcome``, which costs more than it takes
            return error
        wire.held += 1
        if wire.held == 1:
            wire.since = time.monotonic()
        return None

    def rest(self, wire: Wire) -> None:
        """Put a line among the free ones if it has room, or hang up where nothing more can be said on it."""
        if not wire.is_open:
            return
        if wire.conversation.is_over:
            if not wire.held:
                self._hang_up(wire)
        elif not wire.is_free and wire.conversation.room > 0:
            wire.is_free = True
            self.free.append(wire)

    def outgoing(self) -> list[Delivery]:
        """Ask every line that may have something to say; those of which this must be noted before ``write``."""
        begins: list[Delivery] = []
        for wire in self._touched:
            if not wire.is_open or wire.unsent:
                continue
            try:
                said = wire.conversation.outgoing()
            except Exception as error:  # noqa: BLE001
                self._end(wire, "", error)
                continue
            if said.data:
                wire.unsent = said.data
                begins += said.begins
                self._speaking.append(wire)
        self._touched.clear()
        return begins

    def write(self) -> None:
        """Send what was asked for."""
        for wire in self._speaking:
            self._write(wire)
        self._speaking.clear()

    def unsay(self, why: str) -> None:
        """End the lines that were about to speak, before they do."""
        for wire in self._speaking:
            self._end(wire, why)
        self._speaking.clear()

    def listen(self, seconds: float) -> list[Heard]:
        """What is heard in so many seconds, at once if anything is."""
        for key, _ in self._selector.select(0 if self._heard else seconds):
            wire: Wire | None = key.data
            if wire is None:
                self._ear.recv(_READ)
                continue
            self._read(wire)
            if wire.is_open and wire.unsent:
                self._write(wire)
            self._touched.add(wire)
        heard, self._heard = self._heard, []
        return heard

    def lose_patience(self) -> None:
        """End the lines whose provider has not answered in its time; to be called when all was read that had come."""
        now = time.monotonic()
        for wire in [wire for wire in self.wires if wire.held and now - wire.since > wire.conversation.patience]:
            self._end(wire, f"no answer within {wire.conversation.patience:g} seconds")

    def close(self) -> None:
        """Take leave on every line; one that is still being opened is closed when it is."""
        with self._mutex:
            self._is_closed = True
        for found in self._opened:
            if isinstance(found, Line):
                found.socket.close()
        for wire in [*self.wires]:
            if not wire.held and not wire.unsent and (words := outcome(wire.conversation.farewell)):
                with contextlib.suppress(OSError, TypeError):
                    wire.socket.send(words)  # type: ignore[arg-type]
            self._hang_up(wire)
        self._selector.close()
        self._bell.close()
        self._ear.close()

    # -- one line ----------------------------------------------------------------------------------------------------

    def _read(self, wire: Wire) -> None:
        try:
            data = wire.socket.recv(_READ)
        except _LATER:
            return
        except OSError as error:
            self._end(wire, words_of(error))
            return
        if not data:
            self._end(wire, "the connection was closed")
            return
        try:
            said = [*wire.conversation.incoming(data)]  # it may say them one by one, and fail in the middle
        except Exception as error:  # noqa: BLE001
            self._end(wire, "", error)
        else:
            self._heard.append(Heard(wire, said))

    def _write(self, wire: Wire) -> None:
        try:
            sent = wire.socket.send(wire.unsent)
        except _LATER as error:
            sent = 0
            is_watched = not isinstance(error, SSLWantReadError)
        except OSError as error:
            self._end(wire, words_of(error))
            return
        else:
            is_watched = sent < len(wire.unsent)
        wire.unsent = wire.unsent[sent:]
        if is_watched is not wire.is_watched:
            wire.is_watched = is_watched
            self._selector.modify(wire.socket, _IN | _OUT if is_watched else _IN, wire)

    def _end(self, wire: Wire, why: str, bug: Exception | None = None) -> None:
        self._hang_up(wire)
        said = outcome(lambda: [*wire.conversation.broken(why)]) if bug is None else bug
        bug = said if isinstance(said, Exception) else None
        self._heard.append(Heard(wire, [] if isinstance(said, Exception) else said, has_ended=True, bug=bug))

    def _hang_up(self, wire: Wire) -> None:
        if wire.is_open:
            wire.is_open = False
            self.wires.discard(wire)
            self._selector.unregister(wire.socket)
            wire.socket.close()
