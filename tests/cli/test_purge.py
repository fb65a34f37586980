"""``purge``: what is over long enough is forgotten, once somebody has agreed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, TypeAlias

import pytest

from outagecast import journal
from outagecast.clock import Clock

if TYPE_CHECKING:
    from tests.conftest import Bank

Cli: TypeAlias = Callable[..., CompletedProcess[str]]

ANA = "+61491570156"


def pass_by(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    later = datetime.now(UTC) + timedelta(days=days)
    monkeypatch.setattr(Clock, "now", lambda _: later)


@pytest.fixture
def over(bank: Bank, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """A bank that texted two people 91 days ago that it was over."""
    cli("announce", "incident.yaml", "--yes", "--channel", "sms")
    bank.write(status="resolved", components={"Card payments": "operational"}, ended_at=bank.message["started_at"])
    assert cli("announce", "incident.yaml", "--yes", "--channel", "sms").returncode == 0
    pass_by(monkeypatch, 91)
    return bank


def stored(bank: Bank) -> bytes:
    return b"".join(path.read_bytes() for path in bank.folder.glob("outagecast.db*"))


def test_a_dry_run_says_what_would_be_forgotten_and_forgets_nothing(over: Bank, cli: Cli) -> None:
    done = cli("purge", "--dry-run")

    assert done.returncode == 0
    assert done.stdout == "Would forget whom 4 messages of 1 incident went to:\n  card-payments\n"
    assert ANA.encode() in stored(over)


def test_what_is_forgotten_leaves_the_counts(over: Bank, cli: Cli) -> None:
    before = json.loads(cli("status", "--json").stdout)["channels"][0]["counts"]

    done = json.loads(cli("purge", "--yes", "--json").stdout)

    assert (done["incidents"], done["messages"], done["kept"], done["dry_run"]) == (["card-payments"], 4, [], False)
    assert ANA.encode() not in stored(over)
    assert json.loads(cli("status", "--json").stdout)["channels"][0]["counts"] == before


def test_what_was_forgotten_is_not_forgotten_again(over: Bank, cli: Cli) -> None:
    cli("purge", "--yes")

    assert cli("purge", "--yes").stdout == "Nothing to forget: no incident with addresses was over 90 days ago.\n"


def test_what_was_not_over_for_long_enough_is_kept(over: Bank, cli: Cli) -> None:
    over.config["retention"] = "92d"
    over.write()

    assert cli("purge", "--yes").stdout == "Nothing to forget: no incident with addresses was over 92 days ago.\n"
    assert ANA.encode() in stored(over)


def test_what_is_not_over_is_kept_however_old_it_is(bank: Bank, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("announce", "incident.yaml", "--yes", "--channel", "sms")
    pass_by(monkeypatch, 500)

    assert cli("purge", "--yes").stdout.startswith("Nothing to forget")


def test_without_a_terminal_nothing_is_forgotten_unasked(over: Bank, cli: Cli) -> None:
    done = cli("purge")

    assert (done.returncode, "there is no terminal to ask on; nothing was forgotten" in done.stderr) == (2, True)
    assert ANA.encode() in stored(over)


def test_before_there_is_a_ledger_there_is_nothing_to_forget_and_none_is_made(bank: Bank, cli: Cli) -> None:
    assert cli("purge", "--yes").stdout.startswith("Nothing to forget")
    assert not (bank.folder / "outagecast.db").exists()


def test_of_what_was_forgotten_nobody_can_be_named(over: Bank, cli: Cli) -> None:
    cli("purge", "--yes")

    done = cli("audience", "failed", "card-payments", "sms")

    assert (done.returncode, done.stdout) == (0, "phone,language,state,reason,code,at\n")


@pytest.mark.parametrize(("answer", "kept"), [("y", False), ("n", True)])
def test_a_terminal_is_asked_first(bank: Bank, answer: str, kept: bool) -> None:
    bank.config["retention"] = "1s"
    bank.write()
    bank.run("announce", "incident.yaml", "--yes", "--channel", "sms")
    bank.write(status="resolved", components={"Card payments": "operational"}, ended_at=bank.message["started_at"])
    bank.run("announce", "incident.yaml", "--yes", "--channel", "sms")
    time.sleep(1.1)
    shown = bank.terminal("purge")
    shown.expect("Forget whom they went to, for good? [y/N]")
    shown.type(f"{answer}\n")

    assert shown.wait() == (130 if kept else 0)
    assert (ANA.encode() in stored(bank)) == kept


def test_what_a_run_that_was_killed_had_noted_goes_too(over: Bank, cli: Cli) -> None:
    left = journal.place(over.folder / "outagecast.db", ("card-payments", 1, "sms"))
    left.write_bytes(b"outagecast-journal-1 0 0\n")

    assert cli("purge", "--dry-run").returncode == 0
    assert left.exists()
    assert cli("purge", "--yes").returncode == 0
    assert not left.exists()
