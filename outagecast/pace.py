"""How fast a channel may send: by its own settings, and by what its provider bears. No I/O and no clock of its own."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from outagecast.channel import Limit
from outagecast.model import Delivery

_SLACK = 0.05  # seconds: a start that comes late is made up for, but never by a burst of more than these allow
_BACKOFF = (1.0, 30.0)  # seconds: the first wait, and the longest


class Pace:
    """At most so many units a second; ``None`` for no limit."""

    def __init__(self, rate: float | None) -> None:
        self._gap = 1 / rate if rate else 0.0  # seconds that one unit takes
        self._next = -math.inf  # when the next may start

    def wait(self, now: float) -> float:
        """Seconds until the next may start; 0 for now."""
        return max(0.0, self._next - now)

    def spend(self, now: float, units: int = 1) -> None:
        """One starts now, and is worth so many units."""
        self._next = max(self._next, now - _SLACK) + units * self._gap


class Length:
    """How many segments texts have, each counted once."""

    def __init__(self, limits: Mapping[str, Limit]) -> None:
        self._limits = {part: limit for part, limit in limits.items() if limit.unit == "segments"}
        self._known: dict[str, int] = {}  # by language, since one update's words differ by nothing else

    def of(self, delivery: Delivery) -> int:
        """Those of one delivery; 1 where it is no text."""
        language, parts = delivery.language, delivery.parts
        if language not in self._known:
            counts = [its.length(parts[part], language) for part, its in self._limits.items() if part in parts]
            self._known[language] = sum(counts) or 1
        return self._known[language]


class Throttle:
    """How many may be under way at once: halved when the provider says that it is too much, one more each time that
    all of them were answered.

    What was taken before the last complaint says nothing new, since it was under way with that: each is of a round, and
    a complaint about an earlier round is not counted again.
    """

    def __init__(self) -> None:
        self.most = math.inf
        self.round = 0
        self.lost = 0  # rounds in a row with a lost answer, and none that came
        self._later = 0  # the same of answers that said "later"

    def answered(self) -> None:
        """The provider decided on one."""
        self.lost = self._later = 0
        self.most += 1 / self.most

    def put_off(self, round: int, under_way: int, retry_after: float | None) -> float:  # noqa: A002 - of its life
        """The provider said "later"; for how many seconds nothing should start."""
        if round == self.round:
            self.round += 1
            self._later += 1
            was = min(self.most, under_way)
            self.most = max(1.0, was / 2)
            if retry_after is None and was < 2:
                return backoff(self._later)
        return retry_after or 0.0

    def lose(self, round: int) -> float:  # noqa: A002
        """An answer was lost; for how many seconds nothing should start. From the second in a row on, one at a time."""
        if round != self.round:
            return 0.0
        self.round += 1
        self.lost += 1
        if self.lost < 2:
            return 0.0
        self.most = 1.0
        return backoff(self.lost)


def backoff(attempts: int) -> float:
    """Seconds before the next try: full jitter, so that many waiting for one provider do not come back together."""
    first, longest = _BACKOFF
    return random.uniform(first / 2, min(longest, first * 2 ** min(attempts, 10)))  # noqa: S311 - not a secret
