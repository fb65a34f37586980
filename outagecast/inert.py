"""HTML from a template, or from a person, made safe to show on a page of ours."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

from markupsafe import Markup

_UNSEEN = frozenset({"script", "style", "template", "title", "noscript", "iframe", "object", "textarea", "select"})
_SHOWN = {tag: f"<{tag}>" for tag in ("p", "strong", "em", "b", "i", "ul", "ol", "li")}
_SHOWN |= {"a": '<span class="link">', "h1": "<p>", "h2": "<p>", "h3": "<p>"}
_END = {tag: f"</{start[1:-1].split()[0]}>" for tag, start in _SHOWN.items()}
_TAG = re.compile(r"<(?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9]*)(?:[^>\"']|\"[^\"]*\"|'[^']*')*>")
_WHOLE_UNSEEN = re.compile(rf"<!--.*?-->|<({'|'.join(_UNSEEN)})\b.*?</\1>", re.IGNORECASE | re.DOTALL)
_LABEL_END = re.compile(r"</(?:dt|th)> ?", re.IGNORECASE)
_VALUE = frozenset({"dd", "td"})
_SPACE = re.compile(r"[ \t\n\r\f]+")  # as HTML has it: a space that must not be broken is none of it
_INLINE = frozenset(
    "a abbr b bdi cite code em i mark q s small span strong sub sup time u var wbr".split()  # noqa: SIM905 - one line
)


def inert(fragment: str) -> Markup:
    """The words of an HTML fragment and how they stand together: no attribute, link, image, script or comment."""
    parser = _Inert()
    parser.feed(fragment)
    return Markup(parser.result())  # noqa: S704 - built of escaped text and the few tags above


def words(fragment: str, colon: str = ": ") -> str:
    """What somebody reads in an HTML fragment: a line for each block, a label in one line with what it names.

    ``colon`` is what the language puts between the two.
    """
    folded = _SPACE.sub(" ", _WHOLE_UNSEEN.sub("", fragment))
    marked = _TAG.sub(_break, _LABEL_END.sub(lambda _: colon, folded))
    lines = (_SPACE.sub(" ", html.unescape(line)).strip(" ") for line in marked.split("\n"))
    return "\n".join(line for line in lines if line)


def _break(tag: re.Match[str]) -> str:
    """What stands in the text for a tag."""
    end, name = tag["end"], tag["name"].lower()
    return "" if name in _INLINE or (name in _VALUE and not end) else "\n"


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
