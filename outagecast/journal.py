"""What began and what ended on the wire, noted beside the ledger with plain writes, so that it survives a kill.

Of a window of hundreds the ledger knows only that all were about to be sent. After a crash this file says which never
began, and what the provider said of those that had ended; what is left is in doubt, and that is no more than what was
on the open connections. No write waits for the disk, so after a power loss it may lack its last lines: what it says is
still true, but what it does not say proves nothing any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import json.encoder
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from outagecast.errors import LedgerError, Problem
from outagecast.ledger import Claimed, Event, Move, every_entry
from outagecast.model import Receipt, State

if TYPE_CHECKING:
    from outagecast.deliver import Run

Where: TypeAlias = tuple[str, int, str]  # incident, number and channel

_PAGE = 500  # deliveries that are written down at once

_BEGUN = re.compile(rb"\+([0-9a-f]{32})\n")
_quoted = json.encoder.encode_basestring_ascii  # json.dumps takes three times as long, a million times
_UNKNOWN = "the run that was sending this ended before it had an answer"


def place(ledger: Path, where: Where) -> Path:
    """Where the journal of one update on one channel lies."""
    file = Path(os.path.realpath(ledger))
    which = hashlib.blake2b("\0".join(map(str, where)).encode(), digest_size=8).hexdigest()
    return file.with_name(f"{file.name}.{which}.journal")


def forget(ledger: Path, where: Where) -> None:
    """Remove it, where a run that was cut short was never gone on with: its keys are made of addresses."""
    place(ledger, where).unlink(missing_ok=True)


def recover(run: Run, where: Where) -> None:
    """Write down what the journal says of a run that was cut short, before the next one begins its own."""
    evidence: Evidence | None = None
    page: list[tuple[Claimed, Move]] = []
    for entry in every_entry(run.ledger, *where, {State.ATTEMPTING}):
        if evidence is None:
            path = place(Path(run.ledger.place), where)
            evidence = Evidence(path, entry.delivery.opened_at, is_sure=not run.is_unsure)
        page.append((Claimed(entry.id, entry.delivery, entry.attempts), evidence.of(entry.delivery.key)))
        if len(page) == _PAGE:
            run.ledger.record_many(page, run.clock.now(), run.by)
            page = []
    if page:
        run.ledger.record_many(page, run.clock.now(), run.by)


class Journal:
    """The journal of one run, which replaces that of the run before; the caller has made use of that."""

    def __init__(self, path: Path, opened_at: datetime) -> None:
        """``opened_at``: when the update was opened, which tells ledgers apart. Raises LedgerError."""
        self._path = path
        self._head = _head(opened_at)
        self._file = -1
        self.renew(())

    def note(self, begun: Iterable[str], ended: Iterable[tuple[str, Move]]) -> None:
        """Note, by delivery key, in one write, what ended and what is about to begin. Raises LedgerError."""
        lines = [_line(key, move) for key, move in ended]
        lines += [f"+{key}\n" for key in begun]
        if lines:
            self._write("".join(lines).encode())

    def renew(self, begun: Iterable[str]) -> None:
        """Begin anew, when the ledger has all that ended, with what is still under way. Raises LedgerError."""
        temporary = self._path.with_name(f"{self._path.name}.tmp")
        try:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            self.close()
            self._file, self.size = file, 0
            self._write(b"".join([self._head, *(f"+{key}\n".encode() for key in begun)]))
            temporary.replace(self._path)
        except OSError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Let go of the file, which stays."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def remove(self) -> None:
        """Let go of the file, and take it away: nothing is ATTEMPTING any more."""
        self.close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _write(self, data: bytes) -> None:
        self.size += len(data)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            self.close()  # a line may be torn by now, and nothing may follow it
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> LedgerError:
        said = f"what is being sent cannot be noted in {self._path}: {error.strerror}"
        return LedgerError(Problem(said, "make room there, then run resume"))


class Evidence:
    """What the journal of a run that was cut short says."""

    def __init__(self, path: Path, opened_at: datetime, *, is_sure: bool = True) -> None:
        """Read it, if there is one of this ledger; torn or damaged, it says less.

        ``is_sure``: whether the ledger is the one that was used last, and not an older copy of it.
        """
        self._ended: dict[str, Move] = {}
        self._begun: set[str] = set()
        self._is_whole = False  # whether what is not in it never began
        with contextlib.suppress(OSError), path.open("rb") as file:
            head = file.readline(1000)
            ours = _head(opened_at)
            if head.split()[:2] != ours.split()[:2]:
                return
            self._is_whole = is_sure and head == ours and _boot() != ""
            for line in file:
                if not line.endswith(b"\n"):
                    return  # a torn last line was never acted upon
                self._is_whole &= self._take(line)

    def of(self, key: str) -> Move:
        """What became of a delivery that the ledger has as ATTEMPTING."""
        if key in self._ended:
            return self._ended[key]
        if self._is_whole and key not in self._begun:
            return Move(Event.NOT_SENT)
        return Move(Event.LOST, _UNKNOWN)

    def _take(self, line: bytes) -> bool:
        if begun := _BEGUN.fullmatch(line):
            self._begun.add(key := begun[1].decode())
            self._ended.pop(key, None)  # it had been put off, and went again
            return True
        try:
            key, move = _read(line)
        except (ValueError, TypeError):
            return False
        self._ended[key] = move
        return True


def _line(key: str, move: Move) -> str:
    receipt = move.receipt
    if receipt and move.event is Event.RECEIPT:
        url = "null" if receipt.url is None else _quoted(receipt.url)
        detail = "null" if receipt.detail is None else _quoted(receipt.detail)
        return f'["{key}","receipt",{_quoted(receipt.provider_id)},{url},{detail}]\n'
    took = (receipt.provider_id, receipt.url, receipt.detail) if receipt else ()
    due = move.not_before and move.not_before.isoformat()
    return f"{json.dumps((key, move.event, move.reason, move.code, move.refused, due, move.suppress, *took))}\n"


def _read(line: bytes) -> tuple[str, Move]:
    key, event, *rest = json.loads(line)
    if not isinstance(key, str):
        raise TypeError
    if event == Event.RECEIPT:
        return key, Move(Event.RECEIPT, receipt=Receipt(*rest))
    reason, code, refused, due, suppress, *took = rest
    return key, Move(
        event=Event(event),
        reason=reason,
        code=code,
        refused=refused,
        not_before=due and datetime.fromisoformat(due),
        suppress=suppress,
        receipt=Receipt(*took) if took else None,
    )


def _head(opened_at: datetime) -> bytes:
    """The first line: the ledger's mark, and since when the machine runs."""
    return f"outagecast-journal-1 {opened_at.timestamp():.6f} {_boot()}\n".encode()


def _boot() -> str:
    """What names the time since the machine was started; empty where nothing does."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if sys.platform == "darwin":
            command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
            return subprocess.run(command, capture_output=True, text=True, timeout=2, check=True).stdout.strip()  # noqa: S603
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""
