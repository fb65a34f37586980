from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from outagecast.errors import ConfigError, OutagecastError, Rejected, Unavailable, Uncertain
from outagecast.mirror import Mirror
from tests.storage import S3

FIRST = {
    "index.html": b"<p>All is well.</p>",
    "ro/index.html": "<p>Totul e în regulă.</p>".encode(),
    "incidents/cards.html": b"<p>Cards</p>",
    "ro/incidents/cards.html": b"<p>Carduri</p>",
    "history.atom": b"<feed/>",
    "api/v2/summary.json": b"{}",
}
NEXT = FIRST | {"index.html": b"<p>Cards fail.</p>", "incidents/cards.html": b"<p>Cards fail.</p>"}
NAMES = ("index.html", "incidents/cards.html")

PUBLISHER = """
import sys
from pathlib import Path
from outagecast.mirror import Mirror
from outagecast.s3 import Bucket
from outagecast.secret import Secret
keys = {"access_key_id": Secret("env:S3_KEY"), "secret_access_key": Secret("env:S3_SECRET")}
Mirror(Path(sys.argv[1]), Bucket(address=sys.argv[2], endpoint_url=sys.argv[3], **keys)).publish(["index.html"])
"""


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_KEY", "AKIAEXAMPLE")
    monkeypatch.setenv("S3_SECRET", "not-a-secret-at-all")


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with S3() as server:
        yield server


@pytest.fixture
def s3(server: S3) -> S3:
    return server.afresh()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "status"
    write(folder, FIRST)
    return folder


@pytest.fixture
def mirror(s3: S3, folder: Path) -> Iterator[Mirror]:
    mirror = Mirror(folder, s3.bucket())
    yield mirror
    mirror.close()


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def under_prefix(files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"status/{name}": content for name, content in files.items()}


def puts(s3: S3) -> list[str]:
    return [asked.path.partition("/status/")[2] for asked in s3.asked if asked.method == "PUT"]


def refused(mirror: Mirror, *names: str) -> OutagecastError:
    with pytest.raises(OutagecastError) as caught:
        mirror.publish(names or NAMES)
    return caught.value


def test_every_file_arrives_the_indexes_after_the_rest_and_the_roots_last(s3: S3, mirror: Mirror) -> None:
    told: list[str] = []

    mirror.publish(FIRST, tell=told.append)

    assert s3.objects == under_prefix(FIRST)
    assert puts(s3)[-2:] == ["ro/index.html", "index.html"]
    assert sorted(told) == sorted(FIRST)
    assert told[-1] == "index.html"


def test_files_may_stand_at_the_top_of_the_bucket(s3: S3, folder: Path) -> None:
    mirror = Mirror(folder, s3.bucket(prefix=""))

    mirror.publish(FIRST)
    mirror.close()

    assert s3.objects == FIRST


def test_each_file_says_what_it_is_and_for_how_long_it_is_good(s3: S3, folder: Path, mirror: Mirror) -> None:
    write(
        folder,
        {"cap/1.cap.xml": b"", "phone.xml": b"", "maintenance.ics": b"", "phone.txt": b"", "logo.svg": b"", "a": b""},
    )
    mirror.publish(mirror.outdated())

    told = {key: s3.client.head_object(Bucket=s3.name, Key=key) for key in s3.objects}
    assert {key.partition("/")[2]: (one["ContentType"], one["CacheControl"]) for key, one in told.items()} == {
        "index.html": ("text/html; charset=utf-8", "max-age=10, must-revalidate"),
        "ro/index.html": ("text/html; charset=utf-8", "max-age=10, must-revalidate"),
        "incidents/cards.html": ("text/html; charset=utf-8", "max-age=30, must-revalidate"),
        "ro/incidents/cards.html": ("text/html; charset=utf-8", "max-age=30, must-revalidate"),
        "history.atom": ("application/atom+xml; charset=utf-8", "max-age=30, must-revalidate"),
        "api/v2/summary.json": ("application/json", "max-age=30, must-revalidate"),
        "cap/1.cap.xml": ("application/cap+xml; charset=utf-8", "max-age=30, must-revalidate"),
        "phone.xml": ("text/xml; charset=utf-8", "max-age=30, must-revalidate"),
        "maintenance.ics": ("text/calendar; charset=utf-8", "max-age=30, must-revalidate"),
        "phone.txt": ("text/plain; charset=utf-8", "max-age=30, must-revalidate"),
        "logo.svg": ("image/svg+xml", "max-age=30, must-revalidate"),
        "a": ("application/octet-stream", "max-age=30, must-revalidate"),
    }


def test_only_what_is_named_goes_out(s3: S3, folder: Path, mirror: Mirror) -> None:
    mirror.publish(FIRST)
    write(folder, NEXT)
    s3.asked.clear()

    mirror.publish(NAMES)

    assert puts(s3) == ["incidents/cards.html", "index.html"]
    assert s3.objects == under_prefix(NEXT)


def test_what_differs_is_found_and_what_is_nobodys_business_is_not(s3: S3, folder: Path, mirror: Mirror) -> None:
    before = mirror.outdated()
    mirror.publish(before)
    after = mirror.outdated()
    write(folder, NEXT | {".secret": b"", ".git/config": b""})
    (folder / "link.html").symlink_to("/etc/passwd")
    s3.put("status/elsewhere.html", b"")

    assert (sorted(before), after) == (sorted(FIRST), [])
    assert sorted(mirror.outdated()) == sorted(NAMES)


def test_publishing_again_changes_nothing(s3: S3, mirror: Mirror) -> None:
    mirror.publish(FIRST)
    mirror.publish(FIRST)

    assert s3.objects == under_prefix(FIRST)


def test_what_is_there_can_be_looked_at(mirror: Mirror) -> None:
    mirror.publish(FIRST)

    assert (mirror.carried("history.atom"), mirror.carried("feed.atom")) == (b"<feed/>", None)


@pytest.mark.parametrize("foreign", [b"<p>Another page.</p>", b""])
def test_an_index_of_somebody_elses_is_left_alone_before_anything_is_sent(
    s3: S3, mirror: Mirror, foreign: bytes
) -> None:
    s3.put("status/index.html", foreign)

    error = refused(mirror, *FIRST)

    assert isinstance(error, Unavailable)
    assert "holds an index.html that was not written from" in str(error)
    assert "to put yours in its place: outagecast page publish" in str(error)
    assert s3.objects == {"status/index.html": foreign}


def test_a_second_writer_is_noticed_by_the_first_and_a_person_decides(s3: S3, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(other, FIRST | {"index.html": b"<p>The app is slow.</p>"})
    first, second = Mirror(folder, s3.bucket()), Mirror(other, s3.bucket())
    first.publish(FIRST)
    second.publish(["index.html"], replace=True)
    write(folder, NEXT)

    error = refused(first)
    with pytest.raises(Unavailable) as checked:
        first.check()
    first.publish(NAMES, replace=True)
    again = refused(second, "index.html")
    for mirror in (first, second):
        mirror.close()

    assert isinstance(error, Unavailable)
    assert str(checked.value) == str(error)
    assert isinstance(again, Unavailable)
    assert s3.objects == under_prefix(NEXT)


def test_a_page_that_was_once_this_folders_and_is_gone_is_put_back(s3: S3, mirror: Mirror) -> None:
    mirror.publish(FIRST)
    s3.client.delete_object(Bucket=s3.name, Key="status/index.html")

    mirror.publish(["index.html"])

    assert s3.objects == under_prefix(FIRST)


@pytest.mark.parametrize("replace", [False, True])
def test_of_two_who_publish_in_the_same_moment_the_later_is_told(s3: S3, mirror: Mirror, replace: bool) -> None:
    s3.behave(lambda: s3.put("status/index.html", b"<p>The app is slow.</p>"), "PUT", "index.html")

    with pytest.raises(Unavailable, match="somebody else changed") as caught:
        mirror.publish(["index.html"], replace=replace)

    assert s3.objects == {"status/index.html": b"<p>The app is slow.</p>"}
    assert "let one publish at a time" in str(caught.value)


def test_of_two_with_the_same_words_none_needs_to_be_told(s3: S3, mirror: Mirror) -> None:
    s3.behave(lambda: s3.put("status/index.html", FIRST["index.html"]), "PUT", "index.html")

    mirror.publish(["index.html"])

    assert s3.objects == {"status/index.html": FIRST["index.html"]}


@pytest.mark.parametrize("fault", ["reset_before", "reset_after", "internal_error", "portal"])
def test_an_index_whose_answer_is_lost_may_be_out(s3: S3, mirror: Mirror, fault: Any) -> None:
    s3.behave(fault, "PUT", "index.html")

    assert isinstance(refused(mirror, "index.html"), Uncertain)


@pytest.mark.parametrize(
    ("method", "end", "fault"),
    [
        ("PUT", "cards.html", "reset_after"),
        ("PUT", "cards.html", "internal_error"),
        ("PUT", "cards.html", "portal"),
        ("GET", "index.html", "reset_after"),
        ("GET", "index.html", "portal"),
    ],
)
def test_before_the_index_has_left_nothing_is_published_whatever_is_lost(
    s3: S3, mirror: Mirror, fault: Any, method: str, end: str
) -> None:
    s3.behave(fault, method, end)

    error = refused(mirror)

    assert isinstance(error, Unavailable)
    assert "it may be out" not in str(error)
    assert "status/index.html" not in s3.objects


@pytest.mark.parametrize("fault", ["reset_before", "reset_after"])
def test_after_a_lost_answer_the_next_update_goes_out_by_itself(
    s3: S3, folder: Path, mirror: Mirror, fault: Any
) -> None:
    mirror.publish(FIRST)
    s3.behave(fault, "PUT", "index.html")
    write(folder, NEXT)
    refused(mirror)
    newer = NEXT | {"index.html": b"<p>Cards work again.</p>"}
    write(folder, newer)

    mirror.publish(NAMES)

    assert s3.objects == under_prefix(newer)


def test_after_a_kill_in_the_middle_the_next_update_goes_out_by_itself(s3: S3, folder: Path, mirror: Mirror) -> None:
    mirror.publish(FIRST)
    write(folder, NEXT)
    arrived, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        arrived.set()
        let_go.wait(20)

    s3.behave(hold, "PUT", "index.html")
    publisher = subprocess.Popen([sys.executable, "-c", PUBLISHER, folder, s3.bucket().address, s3.url])

    assert arrived.wait(20)
    publisher.send_signal(signal.SIGKILL)
    publisher.wait()
    let_go.set()
    until(lambda: s3.objects["status/index.html"] == NEXT["index.html"])
    newer = NEXT | {"index.html": b"<p>Cards work again.</p>"}
    write(folder, newer)
    mirror.publish(NAMES)

    assert s3.objects == under_prefix(newer)


def test_an_index_that_is_out_counts_though_it_cannot_be_noted(s3: S3, folder: Path, mirror: Mirror) -> None:
    def spoil() -> None:
        record = folder / ".outagecast/published.json"
        record.unlink()
        record.mkdir()

    s3.behave(spoil, "PUT", "index.html")

    mirror.publish(["index.html"])

    assert s3.objects == {"status/index.html": FIRST["index.html"]}


def until(is_so: Any) -> None:
    deadline = time.monotonic() + 20
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_one_failure_ends_it_and_the_rest_is_not_sent(s3: S3, folder: Path, mirror: Mirror) -> None:
    many = {f"incidents/{number:03}.html": b"<p>" for number in range(200)}
    write(folder, many)
    s3.behave("internal_error", "PUT", "000.html")

    refused(mirror, *many)

    assert len(puts(s3)) < 200


def test_another_bucket_has_its_own_page(s3: S3, folder: Path, mirror: Mirror) -> None:
    mirror.publish(FIRST)
    write(folder, NEXT)
    s3.put("other/index.html", FIRST["index.html"])
    other = Mirror(folder, s3.bucket(prefix="other"))

    error = refused(other)
    other.close()

    assert isinstance(error, Unavailable)


def test_a_bucket_that_is_missing_and_credentials_that_are_fail_the_check(
    s3: S3, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = Mirror(folder, replace(s3.bucket(), address="s3://not-there"))
    with pytest.raises(Rejected, match="NoSuchBucket"):
        mirror.check()

    monkeypatch.delenv("S3_SECRET")
    with pytest.raises(ConfigError, match="S3_SECRET is not set"):
        Mirror(folder, s3.bucket()).check()


def test_a_check_changes_nothing(s3: S3, folder: Path, mirror: Mirror) -> None:
    mirror.publish(FIRST)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    mirror.check()

    assert s3.objects == under_prefix(FIRST)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_check_asks_for_the_first_copy_of_a_page_and_of_no_page_for_none(
    s3: S3, folder: Path, mirror: Mirror, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match=r"has no index\.html yet \(outagecast page publish\)"):
        mirror.check()

    Mirror(tmp_path / "empty", s3.bucket()).check()


def test_an_index_that_a_person_calls_ours_is_known_later(s3: S3, folder: Path, mirror: Mirror) -> None:
    for name, content in FIRST.items():
        s3.put(f"status/{name}", content)
    mirror.publish(mirror.outdated(), replace=True)  # there is nothing to do
    write(folder, NEXT)

    mirror.publish(NAMES)

    assert s3.objects == under_prefix(NEXT)


@pytest.mark.parametrize("record", ["", "[]", "\x00"])
def test_a_damaged_record_asks_a_person_and_stops_nothing_else(
    s3: S3, folder: Path, mirror: Mirror, record: str
) -> None:
    mirror.publish(FIRST)
    (folder / ".outagecast/published.json").write_text(record)

    mirror.publish(FIRST)  # the same as there is
    write(folder, NEXT)
    (folder / ".outagecast/published.json").write_text(record)

    assert isinstance(refused(mirror), Unavailable)


def test_a_file_that_is_not_there_stops_it_before_the_index(s3: S3, folder: Path, mirror: Mirror) -> None:
    error = refused(mirror, "incidents/gone.html", "index.html")

    assert isinstance(error, Unavailable)
    assert "No such file or directory; index.html is as it was" in str(error)
    assert s3.objects == {}
