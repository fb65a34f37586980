"""``pause``, ``cancel`` and ``resume`` of what is still to be sent to people, and how ``status`` shows it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from outagecast.ledger.sqlite import SqliteLedger
from outagecast.rehearsal import Reply

if TYPE_CHECKING:
    from tests.conftest import Bank

Cli: TypeAlias = Callable[..., CompletedProcess[str]]
CliJson: TypeAlias = Callable[..., dict[str, Any]]

SENDER = """
import sys
from pathlib import Path
from outagecast.ledger.sqlite import SqliteLedger
ledger = SqliteLedger(Path("outagecast.db"))
with ledger.lock("sms"):
    print("sending", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def waiting(bank: Bank, cli: Cli) -> Bank:
    """A bank whose post is out and whose two texts wait, since Twilio takes none now."""
    bank.providers.twilio.behave(Reply(429, {"code": 20429}, {"Retry-After": "1"}), times=2)
    done = cli("announce", "incident.yaml", "--yes", "--channel", "x", "--channel", "sms", "--max-time", "0.5")
    assert done.returncode == 13
    return bank


@pytest.fixture
def elsewhere(waiting: Bank) -> Iterator[subprocess.Popen[str]]:
    """Another process that is sending the texts; it ends when its input does."""
    command = [sys.executable, "-c", SENDER]
    with subprocess.Popen(
        command,
        cwd=waiting.folder,
        env=waiting.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdin
        assert process.stdout.readline() == "sending\n"
        yield process
        process.stdin.close()


def sms(found: dict[str, Any]) -> dict[str, Any]:
    return next(channel for channel in found["channels"] if channel["channel"] == "sms")


# -- pause -----------------------------------------------------------------------------------------------------------


def test_what_is_paused_is_pending_and_says_by_whom_and_what_to_type(waiting: Bank, cli_json: CliJson) -> None:
    paused = sms(cli_json("pause", "card-payments"))
    found = cli_json("status", "card-payments")

    assert (found["exit_code"], sms(found)["counts"]["pending"]) == (13, 2)
    assert sms(found)["held"]["why"] == "paused by hand"
    assert sms(found)["held"]["by"]
    assert sms(found)["held"] == paused["held"]
    assert sms(found)["next_action"] == "outagecast resume card-payments"
    assert sms(found)["retry_after_s"] is None


def test_on_the_screen_it_is_paused_with_both_ways_out(waiting: Bank, cli: Cli) -> None:
    cli("pause", "card-payments")

    shown = cli("status", "card-payments").stdout

    assert "1 of 2 channels published, 1 paused." in shown
    assert " PAUSED " in shown
    assert "To call off the rest: outagecast cancel card-payments" in shown
    assert "Next: outagecast resume card-payments" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_resuming_lets_it_go_on(waiting: Bank, cli: Cli, cli_json: CliJson) -> None:
    cli("pause", "card-payments")

    found = cli_json("resume", "card-payments")

    assert (found["exit_code"], sms(found)["held"], waiting.sent["sms"]) == (0, None, 2)


def test_a_script_that_resumes_leaves_it_paused(waiting: Bank, cli: Cli, cli_json: CliJson) -> None:
    cli("pause", "card-payments")

    found = cli_json("resume", "card-payments", "--keep-held")

    assert (found["exit_code"], waiting.sent["sms"]) == (13, 0)
    assert sms(found)["held"]


def test_to_announce_the_same_again_leaves_it_paused(waiting: Bank, cli: Cli, cli_json: CliJson) -> None:
    cli("pause", "card-payments")

    found = cli_json("announce", "incident.yaml", "--yes", "--channel", "sms", "--max-time", "0.2")

    assert (found["exit_code"], waiting.sent["sms"]) == (13, 0)


def test_pausing_twice_keeps_who_did_it_first(waiting: Bank, cli_json: CliJson) -> None:
    first = sms(cli_json("pause", "card-payments"))["held"]

    assert sms(cli_json("pause", "card-payments", "--channel", "sms"))["held"] == first


@pytest.mark.parametrize("command", [("pause",), ("cancel", "--yes")])
@pytest.mark.parametrize(
    ("channel", "says"),
    [("x", "x is posted at once, and has no rest that could wait"), ("email", "nothing of card-payments waits")],
)
def test_what_has_no_rest_cannot_be_stopped(
    waiting: Bank, cli: Cli, command: tuple[str, ...], channel: str, says: str
) -> None:
    done = cli(command[0], "card-payments", *command[1:], "--channel", channel)

    assert done.returncode == 2
    assert says in done.stderr
    assert "outagecast status card-payments" in done.stderr


@pytest.mark.parametrize("command", [("pause",), ("cancel", "--yes")])
def test_an_incident_that_is_not_there_is_named(waiting: Bank, cli: Cli, command: tuple[str, ...]) -> None:
    done = cli(command[0], "card-paymentz", *command[1:])

    assert (done.returncode, 'there is no incident "card-paymentz"' in done.stderr) == (65, True)


# -- cancel ----------------------------------------------------------------------------------------------------------


def test_what_is_cancelled_is_never_sent(waiting: Bank, cli: Cli, cli_json: CliJson) -> None:
    found = cli_json("cancel", "card-payments", "--yes")
    again = cli("resume", "card-payments")

    assert (sms(found)["state"], found["exit_code"]) == ("cancelled", 10)
    assert (sms(found)["held"], sms(found)["next_action"]) == (None, None)
    assert (again.returncode, waiting.sent["sms"]) == (10, 0)


def test_what_was_paused_can_be_cancelled(waiting: Bank, cli: Cli, cli_json: CliJson) -> None:
    cli("pause", "card-payments")

    assert sms(cli_json("cancel", "card-payments", "--yes"))["held"] is None


def test_without_a_terminal_nothing_is_cancelled_unasked(waiting: Bank, cli: Cli, cli_json: CliJson) -> None:
    done = cli("cancel", "card-payments")

    assert (done.returncode, "add --yes to call off without asking" in done.stderr) == (2, True)
    assert sms(cli_json("status"))["state"] == "ready"


@pytest.mark.parametrize(("answer", "code"), [("y", 10), ("n", 130), ("", 130)])
def test_a_terminal_is_asked_with_how_many_would_not_be_told(waiting: Bank, answer: str, code: int) -> None:
    shown = waiting.terminal("cancel", "card-payments")
    shown.expect("Call it off, for good? [y/N]")
    shown.type(f"{answer}\n")

    assert shown.wait() == code
    assert "sms: 0 people have it; 2 people would not be told." in shown.text
    assert ("nothing was called off" in shown.text) == (code == 130)


# -- while somebody else is sending ----------------------------------------------------------------------------------


def test_what_another_terminal_sends_is_shown_as_that(elsewhere: object, cli: Cli, cli_json: CliJson) -> None:
    found, shown = cli_json("status", "card-payments"), cli("status", "card-payments").stdout

    assert (found["exit_code"], sms(found)["next_action"], sms(found)["retry_after_s"]) == (13, None, None)
    assert " SENDING " in shown
    assert "1 of 2 channels published, 1 being sent." in shown
    assert "To stop it: outagecast pause card-payments" in shown


def test_what_another_terminal_has_under_way_is_no_doubt_while_it_lasts(
    elsewhere: subprocess.Popen[str], waiting: Bank, cli_json: CliJson
) -> None:
    with closing(SqliteLedger(waiting.folder / "outagecast.db")) as ledger:
        soon = datetime.now(UTC) + timedelta(seconds=10)
        assert len(ledger.claim_window("card-payments", 1, "sms", 1, soon, "ben@desk")) == 1
    during = cli_json("status", "card-payments")
    assert elsewhere.stdin
    elsewhere.stdin.close()
    elsewhere.wait(10)
    after = cli_json("status", "card-payments")

    found = [
        (one["exit_code"], sms(one)["counts"]["pending"], sms(one)["counts"]["in_doubt"]) for one in (during, after)
    ]
    assert found == [(13, 2, 0), (12, 1, 1)]


def test_it_can_be_paused_from_here(elsewhere: object, cli: Cli, cli_json: CliJson) -> None:
    assert cli("pause", "card-payments").returncode == 13

    assert sms(cli_json("status"))["held"]["why"] == "paused by hand"


def test_cancelling_waits_until_it_has_stopped(
    elsewhere: subprocess.Popen[str], waiting: Bank, cli_json: CliJson
) -> None:
    canceller = waiting.start("cancel", "card-payments", "--yes")
    while not sms(cli_json("status"))["held"]:
        assert canceller.poll() is None
    assert sms(cli_json("status"))["state"] == "ready"  # not called off while somebody could still be sending it
    assert elsewhere.stdin
    elsewhere.stdin.close()

    canceller.communicate(timeout=20)

    assert canceller.returncode == 10
    assert sms(cli_json("status"))["state"] == "cancelled"
