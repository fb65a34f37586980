"""HTML from a template, or from a person, made safe to show on a page of ours."""

from __future__ import annotations

import html
from html.parser import HTMLParser

from markupsafe import Markup

_UNSEEN = frozenset({"script", "style", "template", "title", "noscript", "iframe", "object", "textarea", "select"})
_SHOWN = {tag: f"<{tag}>" for tag in ("p", "strong", "em", "b", "i", "ul", "ol", "li")}
_SHOWN |= {"a": '<span class="link">', "h1": "<p>", "h2": "<p>", "h3": "<p>"}
_END = {tag: f"</{start[1:-1].split()[0]}>" for tag, start in _SHOWN.items()}


def inert(fragment: str) -> Markup:
    """The words of an HTML fragment and how they stand together: no attribute, link, image, script or comment."""
    parser = _Inert()
    parser.feed(fragment)
    return Markup(parser.result())  # noqa: S704 - built of escaped text and the few tags above


class _Inert(HTMLParser):
    """Rebuilds HTML out of the few elements that only say how words stand together; all else is left out."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._open: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - the parser's
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag == "br":
            self.pieces.append("<br>")
        elif name := _SHOWN.get(tag):
            self.pieces.append(name)
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(self._unseen - 1, 0)
        elif tag in self._open:
            while (last := self._open.pop()) != tag:
                self.pieces.append(_END[last])
            self.pieces.append(_END[tag])

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.pieces.append(html.escape(data))

    def result(self) -> str:
        self.close()
        return "".join([*self.pieces, *(_END[tag] for tag in reversed(self._open))]).strip()
