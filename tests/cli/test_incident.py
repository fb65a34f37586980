"""``status``, ``resume`` and ``settle``: what is out, finishing it, and deciding what nothing else can."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from outagecast.clock import Clock
from outagecast.rehearsal import Reply

if TYPE_CHECKING:
    from tests.conftest import Bank

Cli: TypeAlias = Callable[..., CompletedProcess[str]]
CliJson: TypeAlias = Callable[..., dict[str, Any]]

URL = "https://x.com/examplebank/status/1"


@pytest.fixture
def doubt(bank: Bank, cli: Cli) -> Bank:
    """A bank whose post on X may be out, and cannot be found."""
    bank.providers.x.behave("garbage_200")
    assert cli("announce", "incident.yaml", "--yes", "--channel", "x").returncode == 12
    return bank


def _channel(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(channel for channel in found["channels"] if channel["channel"] == name)


# -- status ----------------------------------------------------------------------------------------------------------


def test_before_anything_was_announced_status_says_so_and_makes_no_ledger(bank: Bank, cli: Cli) -> None:
    done = cli("status")

    assert done.returncode == 0
    assert done.stdout == "Nothing was ever announced from this ledger.\n"
    assert not (bank.folder / "outagecast.db").exists()


def test_status_is_the_outcome_of_the_announcement(bank: Bank, cli_json: CliJson) -> None:
    announced = cli_json("announce", "incident.yaml", "--yes")

    found = cli_json("status", "card-payments")

    assert (found["exit_code"], found["mode"], found["digest"]) == (0, "live", announced["digest"])
    assert found["channels"] == announced["channels"]


def test_status_shows_which_channel_carries_something_old(bank: Bank, cli: Cli, cli_json: CliJson) -> None:
    cli("announce", "incident.yaml", "--yes", "--channel", "x", "--channel", "facebook")
    bank.write(status="identified", cause="A power cut.")
    cli("announce", "incident.yaml", "--yes", "--channel", "x")

    found = cli_json("status")

    assert {channel["channel"]: channel["update"] for channel in found["channels"]} == {"x": 2, "facebook": 1}
    assert re.search(r"facebook +out +\. +1 since [\d:]+  STALE\n", cli("status").stdout)


def test_status_names_the_other_incidents(bank: Bank, cli: Cli) -> None:
    cli("announce", "incident.yaml", "--yes", "--channel", "x")
    bank.write(incident="mobile-app", summary="Our app is slow.")
    cli("announce", "incident.yaml", "--yes", "--channel", "x")

    done = cli("status")

    assert "mobile-app  update 1" in done.stdout
    assert "\nAlso open:\ncard-payments  update 1  investigating  next update due " in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("command", [("status",), ("resume",), ("settle", "--resend")])
def test_an_unknown_incident_is_65_with_the_nearest_name(
    bank: Bank, cli: Cli, cli_json: CliJson, command: tuple[str, ...]
) -> None:
    cli("announce", "incident.yaml", "--yes", "--channel", "x")
    name, *options = command

    found = cli_json(name, "card-payment", *(["x"] if name == "settle" else []), *options)

    assert (found["exit_code"], found["channels"]) == (65, [])
    assert found["errors"][0]["message"] == 'there is no incident "card-payment"'
    assert found["errors"][0]["hint"] == 'did you mean "card-payments"?'


def test_status_says_when_a_limited_channel_can_be_tried_again(bank: Bank, cli: Cli) -> None:
    bank.providers.x.behave(Reply(429, {"title": "Too Many Requests"}, {"Retry-After": "600"}))
    cli("announce", "incident.yaml", "--yes", "--channel", "x")

    done = cli("status")

    assert done.returncode == 13
    assert re.search(r"can be tried again in (9|10) min\n", done.stdout)
    assert done.stdout.endswith("exit 13 (pending)\nNext: outagecast resume card-payments\n")


# -- resume ----------------------------------------------------------------------------------------------------------


def test_resume_with_nothing_unfinished_is_a_usage_error(bank: Bank, cli: Cli, cli_json: CliJson) -> None:
    assert cli_json("resume")["exit_code"] == 2
    cli("announce", "incident.yaml", "--yes", "--channel", "x")

    found = cli_json("resume")

    assert (found["exit_code"], found["errors"][0]["message"]) == (2, "nothing is unfinished")


def test_resume_lists_the_unfinished_where_there_are_several(bank: Bank, cli: Cli, cli_json: CliJson) -> None:
    bank.providers.x.behave("unauthorized", times=9)
    cli("announce", "incident.yaml", "--yes", "--channel", "x")
    bank.write(incident="mobile-app", summary="Our app is slow.")
    cli("announce", "incident.yaml", "--yes", "--channel", "x")

    found = cli_json("resume")

    assert found["exit_code"] == 2
    assert "mobile-app" in found["errors"][0]["hint"]
    assert "card-payments" in found["errors"][0]["hint"]


def test_resume_sends_what_failed_once_its_cause_is_mended_and_nothing_twice(
    bank: Bank, cli: Cli, cli_json: CliJson
) -> None:
    bank.providers.facebook.behave("unauthorized")
    assert cli("announce", "incident.yaml", "--yes").returncode == 10

    found = cli_json("resume", "--yes")

    assert found["exit_code"] == 0
    assert bank.sent == {"x": 1, "facebook": 1, "sms": 2, "email": 2, "banner": 1}


def test_resume_without_a_terminal_names_no_recipient_and_no_line_for_each(bank: Bank, cli: Cli) -> None:
    bank.customers(*((f"P{number}", f"+614915701{number}", f"p{number}@example.com") for number in range(10, 40)))
    cli("announce", "incident.yaml", "--yes", "--channel", "x")
    bank.providers.twilio.behave("unauthorized", times=99)
    cli("announce", "incident.yaml", "--yes", "--channel", "sms")
    bank.providers.twilio._plan.clear()
    bank.write(incident="mobile-app", summary="Our app is slow.")
    cli("announce", "incident.yaml", "--yes", "--channel", "x")

    done = cli("resume")

    assert done.returncode == 0
    assert "accepted for 30 of 30 people" in done.stdout
    assert done.stderr == ""


# -- settle ----------------------------------------------------------------------------------------------------------


def test_what_is_in_doubt_is_told_with_what_decides_it(doubt: Bank, cli: Cli) -> None:
    done = cli("status")

    assert done.returncode == 12
    assert "Unknown." in done.stdout
    assert "It may be live. Do not post by hand yet." in done.stdout


@pytest.mark.parametrize(
    ("decision", "code", "state", "posts"),
    [
        (("--published", URL), 0, "accepted", 0),
        (("--not-published",), 11, "failed", 0),
        (("--resend",), 13, "ready", 1),
    ],
)
def test_a_person_decides_what_no_look_up_could(
    doubt: Bank,
    cli_json: CliJson,
    monkeypatch: pytest.MonkeyPatch,
    decision: tuple[str, ...],
    code: int,
    state: str,
    posts: int,
) -> None:
    later = datetime.now(UTC) + timedelta(minutes=6)  # when it can no longer appear
    monkeypatch.setattr(Clock, "now", lambda _: later)
    found = cli_json("settle", "card-payments", "x", *decision)

    assert (found["exit_code"], _channel(found, "x")["state"]) == (code, state)
    if posts:
        assert cli_json("resume")["exit_code"] == 0
    assert len(doubt.providers.x.posts) == posts


def test_the_address_of_a_settled_post_is_shown(doubt: Bank, cli: Cli) -> None:
    assert URL in cli("settle", "card-payments", "x", "--published", URL).stdout


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--resend", "--not-published"),
        ("--published", "--resend"),
        ("--published", "yes"),
        ("--published", URL, "--resend"),
    ],
)
def test_settling_wants_exactly_one_decision_and_a_real_address(
    doubt: Bank, cli: Cli, cli_json: CliJson, options: tuple[str, ...]
) -> None:
    assert cli("settle", "card-payments", "x", *options).returncode == 2
    assert cli_json("status")["exit_code"] == 12


def test_nothing_in_doubt_is_nothing_to_settle(bank: Bank, cli: Cli, cli_json: CliJson) -> None:
    cli("announce", "incident.yaml", "--yes", "--channel", "x")

    found = cli_json("settle", "card-payments", "x", "--resend")

    assert found["exit_code"] == 2
    assert found["errors"][0]["message"] == "nothing of card-payments is in doubt on x"
