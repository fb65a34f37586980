"""What is printed, where, and that no screen, pipe or disk can change what is sent or how it ends."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, TypeAlias

import pytest

from outagecast.cli import run, screen

if TYPE_CHECKING:
    from tests.conftest import Bank

Cli: TypeAlias = Callable[..., CompletedProcess[str]]

KEYS = {
    *("schema_version", "incident", "update", "status", "mode", "digest", "exit_code", "exit_name", "overdue"),
    *("errors", "warnings", "channels"),
}
CHANNEL_KEYS = {
    *("channel", "kind", "state", "published", "complete", "counts", "provider_id", "url", "update", "attempts"),
    *("error", "next_action", "retry_after_s", "variants"),
}
COUNTS = {"planned", "accepted", "verified", "refused", "failed", "in_doubt", "pending", "skipped"}
COUNTS |= {"mismatch", "missing"}
VARIANT_KEYS = {"language", "parts", "measures", "rung", "facts"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("preview", "incident.yaml"), 0),
        (("announce", "incident.yaml", "--dry-run"), 0),
        (("announce", "incident.yaml", "--yes"), 0),
        (("status",), 0),
        (("announce", "incident.yaml"), 2),
        (("announce",), 2),
        (("preview", "incident.yaml", "--nonsense"), 2),
        (("announce", "incident.yaml", "--yes", "--max-time", "soon"), 2),
        (("nonsense",), 2),
        ((), 2),
        (("resume",), 2),
        (("settle", "card-payments", "x"), 2),
        (("status", "nothing"), 65),
        (("preview", "nowhere.yaml"), 65),
        (("--config", "nowhere.yaml", "preview", "incident.yaml"), 78),
        (("--config", "nowhere.yaml", "status"), 78),
    ],
)
def test_at_every_exit_there_is_one_object_with_all_keys(
    bank: Bank, cli: Cli, arguments: tuple[str, ...], code: int
) -> None:
    done = cli(*arguments, "--json")

    found = json.loads(done.stdout)
    assert (done.returncode, found["exit_code"], found["schema_version"]) == (code, code, 1)
    assert found.keys() >= KEYS
    for channel in found["channels"]:
        assert channel.keys() >= CHANNEL_KEYS
        assert channel["counts"].keys() == COUNTS
        for variant in channel["variants"]:
            assert variant.keys() >= VARIANT_KEYS
    assert bool(found["errors"]) == (code != 0)


@pytest.mark.parametrize(("command", "mode"), [(("preview",), "dry_run"), (("announce", "--yes"), "live")])
def test_an_error_says_which_mode_it_ended(bank: Bank, cli: Cli, command: tuple[str, ...], mode: str) -> None:
    bank.write(title=None)

    assert json.loads(cli(*command, "incident.yaml", "--json").stdout)["mode"] == mode


def test_a_bug_is_a_sentence_a_code_and_the_object_but_no_traceback(bank: Bank, cli: Cli) -> None:
    (bank.folder / "outagecast.db").mkdir()  # nobody foresees everything: whatever comes of it is no traceback
    done = cli("announce", "incident.yaml", "--yes", "--json")

    assert json.loads(done.stdout)["exit_code"] == done.returncode != 0
    assert "Traceback" not in done.stderr


def test_an_unforeseen_error_is_1_and_hides_secrets(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from outagecast import cli
    from outagecast.secret import remember

    remember("canary-4711")
    command = cli.cli.get_command  # the group asks this for each command

    def broken(*_: object) -> None:
        raise KeyError("canary-4711 \x1b[31m")

    monkeypatch.setattr(type(cli.cli), "get_command", broken)
    code = run(["status", "--json"])
    told = capsys.readouterr()

    assert command is not None
    assert code == json.loads(told.out)["exit_code"] == 1
    assert told.err.startswith("a bug in outagecast: KeyError in ")
    assert "canary" not in told.out + told.err
    assert "\x1b" not in told.err


def test_version_and_help_are_results(bank: Bank) -> None:
    from outagecast import __version__

    version, told = bank.run("--version"), bank.run("announce", "-h")

    assert (version.returncode, version.stdout, version.stderr) == (0, f"outagecast {__version__}\n", "")
    assert (told.returncode, told.stderr) == (0, "")
    options = ("--dry-run", "--yes", "--json", "--channel", "--except", "--status", "--set", "--max-time")
    assert [option for option in (*options, "--accept-bad-rows") if option not in told.stdout] == []


def test_a_global_option_in_the_wrong_place_is_put_right(bank: Bank, cli: Cli) -> None:
    assert "outagecast -v preview" in cli("preview", "incident.yaml", "-v").stderr


# -- letters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("preview",), ("announce", "--yes", "--channel", "x")])
def test_a_screen_of_ascii_gets_ascii_and_json_that_is_json(bank: Bank, command: tuple[str, ...]) -> None:
    bank.write(summary="Plățile cu cardul Café 😀 nu merg.")
    ascii_only = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    shown = bank.run(*command, "incident.yaml", env=ascii_only)
    found = bank.json(*command, "incident.yaml", env=ascii_only)

    assert shown.returncode == 0
    assert (shown.stdout + shown.stderr).isascii()
    assert "Plățile cu cardul Café 😀" in found["channels"][0]["variants"][0]["parts"]["text"]


# -- streams that are not there --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "streams", [">&-", "2>&-", ">&- 2>&-", ">/dev/full", ">/dev/full 2>/dev/full", "<&-", "| true"]
)
def test_no_stream_stops_a_send_or_changes_its_code(bank: Bank, streams: str) -> None:
    command = f'set -o pipefail; "$@" {streams}'
    if streams.endswith("full") and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")

    done = subprocess.run(
        ["bash", "-c", command, "bash", *bank.command("announce", "incident.yaml", "--yes", "--channel", "banner")],
        cwd=bank.folder,
        env=bank.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 0
    assert bank.sent["banner"] == 1
    assert "Exception ignored" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", ["--help >/dev/full", "--version >&-"])
def test_help_that_nobody_can_read_is_no_bug(bank: Bank, arguments: str) -> None:
    command = ["bash", "-c", f'"$@" {arguments}', "bash", *bank.command()]

    done = subprocess.run(command, cwd=bank.folder, env=bank.environment, capture_output=True, timeout=30, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


def test_with_standard_error_closed_people_s_words_stay_out_of_the_result(bank: Bank) -> None:
    done = subprocess.run(
        ["bash", "-c", '"$@" 2>&-', "bash", *bank.command("status", "nothing", "--json")],
        cwd=bank.folder,
        env=bank.environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )

    assert json.loads(done.stdout)["exit_code"] == done.returncode == 65


def test_a_closed_standard_input_is_no_terminal_and_no_message(bank: Bank) -> None:
    codes = [
        subprocess.run(
            ["bash", "-c", '"$@" <&- 2>/dev/null', "bash", *bank.command("announce", *arguments)],
            cwd=bank.folder,
            env=bank.environment,
            timeout=30,
            check=False,
        ).returncode
        for arguments in (["incident.yaml"], ["-", "--yes"])
    ]

    assert codes == [2, 65]
    assert bank.sent["banner"] == 0


# -- colours and widths ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": ""}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(bank: Bank, environment: dict[str, str], coloured: bool) -> None:
    shown = bank.terminal("status", "--nonsense", env=environment)

    assert shown.wait() == 2
    assert "see outagecast status --help" in shown.text
    assert ("\x1b[" in shown.raw) is coloured


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_progress_on_a_plain_terminal_is_plain(bank: Bank, environment: dict[str, str]) -> None:
    shown = bank.terminal("announce", "incident.yaml", "--yes", "--channel", "x", env=environment)

    assert shown.wait() == 0
    assert "Published." in shown.text
    if "TERM" in environment:
        assert "\x1b" not in shown.raw
        assert "x: published" in shown.text
    assert "\x1b[3" not in shown.raw  # no colour


def test_a_narrow_terminal_breaks_no_address_and_no_command(bank: Bank) -> None:
    bank.providers.facebook.behave("unauthorized", times=9)
    shown = bank.terminal(
        *("announce", "incident.yaml", "--yes", "--channel", "x", "--channel", "facebook"), columns=40
    )

    assert shown.wait() == 10
    assert f"https://x.com/i/status/{bank.providers.x.posts[0].id}\n" in shown.text
    assert "NOT PUBLISHED" in shown.text
    assert shown.text.endswith("Next: outagecast resume card-payments\n")


def test_a_line_is_wrapped_between_words_only() -> None:
    words = "see https://status.example.com/a-long-address for more"

    assert screen.wrap(words, 20, "  ") == ["  see", "  https://status.example.com/a-long-address", "  for more"]
