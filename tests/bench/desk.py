"""A bank with many customers in a folder, and its command line, for the benches and the soak."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

REPO = Path(__file__).parents[2]
INCIDENT = "card-payments"
MESSAGE: dict[str, Any] = {
    "incident": INCIDENT,
    "status": "investigating",
    "title": "Card payments are failing",
    "summary": "Our debit and credit cards are being declined in shops and online.",
    "cause": "unknown",
    "workaround": ["Cash machines still work."],
    "apology": "We are sorry.",
    "next_update_at": "30m",
}
SECRETS = {"BENCH_TWILIO_SID": "AC" + "0" * 32, "BENCH_TWILIO_TOKEN": "rehearsal"}


def smtp_at(port: int, connections: int = 16, **more: Any) -> dict[str, Any]:
    """An e-mail channel to a relay on this machine."""
    return {
        "kind": "smtp",
        "host": "127.0.0.1",
        "port": port,
        "tls": "none",
        "from": "Example Bank <status@example.com>",
        "connections": connections,
        "audience": "customers",
        **more,
    }


def twilio_at(port: int, connections: int, **more: Any) -> dict[str, Any]:
    """An SMS channel to a Twilio on this machine."""
    return {
        "kind": "twilio_sms",
        "account_sid": "env:BENCH_TWILIO_SID",
        "auth_token": "env:BENCH_TWILIO_TOKEN",
        "messaging_service_sid": "MG" + "0" * 32,
        "api_url": f"http://127.0.0.1:{port}",
        "connections": connections,
        "audience": "customers",
        **more,
    }


def phone(number: int) -> str:
    """A customer's mobile."""
    return f"+614{number:08}"


def email(number: int) -> str:
    """A customer's address."""
    return f"someone{number}@example.com"


class Desk(NamedTuple):
    """A folder with a config, a message and an audience."""

    folder: Path
    environment: Mapping[str, str] = {}

    def configure(self, channels: Mapping[str, Any]) -> None:
        """Write the config anew with these channels."""
        config = {
            "organisation": {"name": "Example Bank", "timezone": "Australia/Sydney"},
            "ledger": "sqlite:///outagecast.db",
            "audiences": {"customers": {"file": "customers.csv"}},
            "channels": channels,
        }
        (self.folder / "outagecast.yaml").write_text(json.dumps(config))  # JSON is YAML

    def write_message(self, **facts: Any) -> Path:
        """A message file."""
        said = MESSAGE | facts
        path = self.folder / f"{said['incident']}.yaml"
        path.write_text(json.dumps(said))
        return path

    def write_audience(self, count: int, bad: int = 0) -> None:
        """So many customers, numbered from 0, and so many rows that name nobody among them."""
        every = count // bad if bad else count + 1
        with (self.folder / "customers.csv").open("w") as file:
            file.write("name,phone,email\n")
            for number in range(count):
                file.write(f"Ana,{phone(number)},{email(number)}\n")
                if number % every == every - 1:
                    file.write(f"Nobody,{number},nobody\n")

    @property
    def ledger(self) -> Path:
        """Where the ledger is, once there is one."""
        return self.folder / "outagecast.db"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The command line in a process of its own; what it says goes to the files ``out`` and ``err``."""
        command = [sys.executable, "-m", "outagecast", "--config", str(self.folder / "outagecast.yaml"), *arguments]
        surroundings = {**os.environ, **SECRETS, **self.environment, "PYTHONPATH": str(REPO)}
        surroundings |= {"XDG_STATE_HOME": str(self.folder / "state"), "OUTAGECAST_NO_LINK_CHECK": "1"}
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            return subprocess.Popen(command, env=surroundings, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    @property
    def said(self) -> str:
        """What the last process said to people."""
        return (self.folder / "err").read_text(errors="replace")
