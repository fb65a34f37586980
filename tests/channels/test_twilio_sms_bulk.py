"""Many texts over few connections: each is judged as one alone would be, whatever lies between us and Twilio."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from outagecast.channel import Bulk, Line, Outcome, ReadsMany, Sighting
from outagecast.channels.twilio_sms import LARGE_PAGE, Settings, TwilioSms
from outagecast.errors import ChannelError, ConfigError, Rejected, Unavailable, Uncertain
from outagecast.model import Delivery, Published, Receipt, Status
from outagecast.rehearsal import Fault, Reply, TwilioStandIn
from outagecast.secret import Secret

DATA = Path(__file__).parent / "data"
ACCOUNT = "AC" + "1" * 32
SERVICE = "MG" + "a" * 32
STOPPED = "+61491570009"
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("SMS_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("SMS_TOKEN", "token-" + "2" * 32)


@pytest.fixture
def twilio() -> Iterator[TwilioStandIn]:
    with TwilioStandIn(ACCOUNT, auth_token="token-" + "2" * 32, unsubscribed=frozenset({STOPPED})) as twilio:
        yield twilio


Open = Callable[..., TwilioSms]


@pytest.fixture
def sms(twilio: TwilioStandIn) -> Iterator[Open]:
    channels: list[TwilioSms] = []

    def make(url: str = "", **changes: Any) -> TwilioSms:
        given: dict[str, Any] = {
            "account_sid": Secret("env:SMS_ACCOUNT"),
            "auth_token": Secret("env:SMS_TOKEN"),
            "messaging_service_sid": SERVICE,
            "api_url": url or twilio.url,
        }
        channels.append(TwilioSms(Settings(**given | changes), now=lambda: NOW))
        return channels[-1]

    yield make
    for channel in channels:
        channel.close()


def delivery(
    to: str = "+61491570001", text: str = "Cards fail. We're sorry & on it: 100 %", hours: float = 1
) -> Delivery:
    return Delivery(
        key=f"cards/1/{to}",
        incident="cards",
        update=1,
        status=Status.INVESTIGATING,
        target=to,
        language="en",
        parts={"text": text},
        opened_at=NOW,
        expires_at=NOW + timedelta(hours=hours),
    )


def say(line: Line, one: Delivery) -> Receipt | ChannelError:
    """One delivery over a line, as whoever drives it would."""
    line.socket.settimeout(5)
    line.conversation.take(one)
    going = line.conversation.outgoing()
    assert going.begins == (one,)
    outcomes: Sequence[Outcome] = ()
    try:
        line.socket.sendall(going.data)
        while not outcomes:
            outcomes = list(line.conversation.incoming(line.socket.recv(31)))
    except OSError:
        outcomes = list(line.conversation.broken("the connection was reset"))
    ((whose, outcome),) = outcomes
    assert whose is one
    return outcome


def once(channel: TwilioSms, one: Delivery) -> Receipt | ChannelError:
    """The same, as one alone is sent."""
    try:
        return channel.send(one)
    except ChannelError as error:
        return error


def test_it_serves_many_over_as_many_connections_as_its_settings_say(sms: Open) -> None:
    assert isinstance(sms(), Bulk)
    assert (sms().connections, sms(connections=5).connections) == (64, 5)
    for number in (0, 501):
        with pytest.raises(ValueError, match="connections must be 1 to 500"):
            sms(connections=number)


def test_many_texts_go_over_one_connection_and_twilio_is_told_the_same_as_of_one_alone(
    sms: Open, twilio: TwilioStandIn
) -> None:
    channel = sms()
    with (line := channel.connect()).socket:
        receipts = [say(line, delivery(f"+6149157000{number}")) for number in range(9)]
        assert not line.conversation.is_over
    channel.send(delivery("+61491570000"))

    assert receipts == [Receipt(message.id) for message in twilio.messages[:9]]
    assert [message.to[-1] for message in twilio.messages] == [*"0123456780"]
    forms = [request.form for request in twilio.requests]
    assert forms[0] == forms[-1]
    assert forms[0]["Body"] == "Cards fail. We're sorry & on it: 100 %"
    assert (forms[0]["ValidityPeriod"], forms[0]["MessagingServiceSid"]) == ("3600", SERVICE)
    assert {request.headers["connection"] for request in twilio.requests[:9]} == {"keep-alive"}


def test_each_text_lives_as_long_as_its_own_delivery_and_one_that_expired_is_not_sent(
    sms: Open, twilio: TwilioStandIn
) -> None:
    with (line := sms(validity=7200).connect()).socket:
        for hours in (0.5, 1.5, 9):
            say(line, delivery(hours=hours))
        with pytest.raises(Rejected, match="expired"):
            line.conversation.take(delivery(hours=0))
        assert line.conversation.room == 1
        say(line, delivery())

    assert [request.form["ValidityPeriod"] for request in twilio.requests] == ["1800", "5400", "7200", "3600"]


ANSWERS: dict[str, Any] = {
    "too many at once": Reply(429, {"code": 20429, "message": "Too Many Requests"}, {"Retry-After": "3"}),
    "a full queue": Reply(400, {"code": 21611, "message": "queue"}),
    "a wrong number": Reply(400, {"code": 21211, "message": "The 'To' number +61491570001 is not valid"}),
    "no mobile": Reply(400, {"code": 21614, "message": "no"}),
    "a country that is not allowed": Reply(400, {"code": 21408, "message": "no"}),
    "a wrong sender": Reply(400, {"code": 21703, "message": "no"}),
    "a login that is refused": "unauthorized",
    "a failure": "error_500",
    "a failure after it was taken": "error_500_applied",
    "a lost connection": "reset_before",
    "a lost answer": "reset_after",
    "a portal's page": "garbage_200",
    "a success that failed": Reply(201, {"sid": "SM1", "status": "failed", "error_code": 30002}),
    "a success without a name": Reply(201, {"status": "queued"}),
    "an idle connection's end": Reply(408, "", {"Connection": "close"}),
    "a redirect": Reply(302, "", {"Location": "https://elsewhere.example"}),
    "an answer without a length": Reply(201, iter([b'{"sid": "SM', b'77"}'])),
    "the last of a connection": Reply(201, {"sid": "SM77"}, {"Connection": "close"}),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_means_the_same_as_to_one_alone(sms: Open, twilio: TwilioStandIn, answer: str) -> None:
    channel, given = sms(), ANSWERS[answer]
    if isinstance(given, Reply) and answer == "an answer without a length":
        chunks = list(given.body)  # type: ignore[arg-type]
        twilio.behave(Reply(201, iter(chunks)))
        twilio.behave(Reply(201, iter(chunks)))
    else:
        twilio.behave(given, times=2)

    alone = once(channel, delivery())
    with (line := channel.connect()).socket:
        among = say(line, delivery())

    assert type(among) is type(alone)
    if isinstance(alone, Receipt):
        assert among == alone
    else:
        for name in ("code", "hint", "retry_after", "recipient", "account", "suppress"):
            assert getattr(among, name, None) == getattr(alone, name, None)
        assert delivery().target.removeprefix("+") not in str(among)
    if not isinstance(alone, Uncertain):
        assert str(among) == str(alone)


@pytest.mark.parametrize(
    ("code", "suppress"),
    [(21610, "stop"), (21211, "bounce"), (21614, "bounce"), (21408, ""), (21612, ""), (21703, ""), (20003, "")],
)
def test_nothing_is_sent_again_to_who_said_stop_or_has_no_phone(
    sms: Open, twilio: TwilioStandIn, code: int, suppress: str
) -> None:
    twilio.behave(Reply(400, {"code": code, "message": "no"}))
    with (line := sms().connect()).socket:
        refused = say(line, delivery())
        assert isinstance(refused, Rejected)
        assert refused.suppress == suppress
        assert isinstance(say(line, delivery()), Receipt)
        stopped = say(line, delivery(STOPPED))
    assert isinstance(stopped, Rejected)
    assert (stopped.suppress, stopped.recipient) == ("stop", True)


def test_a_request_that_crossed_the_end_of_an_idle_connection_was_not_read(sms: Open, twilio: TwilioStandIn) -> None:
    twilio.behave(ANSWERS["an idle connection's end"])
    with (line := sms().connect()).socket:
        outcome = say(line, delivery())
        assert isinstance(outcome, Unavailable)
        assert (outcome.code, line.conversation.is_over) == ("HTTP 408", True)


def test_lines_may_be_opened_from_several_threads_at_once(sms: Open, twilio: TwilioStandIn) -> None:
    channel = sms()
    with ThreadPoolExecutor(8) as threads:
        lines = list(threads.map(lambda _: channel.connect(), range(8)))
    for number, line in enumerate(lines):
        with line.socket:
            assert isinstance(say(line, delivery(f"+6149157000{number}")), Receipt)
    assert len(twilio.messages) == 8


def test_a_line_is_a_blocking_socket_and_reading_it_is_never_cut_short_by_connecting(sms: Open) -> None:
    with sms().connect().socket as sock:
        assert sock.gettimeout() is None


def test_a_secret_that_is_missing_is_told_before_anything_is_opened(
    sms: Open, twilio: TwilioStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SMS_TOKEN")
    with pytest.raises(ConfigError, match="SMS_TOKEN is not set"):
        sms().connect()
    assert twilio.requests == ()


# -- what lies between -----------------------------------------------------------------------------------------------


class Between:
    """Takes connections and hands what it hears on to the stand-in: behind TLS, or by a tunnel it is asked for."""

    def __init__(self, port: int, *, certificate: str = "", tunnel: bool = False) -> None:
        self._to, self._tunnel = port, tunnel
        self._context: ssl.SSLContext | None = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(DATA / certificate)
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, near: socket.socket) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._to)) as far:
            self._open.append(far)
            if self._tunnel:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += near.recv(1)
                self.asked.append(head.decode())
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            if self._context:
                near = self._context.wrap_socket(near, server_side=True)
                self._open.append(near)
            threading.Thread(target=self._pump, args=(far, near), daemon=True).start()
            self._pump(near, far)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if not self._tunnel and not self._context:
                    self.asked.append(data.decode())
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()


@pytest.fixture
def between() -> Iterator[Callable[..., Between]]:
    opened: list[Between] = []

    def start(port: int, **how: Any) -> Between:
        opened.append(Between(port, **how))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def test_a_line_is_encrypted_and_a_private_authority_is_trusted_where_it_is_named(
    sms: Open, twilio: TwilioStandIn, between: Callable[..., Between], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"https://127.0.0.1:{between(twilio.port, certificate='loopback.pem').port}"
    with pytest.raises(Unavailable, match=r"(?i)certificate.*verif.*nothing was sent"):
        sms(url).connect()

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(DATA / "loopback-authority.pem"))
    channel = sms(url)
    for _ in range(2):
        with (line := channel.connect()).socket as sock:
            assert isinstance(sock, ssl.SSLSocket)
            assert isinstance(say(line, delivery()), Receipt)
            assert isinstance(say(line, delivery()), Receipt)
    assert len(twilio.messages) == 4


def test_a_certificate_for_another_name_is_not_trusted(
    sms: Open, twilio: TwilioStandIn, between: Callable[..., Between], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(DATA / "loopback-authority.pem"))
    proxy = between(between(twilio.port, certificate="loopback.pem").port, tunnel=True)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")

    with pytest.raises(Unavailable, match="nothing was sent"):
        sms("https://api.twilio.invalid").connect()
    assert twilio.requests == ()


def test_a_bundle_that_is_not_there_is_told_and_nothing_is_sent(
    sms: Open, twilio: TwilioStandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "no.pem"))
    with pytest.raises(Unavailable, match="nothing was sent"):
        sms(f"https://localhost:{twilio.port}").connect()


def test_a_line_goes_through_the_proxy_that_is_named_and_the_proxy_hears_no_text(
    sms: Open, twilio: TwilioStandIn, between: Callable[..., Between], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(DATA / "loopback-authority.pem"))
    secure = between(twilio.port, certificate="loopback.pem")
    proxy = between(secure.port, tunnel=True)
    monkeypatch.setenv("HTTPS_PROXY", f"http://ana:word@127.0.0.1:{proxy.port}")

    with (line := sms(f"https://127.0.0.1:{secure.port}").connect()).socket:
        assert isinstance(say(line, delivery()), Receipt)

    (asked,) = proxy.asked
    assert asked.startswith(f"CONNECT 127.0.0.1:{secure.port} HTTP/1.")
    assert "Proxy-Authorization: Basic YW5hOndvcmQ=" in asked
    assert "authorization" not in asked.lower().replace("proxy-authorization", "")
    assert "proxy-authorization" not in twilio.requests[0].headers

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with (line := sms(f"https://127.0.0.1:{secure.port}").connect()).socket:
        assert isinstance(say(line, delivery()), Receipt)
    assert len(proxy.asked) == 1


def test_a_proxy_of_what_is_not_encrypted_is_given_whole_addresses(
    sms: Open, twilio: TwilioStandIn, between: Callable[..., Between], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = between(twilio.port)
    monkeypatch.setenv("HTTP_PROXY", f"http://ana:word@127.0.0.1:{proxy.port}")

    with (line := sms("http://twilio.invalid").connect()).socket:
        assert isinstance(say(line, delivery()), (Receipt, Rejected))

    assert proxy.asked[0].startswith(f"POST http://twilio.invalid/2010-04-01/Accounts/{ACCOUNT}/Messages.json HTTP/1.1")
    assert "\r\nHost: twilio.invalid\r\n" in proxy.asked[0]
    assert "\r\nProxy-Authorization: Basic YW5hOndvcmQ=\r\n" in proxy.asked[0]


def test_a_proxy_that_is_itself_reached_by_tls_is_named_as_what_bulk_cannot_use(
    sms: Open, twilio: TwilioStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"https://localhost:{twilio.port}")

    with pytest.raises(Rejected, match="itself reached by https") as caught:
        sms("https://localhost").connect()
    assert caught.value.account
    assert twilio.requests == ()


# -- what became of them ---------------------------------------------------------------------------------------------


def send_all(channel: TwilioSms, count: int) -> list[str]:
    with (line := channel.connect()).socket:
        outcomes = [say(line, delivery(f"+6149157{number:04}")) for number in range(count)]
    return [outcome.provider_id for outcome in outcomes if isinstance(outcome, Receipt)]


def read(channel: TwilioSms) -> list[Sighting]:
    now = datetime.now(UTC)
    return list(channel.read_many(now - timedelta(hours=1), now))


def test_a_list_tells_what_became_of_many_by_few_questions(sms: Open, twilio: TwilioStandIn) -> None:
    channel = sms()
    assert isinstance(channel, ReadsMany)
    ids = send_all(channel, 600)
    assert read(channel) == []  # all of them wait in Twilio's queue

    asked = len(twilio.requests)
    twilio.deliver(lost={"+61491570001": 30005, "+61491570002": 30003, "+61491570003": 21610})
    send_all(channel, 1)
    seen = read(channel)

    assert [sighting.provider_id for sighting in seen] == ids[::-1]
    assert len(twilio.requests) - asked == 1 + 3
    text = {"text": "Cards fail. We're sorry & on it: 100 %"}
    assert seen[-1] == ("+61491570000", ids[0], Published(text))
    told = [sighting.seen for sighting in seen[-4:-1]]
    assert [(one.code, one.suppress) for one in told if isinstance(one, Published)] == [
        ("21610", "stop"),
        ("30003", ""),
        ("30005", "bounce"),
    ]
    assert seen[-2].seen == Published(
        {}, lost="not delivered: there is no such phone any more (error 30005)", code="30005", suppress="bounce"
    )


def test_a_page_of_the_longest_texts_is_read_whole(sms: Open, twilio: TwilioStandIn) -> None:
    channel, longest = sms(), "\u4ed8" * 402  # six segments, and in JSON six bytes a letter
    with (line := channel.connect()).socket:
        for number in range(LARGE_PAGE + 1):
            say(line, delivery(f"+6149157{number:04}", longest))
    twilio.deliver()

    assert {str(sighting.seen) for sighting in read(channel)} == {str(Published({"text": longest}))}


def test_a_list_of_an_account_that_keeps_no_texts_says_so_of_each(sms: Open, twilio: TwilioStandIn) -> None:
    channel = sms()
    send_all(channel, 2)
    twilio.deliver()
    shown = [message.as_json(ACCOUNT) | {"body": ""} for message in twilio.messages]
    twilio.behave(Reply(200, {"messages": shown, "next_page_uri": None}), method="GET")

    seen = [sighting.seen for sighting in read(channel)]

    assert [type(one) for one in seen] == [Rejected, Rejected]
    assert "redaction" in str(seen[0])


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("rate_limited", Unavailable),
        ("error_500", Unavailable),
        ("garbage_200", Unavailable),
        ("unauthorized", Rejected),
    ],
)
def test_a_list_that_breaks_off_says_that_it_did(
    sms: Open, twilio: TwilioStandIn, fault: Fault, kind: type[ChannelError]
) -> None:
    channel = sms()
    send_all(channel, LARGE_PAGE + 2)  # of whom one has said STOP
    twilio.deliver()
    seen = channel.read_many(datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC))
    first = list(islice(seen, LARGE_PAGE))
    twilio.behave(fault, method="GET")

    with pytest.raises(kind):
        next(seen)
    assert len(first) == LARGE_PAGE
