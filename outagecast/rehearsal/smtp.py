"""A stand-in of a mail server: aiosmtpd that keeps the mails, refuses whom it is told to, and loses answers.

Replies carry the enhanced codes of https://www.rfc-editor.org/rfc/rfc3463. aiosmtpd is needed only here.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self, cast, get_args

from outagecast.errors import ConfigError, Problem

if TYPE_CHECKING:
    from email.message import EmailMessage

MailFault = Literal[
    "ok",
    "drop_before_data",
    "drop_after_dot",
    "drop_after_dot_applied",
    "hang_after_dot",  # the mail is taken
    "garbage_after_dot_applied",
    "reject_after_dot",
    "throttled",
    "login_refused",
    "reject_rcpt",
    "greylisted",
]
FAULTS: tuple[MailFault, ...] = get_args(MailFault)
LATE: tuple[MailFault, ...] = FAULTS[FAULTS.index("drop_after_dot") : FAULTS.index("login_refused")]  # at its end


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it was accepted: the envelope, and the message parsed."""

    id: str  # the Message-ID
    sender: str
    to: tuple[str, ...]
    message: EmailMessage
    raw: bytes
    received_at: datetime

    @property
    def subject(self) -> str:
        """The subject, decoded."""
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        """The plain text, decoded, with bare line feeds."""
        part = self.message.get_body(("plain",))
        return str(part.get_content()).replace("\r\n", "\n") if part else ""

    @property
    def in_reply_to(self) -> str | None:
        """The Message-ID it answers."""
        value = self.message["In-Reply-To"]
        return None if value is None else str(value)


class SmtpStandIn:
    """A mail server on a free port of 127.0.0.1 while it is open.

    ``login`` is the (user, password) it asks for; ``refuse`` maps an address to the reply its RCPT gets, such as
    ``550 5.1.1 No such user``. With ``tls`` it offers STARTTLS, or with ``implicit`` speaks TLS from the first byte.
    With ``pipelining`` it says that it takes several commands at once: https://www.rfc-editor.org/rfc/rfc2920
    """

    delay = 0.0  # seconds before it takes a mail
    hang_seconds = 60.0  # for which a hanging answer keeps its connection

    def __init__(
        self,
        *,
        login: tuple[str, str] | None = None,
        refuse: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        pipelining: bool = True,
    ) -> None:
        self.login, self.pipelining = login, pipelining
        self.refuse = dict(refuse or {})
        self._tls, self._implicit = tls, implicit
        self._lock = threading.Lock()
        self._mails: list[Mail] = []
        self._plan: deque[MailFault] = deque()
        self._controller: Any = None

    def __enter__(self) -> Self:
        self._controller = _controller(self, self._tls, self._implicit)
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop(no_assert=True)

    @property
    def host(self) -> str:
        """Where it listens; a name when it speaks TLS, since certificates have names."""
        return "localhost" if self._tls else "127.0.0.1"

    @property
    def port(self) -> int:
        """Where it listens, once it is open."""
        return int(self._controller.port)

    @property
    def mails(self) -> tuple[Mail, ...]:
        """What was accepted, oldest first."""
        with self._lock:
            return tuple(self._mails)

    def behave(self, fault: MailFault, *, times: int = 1) -> None:
        """Have the next ``times`` mails meet ``fault``. Raises ValueError for an unknown one."""
        if fault not in FAULTS:
            raise ValueError(f"a mail server behaves as one of {', '.join(FAULTS)}; not as {fault!r}")
        with self._lock:
            self._plan.extend([fault] * times)

    def meets(self, *faults: MailFault) -> MailFault | None:
        """The fault planned for this mail, used up, if it is one of these."""
        with self._lock:
            return self._plan.popleft() if self._plan and self._plan[0] in faults else None

    def keep(self, sender: str, to: list[str], raw: bytes) -> Mail:
        """Take a mail in."""
        from email import message_from_bytes, policy

        message = message_from_bytes(raw, policy=policy.default)
        mail = Mail(str(message["Message-ID"]), sender, tuple(to), message, raw, datetime.now(UTC))
        with self._lock:
            self._mails.append(mail)
        return mail


def _controller(stand_in: SmtpStandIn, tls: ssl.SSLContext | None, implicit: bool) -> Any:
    try:
        from aiosmtpd.controller import Controller
        from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
    except ImportError:
        raise ConfigError(
            Problem("rehearsing e-mail needs the aiosmtpd package", "pip install 'outagecast[demo]'")
        ) from None
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # at INFO it logs each line, addresses and all

    class Server(SMTP):
        async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd finds it by this name
            if stand_in.meets("drop_before_data"):
                self.transport.abort()  # type: ignore[union-attr]
            else:
                await super().smtp_DATA(arg)

    def authenticate(*asked: Any) -> AuthResult:
        _, session, *_, given = asked
        known = stand_in.login and LoginPassword(*(part.encode() for part in stand_in.login))
        # For the whole session: a client that is refused tries its other ways to log in.
        session.is_refused = getattr(session, "is_refused", False) or stand_in.meets("login_refused") is not None
        return AuthResult(success=given == known and not session.is_refused, handled=False)

    class Listener(Controller):
        def factory(self) -> SMTP:
            return Server(self.handler, **self.SMTP_kwargs)

        def _trigger_server(self) -> None:
            self.port = cast(asyncio.Server, self.server).sockets[0].getsockname()[1]
            super()._trigger_server()  # type: ignore[no-untyped-call]

    options: dict[str, Any] = {"ssl_context": tls} if implicit else {"tls_context": tls}
    return Listener(
        _Handler(stand_in),
        hostname="127.0.0.1",
        port=0,
        server_hostname="localhost",  # its own name comes from the DNS otherwise
        authenticator=authenticate,
        auth_require_tls=False,
        **options,
    )


class _Handler:
    def __init__(self, stand_in: SmtpStandIn) -> None:
        self.stand_in = stand_in

    async def handle_EHLO(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, name: str, responses: list[str]
    ) -> list[str]:
        session.host_name = name
        return [*responses[:-1], "250-PIPELINING", responses[-1]] if self.stand_in.pipelining else responses

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        if self.stand_in.login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        if refusal := self.stand_in.refuse.get(address):
            return refusal
        if self.stand_in.meets("reject_rcpt"):
            return "550 5.1.1 No such user here"
        if self.stand_in.meets("greylisted"):
            return "450 4.2.0 Greylisted, see you in five minutes"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        await asyncio.sleep(self.stand_in.delay)
        fault = self.stand_in.meets("ok", *LATE)
        if fault == "throttled":  # as Amazon SES words it
            return "454 4.7.0 Throttling failure: Maximum sending rate exceeded"
        if fault == "reject_after_dot":
            return "554 5.6.0 Message content rejected"
        if fault != "drop_after_dot":
            self.stand_in.keep(envelope.mail_from, envelope.rcpt_tos, envelope.original_content)
        if fault == "hang_after_dot":
            await asyncio.sleep(self.stand_in.hang_seconds)
        if fault in {"drop_after_dot", "drop_after_dot_applied", "hang_after_dot"}:
            server.transport.abort()
        if fault == "garbage_after_dot_applied":
            return "Welcome! Please sign in to use this network."
        return f"250 2.0.0 OK: queued as {len(self.stand_in.mails):010X}"
