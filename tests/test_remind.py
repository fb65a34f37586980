"""Warnings ahead of a deadline: when, to whom, once, and that none that goes wrong ends anything."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest

from outagecast import config, promises, remind
from outagecast.config import EVERY_STATUS, Promise, Watch
from outagecast.errors import ConfigError
from outagecast.ledger import Update
from outagecast.model import State, Status
from outagecast.promises import Cell, Course, Due, Party, Word
from outagecast.remind import Deadline, Reminder
from outagecast.secret import Secret

START = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
SYDNEY = ZoneInfo("Australia/Sydney")
DUE = Due(START + timedelta(minutes=60), Word.FIRST)
DEADLINE = Deadline("cards", 1, "investigating", DUE, ("x", "facebook"))
AHEAD = timedelta(minutes=10)


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def course(minutes: float, *, every: int = 30, told: bool = False) -> Course:
    update = Update("cards", 1, Status.INVESTIGATING, "", "{}", "", START, "ana@desk", START)
    cells = {"x": {1: Cell(State.ACCEPTED, 1, 1, 0, START, START)}} if told else {}
    promise = Promise(update_every=timedelta(minutes=every))
    return promises.course([update], cells, [Party("x", on=EVERY_STATUS)], promise, after(minutes))


# -- when -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "warned"), [(0, False), (49.9, False), (50, True), (61, True), (900, True)])
def test_a_deadline_is_warned_of_ahead_of_its_time_and_still_when_it_was_missed(minutes: float, warned: bool) -> None:
    assert bool(remind.near([course(minutes)], AHEAD)) is warned


@pytest.mark.parametrize(("minutes", "warned"), [(1, False), (4, True)])
def test_a_short_promise_is_not_warned_of_before_half_of_it_is_over(minutes: float, warned: bool) -> None:
    assert bool(remind.near([course(minutes, every=8, told=True)], AHEAD)) is warned


def test_two_incidents_are_warned_of_each_by_its_own_clock() -> None:
    late, early = course(29, told=True), course(58)

    assert [deadline.due.word for deadline in remind.near([early, late], AHEAD)] == [Word.NEXT, Word.FIRST]


# -- in which words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (50, "cards: first word due 7pm (Sydney time), in 10 min: x, facebook"),
        (59, "cards: first word due 7pm (Sydney time), in 60 s: x, facebook"),
        (68, "cards: first word OVERDUE by 8 min, was due 7pm (Sydney time): x, facebook"),
    ],
)
def test_a_warning_says_what_is_due_when_and_where(minutes: float, words: str) -> None:
    given = remind.payload(DEADLINE, after(minutes), SYDNEY)

    assert given["text"] == words
    assert given["due_in_s"] == (60 - minutes) * 60
    assert given["overdue"] is (minutes > 60)


def test_in_the_hour_that_comes_twice_the_offset_is_said() -> None:
    bucharest, first = ZoneInfo("Europe/Bucharest"), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)

    said = [remind.when(time, first - timedelta(hours=1), bucharest) for time in (first, first + timedelta(hours=1))]

    assert said == [
        "due 3:30am (Bucharest time, UTC+0300), in 60 min",
        "due 3:30am (Bucharest time, UTC+0200), in 2 h",
    ]


def test_in_the_hour_that_is_left_out_a_due_time_is_one_that_exists() -> None:
    start = datetime.fromisoformat("2026-10-04T01:30+10:00")

    assert remind.when(start + timedelta(hours=1), start, SYDNEY) == "due 3:30am (Sydney time), in 60 min"


# -- once -----------------------------------------------------------------------------------------------------------


class Pager:
    """A command that keeps what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.memory = folder / "state" / "warned"
        self.path = folder / "page-me"

    def write(self, rest: str = "") -> None:
        self.path.write_text(
            f"#!{sys.executable}\nimport os, sys\n"
            "told = sys.stdin.read()\n"
            "open('calls', 'a').write(told + '\\n')\n"
            "open('environment', 'w').write(repr(dict(os.environ)))\n"
            f"{rest}\n"
        )
        self.path.chmod(0o755)

    def reminder(self, deadline: float = 20, **watch: Any) -> Reminder:
        given = Watch(**{"command": ("./page-me",), **watch})
        return Reminder(given, self.folder, self.memory, SYDNEY, deadline)

    @property
    def calls(self) -> list[dict[str, Any]]:
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def pager(tmp_path: Path) -> Pager:
    pager = Pager(tmp_path)
    pager.write()
    return pager


def test_each_deadline_is_warned_of_once_whoever_looks(pager: Pager) -> None:
    for minutes in (50, 51, 55, 61):
        assert pager.reminder().remind([DEADLINE], after(minutes)) == []

    later = DEADLINE._replace(due=Due(after(90), Word.NEXT))
    pager.reminder().remind([DEADLINE, later], after(85))

    assert [(call["word"], call["channels"]) for call in pager.calls] == [
        ("first_word", ["x", "facebook"]),
        ("next_update", ["x", "facebook"]),
    ]


def test_two_who_look_at_the_same_moment_warn_once(pager: Pager) -> None:
    pager.write("import time; time.sleep(0.3)")
    threads = [
        threading.Thread(target=pager.reminder().remind, args=([DEADLINE], after(50 + number / 100)))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(pager.calls) == 1


def test_who_looks_while_another_reads_what_was_said_waits_for_it(pager: Pager) -> None:
    pager.memory.parent.mkdir()
    with pager.memory.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        thread = threading.Thread(target=pager.reminder().remind, args=([DEADLINE], after(50)))
        thread.start()
        thread.join(0.4)
        assert (thread.is_alive(), pager.calls) == (True, [])
        file.write(
            json.dumps({f"{DEADLINE.key} command": {"at": START.isoformat(), "tries": 1, "done": True}}).encode()
        )
    thread.join(5)

    assert pager.calls == []


def test_a_warning_that_failed_is_tried_again_after_a_while_and_not_for_ever(pager: Pager) -> None:
    pager.write("sys.stderr.write('first line\\nno \\x1b[31mline\\n'); sys.exit(3)")
    told = [pager.reminder().remind([DEADLINE], after(minutes)) for minutes in (50, 50.1, 51, 52, 53, 54)]

    failed = ["nobody was warned by the command of watch: ./page-me ended with 3: no [31mline"]
    assert told == [failed, [], failed, failed, [], []]
    assert len(pager.calls) == 3


def test_what_was_said_is_kept_for_the_user_alone_and_forgotten_after_a_month(pager: Pager) -> None:
    pager.reminder().remind([DEADLINE], after(50))
    later = DEADLINE._replace(due=Due(after(60 * 24 * 40), Word.NEXT))
    pager.reminder().remind([later], after(60 * 24 * 40))

    assert stat.S_IMODE(pager.memory.stat().st_mode) == 0o600
    assert list(json.loads(pager.memory.read_text())) == [f"{later.key} command"]


@pytest.mark.parametrize("kept", [b"{", b"[]", b'{"x": 1}', b'{"x": {"at": "soon", "tries": 1}}', b"\xff\xfe"])
def test_a_spoilt_memory_warns_rather_than_not(pager: Pager, kept: bytes) -> None:
    pager.memory.parent.mkdir()
    pager.memory.write_bytes(kept)

    assert pager.reminder().remind([DEADLINE], after(50)) == []
    assert pager.reminder().remind([DEADLINE], after(52)) == []
    assert len(pager.calls) == 1


def test_where_nothing_can_be_kept_one_who_stays_warns_once_all_the_same(pager: Pager) -> None:
    pager.memory = pager.folder / "page-me" / "warned"  # below what is no folder
    reminder = pager.reminder()

    assert [reminder.remind([DEADLINE], after(minutes)) for minutes in (50, 52)] == [[], []]
    assert len(pager.calls) == 1


# -- the command ----------------------------------------------------------------------------------------------------


def test_a_command_that_is_not_there_is_told(pager: Pager) -> None:
    (problem,) = pager.reminder(command=("./nothing",)).remind([DEADLINE], after(50))

    assert problem == "nobody was warned by the command of watch: ./nothing cannot be run: No such file or directory"


def test_a_command_that_reads_nothing_has_warned(pager: Pager) -> None:
    assert pager.reminder(command=("true",)).remind([DEADLINE], after(50)) == []


def is_running(process: str) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", process], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and "Z" not in state


def test_a_command_that_hangs_is_ended_with_all_that_it_started(pager: Pager) -> None:
    pager.write(
        "import subprocess\nchild = subprocess.Popen(['sleep', '60'])\n"
        "open('child', 'w').write(str(child.pid))\nchild.wait()"
    )

    (problem,) = pager.reminder(deadline=0.5).remind([DEADLINE], after(50))

    assert problem.endswith("./page-me took longer than 0.5 s, and was ended")
    child = (pager.folder / "child").read_text()
    for _ in range(100):
        if not is_running(child):
            break
        threading.Event().wait(0.02)
    else:
        pytest.fail("what it started lives on")


def test_the_command_is_given_no_secret(pager: Pager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REHEARSAL_WATCHED", "swordfish")
    monkeypatch.setenv("MY_PAGER", "mine")
    Secret("env:REHEARSAL_WATCHED")

    pager.reminder().remind([DEADLINE], after(50))

    environment = (pager.folder / "environment").read_text()
    assert "swordfish" not in environment
    assert "'MY_PAGER': 'mine'" in environment


# -- the webhook ----------------------------------------------------------------------------------------------------


class _Hook(BaseHTTPRequestHandler):
    taken: ClassVar[list[tuple[str, str, bytes]]] = []
    code: ClassVar[int] = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.taken.append((self.path, self.headers["Content-Type"], body))
        self.send_response(self.code)
        self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Hook]]:
    _Hook.taken, _Hook.code = [], 200
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hook) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("REHEARSAL_HOOK", f"http://127.0.0.1:{server.server_address[1]}/services/T0/swordfish")
        yield _Hook
        server.shutdown()
        thread.join()


def webhook(pager: Pager) -> Reminder:
    return pager.reminder(command=(), webhook=Secret("env:REHEARSAL_HOOK"))


def test_the_webhook_is_sent_the_same_json_once(pager: Pager, hook: type[_Hook]) -> None:
    assert [webhook(pager).remind([DEADLINE], after(minutes)) for minutes in (50, 52)] == [[], []]

    ((path, kind, body),) = hook.taken
    assert (path, kind) == ("/services/T0/swordfish", "application/json")
    assert json.loads(body) == remind.payload(DEADLINE, after(50), SYDNEY)


@pytest.mark.parametrize("code", [404, 500, 302])
def test_a_webhook_that_does_not_take_it_is_told_without_its_address(
    pager: Pager, hook: type[_Hook], code: int
) -> None:
    hook.code = code

    (problem,) = webhook(pager).remind([DEADLINE], after(50))

    assert problem == f"nobody was warned by the webhook of watch: the answer was HTTP {code}"


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/swordfish", "no address/swordfish", "ftp://x/swordfish", ""])
def test_a_webhook_that_cannot_be_reached_is_told_without_its_secret(
    pager: Pager, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("REHEARSAL_HOOK", address)

    (problem,) = webhook(pager).remind([DEADLINE], after(50))

    assert problem.startswith("nobody was warned by the webhook of watch: ")
    assert "swordfish" not in problem


def test_a_failing_webhook_keeps_no_command_from_being_called(pager: Pager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REHEARSAL_HOOK", "http://127.0.0.1:9/")

    told = pager.reminder(webhook=Secret("env:REHEARSAL_HOOK")).remind([DEADLINE], after(50))

    assert (len(told), len(pager.calls)) == (1, 1)
    assert os.environ["REHEARSAL_HOOK"]


# -- in the config --------------------------------------------------------------------------------------------------


def test_a_webhook_written_out_is_refused_and_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "outagecast.yaml"
    path.write_text(
        "organisation: {name: Bank, timezone: UTC}\nchannels: {banner: {kind: banner, path: b.html}}\n"
        "watch: {webhook: 'https://hooks.example.com/swordfish'}\n"
    )

    with pytest.raises(ConfigError) as caught:
        config.load(path)

    assert "a secret must be a reference" in str(caught.value)
    assert "swordfish" not in str(caught.value)


def test_a_webhook_in_a_file_lies_beside_the_config(tmp_path: Path) -> None:
    path = tmp_path / "outagecast.yaml"
    path.write_text(
        "organisation: {name: Bank, timezone: UTC}\nchannels: {banner: {kind: banner, path: b.html}}\n"
        "watch: {webhook: 'file:hook', warn_before: 5m, command: [page, me]}\n"
    )
    (tmp_path / "hook").write_text("https://hooks.example.com/swordfish")
    (tmp_path / "hook").chmod(0o600)

    watch = config.load(path).watch

    assert watch.webhook is not None
    assert watch.webhook.reveal() == "https://hooks.example.com/swordfish"
    assert (watch.warn_before, watch.command) == (timedelta(minutes=5), ("page", "me"))
