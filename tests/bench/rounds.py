"""Several clients in turn, A B C A B C …, and how they compare."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

REPO = Path(__file__).parents[2]
CLIENTS = Path(__file__).parent / "clients.py"

LONGEST = 600.0  # seconds of one client


class Timing(NamedTuple):
    """One round of one client."""

    rate: float  # messages a second
    cpu: float  # microseconds of its own processor time a message; 0 where unknown


Rounds = Mapping[str, Sequence[Timing]]


def in_turn(clients: Mapping[str, Callable[[], Timing]], rounds: int) -> dict[str, list[Timing]]:
    """So many rounds of each."""
    found: dict[str, list[Timing]] = {name: [] for name in clients}
    for _ in range(rounds):
        for name, client in clients.items():
            found[name].append(client())
    return found


def ratio(rounds: Rounds, ours: str, theirs: str) -> float:
    """Ours over theirs: the median of the ratios round by round."""
    return statistics.median(a.rate / b.rate for a, b in zip(rounds[ours], rounds[theirs], strict=True))


def timed(command: Sequence[str]) -> Timing:
    """The timing that a process says on its last line, as JSON."""
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False, timeout=LONGEST)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    said = json.loads(done.stdout.splitlines()[-1])
    return Timing(said["count"] / said["seconds"], said["cpu"] / said["count"] * 1e6)


def client(python: str, name: str, port: int, count: int, connections: int) -> Timing:
    """A client of ``clients.py``, run by a Python that has what it needs."""
    return timed([python, str(CLIENTS), name, str(port), str(count), str(connections)])


def print_rates(rounds: Rounds) -> None:
    """A table of the medians."""
    print("| | messages/s | µs of processor a message |\n|---|---|---|")
    for name, timings in rounds.items():
        cpu = statistics.median(timing.cpu for timing in timings)
        used = f"{cpu:.0f}" if cpu else ""
        print(f"| {name} | {statistics.median(timing.rate for timing in timings):,.0f} | {used} |")


def print_ratios(rows: Sequence[tuple[str, float, str]]) -> None:
    """A table of what is compared, the figure, and the goal."""
    print("\n| | ratio | goal |\n|---|---|---|")
    for name, figure, goal in rows:
        print(f"| {name} | {figure:.2f} | {goal} |")
    print()
