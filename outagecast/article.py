"""One update on an outage page: what its HTML may hold, and where it stands in a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from outagecast.text import harmful_characters

_PAGE = re.compile(r'<article id="([a-z0-9-]+)-(\d+)"[^>]*>\n(.*?)\n</article>', re.DOTALL)
_VOID = frozenset({"br", "hr"})
_TAGS = _VOID | {
    *("a", "abbr", "b", "bdi", "blockquote", "code", "dd", "div", "dl", "dt", "em", "h3", "h4", "i", "li", "ol", "p"),
    *("small", "span", "strong", "table", "tbody", "td", "th", "thead", "time", "tr", "u", "ul"),
}
_ATTRIBUTES = frozenset({"class", "datetime", "dir", "href", "lang", "title"})
_HREF = re.compile(r"(https?://|tel:|mailto:|#)", re.IGNORECASE)


def found_in(page: str) -> dict[tuple[str, int], str]:
    """The updates that a page holds word for word, by incident and number."""
    return {(slug, int(number)): html for slug, number, html in _PAGE.findall(page)}


def objection(html: str) -> str | None:
    """Why an update's HTML cannot stand in a page among others; None where it can.

    The shipped templates give no reason; what was written by hand, or by a template of one's own, may.
    """
    if found := harmful_characters(html):
        return f"it holds an invisible character, {found[0][1]}"
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return next(iter(reader.objections), None) or (f"<{reader.open[-1]}> is not closed" if reader.open else None)


class _Reader(HTMLParser):
    """Notes what would reach out of the update, or do anything but show words."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.open: list[str] = []
        self.objections: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _TAGS:
            self.objections.append(f"<{tag}> has no place in it")
        self.objections += [f"{name}= has no place in it" for name, _ in attrs if name not in _ATTRIBUTES]
        if any(name == "href" and not _HREF.match(value or "") for name, value in attrs):
            self.objections.append("a link in it leads nowhere")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)  # for a browser <p/> is <p>

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID or not self.open or self.open.pop() != tag:
            self.objections.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if "<" in data:  # a browser may see a tag where we see none
            self.objections.append("it holds a < that begins no tag: write &lt;")

    def handle_comment(self, data: str) -> None:  # noqa: ARG002 - the parser's
        self.objections.append("it holds a comment")

    def handle_decl(self, decl: str) -> None:
        self.handle_comment(decl)

    def handle_pi(self, data: str) -> None:
        self.handle_comment(data)

    def unknown_decl(self, data: str) -> None:
        self.handle_comment(data)
