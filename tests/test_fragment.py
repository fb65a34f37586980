"""The banner's HTML and its twin in JSON say the same, and hostile words stay words in both."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outagecast import fragment
from outagecast.fragment import Shown

SOURCES = Path(__file__).parents[1]
SAID = """<div class="outagecast-banner outagecast-major" role="alert" lang="en" data-until="2026-11-23T19:30+11:00">
<p><strong>Cards &amp; payments fail.</strong>
Cash machines<br>work.
<a href="https://status.example.com/?a=1&amp;b=2">What we
know</a></p></div>"""
HOSTILE = st.lists(
    st.sampled_from(
        [
            *(
                "<script>alert(1)</script>",
                "</script>",
                "<!--",
                "-->",
                "]]>",
                "&lt;",
                "&#0;",
                "&amp;amp;",
                "</div></p>",
            ),
            *('" onmouseover="x', "'", "\u202e", "\u2066", "\u2028", "<!-- outagecast:end a en -->", "🚧", "故障", " "),
            *("<!--#exec cmd='id' -->", "<esi:include src='x'/>", "data-until=2000-01-01T00:00Z", "\\u003c"),
        ]
    )
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=20),
    max_size=8,
).map("".join)


def texts(its: fragment.Sections) -> dict[tuple[str, str], dict[str, Any]]:
    """The twin's texts, by incident and language."""
    found = json.loads(fragment.twin(its))["incidents"]
    return {(item["incident"], language): text for item in found for language, text in item["texts"].items()}


def test_what_a_section_tells_machines_is_read_from_its_element() -> None:
    assert Shown.of(SAID) == Shown(
        severity="major",
        starts_at=None,
        ends_at=datetime(2026, 11, 23, 8, 30, tzinfo=UTC),
        text="Cards & payments fail. Cash machines work.",
        url="https://status.example.com/?a=1&b=2",
        url_text="What we know",
    )


@pytest.mark.parametrize("until", ["", "tomorrow", "2026-11-23T19:30", "1e99", "99999-01-01T00:00Z"])
def test_a_time_that_is_none_hides_nothing(until: str) -> None:
    said = SAID.replace("2026-11-23T19:30+11:00", until)

    assert Shown.of(said).ends_at is None
    assert not fragment.is_over(said, datetime(9999, 1, 1, tzinfo=UTC))


def test_a_section_is_over_from_the_minute_of_its_end() -> None:
    end = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)

    assert [fragment.is_over(SAID, end.replace(minute=minute)) for minute in (29, 30)] == [False, True]


def test_the_twin_groups_what_is_said_by_incident_and_language() -> None:
    its = {("cards", "en"): SAID, ("app", "en"): "<p>The app is slow.</p>", ("cards", "ro"): "<p>Cardurile.</p>"}

    found = json.loads(fragment.twin(its))

    assert [(item["incident"], list(item["texts"])) for item in found["incidents"]] == [
        ("cards", ["en", "ro"]),
        ("app", ["en"]),
    ]
    assert found["incidents"][0]["texts"]["en"] == {
        "severity": "major",
        "starts_at": None,
        "ends_at": "2026-11-23T19:30:00+11:00",
        "text": "Cards & payments fail. Cash machines work.",
        "url": "https://status.example.com/?a=1&b=2",
        "url_text": "What we know",
        "html": SAID,
    }


@pytest.mark.parametrize(
    ("text", "is_ours"),
    [
        ("", True),
        (fragment.twin({}), True),
        (fragment.twin({("cards", "en"): SAID}), True),
        ("{}", False),
        ("[]", False),
        ("null", False),
        ("\0", False),
        ("[" * 100_000, False),
        ('{"name": "our-shop"}', False),
    ],
)
def test_only_what_it_wrote_itself_is_a_twin(text: str, is_ours: bool) -> None:
    assert fragment.is_twin(text) == is_ours


@given(HOSTILE, HOSTILE)
def test_hostile_words_are_words_in_the_fragment_and_in_its_twin(first: str, second: str) -> None:
    its = {
        ("a", "en"): f'<div class="outagecast-banner outagecast-minor"><p>{html.escape(first)}</p></div>',
        ("b", "en"): f"<p>{html.escape(second)}</p>",
    }

    page, told = fragment.composed(its), fragment.twin(its)

    assert fragment.sections(page) == its
    assert {tag for tag, _ in Tags(page).found} == {"div", "p"}
    assert set("<>&").isdisjoint(told)
    assert told.isascii()
    assert texts(its)["b", "en"]["html"] == its["b", "en"]
    assert texts(its)["a", "en"]["text"].split() == first.split()
    assert texts(its)["a", "en"]["ends_at"] is None


class Tags(HTMLParser):
    """Every element of a page, with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))


@pytest.mark.skipif(not (SOURCES / "docs").is_dir(), reason="the docs are not installed, only the code is")
def test_every_key_of_the_twin_is_documented_and_no_other() -> None:
    page = (SOURCES / "docs" / "banner.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `([\w.\[\]<>]+)` \|", page.partition("| banner.json |")[2], flags=re.MULTILINE)
    inner = [f"incidents[].texts.<language>.{key}" for key in texts({("a", "en"): SAID})["a", "en"]]

    assert documented == ["schema_version", "incidents[].incident", *inner]
