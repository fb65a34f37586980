"""A sheet for the people who answer customers: as a page to print, and as plain text for a wiki.

The files are replaced as a whole. They hold what is not for the public: keep them in a folder that no website shows.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from outagecast.about import about
from outagecast.channel import Carries, Limit, Semantics
from outagecast.model import Delivery, Published, Receipt
from outagecast.noticeboard import Notice, Noticeboard
from outagecast.public_file import SEMANTICS

MODE = 0o640  # the group may read it, and nobody else
LONGEST_PART = 30_000  # bytes; our own limit: nobody on the phone reads more
CLOSING_FOR = timedelta(days=7)  # customers call about their fees for days

# On paper the heading of a sheet stands at the top of each of its pages: browsers repeat a table's header.
STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 44em; padding: 16px; font: 16px/1.45 system-ui, "Segoe UI", Roboto, sans-serif; }
article { overflow-wrap: anywhere; }
article + article { margin-top: 3em; border-top: 3px solid; }
h1 { font-size: 19px; line-height: 1.3; }
h2 { font-size: 16px; margin: 1.2em 0 0.3em; }
ul { margin: 0; padding-inline-start: 1.25em; }
li { margin: 0.2em 0; }
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  article { display: table; width: 100%; }
  article + article { break-before: page; margin: 0; border: 0; }
  header { display: table-header-group; break-inside: avoid; }
  article > div { display: table-row-group; }
  h1 { font-size: 11pt; padding-bottom: 8pt; }
  h2, li { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the files are."""

    path: Path = about("the page to print, such as internal/briefing.html; where no website shows it")

    def __post_init__(self) -> None:
        if self.path.suffix != ".html":
            raise ValueError("path must end in .html, such as internal/briefing.html: .txt is written beside it")


class Briefing:
    """Keeps one sheet for each incident, the newest first; a closed one for a week."""

    kind: ClassVar[str] = "briefing"
    parts: ClassVar[Mapping[str, Limit]] = {
        "heading": Limit(300, "characters", len, Carries.NOTHING),
        "text": Limit(LONGEST_PART, "bytes", lambda part: len(part.encode(errors="replace"))),
        "html": Limit(2 * LONGEST_PART, "bytes", lambda part: len(part.encode(errors="replace"))),
    }
    addresses: ClassVar[Literal["phone", "email"] | None] = None
    escapes: ClassVar[frozenset[str]] = frozenset({"html"})
    semantics: ClassVar[Semantics] = SEMANTICS
    imports: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: Settings) -> None:
        self._path = settings.path

    @staticmethod
    def readers() -> str:
        """Who answers people."""
        return "your own people, with one sheet for each incident"

    def check(self) -> None:
        """Whether the files are ours and can be replaced."""
        self._board.check()

    def send(self, delivery: Delivery) -> Receipt:
        """Put the sheet in the place of the incident's older one."""
        self._board.put(delivery)
        return _receipt(delivery)

    def find(self, delivery: Delivery) -> Receipt | None:
        """The receipt, if the files hold exactly this sheet."""
        return _receipt(delivery) if self._board.carries(delivery) else None

    def read_back(self, delivery: Delivery, receipt: Receipt) -> Published | None:  # noqa: ARG002
        """The sheet, where the files hold it; nobody outside could look at them."""
        return Published(delivery.parts) if self._board.carries(delivery) else None

    def close(self) -> None:
        """Nothing is kept open."""

    @cached_property
    def _board(self) -> Noticeboard:
        return Noticeboard(self._path.with_suffix(".json"), MODE, CLOSING_FOR, self._files)

    def _files(self, notices: Sequence[Notice], languages: Sequence[str]) -> dict[Path, bytes]:  # noqa: ARG002
        newest = sorted(notices, key=lambda notice: notice.said_at, reverse=True)
        texts = [f"{one.parts['heading']}\n\n{one.parts['text']}\n" for one in newest]
        return {
            self._path.with_suffix(".txt"): "\n\n".join(texts).encode(),
            self._path: _page(newest).encode(),
        }


def _page(notices: Sequence[Notice]) -> str:
    title = " / ".join(html.escape(notice.parts["heading"]) for notice in notices) or "-"
    language = notices[0].language if notices else "en"
    sheets = "\n".join(notice.parts["html"] for notice in notices)
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="robots" content="noindex">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{sheets}\n</main>\n</body>\n</html>\n"
    )


def _receipt(delivery: Delivery) -> Receipt:
    return Receipt(f"{delivery.incident}/{delivery.update}/{delivery.language}")
