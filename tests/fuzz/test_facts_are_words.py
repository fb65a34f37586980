"""Whatever the facts of a message hold, on every channel they are words: no code, no markup, no header, no address."""

from __future__ import annotations

import email
import email.policy
import os
import re
import time
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from outagecast.errors import MessageError, PlanError, TemplateError
from outagecast.mail import Letterhead
from outagecast.model import Delivery, Status, Variant
from outagecast.text import harmful_characters

pytestmark = pytest.mark.sweep

TIMES = int(os.environ.get("OUTAGECAST_FUZZ", "1"))
FUZZ = settings(derandomize=TIMES == 1, deadline=None, suppress_health_check=list(HealthCheck))
PATIENCE = 4.0  # seconds of the processor's time, for five channels
HEADERS = {
    *("message-id", "date", "to", "auto-submitted", "precedence", "resend-idempotency-key", "x-ee-idempotency-key"),
    *("content-language", "list-unsubscribe", "list-unsubscribe-post", "subject", "from", "content-type"),
    *("mime-version", "content-transfer-encoding"),
}
HOSTILE = [
    *(
        "{{ 7*191 }}",
        "{{ ''.__class__.__mro__ }}",
        "{% for x in 'ab' %}zq{% endfor %}",
        "{# gone #}",
        "{{",
        "%}",
        "${7*191}",
    ),
    *(
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '"><b>',
        "</p><p>",
        "&lt;b&gt;",
        "<!--",
        "]]>",
        "&#x3c;b",
    ),
    *(
        "a\r\nBcc: eve@example.net",
        "a\nSubject: b",
        "a\r\n\r\nbody",
        "\n.\r\nMAIL FROM:<eve@example.net>",
        "=?utf-8?q?=0D=0A?=",
    ),
    *("[/red]", "[link=http://evil.example]x", "[2J", "a\tb"),
    *(
        "مرحبا",
        "שלום",
        "日本語",
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "e\u0301" * 9,
        "x" * 60,
        "…",
        "'",
        "`id`",
        "$(id)",
        "; DROP TABLE deliveries;--",
        "\\",
        "%s%n",
        "{0}",
    ),
    *("@everyone", "#tag", "http://evil.example/?a=b&c=d", "eve@example.net, mallory@example.net", "<eve@example.net>"),
]
REFUSED = ["\x1b[31mred", "\u202egnp", "\u2066", "\0", "\x85", "\u2028", "\ud800", "\ufeff"]
PIECES = st.sampled_from(HOSTILE * 6 + REFUSED) | st.text("abc é\U0001f534<>&{}%\"'", max_size=8)
WORDS = st.lists(PIECES, min_size=1, max_size=3).map(" ".join)
NAMES = ("title", "summary", "cause", "scope", "compensation", "apology", "aftermath")
FACTS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(NAMES, WORDS)
    | {
        "status": st.sampled_from(["investigating", "identified", "monitoring", "resolved"]),
        "workaround": st.lists(WORDS, max_size=2),
        "components": st.dictionaries(WORDS, st.just("operational"), max_size=2),
        "contact": st.fixed_dictionaries({}, optional={"phone": WORDS, "url": st.just("https://a.b/") | WORDS}),
        "variants": st.fixed_dictionaries(
            {}, optional={"smtp": st.fixed_dictionaries({"en": st.dictionaries(st.just("subject"), WORDS)})}
        ),
    },
)


# What our own templates make.
TAGS = {
    "a",
    "div",
    "h1",
    "h2",
    "head",
    "html",
    "body",
    "li",
    "main",
    "meta",
    "p",
    "strong",
    "style",
    "title",
    "ul",
    "a href",
    "a rel",
    "div class",
    "div data-from",
    "div data-until",
    "div lang",
    "div role",
    "html lang",
    "meta charset",
    "meta content",
    "meta name",
}


class Tags(HTMLParser):
    """The tags and attributes of a page, and its words."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: set[str] = set()
        self.words = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(f"{tag} {name}" for name, _ in attrs)}

    def handle_comment(self, data: str) -> None:
        if not data.strip().startswith("outagecast"):
            self.found.add("comment")

    def handle_data(self, data: str) -> None:
        self.words += data


@settings(FUZZ, max_examples=80 * TIMES)
@given(facts=FACTS)
@example(facts=dict.fromkeys(NAMES, "{{ 7*191 }} <script>alert(1)</script>"))
def test_facts_are_words_on_every_channel(newsroom: Any, facts: dict[str, Any]) -> None:
    began = time.process_time()
    try:
        variants = newsroom.variants(**facts)
    except (MessageError, TemplateError, PlanError):
        return
    finally:
        assert time.process_time() - began < PATIENCE
    for variant in variants:
        for part, text in variant.parts.items():
            assert not harmful_characters(text)
            assert "1337" not in text  # 7 * 191
            assert "zqzq" not in text
            if part == "html":
                assert Tags(text).found <= TAGS
        if variant.kind == "smtp":
            check_mail(variant)


def check_mail(variant: Variant) -> None:
    """That the mail has the header lines that it should have, each once, and goes to one address."""
    delivery = Delivery(
        key="k",
        incident="card-payments",
        update=1,
        status=Status.INVESTIGATING,
        target="ana@example.org",
        language=variant.language,
        parts=variant.parts,
        opened_at=datetime(2026, 11, 22, 7, 30, tzinfo=UTC),
    )
    mail = Letterhead("Example Bank <status@example.com>").write(delivery)
    assert mail.recipient == "ana@example.org"
    assert re.search(rb"(?<!\r)\n|\r(?!\n)|^\.[^.\r]|\r\n\.\r\n.", mail.content) is None
    read = email.message_from_bytes(mail.content, policy=email.policy.SMTP)
    assert {name.lower() for name in read} <= HEADERS
    assert len(read.keys()) == len(set(map(str.lower, read)))
    assert read["To"].addresses[0].addr_spec == "ana@example.org"
    assert len(read["To"].addresses) == 1
    assert not {"\r", "\n"} & set(str(read["Subject"]))
