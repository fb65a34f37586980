from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from outagecast import atomic

LENGTH = 50_000  # bytes: several writes of a buffer, so that a torn file would show

WRITER = """
import sys
from itertools import cycle
from pathlib import Path
from outagecast import atomic
for letter in cycle(sys.argv[2]):
    atomic.write(Path(sys.argv[1]), letter.encode() * int(sys.argv[3]), mode=0o644)
"""

SHORT_OF_SPACE = """
import resource, sys
from pathlib import Path
from outagecast import atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    atomic.write(Path(sys.argv[1]), b"n" * 50_000, mode=0o644)
except OSError as error:
    sys.exit(type(error).__name__)
"""


class Reader(threading.Thread):
    """Reads the file again and again, and keeps whatever is not one whole version of it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.torn: list[str] = []
        self.reads = 0
        self.seen: set[bytes] = set()
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                data = self.path.read_bytes()
            except OSError as error:
                self.torn.append(type(error).__name__)
                continue
            self.reads += 1
            self.seen.add(data[:1])
            if len(data) != LENGTH or data.count(data[:1]) != LENGTH:
                self.torn.append(f"{len(data)} bytes")
            time.sleep(0.0001)  # else the writer waits for the interpreter more than for the disk

    def stop(self) -> None:
        self._ended.set()
        self.join()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "banner.html"
    path.write_bytes(b"o" * LENGTH)
    return path


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_new_file_holds_the_data_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    atomic.write(tmp_path / "new", b"data", mode=0o644)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"new": b"data"}


def test_an_empty_file_can_be_written(path: Path) -> None:
    atomic.write(path, b"", mode=0o644)

    assert path.read_bytes() == b""


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666])
def test_the_permissions_are_those_asked_for_whatever_the_umask(path: Path, mode: int) -> None:
    path.chmod(0o640)
    before = os.umask(0o077)
    try:
        atomic.write(path, b"new", mode=mode)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_symbolic_link_is_replaced_and_never_written_through(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)

    atomic.write(link, b"new", mode=0o644)

    assert (link.is_symlink(), link.read_bytes()) == (False, b"new")
    assert path.read_bytes() == b"o" * LENGTH


def test_the_folder_may_be_given_through_a_link_and_relative(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "current").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)

    atomic.write(Path("current/banner.html"), b"1", mode=0o644)
    first = path.read_bytes()
    atomic.write(Path("banner.html"), b"2", mode=0o644)

    assert (first, path.read_bytes()) == (b"1", b"2")


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic.write(tmp_path / "missing" / "file", b"", mode=0o644)

    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_replaced_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(OSError, match="directory"):
        atomic.write(tmp_path / "folder", b"data", mode=0o644)

    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_write_that_runs_out_of_space_keeps_the_old_file(path: Path, tmp_path: Path) -> None:
    ended = run(SHORT_OF_SPACE, path)

    assert ended.stderr == "OSError\n"  # EFBIG after a first, short write
    assert path.read_bytes() == b"o" * LENGTH
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_sees_a_torn_or_missing_file_during_300_writes(path: Path) -> None:
    reader = Reader(path)
    reader.start()

    for number in range(300):
        atomic.write(path, b"%c" % (97 + number % 26) * LENGTH, mode=0o644)
    reader.stop()

    assert reader.torn == []
    assert len(reader.seen) > 1


def test_killed_writers_leave_a_whole_file(path: Path, tmp_path: Path) -> None:
    reader = Reader(path)
    reader.start()

    for number, letters in enumerate(("ab", "cd", "ef", "gh")):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), letters, str(LENGTH)])
        deadline = time.monotonic() + 20
        while path.read_bytes()[:1] not in letters.encode() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.003 * number)  # so that the kills fall on different steps
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    reader.stop()

    assert reader.torn == []
    left = [found.name for found in tmp_path.iterdir() if found != path]
    assert [name for name in left if not (name.startswith(".") and name.endswith(".tmp"))] == []
