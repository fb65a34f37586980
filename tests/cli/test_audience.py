from __future__ import annotations

import csv
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any

import pytest

from outagecast.errors import ExitCode
from outagecast.ledger import Suppression
from outagecast.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from tests.conftest import Bank

Cli = Callable[..., CompletedProcess[str]]
CliJson = Callable[..., dict[str, Any]]

LIST = """phone,email,language,region
+61491570156,ana@example.com,en,NSW
+61491570157,ben@example.com,ro,NSW
+61491570158,ana@EXAMPLE.com,en,ACT
,dan@example.com,en,ACT
+64211234567,eve@example.com,en,NSW
+61491570159,fay@example.com,en,VIC
"""


@pytest.fixture(autouse=True)
def people(bank: Bank) -> None:
    (bank.folder / "customers.csv").write_text(LIST, encoding="utf-8")
    bank.config["organisation"]["languages"] = ["en", "ro"]
    bank.config["audiences"]["customers"]["select"] = {"region": ["nsw", "ACT"]}
    bank.config["channels"]["sms"] |= {"rate": "2/s", "segment_rate": "60/min", "price": "0.05 AUD"}
    bank.write()


def test_who_would_be_told_is_counted_with_what_it_costs_and_how_long_it_takes(cli_json: CliJson) -> None:
    sms, email = cli_json("audience", "check")["audiences"]

    assert (sms["people"], sms["languages"], sms["countries"]) == (3, {"en": 2, "ro": 1}, {"AU": 3})
    assert (sms["without_address"], sms["not_selected"], sms["other_countries"]) == (1, 1, {"NZ": 1})
    assert (sms["cost"], sms["seconds"]) == ({"units": 3, "amount": "0.15", "currency": "AUD"}, 3)
    assert (email["people"], email["duplicates"], email["countries"]) == (4, 1, {})
    assert (email["cost"], email["seconds"]) == (None, None)


def test_people_read_it_in_a_few_lines(cli: Cli) -> None:
    shown = cli("audience", "check", "--channel", "sms")

    assert shown.returncode == 0
    assert "people           3 people" in shown.stdout
    assert "other countries  NZ 1; to tell them, list them: countries: [...]" in shown.stdout
    assert "cost             0.15 AUD for a segment each" in shown.stdout
    assert "time             3 s at the rate of this channel" in shown.stdout
    assert "+6149" not in shown.stdout + shown.stderr


def test_who_is_on_the_suppression_list_is_counted_apart(bank: Bank, cli_json: CliJson) -> None:
    ledger = SqliteLedger(bank.folder / "outagecast.db")
    ledger.suppress([Suppression("+61491570157", "phone", "stop", datetime(2026, 11, 1, tzinfo=UTC), "sms")])
    ledger.close()

    sms, _ = cli_json("audience", "check")["audiences"]

    assert (sms["people"], sms["suppressed"], sms["languages"]) == (2, {"stop": 1}, {"en": 2})


def test_every_bad_row_is_written_down_for_its_owner_alone(bank: Bank, cli: Cli) -> None:
    bad = "".join(f"0{number},=cmd|{number},en,NSW\n" for number in range(150))
    (bank.folder / "customers.csv").write_text(LIST + bad, encoding="utf-8")

    shown = cli("audience", "check", "--channel", "sms", "--bad-rows", "bad.csv")

    assert shown.returncode == ExitCode.BAD_INPUT
    assert "150 of 153 rows cannot be used" in shown.stderr
    rows = [*csv.reader((bank.folder / "bad.csv").read_text(encoding="utf-8").splitlines())]
    assert (len(rows), rows[0], rows[1][1:3], rows[150][1]) == (
        151,
        ["file", "line", "channel", "problem"],
        ["8", "sms"],
        "157",
    )
    assert rows[1][3].startswith('"00" is not a valid phone (+, the country')
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
    assert stat.S_IMODE((bank.folder / "bad.csv").stat().st_mode) == 0o600
    assert cli("audience", "check", "--bad-rows", "bad.csv").returncode == ExitCode.USAGE  # it would be lost


def test_a_file_that_cannot_be_used_is_named_beside_those_that_can(bank: Bank, cli_json: CliJson) -> None:
    (bank.folder / "customers.csv").write_text("email,region\nana@example.com,ACT\n", encoding="utf-8")

    found = cli_json("audience", "check")

    sms, email = found["audiences"]
    assert found["exit_code"] == ExitCode.BAD_INPUT
    assert sms["errors"][0]["message"] == 'there is no column "phone"'
    assert (email["people"], email["errors"]) == (1, [])


def test_where_nobody_is_told_one_by_one_there_is_nothing_to_count(cli: Cli) -> None:
    assert cli("audience", "check", "--channel", "x").returncode == ExitCode.USAGE
