"""Runs announcements in processes that may be killed: imports everything once, then forks a child for each.

``python -m tests.crash.forge`` reads jobs from standard input and answers on standard output, a line of JSON each.
It has one thread only, so that forking is safe; the stand-ins live with whoever asks.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from outagecast import message, registry
from outagecast.app import App
from outagecast.clock import Clock
from outagecast.config import load
from outagecast.control import Control
from outagecast.errors import OutagecastError
from outagecast.ledger import Event, every_entry
from outagecast.model import State
from tests.crash import broken
from tests.crash.points import DoomedJournal, DoomedLedger, Points, arm, doomed_adapter

Job = dict[str, Any]
LONGEST = 60.0  # seconds for one child, after which it is a hang


class PassingClock(Clock):
    """The machine's clock, moved by so many seconds; waiting moves it on and takes no time."""

    def __init__(self, moved: float) -> None:
        self.moved = timedelta(seconds=moved)

    def now(self) -> datetime:
        return super().now() + self.moved

    def wait(self, seconds: float, stop: threading.Event) -> None:
        self.moved += timedelta(seconds=seconds)


class Doomed(App):
    """The app, with the doomed ledger."""

    @cached_property
    def ledger(self) -> DoomedLedger:
        kind = broken.LEDGERS.get(self.variant, DoomedLedger)
        return kind(Path(self.config.ledger.removeprefix("sqlite:///")), self.points)

    points: Points
    variant: str = ""


def run(job: Job) -> dict[str, Any]:
    """Do one job in this process, if it lives that long."""
    folder, points = Path(job["folder"]), Points(job.get("point"), job.get("arrival", 1))
    os.environ.update(job["env"])
    deadline, variant = job.get("deadline"), job.get("broken", "")
    arm(points, deadline, job.get("fault"), broken.JOURNALS.get(variant, DoomedJournal))

    def create(config: Any) -> Any:
        adapter = doomed_adapter(config, points, deadline)
        broken.ADAPTERS.get(variant, lambda _: None)(adapter)
        return adapter

    app = Doomed(load(folder / "outagecast.yaml"), "ana@desk", PassingClock(job.get("moved", 0.0)), create)
    app.points, app.variant = points, variant
    try:
        if job["verb"] == "announce":
            said = message.load(folder / "incident.yaml")
            report = app.announce(app.prepare(said), said, Control())
        elif job["verb"] == "settle":
            report = app.settle("cards", job["channel"], Event(job["event"]), url=job.get("url"), target=None)
        else:
            report = app.resume("cards", Control())
        return {"report": report.as_json(), "deliveries": _deliveries(app)}
    except OutagecastError as error:
        return {"error": str(error), "code": int(error.exit_code)}
    finally:
        app.close()


def _deliveries(app: App) -> list[dict[str, Any]]:
    """Every delivery of the incident as the ledger has it, with the words that were frozen for it."""
    return [
        {
            "channel": entry.channel,
            "target": entry.delivery.target,
            "state": entry.state.value,
            "refused": entry.refused,
            "replays": entry.replays,
            "provider_id": entry.receipt.provider_id if entry.receipt else None,
            "parts": dict(entry.delivery.parts),
        }
        for update in app.ledger.past("cards", ()).updates
        for channel in app.config.channels
        for entry in every_entry(app.ledger, "cards", update.number, channel, list(State))
    ]


def race(job: Job, gun: int, out: int) -> None:
    """Wait for the gun, then be the command line, with its standard output going to ``out``."""
    from outagecast import cli

    os.chdir(job["folder"])
    os.environ.update(job["env"])
    os.dup2(out, 1)
    os.dup2(os.open("stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    os.read(gun, 1)
    cli.main(job["arguments"])


def warm(folder: Path) -> None:
    """Import and read, before the first fork, all that a run does."""
    for kind in ("x", "facebook", "twilio_sms", "smtp", "banner"):
        for module in registry.channel_class(kind).imports:
            importlib.import_module(module)
    for module in (
        "tweepy",
        "twilio.rest",
        "outagecast.deliver",
        "outagecast.http_conversation",
        "outagecast.smtp_conversation",
        "outagecast.cli.announce",
        "outagecast.cli.incident",
    ):
        importlib.import_module(module)
    Doomed(load(folder / "outagecast.yaml"), "ana@desk").prepare(message.load(folder / "incident.yaml"))


def _fork(work: Callable[[int], None]) -> tuple[int, int]:
    """A child that does ``work`` with the writing end of a pipe: its process, and the reading end."""
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        return child, reading
    status = 70
    try:
        signal.alarm(int(LONGEST))
        os.close(reading)
        work(writing)
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - a child must never come back into the parent's loop
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _gather(pipes: dict[int, int]) -> dict[int, tuple[int, str]]:
    """How each child ended (a signal's number is negative), and what it said."""
    said = dict.fromkeys(pipes.values(), b"")
    open_ends = set(said)
    while open_ends:
        for end in select.select(list(open_ends), [], [])[0]:
            if data := os.read(end, 65_536):
                said[end] += data
            else:
                open_ends.discard(end)
                os.close(end)
    return {
        child: (os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said[end].decode("utf-8", "replace"))
        for child, end in pipes.items()
    }


def _one(job: Job) -> dict[str, Any]:
    def work(out: int) -> None:
        os.write(out, json.dumps(run(job)).encode())

    child, reading = _fork(work)
    ended, said = _gather({child: reading})[child]
    return {"ended": ended, **(json.loads(said) if said else {})}


def _many(job: Job) -> dict[str, Any]:
    gun, trigger = os.pipe()

    def racer(arguments: list[str]) -> Callable[[int], None]:
        def work(out: int) -> None:
            os.close(trigger)
            race({**job, "arguments": arguments}, gun, out)

        return work

    pipes = dict(_fork(racer(arguments)) for arguments in job["runners"])
    os.close(gun)
    time.sleep(0.2)  # all stand at the line
    os.close(trigger)
    return {"ended": 0, "runners": list(_gather(pipes).values())}


def main() -> None:
    """Work until nobody asks any more."""
    is_warm = False
    for line in sys.stdin:
        job = json.loads(line)
        if not is_warm:
            warm(Path(job["folder"]))
            gc.freeze()  # else each child would copy all of it, only to look for garbage
            is_warm = True
        answer = _many(job) if job["verb"] == "race" else _one(job)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
