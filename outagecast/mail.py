"""A mail as the bytes that leave: strict addresses, header lines of our own, MIME parts; the same on every retry.

The standard library writes the MIME parts only: its header folding puts a long List-Unsubscribe into encoded words that
nobody can click, and makes encoded words longer than RFC 2047 allows.
"""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from outagecast.errors import Rejected
from outagecast.model import Delivery, Receipt

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"(?=.{{1,64}}$){_ATOM}(\.{_ATOM})*")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{4,253}}$)({_LABEL}\.)+(?=[a-z]){_LABEL}")
_MAILBOX = re.compile(r'(?:"(?P<quoted>[^"\\<>@]*)"\s*|(?P<name>[^"\\<>@,;:]*))<(?P<inside>[^<>\s]+)>|(?P<bare>\S+)')
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_BREAKS_A_LINE = re.compile("[\t\r\n\u2028\u2029]")
_ADDRESS = b"{address}"
_TO_QUOTE = re.compile("[^A-Za-z0-9_.~-]")  # as urllib.parse.quote does, in half the time


def parse_address(text: str) -> str:
    """``text`` as SMTP carries it, the domain in ASCII. Raises ValueError unless it is exactly one plain address.

    Strict, because smtplib sends to the first of several, and tidies up what it does not understand.
    """
    local, _, domain = text.rpartition("@")
    host = _host(domain)
    if not _LOCAL.fullmatch(local):
        raise ValueError("not one plain address")
    return f"{local}@{host}"


@lru_cache(maxsize=1024)
def _host(domain: str) -> str:
    """A domain in ASCII, and in small letters: most people's are a few. Raises ValueError."""
    host = domain.lower()
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
        if host.encode("ascii").decode("idna") != domain.lower():
            raise ValueError("the old IDNA names another domain here, such as strasse for straße")
    if not _DOMAIN.fullmatch(host):
        raise ValueError("not one plain address")
    return host


def parse_mailbox(text: str) -> tuple[str, str]:
    """Display name and address of ``Example Bank <status@example.com>``. Raises ValueError unless it is just one."""
    found = _MAILBOX.fullmatch(text.strip())
    if not found or _UNPRINTABLE.search(text) or _BREAKS_A_LINE.search(text):
        raise ValueError("not one mailbox")
    return (found["quoted"] or found["name"] or "").strip(), parse_address(found["inside"] or found["bare"])


class Mail(NamedTuple):
    """One mail to one recipient. ``content`` has its dots stuffed and ends with the dot that ends it."""

    recipient: str
    message_id: str
    content: bytes


class Letterhead(NamedTuple):
    """What every mail of one sender carries."""

    from_: str
    reply_to: str | None = None
    unsubscribe_url: str | None = None

    @property
    def address(self) -> str:
        """The sender's address alone."""
        return parse_mailbox(self.from_)[1]

    def write(self, delivery: Delivery) -> Mail:
        """The mail for a delivery with the parts ``subject``, ``text`` and ``html``. Raises Rejected."""
        try:
            recipient = parse_address(delivery.target)
        except ValueError:
            hint = "one name@domain, in ASCII before the @; SMTPUTF8 is not supported"
            raise Rejected("the address cannot be used", hint=hint, recipient=True) from None
        said = delivery.parts.get
        text = (said("subject", ""), said("text", ""), said("html", ""))
        stencil = _stencil(self, delivery.incident, delivery.update, delivery.language, delivery.opened_at, text)
        digest = blake2b(f"{delivery.key}\n{delivery.target}".encode(errors="replace"), digest_size=16).hexdigest()
        return stencil.fill(recipient, digest, delivery.thread)


class _Stencil(NamedTuple):
    """A mail cut at its holes: written once, since ``email`` takes longer to write it than a relay to take it."""

    name: str  # of the mail, up to the digest that is each recipient's own
    domain: str
    cut: tuple[bytes, ...]  # the header, before and after the holes for digest, address, digest, digest
    unsubscribe: bytes  # with a hole of its own, if any
    rest: bytes

    def fill(self, recipient: str, digest: str, thread: Receipt | None) -> Mail:
        """The mail to one recipient. All that goes into a hole is ASCII without white space."""
        name, domain, cut, unsubscribe, rest = self
        own, to, answers = digest.encode(), recipient.encode(), b""
        if thread and _MESSAGE_ID.fullmatch(thread.provider_id):
            answers = f"In-Reply-To: {thread.provider_id}\r\nReferences: {thread.provider_id}\r\n".encode()
        if unsubscribe:
            unsubscribe = unsubscribe.replace(_ADDRESS, _TO_QUOTE.sub(_quoted, recipient).encode())
        a, b, c, d, e = cut
        content = b"".join((a, own, b, to, c, own, d, own, e, answers, unsubscribe, rest))
        return Mail(recipient, f"<{name}{digest}@{domain}>", content)


@lru_cache(maxsize=32)
def _stencil(
    letterhead: Letterhead, incident: str, update: int, language: str, opened_at: datetime, text: tuple[str, str, str]
) -> _Stencil:
    """What all recipients of a text get alike. Raises Rejected."""
    from email.utils import format_datetime

    if any(map(_UNPRINTABLE.search, text)) or _BREAKS_A_LINE.search(text[0]):
        raise Rejected("the mail holds control characters, or its subject more than one line")
    name = f"oc.{re.sub(r'[^a-z0-9-]+', '-', incident.lower())[:60]}.{update}."
    domain = letterhead.address.rpartition("@")[2]
    lines = [
        f"Message-ID: <{name}\0@{domain}>",
        f"Date: {format_datetime(opened_at)}",
        "To: \0",
        "Auto-Submitted: auto-generated",  # RFC 3834: no out-of-office replies, please
        "Precedence: bulk",
        f"Resend-Idempotency-Key: {name}\0",  # https://resend.com/docs/dashboard/emails/idempotency-keys
        f"X-EE-Idempotency-Key: {name}\0",  # https://github.com/postalsys/emailengine/releases/tag/v2.52.0
    ]
    if re.fullmatch(r"[A-Za-z0-9-]{1,35}", language):
        lines.append(f"Content-Language: {language}")
    url, unsubscribe = letterhead.unsubscribe_url, ""
    if url:
        unsubscribe = f"List-Unsubscribe: <{url}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"  # RFC 8058
    cut = "".join(f"{line}\r\n" for line in lines).encode("ascii").split(b"\0")
    letter = _letter(letterhead.from_, letterhead.reply_to, *text)
    return _Stencil(name, domain, tuple(cut), unsubscribe.encode("ascii"), letter.encode("ascii"))


def _quoted(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


def _letter(from_: str, reply_to: str | None, subject: str, text: str, html: str) -> str:
    """What begins with the subject, dots stuffed."""
    from email.message import EmailMessage
    from email.policy import SMTP
    from smtplib import quotedata

    message = EmailMessage(policy=SMTP)
    message.set_content(text, cte="quoted-printable")
    if html:
        message.add_alternative(html, subtype="html", cte="quoted-printable")
        message.set_boundary("oc-" + blake2b(f"{text}\n{html}".encode(), digest_size=16).hexdigest())
    lines = [f"Subject: {_encoded(subject)}", f"From: {_named(from_)}"]
    if reply_to:
        lines.append(f"Reply-To: {_named(reply_to)}")
    return quotedata("\r\n".join((*lines, message.as_bytes().decode("ascii")))) + ".\r\n"


def _named(mailbox: str) -> str:
    name, address = parse_mailbox(mailbox)
    shown = f'"{name}"' if name.isascii() else _encoded(name)
    return f"{shown} <{address}>" if name else address


def _encoded(text: str) -> str:
    """``text`` for a header field, in encoded words of at most 75 characters: RFC 2047, 2.

    The standard library makes longer ones: Header by a few characters, EmailMessage by hundreds.
    """
    if text.isascii() and "=?" not in text:
        return text
    chunks = [b""]
    for character in text:
        one = character.encode()
        if len(chunks[-1]) + len(one) > 45:
            chunks.append(b"")
        chunks[-1] += one
    return "\r\n ".join(f"=?utf-8?b?{b64encode(chunk).decode()}?=" for chunk in chunks)
