"""SMTP, spoken for real: aiosmtpd where all goes well, a scripted server on a raw socket where it does not.

``data/loopback.pem`` is a key pair for 127.0.0.1 that serves no other purpose, ``data/loopback-authority.pem`` the
authority that signed it.
"""

from __future__ import annotations

import asyncio
import base64
import email
import email.header
import email.policy
import itertools
import logging
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from outagecast.channel import Bulk, Channel, Finds, Line, ReadsBack
from outagecast.channels.smtp import Settings, Smtp
from outagecast.errors import ChannelError, ConfigError, Rejected, Unavailable, Uncertain
from outagecast.model import Delivery, Receipt, Status
from outagecast.rehearsal import SmtpStandIn
from outagecast.secret import Secret
from outagecast.smtp_conversation import Dropped

DATA = Path(__file__).parent / "data"
AUTHORITY = DATA / "loopback-authority.pem"
DROP, HANG, DRIBBLE = "(drops the connection)", "(says nothing)", "(says one byte now and then)"
CUT_OFF = "(hangs up in the middle of) "
ENCRYPTS = "250-relay.example\n250 STARTTLS"
GOOD = {
    "CALL": "220 relay.example ESMTP",
    "EHLO": "250-relay.example\n250-AUTH PLAIN\n250 8BITMIME",
    "AUTH": "235 2.7.0 welcome",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 go ahead",
    "END": "250 2.0.0 Ok: queued as 4F1C2",
    "RSET": "250 2.0.0 Ok",
    "NOOP": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
    "STARTTLS": "220 2.0.0 Ready",
}
ANA = Delivery(
    key="card-payments:1:email:ana@example.org",
    incident="card-payments-2026-11-22",
    update=1,
    status=Status.INVESTIGATING,
    target="ana@example.org",
    language="en",
    parts={
        "subject": "Card payments are failing, since 6:30pm",
        "text": "Our cards are being declined.\n\nWe are sorry.\n",
        "html": "<html><body><h1>Card payments are failing</h1><p>We are sorry.</p></body></html>\n",
    },
    opened_at=datetime(2026, 11, 22, 7, 30, tzinfo=UTC),
)
BEN = ANA._replace(key="card-payments:1:email:ben@example.net", target="ben@example.net")


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(DATA / "loopback.pem")
    return context


class Relay:
    """An SMTP server that does at each stage as it is told, once per item of the list, then as a good one would."""

    def __init__(self, *, tls: bool = False, **script: list[str]) -> None:
        self.script = {stage: list(answers) for stage, answers in script.items()}
        self.context = server_context() if tls or "STARTTLS" in script else None
        self.implicit = tls
        self.sessions: list[list[str]] = []  # what was said in each
        self.mails: list[bytes] = []  # whole, with their dots still stuffed
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def said(self) -> list[str]:
        return [line for session in self.sessions for line in session]

    def hang_up(self) -> None:
        """Close all connections, as a server does with idle ones."""
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            session: list[str] = []
            self.sessions.append(session)
            thread = threading.Thread(target=self._serve, args=(sock, session))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, session: list[str]) -> None:
        try:
            if self.implicit and self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            self._open.append(sock)
            self._talk(sock, session)
        except (OSError, ValueError, LookupError):
            pass  # the client hung up, or spoke something else
        finally:
            sock.close()

    def _talk(self, sock: socket.socket, session: list[str]) -> None:
        lines = sock.makefile("rb")
        answer = self._answer(sock, "CALL")
        while answer and (line := lines.readline()):
            session.append(line.decode().rstrip("\r\n"))
            verb = session[-1].split()[0].upper()
            answer = self._answer(sock, verb)
            if verb == "STARTTLS" and self.context:
                lines.close()
                sock = self.context.wrap_socket(sock, server_side=True)
                self._open.append(sock)
                lines = sock.makefile("rb")
            if verb == "DATA" and answer.startswith("354"):
                answer = self._body(sock, lines)
        lines.close()
        sock.close()

    def _body(self, sock: socket.socket, lines: Any) -> str:
        if self.script.get("BODY"):
            lines.readline()
            return self._answer(sock, "BODY")
        mail = bytearray()
        while (line := lines.readline()) not in {b".\r\n", b""}:
            mail += line
        self.mails.append(bytes(mail))
        return self._answer(sock, "END")

    def _answer(self, sock: socket.socket, stage: str) -> str:
        """What was answered; nothing if that was the last of it."""
        answers = self.script.get(stage)
        answer = answers.pop(0) if answers else GOOD[stage]
        if answer == DROP:
            return ""
        if answer == HANG:
            while sock.recv(1 << 16):
                continue
            return ""
        if answer.startswith(CUT_OFF):
            sock.sendall(answer.removeprefix(CUT_OFF).encode())
            return ""
        if answer == DRIBBLE:
            for byte in itertools.cycle(b"250-still here\r\n"):
                sock.sendall(bytes([byte]))
                time.sleep(0.02)
        sock.sendall("".join(f"{line}\r\n" for line in answer.split("\n")).encode())
        return "" if stage == "QUIT" or answer.startswith("421") else answer


@pytest.fixture
def start() -> Iterator[Callable[..., Relay]]:
    relays: list[Relay] = []

    def starting(**script: Any) -> Relay:
        relays.append(Relay(**script))
        return relays[-1]

    yield starting
    for relay in relays:
        relay.stop()


@pytest.fixture
def connect() -> Iterator[Callable[..., Smtp]]:
    channels: list[Smtp] = []

    def connecting(port: int, *, seconds: float = 5.0, **options: Any) -> Smtp:
        options = {"host": "127.0.0.1", "from_": "Example Bank <status@example.com>", "tls": "none", **options}
        channels.append(Smtp(Settings(port=port, **options), login=seconds, transaction=seconds))
        return channels[-1]

    yield connecting
    for channel in channels:
        channel.close()


@pytest.fixture
def relay(start: Any) -> Relay:
    one: Relay = start()
    return one


@pytest.fixture
def channel(relay: Relay, connect: Any) -> Smtp:
    one: Smtp = connect(relay.port)
    return one


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    value = f"canary-{abs(hash(request.node.nodeid)):x}"
    monkeypatch.setenv("SMTP_PASSWORD", value)
    return value


def parsed(mail: bytes) -> EmailMessage:
    """The mail as its reader's program sees it."""
    message = email.message_from_bytes(re.sub(rb"(?m)^\.\.", b".", mail), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def header(mail: bytes, name: str) -> str:
    """A header field as its reader sees it, by the library's older and better decoder."""
    found = re.search(rf"(?m)^{name}: ((?:.*\r\n)(?:[ \t].*\r\n)*)".encode(), mail)
    assert found
    unfolded = re.sub(r"\r\n(?=[ \t])", "", found[1].decode()).removesuffix("\r\n")
    return str(email.header.make_header(email.header.decode_header(unfolded)))


def body(mail: bytes, subtype: str) -> str:
    part = parsed(mail).get_body((subtype,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def assert_no_call_goes_on() -> None:
    """A call that was cut off has let go of its thread, and so of its connection, though the server goes on."""
    patience = time.monotonic() + 3
    while any(thread.name == "call" for thread in threading.enumerate()):
        assert time.monotonic() < patience
        time.sleep(0.01)


# --- what the relay takes ------------------------------------------------------


def test_the_receipt_is_the_message_id_and_the_relays_own_word(start: Any, connect: Any) -> None:
    relay = start()

    receipt = connect(relay.port).send(ANA)

    assert receipt == Receipt(parsed(relay.mails[0])["Message-ID"], detail="2.0.0 Ok: queued as 4F1C2")
    assert re.fullmatch(r"<oc\.card-payments-2026-11-22\.1\.[0-9a-f]{32}@example\.com>", receipt.provider_id)


def test_one_mail_goes_to_one_recipient_with_all_headers_and_both_forms(start: Any, connect: Any) -> None:
    relay = start()
    channel = connect(relay.port, reply_to="help@example.com", unsubscribe_url="https://example.com/u?a={address}")

    receipt = channel.send(ANA)

    key = receipt.provider_id[1:].partition("@")[0]
    assert relay.said[:4] == [
        "ehlo example.com",
        "MAIL FROM:<status@example.com>",
        "RCPT TO:<ana@example.org>",
        "DATA",
    ]
    assert dict(parsed(relay.mails[0]).items()) == {
        "Message-ID": receipt.provider_id,
        "Date": "Sun, 22 Nov 2026 07:30:00 +0000",
        "To": "ana@example.org",
        "Auto-Submitted": "auto-generated",
        "Precedence": "bulk",
        "Resend-Idempotency-Key": key,
        "X-EE-Idempotency-Key": key,
        "Content-Language": "en",
        "List-Unsubscribe": "<https://example.com/u?a=ana%40example.org>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Subject": "Card payments are failing, since 6:30pm",
        "From": "Example Bank <status@example.com>",
        "Reply-To": "help@example.com",
        "MIME-Version": "1.0",
        "Content-Type": parsed(relay.mails[0])["Content-Type"],
    }
    assert [part.get_content_type() for part in parsed(relay.mails[0]).iter_parts()] == ["text/plain", "text/html"]
    assert body(relay.mails[0], "plain") == ANA.parts["text"]
    assert body(relay.mails[0], "html") == ANA.parts["html"]


def test_a_retry_sends_the_same_bytes_and_another_recipient_another_message_id(start: Any, connect: Any) -> None:
    relay = start()

    for one in (ANA, ANA, BEN):
        connect(relay.port).send(one)

    assert relay.mails[0] == relay.mails[1]
    assert (
        parsed(relay.mails[0]).get_boundary() == "oc-082c301451f6beb351dcb1d47aa6d795"
    )  # random, another process would choose another
    assert parsed(relay.mails[0])["Message-ID"] != parsed(relay.mails[2])["Message-ID"]


def test_an_update_answers_the_earlier_mail_if_the_receipt_names_one(start: Any, connect: Any) -> None:
    relay = start()
    channel = connect(relay.port)
    first = channel.send(ANA)

    channel.send(ANA._replace(update=2, thread=first))
    channel.send(ANA._replace(update=3, thread=Receipt("https://example.com/seen\r\nBcc: x@example.com")))

    assert [parsed(mail)["In-Reply-To"] for mail in relay.mails] == [None, first.provider_id, None]
    assert [parsed(mail)["References"] for mail in relay.mails] == [None, first.provider_id, None]


def test_a_long_unsubscribe_address_stays_in_one_piece(start: Any, connect: Any) -> None:
    relay = start()
    url = "https://example.com/unsubscribe?token=" + "a1B2-_" * 50

    connect(relay.port, unsubscribe_url=url).send(ANA._replace(target="a" * 64 + "@" + "long-name." * 10 + "example"))

    assert f"\r\nList-Unsubscribe: <{url}>\r\n".encode() in relay.mails[0]


@pytest.mark.parametrize(
    "text",
    [
        "one\n.\ntwo\n",
        ".\n..\n...\n",
        "\n.\n",
        "From here\n.hidden\n",
        "word " * 400 + "\n",
        "x" * 3000 + "\n",
        "Plățile cu cardul nu funcționează \u2028 „acum” 💳\n",
    ],
)
def test_any_text_arrives_as_one_intact_mail_of_plain_lines(start: Any, connect: Any, text: str) -> None:
    relay = start()
    channel = connect(relay.port)

    channel.send(ANA._replace(parts={**ANA.parts, "text": text, "html": f"<p>{text}</p>"}))
    channel.send(BEN)

    assert len(relay.mails) == 2
    assert body(relay.mails[0], "plain") == text
    assert max(map(len, relay.mails[0].split(b"\r\n"))) <= 998
    assert re.search(rb"[^\r]\n|\r[^\n]|[\0\x80-\xff]", relay.mails[0]) is None


def test_line_ends_of_other_systems_become_plain_ones(start: Any, connect: Any) -> None:
    relay = start()

    connect(relay.port).send(ANA._replace(parts={**ANA.parts, "text": "one\r.\rtwo\r\n.\r\nthree"}))

    assert body(relay.mails[0], "plain") == "one\n.\ntwo\n.\nthree\n"


def test_a_domain_in_any_script_is_sent_in_ascii(start: Any, connect: Any) -> None:
    relay = start()

    connect(relay.port).send(ANA._replace(target="Ana@BÜCHER.example"))

    assert "RCPT TO:<Ana@xn--bcher-kva.example>" in relay.said


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(subject=st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=150))
@example(subject="é" + "a" * 149)
@example(subject="=?utf-8?q?x?=")
def test_any_subject_reads_as_written_in_words_that_every_reader_decodes(
    relay: Relay, channel: Smtp, subject: str
) -> None:
    channel.send(ANA._replace(parts={**ANA.parts, "subject": subject}))

    assert header(relay.mails[-1], "Subject") == subject
    assert all(len(word) <= 75 for word in re.findall(rb"=\?utf-8\?.*?\?=", relay.mails[-1]))


def test_a_name_in_any_script_is_shown_as_written(start: Any, connect: Any) -> None:
    relay = start()
    name = "Банк Пример Онлайн, Лимитед (Статус)"

    connect(relay.port, from_=f'"{name}" <status@bücher.example>').send(ANA)

    assert header(relay.mails[0], "From") == f"{name} <status@xn--bcher-kva.example>"
    assert "MAIL FROM:<status@xn--bcher-kva.example>" in relay.said


# --- what never leaves -----------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "",
        "ana",
        "@example.org",
        "ana@",
        "ana@localhost",
        "ana@127.0.0.1",
        "ana@[127.0.0.1]",
        "ana@example.org, ben@example.net",
        "Ana <ana@example.org>",
        "<ana@example.org>",
        "ana@example.org>\r\nRCPT TO:<ben@example.net",
        "ana@example.org\n",
        "ana\0@example.org",
        "ana b@example.org",
        '"ana b"@example.org',
        ".ana@example.org",
        "ana@ben@example.org",
        "ană@example.org",
        "ana@straße.example",
        "ana@exam\u3002ple.org",
        "ana@-example.org",
        "a" * 65 + "@example.org",
        "ana@" + "long." * 60 + "org",
    ],
)
def test_what_is_not_exactly_one_plain_address_is_the_recipients_own_trouble(
    start: Any, connect: Any, target: str
) -> None:
    relay = start()

    with pytest.raises(Rejected) as caught:
        connect(relay.port).send(ANA._replace(target=target))

    assert (caught.value.recipient, caught.value.account) == (True, False)
    assert relay.sessions == []
    assert not target or target not in str(caught.value)


HEADERS = {
    *("Message-ID", "Date", "To", "Auto-Submitted", "Precedence", "Resend-Idempotency-Key", "X-EE-Idempotency-Key"),
    *("Content-Language", "Subject", "From", "MIME-Version", "Content-Type"),
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
@given(
    subject=st.text(st.sampled_from("aé \r\n\0\t\v\f\x85\u2028\ud800:<>@=?_\x1b"), max_size=30),
    target=st.text(st.sampled_from('ab.@<>,;:\r\n\0 "\\é\u2028RCPTO%\x85'), max_size=30) | st.just("ana@example.org"),
)
def test_nobody_can_add_a_header_or_a_recipient(relay: Relay, channel: Smtp, subject: str, target: str) -> None:
    before = (len(relay.said), len(relay.mails))
    attempt = ANA._replace(target=target, parts={**ANA.parts, "subject": f"Cards{subject}Bcc: x@example.com"})

    try:
        channel.send(attempt)
    except Rejected:
        assert (len(relay.said), len(relay.mails)) == before
    else:
        new = relay.said[before[0] :]
        assert [line for line in new if line.startswith("RCPT")] == [f"RCPT TO:<{target}>"]
        assert set(parsed(relay.mails[-1]).keys()) == HEADERS


@pytest.mark.parametrize("part", ["subject", "text", "html"])
@pytest.mark.parametrize("character", ["\0", "\x1b", "\x0b", "\x85", "\ud800"])
def test_control_characters_are_refused_before_anything_is_sent(
    relay: Relay, channel: Smtp, part: str, character: str
) -> None:
    with pytest.raises(Rejected, match="control characters"):
        channel.send(ANA._replace(parts={**ANA.parts, part: f"Cards{character}"}))

    assert relay.sessions == []


# --- what each answer means, and each silence --------------------------------------

OURS, THEIRS, NEITHER = (True, False), (False, True), (False, False)
REFUSALS = [
    ("CALL", "554 5.7.1 your address is on a list", Rejected, OURS),
    ("CALL", "421 4.3.2 too busy", Unavailable, None),
    ("EHLO", "504 5.5.2 need a full name", Rejected, OURS),
    ("EHLO", "451 later", Unavailable, None),
    ("MAIL", "550 5.1.8 not your address", Rejected, OURS),
    ("MAIL", "530 5.7.0 must issue STARTTLS first", Rejected, OURS),
    ("MAIL", "451 4.3.0 later", Unavailable, None),
    ("MAIL", "421 4.7.0 too many mails", Unavailable, None),
    ("MAIL", "what?", Unavailable, None),
    ("RCPT", "550 5.1.1 no such user", Rejected, THEIRS),
    ("RCPT", "550 no such user", Rejected, THEIRS),
    ("RCPT", "552 5.2.2 mailbox full", Rejected, THEIRS),
    ("RCPT", "554 5.7.1 relay access denied", Rejected, OURS),
    ("RCPT", "550 5.1.8 sender's domain not found", Rejected, OURS),
    ("RCPT", "530 login first", Rejected, OURS),
    ("RCPT", "450 4.7.1 greylisted", Unavailable, None),
    ("RCPT", "452 4.2.2 mailbox full", Unavailable, None),
    ("RCPT", "421 bye", Unavailable, None),
    ("DATA", "554 5.5.1 no valid recipients", Rejected, NEITHER),
    ("DATA", "451 later", Unavailable, None),
    ("DATA", "421 bye", Unavailable, None),
    ("DATA", "250 what?", Unavailable, None),
    ("END", "554 5.6.0 we do not like it", Rejected, NEITHER),
    ("END", "550 5.7.26 not authenticated", Rejected, OURS),
    ("END", "550 5.1.1 no such user after all", Rejected, THEIRS),
    ("END", "454 Throttling failure: Maximum sending rate exceeded", Unavailable, None),
    ("END", "421 4.3.0 shutting down", Unavailable, None),
    ("END", "354 what?", Uncertain, None),
    ("END", "what?", Uncertain, None),
    ("END", "550-" + "x" * 9000, Uncertain, None),
]


@pytest.mark.parametrize(("stage", "answer", "expected", "whose"), REFUSALS)
def test_each_no_has_its_meaning_and_the_next_recipient_does_not_suffer_from_it(
    start: Any, connect: Any, stage: str, answer: str, expected: type[ChannelError], whose: tuple[bool, bool] | None
) -> None:
    relay = start(**{stage: [answer]})
    channel = connect(relay.port)

    with pytest.raises(ChannelError) as caught:
        channel.send(ANA)
    receipt = channel.send(BEN)

    assert isinstance(caught.value, expected), repr(caught.value)
    if isinstance(caught.value, Rejected):
        assert whose == (caught.value.account, caught.value.recipient)
    assert parsed(relay.mails[-1])["Message-ID"] == receipt.provider_id
    assert parsed(relay.mails[-1])["To"] == BEN.target


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "END"])
def test_a_refusal_is_followed_by_a_reset_on_the_same_connection(start: Any, connect: Any, stage: str) -> None:
    relay = start(**{stage: ["550 no"]})
    channel = connect(relay.port)

    with pytest.raises(Rejected):
        channel.send(ANA)
    channel.send(BEN)

    assert len(relay.sessions) == 1
    assert relay.said[relay.said.index("RSET") + 1] == "MAIL FROM:<status@example.com>"


@pytest.mark.parametrize("reset", [DROP, HANG, "500 what?"])
def test_a_refusal_stays_certain_where_the_reset_fails(start: Any, connect: Any, reset: str) -> None:
    relay = start(END=["550 no"], RSET=[reset])
    channel = connect(relay.port, seconds=0.5)

    with pytest.raises(Rejected):
        channel.send(ANA)
    channel.send(BEN)

    assert len(relay.sessions) == 2


def test_a_greylisted_recipient_is_asked_again_after_five_minutes(start: Any, connect: Any) -> None:
    relay = start(RCPT=["451 4.7.1 greylisted, come back"])

    with pytest.raises(Unavailable) as caught:
        connect(relay.port).send(ANA)

    assert caught.value.retry_after == 300


@pytest.mark.parametrize("behaviour", [DROP, HANG, DRIBBLE])
def test_only_what_is_lost_once_the_body_has_begun_is_in_doubt(start: Any, connect: Any, behaviour: str) -> None:
    relays = {stage: start(**{stage: [behaviour]}) for stage in ("CALL", "EHLO", "MAIL", "RCPT", "DATA", "BODY", "END")}
    channels = {stage: connect(relay.port, seconds=0.5) for stage, relay in relays.items()}

    def fate(stage: str) -> type[ChannelError]:
        with pytest.raises(ChannelError) as caught:
            channels[stage].send(ANA)
        return Uncertain if isinstance(caught.value, Uncertain) else Unavailable

    began = time.monotonic()
    with ThreadPoolExecutor(len(relays)) as pool:
        fates = dict(zip(relays, pool.map(fate, relays), strict=True))

    assert time.monotonic() - began < 4
    assert_no_call_goes_on()
    assert [stage for stage, fate in fates.items() if fate is Uncertain] == ["BODY", "END"]
    assert [len(relay.sessions) for relay in relays.values()] == [1] * len(relays)
    for stage, relay in relays.items():
        channels[stage].send(BEN)
        assert parsed(relay.mails[-1])["To"] == BEN.target


def test_a_server_that_is_not_there_has_got_nothing(connect: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(Unavailable, match="Connection refused; nothing was sent"):
        connect(port).send(ANA)


def test_a_connection_that_the_server_closed_meanwhile_causes_no_doubt(start: Any, connect: Any) -> None:
    relay = start()
    channel = connect(relay.port)
    channel.send(ANA)
    relay.hang_up()

    channel.send(BEN)

    assert [ANA.target, BEN.target] == [parsed(mail)["To"] for mail in relay.mails]
    assert len(relay.sessions) == 2


def test_a_session_that_the_server_ends_politely_is_begun_anew(start: Any, connect: Any) -> None:
    relay = start(MAIL=["250 Ok", "421 4.4.2 timeout exceeded"])
    channel = connect(relay.port)
    channel.send(ANA)

    channel.send(BEN)

    assert len(relay.sessions) == 2


def test_many_mails_share_one_connection_and_threads_do_not_share_any(start: Any, connect: Any) -> None:
    relay = start()
    channel = connect(relay.port)
    crowd = [ANA._replace(key=f"k{number}", target=f"p{number}@example.org") for number in range(40)]

    for one in crowd[:20]:
        channel.send(one)
    assert len(relay.sessions) == 1
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(channel.send, crowd[20:]))

    assert sorted(one.target for one in crowd) == sorted(parsed(mail)["To"] for mail in relay.mails)
    assert len(relay.sessions) <= 4


def test_closing_says_goodbye_and_survives_a_dead_relay(start: Any, connect: Any) -> None:
    relay, dead = start(), start()
    for one in (relay, dead):
        channel = connect(one.port)
        channel.send(ANA)
        if one is dead:
            dead.hang_up()
        channel.close()

    assert relay.said[-1] == "QUIT"


def test_an_error_names_no_recipient(start: Any, connect: Any) -> None:
    relay = start(RCPT=["550 5.1.1 <ana@example.org>: see ANA@EXAMPLE.ORG or mailto:ana@example.org"])

    with pytest.raises(Rejected) as caught:
        connect(relay.port).send(ANA)

    assert "the mail server answered RCPT with 550 5.1.1 <(address)>: see (address) or mailto:(address)" in str(
        caught.value
    )
    assert caught.value.code == "5.1.1"


# --- many over few connections ---------------------------------------------------------


def crowd_of(number: int) -> list[Delivery]:
    return [ANA._replace(key=f"k{one}", target=f"p{one}@example.org") for one in range(number)]


def hand_over(line: Line, crowd: list[Delivery]) -> dict[str, Receipt | ChannelError]:
    """What comes of each, said over one connection as bulk sending says it; it is hung up politely."""
    waiting, results = list(crowd), dict[str, Receipt | ChannelError]()
    with line.socket as sock:
        while len(results) < len(crowd) and not line.conversation.is_over:
            while waiting and line.conversation.room:
                line.conversation.take(waiting.pop(0))
            sock.sendall(line.conversation.outgoing().data)
            heard = sock.recv(65_536)
            found = line.conversation.incoming(heard) if heard else line.conversation.broken("it hung up")
            results |= {delivery.target: result for delivery, result in found}
        sock.sendall(line.conversation.farewell())
    return results


@pytest.fixture
def rehearsed() -> Iterator[Callable[..., SmtpStandIn]]:
    """A rehearsal relay, open until the test ends."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(SmtpStandIn(**options))


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
def test_a_crowd_is_served_over_one_connection_encrypted_and_logged_in(
    rehearsed: Any, connect: Any, password: str, tls: str, pipelining: bool
) -> None:
    options: dict[str, Any] = {} if tls == "none" else {"tls": server_context(), "implicit": tls == "implicit"}
    relay = rehearsed(login=("officer", password), pipelining=pipelining, **options)
    channel, crowd = connect(relay.port, tls=tls, ca_file=AUTHORITY, **LOGIN), crowd_of(25)
    relay.refuse["p3@example.org"] = "550 5.1.1 No such user"

    assert isinstance(channel, Bulk)
    results = hand_over(channel.connect(), crowd)

    refused = results.pop("p3@example.org")
    assert isinstance(refused, Rejected)
    assert refused.suppress == "bounce"
    assert {mail.to: mail.id for mail in relay.mails} == {
        (target,): receipt.provider_id for target, receipt in results.items() if isinstance(receipt, Receipt)
    }
    assert [mail.to[0] for mail in relay.mails] == [one.target for one in crowd if one.target != "p3@example.org"]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(
    ("fault", "expected", "taken"),
    [
        ("drop_before_data", Unavailable, False),
        ("drop_after_dot", Uncertain, False),
        ("drop_after_dot_applied", Uncertain, True),
        ("garbage_after_dot_applied", Uncertain, True),
        ("reject_after_dot", Rejected, False),
        ("throttled", Unavailable, False),
        ("greylisted", Unavailable, False),
    ],
)
def test_a_fault_costs_the_mail_that_met_it_and_puts_no_other_in_doubt(
    rehearsed: Any, connect: Any, pipelining: bool, fault: Any, expected: type[ChannelError], taken: bool
) -> None:
    relay, crowd = rehearsed(pipelining=pipelining), crowd_of(6)
    relay.behave("ok", times=0 if fault in {"drop_before_data", "greylisted"} else 2)
    relay.behave(fault)

    results = hand_over(connect(relay.port).connect(), crowd)

    met = next(target for target, result in results.items() if not isinstance(result, Receipt))
    assert isinstance(results[met], expected)
    assert taken is any(mail.to == (met,) for mail in relay.mails)
    others = {target: result for target, result in results.items() if target != met}
    assert all(isinstance(result, Receipt | Dropped) for result in others.values())
    assert {mail.to[0] for mail in relay.mails} - {met} == {
        target for target, result in others.items() if isinstance(result, Receipt)
    }


def test_each_line_is_a_connection_of_its_own_and_as_many_as_the_settings_say(start: Any, connect: Any) -> None:
    relay = start()
    channel = connect(relay.port, connections=3)

    lines = [channel.connect() for _ in range(channel.connections)]

    assert len(relay.sessions) == 3
    assert all(line.socket.gettimeout() is None for line in lines)
    for line in lines:
        line.socket.close()


def test_nothing_is_said_ahead_where_the_relay_does_not_offer_it(start: Any, connect: Any) -> None:
    relay = start(MAIL=["451 4.3.0 later"])

    with pytest.raises(Unavailable):
        connect(relay.port).send(ANA)

    assert [line[:4] for line in relay.said] == ["ehlo", "MAIL", "RSET"]


def test_one_mail_alone_goes_in_groups_too_where_the_relay_takes_them(start: Any, connect: Any) -> None:
    relay = start(
        EHLO=["250-relay.example\n250 PIPELINING"], RCPT=["550 5.1.1 no", "250 Ok"], DATA=["503 5.5.1 no", "354 Ok"]
    )
    channel = connect(relay.port)

    with pytest.raises(Rejected) as caught:
        channel.send(ANA)
    channel.send(BEN)

    assert caught.value.suppress == "bounce"
    assert [line[:4] for line in relay.said] == ["ehlo", "MAIL", "RCPT", "DATA", "RSET", "MAIL", "RCPT", "DATA"]
    assert len(relay.sessions) == len(relay.mails) == 1


# --- encryption and login ------------------------------------------------------------


class Mailbox:
    """Takes every mail and keeps it."""

    def __init__(self) -> None:
        self.kept: list[Envelope] = []
        self.encrypted: list[bool] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.kept.append(envelope)
        assert server.transport is not None
        self.encrypted.append(server.transport.get_extra_info("sslcontext") is not None)
        return "250 2.0.0 Ok: queued as 77"


@pytest.fixture
def real(password: str) -> Iterator[Callable[..., tuple[int, Mailbox]]]:
    """aiosmtpd on a free port, with the login officer and the test's own password where it asks for one."""
    running: list[Controller] = []

    def login(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"officer", password.encode())
        return AuthResult(success=right, handled=right)

    def starting(**options: Any) -> tuple[int, Mailbox]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        mailbox = Mailbox()
        running.append(Controller(mailbox, hostname="127.0.0.1", port=port, authenticator=login, **options))
        running[-1].start()
        return port, mailbox

    yield starting
    for controller in running:
        asyncio.run_coroutine_threadsafe(goodbye(), controller.loop).result(5)
        controller.stop()


async def goodbye() -> None:
    """Wait until the server has seen its clients off: stopped in between, it would leave their sockets open."""
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0.005)


LOGIN = {"username": "officer", "password": Secret("env:SMTP_PASSWORD")}


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_mail_goes_out_encrypted_and_logged_in(real: Any, connect: Any, tls: str) -> None:
    options: dict[str, Any] = {"ssl_context": server_context(), "auth_require_tls": False}
    if tls == "starttls":
        options = {"tls_context": server_context(), "require_starttls": True, "auth_required": True}
    port, mailbox = real(**options)

    receipt = connect(port, tls=tls, ca_file=AUTHORITY, **LOGIN).send(ANA)

    assert receipt.detail == "2.0.0 Ok: queued as 77"
    assert mailbox.encrypted == [True]
    assert mailbox.kept[0].rcpt_tos == ["ana@example.org"]
    assert ANA.parts["text"] == body(bytes(mailbox.kept[0].content or b""), "plain")


def test_check_logs_in_and_publishes_nothing(real: Any, connect: Any) -> None:
    port, mailbox = real(tls_context=server_context(), require_starttls=True, auth_required=True)
    channel = connect(port, tls="starttls", ca_file=AUTHORITY, **LOGIN)

    channel.check()

    assert mailbox.kept == []
    channel.send(ANA)
    assert len(mailbox.kept) == 1


def test_check_fails_where_the_relay_lets_us_in_and_then_does_not_want_to(start: Any, connect: Any) -> None:
    with pytest.raises(Unavailable, match="answered NOOP with 451 no; nothing was sent"):
        connect(start(NOOP=["451 no"]).port).check()


def test_a_wrong_password_stops_the_channel_and_is_shown_nowhere(
    real: Any, connect: Any, password: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    port, _ = real(tls_context=server_context(), require_starttls=True, auth_required=True)
    monkeypatch.setenv("SMTP_PASSWORD", f"{password}-old")

    with pytest.raises(Rejected, match=r"535 5\.7\.8.*`password`") as caught:
        connect(port, tls="starttls", ca_file=AUTHORITY, **LOGIN).check()

    assert caught.value.account
    assert password not in f"{caught.value!r} {caught.value} {caplog.text}"


LOGINS = [
    ("535 5.7.8 bad credentials", Rejected),
    ("534 5.7.9 use an app password", Rejected),
    ("454 4.7.0 temporary failure", Unavailable),
    ("421 4.7.0 try later", Unavailable),
    (DROP, Unavailable),
    (HANG, Unavailable),
]


@pytest.mark.parametrize(("answer", "expected"), LOGINS)
def test_each_answer_to_a_login_has_its_meaning(
    start: Any, connect: Any, password: str, answer: str, expected: type[ChannelError]
) -> None:
    relay = start(AUTH=[answer] * 3)

    with pytest.raises(expected) as caught:
        connect(relay.port, seconds=0.3, **LOGIN).check()

    assert isinstance(caught.value, Unavailable) or (isinstance(caught.value, Rejected) and caught.value.account)
    assert relay.mails == []


def test_half_a_welcome_is_none(start: Any, connect: Any, password: str) -> None:
    relay = start(AUTH=[f"{CUT_OFF}235 2.7.0 wel"])

    with pytest.raises(Unavailable, match="no session with"):
        connect(relay.port, **LOGIN).connect()


def test_a_login_that_the_server_repeats_is_hidden(start: Any, connect: Any, password: str) -> None:
    encoded = base64.b64encode(f"\0officer\0{password}".encode()).decode()
    relay = start(AUTH=[f"535 unrecognised: AUTH PLAIN {encoded}"])

    with pytest.raises(Rejected) as caught:
        connect(relay.port, **LOGIN).check()

    assert f"AUTH PLAIN {encoded}" in relay.said
    assert "unrecognised: AUTH PLAIN ***" in str(caught.value)


@pytest.mark.parametrize("offer", ["250 relay.example", "250-relay.example\n250 AUTH XOAUTH2"])
def test_a_relay_without_a_login_we_know_stops_the_channel(start: Any, connect: Any, password: str, offer: str) -> None:
    with pytest.raises(Rejected, match="offers no login we know") as caught:
        connect(start(EHLO=[offer]).port, **LOGIN).send(ANA)

    assert caught.value.account


def test_a_password_outside_ascii_is_refused_without_showing_it(
    start: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "canary-pässword")
    relay = start()

    with pytest.raises(Rejected, match="must be ASCII") as caught:
        connect(relay.port, **LOGIN).send(ANA)

    assert "canary" not in repr(caught.value)
    assert not any(line.startswith("AUTH") for line in relay.said)


def test_without_a_usable_password_nothing_is_even_connected(
    start: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SMTP_PASSWORD", raising=False)
    relay = start()

    with pytest.raises(ConfigError, match="SMTP_PASSWORD is not set"):
        connect(relay.port, **LOGIN).send(ANA)

    assert relay.sessions == []


def test_nothing_is_sent_in_clear_where_encryption_is_not_offered(start: Any, connect: Any, password: str) -> None:
    relay = start()

    with pytest.raises(Rejected, match="offers no STARTTLS") as caught:
        connect(relay.port, tls="starttls", **LOGIN).send(ANA)

    assert caught.value.account
    assert relay.said == ["ehlo example.com"]


@pytest.mark.parametrize(("answer", "expected"), [("454 4.7.0 not now", Unavailable), ("501 5.5.4 no", Rejected)])
def test_nothing_is_sent_in_clear_where_encryption_is_refused(
    start: Any, connect: Any, answer: str, expected: type[ChannelError]
) -> None:
    relay = start(EHLO=[ENCRYPTS], STARTTLS=[answer])

    with pytest.raises(expected):
        connect(relay.port, tls="starttls", ca_file=AUTHORITY).send(ANA)

    assert relay.mails == []


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize(("host", "trusted"), [("127.0.0.1", False), ("localhost", True)])
def test_a_certificate_that_is_unknown_or_anothers_stops_the_channel(
    start: Any, connect: Any, tls: str, host: str, trusted: bool
) -> None:
    relay = start(tls=True) if tls == "implicit" else start(EHLO=[ENCRYPTS], STARTTLS=["220 go"])

    with pytest.raises(Rejected, match=r"certificate we cannot trust.*ca_file") as caught:
        connect(relay.port, host=host, tls=tls, ca_file=AUTHORITY if trusted else None).send(ANA)

    assert caught.value.account
    assert relay.mails == []


def test_answers_smuggled_in_before_the_encryption_are_taken_for_none(start: Any, connect: Any) -> None:
    smuggled = "220 2.0.0 Ready\n250-relay.example\n250 AUTH PLAIN"
    relay = start(EHLO=[ENCRYPTS, "250 relay.example"], STARTTLS=[smuggled])

    with pytest.raises(Unavailable, match=r"no session.*nothing was sent"):
        connect(relay.port, tls="starttls", ca_file=AUTHORITY).send(ANA)

    assert relay.said == ["ehlo example.com", "STARTTLS"]


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_server_that_stalls_in_the_handshake_is_cut_off(connect: Any, tls: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        with pytest.raises(Unavailable, match=r"within 0\.3 seconds; nothing was sent"):
            connect(listener.getsockname()[1], seconds=0.3, tls=tls).send(ANA)

        assert time.monotonic() - began < 3
        assert_no_call_goes_on()


def test_encryption_where_none_is_spoken_says_what_to_look_at(start: Any, connect: Any) -> None:
    with pytest.raises(Unavailable, match=r"nothing was sent.*`tls`"):
        connect(start().port, tls="implicit").send(ANA)


def test_an_authority_that_cannot_be_read_is_named(start: Any, connect: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    relay = start()

    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(ConfigError, match=name):
            connect(relay.port, tls="starttls", ca_file=tmp_path / name).send(ANA)

    assert relay.sessions == []


# --- settings and manners --------------------------------------------------------------

WRONG = [
    ({"username": "officer"}, "belong together"),
    ({"password": Secret("env:SMTP_PASSWORD")}, "belong together"),
    ({"tls": "none", **LOGIN}, "in clear"),
    ({"from_": "Example Bank"}, "from must be exactly one mailbox"),
    ({"from_": ""}, "from must be exactly one mailbox"),
    ({"from_": "a@example.com, b@example.com"}, "from must be exactly one mailbox"),
    ({"from_": "A <a@example.com>, B <b@example.com>"}, "from must be exactly one mailbox"),
    ({"from_": "Bank, Status <a@example.com>"}, "from must be exactly one mailbox"),
    ({"from_": "Status <a@example.com>\r\nBcc: x@example.com"}, "from must be exactly one mailbox"),
    ({"from_": "Sta\ntus <a@example.com>"}, "from must be exactly one mailbox"),
    ({"from_": "Status <a@localhost>"}, "from must be exactly one mailbox"),
    ({"reply_to": "nobody"}, "reply_to must be exactly one mailbox"),
    ({"unsubscribe_url": "http://example.com/u"}, "https"),
    ({"unsubscribe_url": "https://example.com/ü"}, "plain characters"),
    ({"unsubscribe_url": "https://example.com/u>, <mailto:x@example.com"}, "plain characters"),
    ({"host": "relay example"}, "host must be"),
    ({"port": 0}, "port a number"),
    ({"helo": "relay\r\nMAIL"}, "helo must be"),
    ({"connections": 0}, "at least 1"),
]


@pytest.mark.parametrize(("wrong", "sentence"), WRONG)
def test_settings_that_cannot_work_are_refused_with_a_sentence(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Settings(**{"host": "relay.example.com", "from_": "status@example.com", **wrong})


@pytest.mark.parametrize(
    "mailbox",
    ["status@example.com", "<status@example.com>", "Bank <status@example.com>", '"Bank, Ltd" <status@example.com>'],
)
def test_every_usual_form_of_a_mailbox_is_understood(start: Any, connect: Any, mailbox: str) -> None:
    relay = start()

    connect(relay.port, from_=mailbox).send(ANA)

    assert "MAIL FROM:<status@example.com>" in relay.said
    assert parsed(relay.mails[0])["From"].addresses[0].addr_spec == "status@example.com"


def test_we_name_ourselves_as_told(start: Any, connect: Any) -> None:
    relay = start()

    connect(relay.port, helo="mail.example.com").check()

    assert relay.said[0] == "ehlo mail.example.com"


def test_making_the_channel_opens_nothing_and_reads_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMTP_PASSWORD", raising=False)
    made = Settings(host="relay.invalid", from_="status@example.com", ca_file=Path("missing.pem"), **LOGIN)  # type: ignore[arg-type]

    channel: Channel = Smtp(made)

    channel.close()
    assert not isinstance(channel, Finds | ReadsBack)
    assert channel.semantics.promise == "At least once, at most two copies, both under the same message id."


def test_learning_what_the_channel_takes_loads_nothing_heavy() -> None:
    code = (
        "import sys, outagecast.channels.smtp as m; m.Settings(host='h', from_='Bank <a@example.com>');"
        "print([name for name in ('smtplib', 'email', 'ssl', 'socket', 'requests') if name in sys.modules])"
    )

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert shown.strip() == "[]"
