"""One call to a provider: a deadline over all of it, whatever it waits for, and how far it got when it ended."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

CONNECT = 5.0  # seconds for one connection attempt
# The clock that goes on while a laptop sleeps: on Linux its own; macOS's monotonic one does, though Python's does not.
_ALWAYS = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_active = threading.local()
T = TypeVar("T")


class Phase(StrEnum):
    """How far a call got."""

    UNKNOWN = "unknown"
    CONNECTING = "connecting"
    SENDING = "sending"  # at least one byte of the request may have left


class DeadlineExceeded(Exception):
    """The call took longer than it may. Its thread is left to die; it can send no first byte any more."""


def _elapsing() -> float:
    """Seconds since some moment, sleep included."""
    return time.clock_gettime(_ALWAYS)


class Call:
    """One call: run it under a deadline, cut it off when that passes, and know how far it got."""

    def __init__(self, seconds: float, *, elapsing: Callable[[], float] = _elapsing) -> None:
        self.seconds = seconds
        self._elapsing = elapsing
        self._began = elapsing()
        self.phase = Phase.UNKNOWN
        self._expired = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []

    def connecting(self) -> None:
        """Note that a connection is being made."""
        self._advance(Phase.CONNECTING)

    def sending(self) -> None:
        """The gate before the first byte: raises DeadlineExceeded rather than let a late call through.

        Late is also one that slept in a closed laptop, and whose words may be out of date by now.
        """
        if self._elapsing() - self._began > self.seconds and self.phase is not Phase.SENDING:
            raise DeadlineExceeded
        self._advance(Phase.SENDING)

    def _advance(self, phase: Phase) -> None:
        with self._lock:
            if self._expired:
                raise DeadlineExceeded
            if self.phase is not Phase.SENDING:
                self.phase = phase

    def guard(self, sock: socket.socket) -> None:
        """Have ``sock`` cut when the deadline passes, or now if it has."""
        with self._lock:
            self._sockets.append(sock)
            expired = self._expired
        if expired:
            _cut(sock)

    def run(self, work: Callable[[], T]) -> T:
        """The result of ``work``, run in a thread of its own, or DeadlineExceeded after ``seconds``.

        A thread, because neither a name look-up nor a server that sends one byte a second can be timed out otherwise.
        """
        results: list[T] = []
        failures: list[BaseException] = []
        done = threading.Event()

        def body() -> None:
            _active.call = self
            try:
                results.append(work())
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, whatever it is
                failures.append(error)
            finally:
                done.set()

        threading.Thread(target=body, name="call", daemon=True).start()
        if not done.wait(self.seconds):
            self._cut()
            raise DeadlineExceeded
        if failures:
            raise failures[0]
        return results[0]

    def _cut(self) -> None:
        with self._lock:
            self._expired = True
            sockets = list(self._sockets)
        for sock in sockets:
            _cut(sock)


def _cut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it was closed already, which is what we want
        # The base class on purpose: SSLSocket.shutdown would pull its state from under the other thread.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def current() -> Call | None:
    """The call that this thread works for."""
    return getattr(_active, "call", None)
