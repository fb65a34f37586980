"""A site's folder copied to storage, so that it is seen while one's own systems are down.

The root's index is what readers begin with, so it decides: it goes last, and only in the place of one that this folder
wrote. Until then nothing counts as published. What was lost is done again: the same bytes replace themselves.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mimetypes
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from outagecast import atomic
from outagecast.errors import ChannelError, Unavailable, Uncertain
from outagecast.public_file import MODE, make_folder
from outagecast.s3 import Bucket, Held, Outrun, Storage

INDEX = "index.html"
AT_ONCE = 8  # files
_RECORD = Path(".outagecast/published.json")  # a dot: it is none of the pages
_REMEMBERED = 50  # indexes whose answers were lost one after the other
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",  # always UTF-8: https://www.rfc-editor.org/rfc/rfc8259#section-11
    ".atom": "application/atom+xml; charset=utf-8",
    ".cap.xml": "application/cap+xml; charset=utf-8",
    ".xml": "text/xml; charset=utf-8",
    ".ics": "text/calendar; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}


class Mirror:
    """A folder's copy in a bucket. Raises ChannelError and ConfigError."""

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        self._folder = folder
        self._bucket = bucket
        self._storage = Storage(bucket)

    def check(self) -> None:
        """Whether the bucket can be read, and carries this folder's page, if it has one. Changes nothing."""
        standing = self._standing()
        self._require_ours(standing)
        if standing is None and (self._folder / INDEX).exists():
            raise Unavailable(f"{self._bucket.address} has no {INDEX} yet", hint="outagecast page publish")

    def publish(
        self, names: Collection[str], *, replace: bool = False, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        """Copy these files of the folder, the indexes after the rest and the root's last; ``tell`` of each one.

        Raises Unavailable where somebody else's index stands there, unless a person wants to ``replace`` it; Uncertain
        only where the index itself may be out.
        """
        standing = self._standing()
        if not replace:
            self._require_ours(standing)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for stage in _stages(names):
                for name in pool.map(self._copy, stage):
                    tell(name)
        if INDEX in names:
            self._commit(standing)
            tell(INDEX)
        elif standing:
            self._remember([_digest(standing.data)])  # which a person may have called ours

    def outdated(self) -> list[str]:
        """The folder's files that the storage lacks, or holds otherwise.

        All of them where its ETags are no MD5, as under SSE-KMS:
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
        """
        with self._undecided():
            there = dict(self._storage.etags())
            return [name for name in self._files() if there.get(name) != _etag(self._read(name))]

    def carried(self, name: str) -> bytes | None:
        """A file as the storage holds it, or None where it holds none."""
        with self._undecided():
            held = self._storage.get(name)
        return held.data if held else None

    def close(self) -> None:
        """Let go of connections."""
        self._storage.close()

    # -- the index ----------------------------------------------------------------------------------------------------

    def _standing(self) -> Held | None:
        with self._undecided():
            return self._storage.get(INDEX)

    def _require_ours(self, standing: Held | None) -> None:
        if standing and _digest(standing.data) not in self._ours():
            raise Unavailable(
                f"{self._bucket.address} holds an {INDEX} that was not written from {self._folder}; it was left alone",
                hint="look at it; to put yours in its place: outagecast page publish",
            )

    def _commit(self, standing: Held | None) -> None:
        """Put the index in the place of the one that stands, or of none."""
        with self._undecided():
            data = self._read(INDEX)
        # Before it leaves: if the answer is lost, this one must not look like somebody else's.
        self._remember([*self._ours(), _digest(data)])
        try:
            self._storage.swap(INDEX, standing, data, content_type=_TYPES[".html"], cache_control=_cache_control(INDEX))
        except Outrun:
            there = self._standing()
            if there is None or there.data != self._read(INDEX):
                raise Unavailable(
                    f"somebody else changed {INDEX} in {self._bucket.address} at the same moment",
                    hint="let one publish at a time; then: outagecast page publish",
                ) from None
        with contextlib.suppress(ChannelError):  # it is out, and noted beside others
            self._remember([_digest(data)])

    def _ours(self) -> list[str]:
        """The digests of the indexes that this folder has put there or tried to, and of the one it holds."""
        with self._undecided():
            try:
                ours = [str(digest) for digest in json.loads(self._read(_RECORD))[self._where]]
            except (FileNotFoundError, ValueError, KeyError, TypeError):
                ours = []  # the worst that follows is that a person is asked to look
            with contextlib.suppress(FileNotFoundError):
                ours.append(_digest(self._read(INDEX)))
        return ours

    def _remember(self, digests: Sequence[str]) -> None:
        noted = {self._where: list(dict.fromkeys(digests))[-_REMEMBERED:]}
        with self._undecided():
            make_folder(self._folder / _RECORD.parent)
            atomic.write(self._folder / _RECORD, json.dumps(noted).encode(), mode=MODE)

    @property
    def _where(self) -> str:
        return f"{self._bucket.host} {self._bucket.address}"

    # -- files --------------------------------------------------------------------------------------------------------

    def _files(self) -> Iterator[str]:
        """Every file of the folder that is meant for the public."""
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder)
            if path.is_file() and not path.is_symlink() and not any(part.startswith(".") for part in name.parts):
                yield name.as_posix()

    def _read(self, name: str | Path) -> bytes:
        return self._folder.joinpath(name).read_bytes()

    def _copy(self, name: str) -> str:
        with self._undecided():
            content_type, cache_control = _content_type(name), _cache_control(name)
            self._storage.put(name, self._read(name), content_type=content_type, cache_control=cache_control)
        return name

    @contextmanager
    def _undecided(self) -> Iterator[None]:
        """While the index stands as it was: whatever fails or is lost here, nothing was published."""
        try:
            yield
        except Uncertain as error:
            words = error.problems[0].message.partition("; ")[0]
            raise Unavailable(f"{words}; {INDEX} is as it was", code=error.code, hint=error.hint) from None
        except Outrun:
            raise Unavailable(f"somebody else is just writing in {self._bucket.address}") from None
        except OSError as error:
            raise Unavailable(f"{error.filename or self._folder}: {error.strerror}; {INDEX} is as it was") from None


def _stages(names: Collection[str]) -> tuple[list[str], list[str]]:
    """What goes out together: the files, then the indexes that lead to them; the root's is for the end."""
    indexes = sorted(name for name in names if name.endswith(f"/{INDEX}"))
    return sorted(set(names) - {INDEX, *indexes}), indexes


def _content_type(name: str) -> str:
    found = next((kind for suffix, kind in _TYPES.items() if name.endswith(suffix)), None)
    return found or mimetypes.guess_type(name)[0] or "application/octet-stream"


def _cache_control(name: str) -> str:
    seconds = 10 if name.rpartition("/")[2] == INDEX else 30
    return f"max-age={seconds}, must-revalidate"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
