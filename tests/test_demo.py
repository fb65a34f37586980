"""The demo needs nothing, touches nothing, and its story is true whenever it is told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from outagecast import audience, config, demo, message
from outagecast.cli.demo import Telling
from outagecast.errors import ExitCode
from outagecast.model import Status
from outagecast.rehearsal import Providers

if TYPE_CHECKING:
    from tests.conftest import Bank, Terminal

HOST = {  # a shell that would lead elsewhere, if it were listened to
    "OUTAGECAST_CONFIG": "/nowhere/outagecast.yaml",
    "OUTAGECAST_MAX_TIME": "0",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "example.com",
    "TWILIO_EDGE": "sydney",
}


def told(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The demo as a script runs it, on a host that is in its way."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "outagecast", "demo", *arguments],
        cwd=home,
        env={**os.environ, **HOST, "HOME": str(home), "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "now",
    [
        "2026-11-22T07:50:13+00:00",
        "2026-11-22T13:05:00+00:00",  # five past midnight in Sydney: it began yesterday
        "2026-11-22T12:40:00+00:00",  # the fix is expected tomorrow
        "2026-10-03T16:10:00+00:00",  # the night in which clocks go forward
        "2027-04-03T16:10:00+00:00",  # and back
        "2028-02-29T13:00:00+00:00",
    ],
)
def test_the_story_reads_true_at_any_time(now: str, tmp_path: Path) -> None:
    moment = datetime.fromisoformat(now)
    told = []
    for step in demo.steps(moment):
        (tmp_path / step.name).write_text(step.written, encoding="utf-8")
        told.append(message.load(tmp_path / step.name))

    first, found, fixed = told
    assert [said.status for said in told] == [Status.INVESTIGATING, Status.IDENTIFIED, Status.RESOLVED]
    assert {said.incident for said in told} == {first.incident}
    assert first.started_at is not None
    assert timedelta(minutes=20) <= moment - first.started_at <= timedelta(minutes=26)
    assert found.eta is not None
    assert timedelta(hours=1) <= found.eta - moment <= timedelta(hours=2)
    assert fixed.ended_at is not None
    assert timedelta() <= moment - fixed.ended_at < timedelta(minutes=1)
    assert fixed.eta is None


def test_each_step_shows_only_what_is_new_in_it() -> None:
    first, found, _ = demo.steps(datetime.now(UTC))

    assert first.news == first.written
    assert "cause: A fault in the system" in found.news
    assert "eta: " in found.news
    assert "started_at" not in found.news


def test_of_its_customers_one_is_refused_and_that_is_not_too_many(tmp_path: Path) -> None:
    with Providers() as providers:
        loaded = config.load(demo.lay_out(tmp_path, providers))
        listing = audience.of(loaded.channels["sms"], loaded)

        refused = [number for number in listing.roll.addresses() if number in providers.twilio.unsubscribed]

    assert len(refused) == 1
    assert len(refused) <= 0.05 * listing.roll.count
    assert listing.rows.bad == 0


def test_the_environment_leads_nowhere_and_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HOST.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)

    with demo.surroundings({"REHEARSAL_SMTP_PASSWORD": "made up"}):
        inside = dict(os.environ)
    after = dict(os.environ)

    assert inside["REHEARSAL_SMTP_PASSWORD"] == "made up"
    assert inside["NO_PROXY"] == "*"
    assert not {"HTTP_PROXY", "http_proxy", "ALL_PROXY", "OUTAGECAST_CONFIG", "TWILIO_EDGE"} & set(inside)
    assert before == after


def test_it_tells_the_whole_story_with_nothing_configured(tmp_path: Path) -> None:
    began = time.monotonic()
    done = told(tmp_path, "--folder", str(tmp_path / "kept"))
    taken = time.monotonic() - began

    shown = " ".join(done.stdout.split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert taken < 15
    for words in ("1 of 3 The first word", "2 of 3 An update", "3 of 3 The end", "Nobody is told"):
        assert words in shown
    assert ("LIVE" in shown, shown.count("update 3 resolved REHEARSAL")) == (False, 1)
    doubt, command = shown.index("facebook UNKNOWN"), shown.index("$ outagecast resume card-payments-")
    assert doubt < command < shown.index("3 of 3 The end")
    assert shown.count("accepted for 21 of 22 people, 1 refused") >= 1
    assert "accepted for 21 of 21 people" in shown  # who unsubscribed is not tried again
    assert re.search(r"6 posts, 42 texts and 46 e-mails in \d+\.\d s, to nobody\.", shown)
    assert f"What the public would have seen: {tmp_path / 'kept' / 'wall.html'}" in shown
    assert list((tmp_path / "home").iterdir()) == []


def test_what_it_wrote_down_can_be_looked_at_afterwards(tmp_path: Path) -> None:
    told(tmp_path, "--folder", str(tmp_path / "kept"), "--html", str(tmp_path / "shown.html"))

    config_file = tmp_path / "kept" / "outagecast.yaml"
    status = subprocess.run(
        [sys.executable, "-m", "outagecast", "--config", config_file, "status"],
        capture_output=True,
        text=True,
        check=False,
    )

    page = (tmp_path / "shown.html").read_text(encoding="utf-8")
    assert status.returncode == 0
    assert "update 3  resolved" in status.stdout
    assert not (tmp_path / "kept" / "wall.html").exists()
    assert "REHEARSAL" in page
    assert page.count("We have found the cause") == len(("X", "Facebook"))  # found again, not posted again
    assert "1 customer got no text message" in page


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "outagecast.yaml").write_text("my own", encoding="utf-8")

    done = told(tmp_path, "--folder", str(folder))

    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["outagecast.yaml"]


def test_a_step_that_fails_ends_it_with_that_step_s_exit_code(tmp_path: Path) -> None:
    with Providers() as providers, demo.surroundings(providers.environment):
        providers.x.behave("unauthorized")
        telling = Telling(tmp_path, providers, interactive=False)

        code = telling.tell()

        assert code is ExitCode.PARTIAL
        assert len(providers.facebook.posts) == 1


@pytest.fixture
def terminal(bank: Bank) -> Terminal:
    return bank.terminal("demo", "--folder", "kept")


def test_in_a_terminal_it_waits_for_enter_before_anything_is_sent(terminal: Terminal, bank: Bank) -> None:
    terminal.expect("Enter to see what would go out, q to stop:")
    assert "PREVIEW" not in terminal.text
    terminal.type("\n")
    terminal.expect("Enter to send it to the stand-ins, q to stop:")
    assert not (bank.folder / "kept" / "outagecast.db").exists()
    terminal.type("\n")
    terminal.expect("Enter to go on, q to stop:")
    assert "All 5 channels published" in terminal.text

    terminal.type("q\n")

    assert terminal.wait() == 130
    assert "Stopped. Nobody was told anything." in " ".join(terminal.text.split())
    assert "An update" not in terminal.text
    assert (bank.folder / "kept" / "wall.html").exists()


def test_stopped_before_anything_is_shown_it_writes_no_page(terminal: Terminal, bank: Bank) -> None:
    terminal.expect("Enter to see what would go out")

    terminal.type("q\n")

    assert terminal.wait() == 130
    assert not (bank.folder / "kept" / "wall.html").exists()


def test_ctrl_c_between_two_steps_stops_it(terminal: Terminal) -> None:
    for asked in ("Enter to see what would go out", "Enter to send it", "Enter to go on"):
        terminal.expect(asked)
        terminal.type("\n" if asked != "Enter to go on" else "\x03")

    assert terminal.wait() == 130
    assert "Stopped." in terminal.text
