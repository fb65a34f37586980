"""Files of ours that others show: replaced as a whole by one writer at a time, and looked at past all caches."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from outagecast import atomic
from outagecast.channel import Idempotency, LookUp, OnDoubt, Semantics
from outagecast.errors import Rejected, Unavailable, Uncertain

MODE, FOLDER_MODE = 0o644, 0o755  # the web server is another user

LONGEST = 1 << 20  # bytes; what is longer was not written by us

# What a file system does with repeats and questions.
SEMANTICS = Semantics(
    idempotency=Idempotency.NATURAL,
    lookup=LookUp.STRONG,
    on_doubt=OnDoubt.REPLAY,
    settle=timedelta(0),
    source="https://pubs.opengroup.org/onlinepubs/9799919799/functions/rename.html",
)

_HINTS = {  # what only the owner of the machine can mend; any other error may pass
    errno.ENOENT: "mkdir -p {folder}",
    errno.ENOTDIR: "a part of `path` is not a folder: correct it",
    errno.EISDIR: "a folder stands where a file of ours belongs: move it away",
    errno.ELOOP: "`path` is a symbolic link, which is never written through: set it to what is behind the link",
    errno.EACCES: "let the user who runs outagecast write in {folder}",
    errno.EPERM: "let the user who runs outagecast write in {folder}",
    errno.EROFS: "{folder} is on a read-only disk: choose another `path`",
    errno.ENOSPC: "make room on the disk of {folder}",
    errno.EDQUOT: "make room in the disk quota of the user who runs outagecast",
}


def length(text: str) -> int:
    """Bytes of a text in a file."""
    return len(text.encode())


def require_address(url: str | None, example: str, *, name: str = "public_url") -> None:
    """Raises ValueError where ``url`` is given and is no whole address of the web; ``name`` is the setting's."""
    if url is not None and not re.fullmatch(r"https?://[^/?#@\s]+([/?#]\S*)?", url):
        raise ValueError(f"{name} must be a whole address, such as {example}")


def require_writable(folder: Path) -> None:
    """Raises OSError where no file can be made in ``folder``."""
    folder.stat()
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def make_folder(folder: Path) -> None:
    """The last folder of a path, made where it is missing; not those above, which a slip of the pen may name."""
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(FOLDER_MODE)


def read(path: Path) -> bytes | None:
    """What a file holds, cut one byte after ``LONGEST``; None where no file of ours can be. Raises OSError."""
    flags = os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe put in its place would hang us
    with open(path, "rb", opener=lambda name, own: os.open(name, own | flags)) as file:
        return file.read(LONGEST + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """While no other process or thread reads, changes and writes in the folder of ``path``. Raises Unavailable."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some network disks have no locks
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unavailable(f"another outagecast is just writing {path}", retry_after=1.0) from None
        yield
    finally:
        os.close(folder)


def put(folder: Path, path: str, content: bytes, *, is_synced: bool = True) -> None:
    """Put a file into ``folder``, or into one below it, which is made; see ``atomic.write``. Raises OSError."""
    file = folder / path
    try:
        atomic.write(file, content, mode=MODE, is_synced=is_synced)
    except FileNotFoundError:
        for parent in reversed(file.relative_to(folder).parents):
            make_folder(folder / parent)
        atomic.write(file, content, mode=MODE, is_synced=is_synced)


@contextmanager
def judged(path: Path, folder: Path) -> Iterator[None]:
    """What the operating system's no means for ``path``: until the very replacement, the old file stands.

    Raises Uncertain, Unavailable or Rejected in the place of an OSError.
    """
    try:
        yield
    except atomic.NotSynced as error:
        raise Uncertain(f"{path} shows the new text, but the disk did not confirm it: {error.strerror}") from None
    except OSError as error:
        code = error.errno or 0
        words = f"cannot replace {path}: {error.strerror}; it was left as it is"
        if code not in _HINTS:
            raise Unavailable(words, code=errno.errorcode.get(code, "")) from None
        hint = _HINTS[code].format(folder=folder)
        raise Rejected(words, code=errno.errorcode[code], hint=hint, account=True) from None


def fetch(url: str) -> str | None:
    """A page as the public gets it, past all caches; None where there is none. Raises ChannelError."""
    from outagecast import transport

    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, f"outagecast={os.urandom(4).hex()}")))
    with transport.Session() as session:
        answer = session.get(urlunsplit(parts._replace(query=query)), headers={"Cache-Control": "no-cache"})
    if answer.status_code in {404, 410}:
        return None
    if answer.status_code != 200:
        moved = "set `public_url` to the address it redirects to"
        hint = moved if answer.is_redirect else "look at the web server"
        raise Unavailable(f"{url} answered HTTP {answer.status_code}", code=f"HTTP {answer.status_code}", hint=hint)
    return answer.content.decode("utf-8", "replace")  # without a charset `requests` would take it for Latin-1
