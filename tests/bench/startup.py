"""Start-up and fan-out, side by side with apprise in one run: `make bench`. Prints a table for docs/performance.md.

Ratios are what counts: both commands run in turn, A B A B …, on whatever machine this is.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from outagecast.rehearsal import Providers, Reply, StandIn

REPO = Path(__file__).parents[2]
LATENCY = 0.2  # seconds that every stand-in takes to answer


def seconds(command: Sequence[str], environment: dict[str, str] | None = None) -> float:
    """How long a whole process takes."""
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{command}: exit {done.returncode}\n{done.stderr.decode()}")
    return time.perf_counter() - started


def in_turn(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> tuple[float, float, float]:
    """The median seconds of each, and the median of the ratios pair by pair."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    mine, other = zip(*pairs, strict=True)
    return statistics.median(mine), statistics.median(other), statistics.median(a / b for a, b in pairs)


class Endpoint(StandIn):
    """Takes any JSON, as apprise's json:// wants it."""

    routes = (("POST", "/.*", "take"),)
    delay = LATENCY

    def take(self, *_: object) -> Reply:
        return Reply(200, {})


def preview_of_five(outagecast: str) -> list[str]:
    """The shipped example, on five channels."""
    config = REPO / "config.example.yaml"
    message = REPO / "examples" / "card-payments.yaml"
    return [outagecast, "--config", str(config), "preview", str(message), "--no-link-check"]  # no network is timed


def announce(providers: Providers, outagecast: str) -> tuple[float, dict[str, float]]:
    """One announcement to five stand-ins: the whole process, and each channel's first byte after its start, seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = {
            "organisation": {"name": "Example Bank", "timezone": "Australia/Sydney"},
            "audiences": {"customers": {"file": "customers.csv"}},
            "channels": providers.config(folder),
        }
        (folder / "outagecast.yaml").write_text(json.dumps(config))  # JSON is YAML
        (folder / "customers.csv").write_text("name,phone,email\nAna,+61491570156,ana@example.com\n")
        message = REPO / "examples" / "card-payments.yaml"
        command = [outagecast, "--config", str(folder / "outagecast.yaml"), "announce", str(message), "--yes"]
        started = datetime.now(UTC)
        taken = seconds(command, {**os.environ, **providers.environment})
        firsts = {
            name: (stand_in.requests[0].at - started).total_seconds()
            for name, stand_in in (("x", providers.x), ("facebook", providers.facebook), ("sms", providers.twilio))
        }
        return taken, firsts


def main(outagecast: str, apprise: str, rounds: int = 11) -> None:
    """Measure and print."""
    urls = [f"{scheme}://localhost/{number}" for number, scheme in enumerate(("json", "xml", "form", "jsons", "xmls"))]
    rows = [
        (
            "`outagecast --help` / `apprise --version`",
            in_turn(lambda: seconds([outagecast, "--help"]), lambda: seconds([apprise, "--version"]), rounds),
            0.45,
        ),
        (
            "`outagecast preview`, five channels / `apprise --dry-run`, five URLs",
            in_turn(
                lambda: seconds(preview_of_five(outagecast)),
                lambda: seconds([apprise, "--dry-run", "-b", "hello", *urls]),
                rounds,
            ),
            0.55,
        ),
    ]
    print("| ours / theirs | ours, ms | theirs, ms | ratio | goal |\n|---|---|---|---|---|")
    for name, (mine, other, ratio), goal in rows:
        print(f"| {name} | {mine * 1000:.0f} | {other * 1000:.0f} | {ratio:.2f} | ≤ {goal} |")
    firsts: list[dict[str, float]] = []

    def ours() -> float:
        with Providers() as providers:  # anew: one that carries the text already would be asked for it
            for stand_in in (providers.x, providers.facebook, providers.twilio, providers.smtp):
                stand_in.delay = LATENCY
            taken, first = announce(providers, outagecast)
        firsts.append(first)
        return taken

    with Endpoint() as endpoint:
        places = [f"json://127.0.0.1:{endpoint.port}/{number}" for number in range(5)]
        mine, other, _ = in_turn(ours, lambda: seconds([apprise, "-b", "hello", *places]), rounds)
    print(f"\nFive channels that take {LATENCY * 1000:.0f} ms each, whole process in multiples of that (goal ≤ 2.2):")
    print(f"outagecast {mine / LATENCY:.2f}, apprise {other / LATENCY:.2f}.")
    for name in firsts[0]:
        print(f"First byte to {name}: {statistics.median(first[name] for first in firsts) * 1000:.0f} ms.")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
