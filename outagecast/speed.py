"""How fast many people are being told, and when the last of them will be."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

LATELY = 300.0  # seconds: what is older says nothing of the speed now


def per_second(told: Iterable[tuple[float, int]], now: float) -> float | None:
    """How many a second, of how many were told when (in seconds of any one clock, the first at first).

    None where it cannot be said: of fewer than two moments of the last five minutes. Once nobody is told any more it
    sinks, since the silence counts as soon as it is longer than any was before.
    """
    lately = [(at, count) for at, count in told if at > now - LATELY]
    if len(lately) < 2:
        return None
    first, last = lately[0][0], lately[-1][0]
    longest = max(later - earlier for (earlier, _), (later, _) in pairwise(lately))
    end = now if now - last > 2 * longest else last
    # What was told at the first moment took the time before it.
    return sum(count for _, count in lately[1:]) / (end - first) if end > first else None


def seconds_left(waiting: int, rate: float | None) -> int | None:
    """Whole seconds until ``waiting`` people are told at ``rate`` a second; None where nobody can say."""
    return math.ceil(waiting / rate) if rate else None
