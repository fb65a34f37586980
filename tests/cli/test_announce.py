"""``announce``: what is asked, what is sent, and how it ends when providers or people say no."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import yaml

from outagecast.rehearsal import Reply

if TYPE_CHECKING:
    from tests.conftest import Bank

Cli: TypeAlias = Callable[..., CompletedProcess[str]]
CliJson: TypeAlias = Callable[..., dict[str, Any]]

NOTHING = {"x": 0, "facebook": 0, "sms": 0, "email": 0, "banner": 0}
EVERYTHING = {"x": 1, "facebook": 1, "sms": 2, "email": 2, "banner": 1}


def _states(found: dict[str, Any]) -> dict[str, str]:
    return {channel["channel"]: channel["state"] for channel in found["channels"]}


def _channel(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(channel for channel in found["channels"] if channel["channel"] == name)


def _until(holds: Callable[[], object], within: float = 15) -> None:
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


# -- from a script ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("--json",), ("--max-time", "60")])
def test_without_a_terminal_nothing_is_sent_unless_told_yes(bank: Bank, cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli("announce", "incident.yaml", *arguments)

    assert done.returncode == 2
    assert "add --yes" in done.stderr
    assert bank.sent == NOTHING
    assert not (bank.folder / "outagecast.db").exists()


def test_no_variable_of_the_shell_says_yes(bank: Bank, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTAGECAST_YES", "1")
    monkeypatch.setenv("OUTAGECAST_ANNOUNCE_YES", "1")

    assert cli("announce", "incident.yaml").returncode == 2
    assert bank.sent == NOTHING


def test_told_yes_it_sends_to_all_and_says_where_it_can_be_seen(bank: Bank) -> None:
    done = bank.run("announce", "incident.yaml", "--yes")

    assert done.returncode == 0
    assert bank.sent == EVERYTHING
    assert "All 5 channels published." in done.stdout
    assert f"https://x.com/i/status/{bank.providers.x.posts[0].id}" in done.stdout
    assert "accepted for 2 of 2 people" in done.stdout
    assert "Next:" not in done.stdout
    assert f"starting a new ledger: sqlite:///{bank.folder}/outagecast.db" in done.stderr
    assert "x: published" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_a_ledger_that_is_there_is_named(bank: Bank, cli: Cli) -> None:
    cli("announce", "incident.yaml", "--yes", "--channel", "x")

    done = cli("announce", "incident.yaml", "--yes", "--channel", "facebook")

    assert f"ledger: sqlite:///{bank.folder}/outagecast.db\n" in done.stderr
    assert "starting a new ledger" not in done.stderr


def test_standard_input_needs_yes_too(bank: Bank) -> None:
    text = (bank.folder / "incident.yaml").read_text(encoding="utf-8")

    assert bank.run("announce", "-", "--channel", "x", stdin=text).returncode == 2
    assert bank.sent == NOTHING
    assert bank.run("announce", "-", "--channel", "x", "--yes", stdin=text).returncode == 0
    assert bank.sent == NOTHING | {"x": 1}


def test_a_dry_run_sends_nothing_even_with_yes(bank: Bank, cli: Cli) -> None:
    assert cli("announce", "incident.yaml", "--yes", "--dry-run").returncode == 0
    assert bank.sent == NOTHING


def test_no_screen_shows_a_secret_or_a_recipients_address(bank: Bank, cli: Cli) -> None:
    bank.providers.twilio.behave("unauthorized", times=9)
    bank.providers.smtp.behave("throttled")

    done = cli("-v", "announce", "incident.yaml", "--yes", "--max-time", "0.5")
    later = cli("-v", "status")

    told = done.stdout + done.stderr + later.stdout + later.stderr
    assert done.returncode == 10
    private = [*bank.providers.environment.values(), "+61491570156", "ana@example.com", "Ana"]
    assert [word for word in private if word in told] == []


def test_advice_is_at_most_three_lines_and_the_rest_is_a_flag_away(bank: Bank, cli: Cli) -> None:
    bank.config["channels"] |= {f"texts{number}": dict(bank.config["channels"]["sms"]) for number in range(4)}
    bank.customers(("Ana", "", "ana@example.com"))
    bank.write()
    names = [name for number in range(4) for name in ("--channel", f"texts{number}")]

    short = cli("preview", "incident.yaml", *names).stdout.splitlines()
    full = cli("-v", "preview", "incident.yaml", *names).stdout.splitlines()

    assert len([line for line in short if line.startswith("! ")]) == 3
    assert "! and 2 more: outagecast -v preview …" in short
    assert len([line for line in full if line.startswith("! ")]) == 4


# -- in a terminal ---------------------------------------------------------------------------------------------------


def test_a_first_announcement_is_shown_and_wants_the_word_send(bank: Bank) -> None:
    screen = bank.terminal("announce", "incident.yaml")
    screen.expect("Type send to publish")

    assert "declined in shops and online." in screen.text
    assert "x, facebook, banner, sms to 2 people, email to 2 people" in screen.text
    assert bank.sent == NOTHING
    screen.type("send\r")

    assert screen.wait() == 0
    assert bank.sent == EVERYTHING
    assert "All 5 channels published." in screen.text
    assert screen.raw.count("\x1b[?25l") == screen.raw.count("\x1b[?25h") == 1  # the cursor comes back


@pytest.mark.parametrize("answer", ["y\r", "\x04"])
def test_any_other_answer_sends_nothing(bank: Bank, answer: str) -> None:
    screen = bank.terminal("announce", "incident.yaml", "--channel", "x")
    screen.expect("Type send to publish")
    screen.type(answer)

    assert screen.wait() == 130
    assert "stopped; nothing was sent" in screen.text
    assert bank.sent == NOTHING
    assert not (bank.folder / "outagecast.db").exists()


def test_ctrl_c_at_the_question_sends_nothing(bank: Bank) -> None:
    screen = bank.terminal("announce", "incident.yaml", "--channel", "x")
    screen.expect("Type send to publish")
    screen.type("\x03")

    assert screen.wait() == 130
    assert "Traceback" not in screen.text
    assert "Nothing was sent." in screen.text
    assert bank.sent == NOTHING


def test_the_file_can_be_edited_and_looked_at_again(bank: Bank) -> None:
    editor = bank.folder / "editor"
    editor.write_text("#!/bin/sh\nsed -i.bak -e 's/declined in shops/refused in shops/' \"$1\"\n", encoding="utf-8")
    editor.chmod(0o755)
    screen = bank.terminal("announce", "incident.yaml", "--channel", "x", env={"EDITOR": str(editor)})
    screen.expect("Type send to publish")
    screen.type("e\r")
    screen.expect("refused in shops")
    screen.expect("anything else to stop: e")
    _until(lambda: screen.text.count("Type send to publish") == 2)
    screen.type("send\r")

    assert screen.wait() == 0
    assert "refused in shops" in bank.providers.x.posts[0].text


def test_an_edit_that_breaks_the_file_can_be_mended_or_given_up(bank: Bank) -> None:
    editor = bank.folder / "editor"
    editor.write_text("#!/bin/sh\necho 'sumary: x' >> \"$1\"\n", encoding="utf-8")
    editor.chmod(0o755)
    screen = bank.terminal("announce", "incident.yaml", "--channel", "x", env={"EDITOR": str(editor)})
    screen.expect("Type send to publish")
    screen.type("e\r")
    screen.expect("Type e to edit the file again")
    assert 'unknown key "sumary"' in screen.text
    screen.type("\r")

    assert screen.wait() == 65
    assert bank.sent == NOTHING


def test_without_an_editor_what_was_looked_at_can_still_be_sent(bank: Bank) -> None:
    screen = bank.terminal("announce", "incident.yaml", "--channel", "x", env={"EDITOR": "/nowhere/editor"})
    screen.expect("Type send to publish")
    screen.type("e\r")
    screen.expect("set EDITOR")
    _until(lambda: screen.text.count("Type send to publish") == 2)
    screen.type("send\r")

    assert screen.wait() == 0
    assert bank.sent == NOTHING | {"x": 1}


def test_an_update_asks_yes_or_no_and_no_is_the_default(bank: Bank, cli: Cli) -> None:
    cli("announce", "incident.yaml", "--yes", "--channel", "x")
    bank.write(status="identified", cause="A power cut.")

    refused = bank.terminal("announce", "incident.yaml", "--channel", "x")
    refused.expect("Send it? [y/N]")
    refused.type("\r")
    assert refused.wait() == 130
    assert len(bank.providers.x.posts) == 1

    agreed = bank.terminal("announce", "incident.yaml", "--channel", "x")
    agreed.expect("Send it? [y/N]")
    agreed.type("y\r")
    assert agreed.wait() == 0
    assert [post.in_reply_to for post in bank.providers.x.posts] == [None, bank.providers.x.posts[0].id]


def test_what_is_out_already_is_not_asked_about_again(bank: Bank, cli: Cli) -> None:
    cli("announce", "incident.yaml", "--yes", "--channel", "x")

    screen = bank.terminal("announce", "incident.yaml", "--channel", "x")

    assert screen.wait() == 0
    assert "Published." in screen.text
    assert bank.sent == NOTHING | {"x": 1}


def test_progress_is_live_and_leaves_no_debris(bank: Bank) -> None:
    bank.providers.x.delay = 0.6

    screen = bank.terminal("announce", "incident.yaml", "--yes", "--channel", "x", "--channel", "sms")

    assert screen.wait() == 0
    assert "sending" in screen.text
    assert "\x1b[2K" in screen.raw  # drawn over
    after = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.raw[screen.raw.rindex("\x1b[2K") :])
    assert after.strip().startswith("card-payments  update 1")


# -- when a provider says no -----------------------------------------------------------------------------------------


def test_a_dead_token_fails_its_channel_alone_and_is_named(bank: Bank, cli: Cli) -> None:
    bank.providers.x.behave("unauthorized", times=9)

    done = cli("announce", "incident.yaml", "--yes")

    assert done.returncode == 10
    assert bank.sent == EVERYTHING | {"x": 0}
    assert "4 of 5 channels published, 1 not published." in done.stdout
    assert "NOT PUBLISHED" in done.stdout
    assert "access_token" in done.stdout
    assert done.stdout.endswith("exit 10 (partial)\nNext: outagecast resume card-payments\n")


def test_a_secret_that_is_not_set_fails_its_channel_alone(
    bank: Bank, cli_json: CliJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REHEARSAL_FACEBOOK_PAGE_TOKEN")

    found = cli_json("announce", "incident.yaml", "--yes")

    assert found["exit_code"] == 10
    assert bank.sent == EVERYTHING | {"facebook": 0}
    assert _channel(found, "facebook")["published"] == "no"
    assert "REHEARSAL_FACEBOOK_PAGE_TOKEN" in _channel(found, "facebook")["error"]


def test_everything_refused_is_certain(bank: Bank, cli: Cli) -> None:
    for provider in (bank.providers.x, bank.providers.facebook):
        provider.behave("unauthorized", times=9)

    done = cli("announce", "incident.yaml", "--yes", "--channel", "x", "--channel", "facebook")

    assert done.returncode == 11
    assert "2 of 2 channels not published." in done.stdout


def test_told_to_wait_longer_than_it_may_it_is_pending_and_says_how_long(bank: Bank, cli_json: CliJson) -> None:
    bank.providers.x.behave(Reply(429, {"title": "Too Many Requests"}, {"Retry-After": "600"}))

    begun = time.monotonic()
    found = cli_json("announce", "incident.yaml", "--yes")

    assert time.monotonic() - begun < 15
    assert found["exit_code"] == 13
    assert 500 < _channel(found, "x")["retry_after_s"] <= 600
    assert _channel(found, "x")["published"] == "no"
    assert bank.sent == EVERYTHING | {"x": 0}


def test_a_hung_provider_delays_no_other_and_is_unknown_until_it_is_looked_up(bank: Bank) -> None:
    bank.providers.facebook.hang_seconds = 2.5
    bank.providers.facebook.behave("hang_applied")
    # The look-up right after the run must not settle it: the answer to it is lost as well.
    bank.providers.facebook.behave("error_500", times=9, method="GET")

    process = bank.start("announce", "incident.yaml", "--yes", "--json")
    _until(lambda: bank.sent == EVERYTHING)
    asked = next(request.at for request in bank.providers.facebook.requests if request.method == "POST")
    late = [mail.received_at for mail in bank.providers.smtp.mails] + [
        post.created_at for post in bank.providers.x.posts
    ]
    told, _ = process.communicate(timeout=30)

    assert process.returncode == 12
    assert max((at - asked).total_seconds() for at in late) < 2
    found = json.loads(told)
    assert _channel(found, "facebook")["published"] == "unknown"
    assert _channel(found, "facebook")["next_action"].startswith("outagecast ")
    bank.providers.facebook._plan.clear()

    resumed = bank.json("resume")

    assert resumed["exit_code"] == 0
    assert _channel(resumed, "facebook")["published"] == "yes"
    assert bank.sent == EVERYTHING


def test_a_provider_that_is_not_there_is_pending(bank: Bank, cli_json: CliJson) -> None:
    bank.providers.x.close()

    found = cli_json("announce", "incident.yaml", "--yes", "--max-time", "0.5")

    assert found["exit_code"] == 13
    assert bank.sent == EVERYTHING | {"x": 0}


def test_a_providers_error_cannot_colour_the_screen(bank: Bank) -> None:
    evil = "\x1b[2J\x1b]0;gone\x07 [/red] [bold]x \u202egnorw"
    bank.providers.x.behave(Reply(403, {"detail": evil, "title": evil}), times=9)

    screen = bank.terminal("announce", "incident.yaml", "--yes", "--channel", "x")

    assert screen.wait() == 11
    assert "[/red]" in screen.text
    for harm in ("\x1b[2J", "\x1b]0", "\x07", "\u202e"):
        assert harm not in screen.raw


def test_square_brackets_of_a_fact_are_words(bank: Bank) -> None:
    bank.write(summary="Cards [/b] fail [bold red]now[/].")

    screen = bank.terminal("announce", "incident.yaml", "--yes", "--channel", "x")

    assert screen.wait() == 0
    assert "Cards [/b] fail [bold red]now[/]." in bank.providers.x.posts[0].text


# -- two at once -----------------------------------------------------------------------------------------------------


def test_a_second_operator_is_told_who_is_announcing(bank: Bank) -> None:
    with bank.providers.x.holding():
        first = bank.start("announce", "incident.yaml", "--yes", "--channel", "x")
        _until(lambda: bank.is_posting("x"))

        second = bank.json("announce", "incident.yaml", "--yes", "--channel", "x")
    told, _ = first.communicate(timeout=30)

    assert second["exit_code"] == 22
    assert f"(process {first.pid}, since " in second["errors"][0]["message"]
    assert _states(second) == {"x": "attempting"}
    assert _channel(second, "x")["next_action"] is None
    assert first.returncode == 0
    assert "Published." in told
    assert bank.sent == NOTHING | {"x": 1}


def test_a_second_operator_of_an_incident_that_is_not_out_yet_is_told_who_is_announcing(bank: Bank) -> None:
    with bank.providers.x.holding():
        first = bank.start("announce", "incident.yaml", "--yes", "--channel", "x")
        _until(lambda: bank.is_posting("x"))
        bank.write(incident="mobile-app")

        second = bank.json("announce", "incident.yaml", "--yes", "--channel", "x")
    first.communicate(timeout=30)

    assert (second["exit_code"], second["channels"]) == (22, [])
    assert "is announcing from this ledger" in second["errors"][0]["message"]


def test_who_answers_the_prompt_after_another_has_announced_is_shown_what_went_out(bank: Bank) -> None:
    screen = bank.terminal("announce", "incident.yaml", "--channel", "x")
    screen.expect("send")
    other = bank.folder / "other.yaml"
    other.write_text(yaml.safe_dump(bank.message | {"summary": "Cards are declined everywhere."}))
    assert bank.run("announce", "other.yaml", "--yes", "--channel", "x").returncode == 0

    screen.type("send\n")

    assert screen.wait() == 22
    assert "opened update 1 before you; nothing was sent" in screen.text
    assert bank.providers.x.posts[0].id in screen.text
    assert bank.sent == NOTHING | {"x": 1}


# -- interrupted -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_interrupted_it_lets_what_is_under_way_end_and_says_what_is_out(
    bank: Bank, number: signal.Signals, code: int
) -> None:
    bank.providers.facebook.behave("rate_limited", times=9)
    with bank.providers.x.holding():
        process = bank.start("announce", "incident.yaml", "--yes", "--json", "--channel", "x", "--channel", "facebook")
        _until(lambda: bank.is_posting("x") and bank.is_posting("facebook"))

        process.send_signal(number)
    told, said = process.communicate(timeout=20)

    found = json.loads(told)
    assert process.returncode == found["exit_code"] == code
    assert _states(found) == {"x": "accepted", "facebook": "ready"}
    assert "stopping once what is under way has ended" in said


def test_interrupted_in_doubt_is_in_doubt(bank: Bank) -> None:
    bank.providers.x.hang_seconds = 2
    bank.providers.x.behave("hang_applied")
    process = bank.start("announce", "incident.yaml", "--yes", "--json", "--channel", "x")
    _until(lambda: bank.is_posting("x"))

    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=20)

    assert process.returncode == json.loads(told)["exit_code"] == 12


def test_a_second_ctrl_c_leaves_at_once_and_resume_treats_it_as_a_crash(bank: Bank) -> None:
    bank.providers.x.behave("hang_applied")
    screen = bank.terminal("announce", "incident.yaml", "--yes", "--channel", "x")
    screen.expect("sending")
    _until(lambda: bank.providers.x.posts)
    screen.type("\x03")
    screen.expect("Ctrl-C again to leave now")
    begun = time.monotonic()
    screen.type("\x03")

    assert screen.wait() == 12
    assert time.monotonic() - begun < 3
    assert "UNKNOWN" in screen.text
    assert "Do not post by hand yet." in screen.text
    assert screen.text.rstrip().endswith("Next: outagecast resume card-payments")

    found = bank.json("resume")

    assert (found["exit_code"], _states(found)) == (0, {"x": "accepted"})
    assert bank.sent == NOTHING | {"x": 1}


def test_left_at_once_by_a_script_it_still_prints_the_one_object(bank: Bank) -> None:
    bank.providers.x.behave("hang_applied")
    process = bank.start("announce", "incident.yaml", "--yes", "--json", "--channel", "x")
    _until(lambda: bank.providers.x.posts)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=5)

    found = json.loads(told)
    assert process.returncode == found["exit_code"] == 12
    assert found["channels"][0]["published"] == "unknown"


def test_a_ledger_that_fills_up_in_the_middle_is_no_promise_that_nothing_was_sent(bank: Bank) -> None:
    with bank.providers.x.holding():
        process = bank.start("announce", "incident.yaml", "--yes", "--json", "--channel", "x")
        _until(lambda: bank.is_posting("x"))
        _forbid_changes(bank.folder / "outagecast.db")
    told, _ = process.communicate(timeout=20)

    found = json.loads(told)
    assert process.returncode == found["exit_code"] == 12
    assert found["channels"][0]["published"] == "unknown"
    assert any("x took it" in error["message"] for error in found["errors"])


def _forbid_changes(ledger: Path) -> None:
    """Make every further write to the ledger fail, as a full disk does."""
    import sqlite3

    with sqlite3.connect(ledger, timeout=5) as database:
        database.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON delivery BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    database.close()
