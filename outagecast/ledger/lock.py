"""The right to send from a ledger file: a lock that only the kernel frees.

It is free when the process has died, and not before: a lease by the clock breaks when a laptop sleeps.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from outagecast.errors import ConflictError, LedgerError, Problem
from outagecast.ledger.disk import real
from outagecast.person import operator


@contextmanager
def hold(ledger: Path, channel: str | None = None) -> Iterator[Callable[[], None]]:
    """Hold the right to send on public channels, or on one bulk channel.

    What is yielded raises ConflictError once that is no longer true. Raises ConflictError naming who holds it,
    LedgerError where there can be no lock.
    """
    path = _beside(ledger, channel)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _no_lock(path, error) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another run"
            doing = f"sending to {channel}" if channel else "announcing"
            raise ConflictError(
                Problem(f"{holder} is {doing} from this ledger", "wait for it; look with: outagecast status")
            ) from None
        except OSError as error:  # a network disk without locks
            raise _no_lock(path, error) from None
        with suppress(OSError):  # only so that others can be told
            since = datetime.now().astimezone().strftime("%H:%M %Z")
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{operator()} (process {os.getpid()}, since {since})\n".encode(), 0)
        ours = _files(path, ledger)

        def check() -> None:
            # Asleep for hours, say: whoever puts another file in its place holds another lock, and may be sending.
            if _files(path, ledger) != ours:
                hint = "look with: outagecast status"
                raise ConflictError(Problem(f"{ledger} was replaced while it was being announced from", hint))

        yield check
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def held_by(ledger: Path, channel: str | None = None) -> tuple[str, bool]:
    """Who is announcing from a ledger, or sending to one bulk channel, and whether they still are; "" for nobody.

    Changes nothing. Not alive and yet named is a run that was cut short. The lock itself is only tried where somebody
    left a name: for a moment it would keep an announcement from starting.
    """
    try:
        with _beside(ledger, channel).open("rb") as file:
            holder = file.read(200).decode(errors="replace").strip()
            if not holder:
                return "", False
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return holder, True
            return holder, False
    except OSError:
        return "", False


def _files(*paths: Path) -> list[tuple[int, int]]:
    """Which files stand at these paths now."""
    with suppress(OSError):
        return [(found.st_dev, found.st_ino) for found in (path.stat() for path in paths)]
    return []


def _beside(ledger: Path, channel: str | None) -> Path:
    # Not the database itself: closing any descriptor of it would drop SQLite's own locks.
    # Beside the file itself, and not beside a link to it: else each name of the ledger had a lock of its own.
    file = real(ledger)
    return file.with_name(f"{file.name}.{channel}.lock" if channel else f"{file.name}.lock")


def _no_lock(path: Path, error: OSError) -> LedgerError:
    return LedgerError(Problem(f"cannot lock {path}: {error.strerror}", "check the folder and its rights"))
