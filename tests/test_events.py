"""A run as lines of JSON while it lasts: what is told, to whom it can be told, and that nothing of it stops a run."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from outagecast.errors import ExitCode, LedgerError, Problem
from outagecast.events import EVERY, Events, following
from outagecast.lane import Progress
from outagecast.ledger import Event
from outagecast.model import State
from outagecast.report import Report

if TYPE_CHECKING:
    from tests.conftest import Bank


def lines(path: Path) -> list[dict[str, Any]]:
    """The events of a file whose every line is whole."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n") or not text
    return [json.loads(line) for line in text.splitlines()]


def named(found: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [line for line in found if line["event"] == event]


def accepted(channel: str) -> Progress:
    return Progress(channel, Event.RECEIPT, State.ACCEPTED)


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


# -- what is told ----------------------------------------------------------------------------------------------------


def test_an_announcement_is_told_from_its_start_to_its_end(bank: Bank) -> None:
    began = datetime.now(UTC)
    done = bank.run("announce", "incident.yaml", "--yes", "--json", "--events", "events.jsonl")
    result = json.loads(done.stdout)
    found = lines(bank.folder / "events.jsonl")
    first, *middle, last = found

    assert {line["schema_version"] for line in found} == {1}
    assert {line["incident"] for line in found} == {"card-payments"}
    assert {line["update"] for line in found} == {1}
    times = [datetime.fromisoformat(line["at"]) for line in found]
    assert times[0] >= began.replace(microsecond=began.microsecond // 1000 * 1000)
    assert {time.utcoffset() for time in times} == {timedelta()}
    assert {len(line["at"]) for line in found} == {len("2026-11-22T07:10:11.123Z")}
    assert first["event"] == "run_started"
    assert {channel["channel"] for channel in first["channels"]} == {"x", "facebook", "banner", "sms", "email"}
    assert {line["event"] for line in middle} == {"channel_state", "channel_counts"}
    for name in ("x", "facebook", "banner"):
        states = [line["state"] for line in named(middle, "channel_state") if line["channel"] == name]
        assert states == ["attempting", "accepted"]
    assert {line["channel"] for line in named(middle, "channel_counts")} == {"sms", "email"}
    assert last["event"] == "run_ended"
    assert (last["exit_code"], last["exit_name"]) == (0, "done") == (result["exit_code"], result["exit_name"])
    for told, channel in zip(last["channels"], result["channels"], strict=True):
        assert told == {key: channel[key] for key in told}


def test_neither_a_recipient_nor_a_secret_is_told(bank: Bank) -> None:
    bank.providers.twilio.behave("reset_after")
    bank.providers.x.behave("unauthorized")

    done = bank.run("announce", "incident.yaml", "--yes", "--events", "events.jsonl")

    told = (bank.folder / "events.jsonl").read_text(encoding="utf-8")
    assert done.returncode == 10
    assert named(lines(bank.folder / "events.jsonl"), "run_ended")[0]["exit_code"] == 10
    assert [one for one in ("ana@example.com", "61491570156", "61491570157") if one in told] == []
    assert [name for name, value in bank.providers.environment.items() if value in told] == []
    (refused,) = [line for line in lines(bank.folder / "events.jsonl") if line.get("state") == "failed"]
    assert refused["channel"] == "x"
    assert "401" in refused["reason"]


def test_resume_goes_on_in_the_same_file(bank: Bank) -> None:
    bank.providers.x.behave("unauthorized")
    bank.run("announce", "incident.yaml", "--yes", "--events", "events.jsonl", "--channel", "x", "--channel", "banner")

    bank.run("resume", "--events", "events.jsonl")

    found = lines(bank.folder / "events.jsonl")
    assert [line["exit_code"] for line in named(found, "run_ended")] == [10, 0]
    again = found[found.index(named(found, "run_started")[1]) :]
    assert [(line["channel"], line["state"]) for line in named(again, "channel_state")] == [
        ("x", "attempting"),
        ("x", "accepted"),
    ]


def test_a_run_that_cannot_begin_ends_with_its_code(bank: Bank) -> None:
    bank.run("announce", "incident.yaml", "--yes")

    done = bank.run("resume", "another", "--events", "events.jsonl")
    (told,) = lines(bank.folder / "events.jsonl")

    assert done.returncode == 65
    assert (told["event"], told["exit_code"], told["exit_name"], told["channels"]) == ("run_ended", 65, "bad_input", [])


def test_a_dry_run_tells_nothing(bank: Bank) -> None:
    bank.run("announce", "incident.yaml", "--dry-run", "--events", "events.jsonl")

    assert not (bank.folder / "events.jsonl").exists()


def test_people_are_counted_once_a_second_and_all_in_the_end(tmp_path: Path, complaints: list[str]) -> None:
    path = tmp_path / "events.jsonl"
    events = Events(str(path), {"sms"}, complaints.append)
    events.started("cards", {"sms": 2, "x": 2})
    began = time.monotonic()
    for _ in range(2000):
        events.note(Progress("sms", Event.CLAIMED, State.ATTEMPTING))
        events.note(accepted("sms"))
    while time.monotonic() - began < EVERY:
        time.sleep(0.01)
    events.note(accepted("sms"))
    took = time.monotonic() - began
    events.ended(Report(incident="cards", update=2))

    counts = named(lines(path), "channel_counts")
    assert 2 <= len(counts) <= 1 + took / EVERY
    assert counts[0]["reached"] == {"accepted": 1}
    assert counts[-1]["reached"] == {"accepted": 2001}
    assert {(line["channel"], line["update"]) for line in counts} == {("sms", 2)}
    assert complaints == []


def test_a_bug_ends_the_lines_too(tmp_path: Path, complaints: list[str]) -> None:
    path = tmp_path / "events.jsonl"

    with pytest.raises(ZeroDivisionError), following(str(path), (), complaints.append):
        _ = 1 / 0
    with pytest.raises(LedgerError), following(str(path), (), complaints.append):
        raise LedgerError(Problem("the disk is full"))

    assert [line["exit_code"] for line in lines(path)] == [ExitCode.BUG, ExitCode.LEDGER]


def test_every_key_of_a_line_is_in_the_docs(bank: Bank) -> None:
    bank.run("announce", "incident.yaml", "--yes", "--events", "events.jsonl")
    page = Path(__file__).parents[1].joinpath("docs", "json.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(\w+)(?:\[\])?` \| (.+?) \| (.+) \|$", page.partition("## Events")[2], flags=re.MULTILINE)
    found = lines(bank.folder / "events.jsonl")

    for event in {line["event"] for line in found}:
        documented = {key for key, events, _ in table if events == "all" or f"`{event}`" in events}
        assert {frozenset(line) for line in named(found, event)} == {frozenset(documented)}
    ended = next(words for key, events, words in table if (key, events) == ("channels", "`run_ended`"))
    assert set(found[-1]["channels"][0]) == set(re.findall(r"`(\w+)`", ended))


# -- to whom it is told ----------------------------------------------------------------------------------------------


def test_a_new_file_is_for_its_owner_alone_and_an_older_one_stays_as_it_is(bank: Bank) -> None:
    older = bank.folder / "older.jsonl"
    older.touch(0o644)
    link = bank.folder / "link.jsonl"
    link.symlink_to(older)

    bank.run("announce", "incident.yaml", "--yes", "--channel", "banner", "--events", "new.jsonl")
    bank.run("resume", "card-payments", "--events", "link.jsonl")

    assert stat.S_IMODE((bank.folder / "new.jsonl").stat().st_mode) == 0o600
    assert stat.S_IMODE(older.stat().st_mode) == 0o644
    assert link.is_symlink()
    assert [line["event"] for line in lines(older)] == ["run_started", "run_ended"]


def test_a_line_that_was_torn_is_left_and_the_next_begins_anew(tmp_path: Path, complaints: list[str]) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"torn', encoding="utf-8")

    Events(str(path), (), complaints.append).failed(ExitCode.DONE)

    torn, whole = path.read_text(encoding="utf-8").splitlines()
    assert (torn, json.loads(whole)["event"], complaints) == ('{"torn', "run_ended", [])


def test_a_descriptor_of_the_caller_is_written_to(bank: Bank) -> None:
    reading, writing = os.pipe()
    command = bank.command("announce", "incident.yaml", "--yes", "--channel", "banner", "--events")
    with os.fdopen(reading) as reader:
        done = subprocess.run(
            [*command, f"/dev/fd/{writing}"],
            cwd=bank.folder,
            env=bank.environment,
            pass_fds=(writing,),
            capture_output=True,
            text=True,
            check=False,
        )
        os.close(writing)
        told = [json.loads(line)["event"] for line in reader]

    assert (done.returncode, told) == (0, ["run_started", "channel_state", "channel_state", "run_ended"])


def test_a_fifo_with_a_reader_carries_all_of_it(bank: Bank, fifo: Path) -> None:
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.extend(fifo.read_text(encoding="utf-8").splitlines()))
    reader.start()
    time.sleep(0.1)

    done = bank.run("announce", "incident.yaml", "--yes", "--channel", "banner", "--events", "fifo")
    reader.join(5)

    assert done.returncode == 0
    assert [json.loads(line)["event"] for line in heard][-1:] == ["run_ended"]


# -- nothing of it stops a run ---------------------------------------------------------------------------------------


def _no_folder(folder: Path) -> str:
    return "nowhere/events.jsonl"


def _a_folder(folder: Path) -> str:
    (folder / "events").mkdir()
    return "events"


def _a_fifo_that_nobody_reads(folder: Path) -> str:
    os.mkfifo(folder / "fifo")
    return "fifo"


def _a_full_disk(folder: Path) -> str:
    return "/dev/full"


def _a_closed_descriptor(folder: Path) -> str:
    return "/dev/fd/87"


def _the_message(folder: Path) -> str:
    return "incident.yaml"


def _no_path(folder: Path) -> str:
    return ""


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (_no_folder, "No such file or directory"),
        (_a_folder, "Is a directory"),
        (_a_fifo_that_nobody_reads, "nobody reads it"),
        (_a_full_disk, "No space left on device"),
        (_a_closed_descriptor, ""),
        (_the_message, "it holds something else than events"),
        (_no_path, "No such file or directory"),
    ],
)
def test_what_cannot_be_told_is_said_once_and_all_is_sent(bank: Bank, file: Callable[[Path], str], why: str) -> None:
    path = file(bank.folder)
    if path == "/dev/full" and not Path(path).exists():
        pytest.skip("this system has no /dev/full")
    before = (bank.folder / "incident.yaml").read_bytes()

    done = bank.run("announce", "incident.yaml", "--yes", "--channel", "x", "--channel", "banner", "--events", path)

    said = [line for line in done.stderr.splitlines() if line.startswith("--events")]
    assert (done.returncode, bank.sent["x"], len(said)) == (0, 1, 1), done.stderr
    assert said[0].endswith(f"{why}; the run goes on without it")
    assert (bank.folder / "incident.yaml").read_bytes() == before


def test_a_reader_who_leaves_stops_nothing(tmp_path: Path, fifo: Path, complaints: list[str]) -> None:
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    events = Events(str(fifo), (), complaints.append)
    events.started("cards", {"x": 1})
    os.close(reader)
    for _ in range(3):
        events.note(accepted("x"))
    events.ended(Report(incident="cards"))

    assert complaints == [f"--events {fifo}: Broken pipe; the run goes on without it"]


def test_a_reader_who_reads_nothing_delays_nobody_by_more_than_a_second(fifo: Path, complaints: list[str]) -> None:
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        events = Events(str(fifo), (), complaints.append)
        events.started("cards", {"x": 1})
        began = time.monotonic()
        for _ in range(2000):  # far more than a pipe holds
            events.note(accepted("x"))
        noted = time.monotonic() - began
        events.ended(Report(incident="cards"))
        took = time.monotonic() - began
    finally:
        os.close(reader)
    assert events._is_written.wait(5)  # and the pipe it waited for is broken now

    assert noted < 0.9
    assert took < 2.5
    assert complaints == [f"--events {fifo}: nobody reads it; the run goes on without it"]


_LITTLE_ROOM = """
import resource, signal, sys

from outagecast.events import Events
from outagecast.report import Report

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
events = Events(sys.argv[1], (), print)
for _ in range(20):
    events.started("cards", {"x": 1})
events.ended(Report())
"""


def test_a_disk_that_fills_in_the_middle_of_a_line_keeps_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    done = subprocess.run(
        [sys.executable, "-c", _LITTLE_ROOM, str(path)], capture_output=True, text=True, timeout=20, check=True
    )

    found = lines(path)
    assert done.stdout.count("No space left on device") == 1
    assert {line["event"] for line in found} == {"run_started"}
    assert 800 < path.stat().st_size <= 1000
