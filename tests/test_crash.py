"""A run that is killed at the worst moments, and resumed: no duplicate, no silent loss."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from outagecast import message
from outagecast.app import App, Control
from outagecast.clock import Clock
from outagecast.config import load as load_config
from outagecast.errors import ExitCode
from outagecast.ledger import Event
from outagecast.model import State
from outagecast.rehearsal import Providers
from outagecast.report import Report

# Announces as the command does, and dies by SIGKILL at a named point of the life of the deliveries on one channel.
DRIVER = """
import json, os, signal, sys
from functools import cached_property
from pathlib import Path
from outagecast import message, registry
from outagecast.app import App, Control
from outagecast.config import load
from outagecast.ledger.sqlite import SqliteLedger

folder, victim, point = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

def die(here, channel):
    if (here, channel) == (point, victim):
        os.kill(os.getpid(), signal.SIGKILL)

class Ledger(SqliteLedger):
    def claim(self, incident, number, channel, *rest):
        die("before the claim", channel)
        entry = super().claim(incident, number, channel, *rest)
        if entry:
            die("after the claim", channel)
        return entry

    def move(self, entry, move, *rest):
        die("before the record", entry.channel)
        super().move(entry, move, *rest)
        die("after the record", entry.channel)

class Doomed(App):
    @cached_property
    def ledger(self):
        return Ledger(folder / "outagecast.db")

app = Doomed(load(folder / "outagecast.yaml"), "ana@desk")
said = message.load(folder / "incident.yaml")
app.announce(app.prepare(said), said, Control())
"""

MESSAGE = {
    "incident": "cards",
    "status": "investigating",
    "title": "Card payments are failing",
    "summary": "Our cards are being declined in shops and online.",
    "cause": "unknown",
    "workaround": ["Cash machines still work."],
    "next_update_at": "2h",
    "apology": "We are sorry.",
}
CHANNELS = ("x", "facebook", "sms", "email", "banner")
SAMPLE = [  # all five at the worst moments, when nobody knows whether it is out; one of them at the others
    *((channel, "before the record") for channel in CHANNELS),
    *((channel, "after the claim") for channel in ("x", "sms", "banner")),
    ("x", "before the claim"),
    ("facebook", "after the record"),
]
PEOPLE = 2


class LaterClock(Clock):
    """The machine's clock, some time on: when somebody comes to resume."""

    def __init__(self) -> None:
        self.later = timedelta(0)

    def now(self) -> Any:
        return super().now() + self.later

    def wait(self, seconds: float, stop: threading.Event) -> None:
        self.later += timedelta(seconds=seconds)


@dataclass
class Desk:
    folder: Path
    providers: Providers
    clock: LaterClock = field(default_factory=LaterClock)

    def app(self) -> App:
        return App(load_config(self.folder / "outagecast.yaml"), "ben@desk", self.clock)

    def announce_and_die(self, channel: str, point: str) -> int:
        """The return code of an announcement that is killed there."""
        driver = self.folder / "driver.py"
        driver.write_text(DRIVER)
        ended = subprocess.run([sys.executable, driver, self.folder, channel, point], timeout=30, check=False)
        return ended.returncode

    def announce(self) -> Report:
        app, said = self.app(), message.load(self.folder / "incident.yaml")
        try:
            return app.announce(app.prepare(said), said, Control())
        finally:
            app.ledger.close()

    def resume(self) -> Report:
        app = self.app()
        try:
            return app.resume("cards", Control())
        finally:
            app.ledger.close()

    @property
    def out(self) -> dict[str, Counter[str]]:
        """How many copies everybody has, by channel."""
        providers = self.providers
        banner = self.folder / "banner.html"
        return {
            "x": Counter("everybody" for _ in providers.x.posts),
            "facebook": Counter("everybody" for _ in providers.facebook.posts),
            "sms": Counter(item.to for item in providers.twilio.messages),
            "email": Counter(address for mail in providers.smtp.mails for address in mail.to),
            "banner": Counter(["everybody"] if banner.exists() and "declined" in banner.read_text() else []),
        }


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with Providers() as providers:
        for name, value in providers.environment.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "customers.csv").write_text(
            "name,phone,email\nAna,+61491570156,ana@example.com\nBen,+61491570157,ben@example.com\n"
        )
        channels = providers.config(tmp_path)
        channels["email"]["connections"] = 1
        config = {
            "organisation": {"name": "Example Bank", "timezone": "UTC", "status_page": "https://status.example.com"},
            "ledger": "sqlite:///outagecast.db",
            "audiences": {"customers": {"file": "customers.csv"}},
            "channels": channels,
        }
        (tmp_path / "outagecast.yaml").write_text(yaml.safe_dump(config))
        (tmp_path / "incident.yaml").write_text(yaml.safe_dump(MESSAGE))
        yield Desk(tmp_path, providers)


def standing(report: Report, channel: str) -> tuple[State, int, int]:
    """A channel's state, how many certainly carry it, and how many may."""
    (item,) = (item for item in report.channels if item.channel == channel)
    return item.state, item.counts.accepted, item.counts.in_doubt


def planned(channel: str) -> int:
    return PEOPLE if channel in {"sms", "email"} else 1


def no_copy_too_many(desk: Desk) -> None:
    for channel, copies in desk.out.items():
        most = 2 if channel == "email" else 1
        assert all(count <= most for count in copies.values()), (channel, copies)
    ids = {(mail.id, mail.to) for mail in desk.providers.smtp.mails}
    assert len(ids) == len(desk.out["email"])  # both copies under one Message-ID


def nothing_is_lost_in_silence(desk: Desk, report: Report) -> None:
    """What is not out is pending, failed or in doubt, by name; and what is called accepted is out."""
    for item in report.channels:
        counts = item.counts
        assert counts.accepted + counts.in_doubt + counts.pending + counts.failed == planned(item.channel)
        assert counts.accepted <= len(desk.out[item.channel])
        assert len(desk.out[item.channel]) <= counts.accepted + counts.in_doubt, item.channel


@pytest.mark.parametrize(("channel", "point"), SAMPLE)
def test_a_run_that_is_killed_is_finished_by_resuming_without_a_copy_too_many(
    desk: Desk, channel: str, point: str
) -> None:
    assert desk.announce_and_die(channel, point) == -signal.SIGKILL
    no_copy_too_many(desk)
    report = desk.resume()
    no_copy_too_many(desk)
    nothing_is_lost_in_silence(desk, report)
    desk.clock.later += timedelta(minutes=6)  # past every settle time
    report = desk.resume()
    no_copy_too_many(desk)
    nothing_is_lost_in_silence(desk, report)
    held = {item.channel for item in report.channels if item.state is State.NEEDS_DECISION}
    # The kill strikes the other channels wherever they are, so those may be held too; a file and a mail never are.
    assert held <= {"x", "facebook", "sms"}
    assert report.exit_code == (ExitCode.IN_DOUBT if held else ExitCode.DONE)
    if point in {"before the claim", "after the record"}:
        assert channel not in held
    for name in held:
        assert len(desk.out[name]) < planned(name)  # whoever has it was found


def test_a_person_ends_the_doubt_that_a_crash_left(desk: Desk) -> None:
    assert desk.announce_and_die("x", "after the claim") == -signal.SIGKILL
    desk.resume()
    desk.clock.later += timedelta(minutes=6)
    assert standing(desk.resume(), "x") == (State.NEEDS_DECISION, 0, 1)
    app = desk.app()
    app.settle("cards", "x", Event.SETTLED_RESEND, url=None, target=None)
    app.ledger.close()
    assert standing(desk.resume(), "x") == (State.ACCEPTED, 1, 0)
    assert len(desk.providers.x.posts) == 1


HTTP = {"x": "x", "facebook": "facebook", "sms": "twilio"}
APPLIED = ("error_500_applied", "reset_after", "garbage_200_applied")


@pytest.mark.parametrize("channel", HTTP)
@pytest.mark.parametrize("fault", APPLIED)
def test_an_answer_that_is_lost_after_the_post_went_out_leads_to_no_second_one(
    desk: Desk, channel: str, fault: Any
) -> None:
    getattr(desk.providers, HTTP[channel]).behave(fault)
    first = desk.announce()
    nothing_is_lost_in_silence(desk, first)
    report = desk.resume()
    no_copy_too_many(desk)
    assert standing(report, channel) == (State.ACCEPTED, planned(channel), 0)
    assert report.exit_code == ExitCode.DONE


def test_an_answer_that_is_lost_and_the_process_with_it_leads_to_no_second_post(desk: Desk) -> None:
    desk.providers.x.behave("reset_after")
    assert desk.announce_and_die("x", "before the record") == -signal.SIGKILL
    report = desk.resume()
    no_copy_too_many(desk)
    nothing_is_lost_in_silence(desk, report)
    assert standing(report, "x") == (State.ACCEPTED, 1, 0)


def test_a_mail_whose_answer_was_lost_is_sent_twice_at_most_under_one_message_id(desk: Desk) -> None:
    desk.providers.smtp.behave("drop_after_dot_applied", times=4)
    first = desk.announce()
    assert standing(first, "email") == (State.IN_DOUBT, 0, PEOPLE)
    desk.resume()
    desk.resume()
    report = desk.resume()
    assert desk.out["email"] == Counter({"ana@example.com": 2, "ben@example.com": 2})
    assert len({mail.id for mail in desk.providers.smtp.mails}) == PEOPLE
    assert (standing(report, "email"), report.exit_code) == ((State.NEEDS_DECISION, 0, PEOPLE), ExitCode.IN_DOUBT)


def test_the_driver_without_a_kill_announces_everything(desk: Desk) -> None:
    assert desk.announce_and_die("nobody", "nowhere") == 0
    assert {name: sum(copies.values()) for name, copies in desk.out.items()} == {
        name: planned(name) for name in CHANNELS
    }
    assert json.loads(json.dumps(desk.resume().as_json()))["exit_code"] == 0
    assert (desk.folder / "outagecast.db").stat().st_mode & 0o777 == 0o600
