"""Replaces a file as a whole: whoever reads it, at any moment, sees the old content or the new, never a part."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from pathlib import Path


class NotSynced(OSError):
    """The new content stands and is seen by every reader, but the disk did not confirm it: a power cut may undo it."""


def write(path: Path, data: bytes, *, mode: int, is_synced: bool = True) -> None:
    """Put ``data`` in the place of ``path``, with exactly the permissions ``mode``, whatever the umask.

    ``is_synced=False``: the caller sees to it that the disk has many files at once.

    A symbolic link at ``path`` is replaced itself; what it points to is left alone. The folder must exist.
    Raises OSError, and then the old file is untouched; or NotSynced, and then the new one is in its place.
    """
    # Everything below goes through this one open folder, so that nobody can swap it for another in between.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        temporary = f".{os.urandom(8).hex()}.tmp"  # a dot: web servers and globs pass over it, should a kill leave it
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        try:
            _fill(file, data, mode, is_synced=is_synced)
            os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
        try:
            if is_synced:
                _sync(folder)
        except OSError as error:
            raise NotSynced(error.errno, error.strerror) from error
    finally:
        os.close(folder)


def _fill(file: int, data: bytes, mode: int, *, is_synced: bool) -> None:
    """Write all of ``data`` and close ``file``: quotas and network disks may only complain on closing."""
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fchmod(file, mode)
        if is_synced:
            _sync(file)
    finally:
        os.close(file)


def _sync(file: int) -> None:
    if sys.platform == "darwin":
        # fsync there does not reach the platter: https://developer.apple.com/library/archive/documentation/System/Conceptual/ManPages_iPhoneOS/man2/fsync.2.html
        with contextlib.suppress(OSError):  # network disks do not know it
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
            return
    os.fsync(file)
