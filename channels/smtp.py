"""Sends e-mail through your relay, one recipient a message, over kept connections: https://www.rfc-editor.org/rfc/rfc5321

What is said over them is outagecast/smtp_conversation.py.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from outagecast.about import about
from outagecast.channel import Carries, Idempotency, Limit, Line, LookUp, OnDoubt, Outcome, Semantics
from outagecast.errors import ChannelError, ConfigError, Problem, Rejected, Unavailable
from outagecast.mail import Letterhead, parse_mailbox
from outagecast.model import Delivery, Receipt
from outagecast.secret import Secret, remember
from outagecast.smtp_conversation import AUTH, Dropped, SmtpConversation, lost, refusal
from outagecast.text import clean

if TYPE_CHECKING:
    from smtplib import SMTP
    from socket import SocketIO, socket
    from ssl import SSLContext, SSLSocket

    from outagecast.call import Call

# Exchange keeps 255, and "[EXTERNAL] Re:" and the like are put before it:
# https://learn.microsoft.com/exchange/client-developer/web-service-reference/subject
LONGEST_SUBJECT = 150  # characters
# Gmail hides what lies beyond 102 KB, and quoted-printable can make three bytes of one:
# https://www.spamresource.com/2022/01/what-is-gmail-clipping-and-what-to-do.html
LONGEST_PART = 30_000  # bytes

LONGEST_REPLIES = 65_536  # bytes that a relay may say while we log in; a line has 512: RFC 5321, 4.5.3.1.5
LOGIN = 20.0  # seconds for name look-up, TLS, greeting and login together
COURTESY = 5.0  # seconds for RSET, NOOP and QUIT


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What ``kind: smtp`` takes."""

    host: str = about("the relay's name or address, such as smtp.example.com")
    port: int = about("465 with tls: implicit", default=587)
    tls: Literal["none", "starttls", "implicit"] = about("how the connection is encrypted", default="starttls")
    username: str | None = about("with password; neither for a relay that knows you by address", default=None)
    password: Secret | None = about("as a secret such as env:SMTP_PASSWORD", default=None)
    from_: str = about("one mailbox, such as Example Bank <status@example.com>")
    reply_to: str | None = about("where answers go: one mailbox", default=None)
    connections: int = about("how many mails are under way at once", default=8)
    unsubscribe_url: str | None = about("https; {address} becomes the recipient's", default=None)
    helo: str | None = about("how we name ourselves; the domain of from if unsaid", default=None)
    ca_file: Path | None = about("one more authority to trust, such as a private relay's", default=None)

    def __post_init__(self) -> None:
        if (self.username is None) is not (self.password is None):
            raise ValueError("username and password belong together: give both, or neither")
        if self.username is not None and self.tls == "none" and self.host not in {"localhost", "127.0.0.1", "::1"}:
            raise ValueError("tls: none would send the password in clear; use starttls or implicit")
        for key, value in (("from", self.from_), ("reply_to", self.reply_to or self.from_)):
            try:
                parse_mailbox(value)
            except ValueError:
                example = "Example Bank <status@example.com>"
                raise ValueError(f"{key} must be exactly one mailbox, such as {example}") from None
        if self.unsubscribe_url and not re.fullmatch(r"https://[!-;=?-~]{1,400}", self.unsubscribe_url):
            raise ValueError("unsubscribe_url must be an https:// address of at most 400 plain characters")
        if not re.fullmatch(r"[A-Za-z0-9._:-]+", self.host) or not 1 <= self.port <= 65_535:
            raise ValueError("host must be a name or an IP address, and port a number from 1 to 65535")
        if self.helo is not None and not re.fullmatch(r"[A-Za-z0-9._:\[\]-]+", self.helo):
            raise ValueError("helo must be a host name, such as mail.example.com")
        if self.connections < 1:
            raise ValueError("connections must be at least 1")


class _Replies:
    """What a relay says, which smtplib would read without end."""

    def __init__(self, file: SocketIO) -> None:
        self.left = LONGEST_REPLIES
        self._file = file

    def readline(self, most: int) -> bytes:
        line = self._file.readline(most)
        self.left -= len(line)
        if self.left < 0:
            raise ConnectionError("the relay does not stop talking")
        return line if line.endswith(b"\n") or len(line) == most else b""  # a reply that was cut off is none

    def close(self) -> None:
        self._file.close()


class _Kept(NamedTuple):
    """An open connection, between two mails or in one."""

    socket: socket
    conversation: SmtpConversation


class Smtp:
    """E-mail through a relay. Safe to use from several threads; each thread's mail has a connection of its own."""

    kind: ClassVar[str] = "smtp"
    parts: ClassVar[Mapping[str, Limit]] = {
        "subject": Limit(LONGEST_SUBJECT, "characters", len, carries=Carries.NOTHING),
        "text": Limit(LONGEST_PART, "bytes", lambda part: len(part.encode(errors="replace"))),
        "html": Limit(LONGEST_PART, "bytes", lambda part: len(part.encode(errors="replace"))),
    }
    addresses: ClassVar[Literal["phone", "email"] | None] = "email"
    escapes: ClassVar[frozenset[str]] = frozenset({"html"})
    semantics: ClassVar[Semantics] = Semantics(
        idempotency=Idempotency.MESSAGE_ID,
        lookup=LookUp.NONE,
        on_doubt=OnDoubt.RESEND_ONCE,
        settle=timedelta(0),  # nothing can be asked, so waiting would prove nothing
        source="https://www.rfc-editor.org/rfc/rfc1047 and https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.2.6",
    )
    imports: ClassVar[tuple[str, ...]] = ("smtplib",)

    def __init__(
        self, settings: Settings, *, login: float = LOGIN, transaction: float = SmtpConversation.patience
    ) -> None:
        self._settings = settings
        self._login, self._transaction = login, transaction  # seconds
        self._letterhead = Letterhead(settings.from_, settings.reply_to, settings.unsubscribe_url)
        self._idle: deque[_Kept] = deque()

    @property
    def connections(self) -> int:
        """How many mails may be under way at once."""
        return self._settings.connections

    def connect(self) -> Line:
        """A connection of its own, encrypted and logged in.

        Raises Rejected(account=True), Unavailable or ConfigError.
        """
        return Line(*self._open())

    def check(self) -> None:
        """Connect, log in and say NOOP. Raises Rejected, Unavailable or ConfigError."""
        self._idle.append(self._open("NOOP"))

    def send(self, delivery: Delivery) -> Receipt:
        """Hand one mail to the relay; its word for it is what the receipt's ``detail`` holds."""
        self._letterhead.write(delivery)  # what can never be sent is refused before anybody is called
        try:
            kept = self._idle.pop()
        except IndexError:
            return self._hand_over(self._open(), delivery)
        try:
            return self._hand_over(kept, delivery)
        except Dropped:  # the server had hung up while the connection was idle
            return self._hand_over(self._open(), delivery)

    def close(self) -> None:
        """Say goodbye on every idle connection."""
        while self._idle:
            line = self._idle.pop()
            self._politely(line, _say_goodbye)
            line.socket.close()

    def _hand_over(self, line: _Kept, delivery: Delivery) -> Receipt:
        from outagecast.call import Call, DeadlineExceeded, Phase

        call, host = Call(self._transaction), self._settings.host
        try:
            result = call.run(lambda: _say(call, line, delivery))
        except DeadlineExceeded:  # whose thread may still be in the conversation: the call knows how far it got
            why = f"no answer from {host} within {call.seconds:g} seconds"
            if call.phase is Phase.SENDING:
                raise lost(why, is_begun=True) from None
            raise Unavailable(f"{why} before it was given the mail; nothing was sent") from None
        except OSError:
            ((_, result),) = line.conversation.broken(f"the connection to {host} broke")
        if not line.conversation.is_over and self._politely(line, _settle):
            self._idle.append(line)
        else:
            line.socket.close()
        if isinstance(result, Receipt):
            return result
        raise result

    def _politely(self, line: _Kept, work: Callable[[_Kept], None]) -> bool:
        """Whether the relay answered what no mail depends on."""
        from outagecast.call import Call, DeadlineExceeded

        call = Call(min(COURTESY, self._login))
        call.guard(line.socket)
        try:
            call.run(lambda: work(line))
        except (OSError, DeadlineExceeded):
            return False
        return not line.conversation.is_over

    def _open(self, probe: str = "") -> _Kept:
        """A connection that is encrypted, logged in, and was asked ``probe`` if any.

        Raises Rejected(account=True), Unavailable or ConfigError.
        """
        import ssl

        from outagecast.call import Call, DeadlineExceeded

        host = self._settings.host
        context = None if self._settings.tls == "none" else self._context
        password = self._settings.password.reveal() if self._settings.password else None
        call = Call(self._login)
        try:
            return call.run(lambda: self._connect(call, context, password, probe))
        except ssl.SSLCertVerificationError as error:
            raise Rejected(
                f"{host} shows a certificate we cannot trust ({clean(error.verify_message)}); nothing was sent",
                hint="is `host` the name in the certificate? a private authority goes into `ca_file`",
                account=True,
            ) from None
        except DeadlineExceeded:
            reason = f"no session with {host} within {call.seconds:g} seconds"
        except (OSError, UnicodeError) as error:
            reason = f"no session with {host}: {clean(getattr(error, 'strerror', None) or error)}"
        raise Unavailable(f"{reason}; nothing was sent", hint="check `host`, `port` and `tls`") from None

    @cached_property
    def _context(self) -> SSLContext:
        import ssl

        context = ssl.create_default_context()
        if self._settings.ca_file:
            try:
                context.load_verify_locations(self._settings.ca_file)
            except OSError as error:
                why = clean(error.strerror or "unreadable")
                raise ConfigError(Problem(f"no certificate can be read from {self._settings.ca_file}: {why}")) from None
        return context

    def _connect(self, call: Call, context: SSLContext | None, password: str | None, probe: str) -> _Kept:
        import smtplib
        import socket

        from outagecast.call import CONNECT

        settings = self._settings
        call.connecting()
        # Unnamed, it would look its own name up; given the host, it would read a greeting that nothing could cut short.
        server = smtplib.SMTP(local_hostname=settings.helo or self._letterhead.address.rpartition("@")[2])
        sock = server.sock = socket.create_connection((settings.host, settings.port), CONNECT)
        try:
            sock.settimeout(None)  # from here on the call's own deadline cuts it
            _guard(call, server, sock)
            if context and settings.tls == "implicit":
                sock = _encrypt(call, server, context, settings.host)
            _expect("our call", *server.getreply())
            _expect("EHLO", *server.ehlo())
            if context and settings.tls == "starttls":
                _expect_starttls(server)
                sock = _encrypt(call, server, context, settings.host)
                _expect("EHLO", *server.ehlo())
            if settings.username is not None and password is not None:
                _log_in(server, settings.username, password)
            if probe:
                _expect(probe, *server.docmd(probe))
        except BaseException:
            server.close()
            raise
        server.sock = None
        server.close()
        pipelining = server.has_extn("pipelining")
        return _Kept(sock, SmtpConversation(self._letterhead, settings.host, pipelining=pipelining))


def _guard(call: Call, server: SMTP, sock: socket) -> None:
    """Have the connection cut at the deadline, also where that has passed meanwhile. Raises DeadlineExceeded."""
    call.guard(sock)
    server.sock, server.file = sock, _Replies(sock.makefile("rb", buffering=0))
    call.connecting()


def _encrypt(call: Call, server: SMTP, context: SSLContext, host: str) -> SSLSocket:
    if server.sock is None:
        raise ConnectionError("there is no connection to encrypt")
    # The handshake comes after the guard: a server that stalls in it must be cut, too. What was heard before the
    # encryption began is forgotten: RFC 3207, 4.2.
    sock = context.wrap_socket(server.sock, server_hostname=host, do_handshake_on_connect=False)
    _guard(call, server, sock)
    sock.do_handshake()
    return sock


def _log_in(server: SMTP, username: str, password: str) -> None:
    import smtplib

    remember(f"\0{username}\0{password}")  # as AUTH PLAIN puts it, should the server repeat it
    if not (username + password).isascii():
        raise Rejected("`username` and `password` must be ASCII to log in by SMTP", account=True)
    try:
        server.login(username, password)
    except smtplib.SMTPAuthenticationError as error:
        said = error.smtp_error
        raise refusal(AUTH, error.smtp_code, said.encode() if isinstance(said, str) else said) from None
    except (smtplib.SMTPServerDisconnected, smtplib.SMTPResponseException):
        raise
    except (smtplib.SMTPException, ValueError):
        hint = "CRAM-MD5, PLAIN and LOGIN are what we speak; is login allowed on this `port`?"
        raise Rejected("the mail server offers no login we know", hint=hint, account=True) from None


def _expect(stage: str, code: int, said: bytes) -> None:
    if not 200 <= code <= 299:
        raise refusal(stage, code, said)


def _expect_starttls(server: SMTP) -> None:
    if not server.has_extn("starttls"):
        hint = "nothing is sent in clear instead: ask the relay's owner, or set tls: implicit where the port is 465"
        raise Rejected("the mail server offers no STARTTLS; nothing was sent", hint=hint, account=True)
    _expect("STARTTLS", *server.docmd("STARTTLS"))


def _say(call: Call, line: _Kept, delivery: Delivery) -> Receipt | ChannelError:
    """What becomes of one mail. Raises OSError or DeadlineExceeded."""
    call.guard(line.socket)
    call.connecting()
    line.conversation.take(delivery)
    try:
        while True:
            for _, result in _turn(line, call):
                return result
    except BaseException:
        line.socket.close()
        raise


def _settle(line: _Kept) -> None:
    while not line.conversation.is_settled and not line.conversation.is_over:
        _turn(line)


def _turn(line: _Kept, call: Call | None = None) -> Sequence[Outcome]:
    now = line.conversation.outgoing()
    if now.begins and call:
        call.sending()
    line.socket.sendall(now.data)
    heard = line.socket.recv(65_536)
    if not heard:
        raise ConnectionError("it hung up")
    return line.conversation.incoming(heard)


def _say_goodbye(line: _Kept) -> None:
    line.socket.sendall(line.conversation.farewell())
    line.socket.recv(512)
