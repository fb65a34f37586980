"""The folder of an outage page: its archive, and the files that are made of it, the index last."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outagecast import article, status_archive
from outagecast.errors import Rejected, Uncertain
from outagecast.history import Incident, Statement
from outagecast.place import INDEX, Place
from outagecast.public_file import judged, make_folder, put, require_writable
from outagecast.status_archive import Archive
from outagecast.status_site import Site


@dataclass(frozen=True)
class StatusFolder:
    """One outage page on disk. Every method raises ChannelError where the disk says no."""

    path: Path
    public_url: str | None = None  # where the public sees it

    def check(self) -> None:
        """Whether it can be written, or made, and is ours."""
        with self._judged():
            self._require_ours()
            folder = self.path if self.path.exists() else self.path.parent
            require_writable(folder)

    def add(self, said: Statement, publish: Callable[[list[str]], None] = lambda _: None) -> None:
        """Put an update on every page that it changes, and then ``publish`` these; only then is it noted."""
        with self._judged():
            self._require_ours()
            make_folder(self.path)
            with status_archive.opened(self.path) as archive:
                before, site = archive.languages, Site(archive, self.public_url)
                incident = archive.add(said)
                # Every page names the languages to choose from.
                files = site.after(incident) if archive.languages == before else site.whole(archive.everything())
                publish(self._write(archive, files))

    def rebuild(self, incidents: Iterable[Incident], furniture: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Every page anew, from all that was said, the oldest incident first; the files that it has now.

        ``furniture`` is what stands around the updates, by language: see ``Archive.furnish``.
        """
        with self._judged():
            make_folder(self.path)
            with status_archive.opened(self.path, anew=True) as archive:
                archive.furnish(furniture)
                kept = (archive.keep(incident) for incident in incidents)
                return self._write(archive, Site(archive, self.public_url).whole(kept), is_whole=True)

    def carries(self, said: Statement) -> bool:
        """Whether exactly this is on its page, with all that goes with it."""
        if not status_archive.exists(self.path):
            return False
        with self._judged(), status_archive.read(self.path) as archive:
            if not archive.carries(said):
                return False
        page = self.page(self.place.incident(said.incident, said.language)) or ""
        return article.found_in(page).get((said.incident, said.number)) == said.html

    def page(self, path: str) -> str | None:
        """One of its files, None where there is none."""
        with self._judged():
            try:
                return self.path.joinpath(path).read_text(encoding="utf-8", errors="replace")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    @property
    def place(self) -> Place:
        """Where its pages are, below the folder and in public."""
        with self._judged(), status_archive.read(self.path) as archive:
            return Place(self.public_url or "", tuple(archive.languages))

    def _require_ours(self) -> None:
        """Raises Rejected for a page that somebody else wrote, or whose archive is lost."""
        if self.page(INDEX) is not None and not status_archive.exists(self.path):
            words = f"{self.path} has pages that are not ours, so they were left alone"
            hint = "set `path` to a folder of its own; or, if these pages are ours: outagecast page build"
            raise Rejected(words, hint=hint, account=True)

    def _write(self, archive: Archive, files: Iterable[tuple[str, bytes]], *, is_whole: bool = False) -> list[str]:
        """Write those files that are not there so: their names. Of a ``whole`` site the disk is asked once for all."""
        changed: list[str] = []
        is_synced = not is_whole
        for path, content in files:
            if not is_whole and archive.has(path, content):
                continue
            if not is_synced and path.endswith(INDEX):
                os.sync()
                is_synced = True
            try:
                put(self.path, path, content, is_synced=is_synced)
            except OSError as error:
                if any(name.endswith(INDEX) for name in changed):
                    raise Uncertain(f"{self.path} is only in part as it should be: {error.strerror}") from None
                raise
            archive.note(path, content)
            changed.append(path)
        return changed

    @contextmanager
    def _judged(self) -> Iterator[None]:
        """What the system's and the archive's no mean."""
        with judged(self.path, self.path.parent):
            try:
                yield
            except sqlite3.Error as error:
                raise status_archive.meaning(error, self.path) from None
