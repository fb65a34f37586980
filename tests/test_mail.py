"""A mail that is joined from pieces is the mail that the standard library would have written."""

from __future__ import annotations

import email
import email.policy
import re
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from hashlib import blake2b
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outagecast.errors import Rejected
from outagecast.mail import Letterhead, Mail, parse_address
from outagecast.model import Delivery, Receipt, Status

ANA = Delivery(
    key="card-payments:1:email:ana@example.org",
    incident="card-payments-2026-11-22",
    update=1,
    status=Status.INVESTIGATING,
    target="ana@example.org",
    language="en",
    parts={
        "subject": "Card payments are failing, since 6:30pm",
        "text": "Our cards are being declined.\n.\nWe are sorry.\n",
        "html": "<html><body><p>We are sorry.</p></body></html>\n",
    },
    opened_at=datetime(2026, 11, 22, 7, 30, tzinfo=UTC),
)
PLAIN = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=60)
LINES = st.lists(PLAIN | st.sampled_from([".", "..", "From here", "x" * 2000]), max_size=6).map(
    lambda lines: "".join(f"{line}\n" for line in lines)
)
ATOM = st.text("abcXYZ019!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=12)
ADDRESSES = st.builds(
    "{}@{}".format,
    st.lists(ATOM, min_size=1, max_size=3).map(".".join),
    st.sampled_from(["example.org", "Mail.Example.NET", "a-b.example", "bücher.example", "xn--bcher-kva.example"]),
)
URLS = st.sampled_from(
    [
        None,
        "https://example.com/u?a={address}",
        "https://example.com/%7Bu%7D/%s/{address}?again={address}",
        "https://example.com/u",
    ]
)


def plain(mail: Mail) -> EmailMessage:
    """The mail as its reader's program sees it."""
    assert mail.content.endswith(b"\r\n.\r\n")
    read = email.message_from_bytes(re.sub(rb"(?m)^\.\.", b".", mail.content[:-3]), policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    return read


def built(letterhead: Letterhead, delivery: Delivery) -> EmailMessage:
    """The same mail, as the standard library builds it from its values alone."""
    recipient = parse_address(delivery.target)
    digest = blake2b(f"{delivery.key}\n{delivery.target}".encode(), digest_size=16).hexdigest()
    name = f"oc.{delivery.incident}.{delivery.update}.{digest}"
    message = EmailMessage(policy=email.policy.SMTP.clone(max_line_length=998))
    message["Message-ID"] = f"<{name}@example.com>"
    message["Date"] = format_datetime(delivery.opened_at)
    message["To"] = recipient
    message["Auto-Submitted"] = "auto-generated"
    message["Precedence"] = "bulk"
    message["Resend-Idempotency-Key"] = message["X-EE-Idempotency-Key"] = name
    if delivery.thread:
        message["In-Reply-To"] = message["References"] = delivery.thread.provider_id
    if letterhead.unsubscribe_url:
        url = letterhead.unsubscribe_url.replace("{address}", quote(recipient, safe=""))
        message["List-Unsubscribe"] = f"<{url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["Subject"] = delivery.parts["subject"]
    message["From"] = letterhead.from_
    if letterhead.reply_to:
        message["Reply-To"] = letterhead.reply_to
    message.set_content(delivery.parts["text"])
    if "html" in delivery.parts:
        message.add_alternative(delivery.parts["html"], subtype="html")
    message["Content-Language"] = delivery.language  # last, since the content takes the fields of its kind along
    return message


def shown(message: EmailMessage) -> tuple[object, ...]:
    """All that a reader may see of it: every header field and part, decoded."""
    of_parts = {"Content-Type", "Content-Transfer-Encoding", "MIME-Version"}
    fields = sorted((name, str(value)) for name, value in message.items() if name not in of_parts)
    parts = [
        (part.get_content_type(), str(part.get_content()).replace("\r\n", "\n"))
        for part in message.walk()
        if not part.is_multipart()
    ]
    return fields, message.get_content_type(), parts


@settings(max_examples=150, deadline=None)
@given(
    subject=st.text("abc äß„“💳:;,=?_<>@\"'()", max_size=60).map(lambda text: " ".join(text.split())),
    text=LINES,
    html=st.none() | LINES,
    target=ADDRESSES,
    url=URLS,
    thread=st.sampled_from([None, Receipt("<oc.cards.1.00@example.com>")]),
    reply_to=st.sampled_from([None, "help@example.com"]),
)
def test_the_joined_mail_reads_as_the_one_that_the_library_builds(
    subject: str,
    text: str,
    html: str | None,
    target: str,
    url: str | None,
    thread: Receipt | None,
    reply_to: str | None,
) -> None:
    parts = {"subject": subject, "text": text, **({} if html is None else {"html": html or "\n"})}
    letterhead = Letterhead("Example Bank <status@example.com>", reply_to, url)
    delivery = ANA._replace(target=target, key=f"cards:1:email:{target}", parts=parts, thread=thread)

    mail = letterhead.write(delivery)

    assert shown(plain(mail)) == shown(built(letterhead, delivery))
    assert mail.recipient == parse_address(target)
    assert mail.message_id == str(plain(mail)["Message-ID"])
    assert mail.content.count(b"\r\n.\r\n") == 1
    assert re.search(rb"[^\r]\n|\r[^\n]|[\0\x80-\xff]", mail.content) is None
    assert max(map(len, mail.content.split(b"\r\n"))) <= 998


GOLDEN = """\
Message-ID: <oc.card-payments-2026-11-22.1.fa0648851aa3b9410f5a49b6ab2a6609@example.com>
Date: Sun, 22 Nov 2026 07:30:00 +0000
To: ana@example.org
Auto-Submitted: auto-generated
Precedence: bulk
Resend-Idempotency-Key: oc.card-payments-2026-11-22.1.fa0648851aa3b9410f5a49b6ab2a6609
X-EE-Idempotency-Key: oc.card-payments-2026-11-22.1.fa0648851aa3b9410f5a49b6ab2a6609
Content-Language: en
In-Reply-To: <oc.cards.0.00@example.com>
References: <oc.cards.0.00@example.com>
List-Unsubscribe: <https://example.com/u?a=ana%40example.org>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
Subject: Card payments are failing, since 6:30pm
From: "Example Bank" <status@example.com>
Reply-To: help@example.com
MIME-Version: 1.0
Content-Type: multipart/alternative;
 boundary="oc-eecdd1b299b05d8a6da67cd8d59edf2f"

--oc-eecdd1b299b05d8a6da67cd8d59edf2f
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: quoted-printable

Our cards are being declined.
..
We are sorry.

--oc-eecdd1b299b05d8a6da67cd8d59edf2f
Content-Type: text/html; charset="utf-8"
Content-Transfer-Encoding: quoted-printable
MIME-Version: 1.0

<html><body><p>We are sorry.</p></body></html>

--oc-eecdd1b299b05d8a6da67cd8d59edf2f--
.
"""


def test_a_mail_that_another_version_may_have_sent_is_still_the_same_bytes() -> None:
    letterhead = Letterhead(
        "Example Bank <status@example.com>", "help@example.com", "https://example.com/u?a={address}"
    )

    mail = letterhead.write(ANA._replace(thread=Receipt("<oc.cards.0.00@example.com>")))

    assert mail.content == GOLDEN.replace("\n", "\r\n").encode()


def test_what_is_each_recipients_own_is_in_no_other_mail() -> None:
    letterhead = Letterhead("status@example.com", None, "https://example.com/u?a={address}")
    others = [ANA._replace(target=f"p{number}@example.org", key=f"k{number}") for number in range(20)]

    mails = [letterhead.write(one) for one in others]

    for mail, one in zip(mails, others, strict=True):
        assert re.findall(rb"p\d+(?:@|%40)example.org", mail.content) == [
            one.target.encode(),
            one.target.replace("@", "%40").encode(),
        ]
        digest = mail.message_id.split(".")[-2].partition("@")[0].encode()
        assert mail.content.count(digest) == 3
    assert len({mail.message_id for mail in mails}) == 20


@pytest.mark.parametrize("hole", ["\0", "%(digest)s", "%s", "{address}", "{0}"])
def test_what_looks_like_a_hole_in_the_words_is_none(hole: str) -> None:
    letterhead = Letterhead("status@example.com", None, "https://example.com/u?a={address}")
    delivery = ANA._replace(parts={"subject": f"Cards {hole}", "text": f"We {hole} are.\n", "html": f"<p>{hole}</p>\n"})

    if hole == "\0":
        with pytest.raises(Rejected, match="control characters"):
            letterhead.write(delivery)
    else:
        read = plain(letterhead.write(delivery))
        assert read["Subject"] == f"Cards {hole}"
        assert [str(part.get_content()).replace("\r\n", "\n") for part in read.iter_parts()] == [
            f"We {hole} are.\n",
            f"<p>{hole}</p>\n",
        ]


def test_two_texts_never_share_a_stencil() -> None:
    letterhead = Letterhead("status@example.com")
    changes: list[dict[str, object]] = [
        {"update": 2},
        {"incident": "other"},
        {"language": "ro"},
        {"opened_at": datetime(2026, 11, 23, tzinfo=UTC)},
        {"parts": {**ANA.parts, "html": "<p>Other.</p>\n"}},
        {"parts": {**ANA.parts, "text": "Other.\n"}},
        {"parts": {**ANA.parts, "subject": "Other"}},
    ]

    contents = {letterhead.write(ANA._replace(**change)).content for change in changes}  # type: ignore[arg-type]

    assert len(contents | {letterhead.write(ANA).content, Letterhead("other@example.com").write(ANA).content}) == 9
