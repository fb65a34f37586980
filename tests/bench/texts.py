"""Bulk SMS to a Twilio that takes 100 ms, side by side with others in one run: ``make bench``.

``python -m tests.bench.texts PYTHON``: a Python that has Twilio's SDK.
"""

from __future__ import annotations

import sys

from tests.bench import ours
from tests.bench.desk import twilio_at
from tests.bench.rounds import Timing, client, in_turn, print_rates, print_ratios, ratio
from tests.bench.sinks import apart

IN_FLIGHT = 256
LATENCY = 0.1  # seconds
OURS, BARE = "outagecast, full ledger", "a bare loop, no ledger"
SDK, SDK_OPEN = "twilio SDK, asyncio", "twilio SDK, asyncio, its limit of 100 connections lifted"


def main(python: str, rounds: str = "3") -> None:
    """Measure and print."""

    def ask(name: str, count: int) -> Timing:
        with apart("twilio", "--delay", LATENCY) as port:  # anew: one that has the texts would be asked about each
            if name:
                return client(python, name, port, count, IN_FLIGHT)
            return ours.send("sms", twilio_at(port, IN_FLIGHT), count)

    found = in_turn(
        {
            OURS: lambda: ask("", 24_000),
            BARE: lambda: ask("bare", 24_000),
            SDK: lambda: ask("twilio", 6_000),
            SDK_OPEN: lambda: ask("twilio-unlimited", 12_000),
        },
        int(rounds),
    )
    print(f"A Twilio that answers after {LATENCY * 1000:.0f} ms, {IN_FLIGHT} in flight, {rounds} rounds.\n")
    print_rates(found)
    print_ratios(
        [
            (f"{OURS} / {SDK}", ratio(found, OURS, SDK), "≥ 2"),
            (f"{OURS} / {SDK_OPEN}", ratio(found, OURS, SDK_OPEN), ""),
            (f"{OURS} / {BARE}", ratio(found, OURS, BARE), "≥ 0.7"),
        ]
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
