"""The time, handed in so that tests can set it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime


class Clock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time now, in UTC."""
        return datetime.now(UTC)

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Let ``seconds`` pass, or less if ``stop`` is set."""
        stop.wait(seconds)


class Timer:
    """Seconds since it was made, by a clock that may be set meanwhile: set back, it adds nothing and takes nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.now()
        self._seconds = 0.0
        self._lock = threading.Lock()

    def seconds(self) -> float:
        """How long it has run."""
        with self._lock:
            now = self._clock.now()
            self._seconds += max(0.0, (now - self._last).total_seconds())
            self._last = now
            return self._seconds
