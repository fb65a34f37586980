"""Where an outage page stands, and the pages and machine forms beside it: their paths, addresses and lasting names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from outagecast import links

INDEX = "index.html"
FEED = "history.atom"
CALENDAR = "maintenance.ics"


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of an outage page as the public reaches it; its first language stands at the top, others below."""

    base_url: str  # with or without a slash at its end
    languages: tuple[str, ...]

    @property
    def host(self) -> str:
        """The domain in plain letters, as it is looked up."""
        return links.domain(self.base_url) or "localhost"

    def url(self, path: str = "") -> str:
        """The address of a file; of the page itself where no path is given."""
        return f"{self.base_url.rstrip('/')}/{path}"

    def folder(self, language: str) -> str:
        """What the paths of a language's pages begin with."""
        return "" if language == self.languages[0] else f"{language}/"

    def incident(self, slug: str, language: str) -> str:
        """The path of an incident's page."""
        return f"{self.folder(language)}incidents/{slug}.html"

    def feed(self, language: str) -> str:
        """The path of a language's Atom feed."""
        return f"{self.folder(language)}{FEED}"

    def alert(self, slug: str) -> str:
        """The path of an incident's CAP message."""
        return f"cap/{slug}.cap.xml"

    def tag(self, name: str) -> str:
        """A name that stays, whatever becomes of the address: a ``tag:`` URI (RFC 4151), dated as Statuspage's are."""
        return f"tag:{self.host},2005:{name}"


def identity(kind: str, *names: object) -> str:
    """The id of a page, component, group, incident or update: always the same for the same names."""
    return hashlib.sha256("\0".join([kind, *map(str, names)]).encode(errors="surrogatepass")).hexdigest()[:12]
