"""The bank's commands in this process, against stand-ins of all providers, at a time of the test's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import outagecast.templates
from outagecast import config, message, registry
from outagecast.app import App
from outagecast.channel import Channel
from outagecast.clock import Clock
from outagecast.config import ChannelConfig
from outagecast.control import Control
from outagecast.dry_run import Prepared
from outagecast.ledger import Entry
from outagecast.model import State
from outagecast.report import ChannelReport, Report

if TYPE_CHECKING:
    from tests.conftest import Bank

SLUG = "card-payments"
ROMANIAN: dict[str, Any] = {  # what the bank's message says
    "title": "Plățile nu merg",
    "summary": "Cardurile sunt refuzate.",
    "components": {"Card payments": "Plăți cu cardul"},
    "workaround": ["Bancomatele merg."],
    "apology": "Ne pare rău.",
}
SHIPPED = Path(next(iter(outagecast.templates.__path__))) / "en"


class SetClock(Clock):
    """A clock that moves when somebody waits for it, or when a test says so."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            return self.time

    def wait(self, seconds: float, stop: threading.Event) -> None:
        self.pass_by(seconds)

    def pass_by(self, seconds: float) -> None:
        with self._lock:
            self.time += timedelta(seconds=seconds)


class Office:
    """One officer's desk; ``open`` it to use it, ``close`` it at the end."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.clock = SetClock()
        self.made: Callable[[ChannelConfig], Channel] = lambda one: registry.create(one.kind, one.settings)
        self._opened: list[App] = []
        self.open()

    def open(self) -> None:
        """Read the config anew."""
        loaded = config.load(self.bank.folder / "outagecast.yaml")
        self.app = App(loaded, "ana@desk", self.clock, create=self._make)
        self._opened.append(self.app)

    def _make(self, channel: ChannelConfig) -> Channel:
        return self.made(channel)

    def close(self) -> None:
        for app in self._opened:
            app.close()

    def prepare(
        self,
        *channels: str,
        correct: bool = False,
        reopen: bool = False,
        left_out: tuple[str, ...] = (),
        **facts: Any,
    ) -> Prepared:
        """What announcing would do; ``facts`` change the message, and None takes one out."""
        self.bank.write(**facts)
        self.said = message.load(self.bank.folder / "incident.yaml", zone=self.app.config.organisation.timezone)
        return self.app.prepare(self.said, only=channels, left_out=left_out, correct=correct, reopen=reopen)

    def announce(self, *channels: str, control: Control | None = None, **facts: Any) -> Report:
        return self.app.announce(self.prepare(*channels, **facts), self.said, control or Control())

    def correct(self, *channels: str, **facts: Any) -> Report:
        return self.announce(*channels, correct=True, **facts)

    def retract(self, *delete: str, control: Control | None = None) -> Report:
        return self.app.retract(self.app.prepare_retraction(SLUG, delete), control or Control(), delete)

    def speak_romanian(self, summary: str, *, english: str, romanian: str) -> None:
        """Have X say it in Romanian too, by templates of one's own; ``english`` is a phrase of ours."""
        folder = self.bank.folder / "words" / "ro"
        folder.mkdir(parents=True)
        for name in ("x.text.j2", "phrases.j2"):
            text = SHIPPED.joinpath(name).read_text(encoding="utf-8").replace(english, romanian)
            (folder / name).write_text(text, encoding="utf-8")
        self.bank.config["organisation"]["languages"] = ["en", "ro"]
        self.bank.config["templates"] = "words"
        self.bank.config["channels"] = {"x": self.bank.config["channels"]["x"] | {"languages": ["en", "ro"]}}
        self.bank.write(translations={"ro": {**ROMANIAN, "summary": summary}})
        self.open()

    def words(self, *, correct: bool = True, **facts: Any) -> dict[str, str]:
        """The text of each channel, as it would be announced."""
        return texts(self.prepare(correct=correct, **facts))

    def entry(self, channel: str = "x", number: int = 1) -> Entry:
        (entry,) = self.app.ledger.entries(SLUG, number, channel, set(State))
        return entry

    def states(self, number: int) -> dict[str, list[str]]:
        """By channel, the states of an update's deliveries."""
        names = self.app.config.channels
        found = {name: self.app.ledger.entries(SLUG, number, name, set(State)) for name in names}
        return {name: [entry.state.value for entry in entries] for name, entries in found.items() if entries}


def texts(prepared: Prepared) -> dict[str, str]:
    return {item.channel: item.parts.get("text", item.parts.get("html", "")) for item in prepared.variants}


def by_name(report: Report) -> dict[str, ChannelReport]:
    return {channel.channel: channel for channel in report.channels}


def states(report: Report) -> dict[str, str]:
    return {channel.channel: channel.state.value for channel in report.channels}
