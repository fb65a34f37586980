"""What several tests share."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from outagecast import audience, config, document, message, plan, render, secret
from outagecast.errors import MessageError
from outagecast.ledger import Carried, Entry, Event, Ledger, Move, Past, Update
from outagecast.model import State, Variant
from outagecast.rehearsal import Providers
from outagecast.roll import Group
from outagecast.transitions import TRANSITIONS
from tests.tallied import miscounted


@pytest.fixture(autouse=True, scope="session")
def no_memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What this machine remembers of ledgers is kept out of the developer's own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Nobody asks whether the made-up links of the tests open, except who means to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ALONE, "1")
        yield


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests() -> Iterator[None]:
    """What other tests revealed is not looked for in all that is said here: it would be thousands of secrets."""
    yield
    secret._revealed.clear()
    secret._passing.clear()
    secret._forms[0] = ()


@pytest.fixture(autouse=True)
def counts_of_every_ledger(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test did to a ledger, its counts are those of its rows."""
    yield
    for path in request.node.funcargs.get("tmp_path", Path("none")).rglob("outagecast.db"):
        assert miscounted(path) == []


@pytest.fixture
def reference_data() -> Callable[[str], Path]:
    """A function from a name such as ``sms/vectors.json`` to that file of the reference data, kept out of the repo."""

    def find(name: str) -> Path:
        folder = os.environ.get("OUTAGECAST_DATA")
        if not folder:
            pytest.skip("OUTAGECAST_DATA does not name the folder of the reference data")
        path = Path(folder, name)
        if not path.exists():
            pytest.fail(f"OUTAGECAST_DATA is set, and {path} does not exist")
        return path

    return find


MESSAGE: dict[str, Any] = {
    "incident": "card-payments",
    "status": "investigating",
    "impact": "major",
    "title": "Card payments are failing",
    "summary": "Our debit and credit cards are being declined in shops and online.",
    "components": {"Card payments": "major_outage"},
    "cause": "unknown",
    "workaround": ["Cash machines and transfers in our app still work."],
    "apology": "We're sorry, above all if you're at a till right now.",
    "next_update_at": "30m",
}
ALONE = "OUTAGECAST_NO_LINK_CHECK"
_OWN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


def way_to(state: State) -> list[Event]:
    """The shortest way there that a delivery which is ready can take: one step at least."""
    ways: list[tuple[State, list[Event]]] = [(State.READY, [])]
    for here, events in ways:
        for (before, event), after in TRANSITIONS.items():
            if before is here and after is state:
                return [*events, event]
            if before is here and len(events) < len(State):
                ways.append((after, [*events, event]))
    raise AssertionError(f"no way leads to {state}")


@pytest.fixture
def lead() -> Callable[..., None]:
    """Leads a delivery that is ready to a state, as the table allows; what is given goes with the last step."""

    def lead(ledger: Ledger, entry: Entry, state: State, now: datetime, **last: Any) -> None:
        *events, end = way_to(state)
        for event in events:
            entry = replace(entry, state=ledger.move(entry, Move(event), now, "ana@desk"))
        ledger.move(entry, Move(end, **last), now, "ana@desk")

    return lead


class Terminal:
    """The command in a terminal of its own, as a person sees it."""

    def __init__(self, command: list[str], cwd: Path, env: Mapping[str, str], columns: int = 80) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _OWN_TERMINAL, *command],
            cwd=cwd,
            env=env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._seen = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # the other end is closed
            while data := os.read(self._master, 65536):
                self._seen += data

    @property
    def raw(self) -> str:
        """All that was written so far, with its control sequences."""
        return self._seen.decode()

    @property
    def text(self) -> str:
        """The same without them."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw).replace("\r\n", "\n")

    def expect(self, words: str, *, within: float = 15) -> None:
        """Wait until ``words`` are on the screen."""
        until = time.monotonic() + within
        while words not in self.text:
            if time.monotonic() > until:
                pytest.fail(f"never said {words!r}, but:\n{self.text}")
            time.sleep(0.01)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def close(self) -> None:
        """Close the window, whatever runs in it."""
        self.process.kill()
        self.process.wait()
        self._reader.join(5)
        os.close(self._master)

    def wait(self, *, within: float = 20) -> int:
        """The exit code."""
        code = self.process.wait(within)
        self._reader.join(5)
        return code


class Bank:
    """A bank in a folder: its config, message and customers, and providers of its own on real sockets."""

    def __init__(self, folder: Path, providers: Providers) -> None:
        self.folder = folder
        self.providers = providers
        self._processes: list[subprocess.Popen[str]] = []
        self._terminals: list[Terminal] = []
        self.clock = datetime.now(ZoneInfo("Australia/Sydney"))
        self.message = dict(MESSAGE)
        self.message["started_at"] = (self.clock - timedelta(minutes=20)).isoformat(timespec="minutes")
        self.config: dict[str, Any] = {
            "organisation": {
                "name": "Example Bank",
                "timezone": "Australia/Sydney",
                "phone": "13 20 32",
                "status_page": "https://status.example.com",
            },
            "audiences": {"customers": {"file": "customers.csv"}},
            "channels": providers.config(folder),
        }
        self.customers(("Ana", "+61491570156", "ana@example.com"), ("Ben", "+61491570157", "ben@example.com"))
        self.write()

    def customers(self, *rows: tuple[str, str, str]) -> None:
        """Write the audience."""
        lines = ["name,phone,email", *(",".join(row) for row in rows)]
        (self.folder / "customers.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def write(self, **facts: Any) -> None:
        """Write config and message; ``facts`` change the message, ``None`` takes one out."""
        self.message = {name: fact for name, fact in {**self.message, **facts}.items() if fact is not None}
        for name, data in (("outagecast.yaml", self.config), ("incident.yaml", self.message)):
            text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
            (self.folder / name).write_text(text, encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        """What a shell of the bank has set."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith("OUTAGECAST_")}
        for name in ("NO_COLOR", "COLUMNS", "LINES", "EDITOR", "VISUAL"):
            mine.pop(name, None)
        return {**mine, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", ALONE: "1", **self.providers.environment}

    def is_posting(self, name: str) -> bool:
        """Whether a request to publish has reached one of the providers."""
        return any(request.method == "POST" for request in getattr(self.providers, name).requests)

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "outagecast", *arguments]

    def run(
        self, *arguments: str, stdin: str = "", env: Mapping[str, str | None] = MappingProxyType({})
    ) -> subprocess.CompletedProcess[str]:
        """Run the command as a script does."""
        given = {**self.environment, **env}
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={name: value for name, value in given.items() if value is not None},
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=40,
            check=False,
        )

    def json(self, *arguments: str, env: Mapping[str, str | None] = MappingProxyType({})) -> dict[str, Any]:
        """Run with ``--json``: the object, once it is clear that it is the only thing on standard output."""
        done = self.run(*arguments, "--json", env=env)
        found: dict[str, Any] = json.loads(done.stdout)
        assert found["exit_code"] == done.returncode
        return found

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin the command as a script does, and go on."""
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._processes.append(process)
        return process

    def terminal(self, *arguments: str, columns: int = 80, env: Mapping[str, str] = MappingProxyType({})) -> Terminal:
        """Run the command as a person does."""
        terminal = Terminal(self.command(*arguments), self.folder, {**self.environment, **env}, columns)
        self._terminals.append(terminal)
        return terminal

    def close(self) -> None:
        """End what a failing test left running."""
        for process in self._processes:
            with process:
                process.kill()
        for terminal in self._terminals:
            terminal.close()

    @property
    def sent(self) -> dict[str, int]:
        """How many things each provider shows to the public or to a customer."""
        banner = self.folder / "banner.html"
        return {
            "x": len(self.providers.x.posts),
            "facebook": len(self.providers.facebook.posts),
            "sms": len(self.providers.twilio.messages),
            "email": len(self.providers.smtp.mails),
            "banner": int(banner.exists() and "outagecast:begin" in banner.read_text(encoding="utf-8")),
        }


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    """A bank whose providers all work."""
    with Providers() as providers, closing(Bank(tmp_path, providers)) as bank:
        yield bank


CHANNELS: dict[str, dict[str, Any]] = {
    "x": dict.fromkeys(("api_key", "api_secret", "access_token", "access_token_secret"), "env:X"),
    "facebook": {"page_id": "100", "page_token": "env:F"},
    "twilio_sms": {"account_sid": "env:T", "auth_token": "env:T", "from": "+61491570000", "audience": "customers"},
    "smtp": {"host": "localhost", "from": "status@example.com", "audience": "customers"},
    "banner": {"path": "banner.html"},
}
BESIDE: dict[str, dict[str, Any]] = {  # for those who ask for every kind
    "status_page": {"path": "status"},
    "phone_script": {"path": "phone.xml"},
    "briefing": {"path": "briefing.html"},
    "briefing_mail": {"host": "localhost", "from": "status@example.com", "audience": "customers"},
}


class Newsroom:
    """From a message to words, with nothing sent: channels named after their kinds, and what was said before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.templates = folder / "templates"
        self.templates.mkdir(exist_ok=True)
        self.now = datetime(2026, 11, 22, 18, 50, tzinfo=ZoneInfo("Australia/Sydney"))
        self.settings: dict[str, Any] = {
            "organisation": {
                "name": "Example Bank",
                "timezone": "Australia/Sydney",
                "phone": "13 20 32",
                "status_page": "https://status.example.com",
            },
            "audiences": {"customers": {"file": "customers.csv"}},
            "channels": {kind: {"kind": kind, **settings} for kind, settings in CHANNELS.items()},
        }
        self.updates: list[Update] = []
        self.carry = False  # whether everybody got all that was said

    @property
    def config(self) -> config.Config:
        """The settings as a config file."""
        path = self.folder / "outagecast.yaml"
        path.write_text(json.dumps(self.settings), encoding="utf-8")
        return config.load(path)

    def message(self, **facts: Any) -> message.Message:
        """A message of nothing but these facts and what every message needs; None is not given."""
        needed = {
            "incident": "card-payments",
            "status": "investigating",
            "title": "Card payments are failing",
            "summary": "Our debit and credit cards are being declined in shops and online.",
        }
        given = {name: fact for name, fact in facts.items() if fact is not None}
        data = needed | given
        text = json.dumps(data, ensure_ascii=False)
        return message.check(document.parse("message.yaml", text, MessageError))

    def said(self, at: datetime, **facts: Any) -> None:
        """Put an update in the past."""
        written = self.message(**facts)
        update = Update(
            incident=written.incident,
            number=len(self.updates) + 1,
            status=written.status,
            fingerprint=written.fingerprint,
            written=written.as_written(),
            digest="",
            opened_at=at,
            opened_by="Ana",
        )
        self.updates.append(update)

    def plan(self, *kinds: str, reopen: bool = False, **facts: Any) -> plan.Plan:
        """The plan for a message, on these channels or all."""
        settings = self.config
        newest = Carried(len(self.updates), State.ACCEPTED, "") if self.updates and self.carry else None
        crowd = audience.Audience(tuple(Group(language, newest) for language in settings.organisation.languages))
        carried = {
            (name, "", language): newest
            for name, channel in settings.channels.items()
            for language in channel.options.languages or ()
            if newest and not channel.is_bulk
        }
        return plan.draw(
            self.message(**facts),
            settings,
            audiences={name: crowd for name, channel in settings.channels.items() if channel.is_bulk},
            past=Past("card-payments", tuple(self.updates), carried),
            only=kinds,
            reopen=reopen,
            now=self.now,
        )

    def variants(self, *kinds: str, reopen: bool = False, **facts: Any) -> list[Variant]:
        """The message's variants on these channels, or all."""
        return render.variants(self.plan(*kinds, reopen=reopen, **facts), self.templates)

    def texts(self, *kinds: str, reopen: bool = False, **facts: Any) -> dict[str, str]:
        """Each part of each variant, by ``kind.part``, in the first language of each channel."""
        found: dict[str, str] = {}
        for variant in self.variants(*kinds, reopen=reopen, **facts):
            for part, text in variant.parts.items():
                found.setdefault(f"{variant.kind}.{part}", text)
        return found

    def template(self, name: str, text: str) -> None:
        """Put a template of one's own into the folder that is looked in first."""
        path = self.templates / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def newsroom(tmp_path: Path) -> Newsroom:
    """Example Bank in Sydney on Sunday 22 November 2026 at 6:50pm, with a channel of every kind."""
    return Newsroom(tmp_path)
