"""The disk under the ledger: full, read-only, on a network, damaged. Nothing is sent that could not be written down."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from outagecast.errors import ConflictError, ExitCode, LedgerError
from outagecast.ledger import Opening, Update
from outagecast.ledger.disk import LEAST_ROOM, Disk, filesystem, require_sound
from outagecast.ledger.lock import held_by
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.model import State, Status, Variant

if TYPE_CHECKING:
    from tests.conftest import Bank

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks.md"
MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:40 / /home rw,relatime - nfs4 files.example.com:/home rw,vers=4.2
41 40 254:1 / /home/ana rw,relatime - xfs /dev/vdb rw
42 27 0:42 / /mnt/our\\040share rw - cifs //files/share rw
43 27 0:43 / /mnt/c rw,noatime - 9p C:\\134 rw
44 27 0:44 / /srv rw - nfs4 files.example.com:/srv rw
45 44 254:2 / /srv rw - ext4 /dev/vdc rw
46 27 0:46 / /media/far rw - fuse.sshfs ana@far:/ rw
a line that is cut
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outagecast.db"


def fill(ledger: SqliteLedger, recipients: int = 1) -> None:
    update = Update("cards", 1, Status.INVESTIGATING, "f", "{}", "d", NOW, "ana@desk")
    variant = Variant("x", "x", "en", {"text": "Cards fail."}, 1, "en/x.text.j2", (), ())
    ledger.open(
        update, [variant], [Opening("x", str(n), "en", State.READY, f"reason {n};", None) for n in range(recipients)]
    )


def made(path: Path, recipients: int = 1) -> None:
    with closing(SqliteLedger(path)) as ledger:
        fill(ledger, recipients)


def refused(path: Path, disk: Disk) -> str:
    """Why nothing may be sent from the ledger."""
    with (
        closing(SqliteLedger(path, disk)) as ledger,
        pytest.raises(LedgerError) as caught,
        ledger.lock(),
    ):
        pytest.fail("it may be sent")
    assert caught.value.exit_code == ExitCode.LEDGER
    return str(caught.value)


# --- a network's file system


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("/var/lib/outagecast.db", "ext4"),
        ("/home/ben/outagecast.db", "nfs4"),
        ("/home/ana/outagecast.db", "xfs"),
        ("/home/anabel/outagecast.db", "nfs4"),  # not below /home/ana
        ("/mnt/our share/outagecast.db", "cifs"),
        ("/mnt/c/Users/ana/outagecast.db", "9p"),
        ("/srv/outagecast.db", "ext4"),  # mounted over the other
        ("/media/far/outagecast.db", "fuse.sshfs"),
    ],
)
def test_the_file_system_is_that_of_the_innermost_mount(file: str, kind: str) -> None:
    assert kind == filesystem(Path(file), MOUNTS)


def test_the_file_system_of_this_machine_is_known() -> None:
    mounts = Path("/proc/self/mountinfo")
    if not mounts.exists():
        pytest.skip("only Linux lists its mounts there")
    assert filesystem(Path("/proc/self/mountinfo"), mounts.read_text()) == "proc"


def on(kind: str, folder: Path) -> Disk:
    """A machine where ``folder`` is a mount of this kind."""
    mounts = folder.with_name("mounts")
    escaped = str(folder).replace("\\", "\\134").replace(" ", "\\040")
    mounts.write_text(f"27 1 254:0 / / rw - ext4 /dev/vda rw\n42 27 0:42 / {escaped} rw - {kind} somewhere rw\n")
    return Disk(mounts)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.rclone", "ceph", "davfs"])
def test_a_ledger_on_a_network_disk_is_read_and_never_sent_from(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "a share"
    folder.mkdir()
    path = folder / "outagecast.db"
    made(path)
    disk = on(kind, folder)

    assert f"the ledger {path} is on a network disk ({kind})" in refused(path, disk)

    assert not list(folder.glob("*.lock"))
    with closing(SqliteLedger(path, disk)) as ledger:
        assert ledger.incidents() == ["cards"]


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "apfs", "tmpfs", "overlay", "fuseblk"])
def test_a_ledger_on_a_disk_of_this_machine_is_sent_from(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    with closing(SqliteLedger(folder / "outagecast.db", on(kind, folder))) as ledger, ledger.lock():
        fill(ledger)


def test_none_is_made_on_a_network_disk(tmp_path: Path) -> None:
    folder = tmp_path / "share"
    folder.mkdir()
    with pytest.raises(LedgerError, match="is on a network disk"):
        SqliteLedger(folder / "outagecast.db", on("nfs4", folder))
    assert list(folder.iterdir()) == []


def test_a_link_does_not_hide_that_the_ledger_is_on_a_network_disk(tmp_path: Path) -> None:
    folder = tmp_path / "share"
    folder.mkdir()
    made(folder / "outagecast.db")
    (tmp_path / "here.db").symlink_to(folder / "outagecast.db")
    assert "is on a network disk" in refused(tmp_path / "here.db", on("nfs4", folder))


def test_under_wsl_it_is_told_where_a_ledger_may_be(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    with pytest.raises(LedgerError, match="under WSL keep it inside Linux"):
        SqliteLedger(folder / "outagecast.db", on("9p", folder))


def test_where_mounts_are_not_listed_no_disk_is_taken_for_a_network(path: Path, tmp_path: Path) -> None:
    with closing(SqliteLedger(path, Disk(tmp_path / "none"))) as ledger, ledger.lock():
        fill(ledger)


# --- room


def test_too_little_room_is_told_in_bytes_before_anything_is_sent(path: Path) -> None:
    asked: list[Path] = []

    def little(folder: Path) -> int:
        asked.append(folder)
        return LEAST_ROOM - 1

    said = refused(path, Disk(room=little))

    assert f"has {LEAST_ROOM - 1:,} bytes free, and announcing needs {LEAST_ROOM:,}" in said
    assert asked == [path.parent]
    assert held_by(path) == ("", False)


def test_just_enough_room_is_enough(path: Path) -> None:
    with closing(SqliteLedger(path, Disk(room=lambda _: LEAST_ROOM))) as ledger, ledger.lock():
        fill(ledger)


def test_what_is_kept_free_for_receipts_leaves_no_file(ledger_folder: Path) -> None:
    free = shutil.disk_usage(ledger_folder).free
    with closing(SqliteLedger(ledger_folder / "outagecast.db")) as ledger:
        with ledger.lock():
            names = sorted(file.name for file in ledger_folder.iterdir())
            assert free - shutil.disk_usage(ledger_folder).free >= 4 << 20
        assert free - shutil.disk_usage(ledger_folder).free < 1 << 20
    assert names == ["outagecast.db", "outagecast.db-shm", "outagecast.db-wal", "outagecast.db.lock"]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A function that makes a disk of so many MiB."""
    made: list[Path] = []

    def tmpfs(mebibytes: int) -> Path:
        folder = tmp_path / f"disk {len(made)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "none", folder], capture_output=True, check=False
        )
        if done.returncode:
            needs_root(done.stderr.decode())
        made.append(folder)
        return folder

    yield tmpfs
    for folder in made:
        subprocess.run(["umount", "-l", folder], check=True)


def needs_root(why: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"a disk of one's own needs root: {why}")
    pytest.skip(f"a disk of one's own needs root: {why}")


@pytest.fixture
def ledger_folder(mount: Callable[[int], Path]) -> Path:
    return mount(32)


def until(condition: Callable[[], object], within: float = 20) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def posted(bank: Bank) -> bool:
    """Whether X was asked to publish something, and not only what it carries."""
    return any(request.method == "POST" for request in bank.providers.x.requests)


def stuff(folder: Path) -> None:
    """Leave no byte free, as a log that runs wild does."""
    with (folder / "stuffing").open("wb", buffering=0) as file, suppress(OSError):
        for size in (1 << 20, 4096):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    assert shutil.disk_usage(folder).free == 0


def test_on_a_full_disk_nothing_is_sent(bank: Bank, mount: Callable[[int], Path]) -> None:
    folder = mount(8)
    bank.config["ledger"] = f"sqlite:///{folder}/outagecast.db"
    bank.write()

    done = bank.run("announce", "incident.yaml", "--yes", "--json")

    found = json.loads(done.stdout)
    assert (done.returncode, found["exit_code"]) == (74, 74)
    assert f"announcing needs {LEAST_ROOM:,}" in found["errors"][0]["message"]
    assert "Nothing was sent." in done.stderr
    assert sum(bank.sent.values()) == 0


def test_a_disk_that_fills_up_under_a_call_still_takes_its_receipt(bank: Bank, ledger_folder: Path) -> None:
    bank.config["ledger"] = f"sqlite:///{ledger_folder}/outagecast.db"
    bank.write()

    with bank.providers.x.holding():
        process = bank.start("announce", "incident.yaml", "--yes", "--json", "--channel", "x")
        until(lambda: posted(bank))
        stuff(ledger_folder)
    told, _ = process.communicate(timeout=20)

    found = json.loads(told)
    assert (process.returncode, found["channels"][0]["state"]) == (0, "accepted")
    assert found["channels"][0]["provider_id"] == bank.providers.x.posts[0].id
    (ledger_folder / "stuffing").unlink()
    assert bank.json("status")["channels"][0]["published"] == "yes"


def test_once_the_disk_is_full_no_call_is_begun_and_all_that_were_are_written_down(
    bank: Bank, ledger_folder: Path
) -> None:
    people = 120
    bank.customers(*((f"Nr {n}", f"+61491{570100 + n}", f"nr{n}@example.com") for n in range(people)))
    bank.config["ledger"] = f"sqlite:///{ledger_folder}/outagecast.db"
    bank.config["channels"]["sms"]["rate"] = "40/s"
    bank.write()
    twilio = bank.providers.twilio

    process = bank.start("announce", "incident.yaml", "--yes", "--json", "--channel", "sms")
    until(lambda: len(twilio.messages) > 5)
    stuff(ledger_folder)
    told, _ = process.communicate(timeout=30)

    found = json.loads(told)
    out, counts = len(twilio.messages), found["channels"][0]["counts"]
    assert 5 < out < people
    assert (counts["accepted"], counts["in_doubt"], counts["pending"]) == (out, 0, people - out)
    assert (process.returncode, found["exit_code"]) == (13, 13)
    assert any("is full" in error["message"] for error in found["errors"])
    (ledger_folder / "stuffing").unlink()
    assert bank.json("resume")["exit_code"] == 0
    assert sorted({message.to for message in twilio.messages}) == sorted(message.to for message in twilio.messages)
    assert len(twilio.messages) == people


def test_a_receipt_that_cannot_be_written_is_printed_and_is_no_promise_that_nothing_was_sent(bank: Bank) -> None:
    if not hasattr(resource, "prlimit"):
        pytest.skip("only Linux limits a process from outside")
    with bank.providers.x.holding():
        process = bank.start("announce", "incident.yaml", "--yes", "--json", "--channel", "x")
        until(lambda: posted(bank))
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, 1))  # from here on no file takes another byte
    told, noted = process.communicate(timeout=20)

    found = json.loads(told)
    assert (process.returncode, found["exit_code"]) == (12, 12)
    assert (found["channels"][0]["published"], found["channels"][0]["complete"]) == ("unknown", False)
    post = bank.providers.x.posts[0]
    assert any("x took it" in error["message"] and post.id in error["message"] for error in found["errors"])
    assert post.id in noted
    assert "Traceback" not in noted
    after = bank.json("resume")
    assert (after["exit_code"], after["channels"][0]["provider_id"]) == (0, post.id)
    assert len(bank.providers.x.posts) == 1


def test_a_limit_that_leaves_no_room_for_receipts_stops_the_run_before_it_sends(bank: Bank) -> None:
    limited = ["sh", "-c", 'ulimit -f 2048; exec "$@"', "sh"]  # of 512 bytes, or of 1 KiB
    done = subprocess.run(
        [*limited, *bank.command("announce", "incident.yaml", "--yes", "--json")],
        cwd=bank.folder,
        env=bank.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, json.loads(done.stdout)["exit_code"]) == (74, 74)
    assert "no room could be kept on the disk of the ledger" in done.stderr
    assert sum(bank.sent.values()) == 0


# --- read-only


def test_a_ledger_on_a_read_only_disk_says_what_is_out_and_sends_nothing(bank: Bank, ledger_folder: Path) -> None:
    bank.config["ledger"] = f"sqlite:///{ledger_folder}/outagecast.db"
    bank.write()
    assert bank.json("announce", "incident.yaml", "--yes", "--channel", "x")["exit_code"] == 0
    subprocess.run(["mount", "-o", "remount,ro", ledger_folder], check=True)

    found = bank.json("status")
    assert (found["exit_code"], found["channels"][0]["published"]) == (0, "yes")
    done = bank.run("announce", "incident.yaml", "--yes")
    assert done.returncode == 74
    assert f"the disk of the ledger {ledger_folder}/outagecast.db is read-only" in done.stderr
    assert "Nothing was sent." in done.stderr
    assert bank.sent == {"x": 1, "facebook": 0, "sms": 0, "email": 0, "banner": 0}


def test_what_a_killed_run_wrote_last_is_read_on_a_read_only_disk_too(bank: Bank, ledger_folder: Path) -> None:
    bank.config["ledger"] = f"sqlite:///{ledger_folder}/outagecast.db"
    bank.write()
    bank.providers.x.behave("hang", method="POST")
    process = bank.start("announce", "incident.yaml", "--yes", "--json", "--channel", "x")
    until(lambda: posted(bank))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (ledger_folder / "outagecast.db-wal").stat().st_size  # where the claim stands, and nowhere else
    subprocess.run(["mount", "-o", "remount,ro", ledger_folder], check=True)

    found = bank.json("status")

    assert (found["exit_code"], found["channels"][0]["published"]) == (12, "unknown")


def test_a_disk_that_was_read_only_all_along_is_told_in_words(bank: Bank, ledger_folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", ledger_folder], check=True)
    bank.config["ledger"] = f"sqlite:///{ledger_folder}/outagecast.db"
    bank.write()
    done = bank.run("announce", "incident.yaml", "--yes")
    assert done.returncode == 74
    assert "Read-only file system" in done.stderr
    assert sum(bank.sent.values()) == 0


# Root may write everything, unless it gives that up (capabilities(7)): CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
AS_ANYBODY = """
import ctypes, os, sys
if os.geteuid() == 0:
    prctl = ctypes.CDLL(None).prctl
    PR_CAPBSET_DROP = 24
    assert prctl(PR_CAPBSET_DROP, 1, 0, 0, 0) == prctl(PR_CAPBSET_DROP, 2, 0, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "words"),
    [
        (0o400, 0o700, "may not be written by this user  (change its owner or its rights)"),
        (0o600, 0o500, "needs a folder that this user may write in"),
    ],
)
def test_a_ledger_that_this_user_may_only_read_is_read(
    bank: Bank, tmp_path: Path, file_mode: int, folder_mode: int, words: str
) -> None:
    path = tmp_path / "kept" / "outagecast.db"
    path.parent.mkdir()
    bank.config["ledger"] = f"sqlite:///{path}"
    bank.write()
    assert bank.json("announce", "incident.yaml", "--yes", "--channel", "x")["exit_code"] == 0
    path.chmod(file_mode)
    path.parent.chmod(folder_mode)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", AS_ANYBODY, *bank.command(*arguments)]
        return subprocess.run(
            command, cwd=bank.folder, env=bank.environment, capture_output=True, text=True, check=False
        )

    shown, announced = run("status", "--json"), run("announce", "incident.yaml", "--yes")

    path.parent.chmod(0o700)
    assert json.loads(shown.stdout)["channels"][0]["published"] == "yes"
    assert (announced.returncode, words in announced.stderr) == (74, True)
    assert sum(bank.sent.values()) == 1


def test_one_of_an_older_version_is_not_brought_up_to_date_where_it_may_not_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "share"
    folder.mkdir()
    path = folder / "outagecast.db"
    made(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version=0")
    with pytest.raises(LedgerError, match="is on a network disk"):
        SqliteLedger(path, on("nfs4", folder))


# --- damage


def damage(path: Path, words: str) -> None:
    """Overwrite the page that holds ``words``."""
    with path.open("r+b") as file:
        file.seek(file.read().index(words.encode()) // 4096 * 4096)
        file.write(b"\xff" * 4096)


def test_a_damaged_ledger_stops_the_run_before_it_sends_and_says_what_to_do(bank: Bank) -> None:
    path = bank.folder / "outagecast.db"
    bank.customers(*((f"Nr {n}", f"+61491{570100 + n}", f"nr{n}@example.com") for n in range(300)))
    assert bank.json("announce", "incident.yaml", "--yes", "--channel", "sms")["exit_code"] == 0
    damage(path, bank.providers.twilio.messages[150].id)

    done = bank.run("announce", "incident.yaml", "--yes", "--channel", "x")

    assert done.returncode == 74
    assert f"the ledger {path} is damaged" in done.stderr
    assert "restore it from a copy before announcing anything" in done.stderr
    assert "Nothing was sent." in done.stderr
    assert bank.sent["x"] == 0
    for command in ("status", "resume"):
        done = bank.run(command)
        assert (done.returncode, "is damaged" in done.stderr, "Traceback" in done.stderr) == (74, True, False)


def test_the_check_names_a_damage_that_no_query_would_come_to(path: Path) -> None:
    made(path, 3000)
    damage(path, "reason 1000;")
    with closing(SqliteLedger(path)) as ledger:
        assert ledger.incidents() == ["cards"]
        with pytest.raises(LedgerError, match="is damaged"), ledger.lock():
            pytest.fail("it may be sent")


class Watched(sqlite3.Connection):
    """Notes how its last statement failed."""

    code: int | None = None

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        try:
            return super().execute(*arguments)
        except sqlite3.Error as error:
            self.code = error.sqlite_errorcode
            raise


def test_a_long_check_is_broken_off_so_that_a_post_need_not_wait(path: Path) -> None:
    made(path, 40_000)
    with closing(sqlite3.connect(path, check_same_thread=False, factory=Watched)) as database:
        for _ in range(50):  # a busy machine may be through before the clock strikes
            require_sound(database, path, longest=0.002)
            if database.code == sqlite3.SQLITE_INTERRUPT:
                break
        else:
            pytest.fail("no check was broken off")


def test_what_can_be_recovered_is_a_ledger_again(path: Path) -> None:
    if not shutil.which("sqlite3"):
        if os.environ.get("CI"):
            pytest.fail("there is no sqlite3 command")
        pytest.skip("there is no sqlite3 command")
    made(path, 2000)
    damage(path, "reason 1000;")
    recovered, script = path.with_name("recovered.db"), path.with_name("recover-ledger.sh")
    recipe = re.search(r"<!-- tested: recover-ledger.sh -->\n```sh\n(.*?)```", RUNBOOKS.read_text("utf-8"), re.DOTALL)
    assert recipe
    script.write_text(recipe[1], encoding="utf-8")

    done = subprocess.run(["sh", script, path, recovered], capture_output=True, text=True, check=True)

    assert stat.S_IMODE(recovered.stat().st_mode) == 0o600
    with closing(SqliteLedger(recovered)) as ledger, ledger.lock():
        left = sum(item.count for item in ledger.tallies("cards", 1))
        assert (ledger.incidents(), done.stdout) == (["cards"], f"{left} deliveries recovered\n")
    assert 1000 < left < 2000
    again = subprocess.run(["sh", script, path, recovered], capture_output=True, check=False)
    assert again.returncode == 1


# --- who may read it, and who holds it


def test_a_ledger_that_others_could_read_is_theirs_no_longer(path: Path) -> None:
    made(path)
    left = [path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", ".lock"))]
    for file in left:
        file.touch()
        file.chmod(0o664)
    with closing(SqliteLedger(path)) as ledger:
        assert ledger.incidents() == ["cards"]
        assert [stat.S_IMODE(file.stat().st_mode) for file in left] == [0o600] * 4


def test_what_is_no_file_keeps_its_mode(tmp_path: Path) -> None:
    device = Path("/dev/null")
    before = device.stat().st_mode
    with pytest.raises(LedgerError):
        SqliteLedger(device)
    assert before == device.stat().st_mode


def test_two_names_of_a_ledger_have_one_lock(path: Path, tmp_path: Path) -> None:
    made(path)
    link = tmp_path / "elsewhere"
    link.mkdir()
    link /= "ledger.db"
    link.symlink_to(path)
    with closing(SqliteLedger(path)) as ledger, closing(SqliteLedger(link)) as same, ledger.lock():
        assert held_by(link)[1]
        with pytest.raises(ConflictError), same.lock():
            pytest.fail("two hold the lock")


def test_check_says_that_nothing_could_be_sent_from_here(bank: Bank, ledger_folder: Path) -> None:
    path = ledger_folder / "outagecast.db"
    made(path)
    subprocess.run(["mount", "-o", "remount,ro", ledger_folder], check=True)
    bank.config["ledger"] = f"sqlite:///{path}"
    bank.write()
    items: list[dict[str, Any]] = json.loads(bank.run("check", "--json").stdout)["items"]
    line = next(item for item in items if item["name"] == "ledger")
    assert (line["verdict"], "is read-only" in line["words"]) == ("wrong", True)


def test_a_ledger_that_is_destroyed_under_a_call_is_no_promise_that_nothing_was_sent(bank: Bank) -> None:
    path = bank.folder / "outagecast.db"
    with bank.providers.x.holding():
        process = bank.start("announce", "incident.yaml", "--yes", "--json", "--channel", "x")
        until(lambda: posted(bank))
        for name in ("outagecast.db", "outagecast.db-wal", "outagecast.db-shm"):  # which says what is cached
            with path.with_name(name).open("r+b") as file:  # not made anew: the run has it mapped
                file.write(b"\xff" * os.fstat(file.fileno()).st_size)
    told, noted = process.communicate(timeout=20)

    found = json.loads(told)
    assert (process.returncode, found["exit_code"], found["channels"]) == (12, 12, [])
    said = " ".join(error["message"] for error in found["errors"])
    assert "x took it" in said
    assert "what is out cannot be read from the ledger" in said
    assert "Nothing was sent" not in noted
    assert "Traceback" not in noted
