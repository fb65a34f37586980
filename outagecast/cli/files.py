"""New files, which never take the place of one that is there, unless it is ours alone."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from outagecast import atomic
from outagecast.errors import ExitCode, LedgerError, OutagecastError, Problem, UsageError


def create(path: Path, content: bytes, elsewhere: str, mode: int = 0o644) -> bool:
    """Whether ``path`` could be made; False where something is there. Raises OutagecastError where nothing can be.

    ``elsewhere`` says what to type instead, such as "name another folder: outagecast init FOLDER".
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        if path.parent.is_dir():
            return False
        raise UsageError(Problem(f"{path.parent} is a file", elsewhere)) from None
    except OSError as error:
        raise _cannot(path, error, elsewhere) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _cannot(path, error, elsewhere) from None
    return True


def renew(path: Path, content: bytes, elsewhere: str) -> bool:
    """Whether ``path``, which holds only what we write, was not there or not the same. Raises OutagecastError."""
    if create(path, content, elsewhere):
        return True
    try:
        if path.read_bytes() == content:
            return False
        atomic.write(path, content, mode=0o644)
    except OSError as error:
        raise _cannot(path, error, elsewhere) from None
    return True


def _cannot(path: Path, error: OSError, elsewhere: str) -> OutagecastError:
    """What to say of a file that the system does not let us write."""
    words = f"cannot write {path}: {error.strerror}"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return OutagecastError(Problem(words, elsewhere), exit_code=ExitCode.PERMISSION)
    return LedgerError(Problem(words, f"make room there, or {elsewhere}"))
