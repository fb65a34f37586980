"""``page publish``, and announcing to a page that lives in a storage."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any

import pytest

from tests.storage import S3

if TYPE_CHECKING:
    from tests.conftest import Bank

Run = Callable[..., CompletedProcess[str]]
Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with S3() as server:
        yield server


@pytest.fixture
def s3(server: S3, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The storage in which the bank's only channel lives, its outage page."""
    server.afresh()
    monkeypatch.setenv("S3_KEY", "AKIAEXAMPLE")
    monkeypatch.setenv("S3_SECRET", "not-a-secret-at-all")
    monkeypatch.setenv("NO_COLOR", "1")
    page = {
        "kind": "status_page",
        "path": "status",
        "publish": f"s3://{server.name}/status",
        "endpoint_url": server.url,
        "access_key_id": "env:S3_KEY",
        "secret_access_key": "env:S3_SECRET",
    }
    bank.config["channels"] = {"page": page}
    bank.write()
    return server


def index(s3: S3) -> str:
    return s3.objects["status/index.html"].decode()


def test_a_page_that_was_built_is_copied_and_then_only_what_changed(
    bank: Bank, s3: S3, cli: Run, cli_json: Ask
) -> None:
    built = cli("page", "build")
    first = cli("page", "publish")
    again = cli_json("page", "publish")

    files = {path.relative_to(bank.folder).as_posix() for path in (bank.folder / "status").rglob("*") if path.is_file()}
    public = {name for name in files if "/." not in name}
    assert built.stderr.endswith("to copy it to where it lives: outagecast page publish\n")
    assert (first.returncode, first.stderr) == (0, "")
    assert (
        first.stdout == f"page: {len(public)} changed file{'s' * (len(public) > 1)} copied to s3://{s3.name}/status\n"
    )
    assert set(s3.objects) == public
    assert again["pages"] == [{"channel": "page", "publish": f"s3://{s3.name}/status", "files": 0}]


def test_an_announcement_is_on_the_page_in_the_storage(s3: S3, cli: Run, cli_json: Ask) -> None:
    cli("page", "build")
    cli("page", "publish")

    report = cli_json("announce", "incident.yaml", "--yes")

    assert report["exit_code"] == 0
    assert "Card payments are failing" in index(s3)
    assert "status/incidents/card-payments.html" in s3.objects


@pytest.mark.parametrize("fault", ["reset_before", "reset_after", "internal_error"])
def test_an_announcement_whose_answer_is_lost_is_finished_by_resume(s3: S3, cli_json: Ask, fault: Any) -> None:
    s3.behave(fault, "PUT", "index.html")

    lost = cli_json("announce", "incident.yaml", "--yes")
    report = cli_json("resume", "--yes")

    assert lost["exit_name"] in {"in_doubt", "pending"}
    assert report["exit_code"] == 0
    assert "Card payments are failing" in index(s3)


def test_an_announcement_to_a_storage_that_is_busy_waits_as_long_as_it_says(s3: S3, cli_json: Ask) -> None:
    s3.behave("slow_down", "PUT", "index.html")

    report = cli_json("announce", "incident.yaml", "--yes", "--max-time", "2")

    assert (report["exit_name"], report["channels"][0]["published"]) == ("pending", "no")
    assert 0 < report["channels"][0]["retry_after_s"] <= 7


def test_a_page_of_somebody_elses_stays_until_a_person_says_so(s3: S3, cli: Run, cli_json: Ask) -> None:
    s3.put("status/index.html", b"<p>Another page.</p>")

    refused = cli_json("announce", "incident.yaml", "--yes", "--max-time", "0.3")
    foreign = index(s3)
    cli("page", "publish")
    resumed = cli_json("resume", "--yes", "--max-time", "20")

    (channel,) = refused["channels"]
    assert (refused["exit_code"], channel["published"]) == (13, "no")
    assert "was not written from" in channel["error"]
    assert foreign == "<p>Another page.</p>"
    assert resumed["exit_code"] == 0
    assert "Card payments are failing" in index(s3)


def test_credentials_that_are_missing_fail_the_channel_and_say_so(
    s3: S3, cli_json: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("S3_SECRET")

    report = cli_json("announce", "incident.yaml", "--yes")

    assert report["exit_code"] == 11
    assert "S3_SECRET is not set" in report["channels"][0]["error"]


def test_a_bucket_that_is_missing_ends_it_with_what_to_do(bank: Bank, s3: S3, cli: Run) -> None:
    bank.config["channels"]["page"]["publish"] = "s3://not-there"
    bank.write()
    cli("page", "build")

    done = cli("page", "publish")

    assert done.returncode == 11
    assert "make the bucket, or correct `publish`" in done.stderr


def test_without_a_page_it_says_what_builds_one(s3: S3, cli: Run) -> None:
    done = cli("page", "publish")

    assert done.returncode == 2
    assert "outagecast page build" in done.stderr


def test_without_a_storage_it_says_where_to_name_one(bank: Bank, s3: S3, cli: Run) -> None:
    bank.config["channels"]["page"] = {"kind": "status_page", "path": "status"}
    bank.write()

    done = cli("page", "publish")

    assert done.returncode == 2
    assert "publish: s3://bucket/prefix" in done.stderr


def test_ctrl_c_leaves_the_index_as_it_was_and_it_can_be_done_again(bank: Bank, s3: S3, cli: Run) -> None:
    cli("page", "build")
    (bank.folder / "status/first.html").write_text("<p>")
    left: list[subprocess.Popen[str]] = []
    s3.behave(lambda: left[0].send_signal(signal.SIGINT), "PUT", "first.html")
    left.append(
        subprocess.Popen(
            bank.command("page", "publish"), cwd=bank.folder, env=bank.environment, stderr=subprocess.PIPE, text=True
        )
    )

    told = left[0].communicate(timeout=40)[1]

    assert (left[0].returncode, "status/index.html" in s3.objects) == (130, False)
    assert "stopped; what was not copied can still be (outagecast page publish)" in " ".join(told.split())
    assert cli("page", "publish").returncode == 0
    assert "status/index.html" in s3.objects
