"""Bulk e-mail, side by side with others in one run: ``make bench``. Prints tables for docs/performance.md.

``python -m tests.bench.mail PYTHON``: a Python that has aiosmtplib.
"""

from __future__ import annotations

import subprocess
import sys
import time

from tests.bench import ours
from tests.bench.clients import SIZE
from tests.bench.desk import smtp_at
from tests.bench.rounds import Timing, client, in_turn, print_rates, print_ratios, ratio
from tests.bench.sinks import apart, postfix_tool, smtp_sink

CONNECTIONS = 16
ROUND_TRIP = 0.025  # seconds
OURS, OFF, SOURCE, LOOP = "outagecast, full ledger", "outagecast, no ledger", "smtp-source -d", "aiosmtplib, no ledger"
FAR_THEIRS = "smtplib, threads"


def smtp_source(port: int, count: int) -> Timing:
    """Postfix's own load generator, which keeps its connections and writes nothing down."""
    where = ["-f", "status@example.com", "-t", "someone@example.com", f"127.0.0.1:{port}"]
    command = [postfix_tool("smtp-source"), "-d", "-s", str(CONNECTIONS), "-m", str(count), "-l", str(SIZE), *where]
    began = time.perf_counter()
    subprocess.run(command, check=True, timeout=300)
    return Timing(count / (time.perf_counter() - began), 0.0)


def main(python: str, rounds: str = "5") -> None:
    """Measure and print."""
    with smtp_sink() as port:
        here = smtp_at(port, CONNECTIONS)
        near = in_turn(
            {
                OURS: lambda: ours.send("email", here, 60_000),
                SOURCE: lambda: smtp_source(port, 60_000),
                OFF: lambda: ours.send("email", here, 60_000, off=True),
                LOOP: lambda: client(python, "aiosmtplib", port, 8_000, CONNECTIONS),
            },
            int(rounds),
        )
        print(f"Mails of {ours.mail_size():,} bytes (others: {SIZE:,}), {CONNECTIONS} connections, {rounds} rounds.\n")
        print_rates(near)
        print_ratios(
            [
                (f"{OURS} / {SOURCE}", ratio(near, OURS, SOURCE), "≥ 1.2"),
                (f"{OURS} / {LOOP}", ratio(near, OURS, LOOP), "≥ 6"),
                (f"{OURS} / {OFF}", ratio(near, OURS, OFF), "≥ 0.85"),
            ]
        )
        asked = ours.syncs("email", here, 60_000)
        said = "not counted: there is no strace" if asked is None else f"{asked:.1f} for 1,000 mails"
        print(f"The disk is asked to confirm: {said} (goal ≤ 5).\n")
        with apart("delay", "--delay", ROUND_TRIP, "--to", port) as away:
            with apart("delay", "--to", port) as open_door:
                alone = client(python, "smtplib", open_door, 4_000, CONNECTIONS)
            there = smtp_at(away, CONNECTIONS)
            far = in_turn(
                {
                    OURS: lambda: ours.send("email", there, 3_000),
                    OFF: lambda: ours.send("email", there, 3_000, off=True),
                    FAR_THEIRS: lambda: client(python, "smtplib", away, 800, CONNECTIONS),
                },
                3,
            )
        print(f"A relay that is {ROUND_TRIP * 1000:.0f} ms away, there and back:\n")
        print_rates(far)
        print_ratios(
            [
                (f"{OURS} / {FAR_THEIRS}", ratio(far, OURS, FAR_THEIRS), "≥ 3.8"),
                (f"{OURS} / {OFF}", ratio(far, OURS, OFF), ""),
            ]
        )
        print(f"What makes it far passes {alone.rate:,.0f} of smtplib's mails a second when it waits for nothing.\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
