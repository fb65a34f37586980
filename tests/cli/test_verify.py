"""``verify`` and ``announce --verify``: how they end, what they print, and how that looks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from outagecast.rehearsal import Reply

if TYPE_CHECKING:
    from tests.conftest import Bank

Cli: TypeAlias = Callable[..., CompletedProcess[str]]
CliJson: TypeAlias = Callable[..., dict[str, Any]]

AT = Path(__file__).parents[1] / "at.py"
NOT_FOUND = Reply(200, {"errors": [{"type": "https://api.twitter.com/2/problems/resource-not-found", "detail": "no"}]})


@pytest.fixture
def told(bank: Bank, cli: Cli) -> Bank:
    """A bank that has announced on its public channels, more than half a minute ago by the ledger."""
    import sqlite3
    from contextlib import closing

    assert cli("announce", "incident.yaml", "--yes", "--except", "sms", "--except", "email").returncode == 0
    with closing(sqlite3.connect(bank.folder / "outagecast.db")) as ledger, ledger:
        ledger.execute("UPDATE delivery SET changed_at = '2026-01-01T00:00:00.000000Z'")
    return bank


def edit(bank: Bank, old: str, new: str) -> None:
    """Somebody edits the post on X by hand."""
    (post,) = bank.providers.x.posts
    bank.providers.x._posts[post.id] = replace(post, stored=post.stored.replace(old, new))


def fast(bank: Bank, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The command by a clock that goes thirty times as fast, so that patience takes a second."""
    done = subprocess.run(
        [sys.executable, str(AT), datetime.now(UTC).isoformat(), "30", *arguments, "--json"],
        cwd=bank.folder,
        env={**bank.environment, "OUTAGECAST_NO_LINK_CHECK": "1"},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def _channels(found: dict[str, Any], key: str) -> dict[str, Any]:
    return {channel["channel"]: channel[key] for channel in found["channels"]}


# -- verify ----------------------------------------------------------------------------------------------------------


def test_before_anything_was_announced_verify_says_so_and_makes_no_ledger(bank: Bank, cli: Cli) -> None:
    done = cli("verify")

    assert (done.returncode, done.stdout) == (0, "Nothing was ever announced from this ledger.\n")
    assert not (bank.folder / "outagecast.db").exists()


def test_an_unknown_incident_is_65_with_the_nearest_name(told: Bank, cli_json: CliJson) -> None:
    found = cli_json("verify", "card-payment")

    assert (found["exit_code"], found["channels"]) == (65, [])
    assert found["errors"][0]["hint"] == 'did you mean "card-payments"?'


def test_what_is_seen_as_it_was_sent_is_verified(told: Bank, cli: Cli, cli_json: CliJson) -> None:
    found = cli_json("verify", "card-payments")

    assert (found["exit_code"], found["incident"], found["update"]) == (0, "card-payments", 1)
    assert _channels(found, "state") == dict.fromkeys(("x", "facebook", "banner"), "verified")
    assert _channels(found, "read_back") == dict.fromkeys(("x", "facebook", "banner"), "seen")
    assert _channels(found, "difference") == dict.fromkeys(("x", "facebook", "banner"))
    assert _channels(cli_json("status"), "read_back") == dict.fromkeys(("x", "facebook", "banner"))
    assert "Read back: 3 as sent.\n" in cli("verify").stdout


def test_other_words_are_14_with_both_texts(told: Bank, cli_json: CliJson) -> None:
    edit(told, "declined", "accepted")

    found = cli_json("verify")

    (x,) = [channel for channel in found["channels"] if channel["channel"] == "x"]
    assert (found["exit_code"], found["exit_name"]) == (14, "differs")
    assert (x["state"], x["published"], x["complete"], x["read_back"]) == ("mismatch", "yes", False, "different")
    assert (x["difference"]["language"], x["difference"]["part"]) == ("en", "text")
    assert x["difference"]["seen"] == x["difference"]["sent"].replace("declined", "accepted")
    assert x["next_action"] == "outagecast verify card-payments"


def test_a_deleted_post_is_14_and_published_nowhere(told: Bank, cli_json: CliJson) -> None:
    told.providers.x._posts.clear()

    found = cli_json("verify")

    assert (found["exit_code"], _channels(found, "published")["x"], _channels(found, "read_back")["x"]) == (
        *(14, "no", "gone"),
    )


def test_drift_is_told_before_doubt(bank: Bank, cli: Cli, cli_json: CliJson, told: Bank) -> None:
    bank.providers.facebook.behave("garbage_200")
    bank.write(status="identified", cause="A power cut.")
    assert cli("announce", "incident.yaml", "--yes", "--channel", "facebook").returncode == 12
    bank.providers.x._posts.clear()

    found = cli_json("verify")

    assert (found["exit_code"], _channels(found, "state")["facebook"]) == (14, "in_doubt")
    assert _channels(found, "read_back")["facebook"] is None


def test_a_channel_that_cannot_be_read_now_is_13_and_keeps_its_state(told: Bank, cli: Cli, cli_json: CliJson) -> None:
    told.providers.x.behave("error_500", method="GET", times=2)

    found = cli_json("verify")
    done = cli("verify")

    assert (found["exit_code"], _channels(found, "state")["x"]) == (13, "accepted")
    assert _channels(found, "next_action")["x"] == "outagecast verify card-payments"
    assert "Read back: 2 as sent, 1 not readable now.\n" in done.stdout
    assert done.stdout.endswith("exit 13 (pending)\nNext: outagecast verify card-payments\n")


def test_status_remembers_what_verify_has_seen(told: Bank, cli: Cli, cli_json: CliJson) -> None:
    edit(told, "declined", "accepted")
    cli("verify")

    found = cli_json("status")

    assert (found["exit_code"], _channels(found, "state")["x"]) == (14, "mismatch")
    assert _channels(found, "error")["x"] == '"declined" was sent, "accepted" is seen'


def test_without_a_terminal_each_public_channel_is_a_line(told: Bank, cli: Cli) -> None:
    assert sorted(cli("verify").stderr.splitlines()) == ["banner: verified", "facebook: verified", "x: verified"]


# -- announce --verify -----------------------------------------------------------------------------------------------


def test_announcing_can_prove_what_it_did(bank: Bank, cli_json: CliJson) -> None:
    found = cli_json("announce", "incident.yaml", "--yes", "--verify", "--except", "sms")

    assert found["exit_code"] == 0
    assert _channels(found, "state") == {
        **dict.fromkeys(("x", "facebook", "banner"), "verified"),
        "email": "accepted",
    }
    assert _channels(found, "read_back")["email"] == "impossible"
    assert found["digest"] == cli_json("status")["digest"]


def test_without_asking_for_proof_nothing_is_read_back(bank: Bank, cli_json: CliJson) -> None:
    found = cli_json("announce", "incident.yaml", "--yes", "--channel", "x")

    assert (_channels(found, "state"), _channels(found, "read_back")) == ({"x": "accepted"}, {"x": None})


def test_a_post_that_shows_only_later_is_waited_for(bank: Bank, cli: Cli) -> None:
    bank.providers.x.behave(NOT_FOUND, method="GET", times=3)  # the first is asked before it is sent

    found = cli("announce", "incident.yaml", "--yes", "--verify", "--channel", "x", "--json")

    assert (found.returncode, _channels(json.loads(found.stdout), "state")) == (0, {"x": "verified"})
    assert found.stderr.splitlines()[-2:] == [
        "x: published (not to be seen yet; looking again)",
        "x: verified",
    ]


def test_a_post_that_never_shows_is_14_once_patience_is_over(bank: Bank) -> None:
    bank.providers.x.behave(NOT_FOUND, method="GET", times=99)

    code, found = fast(bank, "announce", "incident.yaml", "--yes", "--verify", "--channel", "x")

    assert (code, _channels(found, "state"), _channels(found, "published")) == (14, {"x": "missing"}, {"x": "no"})


def test_a_post_that_does_not_show_in_the_time_given_is_13(bank: Bank, cli_json: CliJson) -> None:
    bank.providers.x.behave(NOT_FOUND, method="GET", times=99)

    found = cli_json("announce", "incident.yaml", "--yes", "--verify", "--channel", "x", "--max-time", "1.5")

    assert (found["exit_code"], _channels(found, "state")) == (13, {"x": "accepted"})
    assert _channels(found, "read_back") == {"x": "unconfirmed"}


def test_reading_back_has_what_sending_has_left_of_the_time(bank: Bank, cli_json: CliJson) -> None:
    bank.providers.x.delay = 1.2  # asked first whether it is there, and then sent

    found = cli_json("announce", "incident.yaml", "--yes", "--verify", "--channel", "x", "--max-time", "2")

    assert (found["exit_code"], _channels(found, "state")) == (13, {"x": "accepted"})
    assert not [one for one in bank.providers.x.requests if one.method == "GET" and "/2/tweets/" in one.path]


def test_texts_that_are_not_delivered_in_time_are_pending_and_proved_later(bank: Bank, cli: Cli) -> None:
    code, found = fast(bank, "announce", "incident.yaml", "--yes", "--verify", "--channel", "sms")
    bank.providers.twilio.deliver()
    done = cli("verify")

    assert (code, _channels(found, "read_back")) == (13, {"sms": "unconfirmed"})
    assert done.returncode == 0
    assert "accepted for 2 of 2 people, 2 delivered" in done.stdout


def test_what_was_not_sent_is_told_as_ever(bank: Bank, cli_json: CliJson) -> None:
    bank.providers.x.behave("unauthorized")

    found = cli_json("announce", "incident.yaml", "--yes", "--verify", "--channel", "x", "--channel", "banner")

    assert (found["exit_code"], _channels(found, "read_back")) == (10, {"x": None, "banner": "seen"})


def test_of_the_same_message_again_what_is_out_is_proved(told: Bank, cli_json: CliJson) -> None:
    told.providers.facebook._posts.clear()

    found = cli_json("announce", "incident.yaml", "--yes", "--verify", "--channel", "facebook")

    assert (found["exit_code"], _channels(found, "state")) == (14, {"facebook": "missing"})


# -- the look --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 40])
def test_on_a_terminal_the_words_that_differ_stand_above_one_another(told: Bank, columns: int) -> None:
    edit(told, "declined", "accepted \x1b[2J[/x] \u202e")
    told.providers.facebook._posts.clear()

    terminal = told.terminal("verify", columns=columns)

    assert terminal.wait() == 14
    shown = terminal.text[terminal.text.index("card-payments  update 1") :]
    words = " ".join(shown.split())
    assert "1 of 3 channels published, 1 different, 1 gone." in words
    assert "Read back: 1 as sent, 1 different, 1 gone." in words
    assert "sent: … credit cards are being declined in shops and" in words
    assert "seen: … credit cards are being accepted \ufffd[2J[/x] \ufffd in shops and" in words
    assert "Look there now. To say it again, announce an update." in words
    assert words.endswith("exit 14 (differs) Next: outagecast verify card-payments")
    assert "\x1b[2J" not in terminal.raw
    assert "\u202e" not in terminal.raw
    assert [line for line in shown.splitlines() if len(line) > columns and "http" not in line] == []


def test_many_places_are_shortened(told: Bank, cli: Cli) -> None:
    (post,) = told.providers.x.posts
    words = [f"{word}x" if number % 12 == 6 else word for number, word in enumerate(post.stored.split())]
    told.providers.x._posts[post.id] = replace(post, stored=" ".join(words))

    lines = [line.strip() for line in cli("verify").stdout.splitlines()]

    assert [sum(line.startswith(label) for line in lines) for label in ("sent:", "seen:")] == [3, 3]
    assert "and 1 more places" in lines or "and 2 more places" in lines


def test_leaving_at_once_says_that_nothing_was_sent(told: Bank) -> None:
    told.providers.x.behave("hang", method="GET")
    terminal = told.terminal("verify")
    terminal.expect("facebook  VERIFIED")

    terminal.type("\x03")
    terminal.expect("Ctrl-C again to leave now")
    terminal.type("\x03")

    assert terminal.wait() == 130
    assert "left before every channel was read" in terminal.text
    assert "may be out" not in terminal.text
