"""The cells of the crash sweep: a channel, how its provider behaves, and where the process is killed."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tests.crash import oracle
from tests.crash.desk import HANG, Desk, Forge
from tests.crash.oracle import Violation
from tests.crash.points import (
    AFTER_REQUEST,
    ANSWER_NOTED,
    BEFORE_CONNECTING,
    BULK_POINTS,
    BULK_UNTOUCHED,
    FREEZING,
    REPLAY_POINTS,
    RESUME_POINTS,
    SEND_POINTS,
    UNTOUCHED,
)

CHANNELS = ("x", "facebook", "sms", "email", "banner")
BULK = ("sms", "email")  # many people over few lines, driven by outagecast/bulk.py
THREAD = "thread"  # two posts on X, the second below the first; it has the stand-in to itself
STAND_INS = {"x": "x", THREAD: "x", "facebook": "facebook", "sms": "twilio", "email": "smtp"}

# How the provider meets the next request that publishes. `applied` ones publish, and then lose the answer.
HTTP_BEHAVIOURS = (
    "ok",
    "error_500",
    "error_500_applied",
    "hang",
    "hang_applied",
    "reset_before",
    "reset_after",
    "garbage_200",
    "garbage_200_applied",
    "rate_limited",
    "unauthorized",
    "duplicate",
)
# The same for mail. No server says of a mail that it took that it did not (RFC 5321, 4.2.5), so there is no "500
# applied"; a drop after the dot is its lost answer, taken or not.
MAIL_BEHAVIOURS = (
    "ok",
    "reject_after_dot",  # 500, not applied
    "garbage_after_dot_applied",
    "hang_after_dot",  # taken
    "drop_before_data",  # reset before
    "drop_after_dot",
    "drop_after_dot_applied",  # reset after
    "throttled",  # 429, at its end
    "greylisted",  # 429, for the recipient
    "login_refused",  # 401
    "reject_rcpt",
)
# A file has no provider: what stands in its way is the folder, and goes away after the first resume.
FILE_BEHAVIOURS = (
    "ok",
    "folder_missing",  # the last one, which is made
    "two_folders_missing",  # which are not
    "path_is_folder",
    "path_is_link",
    "path_is_pipe",
    "foreign_content",
    "busy",  # somebody else holds the folder's lock
    "disk_full",
    "not_synced",  # it stands, and the disk did not confirm it: a lost answer
)
BEHAVIOURS = {
    "x": HTTP_BEHAVIOURS,
    THREAD: HTTP_BEHAVIOURS,
    "facebook": HTTP_BEHAVIOURS,
    "sms": HTTP_BEHAVIOURS,
    "email": MAIL_BEHAVIOURS,
    "banner": FILE_BEHAVIOURS,
}
FREEZINGS = 4  # transactions of writing people down: emptying, the people, their addresses, the seal
LATER = (60.0, 360.0, 360.0, 720.0, 720.0, 720.0)  # seconds before each resume: at once, then past settle times


class Cell(NamedTuple):
    """One of them."""

    channel: str
    behaviour: str
    point: str
    run: Literal["announce", "resume"] = "announce"  # which is killed; before a resume, an announcement is killed too
    arrival: int = 1  # die only when the point is reached for this time
    broken: str = ""  # the engine, for a negative control

    def __str__(self) -> str:
        at = f" (arrival {self.arrival})" if self.arrival > 1 else ""
        return f"{self.channel}, {self.behaviour}, {self.run} killed {self.point}{at}" + (
            f", {self.broken}" if self.broken else ""
        )


@dataclass
class Outcome:
    """What became of a cell."""

    cell: Cell
    killed: bool = False  # else the point was not on the way
    doubts: int = 0  # deliveries that some report called in doubt
    violations: list[Violation] = field(default_factory=list)


def every_cell() -> Iterator[Cell]:
    """The whole sweep."""
    for channel in (*CHANNELS, THREAD):
        for behaviour in BEHAVIOURS[channel]:
            for point in send_points(channel):
                yield Cell(channel, behaviour, point)
            for point in REPLAY_POINTS if channel == "email" else RESUME_POINTS:
                if channel != "banner" or not point.endswith("question"):
                    yield Cell(channel, behaviour, point, "resume")
            if channel in {"sms", "email", THREAD}:
                for point in second_points(channel):
                    yield Cell(channel, behaviour, point, arrival=2)
        if channel in BULK:
            for arrival in range(2, FREEZINGS + 1):
                yield Cell(channel, "ok", FREEZING, arrival=arrival)


def send_points(channel: str) -> tuple[str, ...]:
    """From the first to the last moment of an announcement on a channel."""
    return BULK_POINTS if channel in BULK else SEND_POINTS


def second_points(channel: str) -> list[str]:
    """Of the second recipient or post, who goes over the first one's connection, recorded apart."""
    once = {BEFORE_CONNECTING, ANSWER_NOTED, "before the channel's unlocking", "before unlocking"}
    points = send_points(channel)
    return [point for point in points[points.index("before the claim") :] if point not in once]


def leaves_nothing(cell: Cell) -> bool:
    """Whether nobody can have got anything by then, which the next run must know."""
    untouched = BULK_UNTOUCHED if cell.channel in BULK else UNTOUCHED
    return cell.run == "announce" and cell.point in untouched and (cell.arrival == 1 or cell.point == FREEZING)


def sample() -> Iterator[Cell]:
    """Two cells for each behaviour of each channel, at those points that came up least so far."""
    cells = list(every_cell())
    played: Counter[tuple[str, str]] = Counter()
    for number, channel in enumerate((*CHANNELS, THREAD)):
        for behaviour in BEHAVIOURS[channel]:
            mine = [cell for cell in cells if (cell.channel, cell.behaviour) == (channel, behaviour)]
            mine = mine[7 * number :] + mine[: 7 * number]  # else all channels would meet in the same combinations
            for _ in range(2):
                cell = min(mine, key=lambda cell: played[cell.run, cell.point])
                played[cell.run, cell.point] += 1
                yield cell


def play(cell: Cell, forge: Forge) -> Outcome:
    """Kill a run at the cell's point, resume until all is quiet, and compare all that was said with what is out."""
    outcome = Outcome(cell)
    with tempfile.TemporaryDirectory() as folder, Desk(Path(folder, "desk"), forge, (cell.channel,)) as desk:
        job: dict[str, Any] = {"broken": cell.broken, "deadline": HANG if "hang" in cell.behaviour else None}
        if cell.channel in STAND_INS:
            if cell.behaviour != "ok":
                getattr(desk.providers, STAND_INS[cell.channel]).behave(cell.behaviour)
        else:
            job["fault"] = cell.behaviour
        with desk.obstacle(cell.behaviour):
            if cell.run == "announce":
                said = desk.run("announce", point=cell.point, arrival=cell.arrival, **job)
                _note(desk, outcome, said)
            else:
                # Of many people an answer that was heard is in the journal: what leaves doubt is a request without one.
                point = AFTER_REQUEST if cell.channel in BULK else "before the record"
                _note(desk, outcome, desk.run("announce", point=point, **job), is_last=False)
                desk.moved += 600
                said = desk.run("resume", point=cell.point, **job)
                _note(desk, outcome, said)
            desk.moved += LATER[0]
            said = _go_on(desk, outcome, job)
        job.pop("fault", None)
        _to_quiet(desk, outcome, job, said)
    return outcome


def _to_quiet(desk: Desk, outcome: Outcome, job: dict[str, Any], said: dict[str, Any]) -> None:
    for wait in LATER[1:]:
        desk.moved += wait
        before, said = said, _go_on(desk, outcome, job)
        if _is_quiet(before, said):
            break
    cell = outcome.cell
    smooth = cell.behaviour in {"ok", "folder_missing"} and (
        cell.channel in {"email", "banner"} or leaves_nothing(cell)
    )
    # A mail may be cut short twice, once by each of two kills.
    smooth = smooth and not (cell.channel == "email" and cell.run == "resume")
    outcome.violations += oracle.finished(desk, said, smooth=smooth)


def _is_quiet(before: dict[str, Any], said: dict[str, Any]) -> bool:
    """Whether one more run changed nothing, and no other will."""
    states = [[(row["state"], row["refused"]) for row in it.get("deliveries", ())] for it in (before, said)]
    rows = said.get("deliveries", [])
    left = {(row["state"], row["refused"]) for row in rows if not oracle.waits(row, rows)}
    return states[0] == states[1] and left <= {
        ("accepted", False),
        ("needs_decision", False),
        ("failed", True),
    }


def _go_on(desk: Desk, outcome: Outcome, job: dict[str, Any]) -> dict[str, Any]:
    """Resume, or where nothing was begun yet, announce again."""
    said = desk.run("resume", **job)
    if said.get("code") == 65:
        said = desk.run("announce", **job)
    _note(desk, outcome, said)
    return said


def _note(desk: Desk, outcome: Outcome, said: dict[str, Any], *, is_last: bool = True) -> None:
    outcome.violations += [*oracle.copies(desk), *oracle.counts(desk)]
    if said["ended"] < 0:
        outcome.killed = is_last
        return
    outcome.violations += oracle.truth(desk, said)
    outcome.doubts += sum(row["state"] in oracle.DOUBTFUL for row in said.get("deliveries", ()))
