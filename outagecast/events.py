"""A run as lines of JSON while it lasts, for whoever watches it from outside; nothing that befalls them stops it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import queue
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from outagecast.errors import ExitCode, OutagecastError
from outagecast.model import State
from outagecast.text import clean

if TYPE_CHECKING:
    from outagecast.lane import Progress
    from outagecast.report import Report

SCHEMA_VERSION = 1
EVERY = 1.0  # seconds between two counts of a channel of many people
PATIENCE = 1.0  # seconds that the end of a run waits for a reader who is behind
_MOST_WAITING = 10_000  # lines for a reader who reads nothing


@contextmanager
def following(path: str | None, bulk: Collection[str], complain: Callable[[str], None]) -> Iterator[Events]:
    """The lines of the run inside, also of one that ends with an error; none at all without a ``path``."""
    events = Events(path, bulk, complain)
    try:
        yield events
    except OutagecastError as error:
        events.failed(error.exit_code)
        raise
    except Exception:
        events.failed(ExitCode.BUG)
        raise


class Events:
    """The lines of one run, appended to a file, a FIFO or ``/dev/fd/N`` by a thread of their own.

    ``bulk`` are the channels that reach people one by one: these are counted, their people never named. What goes
    wrong with the file is told once, to ``complain``.
    """

    def __init__(self, path: str | None, bulk: Collection[str], complain: Callable[[str], None]) -> None:
        self._path = path or ""
        self._bulk = bulk
        self._complain = complain
        self._incident: str | None = None
        self._numbers: Mapping[str, int] = {}
        self._reached: dict[str, Counter[str]] = {}
        self._counted: dict[str, float] = {}  # when each channel's count was last told, on the monotonic clock
        self._mutex = threading.Lock()
        self._lines: queue.Queue[bytes | None] = queue.Queue(_MOST_WAITING)
        self._is_broken = threading.Event()
        self._is_written = threading.Event()
        if path is None:
            self._is_broken.set()
            self._is_written.set()
            return
        try:
            file = _open(path)
        except (OSError, ValueError) as error:
            self._give_up(error)
            self._is_written.set()
        else:
            threading.Thread(target=self._write, args=(file,), name="events", daemon=True).start()

    def beside(self, watch: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """What tells ``watch`` of all that happens, and this too."""

        def both(progress: Progress) -> None:
            self.note(progress)
            watch(progress)

        return watch if self._is_broken.is_set() else both

    def started(self, incident: str, numbers: Mapping[str, int]) -> None:
        """The run begins. ``numbers``: at which update each channel is."""
        self._incident, self._numbers = incident, dict(numbers)
        channels = [{"channel": name, "update": number} for name, number in numbers.items()]
        self._put("run_started", update=max(numbers.values(), default=None), channels=channels)

    def note(self, progress: Progress) -> None:
        """Something happened to a delivery."""
        name = progress.channel
        about = {"channel": name, "update": self._numbers.get(name)}
        if name not in self._bulk:
            self._put("channel_state", **about, state=progress.state.value, reason=progress.reason)
            return
        if progress.state in {State.ATTEMPTING, State.READY}:  # not the end of it
            return
        with self._mutex:
            reached = self._reached.setdefault(name, Counter())
            reached[progress.state.value] += progress.count
            now = time.monotonic()
            if now - self._counted.get(name, -EVERY) < EVERY:
                return
            self._counted[name] = now
            so_far = dict(reached)
        self._put("channel_counts", **about, reached=so_far)

    def ended(self, report: Report) -> None:
        """The run is over, and this came of it."""
        channels = [
            {
                "channel": channel.channel,
                "update": channel.update,
                "state": channel.state.value,
                "published": channel.published,
                "complete": channel.complete,
                "counts": channel.counts._asdict(),
                "retry_after_s": channel.retry_after_s,
            }
            for channel in report.channels
        ]
        self._incident = report.incident or self._incident
        self._end(report.exit_code, update=report.update, channels=channels)

    def failed(self, code: ExitCode) -> None:
        """The run ended with an error instead of a report."""
        self._end(code, update=None, channels=[])

    def _end(self, code: ExitCode, **facts: Any) -> None:
        self._put("run_ended", **facts, exit_code=int(code), exit_name=code.label)
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        if not self._is_written.wait(PATIENCE):
            self._give_up(TimeoutError(0, "nobody reads it"))

    def _put(self, event: str, **facts: Any) -> None:
        if self._is_broken.is_set():
            return
        at = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
        line = {"schema_version": SCHEMA_VERSION, "at": f"{at}Z", "event": event, "incident": self._incident, **facts}
        try:
            self._lines.put_nowait(f"{json.dumps(line)}\n".encode())
        except queue.Full:
            self._give_up(TimeoutError(0, "nobody reads it"))

    def _write(self, file: int) -> None:
        """Write what is put, until the end."""
        try:
            while (line := self._lines.get()) is not None and not self._is_broken.is_set():
                _append(file, line)
        except OSError as error:
            self._give_up(error)
        finally:
            self._is_written.set()
            os.close(file)

    def _give_up(self, error: Exception) -> None:
        if not self._is_broken.is_set():
            self._is_broken.set()
            why = clean(getattr(error, "strerror", None) or error)
            self._complain(f"--events {clean(self._path, most=100)}: {why}; the run goes on without it")


def _open(path: str) -> int:
    """A descriptor that lines are appended to. Raises OSError, also for a FIFO that nobody reads.

    A link is followed, as a shell's ``>>`` does; a file that was not there is for its owner alone.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY
    try:
        file = os.open(path, flags | os.O_NONBLOCK, 0o600)  # to open a FIFO would wait for its reader
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "nobody reads it") from None
        raise
    try:
        os.set_blocking(file, True)  # a whole line, or the thread waits: not half of one
        now = os.fstat(file)
        if stat.S_ISREG(now.st_mode) and now.st_size:
            _go_on(path, file, now.st_size)
    except OSError:
        os.close(file)
        raise
    return file


def _go_on(path: str, file: int, size: int) -> None:
    """Begin a line of its own after what is there. Raises OSError where that is something else than events.

    A slip of the keys must not append to the ledger, or to the message.
    """
    try:
        there = os.open(path, os.O_RDONLY | os.O_NOCTTY)
    except PermissionError:  # it may be written and not read
        return
    try:
        if os.pread(there, 1, 0) != b"{":
            raise OSError(0, "it holds something else than events")
        if os.pread(there, 1, size - 1) != b"\n":
            os.write(file, b"\n")
    finally:
        os.close(there)


def _append(file: int, line: bytes) -> None:
    """Write all of a line with one call, so that no reader sees a part of one, or nothing. Raises OSError."""
    written = os.write(file, line)
    if written < len(line):
        with contextlib.suppress(OSError):
            now = os.fstat(file)
            if stat.S_ISREG(now.st_mode):
                os.ftruncate(file, now.st_size - written)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
