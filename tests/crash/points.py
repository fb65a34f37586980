"""The named points of a send, and the hooks that kill the process there. Lives in the driver's process only."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from outagecast import registry, transport
from outagecast.channel import Bulk, Channel, Finds, Line
from outagecast.config import ChannelConfig
from outagecast.ledger import Claimed, Entry, Event, Move
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.model import Delivery, Receipt

BEFORE_CONNECTING = "before connecting"  # a file: before the new one is made
BEFORE_FIRST_BYTE = "before the first byte"  # a mail: of its body
HALF_WAY = "half-way through the request"
AFTER_REQUEST = "after the request"  # a file: all of the new one is written, and not yet in its place
AFTER_ANSWER = "after the answer"  # before anybody has read it; a file: in its place, and not yet synced

# From the first to the last moment of an announcement. All up to the claim's commit leave nothing in doubt.
SEND_POINTS = (
    "before the lock",
    "after the lock",
    "before the opening's commit",
    "after the opening",
    "before the claim",
    "before the claim's commit",
    "after the claim",
    BEFORE_CONNECTING,
    BEFORE_FIRST_BYTE,
    HALF_WAY,
    AFTER_REQUEST,
    AFTER_ANSWER,
    "before the record",
    "before the record's commit",
    "after the record",
    "before unlocking",
)
UNTOUCHED = SEND_POINTS[: SEND_POINTS.index("after the claim")]
# Of a resume that finds an attempt without an end.
RESUME_POINTS = (
    "before the recovery's commit",
    "after the recovery",
    "before the look-up",
    "after the look-up's question",
    "after the look-up's answer",
    "before the finding's commit",
    "after the finding",
)
# A mail cannot be looked up: it is sent once more, and that can be cut short too.
REPLAY_POINTS = (
    *RESUME_POINTS[:2],
    "before the replay's commit",
    "after the replay",
    BEFORE_FIRST_BYTE,
    AFTER_REQUEST,
    AFTER_ANSWER,
    "before the record's commit",
)


class Points:
    """Where this process dies, and what it is just doing."""

    def __init__(self, target: str | None, arrival: int = 1) -> None:
        self.target = target
        self._rest = arrival  # how often it is still to be reached
        self._lock = threading.Lock()
        self.doing = ""  # "send" or "find"
        self.has_sent = False
        self.verb = threading.local()  # the ledger's, of the transaction that is open

    def here(self, name: str) -> None:
        """Die, if this is the point, and it was reached often enough."""
        if name != self.target:
            return
        with self._lock:
            self._rest -= 1
            if self._rest:
                return
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def during(self, doing: str) -> Iterator[None]:
        """Note that an adapter is at work."""
        self.doing, self.has_sent = doing, self.has_sent or doing == "send"
        try:
            yield
        finally:
            self.doing = ""


class DoomedLedger(SqliteLedger):
    """The ledger, with a point before and after each of its transactions."""

    def __init__(self, path: Path, points: Points) -> None:
        self.points = points
        super().__init__(path)

    @contextmanager
    def lock(self, channel: str | None = None) -> Iterator[None]:
        self.points.here("before the lock")
        with super().lock(channel):
            self.points.here("after the lock")
            yield
            self.points.here("before unlocking")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with super()._transaction():
            yield
            self.points.here(f"before the {getattr(self.points.verb, 'name', 'first')}'s commit")

    @contextmanager
    def _during(self, verb: str) -> Iterator[None]:
        self.points.here(f"before the {verb}")
        self.points.verb.name = verb
        yield
        self.points.here(f"after the {verb}")

    def open(self, *opened: Any) -> None:
        with self._during("opening"):
            super().open(*opened)

    def claim(self, incident: str, number: int, channel: str, now: datetime, by: str) -> Entry | None:
        with self._during("claim"):
            return super().claim(incident, number, channel, now, by)

    def move(self, entry: Entry, move: Move, *rest: Any) -> Any:
        with self._during(self._verb(move.event)):
            return super().move(entry, move, *rest)

    def claim_window(self, *window: Any) -> list[Claimed]:
        with self._during("claim"):
            return super().claim_window(*window)

    def record_many(self, moves: Sequence[tuple[Claimed, Move]], *rest: Any) -> None:
        with self._during("record" if self.points.has_sent else "recovery"):
            super().record_many(moves, *rest)

    def _verb(self, event: Event) -> str:
        if event is Event.LOST and not self.points.has_sent:
            return "recovery"
        if event is Event.REVIVED:
            return "revival"
        if event is Event.REPLAYED:
            return "replay"
        return "finding" if event in {Event.FOUND, Event.ABSENT, Event.EXHAUSTED} else "record"


def doomed_adapter(config: ChannelConfig, points: Points, deadline: float | None) -> Channel:
    """The channel's adapter, with points around its calls; ``deadline`` in seconds, where calls are to hang."""
    adapter = registry.create(config.kind, config.settings)
    changed: Any = adapter
    if deadline is not None and config.kind == "smtp":
        changed._transaction = deadline
    send = adapter.send

    def sending(delivery: Delivery) -> Receipt:
        with points.during("send"):
            return send(delivery)

    changed.send = sending
    if isinstance(adapter, Bulk):
        connect = adapter.connect

        def connecting() -> Line:
            points.here(BEFORE_CONNECTING)
            points.has_sent = True
            return connect()

        changed.connect = connecting
    if isinstance(adapter, Finds):
        find = adapter.find

        def finding(delivery: Delivery) -> Receipt | None:
            points.here("before the look-up")
            with points.during("find"):
                found = find(delivery)
            points.here("after the look-up's answer")
            return found

        changed.find = finding
    return adapter


def arm(points: Points, deadline: float | None, fault: str | None) -> None:
    """Put the hooks under everything that leaves this process. Never in the tests' own."""
    _arm_sockets(points)
    _arm_files(points, fault)
    if deadline is not None:
        plain = transport.Session

        class Hasty(plain):  # type: ignore[misc, valid-type]
            def __init__(self, **options: Any) -> None:
                super().__init__(deadline=deadline, **options)

        transport.Session = Hasty  # type: ignore[misc]


def _arm_sockets(points: Points) -> None:
    class Doomed(socket.socket):
        asked = False

        def connect(self, address: Any) -> None:
            if points.doing == "send":
                points.here(BEFORE_CONNECTING)
            super().connect(address)

        def sendall(self, data: Any, *flags: int) -> None:
            if points.doing == "send":
                self._send_request(bytes(data))
            else:
                super().sendall(data, *flags)
                self.asked = points.doing == "find"

        def _send_request(self, data: bytes) -> None:
            is_mail, is_head = data.endswith(b"\r\n.\r\n"), data.startswith(b"POST ")
            if is_mail or is_head:
                points.here(BEFORE_FIRST_BYTE)
            if is_mail and points.target == HALF_WAY:
                super().sendall(data[: len(data) // 2])
            if is_mail or (points.target == HALF_WAY and not is_head and self.asked):
                points.here(HALF_WAY)
            super().sendall(data)
            self.asked = is_mail or is_head or self.asked

        def send(self, data: Any, *flags: int) -> int:
            """As many people are sent to, on a socket that waits for nothing."""
            self.asked = self.asked or b"\r\n.\r\n" in data or data.startswith(b"POST ")
            if self.asked:
                points.here(BEFORE_FIRST_BYTE)
                if points.target == HALF_WAY:
                    super().send(data[: len(data) // 2])
                points.here(HALF_WAY)
            sent = super().send(data, *flags)
            if self.asked:
                points.here(AFTER_REQUEST)
            return sent

        def recv(self, *args: Any) -> bytes:
            heard = super().recv(*args)
            if self.asked:
                self.asked = False
                points.here(AFTER_ANSWER)
            return heard

        def recv_into(self, *args: Any) -> int:
            point = {"send": AFTER_REQUEST, "find": "after the look-up's question"}.get(points.doing)
            if point and self.asked:
                points.here(point)
            try:
                return super().recv_into(*args)
            finally:
                if points.doing == "send" and self.asked:
                    points.here(AFTER_ANSWER)

    socket.socket = Doomed  # type: ignore[misc]


def _arm_files(points: Points, fault: str | None) -> None:
    """A banner's way out is the folder: its points, and two faults that need no root."""
    plain_open, plain_write, plain_replace, plain_sync = os.open, os.write, os.replace, os.fsync

    def opening(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if points.doing == "send" and flags & os.O_EXCL:
            points.here(BEFORE_CONNECTING)
        return plain_open(path, flags, *args, **kwargs)

    def writing(file: int, data: Any) -> int:
        if points.doing == "send" and stat.S_ISREG(os.fstat(file).st_mode):
            points.here(BEFORE_FIRST_BYTE)
            if fault == "disk_full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if points.target == HALF_WAY:
                plain_write(file, data[: len(data) // 2])
                points.here(HALF_WAY)
        return plain_write(file, data)

    def replacing(*args: Any, **kwargs: Any) -> None:
        is_banner = points.doing == "send"  # and not what is noted of the ledger
        if is_banner:
            points.here(AFTER_REQUEST)
        plain_replace(*args, **kwargs)
        if is_banner:
            points.here(AFTER_ANSWER)

    def syncing(file: int) -> None:
        if points.doing == "send" and fault == "not_synced" and stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        plain_sync(file)

    hooks: dict[str, Callable[..., Any]] = {"open": opening, "write": writing, "replace": replacing, "fsync": syncing}
    for name, hook in hooks.items():
        setattr(os, name, hook)
