"""Outage pages from the ledger: built anew from all they carry, shown on this machine, copied to where they live."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from outagecast.config import ChannelConfig, Config
from outagecast.errors import Problem, TemplateError, UsageError
from outagecast.history import Incident, Statement
from outagecast.ledger import Ledger
from outagecast.status_folder import StatusFolder
from outagecast.template import Book

KIND = "status_page"
_TYPES = {".atom": "application/atom+xml", ".ics": "text/calendar", ".json": "application/json"}


@dataclass(frozen=True, slots=True)
class Built:
    """What building one page came to."""

    channel: str
    path: Path
    incidents: int
    files: int

    def as_json(self) -> dict[str, Any]:
        """The page's object of the JSON contract."""
        return {"channel": self.channel, "path": str(self.path), "incidents": self.incidents, "files": self.files}


def chosen(config: Config, name: str | None) -> list[ChannelConfig]:
    """The outage page of that name, or all there are. Raises UsageError where there is none."""
    pages = [channel for channel in config.usable.values() if channel.kind == KIND]
    if name is not None:
        pages = [channel for channel in pages if channel.name == name]
    if not pages:
        which = f'"{name}" is no channel of the kind {KIND}' if name else f"no channel is of the kind {KIND}"
        raise UsageError(Problem(which, f"configure one: page: {{kind: {KIND}, path: public/status}}"))
    return pages


def build(config: Config, channel: ChannelConfig, ledger: Ledger | None) -> Built:
    """Every file of a page anew, from what it carries by the ledger; an empty page where there is none yet.

    Raises ChannelError, LedgerError and TemplateError.
    """
    folder = StatusFolder(channel.settings.path, channel.settings.public_url)
    incidents = _told(ledger, channel) if ledger else []
    files = folder.rebuild(incidents, _furniture(config, channel))
    return Built(channel.name, folder.path, len(incidents), len(files))


def _told(ledger: Ledger, channel: ChannelConfig) -> list[Incident]:
    """All incidents that the page carries, the oldest first."""
    order = list(channel.options.languages or ())
    words = sorted(
        ledger.carried(channel.name), key=lambda one: (one.incident, one.number, _place(order, one.language))
    )
    incidents = [
        Incident(slug, [Statement.of(slug, one.number, one.language, one.parts) for one in its])
        for slug, its in itertools.groupby(words, lambda one: one.incident)
    ]
    return sorted(incidents, key=lambda incident: incident.created_at)


def _place(order: list[str], language: str) -> int:
    return order.index(language) if language in order else len(order)


def _furniture(config: Config, channel: ChannelConfig) -> dict[str, dict[str, Any]]:
    """What stands around the updates, by language, as the ``data`` part has it."""
    languages = channel.options.languages or ()
    furniture = {}
    for language in languages:
        phrases = Book(language, config.templates).phrases
        if missing := [name for name in ("page", "component_states") if name not in phrases]:
            hint = "take it over from the shipped file"
            raise TemplateError(Problem(f'does not set "{missing[0]}"', hint, f"{language}/phrases.j2"))
        furniture[language] = {
            "organisation": config.organisation.name,
            "languages": languages,
            "groups": config.components,
            "states": phrases["component_states"],
            "words": phrases["page"],
        }
    return furniture


@dataclass(frozen=True, slots=True)
class Copied:
    """What copying one page to its storage came to."""

    channel: str
    publish: str
    files: int

    def as_json(self) -> dict[str, Any]:
        """The page's object of the JSON contract."""
        return {"channel": self.channel, "publish": self.publish, "files": self.files}


def published(config: Config, name: str | None) -> list[ChannelConfig]:
    """The outage pages that are copied to a storage. Raises UsageError where there is none."""
    pages = [channel for channel in chosen(config, name) if channel.settings.bucket]
    if not pages:
        problem = f"no page of the kind {KIND} is copied anywhere"
        raise UsageError(Problem(problem, "name a storage in its settings: publish: s3://bucket/prefix"))
    return pages


def publish(channel: ChannelConfig, tell: Callable[[int, int], None]) -> Copied:
    """Copy what changed to the page's storage, in the place of any index there; ``tell`` how many, of how many.

    Raises UsageError where there is no page yet, ChannelError and ConfigError.
    """
    folder, bucket = channel.settings.path, channel.settings.bucket
    _require_index(folder)
    from outagecast.mirror import Mirror

    with closing(Mirror(folder, bucket)) as mirror:
        names = mirror.outdated()
        done = itertools.count(1)
        mirror.publish(names, replace=True, tell=lambda _: tell(next(done), len(names)))
    return Copied(channel.name, bucket.address, len(names))


def _require_index(folder: Path) -> None:
    if not (folder / "index.html").exists():
        raise UsageError(Problem(f"there is no page in {folder} yet", "outagecast page build"))


class _Handler(SimpleHTTPRequestHandler):
    """A page's files and nothing else, without a word on the screen."""

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **_TYPES}  # noqa: RUF012 - as it is there

    def guess_type(self, path: str | os.PathLike[str]) -> str:
        found = super().guess_type(path)
        return f"{found}; charset=utf-8" if found.startswith("text/") else found

    def send_head(self) -> Any:
        if any(part.startswith(".") for part in unquote(urlsplit(self.path).path).split("/")):
            self.send_error(404)
            return None
        return super().send_head()

    def list_directory(self, path: str | os.PathLike[str]) -> Any:  # noqa: ARG002 - the handler's
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path, host: str, port: int) -> Iterator[ThreadingHTTPServer]:
    """A web server for the folder, for a look at it; call its ``serve_forever``. Raises UsageError."""
    _require_index(folder)
    try:
        server = ThreadingHTTPServer((host, port), partial(_Handler, directory=str(folder)))
    except OSError as error:
        hint = "choose another one with --port"
        raise UsageError(Problem(f"cannot listen on {host}:{port}: {error.strerror}", hint)) from None
    with server:
        yield server
