"""Light stand-ins that keep up with a bulk send, each a process of its own: ``python -m tests.bench.sinks KIND …``.

The stand-ins in ``outagecast.rehearsal`` check and keep everything; these count, answer late, and lose answers when
told to. They listen on 127.0.0.1 alone, say their port on standard output, and end with their standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs

REPO = Path(__file__).parents[2]
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_MESSAGE_ID = re.compile(rb"^Message-ID: *(\S+)", re.IGNORECASE | re.MULTILINE)
_ADDRESS = re.compile(rb"<([^>]*)>")


class Sink:
    """A server that takes whatever it is given, and counts by recipient.

    ``delay``: seconds before each answer. ``doubtful``: the share of recipients whose first answer is lost, every
    other of them before anything was taken.
    """

    kind: ClassVar[type[_Talk]]

    def __init__(self, delay: float = 0.0, doubtful: float = 0.0) -> None:
        self.delay = delay
        self.taken: dict[str, list[str]] = defaultdict(list)  # recipient -> the id of each copy
        self.count = 0
        self.first_at: float | None = None  # when the first was taken, of the wall clock
        self._every = round(1 / doubtful) if doubtful else 0
        self._asked: set[str] = set()

    def fate(self, recipient: str) -> tuple[bool, bool]:
        """Whether this one is taken, and whether its sender is told."""
        if not self._every or recipient in self._asked:
            return True, True
        self._asked.add(recipient)
        turn, rest = divmod(len(self._asked), self._every)
        return (True, True) if rest else (turn % 2 == 1, False)

    def take(self, recipient: str, name: str) -> None:
        """Note one copy."""
        if self.first_at is None:
            self.first_at = datetime.now(UTC).timestamp()
        self.count += 1
        self.taken[recipient].append(name)

    async def serve(self, listener: socket.socket) -> None:
        """Answer until cancelled."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: self.kind(self, loop), sock=listener, backlog=1024)
        async with server:
            await server.serve_forever()


class _Talk(asyncio.Protocol):
    """One connection."""

    def __init__(self, sink: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.sink, self.loop = sink, loop
        self.waiting = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def say(self, answer: bytes, delay: float = 0.0) -> None:
        if delay:
            self.loop.call_later(delay, self.transport.write, answer)
        else:
            self.transport.write(answer)


class _TwilioTalk(_Talk):
    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while (end := self.waiting.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self.waiting, 0, end)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self.waiting) < whole:
                return
            line, body = self.waiting[: self.waiting.find(b"\r\n")], self.waiting[end + 4 : whole]
            self.waiting = self.waiting[whole:]
            if line.startswith(b"POST"):
                self._create(parse_qs(body.decode()))
            else:
                asked = parse_qs(line.split(b" ")[1].partition(b"?")[2].decode())
                self.say(self.sink.listed(asked.get("To", [""])[0]), self.sink.delay)

    def _create(self, form: dict[str, list[str]]) -> None:
        to = form["To"][0]
        is_taken, is_told = self.sink.fate(to)
        answer = self.sink.created(to, form["Body"][0]) if is_taken else b""
        if is_told:
            self.say(answer, self.sink.delay)
        else:
            self.loop.call_later(self.sink.delay, self.transport.abort)


class TwilioSink(Sink):
    """Twilio's messages: makes them, and lists those to one number."""

    kind = _TwilioTalk

    def __init__(self, delay: float = 0.0, doubtful: float = 0.0) -> None:
        super().__init__(delay, doubtful)
        self._texts: dict[str, str] = {}
        self._made: dict[str, str] = {}
        self._date = format_datetime(datetime.now(UTC))

    def created(self, to: str, text: str) -> bytes:
        """Keep one, and say so."""
        sid = f"SM{self.count + 1:032x}"
        self.take(to, sid)
        self._texts[sid] = sys.intern(text)  # most get the same
        if self.count % 1000 == 0:
            self._date = format_datetime(datetime.now(UTC))
        self._made[sid] = self._date
        return _http(201, self._resource(sid, to, text))

    def listed(self, to: str) -> bytes:
        """Those to one number, the newest first."""
        found = [self._resource(sid, to, self._texts.get(sid, "")) for sid in reversed(self.taken.get(to, []))]
        return _http(200, '{"messages":[' + ",".join(found) + '],"page":0,"page_size":100,"next_page_uri":null}')

    def _resource(self, sid: str, to: str, text: str) -> str:
        made = self._made.get(sid, self._date)
        fields = {
            "sid": sid,
            "to": to,
            "body": text,
            "status": "accepted",
            "error_code": None,
            "error_message": None,
            "direction": "outbound-api",
            "num_segments": "0",
            "date_created": made,
            "date_updated": made,
            "date_sent": None,
            "messaging_service_sid": "MG" + "0" * 32,
            "from": None,
            "uri": f"/2010-04-01/Accounts/AC/Messages/{sid}.json",
        }
        return json.dumps(fields)


def _http(status: int, body: str) -> bytes:
    content = body.encode()
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {len(content)}"
    return f"{head}\r\nConnection: keep-alive\r\nTwilio-Concurrent-Requests: 1\r\n\r\n".encode() + content


class _MailTalk(_Talk):
    to, is_body = "", False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.say(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        said = []
        while not self.transport.is_closing():
            end = self.waiting.find(b"\r\n.\r\n" if self.is_body else b"\r\n")
            if end < 0:
                break
            piece, self.waiting = self.waiting[:end], self.waiting[end + (5 if self.is_body else 2) :]
            answer = self._body(piece) if self.is_body else self._command(piece)
            if answer is None:
                return
            said.append(answer)
        if said:
            self.say(b"".join(said), self.sink.delay)

    def _command(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"EHLO":
            return b"250-sink\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n"
        if verb == b"RCPT":
            found = _ADDRESS.search(line)
            self.to = found[1].decode() if found else ""
        if verb == b"DATA":
            self.is_body = True
            return b"354 go on\r\n"
        return b"221 2.0.0 bye\r\n" if verb == b"QUIT" else b"250 2.0.0 ok\r\n"

    def _body(self, content: bytes) -> bytes | None:
        self.is_body = False
        is_taken, is_told = self.sink.fate(self.to)
        if is_taken:
            found = _MESSAGE_ID.search(content)
            self.sink.take(self.to, found[1].decode() if found else "")
        if is_told:
            return b"250 2.0.0 queued\r\n"
        self.transport.abort()
        return None


class MailSink(Sink):
    """A relay that offers PIPELINING."""

    kind = _MailTalk


class _Far(asyncio.Protocol):
    """One side of a connection through the delay: what it hears is said on the other side, later."""

    def __init__(self, delay: float, near: asyncio.Transport | None = None) -> None:
        self.delay, self.loop = delay, asyncio.get_running_loop()
        self.other: asyncio.Transport | None = near
        self.early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.loop.call_later(self.delay, self._pass_on, data)

    def _pass_on(self, data: bytes) -> None:
        if self.other is None:
            self.early.append(data)
        elif not self.other.is_closing():
            self.other.write(data)

    def meet(self, other: asyncio.Transport) -> None:
        self.other = other
        for data in self.early:
            other.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self.other is not None:
            self.loop.call_later(self.delay, self.other.close)


class Delay:
    """Passes everything on to ``port``, each way after half of ``round_trip`` seconds."""

    def __init__(self, port: int, round_trip: float) -> None:
        self.port, self.way = port, round_trip / 2
        self._meetings: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Pass on until cancelled."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._near, sock=listener, backlog=1024)
        async with server:
            await server.serve_forever()

    def _near(self) -> _Far:
        near = _Far(self.way)
        meeting = asyncio.get_running_loop().create_task(self._meet(near))
        self._meetings.add(meeting)
        meeting.add_done_callback(self._meetings.discard)
        return near

    async def _meet(self, near: _Far) -> None:
        await asyncio.sleep(self.way)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: _Far(self.way, near.transport), "127.0.0.1", self.port)
        near.meet(transport)


Server = Sink | Delay


def listening() -> socket.socket:
    """A socket on a free port of 127.0.0.1."""
    return socket.create_server(("127.0.0.1", 0), backlog=1024)


class Hosted:
    """A sink in a thread of this process, so that its counts can be looked at."""

    def __init__(self, server: Server) -> None:
        self._server, self._listener = server, listening()
        self.port = int(self._listener.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._server.serve(self._listener))
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(timeout=5)

    def _end(self) -> None:
        self._task.cancel()


@contextmanager
def apart(kind: str, *arguments: object) -> Iterator[int]:
    """A sink in a process of its own; its port."""
    command = [sys.executable, "-m", "tests.bench.sinks", kind, *map(str, arguments)]
    with subprocess.Popen(command, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@contextmanager
def smtp_sink(*options: str) -> Iterator[int]:
    """Postfix's ``smtp-sink``; its port. Exits with what to install where there is none."""
    tool = postfix_tool("smtp-sink")
    with listening() as spare:
        port = int(spare.getsockname()[1])
    account = ["-u", "nobody"] if os.geteuid() == 0 else []  # as root it asks for one
    command = [tool, *account, *options, f"127.0.0.1:{port}", "1024"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: _answers(port), 5)
            yield port
        finally:
            process.terminate()


def postfix_tool(name: str) -> str:
    """Where one of Postfix's test tools is; exits with what to install where it is not."""
    import shutil

    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/usr/libexec/postfix")
    if not found:
        sys.exit(f"{name} is not here. It comes with Postfix: apt-get install postfix (it need not run)")
    return found


def wait_for(done: Callable[[], bool], seconds: float) -> None:
    """Wait until ``done``. Raises TimeoutError."""
    import time

    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            raise TimeoutError(f"not done within {seconds:g} seconds")
        time.sleep(0.005)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def main(arguments: Sequence[str]) -> None:
    """Be one sink, until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("twilio", "mail", "delay"))
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--to", type=int, default=0, help="of delay: the port that is passed on to")
    asked = parser.parse_args(arguments)
    server: Server = (
        Delay(asked.to, asked.delay)
        if asked.kind == "delay"
        else {"twilio": TwilioSink, "mail": MailSink}[asked.kind](asked.delay)
    )
    with Hosted(server) as hosted:
        sys.stdout.write(f"{hosted.port}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])
