"""``page build`` and ``page serve``, as a script and a person run them."""

from __future__ import annotations

import re
import signal
import urllib.request
from typing import TYPE_CHECKING

import pytest

from outagecast.errors import ExitCode

if TYPE_CHECKING:
    from tests.conftest import Bank


@pytest.fixture
def bank(bank: Bank) -> Bank:
    """A bank whose only channel is an outage page."""
    bank.config["channels"] = {"page": {"kind": "status_page", "path": "status"}}
    bank.config["audiences"] = {}
    bank.write()
    return bank


def test_the_page_is_built_before_the_first_incident_and_after_it(bank: Bank) -> None:
    first = bank.run("page", "build")

    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == f"page: 1 file of 0 incidents in {bank.folder}/status\n"

    assert bank.run("announce", "incident.yaml", "--yes").returncode == 0
    told = bank.json("page", "build")

    assert told == {
        "schema_version": 1,
        "exit_code": 0,
        "exit_name": "done",
        "pages": [{"channel": "page", "path": f"{bank.folder}/status", "incidents": 1, "files": 3}],
    }


def test_a_config_without_a_page_says_how_to_get_one(bank: Bank) -> None:
    bank.config["channels"] = {"banner": {"kind": "banner", "path": "banner.html"}}
    bank.write()

    done = bank.run("page", "build")

    assert done.returncode == ExitCode.USAGE
    assert "page: {kind: status_page, path: public/status}" in done.stderr


def test_a_folder_that_cannot_be_written_is_told_with_what_to_do(bank: Bank) -> None:
    bank.config["channels"]["page"]["path"] = "no/status"
    bank.write()

    told = bank.json("page", "build")

    assert told["exit_code"] == ExitCode.NOTHING_PUBLISHED
    assert told["errors"][0]["hint"] == f"mkdir -p {bank.folder}/no"


def test_it_is_served_until_somebody_ends_it(bank: Bank) -> None:
    bank.run("page", "build")
    process = bank.start("page", "serve", "--port", "0")
    assert process.stderr is not None

    words = process.stderr.readline()
    address = re.findall(r"http://127\.0\.0\.1:\d+/", words)[0]
    with urllib.request.urlopen(address) as answer:
        assert b"We know of no problem right now." in answer.read()
    process.send_signal(signal.SIGINT)

    assert process.wait(10) == ExitCode.INTERRUPTED


def test_what_was_not_built_is_not_served(bank: Bank) -> None:
    done = bank.run("page", "serve", "--port", "0")

    assert done.returncode == ExitCode.USAGE
    assert "outagecast page build" in done.stderr


def test_an_announcement_is_on_the_page_and_verified_there(bank: Bank) -> None:
    report = bank.json("announce", "incident.yaml", "--yes", "--verify")

    assert [channel["state"] for channel in report["channels"]] == ["verified"]
    assert "Card payments are failing" in (bank.folder / "status" / "index.html").read_text(encoding="utf-8")


def test_the_preview_shows_what_people_read_and_only_the_length_of_what_programs_do(bank: Bank) -> None:
    done = bank.run("preview", "incident.yaml", "--html", "wall.html")

    assert "Our debit and credit cards are being declined in shops and online." in done.stdout
    assert "the facts, for programs" in done.stdout
    wall = (bank.folder / "wall.html").read_text(encoding="utf-8")
    assert "Cash machines and transfers in our app still work." in wall
    assert "next_update_at" not in done.stdout + wall
