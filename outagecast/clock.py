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
