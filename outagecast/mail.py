"""A mail as the bytes that leave: strict addresses, header lines of our own, MIME parts; the same on every retry.

The standard library writes the MIME parts only: its header folding puts a long List-Unsubscribe into encoded words that
nobody can click, and makes encoded words longer than RFC 2047 allows.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import quote

from outagecast.errors import Rejected
from outagecast.model import Delivery

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"(?=.{{1,64}}$){_ATOM}(\.{_ATOM})*")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{4,253}}$)({_LABEL}\.)+(?=[a-z]){_LABEL}")
_MAILBOX = re.compile(r'(?:"(?P<quoted>[^"\\<>@]*)"\s*|(?P<name>[^"\\<>@,;:]*))<(?P<inside>[^<>\s]+)>|(?P<bare>\S+)')
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_BREAKS_A_LINE = re.compile("[\t\r\n\u2028\u2029]")


def parse_address(text: str) -> str:
    """``text`` as SMTP carries it, the domain in ASCII. Raises ValueError unless it is exactly one plain address.

    Strict, because smtplib sends to the first of several, and tidies up what it does not understand.
    """
    local, _, domain = text.rpartition("@")
    host = domain.lower()
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
        if host.encode("ascii").decode("idna") != domain.lower():
            raise ValueError("the old IDNA names another domain here, such as strasse for straße")
    if not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(host):
        raise ValueError("not one plain address")
    return f"{local}@{host}"


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
    content: str


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
        subject, text, html = (delivery.parts.get(part, "") for part in ("subject", "text", "html"))
        if any(map(_UNPRINTABLE.search, (subject, text, html))) or _BREAKS_A_LINE.search(subject):
            raise Rejected("the mail holds control characters, or its subject more than one line")
        lines = self._lines(delivery, recipient)
        header = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return Mail(recipient, lines["Message-ID"], header + _letter(self.from_, self.reply_to, subject, text, html))

    def _lines(self, delivery: Delivery, recipient: str) -> dict[str, str]:
        """The header fields that differ from recipient to recipient."""
        from email.utils import format_datetime

        slug = re.sub(r"[^a-z0-9-]+", "-", delivery.incident.lower())[:60]
        digest = blake2b(f"{delivery.key}\n{delivery.target}".encode(errors="replace"), digest_size=16).hexdigest()
        name = f"oc.{slug}.{delivery.update}.{digest}"
        lines = {
            "Message-ID": f"<{name}@{self.address.rpartition('@')[2]}>",
            "Date": format_datetime(delivery.opened_at),
            "To": recipient,
            "Auto-Submitted": "auto-generated",  # RFC 3834: no out-of-office replies, please
            "Precedence": "bulk",
            "Resend-Idempotency-Key": name,  # https://resend.com/docs/dashboard/emails/idempotency-keys
            "X-EE-Idempotency-Key": name,  # https://github.com/postalsys/emailengine/releases/tag/v2.52.0
        }
        if re.fullmatch(r"[A-Za-z0-9-]{1,35}", delivery.language):
            lines["Content-Language"] = delivery.language
        if delivery.thread and _MESSAGE_ID.fullmatch(delivery.thread.provider_id):
            lines["In-Reply-To"] = lines["References"] = delivery.thread.provider_id
        if self.unsubscribe_url:
            lines["List-Unsubscribe"] = f"<{self.unsubscribe_url.replace('{address}', quote(recipient, safe=''))}>"
            lines["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058
        return lines


@lru_cache(maxsize=32)
def _letter(from_: str, reply_to: str | None, subject: str, text: str, html: str) -> str:
    """What all recipients of a text get alike, dots stuffed: written once, since that takes longer than to send it."""
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
