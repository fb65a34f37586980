"""The one way out, against servers that do everything a server should not."""

from __future__ import annotations

import gzip
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
import requests
import responses

from outagecast import call as call_module
from outagecast.call import Call, DeadlineExceeded, Phase
from outagecast.errors import ChannelError, Rejected, Unavailable, Uncertain
from outagecast.transport import Session, refusal, retry_after

Talk = Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Takes connections on this machine and lets ``talk`` do with each what it likes."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.connections = 0
        self.heard: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self.talk(connection)

    def hear(self, connection: socket.socket) -> bytes:
        """A whole request, head and body."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65_536)
            if not more:
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += connection.recv(65_536)
        self.heard.append(head + b"\r\n\r\n" + body)
        return self.heard[-1]

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()


Serve = Callable[[Talk], Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[Server] = []

    def start(talk: Talk) -> Server:
        servers.append(Server(talk))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def answering(serve: Serve) -> Callable[[bytes], Server]:
    """A server that gives each request this answer, and closes."""

    def start(answer: bytes) -> Server:
        def talk(connection: socket.socket) -> None:
            if server.hear(connection):
                connection.sendall(answer)
                connection.close()

        server = serve(talk)
        return server

    return start


def failure(url: str, method: str = "POST", *, deadline: float = 5.0) -> ChannelError:
    """What a call that must fail raises."""
    with Session(deadline=deadline) as session, pytest.raises(ChannelError) as caught:
        session.request(method, url, data=b"x" * 10 if method == "POST" else None)
    return caught.value


# -- what a failure means ---


def test_an_answer_comes_back_whole(answering: Callable[[bytes], Server]) -> None:
    server = answering(OK)
    with Session() as session:
        response = session.post(server.url, data=b"hello")
    assert (response.status_code, response.text) == (200, "ok")
    assert server.heard[0].endswith(b"\r\n\r\nhello")
    assert b"\r\nUser-Agent: outagecast/" in server.heard[0]


def test_where_nobody_listens_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = failure(f"http://127.0.0.1:{port}")
    assert isinstance(error, Unavailable)
    assert str(error) == f"127.0.0.1:{port}: Connection refused; nothing was sent"


def test_a_name_that_does_not_exist_means_nothing_was_sent() -> None:
    error = failure("http://nowhere.invalid/", deadline=3.0)
    assert isinstance(error, Unavailable)
    assert str(error).endswith("; nothing was sent")


def test_a_server_that_takes_no_connection_means_nothing_was_sent_within_the_deadline() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        began = time.monotonic()
        error = failure(f"http://127.0.0.1:{full.getsockname()[1]}", deadline=0.3)
        for each in waiting:
            each.close()
    assert isinstance(error, Unavailable)
    assert time.monotonic() - began < 2


def test_tls_that_hangs_means_nothing_was_sent_within_the_deadline(serve: Serve) -> None:
    server = serve(lambda _: time.sleep(5))
    began = time.monotonic()
    error = failure(server.url.replace("http:", "https:"), deadline=0.3)
    assert isinstance(error, Unavailable)
    assert time.monotonic() - began < 2


def test_tls_with_a_server_that_speaks_none_means_nothing_was_sent(serve: Serve) -> None:
    server = serve(lambda connection: connection.sendall(b"220 mail.example.com\r\n" * 9))
    error = failure(server.url.replace("http:", "https:"))
    assert isinstance(error, Unavailable)
    assert "nothing was sent" in str(error)


def hang(server: Server, connection: socket.socket) -> None:
    server.hear(connection)
    time.sleep(5)


def dribble(server: Server, connection: socket.socket) -> None:
    server.hear(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def dribble_the_head(server: Server, connection: socket.socket) -> None:
    server.hear(connection)
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Slow: 1\r\n" * 200:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def end(server: Server, connection: socket.socket) -> None:
    server.hear(connection)
    connection.close()


def reset(server: Server, connection: socket.socket) -> None:
    server.hear(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())


def cut_short(server: Server, connection: socket.socket) -> None:
    server.hear(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    connection.close()


def nonsense(server: Server, connection: socket.socket) -> None:
    server.hear(connection)
    connection.sendall(b"what is it that you want?\r\n\r\n")
    connection.close()


def too_long(server: Server, connection: socket.socket) -> None:
    server.hear(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65_536)


def bomb(server: Server, connection: socket.socket) -> None:
    server.hear(connection)
    body = gzip.compress(b"\0" * 60_000_000, 9)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def broken_packing(server: Server, connection: socket.socket) -> None:
    server.hear(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot a zip")


LOST = [hang, dribble, dribble_the_head, end, reset, cut_short, nonsense, too_long, bomb, broken_packing]


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: fault.__name__)
def test_a_post_whose_answer_is_lost_may_be_out(serve: Serve, fault: Callable[[Server, socket.socket], None]) -> None:
    server = serve(lambda connection: fault(server, connection))
    began = time.monotonic()
    error = failure(server.url, deadline=0.5 if fault in {hang, dribble, dribble_the_head} else 5.0)
    assert isinstance(error, Uncertain)
    assert str(error).endswith("the request had been sent, so it may be out")
    assert time.monotonic() - began < 3
    assert server.connections == 1  # nothing is repeated by itself


@pytest.mark.parametrize("fault", [hang, reset, cut_short, too_long], ids=lambda fault: fault.__name__)
def test_a_question_whose_answer_is_lost_changed_nothing(
    serve: Serve, fault: Callable[[Server, socket.socket], None]
) -> None:
    server = serve(lambda connection: fault(server, connection))
    error = failure(server.url, "GET", deadline=0.5)
    assert isinstance(error, Unavailable)
    assert str(error).endswith("nothing was changed")


def test_a_silent_server_is_named_with_the_seconds_it_was_given(serve: Serve) -> None:
    server = serve(lambda connection: hang(server, connection))
    error = failure(f"{server.url}/path?token=secret", deadline=0.3)
    said = f"no answer from 127.0.0.1:{server.port} within 0.3 seconds; the request had been sent, so it may be out"
    assert str(error) == said
    assert (error.__cause__, error.__suppress_context__) == (None, True)


@pytest.mark.parametrize(
    ("location", "status"), [("http://127.0.0.1:1/elsewhere", 302), ("http://[", 301), ("//", 307), ("/again", 308)]
)
def test_a_redirect_is_an_answer_and_is_not_followed(
    answering: Callable[[bytes], Server], location: str, status: int
) -> None:
    server = answering(f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())
    with Session() as session:
        assert session.post(server.url).status_code == status
    assert server.connections == 1


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "no address", "http://", "http://[::1"])
def test_what_is_no_address_is_refused_with_nothing_sent(url: str) -> None:
    error = failure(url)
    assert isinstance(error, Rejected)
    assert error.account
    assert "nothing was sent" in str(error)


def test_a_header_that_cannot_be_sent_is_refused_without_quoting_it(answering: Callable[[bytes], Server]) -> None:
    server = answering(OK)
    with Session() as session, pytest.raises(Rejected) as caught:
        session.post(server.url, headers={"Authorization": "Bearer canary\nEvil: 1"})
    assert "canary" not in str(caught.value)
    assert server.connections == 0


# -- connections ---


def keep(server: Server, connection: socket.socket) -> None:
    while server.hear(connection):
        connection.sendall(OK)


def test_each_call_has_a_connection_of_its_own(serve: Serve) -> None:
    server = serve(lambda connection: keep(server, connection))
    with Session() as session:
        for _ in range(3):
            assert session.post(server.url).text == "ok"
    assert server.connections == 3
    assert all(b"\r\nConnection: close\r\n" in heard for heard in server.heard)


def test_a_connection_is_kept_where_that_is_asked_for(serve: Serve) -> None:
    server = serve(lambda connection: keep(server, connection))
    with Session(keep_alive=True) as session:
        for _ in range(3):
            assert session.post(server.url).text == "ok"
    assert server.connections == 1


def test_a_kept_connection_that_hangs_is_cut_and_may_have_carried_it(serve: Serve) -> None:
    def once(connection: socket.socket) -> None:
        server.hear(connection)
        connection.sendall(OK)
        hang(server, connection)

    server = serve(once)
    with Session(keep_alive=True, deadline=0.4) as session:
        assert session.post(server.url).text == "ok"
        with pytest.raises(Uncertain):
            session.post(server.url)
    assert server.connections == 1


def test_a_kept_connection_that_was_closed_meanwhile_is_made_anew(serve: Serve) -> None:
    def once(connection: socket.socket) -> None:
        server.hear(connection)
        connection.sendall(OK)
        connection.close()

    server = serve(once)
    with Session(keep_alive=True) as session:
        session.post(server.url)
        time.sleep(0.05)
        assert session.post(server.url).text == "ok"
    assert server.connections == 2


def test_a_proxy_that_is_down_means_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for url in ("http://provider.invalid/", "https://provider.invalid/"):
        with Session(deadline=3) as session, pytest.raises(Unavailable):
            session.post(url, proxies={"http": proxy, "https": proxy})


@pytest.mark.parametrize("answer", [b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b"HTTP/1.1 407 Log in\r\n\r\n", b""])
def test_a_proxy_that_opens_no_tunnel_means_nothing_was_sent(
    answering: Callable[[bytes], Server], answer: bytes
) -> None:
    proxy = answering(answer)
    with Session(deadline=3) as session, pytest.raises(Unavailable) as caught:
        session.post("https://provider.invalid/secret", data=b"canary", proxies={"https": proxy.url})
    assert "nothing was sent" in str(caught.value)
    assert proxy.heard[0].startswith(b"CONNECT provider.invalid:443 ")
    assert b"canary" not in b"".join(proxy.heard)


def test_a_proxy_that_hangs_before_the_tunnel_stands_means_nothing_was_sent(serve: Serve) -> None:
    proxy = serve(lambda connection: hang(proxy, connection))
    with Session(deadline=0.3) as session, pytest.raises(Unavailable):
        session.post("https://provider.invalid/", proxies={"https": proxy.url})


def test_a_request_that_a_plain_proxy_took_and_lost_may_be_out(serve: Serve) -> None:
    proxy = serve(lambda connection: reset(proxy, connection))
    with Session(deadline=3) as session, pytest.raises(Uncertain):
        session.post("http://provider.invalid/", proxies={"http": proxy.url})


def test_the_address_that_an_sdk_has_built_in_is_changed_and_no_other(answering: Callable[[bytes], Server]) -> None:
    server = answering(OK)
    with Session(rebase=("https://api.example.com", f"{server.url}/")) as session:
        assert session.get("https://api.example.com/v1/me").text == "ok"
        assert session.get(f"{server.url}/other").text == "ok"
    assert [heard.split(b" ")[1] for heard in server.heard] == [b"/v1/me", b"/other"]


# -- one call ---


def test_a_call_that_is_late_is_left_to_die_and_can_send_no_first_byte() -> None:
    call = Call(0.05)
    released, gate = threading.Event(), []

    def work() -> None:
        released.wait(2)
        try:
            call.sending()
        except DeadlineExceeded:
            gate.append("shut")
        finally:
            released.clear()

    with pytest.raises(DeadlineExceeded):
        call.run(work)
    released.set()
    while released.is_set():
        time.sleep(0.005)
    assert (gate, call.phase) == (["shut"], Phase.UNKNOWN)


def test_a_call_that_slept_in_a_closed_laptop_sends_no_first_byte() -> None:
    times = iter([0.0, 3600.0])
    call = Call(20, elapsing=lambda: next(times))
    call.connecting()
    with pytest.raises(DeadlineExceeded):
        call.sending()
    assert call.phase is Phase.CONNECTING  # nothing was sent, for certain


def test_a_call_that_has_begun_to_send_goes_on_after_a_sleep() -> None:
    times = iter([0.0, 1.0, 3600.0])
    call = Call(20, elapsing=lambda: next(times))
    call.sending()
    call.sending()
    assert call.phase is Phase.SENDING


def test_the_clock_of_a_call_goes_on_while_the_machine_sleeps() -> None:
    assert getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC) == call_module._ALWAYS


def test_a_call_cuts_its_sockets_when_it_is_late_and_bears_that_one_is_closed() -> None:
    call = Call(0.05)
    one, other = socket.socketpair()
    closed = socket.socket()
    closed.close()
    call.guard(closed)
    call.guard(one)

    def work() -> None:
        one.recv(1)
        time.sleep(1)

    with pytest.raises(DeadlineExceeded):
        call.run(work)
    assert other.recv(1) == b""
    one.close()
    other.close()


def test_a_call_hands_back_the_result_and_the_error_of_its_work() -> None:
    assert Call(1).run(lambda: 42) == 42

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Call(1).run(fail)


def test_once_the_first_byte_has_left_a_call_has_sent() -> None:
    call = Call(1)
    phases = [call.phase]
    for step in (call.connecting, call.sending, call.connecting):
        step()
        phases.append(call.phase)
    assert phases == [Phase.UNKNOWN, Phase.CONNECTING, Phase.SENDING, Phase.SENDING]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (requests.ConnectTimeout(), Unavailable),
        (requests.ConnectionError(requests.ConnectTimeout()), Unavailable),
        (requests.ConnectionError("reset"), Uncertain),
        (requests.ReadTimeout(), Uncertain),
        (requests.exceptions.ChunkedEncodingError(), Uncertain),
    ],
)
def test_where_no_connection_of_ours_took_part_only_its_own_class_tells_that_nothing_left(
    error: Exception, kind: type[ChannelError]
) -> None:
    with responses.RequestsMock() as http:
        http.post("https://api.example.com/", body=error)
        with Session() as session, pytest.raises(kind):
            session.post("https://api.example.com/")


# -- what a provider's refusal means ---

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)


def http_date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(NOW.timestamp() + seconds, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "  "}, None),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": " 120 "}, 120.0),
        ({"Retry-After": "999999999"}, 86_400.0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "١٢"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Sun, 99 Nov 2026 07:30:00 GMT"}, None),
        ({"Retry-After": http_date(60)}, 60.0),
        ({"Retry-After": http_date(-60)}, None),
        ({"Retry-After": http_date(60).replace("GMT", "-0000")}, 60.0),
        ({"Retry-After": http_date(60), "Date": http_date(50)}, 10.0),  # its clock, not ours
        ({"Retry-After": http_date(60), "Date": "yesterday"}, 60.0),
    ],
)
def test_the_wait_a_provider_asks_for_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=NOW.timestamp) == seconds


@pytest.mark.parametrize(
    ("status", "kind", "account"),
    [
        (400, Rejected, False),
        (401, Rejected, True),
        (402, Rejected, True),
        (403, Rejected, True),
        (404, Rejected, False),
        (422, Rejected, False),
        (429, Unavailable, False),
        (200, Uncertain, False),
        (302, Uncertain, False),
        (500, Uncertain, False),
        (503, Uncertain, False),
    ],
)
def test_a_status_alone_says_this_much(status: int, kind: type[ChannelError], account: bool) -> None:
    error = refusal("X", status, {"Retry-After": "7"}, "said\nso", hint="look")
    assert type(error) is kind
    assert (getattr(error, "account", False), error.code, error.hint) == (account, f"HTTP {status}", "look")
    assert f"X answered HTTP {status}: said so" in str(error)
    assert getattr(error, "retry_after", 7.0) == 7.0


def test_a_refusal_without_words_says_so_and_keeps_the_providers_own_code() -> None:
    error = refusal("Twilio", 400, {}, "", code="21211")
    assert (error.code, str(error)) == ("21211", "Twilio answered 21211: no reason given")
