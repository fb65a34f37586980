"""A bulk channel of a line each way, a provider that takes it, and a desk to send from: all over real sockets.

``KEY TARGET SIZE`` and so many bytes are one delivery; the provider answers each with one line, in their order.
``python -m tests.lines LEDGER PORT`` sends what is due in a process that may be killed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, ClassVar, Literal, Self

from outagecast.channel import Idempotency, Limit, Line, LookUp, OnDoubt, Outcome, Outgoing, Semantics
from outagecast.clock import Clock
from outagecast.config import ChannelConfig, Options
from outagecast.deliver import Run
from outagecast.errors import ChannelError, Rejected, Unavailable, Uncertain
from outagecast.lane import Progress
from outagecast.ledger import Entry, Opening, Update, every_entry
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.model import Delivery, Receipt, State, Status, Variant

SLUG, CHANNEL, BY = "cards", "sms", "ana@desk"
DATA = Path(__file__).parent / "channels/data"
HELD = Semantics(Idempotency.NONE, LookUp.NONE, OnDoubt.HOLD, timedelta(minutes=5), "test")


class Talk:
    """The conversation: up to ``depth`` deliveries wait for their answers."""

    patience: ClassVar[float] = 10.0

    def __init__(self, depth: int = 1, size: int = 0) -> None:
        self._depth, self._size = depth, size
        self._new: list[Delivery] = []
        self._waiting: deque[Delivery] = deque()
        self._rest = b""
        self.is_over = False

    @property
    def room(self) -> int:
        return 0 if self.is_over else self._depth - len(self._new) - len(self._waiting)

    def take(self, delivery: Delivery) -> None:
        if delivery.target == "unspeakable":
            raise Rejected("this cannot be said", recipient=True)
        self._new.append(delivery)

    def outgoing(self) -> Outgoing:
        begins, self._new = self._new, []
        self._waiting.extend(begins)
        said = b"".join(
            b"%s %s %d\n%s" % (one.key.encode(), one.target.encode(), self._size, bytes(self._size)) for one in begins
        )
        return Outgoing(said, begins)

    def incoming(self, data: bytes) -> Iterator[Outcome]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            word, _, more = line.decode().partition(" ")
            if word == "bye":
                self.is_over = True
                continue
            if word == "bug":
                raise ZeroDivisionError("a bug in the conversation")
            yield self._waiting.popleft(), _meaning(word, more)

    def broken(self, why: str) -> Iterator[Outcome]:
        for delivery in self._waiting:
            yield delivery, Uncertain(f"{why}; it may be out")
        for delivery in self._new:
            yield delivery, Unavailable(f"{why}; nothing was sent")

    def farewell(self) -> bytes:
        return b"bye\n"


def _meaning(word: str, more: str) -> Receipt | ChannelError:
    if word == "ok":
        return Receipt(more)
    if word == "later":
        return Unavailable("later, please", retry_after=float(more) if more else None)
    if word == "busy":
        return Unavailable("they are busy", retry_after=float(more), recipient=True)
    if word == "account":
        return Rejected("your account is closed", hint="pay first", account=True)
    return Rejected("no such person", code="404", recipient=True, suppress="bounce" if more else "")


class Caller:
    """The adapter."""

    kind: ClassVar[str] = "twilio_sms"
    parts: ClassVar[Mapping[str, Limit]] = {"text": Limit(1000, "segments", len)}
    addresses: ClassVar[Literal["phone", "email"] | None] = "phone"
    escapes: ClassVar[frozenset[str]] = frozenset()
    semantics: Semantics = HELD
    imports: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, port: int, connections: int = 4, *, talk: Callable[[], Talk] = Talk, is_encrypted: bool = False
    ) -> None:
        self.connections, self._port, self._talk, self._is_encrypted = connections, port, talk, is_encrypted
        self.connected = 0
        self.failures: deque[Exception] = deque()

    def check(self) -> None:
        raise AssertionError("nothing is checked in a run")

    def send(self, delivery: Delivery) -> Receipt:
        raise AssertionError("nobody is sent to one by one")

    def connect(self) -> Line:
        if self.failures:
            raise self.failures.popleft()
        try:
            sock = socket.create_connection(("127.0.0.1", self._port), 5)
        except OSError as error:
            raise Unavailable(f"no connection: {error}") from None
        sock.settimeout(None)
        self.connected += 1
        if self._is_encrypted:
            context = ssl.create_default_context(cafile=DATA / "loopback-authority.pem")
            sock = context.wrap_socket(sock, server_hostname="127.0.0.1")
        return Line(sock, self._talk())

    def close(self) -> None:
        """Nothing is open."""


class Provider:
    """Takes deliveries on any number of lines, and answers as ``answer`` says of each; "ok" if that says nothing."""

    def __init__(self, answer: Callable[[str, int], str] = lambda *_: "ok", *, is_encrypted: bool = False) -> None:
        self.answer = answer
        self.taken: Counter[str] = Counter()  # how often each target was heard of
        self.order: list[str] = []
        self.times: list[float] = []
        self.lines = self.under_way = self.most_under_way = self.goodbyes = 0
        self.slow = 0.0  # seconds before each read
        self._mutex = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._context: ssl.SSLContext | None = None
        if is_encrypted:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(DATA / "loopback.pem")
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End every line."""
        with self._mutex:
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
            self._sockets.clear()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._context:
                sock = self._context.wrap_socket(sock, server_side=True)
            with self._mutex:
                self.lines += 1
                self._sockets.append(sock)
            with sock, sock.makefile("rb") as file:
                while (line := file.readline()) and self._take(sock, file, line):
                    pass

    def _take(self, sock: socket.socket, file: Any, line: bytes) -> bool:
        if line == b"bye\n":
            self.goodbyes += 1
            return False
        time.sleep(self.slow)
        _, target, size = line.decode().split()
        if len(file.read(int(size))) < int(size):
            return False
        with self._mutex:
            self.taken[target] += 1
            self.order.append(target)
            self.times.append(time.monotonic())
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            count = self.taken[target]
        said = self.answer(target, count)
        with self._mutex:
            self.under_way -= 1
        if said == "hang up":
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            return False
        if said != "silence":
            sock.sendall(f"{said} id-{target}\n".encode() if said == "ok" else f"{said}\n".encode())
        return True


@dataclass
class Desk:
    """A ledger with one update for many, and runs over it."""

    path: Path
    clock: Clock = field(default_factory=Clock)
    stop: threading.Event = field(default_factory=threading.Event)
    progress: list[Progress] = field(default_factory=list)
    text: str = "Cards fail."

    def __post_init__(self) -> None:
        self.ledger = SqliteLedger(self.path)

    def declare(self, number: int, slug: str = SLUG) -> Update:
        """Open an update whose people are not written down yet."""
        update = Update(slug, number, Status.INVESTIGATING, f"{slug} {number}", "{}", "d", self.clock.now(), BY)
        variant = Variant(CHANNEL, "twilio_sms", "en", {"text": self.text}, 1, "en/twilio_sms.text.j2", [], [])
        self.ledger.open(update, [variant], [])
        return update

    def freeze(self, targets: Iterable[str], *, expires_at: datetime | None = None) -> None:
        openings = (Opening(CHANNEL, target, "en", State.READY, None, expires_at) for target in targets)
        self.ledger.freeze(self.declare(1), CHANNEL, openings)

    def run(self, caller: Any, max_time: float | None = None, **options: Any) -> None:
        settings = SimpleNamespace(connections=getattr(caller, "connections", 1))
        config = ChannelConfig(name=CHANNEL, options=Options(kind="twilio_sms", **options), settings=settings)
        Run(
            ledger=self.ledger,
            incident=SLUG,
            numbers={CHANNEL: 1},
            channels={CHANNEL: config},
            create=lambda _: caller,
            by=BY,
            clock=self.clock,
            max_time=max_time,
            watch=self.progress.append,
            stop=self.stop,
        ).run()

    def entries(self, *states: State) -> list[Entry]:
        return [*every_entry(self.ledger, SLUG, 1, CHANNEL, states or set(State))]

    def states(self) -> Counter[State]:
        return Counter({tally.state: tally.count for tally in self.ledger.tallies(SLUG, 1)})

    @property
    def journals(self) -> list[Path]:
        return [*self.path.parent.glob("*.journal*")]


def people(count: int) -> list[str]:
    return [f"+6140000{number:05}" for number in range(count)]


def main() -> None:
    """Send what is due, by as many lines and as deep as said."""
    ledger, port, connections, depth = sys.argv[1], *map(int, sys.argv[2:5])
    desk = Desk(Path(ledger))
    desk.run(Caller(port, connections, talk=lambda: Talk(depth)))
    os._exit(0)


if __name__ == "__main__":
    main()
