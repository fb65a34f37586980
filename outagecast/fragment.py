"""What a website's banner is made of: HTML with a section per incident and language, and the same told in JSON.

Whatever the JSON says is read from the sections themselves, so the two cannot disagree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from html.parser import HTMLParser
from typing import Any

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_SECTION = re.compile(
    rf"<!-- outagecast:begin ({_NAME}) ({_NAME}) -->\n(.*?)\n<!-- outagecast:end \1 \2 -->\n", re.DOTALL
)
_SEVERITY = re.compile(r"\boutagecast-(none|minor|major|critical|maintenance)\b")
_TELLING = frozenset({("div", "class"), ("div", "data-from"), ("div", "data-until"), ("a", "href")})
_LINE = frozenset({"br", "div", "li", "p"})
# Harmless in a page's <script>, in a CDATA section and wherever else somebody copies it.
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}
_KEYS = {"schema_version", "incidents"}

Sections = dict[tuple[str, str], str]  # (incident, language) -> HTML, in the order in which they were opened


def can_name(incident: str, language: str) -> bool:
    """Whether a section can be marked with these names."""
    return re.fullmatch(f"{_NAME} {_NAME}", f"{incident} {language}") is not None


def sections(page: str) -> Sections:
    """The sections in a page, whatever else stands in it."""
    return {(incident, language): html for incident, language, html in _SECTION.findall(page)}


def composed(its: Mapping[tuple[str, str], str]) -> str:
    """The page with these sections and nothing else."""
    return "".join(
        f"<!-- outagecast:begin {incident} {language} -->\n{html}\n<!-- outagecast:end {incident} {language} -->\n"
        for (incident, language), html in its.items()
    )


def is_over(html: str, at: datetime) -> bool:
    """Whether a section's end has passed at that time, so that it hides itself."""
    end = Shown.of(html).ends_at if "data-until" in html else None
    return end is not None and end <= at


def is_alarm(html: str) -> bool:
    """Whether a section tells of what fails now."""
    return 'role="alert"' in html.partition(">")[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What a section tells, for machines; what it does not say is None."""

    severity: str | None
    starts_at: datetime | None  # it hides itself before
    ends_at: datetime | None  # and from then on
    text: str  # its words, but for those of its link
    url: str | None  # where that leads
    url_text: str | None

    @classmethod
    def of(cls, html: str) -> Shown:
        """What ``html`` tells: the first place that says a thing counts."""
        reader = _Reader()
        reader.feed(html)
        reader.close()
        severity = _SEVERITY.search(reader.found.get("class", ""))
        return cls(
            severity=severity[1] if severity else None,
            starts_at=_time(reader.found.get("data-from", "")),
            ends_at=_time(reader.found.get("data-until", "")),
            text=_spaced(reader.words),
            url=reader.found.get("href"),
            url_text=_spaced(reader.link) or None,
        )

    def as_json(self) -> dict[str, Any]:
        """The text's object in JSON, but for its HTML."""
        return {
            "severity": self.severity,
            "starts_at": self.starts_at.isoformat() if self.starts_at else None,
            "ends_at": self.ends_at.isoformat() if self.ends_at else None,
            "text": self.text,
            "url": self.url,
            "url_text": self.url_text,
        }


def twin(its: Mapping[tuple[str, str], str]) -> str:
    """The sections in JSON, for front ends; docs/banner.md has its schema."""
    incidents: dict[str, dict[str, Any]] = {}
    for (incident, language), html in its.items():
        texts = incidents.setdefault(incident, {"incident": incident, "texts": {}})["texts"]
        texts[language] = {**Shown.of(html).as_json(), "html": html}
    document = {"schema_version": 1, "incidents": list(incidents.values())}
    return json.dumps(document, indent=1).translate(_ESCAPES) + "\n"


def is_twin(text: str) -> bool:
    """Whether a file holds what ``twin`` writes, or nothing yet."""
    try:
        found = json.loads(text or "null")
    except (ValueError, RecursionError):
        return False
    return not text or (isinstance(found, dict) and found.keys() == _KEYS)


def _spaced(words: Iterable[str]) -> str:
    return " ".join("".join(words).split())


def _time(text: str) -> datetime | None:
    """A time with its offset from UTC; None for anything else."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else None


class _Reader(HTMLParser):
    """Collects the words, those of links apart, and what the first element that says a thing says."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: dict[str, str] = {}
        self.words: list[str] = []
        self.link: list[str] = []
        self._is_link = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._is_link = self._is_link or tag == "a"
        if tag in _LINE:
            self.words.append(" ")
        for name, value in attrs:
            if (tag, name) in _TELLING and value:
                self.found.setdefault(name, value)

    def handle_endtag(self, tag: str) -> None:
        self._is_link = self._is_link and tag != "a"

    def handle_data(self, data: str) -> None:
        (self.link if self._is_link else self.words).append(data)
