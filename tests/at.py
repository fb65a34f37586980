"""Runs the command at another time: ``python tests/at.py TIME SPEED ARGUMENT...``.

Its clock starts at TIME, and goes SPEED times as fast as ours; at 0 it stands still.
"""

from __future__ import annotations

import datetime
import sys
import time

START, SPEED = datetime.datetime.fromisoformat(sys.argv.pop(1)), float(sys.argv.pop(1))
BEGAN = time.monotonic()


class Clock(datetime.datetime):
    """The time as it is taken to be."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Clock:
        """TIME, and what has passed since."""
        at = START.astimezone(tz) + datetime.timedelta(seconds=SPEED * (time.monotonic() - BEGAN))
        return cls.combine(at.date(), at.time(), at.tzinfo)


if __name__ == "__main__":
    datetime.datetime = Clock  # type: ignore[misc]  # before anything else takes it from there
    from outagecast.cli import main

    sys.exit(main())  # type: ignore[func-returns-value]
