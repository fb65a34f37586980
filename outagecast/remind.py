"""Says ahead of time that a promised word is due: to a command, to a webhook, once for each deadline.

What was said is remembered in the user's own state folder, beside what is remembered of the ledger, and not in the
ledger: whoever only looks must not write into the record of what was sent, which may even be read-only.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple
from zoneinfo import ZoneInfo

from outagecast.config import Watch
from outagecast.errors import ChannelError, ConfigError
from outagecast.promises import Course, Due, Word
from outagecast.secret import withheld
from outagecast.text import clean
from outagecast.wording import Wording, span

SCHEMA_VERSION = 1
COMMAND_DEADLINE = 30.0  # seconds
WEBHOOK_DEADLINE = 10.0  # seconds
MOST_TRIES = 3
PATIENCE = timedelta(seconds=45)  # longer than any one try, so that two who watch do not warn both
KEPT = timedelta(days=30)

WORDS = {
    Word.FIRST: "first word",
    Word.NEXT: "next update",
    Word.BEGIN: "word that the work has begun",
    Word.END: "word that the work is done",
}


class Deadline(NamedTuple):
    """A word that is due soon, or late, and the required channels that wait for it."""

    incident: str
    update: int
    status: str
    due: Due
    channels: tuple[str, ...]

    @property
    def key(self) -> str:
        """What makes it the same deadline when it is looked at again."""
        return f"{self.incident} {self.due.word} {self.due.at.timestamp():.0f}"


def near(courses: Iterable[Course], ahead: timedelta) -> list[Deadline]:
    """The deadlines to warn of now: less than ``ahead`` away, and more than half of the time for them over."""
    found = []
    for course in courses:
        for due, rows in course.dues.items():
            made = course.started_at if due.word is Word.FIRST and course.started_at else course.newest.opened_at
            notice = min(ahead, max(due.at - made, timedelta()) / 2)
            if course.now >= due.at - notice:
                newest = course.newest
                names = tuple(row.channel for row in rows)
                found.append(Deadline(course.incident, newest.number, newest.status.value, due, names))
    return sorted(found, key=lambda deadline: deadline.due)


def sentence(due: Due, channels: Iterable[str], now: datetime, zone: ZoneInfo) -> str:
    """``next update due 2:30pm (Sydney time), in 10 min: x, facebook``."""
    return f"{WORDS[due.word]} {when(due.at, now, zone)}: {', '.join(channels)}"


def when(time: datetime, now: datetime, zone: ZoneInfo) -> str:
    """``due 2:30pm (Sydney time), in 10 min``, or by how much it is late."""
    wording, local = Wording("en", zone, now), time.astimezone(zone)
    place = wording.zone_name
    if local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset():  # the hour that comes twice
        place = f"{place}, UTC{local:%z}"
    at = f"due {wording.moment(time)} ({place})"
    return f"OVERDUE by {span(now - time)}, was {at}" if now > time else f"{at}, in {span(time - now)}"


def payload(deadline: Deadline, now: datetime, zone: ZoneInfo) -> dict[str, Any]:
    """What the command reads on its standard input, and the webhook is sent."""
    words = sentence(deadline.due, deadline.channels, now, zone)
    return {
        "schema_version": SCHEMA_VERSION,
        "text": f"{deadline.incident}: {words}",  # what chat services show of a webhook
        "incident": deadline.incident,
        "update": deadline.update,
        "status": deadline.status,
        "word": deadline.due.word.value,
        "due_at": deadline.due.at.isoformat(timespec="seconds"),
        "due_in_s": int((deadline.due.at - now).total_seconds()),
        "overdue": now > deadline.due.at,
        "channels": list(deadline.channels),
    }


class Reminder:
    """Warns of deadlines, each once, whoever looks; what went wrong comes back in words and ends nothing."""

    def __init__(
        self, watch: Watch, folder: Path, memory: Path, zone: ZoneInfo, deadline: float = COMMAND_DEADLINE
    ) -> None:
        """``folder`` is where the command runs for at most ``deadline`` seconds, ``memory`` what all who look share."""
        self._watch = watch
        self._folder = folder
        self._memory = memory
        self._zone = zone
        self._deadline = deadline
        self._mine: dict[str, Any] = {}  # where nothing can be kept on disk

    @property
    def outlets(self) -> dict[str, Callable[[bytes], str | None]]:
        """The ways to warn that are configured; each tells what went wrong, or nothing."""
        ways: dict[str, Callable[[bytes], str | None]] = {}
        if self._watch.command:
            ways["command"] = self._command
        if self._watch.webhook:
            ways["webhook"] = self._webhook
        return ways

    def remind(self, deadlines: Iterable[Deadline], now: datetime) -> list[str]:
        """Warn of those that nobody was warned of yet; what could not be told, in words."""
        problems = []
        for deadline in deadlines:
            for name, way in self.outlets.items():
                key = f"{deadline.key} {name}"
                if not self._take(key, now):
                    continue
                problem = way(json.dumps(payload(deadline, now, self._zone), ensure_ascii=False).encode())
                if problem is None:
                    self._note(key, now)
                else:
                    problems.append(f"nobody was warned by the {name} of watch: {problem}")
        return problems

    # -- what was said already ------------------------------------------------------------------------------------

    def _take(self, key: str, now: datetime) -> bool:
        """Whether this warning is ours to give, now."""
        with self._said() as said:
            known = said.get(key) or {"tries": 0}
            if known.get("done") or known["tries"] >= MOST_TRIES:
                return False
            if known["tries"] and now - datetime.fromisoformat(known["at"]) < PATIENCE:
                return False
            said[key] = {"at": now.isoformat(), "tries": known["tries"] + 1}
            return True

    def _note(self, key: str, now: datetime) -> None:
        with self._said() as said:
            said[key] = {"at": now.isoformat(), "tries": 1, "done": True}
            for old in [key for key, item in said.items() if now - datetime.fromisoformat(item["at"]) > KEPT]:
                del said[old]

    @contextmanager
    def _said(self) -> Iterator[dict[str, Any]]:
        """All that was said, to be changed by one at a time."""
        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._memory, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:  # no home, or a read-only one: better twice than never
            yield self._mine
            return
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            said = {**_kept(file), **self._mine}
            yield said
            try:
                data = json.dumps(said).encode()
                file.seek(0)
                file.write(data)
                file.truncate()
                file.flush()
            except OSError:  # the disk is full
                self._mine = said

    # -- the ways -------------------------------------------------------------------------------------------------

    def _command(self, data: bytes) -> str | None:
        """Run the command, with the words on its standard input and no secret in its environment."""
        with tempfile.TemporaryFile() as complaints:
            try:
                process = subprocess.Popen(  # noqa: S603 - the officer's own, without a shell
                    self._watch.command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=complaints,
                    cwd=self._folder,
                    env={**os.environ, **withheld()},
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                return f"{clean(self._watch.command[0])} cannot be run: {_why(error)}"
            with process:
                try:
                    process.communicate(data, timeout=self._deadline)
                except subprocess.TimeoutExpired:
                    return f"{clean(self._watch.command[0])} took longer than {self._deadline:g} s, and was ended"
                finally:
                    if process.poll() is None:
                        with suppress(OSError):
                            os.killpg(process.pid, signal.SIGKILL)
            if process.returncode == 0:
                return None
            return f"{clean(self._watch.command[0])} ended with {process.returncode}{_last_line(complaints)}"

    def _webhook(self, data: bytes) -> str | None:
        from outagecast.transport import Session

        assert self._watch.webhook is not None  # noqa: S101 - for the type checker
        try:
            address = self._watch.webhook.reveal()
            with Session(deadline=WEBHOOK_DEADLINE) as session:
                answer = session.post(address, data=data, headers={"Content-Type": "application/json"})
        except (ChannelError, ConfigError) as error:
            return clean(error.problems[0].message)
        return None if answer.ok and not answer.is_redirect else f"the answer was HTTP {answer.status_code}"


def unready(watch: Watch, folder: Path) -> str | None:
    """Why nobody could be warned, as far as can be seen without warning anybody."""
    if watch.command and not shutil.which(folder / watch.command[0] if "/" in watch.command[0] else watch.command[0]):
        return f"the command {clean(watch.command[0])} is not there, or is no program"
    try:
        address = watch.webhook.reveal() if watch.webhook else ""
    except ConfigError as error:
        return f"the webhook: {error.problems[0].message}"
    is_one = re.fullmatch(r"https?://[^\s/]+(/\S*)?", address)
    return f"the webhook {watch.webhook} holds no web address" if watch.webhook and not is_one else None


def _kept(file: IO[bytes]) -> Mapping[str, Any]:
    try:
        kept = json.loads(file.read() or b"{}")
        for item in kept.values():
            datetime.fromisoformat(item["at"])
            int(item["tries"])
        return dict(kept)
    except (ValueError, TypeError, KeyError, AttributeError):  # cut short by a full disk: better twice than never
        return {}


def _why(error: Exception) -> str:
    return clean(error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__)


def _last_line(file: IO[bytes]) -> str:
    """The last that a program complained of, in one safe line."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - 2000))
    lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return f": {clean(lines[-1], most=160)}" if lines else ""
