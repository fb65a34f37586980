"""An outage page of one's own: a folder of static pages in every language, for any web server or storage to show.

What was said is kept beside the pages, so that an update writes only what it changes, the index last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from outagecast import article
from outagecast.about import about
from outagecast.channel import Carries, Limit, Semantics
from outagecast.errors import Rejected
from outagecast.history import Statement
from outagecast.model import Delivery, Published, Receipt
from outagecast.place import INDEX
from outagecast.public_file import SEMANTICS, fetch, length, require_address
from outagecast.s3 import Bucket
from outagecast.secret import Secret

if TYPE_CHECKING:
    from outagecast.mirror import Mirror
    from outagecast.status_folder import StatusFolder

LONGEST_ARTICLE, LONGEST_DATA = 32_768, 65_536  # bytes; our own limits: a page is read on a phone
_STORAGE = ("endpoint_url", "region", "access_key_id", "secret_access_key")
_FACTS = frozenset(  # what no page can do without
    {"at", "components", "groups", "languages", "organisation", "said", "states", "status", "summary", "title", "words"}
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the folder is, and where the public sees it."""

    path: Path = about("the folder of the pages, such as public/status")
    public_url: str | None = about("where the public sees the folder, for reading back and for feeds", default=None)
    publish: str | None = about("S3-compatible storage it is copied to, such as s3://bucket/prefix", default=None)
    endpoint_url: str | None = about("the storage's address; without it Amazon's", default=None)
    region: str | None = about("the bucket's region", default=None)
    access_key_id: Secret | None = about("the storage's key; without it what AWS's own tools use", default=None)
    secret_access_key: Secret | None = about("the key's secret", default=None)

    def __post_init__(self) -> None:
        require_address(self.public_url, "https://status.example.com/")
        _ = self.bucket

    @property
    def bucket(self) -> Bucket | None:
        """Where the folder is copied to, if it is. Raises ValueError."""
        its = {name: getattr(self, name) for name in _STORAGE}
        if self.publish:
            return Bucket(address=self.publish, **its)
        if given := [name for name, value in its.items() if value]:
            raise ValueError(f"{given[0]} goes with publish")
        return None


class StatusPage:
    """Puts each update on the incident's page and on the index, in its language."""

    kind: ClassVar[str] = "status_page"
    parts: ClassVar[Mapping[str, Limit]] = {
        "html": Limit(LONGEST_ARTICLE, "bytes", length),
        "data": Limit(LONGEST_DATA, "bytes", length, Carries.NOTHING, for_programs=True),
    }
    addresses: ClassVar[Literal["phone", "email"] | None] = None
    escapes: ClassVar[frozenset[str]] = frozenset({"html"})
    semantics: ClassVar[Semantics] = SEMANTICS
    imports: ClassVar[tuple[str, ...]] = ("jinja2",)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @staticmethod
    def languages(promised: tuple[str, ...]) -> tuple[str, ...]:
        """All: each has pages of its own."""
        return promised

    @staticmethod
    def links() -> tuple[str, ...]:
        """None: who reads it is there already."""
        return ()

    def check(self) -> None:
        """Whether the folder is ours and can be written, and whether the storage and the public address show it."""
        self._folder.check()
        if self._mirror:
            self._mirror.check()
        url, path = self._settings.public_url, self._settings.path
        if url and self._folder.page(INDEX) is not None and self._seen(INDEX) is None:
            hint = "`path` and `public_url` must be the same folder: correct one of them"
            raise Rejected(f"{url} has no {INDEX}, though {path} has", hint=hint, account=True)

    def send(self, delivery: Delivery) -> Receipt:
        """Publish every file that the update changes."""
        said = _statement(delivery)
        if self._mirror:
            self._folder.add(said, self._mirror.publish)
        else:
            self._folder.add(said)
        return self._receipt(delivery)

    def find(self, delivery: Delivery) -> Receipt | None:
        """The receipt, if the folder carries exactly this; it is noted there once all of it is out."""
        return self._receipt(delivery) if self._folder.carries(_statement(delivery)) else None

    def read_back(self, delivery: Delivery, receipt: Receipt) -> Published | None:  # noqa: ARG002
        """The update as the public sees it; where the index has stayed behind, what that shows."""
        place, name = self._folder.place, delivery.incident
        index = self._seen(place.folder(delivery.language) + INDEX)
        if index is None:
            return None
        newest = max((number for slug, number in index if slug == name), default=delivery.update)
        shown = index.get((name, min(newest, delivery.update)))
        if shown is None:  # it is over, or an earlier one of many
            page = self._seen(place.incident(name, delivery.language)) or {}
            shown = page.get((name, delivery.update), "")
        return Published({"html": shown}, self._settings.public_url)

    def close(self) -> None:
        """Let go of the storage's connections."""
        if self._mirror:
            self._mirror.close()

    @cached_property
    def _folder(self) -> StatusFolder:
        from outagecast.status_folder import StatusFolder

        return StatusFolder(self._settings.path, self._settings.public_url)

    @cached_property
    def _mirror(self) -> Mirror | None:
        from outagecast.mirror import Mirror

        return Mirror(self._settings.path, self._settings.bucket) if self._settings.bucket else None

    def _seen(self, path: str) -> dict[tuple[str, int], str] | None:
        """The updates on a page as the public gets it; None where there is no such page."""
        url = self._settings.public_url
        page = fetch(f"{url.rstrip('/')}/{path}") if url else self._folder.page(path)
        return None if page is None else article.found_in(page)

    def _receipt(self, delivery: Delivery) -> Receipt:
        digest = hashlib.sha256(delivery.parts["html"].encode()).hexdigest()
        place = self._folder.place
        page = place.url(place.incident(delivery.incident, delivery.language)) if self._settings.public_url else None
        return Receipt(f"sha256:{digest}", page)


def _statement(delivery: Delivery) -> Statement:
    """What is to be said. Raises Rejected where it cannot stand on a page."""
    why = article.objection(delivery.parts["html"])
    try:
        said = Statement.of(delivery.incident, delivery.update, delivery.language, delivery.parts)
    except ValueError:
        why, said = why or "its data is no JSON object", Statement("", 0, "", "", {})
    lacking = sorted(_FACTS - said.data.keys())
    if why or lacking:
        hint = "correct the template, or `variants`"
        raise Rejected(f"the update was not published: {why or f'its data has no {lacking[0]}'}", hint=hint)
    return said
