"""The named points of a send, and the hooks that kill the process there. Lives in the driver's process only."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from outagecast import bulk, registry, transport
from outagecast.channel import Bulk, Channel, Finds, Line, Outgoing
from outagecast.config import ChannelConfig
from outagecast.journal import Journal
from outagecast.ledger import Claimed, Entry, Event, Move
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.model import Delivery, Receipt, State

BEFORE_CONNECTING = "before connecting"  # a file: before the new one is made
BEFORE_FIRST_BYTE = "before the first byte"  # a mail: of its body
HALF_WAY = "half-way through the request"
AFTER_REQUEST = "after the request"  # a file: all of the new one is written, and not yet in its place
AFTER_ANSWER = "after the answer"  # before anybody has read it; a file: in its place, and not yet synced
BEFORE_NOTE = "before the note"  # in the journal, of what is about to begin
HALF_NOTE = "half-way through the note"
AFTER_NOTE = "after the note"
ANSWER_NOTED = "after the answer's note"  # and not yet recorded
FREEZING = "before the freezing's commit"  # which has several: it is reached more than once

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


def _bulk_points() -> Iterator[str]:
    """The same for many people at once: they are written down beside, and what begins or ends is noted in a journal."""
    more = {
        "after the opening": (
            "before the channel's lock",
            "after the channel's lock",
            "before the freezing",
            FREEZING,
            "after the freezing",
        ),
        BEFORE_CONNECTING: (BEFORE_NOTE, HALF_NOTE, AFTER_NOTE),
        AFTER_ANSWER: (ANSWER_NOTED,),
        "after the record": ("before the channel's unlocking",),
    }
    for point in SEND_POINTS:
        yield point
        yield from more.get(point, ())


BULK_POINTS = tuple(_bulk_points())
# What was claimed and is not in the journal never began.
BULK_UNTOUCHED = BULK_POINTS[: BULK_POINTS.index(AFTER_NOTE)]
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
        self.is_later = arrival > 1
        self._rest = arrival  # how often it is still to be reached
        self._lock = threading.Lock()
        self.doing = ""  # "send", "find" or "write": a file
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
        self.doing = doing
        try:
            yield
        finally:
            self.doing = ""


class DoomedLedger(SqliteLedger):
    """The ledger, with a point before and after each of its transactions."""

    def __init__(self, path: Path, points: Points) -> None:
        self.points = points
        self._mine: set[int] = set()  # deliveries that this process has claimed
        super().__init__(path)

    @contextmanager
    def lock(self, channel: str | None = None) -> Iterator[None]:
        its = "the channel's " if channel else ""
        self.points.here(f"before {its or 'the '}lock")
        with super().lock(channel):
            self.points.here(f"after {its or 'the '}lock")
            yield
            self.points.here(f"before {its}unlocking")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with super()._transaction():
            yield
            self.points.here(f"before the {getattr(self.points.verb, 'name', 'other')}'s commit")

    @contextmanager
    def _during(self, verb: str) -> Iterator[None]:
        self.points.here(f"before the {verb}")
        self.points.verb.name = verb
        try:
            yield
        finally:
            self.points.verb.name = "other"
        self.points.here(f"after the {verb}")

    def open(self, *opened: Any) -> None:
        with self._during("opening"):
            super().open(*opened)

    def freeze(self, *frozen: Any) -> None:
        with self._during("freezing"):
            super().freeze(*frozen)

    def claim(self, incident: str, number: int, channel: str, now: datetime, by: str) -> Entry | None:
        with self._during("claim"):
            entry = super().claim(incident, number, channel, now, by)
            self._mine |= {entry.id} if entry else set()
            return entry

    def claim_window(
        self, incident: str, number: int, channel: str, most: int, now: datetime, by: str
    ) -> list[Claimed]:
        with self._during("claim"):
            window = super().claim_window(incident, number, channel, most, now, by)
            self._mine |= {claimed.id for claimed in window}
            return window

    def move(self, entry: Entry, move: Move, *rest: Any) -> Any:
        with self._during(self._verb(entry, move.event)):
            return super().move(entry, move, *rest)

    def record_many(self, moves: Sequence[tuple[Claimed, Move]], now: datetime, by: str) -> None:
        with self._during("record" if all(claimed.id in self._mine for claimed, _ in moves) else "recovery"):
            super().record_many(moves, now, by)

    def _verb(self, entry: Entry, event: Event) -> str:
        if entry.state is State.ATTEMPTING and entry.id not in self._mine:
            return "recovery"
        if event is Event.REVIVED:
            return "revival"
        if event is Event.REPLAYED:
            return "replay"
        return "finding" if event in {Event.FOUND, Event.ABSENT, Event.EXHAUSTED} else "record"


class DoomedJournal(Journal):
    """The journal, with points around each of its notes."""

    points: ClassVar[Points]
    _begins = False

    def note(self, begun: Iterable[str], ended: Iterable[tuple[str, Move]]) -> None:
        begun, ended = [*begun], [*ended]
        self._begins = bool(begun)
        if begun:
            self.points.here(BEFORE_NOTE)
        super().note(begun, ended)
        if ended:
            self.points.here(ANSWER_NOTED)
        if begun:
            self.points.here(AFTER_NOTE)
        self._begins = False

    def _write(self, data: bytes) -> None:
        if self._begins and self.points.target == HALF_NOTE:
            super()._write(data[: len(data) // 2])
            self.points.here(HALF_NOTE)
            data = data[len(data) // 2 :]
        super()._write(data)


def doomed_adapter(config: ChannelConfig, points: Points, deadline: float | None) -> Channel:
    """The channel's adapter, with points around its calls; ``deadline`` in seconds, where calls are to hang."""
    adapter = registry.create(config.kind, config.settings)
    changed: Any = adapter
    if deadline is not None and config.kind == "smtp":
        changed._transaction = deadline
    send = adapter.send

    def sending(delivery: Delivery) -> Receipt:
        with points.during("write" if config.kind == "banner" else "send"):
            return send(delivery)

    changed.send = sending
    if isinstance(changed, Bulk):
        changed.connect = _doomed_lines(changed.connect, points, deadline)  # type: ignore[method-assign]
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


def _doomed_lines(connect: Callable[[], Line], points: Points, deadline: float | None) -> Callable[[], Line]:
    """The same lines, whose sockets know what is said on them."""

    def connecting() -> Line:
        points.here(BEFORE_CONNECTING)
        line = connect()
        sock: Any = line.socket
        talk: Any = line.conversation
        sock.is_line, outgoing = True, talk.outgoing
        if deadline is not None:
            talk.patience = deadline

        def saying() -> Outgoing:
            said: Outgoing = outgoing()
            sock.carries = bool(said.begins)
            return said

        talk.outgoing = saying
        return line

    return connecting


def arm(points: Points, deadline: float | None, fault: str | None, journal: type[DoomedJournal]) -> None:
    """Put the hooks under everything that leaves this process. Never in the tests' own."""
    _arm_sockets(points)
    _arm_files(points, fault)
    DoomedJournal.points = points
    setattr(bulk, "Journal", journal)  # noqa: B010 - imported there, not its own
    if points.is_later:
        bulk.BATCH_AGE = 0.0  # what ends is recorded one by one
    if deadline is not None:
        plain = transport.Session

        class Hasty(plain):  # type: ignore[misc, valid-type]
            def __init__(self, **options: Any) -> None:
                super().__init__(deadline=deadline, **options)

        transport.Session = Hasty  # type: ignore[misc]


def _arm_sockets(points: Points) -> None:
    class Doomed(socket.socket):
        asked = False
        is_line = False  # of a bulk channel, which nobody waits for
        carries = False  # whether what is said next on it begins a delivery

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
            if not self.carries:
                return super().send(data, *flags)
            points.here(BEFORE_FIRST_BYTE)
            self.carries, self.asked = False, True
            if points.target == HALF_WAY:
                sent = super().send(data[: len(data) // 2], *flags)
                points.here(HALF_WAY)
                return sent  # the rest is said next
            sent = super().send(data, *flags)
            points.here(AFTER_REQUEST)
            return sent

        def recv(self, *args: int) -> bytes:
            is_mail = not self.is_line and points.doing == "send" and self.asked  # one that is sent again
            if is_mail:
                points.here(AFTER_REQUEST)
            try:
                data = super().recv(*args)
            except BlockingIOError:
                raise
            except OSError:
                self._answered(is_mail=is_mail)
                raise
            self._answered(is_mail=is_mail)
            return data

        def _answered(self, *, is_mail: bool) -> None:
            if is_mail or (self.is_line and self.asked):
                self.asked = False
                points.here(AFTER_ANSWER)

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
        if points.doing == "write" and flags & os.O_EXCL:
            points.here(BEFORE_CONNECTING)
        return plain_open(path, flags, *args, **kwargs)

    def writing(file: int, data: Any) -> int:
        if points.doing == "write" and stat.S_ISREG(os.fstat(file).st_mode):
            points.here(BEFORE_FIRST_BYTE)
            if fault == "disk_full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if points.target == HALF_WAY:
                plain_write(file, data[: len(data) // 2])
                points.here(HALF_WAY)
        return plain_write(file, data)

    def replacing(*args: Any, **kwargs: Any) -> None:
        is_banner = points.doing == "write"  # and not what is noted of the ledger
        if is_banner:
            points.here(AFTER_REQUEST)
        plain_replace(*args, **kwargs)
        if is_banner:
            points.here(AFTER_ANSWER)

    def syncing(file: int) -> None:
        if points.doing == "write" and fault == "not_synced" and stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        plain_sync(file)

    hooks: dict[str, Callable[..., Any]] = {"open": opening, "write": writing, "replace": replacing, "fsync": syncing}
    for name, hook in hooks.items():
        setattr(os, name, hook)
