"""The whole crash sweep, with a summary at its end: ``python -m tests.crash.sweep [WORD…]``, as ``make crash`` does.

With words, only the cells that have all of them in their name.
"""

from __future__ import annotations

import os
import queue
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Self

from tests.crash.cells import Cell, Outcome, every_cell, play
from tests.crash.desk import Forge

FORGES = (os.cpu_count() or 2) + 1  # one more than processors: some cells wait for a provider that hangs
FIGURES = {
    "duplicate": "duplicates",
    "loss": "silent losses",
    "wrong word": "wrong words",
    "doubt untold": "doubts not reported",
    "unfinished": "left unfinished",
}


class Forges:
    """Several forges, each for one cell at a time."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._free: queue.SimpleQueue[Forge] = queue.SimpleQueue()
            for _ in range(FORGES):
                self._free.put(stack.enter_context(Forge()))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @contextmanager
    def one(self) -> Iterator[Forge]:
        """A forge that nobody else uses meanwhile."""
        forge = self._free.get()
        try:
            yield forge
        finally:
            self._free.put(forge)

    def play(self, cells: Iterable[Cell]) -> list[Outcome]:
        """Play cells, several at a time."""

        def one(cell: Cell) -> Outcome:
            with self.one() as forge:
                return play(cell, forge)

        with ThreadPoolExecutor(FORGES) as pool:
            return list(pool.map(one, cells))


def broken_promises(outcomes: Iterable[Outcome]) -> list[str]:
    """Each violation, in words, with its cell."""
    return [f"{it.cell}: {kind}: {words}" for it in outcomes for kind, words in dict.fromkeys(it.violations)]


def missed(outcomes: Iterable[Outcome]) -> list[str]:
    """Where nothing stands in the way, every point is reached; one that is not would prove nothing."""
    return [f"{it.cell}: the point was not reached" for it in outcomes if it.cell.behaviour == "ok" and not it.killed]


def summary(outcomes: Sequence[Outcome], seconds: float) -> str:
    """The figures, and every broken promise."""
    kinds = Counter(violation.kind for outcome in outcomes for violation in outcome.violations)
    killed = sum(outcome.killed for outcome in outcomes)
    lines = [
        *broken_promises(outcomes),
        *missed(outcomes),
        f"{len(outcomes)} cells in {seconds:.0f} s; in {killed} of them the process was killed at its point,",
        f"and in {sum(outcome.doubts > 0 for outcome in outcomes)} something was in doubt for a while",
        *(f"{kinds[kind]:5} {words}" for kind, words in FIGURES.items()),
    ]
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    """Play what was asked for; 1 where a promise is broken, or a point is gone."""
    cells = [cell for cell in every_cell() if all(word in str(cell) for word in words)]
    began = time.monotonic()
    with Forges() as forges:
        outcomes = forges.play(cells)
    sys.stdout.write(summary(outcomes, time.monotonic() - began) + "\n")
    return int(any(broken_promises(outcomes) + missed(outcomes)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
