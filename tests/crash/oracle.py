"""Compares what a run said with what the public really has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from outagecast.errors import ExitCode
from outagecast.model import SECOND
from tests.crash.desk import Desk
from tests.tallied import miscounted

MOST_MAILS = 2
DOUBTFUL = {"attempting", "in_doubt", "needs_decision"}
SAID_OUT = {"accepted", "verified"}
SAID_NOT_OUT = {"ready", "failed"}


class Violation(NamedTuple):
    """A broken promise."""

    kind: str  # "duplicate", "loss", "wrong word", "doubt untold" or "unfinished"
    words: str


def copies(desk: Desk) -> Iterator[Violation]:
    """Nobody has a copy too many, at this very moment."""
    for channel in desk.channels:
        out = desk.out(channel)
        most = MOST_MAILS if channel == "email" else 1
        for target, count in Counter(copy.target for copy in out).items():
            if count > most:
                yield Violation("duplicate", f"{channel} carries {count} copies for {target or 'everybody'}")
            if channel == "email" and len({copy.id for copy in out if copy.target == target}) > 1:
                yield Violation("duplicate", f"the mails to {target} have different Message-IDs")


def counts(desk: Desk) -> Iterator[Violation]:
    """What the ledger counts is what it has, at this very moment."""
    ledger = desk.folder / "outagecast.db"
    for row in miscounted(ledger) if ledger.exists() else ():
        yield Violation("wrong word", f"miscounted: {row}")


def truth(desk: Desk, said: dict[str, Any]) -> Iterator[Violation]:
    """Every word of a run's answer is so, and all that is in doubt is said to be."""
    if "report" not in said:
        yield Violation("unfinished", f"no report: {said}")
        return
    for channel in desk.channels:
        rows = [row for row in said["deliveries"] if row["channel"] == channel]
        for target in desk.target(channel):
            (row,) = (row for row in rows if row["target"] == target)
            yield from _one(desk, channel, row)
        yield from _told(said["report"], channel, rows)


def _one(desk: Desk, channel: str, row: dict[str, Any]) -> Iterator[Violation]:
    out = [copy for copy in desk.out(channel) if copy.target == row["target"]]
    about = f"{channel} {row['target']} is {row['state']}".replace("  ", " ")
    if row["state"] in SAID_OUT and not out:
        yield Violation("loss", f"{about}, and not out")
    elif row["state"] in SAID_NOT_OUT and out:
        yield Violation("wrong word", f"{about}, and out")
    elif row["state"] not in SAID_OUT | SAID_NOT_OUT | DOUBTFUL:
        yield Violation("loss" if not out else "wrong word", about)
    if row["state"] in SAID_OUT and channel != "banner" and out and row["provider_id"] not in {it.id for it in out}:
        yield Violation("wrong word", f"{about} as {row['provider_id']}, which is not out")
    for copy in out:
        if any(_plain(text) != _plain(row["parts"][part]) for part, text in copy.parts.items()):
            yield Violation("wrong word", f"{about} with other words than were shown before")


def _told(report: dict[str, Any], channel: str, rows: list[dict[str, Any]]) -> Iterator[Violation]:
    """The report agrees with the ledger about one channel."""
    told = next((item for item in report["channels"] if item["channel"] == channel), None)
    states = Counter(row["state"] for row in rows)
    in_doubt = sum(states[state] for state in DOUBTFUL)
    if told is None or told["counts"]["in_doubt"] != in_doubt:
        yield Violation("doubt untold", f"{in_doubt} of {channel} are in doubt, and it says {told and told['counts']}")
    elif in_doubt and (report["exit_code"] != ExitCode.IN_DOUBT or not told["next_action"]):
        yield Violation("doubt untold", f"{channel} is in doubt, and it says {report['exit_name']}")
    elif in_doubt and told["published"] != ("yes" if states["accepted"] else "unknown"):
        yield Violation("doubt untold", f"{channel} is in doubt, and published says {told['published']}")
    if states["accepted"] != len(rows) and report["exit_code"] == ExitCode.DONE:
        yield Violation("loss", f"{channel} is {dict(states)}, and it says done")
    if told and told["published"] == "no" and states["accepted"]:
        yield Violation("wrong word", f"{channel} is out, and published says no")


def finished(desk: Desk, said: dict[str, Any], *, smooth: bool) -> Iterator[Violation]:
    """Once all is quiet nothing is left that the program could have done; ``smooth``: nothing stood in its way."""
    for row in said.get("deliveries", ()):
        channel, state = row["channel"], row["state"]
        has_it = any(copy.target == row["target"] for copy in desk.out(channel))
        if smooth and state != "accepted":
            yield Violation("unfinished", f"{channel} is {state}, and nothing stood in its way")
        elif state in DOUBTFUL and has_it and channel in {"x", "thread", "facebook", "sms"}:
            yield Violation("unfinished", f"{channel} is {state}, and a look-up would have found it")
        elif state in DOUBTFUL and channel == "banner":
            yield Violation("unfinished", f"{channel} is {state}, and could be written again")
        elif waits(row, said["deliveries"]):
            continue
        elif state in {"ready", "attempting", "in_doubt"} or (state == "failed" and not row["refused"]):
            yield Violation("unfinished", f"{channel} is {state} in the end")


def waits(row: dict[str, Any], rows: list[dict[str, Any]]) -> bool:
    """Whether it is a thread's second post, below a first that a person has to look for."""
    firsts = {it["state"] for it in rows if (it["channel"], it["target"]) == (row["channel"], "")}
    return row["target"] == SECOND and row["state"] == "ready" and firsts == {"needs_decision"}


def _plain(text: str) -> str:
    """Mail ends its lines in its own way, and its text with one."""
    return text.replace("\r\n", "\n").rstrip("\n")
