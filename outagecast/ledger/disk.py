"""The disk under a ledger file: whether what is written there stays written, and room kept for the last receipts."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from outagecast.errors import LedgerError, Problem

MEBIBYTE = 1 << 20
# The write-ahead log grows to 4 MiB before SQLite folds it in, 500 bytes are kept of a recipient, and a status that is
# read meanwhile holds the log open. What an opening needs beyond that fails whole, before anything is sent.
LEAST_ROOM = 16 * MEBIBYTE
RESERVE = 4 * MEBIBYTE  # a receipt writes 30 KiB of log: enough for every call that can be under way
LONGEST_CHECK = 0.25  # seconds: a public post must not wait; a ledger of 100,000 recipients takes 0.1

# Where locks or shared memory are not those of one machine, so that a second run could not see the first.
# https://sqlite.org/wal.html: all processes using a database must be on the same host computer.
_NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "glusterfs", "gpfs", "lustre", "ncpfs"}
    | {"nfs", "nfs4", "orangefs", "pvfs2", "smb", "smb3", "smbfs", "vboxsf"}
    | {f"fuse.{name}" for name in ("blobfuse", "blobfuse2", "ceph", "curlftpfs", "davfs", "gcsfuse", "glusterfs")}
    | {f"fuse.{name}" for name in ("juicefs", "rclone", "s3fs", "smbnetfs", "sshfs", "vmhgfs-fuse")}
)
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}  # the second is what SQLite makes of a quota


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


@dataclass(frozen=True)
class Disk:
    """Where to ask about a disk."""

    mounts: Path = Path("/proc/self/mountinfo")  # Linux only: elsewhere a network disk is not recognised
    room: Callable[[Path], int] = _free  # bytes that this user may still write in a folder

    def network(self, file: Path) -> str | None:
        """The type of the file system that ``file`` is on, such as ``nfs4``, if it is a network's."""
        try:
            mounts = os.fsdecode(self.mounts.read_bytes())
        except OSError:
            return None
        kind = filesystem(real(file), mounts)
        return kind if kind in _NETWORK else None

    def require_room(self, file: Path) -> None:
        """Raises LedgerError where there is too little room for what an announcement writes to ``file``."""
        try:
            free = self.room(real(file).parent)
        except OSError as error:
            raise unusable(file, error) from None
        if free < LEAST_ROOM:
            raise LedgerError(
                Problem(
                    f"the disk of the ledger {file} has {free:,} bytes free, and announcing needs {LEAST_ROOM:,}",
                    "make room there, then run this again",
                )
            )


THIS_MACHINE = Disk()


def real(file: Path) -> Path:
    """The file behind all symbolic links; a loop of them stays one, to be told of when it is opened."""
    return Path(os.path.realpath(file))


def filesystem(file: Path, mounts: str) -> str | None:
    """The type of the file system of a real path, by the lines of ``/proc/self/mountinfo`` (proc_pid_mountinfo(5))."""
    best, kind = -1, None
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        if len(fields := before.split(" ")) < 5 or not after:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]))
        if len(point.parts) >= best and file.is_relative_to(point):  # of two at one place the later covers the earlier
            best, kind = len(point.parts), after.split(" ")[0]
    return kind


def connect(path: Path, disk: Disk) -> tuple[sqlite3.Connection, Problem | None]:
    """A connection to the ledger, made if it is missing; and why nothing may be written through it, if so.

    Raises LedgerError where it can be neither written nor read.
    """
    file = real(path)
    try:
        refusal = _over_network(path, disk)
        if refusal is None:
            with suppress(FileExistsError):
                # SQLite would create it readable by all; its WAL and index take the same mode.
                os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
            _tighten(file)
            refusal = _unwritable(path)
        elif not file.exists():
            raise LedgerError(refusal)
        options = _readable(file) if refusal else "mode=rw"
        uri = f"{file.as_uri()}?{options}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10), refusal
    except (OSError, sqlite3.Error) as error:
        raise unusable(path, error) from None


def unusable(path: Path, error: OSError | sqlite3.Error) -> LedgerError:
    """The error for a ledger that cannot be opened at all."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return LedgerError(Problem(f"cannot open the ledger {path}: {reason}", "check the folder and its rights"))


def explain(path: Path, error: sqlite3.Error) -> Problem:
    """What SQLite said, in words that say what to do."""
    said = str(error)
    if "disk is full" in said:
        return Problem(f"the disk of the ledger {path} is full", "free some space, then run resume")
    if "readonly" in said:
        return Problem(f"the ledger {path} cannot be written", "check its owner and the disk, then run resume")
    if "malformed" in said or "not a database" in said:
        return _damaged(path, said)
    if "locked" in said:
        return Problem(f"the ledger {path} is held by another program", "close it there, then run resume")
    if "disk I/O error" in said:
        return Problem(f"the disk of the ledger {path} fails: {said}", "mend or free the disk, then run resume")
    return Problem(f"the ledger {path}: {said}")


def _damaged(path: Path, said: str) -> Problem:
    hint = "restore it from a copy before announcing anything; docs/runbooks.md says how, and how to read what is left"
    return Problem(f"the ledger {path} is damaged: {said}", hint)


def require_sound(database: sqlite3.Connection, path: Path, *, longest: float = LONGEST_CHECK) -> None:
    """Raises LedgerError where the ledger is damaged, as far as can be seen in ``longest`` seconds.

    Of a longer one SQLite still refuses each damaged page that it comes to, which is before the call it was read for.
    """
    timer = threading.Timer(longest, database.interrupt)
    timer.start()
    try:
        said = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return
    finally:
        timer.cancel()
        timer.join()
    if said != "ok":
        raise LedgerError(_damaged(path, said.splitlines()[-1]))


def _over_network(path: Path, disk: Disk) -> Problem | None:
    kind = disk.network(path)
    if kind is None:
        return None
    hint = "move it to a local disk, and name that place under `ledger`"
    if kind in {"9p", "drvfs"}:  # https://learn.microsoft.com/windows/wsl/filesystems: /mnt/c
        hint = "under WSL keep it inside Linux, such as in your home folder, and name that place under `ledger`"
    return Problem(f"the ledger {path} is on a network disk ({kind}), whose locks hold nobody back", hint)


def _unwritable(path: Path) -> Problem | None:
    """Why this user cannot write a ledger that exists, if so."""
    file = real(path)
    if os.statvfs(file).f_flag & os.ST_RDONLY:
        hint = "find out why, since a failing disk is made read-only; then run this again. Start no second ledger"
        return Problem(f"the disk of the ledger {path} is read-only", hint)
    if not os.access(file, os.W_OK):
        return Problem(f"the ledger {path} may not be written by this user", "change its owner or its rights")
    if not os.access(file.parent, os.W_OK | os.X_OK):  # for the write-ahead log
        hint = f"change the owner or the rights of {file.parent}"
        return Problem(f"the ledger {path} needs a folder that this user may write in", hint)
    return None


def _readable(file: Path) -> str:
    """How to open what cannot be written. Without a log nothing is missing from the file itself."""
    log = file.with_name(f"{file.name}-wal")
    return "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"


def _tighten(file: Path) -> None:
    """Take away what others may do with a ledger of an earlier day, or with one that was copied here."""
    for name in (file.name, f"{file.name}-wal", f"{file.name}-shm", f"{file.name}.lock", f"{file.name}.key"):
        path = file.with_name(name)
        with suppress(OSError):  # it is missing, or another's
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) and mode & 0o077:
                path.chmod(stat.S_IMODE(mode) & 0o700)


class Reserve:
    """Room that is kept while a run sends, and given back when the disk is full, so that no answer gets lost.

    It is a file without a name: the kernel frees it with the process.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        self._mutex = threading.Lock()
        self._keepers = 0
        self.is_spent = False  # no new call may begin: its receipt could not be written

    @contextmanager
    def kept(self, ledger: Path) -> Iterator[None]:
        """Keep it on the disk of ``ledger``, once for all who do. Raises LedgerError where there is no room for it."""
        with self._mutex:
            if not self._keepers:
                self._file = _reserved(ledger)
                self.is_spent = False
            self._keepers += 1
        try:
            yield
        finally:
            with self._mutex:
                self._keepers -= 1
                if not self._keepers and self._file is not None:
                    os.close(self._file)
                    self._file = None

    def give_back(self, error: sqlite3.Error) -> bool:
        """Make room, if that is what was missing and there is still some to give."""
        if self._file is None or self.is_spent or getattr(error, "sqlite_errorcode", None) not in _NO_ROOM:
            return False
        self.is_spent = True
        os.ftruncate(self._file, 0)
        return True


def _reserved(ledger: Path) -> int:
    """The descriptor of a file that takes up the room."""
    try:
        with tempfile.TemporaryFile(dir=real(ledger).parent, buffering=0) as file:
            _fill(file.fileno(), RESERVE)
            return os.dup(file.fileno())
    except OSError as error:
        hint = "make room there, then run this again"
        said = f"no room could be kept on the disk of the ledger {ledger}: {error.strerror}"
        raise LedgerError(Problem(said, hint)) from None


def _fill(file: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):  # not on macOS
        try:
            os.posix_fallocate(file, 0, size)
            return
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP}:  # not on every file system
                raise
    while size > 0:
        size -= os.write(file, bytes(min(size, MEBIBYTE)))
