"""The small HTTP/1.1 server under every stand-in: it keeps what it saw, answers by a table, and fails when told to.

A stand-in behaves as its provider is documented to, over a real socket on 127.0.0.1, so that tests and drills send
exactly what a live run sends. ``behave`` plans the failures that matter: those where the answer is lost.
"""

from __future__ import annotations

import json
import os
import re
import socket
import socketserver
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

Fault = Literal[
    "ok",
    "error_500",
    "error_500_applied",
    "hang",
    "hang_applied",
    "reset_before",
    "reset_after",
    "garbage_200",
    "garbage_200_applied",
    "rate_limited",
    "unauthorized",
    "duplicate",
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
APPLIED = frozenset({"ok", "error_500_applied", "hang_applied", "reset_after", "garbage_200_applied"})
SECRET_FIELDS = frozenset({"access_token", "appsecret_proof", "input_token"})
LARGEST_REQUEST = 1 << 20  # bytes
GARBAGE = "<!DOCTYPE html><title>Welcome</title><p>Please sign in to use this network.</p>"  # a captive portal
RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, no time: closing then resets the connection instead of ending it


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: ``body`` is text, bytes, something for JSON, or chunks that are sent as they come."""

    status: int
    body: str | bytes | Mapping[str, Any] | list[Any] | Iterator[bytes] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived. ``authorization`` is the header itself while it is judged; what is kept has none."""

    method: str
    path: str
    query: Mapping[str, str]
    form: Mapping[str, str]
    json: Any
    headers: Mapping[str, str]  # names in lower case
    at: datetime
    authorization: str = field(default="", repr=False)

    def without_secrets(self) -> Request:
        """The same with ``***`` in place of tokens."""
        hidden = {"authorization": f"{self.authorization.partition(' ')[0]} ***"} if self.authorization else {}
        return Request(
            self.method,
            self.path,
            {name: "***" if name in SECRET_FIELDS else value for name, value in self.query.items()},
            {name: "***" if name in SECRET_FIELDS else value for name, value in self.form.items()},
            self.json,
            {**self.headers, **hidden},
            self.at,
        )


Answer = Callable[..., Reply]


class StandIn:
    """One provider, rehearsed: a context manager that listens on a free port of 127.0.0.1 while it is open.

    ``delay`` and ``hang_seconds`` may be set at any time.
    """

    routes: ClassVar[tuple[tuple[str, str, str], ...]] = ()  # method, pattern of the whole path, name of the method
    delay = 0.0  # seconds before each answer
    hang_seconds = 60.0  # for which a hanging answer keeps its connection

    def __init__(self) -> None:
        self.closing = threading.Event()  # set when the stand-in closes: what waits should wait on it
        self._lock = threading.RLock()
        self._requests: list[Request] = []
        self._plan: deque[tuple[str, Fault | Reply]] = deque()
        self._server: _Server | None = None
        self._gate = threading.Event()
        self._gate.set()

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and cut every open connection."""
        self.closing.set()
        self._gate.set()
        if self._server and self._thread.is_alive():
            with suppress(OSError), socket.socket() as waker:
                waker.connect(("127.0.0.1", self.port))
            self._thread.join(timeout=5)
            self._server.cut()
            self._server.server_close()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Within it, what asks to publish arrives and is not answered."""
        self._gate.clear()
        try:
            yield
        finally:
            self._gate.set()

    def wait_at_gate(self, method: str) -> None:
        """Wait until a request of this method may be answered."""
        if method == "POST":
            self._gate.wait()

    @property
    def port(self) -> int:
        """Where it listens, also after it closed. Raises RuntimeError before it opened."""
        if self._server is None:
            raise RuntimeError("a stand-in has an address once it is open: use it in a `with`")
        return self._server.port

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> tuple[Request, ...]:
        """The requests so far, in the order of their arrival, without secrets."""
        with self._lock:
            return tuple(self._requests)

    def behave(self, fault: Fault | Reply, *, times: int = 1, method: str = "POST") -> None:
        """Have the next ``times`` requests of this method meet ``fault``, after those planned before.

        A fault is one of ``FAULTS`` (``…_applied`` and ``reset_after`` publish and then lose the answer), or an answer
        to give as it is, with nothing published. Raises ValueError for an unknown one.
        """
        if not isinstance(fault, Reply) and fault not in FAULTS:
            raise ValueError(f"a stand-in behaves as one of {', '.join(FAULTS)}; not as {fault!r}")
        with self._lock:
            self._plan.extend([(method, fault)] * times)

    # What a provider fills in.

    def refuse(self, request: Request) -> Reply | None:
        """The answer to a request with wrong credentials; None lets it in."""
        return None

    def failure(self, fault: Fault, request: Request) -> Reply:
        """How this provider words a planned failure."""
        statuses = {"rate_limited": 429, "unauthorized": 401, "duplicate": 403}
        return Reply(statuses.get(fault, 500), {"error": fault})

    def not_found(self, request: Request) -> Reply:
        """The answer to an address that does not exist."""
        return Reply(404, {"error": "not found"})

    # What the server asks.

    def take(self, method: str) -> Fault | Reply:
        """The behaviour planned for this request, used up by it."""
        with self._lock:
            for planned in self._plan:
                if planned[0] == method:
                    self._plan.remove(planned)
                    return planned[1]
        return "ok"

    def note(self, request: Request) -> None:
        """Keep a request."""
        with self._lock:
            self._requests.append(request.without_secrets())

    def answer(self, request: Request) -> Reply:
        """What the provider does and says."""
        with self._lock:
            if refusal := self.refuse(request):
                return refusal
            for method, pattern, name in self.routes:
                if method == request.method and (match := re.fullmatch(pattern, request.path)):
                    answer: Answer = getattr(self, name)
                    return answer(request, **match.groupdict())
            return self.not_found(request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a bulk channel opens many connections at once

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = int(self.server_address[1])

    def serve(self) -> None:
        """Answer until the stand-in closes; without polling, so that closing takes no time."""
        while not self.stand_in.closing.is_set():
            self.handle_request()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return not self.stand_in.closing.is_set()

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # the HTTP server's own asks the DNS for this machine's name

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is a bug of ours, and is told."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def cut(self) -> None:
        with self._open_lock:
            connections = list(self._open)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65_537)
        if not self.raw_requestline:
            self.close_connection = True
        elif self.parse_request():
            self._serve()

    def _serve(self) -> None:
        stand_in = self.server.stand_in
        fault = stand_in.take(self.command)
        if fault == "reset_before":
            stand_in.note(self._request(b""))
            self._reset()
            return
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal() or int(length) > LARGEST_REQUEST:
            self._send(Reply(411, "a Content-Length is needed", {"Connection": "close"}))
            return
        request = self._request(self.rfile.read(int(length)))
        stand_in.note(request)
        if stand_in.delay:
            stand_in.closing.wait(stand_in.delay)
        stand_in.wait_at_gate(self.command)
        if isinstance(fault, Reply):
            self._send(fault)
            return
        reply = stand_in.answer(request) if fault in APPLIED else stand_in.failure(fault, request)
        if fault.startswith("hang"):
            stand_in.closing.wait(stand_in.hang_seconds)
            self.close_connection = True
        elif fault == "reset_after":
            self._reset()
        elif fault.startswith("garbage"):
            self._send(Reply(200, GARBAGE))
        else:
            self._send(stand_in.failure(fault, request) if fault == "error_500_applied" else reply)

    def _request(self, body: bytes) -> Request:
        parts = urlsplit(self.path)
        kind = self.headers.get_content_type() if body else ""
        try:
            document = json.loads(body) if kind == "application/json" else None
        except ValueError:
            document = None
        form = body.decode(errors="replace") if kind == "application/x-www-form-urlencoded" else ""
        return Request(
            self.command,
            unquote(parts.path),
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            dict(parse_qsl(form, keep_blank_values=True)),
            document,
            {name.lower(): value for name, value in self.headers.items() if name.lower() != "authorization"},
            datetime.now(UTC),
            self.headers.get("Authorization", ""),
        )

    def _send(self, reply: Reply) -> None:
        headers = {"Date": self.date_time_string(), **reply.headers}
        body = reply.body
        self.close_connection |= isinstance(body, Iterator) or headers.get("Connection") == "close"
        if self.close_connection:
            headers["Connection"] = "close"  # unless it is said, a client may send its next request into the void
        if isinstance(body, Iterator):
            self.wfile.write(self._head(reply.status, headers))
            for chunk in body:
                if self.server.stand_in.closing.is_set():
                    return
                self.wfile.write(chunk)
            return
        if body is None or isinstance(body, (str, bytes)):
            content = body.encode() if isinstance(body, str) else body or b""
            headers.setdefault("Content-Type", "text/html; charset=utf-8")
        else:
            content = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json; charset=utf-8")
        headers.setdefault("Content-Length", str(len(content)))
        # In one write: head and body apart wait 40 ms for each other's acknowledgement.
        self.wfile.write(self._head(reply.status, headers) + (b"" if self.command == "HEAD" else content))

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        phrase = self.responses.get(status, ("Unknown", ""))[0]
        lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        os.close(self.connection.detach())  # now: a socket that is only closed lives on in its files

    def log_message(self, *_: object) -> None:
        """Say nothing: the requests are kept, and stderr is the officer's."""


class Files(StandIn):
    """A tiny static server of one folder, for what a channel writes as a file."""

    routes = (("GET", r"/(?P<name>[\w.-]+)", "get_file"),)

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, Path] = {}  # name in the address -> where it is

    def get_file(self, request: Request, name: str) -> Reply:
        """The file's bytes as they are now."""
        path = self.files.get(name)
        if path is None or not path.is_file():
            return Reply(404, "not here")
        return Reply(200, path.read_bytes(), {"Cache-Control": "max-age=30"})
