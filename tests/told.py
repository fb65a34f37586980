"""What was said on an outage page, for the tests of what is made of it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from outagecast.history import History, Statement
from outagecast.text import printable

BASE = "https://status.example.com"
GROUPS = {"Cards": ["Card payments", "Cash machines"], "Online": ["App"]}
WORDS = {
    "investigating": "Looking for the cause",
    "identified": "Cause found",
    "monitoring": "Working again, watching",
    "resolved": "Fixed",
    "scheduled": "Planned work",
    "in_progress": "Planned work under way",
    "completed": "Planned work finished",
    "retracted": "Correction",
}
WINDOW: Mapping[str, Any] = {"window_start": "2026-11-29T01:00:00+11:00", "window_end": "2026-11-29T05:00:00+11:00"}
FACTS: Mapping[str, Any] = {
    "organisation": "Example Bank",
    "impact": None,
    "title": "Card payments are failing",
    "summary": "Our cards are being declined.",
    "components": [],
    "groups": GROUPS,
    "scope": None,
    "cause": None,
    "workaround": [],
    "compensation": None,
    "aftermath": None,
    "apology": "We're sorry.",
    "retraction_reason": None,
    "phone": "13 20 32",
    "url": None,
    "started_at": None,
    "ended_at": None,
    "eta": None,
    "next_update_at": None,
    "window_start": None,
    "window_end": None,
    "colon": ": ",
    "words": {"title": "Service status", "calendar": "Calendar of planned work"},
}


def said(
    incident: str = "cards", number: int = 1, clock: str = "18:50", status: str = "investigating", **facts: Any
) -> Statement:
    """One update on Sunday 22 November 2026, by Sydney's clock; ``facts`` differ from the usual ones."""
    code, day = facts.pop("language", "en"), facts.pop("day", "2026-11-22")
    at, words = f"{day}T{clock}:00+11:00", {"zone": "Sydney time", "status": WORDS[status], "at": f"Sunday, {clock}"}
    data = {**FACTS, "language": code, "at": at, "status": status, "said": words, **facts}
    rows = [data["title"], data["summary"], *data["workaround"]]
    article = f"<article>{''.join(f'<p>{html.escape(row)}</p>' for row in rows)}</article>"
    return Statement.of(incident, number, code, {"html": article, "data": json.dumps(data)})


def history(*statements: Statement, languages: tuple[str, ...] = ("en",)) -> History:
    """The page on which this was said."""
    return History.of(statements, languages)


def inert(text: str) -> str:
    """``text`` as a reader gets it: nothing in it hides or reorders."""
    return printable(text)


def line(text: str) -> str:
    """The same as a paragraph of an article: all that HTML takes for white space one space."""
    return printable(re.sub("[ \t\n\r\f]+", " ", text).strip(" "))


PIECES = st.sampled_from(
    [
        *(
            "<script>alert(1)</script>",
            "</p>",
            "]]>",
            "<![CDATA[",
            "&amp;",
            "&#x3c;",
            "&bogus;",
            "<!--",
            "-->",
            '"',
            "'",
        ),
        *(
            "\u202egnp.exe",
            "\u2066",
            "\u200b",
            "\ufeff",
            "\0",
            "\x1b[31m",
            "\x85",
            "\u2028",
            "\ufffe",
            "\uffff",
            "\ud800",
        ),
        *(
            "BEGIN:VEVENT",
            "END:VCALENDAR\r\n",
            "\r\nX-EVIL:1",
            "\\n",
            "\\,",
            ";",
            ",",
            ":",
            "a\tb",
            "\n\n",
            "é",
            "日本語" * 20,
        ),
        *("😀", "e\u0301", "{{ 7*191 }}", "{% raw %}", "%s", "http://evil.example/?a=b&c", "\U000e0041"),
    ]
)
FUZZ = settings(deadline=None, derandomize=True, max_examples=60)
HOSTILE = st.lists(PIECES | st.text(max_size=8), min_size=1, max_size=6).map("".join)
