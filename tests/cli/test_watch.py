"""``watch``: on the screen until it is over, once for cron, and a warning before a promised word is late."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from tests.conftest import Bank

Cli: TypeAlias = Callable[..., CompletedProcess[str]]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def ago(minutes: float) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="seconds")


def announced(bank: Bank, cli: Cli, *arguments: str, **facts: Any) -> None:
    bank.write(**facts)
    assert cli("announce", "incident.yaml", "--yes", *arguments).returncode == 0


def look(cli: Cli, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = cli("watch", "--once", "--json", *arguments)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["exit_code"] == done.returncode
    return done.returncode, found


@pytest.fixture
def pager(bank: Bank) -> Callable[[], list[dict[str, Any]]]:
    """Puts a pager into the config; what it was told."""
    script = bank.folder / "page-me"
    script.write_text(f"#!{sys.executable}\nimport sys\nopen('calls', 'a').write(sys.stdin.read() + '\\n')\n")
    script.chmod(0o755)
    bank.config["watch"] = {"command": ["./page-me"]}
    bank.write()
    calls = bank.folder / "calls"
    return lambda: [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []


# -- once -----------------------------------------------------------------------------------------------------------


def test_where_nothing_is_open_there_is_nothing_to_watch_and_no_ledger_is_made(bank: Bank, cli: Cli) -> None:
    assert cli("watch", "--once").stdout == "Nothing is open.\n"
    code, found = look(cli)

    assert (code, found["incidents"], found["overdue"], found["next_due_at"]) == (0, [], False, None)
    assert not (bank.folder / "outagecast.db").exists()


def test_every_open_incident_is_told_and_what_is_over_is_not(bank: Bank, cli: Cli) -> None:
    announced(bank, cli)
    announced(bank, cli, incident="mobile-app", summary="Our app is slow.")
    announced(bank, cli, status="resolved", summary="Our app works.", components=None, next_update_at=None)
    announced(bank, cli, incident="branches", status="investigating", summary="They are shut.", next_update_at="1h")

    code, found = look(cli)

    assert (code, [one["incident"] for one in found["incidents"]]) == (0, ["branches", "card-payments"])
    assert found["next_due_at"] == found["incidents"][1]["next_due_at"]
    done = cli("watch", "--once")
    assert done.stdout.index("card-payments  update 1") < done.stdout.index("branches  update 1")  # due first


def test_a_broken_promise_on_one_of_two_incidents_is_24(bank: Bank, cli: Cli) -> None:
    announced(bank, cli)
    announced(bank, cli, incident="mobile-app", summary="Our app is slow.", started_at=ago(90), next_update_at=ago(5))

    code, found = look(cli)

    assert (code, found["exit_name"], found["overdue"]) == (24, "overdue", True)
    assert {one["incident"]: one["overdue"] for one in found["incidents"]} == {
        "mobile-app": True,
        "card-payments": False,
    }
    done = cli("watch", "--once")
    assert done.returncode == 24
    told = " ".join(done.stdout.split())
    assert re.search(r"Next update OVERDUE by 5 min, was due \S+ \(Sydney time\), on x, facebook, banner\.", told)
    assert look(cli, "card-payments")[0] == 0
    assert look(cli, "mobile-app")[0] == 24


def test_a_channel_that_is_silent_while_others_speak_breaks_the_promise(bank: Bank, cli: Cli) -> None:
    announced(bank, cli, "--except", "facebook", started_at=ago(61))

    code, found = look(cli)

    late = [channel for channel in found["incidents"][0]["channels"] if channel["overdue"]]
    assert (code, [(one["channel"], one["standing"], one["carries"]) for one in late]) == (
        24,
        [("facebook", "silent", None)],
    )
    status = cli("status", "--json")
    assert status.returncode == 24
    assert [one["channel"] for one in json.loads(status.stdout)["silent"]] == ["facebook"]
    bank.config["channels"]["facebook"]["required"] = False
    bank.write()
    assert look(cli)[0] == 0


def test_what_was_closed_and_is_not_closed_everywhere_is_still_watched(bank: Bank, cli: Cli) -> None:
    announced(bank, cli)
    bank.providers.x.behave("unauthorized", times=9)
    bank.write(status="resolved", summary="Cards work.", components=None, next_update_at=None)
    assert cli("announce", "incident.yaml", "--yes").returncode == 10

    code, found = look(cli)

    (incident,) = found["incidents"]
    assert (code, incident["status"]) == (0, "resolved")
    assert [one["channel"] for one in incident["channels"] if one["standing"] == "stale"] == ["x"]


def test_json_without_once_would_never_end(cli: Cli, bank: Bank) -> None:
    done = cli("watch", "--json")

    assert (done.returncode, json.loads(done.stdout)["errors"][0]["message"]) == (2, "--json goes with --once")


def test_an_unknown_incident_is_65(bank: Bank, cli: Cli) -> None:
    announced(bank, cli)

    done = cli("watch", "card-payment", "--once", "--json")

    assert (done.returncode, json.loads(done.stdout)["exit_code"]) == (65, 65)


def test_two_crons_warn_once_of_each_deadline(bank: Bank, cli: Cli, pager: Callable[[], list[dict[str, Any]]]) -> None:
    announced(bank, cli, started_at=ago(90), next_update_at=ago(5))

    codes = {look(cli)[0] for _ in range(3)}

    assert codes == {24}
    (call,) = pager()
    assert (call["incident"], call["word"], call["overdue"]) == ("card-payments", "next_update", True)
    assert call["channels"] == ["x", "facebook", "banner"]


def test_who_could_not_be_warned_is_told_and_changes_no_code(
    bank: Bank, cli: Cli, pager: Callable[[], list[dict[str, Any]]]
) -> None:
    (bank.folder / "page-me").write_text("#!/bin/sh\nexit 7\n")
    announced(bank, cli, started_at=ago(90), next_update_at=ago(5))

    done = cli("watch", "--once", "--json")

    words = "nobody was warned by the command of watch: ./page-me ended with 7"
    assert (done.returncode, json.loads(done.stdout)["warnings"]) == (24, [words])
    assert done.stderr == f"! {words}\n"


def test_looking_writes_nothing_into_the_ledger(bank: Bank, cli: Cli) -> None:
    announced(bank, cli, started_at=ago(90), next_update_at=ago(5))
    before = (bank.folder / "outagecast.db").read_bytes()

    look(cli)

    assert (bank.folder / "outagecast.db").read_bytes() == before


# -- on the screen --------------------------------------------------------------------------------------------------


def test_the_screen_counts_down_rings_once_for_each_deadline_and_is_left_with_ctrl_c(
    bank: Bank, cli: Cli, pager: Callable[[], list[dict[str, Any]]]
) -> None:
    announced(bank, cli, started_at=ago(90), next_update_at=(datetime.now(UTC) + timedelta(seconds=3)).isoformat())

    terminal = bank.terminal("watch", "--every", "1")
    terminal.expect("card-payments  update 1  investigating")
    terminal.expect("Next update due")
    terminal.expect("OVERDUE by ", within=20)
    terminal.expect("1 open, 1 OVERDUE")
    terminal.type("\x03")

    assert terminal.wait() == 130
    assert terminal.raw.count("\a") == 1
    assert terminal.raw.rstrip().endswith("\x1b[?1049l")  # the screen from before is back, and nothing is added
    assert len(pager()) == 1


def test_the_screen_shows_what_another_announces_meanwhile_even_the_first_thing_of_all(bank: Bank, cli: Cli) -> None:
    terminal = bank.terminal("watch", "--every", "1")
    terminal.expect("Nothing is open.")

    announced(bank, cli)

    terminal.expect("card-payments  update 1  investigating")
    terminal.type("\x03")
    assert terminal.wait() == 130


def _lines(bank: Bank, *arguments: str) -> Iterator[Any]:
    process = bank.start("watch", "--every", "1", *arguments)
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")), daemon=True)  # type: ignore[union-attr]
    reader.start()

    def expect(words: str) -> list[str]:
        for _ in range(800):
            if words in "".join(lines):
                return lines
            threading.Event().wait(0.02)
        pytest.fail(f"never said {words!r}, but:\n{''.join(lines)}")

    yield process, expect
    reader.join(5)


def test_without_a_terminal_it_is_told_when_something_changes_and_not_when_time_passes(bank: Bank, cli: Cli) -> None:
    announced(bank, cli, started_at=ago(90))
    following = _lines(bank)
    process, expect = next(following)
    expect("First word ")
    threading.Event().wait(2.5)
    before = len(expect(""))
    announced(bank, cli, status="identified", cause="A power cut.")
    expect("update 2  identified")
    process.send_signal(signal.SIGTERM)

    assert process.wait(10) == 143
    next(following, None)
    text = expect("")
    assert len([line for line in text if line.startswith("card-payments  update 1")]) == 1
    assert before < len(text)
    assert "\x1b" not in "".join(text)


def test_a_ledger_that_was_put_back_is_read_anew(bank: Bank, cli: Cli) -> None:
    announced(bank, cli)
    following = _lines(bank)
    process, expect = next(following)
    expect("card-payments  update 1")
    other = bank.folder / "other.db"
    bank.config["ledger"] = "sqlite:///other.db"
    announced(bank, cli, incident="mobile-app", summary="Our app is slow.")
    os.replace(other, bank.folder / "outagecast.db")  # noqa: PTH105 - what an officer's mv does
    bank.config["ledger"] = "sqlite:///outagecast.db"
    bank.write()

    expect("mobile-app  update 1")

    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    next(following, None)
