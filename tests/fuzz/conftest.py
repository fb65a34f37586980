"""A peer on a raw socket that answers with whatever bytes it is given."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterable, Iterator

import pytest


class Answerer:
    """Takes one connection after the other, reads one request from each, answers with ``answer``, and hangs up.

    ``answer`` is bytes or an endless supply of them; with ``greets``, it does not wait for a request, and with
    ``takes_turns`` waits a moment before each further piece of it until it hears something.
    """

    def __init__(self) -> None:
        self.answer: bytes | Iterable[bytes] = b""
        self.greets = False
        self.takes_turns = False
        self.asked = 0
        self.heard = b""  # the last request
        self._open: socket.socket | None = None
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._closing.set()
        for sock in (self._listener, self._open):
            if sock:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                self._open = sock
                sock.settimeout(10)
                self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        if not self.greets:
            self.heard = self._read_request(sock)
            if not self.heard:
                return
        self.asked += 1
        for turn, piece in enumerate([self.answer] if isinstance(self.answer, bytes) else self.answer):
            if self._closing.is_set() or (self.takes_turns and turn and not self._hears(sock)):
                return
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(0.5)
        while self.greets and sock.recv(65_536):  # what a client says meanwhile must not reset our answer
            pass

    def _hears(self, sock: socket.socket) -> bool:
        """Whether the other side is still there, once it has said something or a moment has passed."""
        sock.settimeout(0.02)
        try:
            return bool(sock.recv(65_536))
        except TimeoutError:
            return True
        finally:
            sock.settimeout(10)

    def _read_request(self, sock: socket.socket) -> bytes:
        request = b""
        while b"\r\n\r\n" not in request:
            if not (data := sock.recv(65_536)):
                return b""
            request += data
        head, _, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        while length and len(body) < int(length[1]):
            if not (data := sock.recv(65_536)):
                return b""
            body += data
        return head + body


@pytest.fixture(scope="module")
def answerer() -> Iterator[Answerer]:
    """A peer for the whole module: what it answers is changed from example to example."""
    peer = Answerer()
    yield peer
    peer.close()


@pytest.fixture(scope="session")
def answering() -> type[Answerer]:
    """What makes such a peer."""
    return Answerer
