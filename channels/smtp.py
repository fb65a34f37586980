"""Sends e-mail through your relay, one recipient a message, over kept connections: https://www.rfc-editor.org/rfc/rfc5321

Where the connection is lost between the body's first byte and the reply to the final dot, nobody can know whether the
mail is out (https://www.rfc-editor.org/rfc/rfc1047). Lost at any other moment, it is not.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Literal

from outagecast.about import about
from outagecast.channel import Carries, Idempotency, Limit, LookUp, OnDoubt, Semantics
from outagecast.errors import ChannelError, ConfigError, Problem, Rejected, Unavailable, Uncertain
from outagecast.mail import Letterhead, Mail, parse_mailbox
from outagecast.model import Delivery, Receipt
from outagecast.secret import Secret, redact, remember
from outagecast.text import clean

if TYPE_CHECKING:
    from smtplib import SMTP
    from ssl import SSLContext

    from outagecast.call import Call

# Exchange keeps 255, and "[EXTERNAL] Re:" and the like are put before it:
# https://learn.microsoft.com/exchange/client-developer/web-service-reference/subject
LONGEST_SUBJECT = 150  # characters
# Gmail hides what lies beyond 102 KB, and quoted-printable can make three bytes of one:
# https://www.spamresource.com/2022/01/what-is-gmail-clipping-and-what-to-do.html
LONGEST_PART = 30_000  # bytes

LONGEST_REPLIES = 65_536  # bytes that a relay may say in one call; a line has 512: RFC 5321, 4.5.3.1.5
LOGIN = 20.0  # seconds for name look-up, TLS, greeting and login together
TRANSACTION = 60.0  # seconds for one message; the RFC's ten minutes (4.5.3.2.6) would hold a worker too long
COURTESY = 5.0  # seconds for RSET, NOOP and QUIT
GREYLISTED = 300.0  # seconds; a server that greylists wants to be asked again, but not at once: RFC 6647, 2.1
RCPT, DATA, END = "RCPT", "DATA", "the end of the mail"

_ANY_ADDRESS = re.compile(r"[^\s<>:;,\"']+@[^\s<>:;,\"']+")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")  # RFC 3463
LOGIN_HINT = "check `username` and `password`; if they were locked or changed, ask the relay's owner for new ones"


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

    def __init__(self, file: BinaryIO) -> None:
        self.left = LONGEST_REPLIES
        self._file = file

    def readline(self, most: int) -> bytes:
        line = self._file.readline(most)
        self.left -= len(line)
        if self.left < 0:
            raise ConnectionError("the relay does not stop talking")
        return line

    def close(self) -> None:
        self._file.close()


class _Dropped(Unavailable):
    """The connection had gone before the mail's body began."""


class Smtp:
    """E-mail through a relay. Safe to use from several threads; each mail under way has a connection of its own."""

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

    def __init__(self, settings: Settings, *, login: float = LOGIN, transaction: float = TRANSACTION) -> None:
        self._settings = settings
        self._login, self._transaction = login, transaction  # seconds
        self._letterhead = Letterhead(settings.from_, settings.reply_to, settings.unsubscribe_url)
        self._idle: deque[SMTP] = deque()

    def check(self) -> None:
        """Connect, log in and say NOOP. Raises Rejected, Unavailable or ConfigError."""
        if not self._keep(self._open(), "NOOP"):
            raise Unavailable(f"{self._settings.host} let us in, then did not answer")

    def send(self, delivery: Delivery) -> Receipt:
        """Hand one mail to the relay; its word for it is what the receipt's ``detail`` holds."""
        mail = self._letterhead.write(delivery)
        try:
            kept = self._idle.pop()
        except IndexError:
            return self._hand_over(self._open(), mail)
        try:
            return self._hand_over(kept, mail)
        except _Dropped:  # the server had hung up while the connection was idle
            return self._hand_over(self._open(), mail)

    def close(self) -> None:
        """Say goodbye on every idle connection."""
        while self._idle:
            server = self._idle.pop()
            self._ask(server, "QUIT")
            server.close()

    def _hand_over(self, server: SMTP, mail: Mail) -> Receipt:
        from outagecast.call import Call, DeadlineExceeded, Phase

        call = Call(self._transaction)
        host = self._settings.host
        try:
            stage, code, said = call.run(lambda: _converse(server, call, self._letterhead.address, mail))
        except (OSError, DeadlineExceeded) as error:
            late = isinstance(error, DeadlineExceeded)
            what = (
                f"no answer from {host} within {call.seconds:g} seconds" if late else f"the connection to {host} broke"
            )
            if call.phase is Phase.SENDING:
                raise Uncertain(f"{what} while it was taking the mail, so it may be out") from None
            lost = Unavailable if late else _Dropped
            raise lost(f"{what} before it was given the mail; nothing was sent") from None
        if stage == END and 200 <= code <= 299:
            self._idle.append(server)
            return Receipt(mail.message_id, detail=_words(said))
        if not 400 <= code <= 599 or code == 421:
            server.close()
            if stage != END:
                raise _Dropped(
                    f"{host} broke off at {stage} with {code} {_words(said)}; nothing was sent", code=str(code)
                )
            if code != 421:
                raise Uncertain(f"{host} took the mail and gave no answer we understand, so it may be out")
        else:
            self._keep(server, "RSET")  # else the next recipient is refused for this one's sake
        raise _refusal(stage, code, said)

    def _open(self) -> SMTP:
        """A connection, encrypted and logged in. Raises Rejected(account=True), Unavailable or ConfigError."""
        import ssl

        from outagecast.call import Call, DeadlineExceeded

        host = self._settings.host
        context = None if self._settings.tls == "none" else self._context
        password = self._settings.password.reveal() if self._settings.password else None
        call = Call(self._login)
        try:
            return call.run(lambda: self._connect(call, context, password))
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

    def _connect(self, call: Call, context: SSLContext | None, password: str | None) -> SMTP:
        import smtplib
        import socket

        from outagecast.call import CONNECT

        settings = self._settings
        call.connecting()
        # Unnamed, it would look its own name up; given the host, it would read a greeting that nothing could cut short.
        server = smtplib.SMTP(local_hostname=settings.helo or self._letterhead.address.rpartition("@")[2])
        server.sock = socket.create_connection((settings.host, settings.port), CONNECT)
        try:
            server.sock.settimeout(None)  # from here on the call's own deadline cuts it
            _guard(call, server)
            if settings.tls == "implicit":
                _encrypt(call, server, context, settings.host)
            _expect("our call", *server.getreply())
            _expect("EHLO", *server.ehlo())
            if settings.tls == "starttls":
                _expect_starttls(server)
                _encrypt(call, server, context, settings.host)
                _expect("EHLO", *server.ehlo())
            if settings.username is not None and password is not None:
                _log_in(server, settings.username, password)
        except BaseException:
            server.close()
            raise
        return server

    def _keep(self, server: SMTP, verb: str) -> bool:
        """Whether ``server`` answers ``verb`` with 250, and so may carry the next mail; else it is let go."""
        usable = self._ask(server, verb) == 250
        if usable:
            self._idle.append(server)
        else:
            server.close()
        return usable

    def _ask(self, server: SMTP, verb: str) -> int:
        from outagecast.call import Call, DeadlineExceeded

        call = Call(min(COURTESY, self._login))

        def work() -> int:
            _guard(call, server)
            return server.docmd(verb)[0]

        try:
            return call.run(work)
        except (OSError, DeadlineExceeded):
            return 0


def _guard(call: Call, server: SMTP) -> None:
    """Have the connection cut at the deadline, also where that has passed meanwhile. Raises DeadlineExceeded."""
    if server.sock is not None:
        call.guard(server.sock)
        replies = server.file if isinstance(server.file, _Replies) else _Replies(server.sock.makefile("rb"))
        server.file, replies.left = replies, LONGEST_REPLIES
    call.connecting()


def _encrypt(call: Call, server: SMTP, context: SSLContext | None, host: str) -> None:
    if context is None or server.sock is None:
        raise ConnectionError("there is no connection to encrypt")
    # The handshake comes after the guard: a server that stalls in it must be cut, too.
    sock = context.wrap_socket(server.sock, server_hostname=host, do_handshake_on_connect=False)
    server.sock, server.file = sock, None  # what was sent before the encryption began is forgotten: RFC 3207, 4.2
    _guard(call, server)
    sock.do_handshake()


def _log_in(server: SMTP, username: str, password: str) -> None:
    import smtplib

    remember(f"\0{username}\0{password}")  # as AUTH PLAIN puts it, should the server repeat it
    if not (username + password).isascii():
        raise Rejected("`username` and `password` must be ASCII to log in by SMTP", account=True)
    try:
        server.login(username, password)
    except smtplib.SMTPAuthenticationError as error:
        said = error.smtp_error
        raise _refusal("the login", error.smtp_code, said.encode() if isinstance(said, str) else said) from None
    except (smtplib.SMTPServerDisconnected, smtplib.SMTPResponseException):
        raise
    except (smtplib.SMTPException, ValueError):
        hint = "CRAM-MD5, PLAIN and LOGIN are what we speak; is login allowed on this `port`?"
        raise Rejected("the mail server offers no login we know", hint=hint, account=True) from None


def _converse(server: SMTP, call: Call, sender: str, mail: Mail) -> tuple[str, int, bytes]:
    """Say one mail: the stage at which it ended, and the reply to that."""
    steps = (("MAIL", f"FROM:<{sender}>", 25), (RCPT, f"TO:<{mail.recipient}>", 25), (DATA, "", 35))
    try:
        _guard(call, server)
        for verb, argument, wanted in steps:
            code, said = server.docmd(verb, argument)
            if code // 10 != wanted:
                return verb, code, said
        call.sending()
        server.send(mail.content)
        return END, *server.getreply()
    except BaseException:
        server.close()
        raise


def _expect(stage: str, code: int, said: bytes) -> None:
    if not 200 <= code <= 299:
        raise _refusal(stage, code, said)


def _expect_starttls(server: SMTP) -> None:
    if not server.has_extn("starttls"):
        hint = "nothing is sent in clear instead: ask the relay's owner, or set tls: implicit where the port is 465"
        raise Rejected("the mail server offers no STARTTLS; nothing was sent", hint=hint, account=True)
    _expect("STARTTLS", *server.docmd("STARTTLS"))


def _refusal(stage: str, code: int, said: bytes) -> ChannelError:
    """What a *no* means; ``stage`` is what it answered."""
    words = _words(said)
    status = found[0] if (found := _STATUS.match(words)) else ""
    told = f"the mail server answered {stage} with {code} {words}".rstrip()
    if not 500 <= code <= 599:
        wait = GREYLISTED if stage == RCPT else None
        return Unavailable(f"{told}; nothing was sent", code=status or str(code), retry_after=wait)
    # Postfix says at RCPT what it holds against client, HELO and sender: postconf.5.html#smtpd_delay_reject
    policy = status.startswith("5.7.") or status in {"5.1.7", "5.1.8"} or code in {530, 535}
    account = policy or stage not in {RCPT, DATA, END}
    recipient = not account and (stage == RCPT or status.startswith(("5.1.", "5.2.")))
    hint = ""
    if account:
        login = stage == "the login" or code in {530, 535}
        hint = LOGIN_HINT if login else "may this login send as `from`? ask the relay's owner"
    return Rejected(told, code=status or str(code), hint=hint, account=account, recipient=recipient)


def _words(said: bytes) -> str:
    """A reply without the addresses in it; of a long one the beginning, since to look for them takes long."""
    return clean(_ANY_ADDRESS.sub("(address)", redact(said.decode("utf-8", "replace"))[:2000]))
