"""``audience suppress``, ``suppressed`` and ``failed``: addresses go in and out by files, and are seen nowhere else."""

from __future__ import annotations

import csv
import io
import json
import re
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from outagecast.rehearsal import Reply

if TYPE_CHECKING:
    from tests.conftest import Bank

Cli: TypeAlias = Callable[..., CompletedProcess[str]]
CliJson: TypeAlias = Callable[..., dict[str, Any]]

ANA, BEN = "+61491570156", "ben@example.com"


def listed(cli: Cli) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(cli("audience", "suppressed").stdout)))


def suppress(bank: Bank, cli: Cli, text: str | bytes, *options: str) -> CompletedProcess[str]:
    file = bank.folder / "list.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return cli("audience", "suppress", "list.csv", *options)


# -- the list of those who must not be sent anything -------------------------------------------------------------------


def test_an_address_is_all_that_a_row_needs(bank: Bank, cli: Cli) -> None:
    done = suppress(bank, cli, f"address\n{ANA}\n{BEN}\n")

    assert (done.returncode, done.stdout) == (0, "2 people put on the list.\n")
    assert [(one["address"], one["kind"], one["why"], one["source"]) for one in listed(cli)] == [
        (ANA, "phone", "asked", "list.csv"),
        (BEN, "email", "asked", "list.csv"),
    ]


def test_what_is_written_out_is_read_in_as_it_was(bank: Bank, cli: Cli) -> None:
    given = f"address,kind,why,at,source\n{ANA},phone,stop,2026-11-22T07:30:00+00:00,crm\n"
    suppress(bank, cli, given)
    assert cli("audience", "suppressed", "--out", "out.csv").returncode == 0

    suppress(bank, cli, given, "--remove")
    emptied = listed(cli)
    cli("audience", "suppress", "out.csv")

    assert (emptied, cli("audience", "suppressed").stdout) == ([], given)


def test_reading_it_twice_changes_nothing_and_the_first_reason_stays(bank: Bank, cli: Cli) -> None:
    suppress(bank, cli, f"address,why\n{ANA},stop\n")
    done = suppress(bank, cli, f"address,why\n{ANA},complaint\n")

    assert done.stdout == "0 people put on the list.\n1 row changed nothing: on it already.\n"
    assert [one["why"] for one in listed(cli)] == ["stop"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("why,address\nstop,0491570156\n", 'list.csv:2: "0491570156" is not a valid phone'),
        (f"address,why\n{ANA},dead\n", 'list.csv:2: "dead" is no reason  (one of stop, unsubscribed, bounce'),
        (f"address,kind\n{ANA},fax\n", 'list.csv:2: "fax" is no kind of address  (phone or email)'),
        (f"address,at\n{ANA},yesterday\n", 'list.csv:2: "yesterday" is not a time'),
        (f"address,why\n{ANA}\n", "list.csv:2: 1 cells, expected 2"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_and_the_others_are_taken(
    bank: Bank, cli: Cli, text: str, says: str
) -> None:
    done = suppress(bank, cli, text)
    more = suppress(bank, cli, f"address\n{BEN}\nnobody\n")

    assert (done.returncode, says in done.stderr) == (65, True), done.stderr
    assert "1 row could not be used  (correct them and read the file again" in done.stderr
    assert (more.returncode, [one["address"] for one in listed(cli)]) == (65, [BEN])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"phone\n{ANA}\n", 'list.csv:1: there is no column "address"'),
        (f"address\n{ANA}\n".encode("utf-16"), "not UTF-8"),
        (f'address\n"{ANA}\n', "not valid CSV"),
        (f"address\n{ANA}\x00\n", "a NUL byte"),
        ("address\n" + "nobody\n" * 1001, "more than 1,000 rows cannot be used: is this such a list?"),
    ],
)
def test_what_is_no_such_list_is_refused(bank: Bank, cli: Cli, text: str | bytes, says: str) -> None:
    done = suppress(bank, cli, text)

    assert (done.returncode, says in done.stderr) == (65, True), done.stderr
    assert len(done.stderr.splitlines()) <= 25


def test_a_file_that_is_not_there_is_named(bank: Bank, cli: Cli) -> None:
    done = cli("audience", "suppress", "nowhere.csv")

    assert (done.returncode, "cannot read nowhere.csv: No such file" in done.stderr) == (2, True)


def test_a_bom_and_a_zone_are_no_hindrance(bank: Bank, cli: Cli) -> None:
    done = suppress(bank, cli, f"\ufeffaddress,at\n{ANA},2026-11-22T18:30+11:00\n{BEN},2026-11-22\n")

    assert done.returncode == 0
    assert [one["at"] for one in listed(cli)] == ["2026-11-22T07:30:00+00:00", "2026-11-22T00:00:00+00:00"]


def test_a_hostile_source_is_no_formula_and_steers_no_terminal(bank: Bank, cli: Cli) -> None:
    suppress(bank, cli, f'address,source\n{ANA},"=HYPERLINK(""http://evil"")\x1b[2J{"x" * 500}"\n')

    (one,) = listed(cli)

    assert one["source"].startswith("'=HYPERLINK")
    assert "\x1b" not in one["source"]
    assert len(one["source"]) < 100


def test_standard_input_is_read_too(bank: Bank) -> None:
    done = bank.run("audience", "suppress", "-", stdin=f"address\n{ANA}\n")

    assert (done.returncode, done.stdout) == (0, "1 person put on the list.\n")


def test_while_a_list_is_still_coming_in_the_ledger_can_be_written(bank: Bank, cli: Cli) -> None:
    with subprocess.Popen(
        bank.command("audience", "suppress", "-"),
        cwd=bank.folder,
        env=bank.environment,
        stdin=subprocess.PIPE,
        text=True,
    ) as reading:
        assert reading.stdin
        reading.stdin.write("address\n" + "".join(f"+614{number:08}\n" for number in range(3000)))
        reading.stdin.flush()
        until = time.monotonic() + 20
        while len(listed(cli)) < 1000:
            assert time.monotonic() < until, "nothing of it is kept before all of it is there"

        announced = cli("announce", "incident.yaml", "--yes", "--channel", "x")
        reading.communicate(f"{BEN}\n", timeout=20)

    assert (announced.returncode, reading.returncode, len(listed(cli))) == (0, 0, 3001)


def test_with_json_there_are_counts_and_no_address(bank: Bank, cli: Cli) -> None:
    taken = suppress(bank, cli, f"address,why\n{ANA},stop\n{BEN},bounce\n", "--json")
    found = json.loads(cli("audience", "suppressed", "--json").stdout)

    assert json.loads(taken.stdout) | {"rows": 2, "changed": 2, "bad_rows": 0} == json.loads(taken.stdout)
    assert (found["people"], found["by_kind"]) == (2, {"phone": 1, "email": 1})
    assert found["by_why"] == {"stop": 1, "bounce": 1}
    assert "example.com" not in taken.stdout + json.dumps(found)


def documented(command: str) -> list[str]:
    """The keys that docs/json.md has for a command."""
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w\[\]]+)` \| ([`\w, ]+) \| ", page, flags=re.MULTILINE)
    return [name.removesuffix("[]") for name, commands in rows if f"`{command}`" in commands]


@pytest.mark.parametrize(
    "command",
    [
        ("audience", "suppress", "customers.csv"),
        ("audience", "suppressed"),
        ("audience", "failed", "card-payments", "sms"),
        ("purge", "--dry-run"),
    ],
)
def test_every_key_of_the_json_is_documented(refused: Path, cli: Cli, command: tuple[str, ...]) -> None:
    refused.with_name("customers.csv").write_text(f"address\n{ANA}\n", encoding="utf-8")

    found = json.loads(cli(*command, "--json").stdout)

    always = ["schema_version", "exit_code", "exit_name"]
    assert sorted(found) == sorted([*always, *documented(command[1] if command[0] == "audience" else command[0])])


def test_before_anything_was_kept_the_list_is_empty_and_no_ledger_is_made(bank: Bank, cli: Cli) -> None:
    done = cli("audience", "suppressed")

    assert (done.returncode, done.stdout) == (0, "address,kind,why,at,source\n")
    assert not (bank.folder / "outagecast.db").exists()


# -- who was not reached -----------------------------------------------------------------------------------------------


@pytest.fixture
def refused(bank: Bank, cli: Cli) -> Path:
    """A bank that could not text Ana; where the file should be."""
    bank.providers.twilio.behave(Reply(400, {"code": 21612, "message": "out of reach", "status": 400}))
    assert cli("announce", "incident.yaml", "--yes", "--channel", "sms").returncode in {0, 10, 11}
    return bank.folder / "failed.csv"


def test_who_was_not_reached_is_written_with_the_reason(refused: Path, cli: Cli) -> None:
    done = cli("audience", "failed", "card-payments", "sms", "--out", "failed.csv")

    (one,) = csv.DictReader(io.StringIO(refused.read_text(encoding="utf-8")))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "update 1, sms: 1 person not reached, in failed.csv\n"
    assert one["phone"] in {ANA, "+61491570157"}
    assert (one["language"], one["state"], bool(one["reason"]), bool(one["code"])) == ("en", "failed", True, True)
    assert stat.S_IMODE(refused.stat().st_mode) == 0o600


def test_the_file_is_an_audience_again(refused: Path, bank: Bank, cli: Cli, cli_json: CliJson) -> None:
    cli("audience", "failed", "card-payments", "sms", "--out", "failed.csv")
    bank.config["audiences"]["customers"]["file"] = "failed.csv"
    bank.write(incident="again")

    found = cli_json("announce", "incident.yaml", "--dry-run", "--channel", "sms")

    assert [channel["counts"]["planned"] for channel in found["channels"]] == [1]


def test_a_file_that_is_there_is_not_written_over(refused: Path, cli: Cli) -> None:
    refused.write_text("mine", encoding="utf-8")

    done = cli("audience", "failed", "card-payments", "sms", "--out", "failed.csv")

    assert (done.returncode, refused.read_text(encoding="utf-8")) == (2, "mine")
    assert "failed.csv is there already" in done.stderr


def test_without_a_file_it_is_on_standard_output_and_with_json_it_is_counted(refused: Path, cli: Cli) -> None:
    shown = cli("audience", "failed", "card-payments", "sms").stdout
    found = json.loads(cli("audience", "failed", "card-payments", "sms", "--json").stdout)

    assert len(shown.splitlines()) == 2
    assert (found["people"], found["by_state"], found["update"]) == (1, {"failed": 1}, 1)
    assert "+6149" not in json.dumps(found)


@pytest.mark.parametrize(
    ("channel", "says"),
    [("x", "x tells nobody one by one"), ("email", "email was never used for card-payments")],
)
def test_a_channel_without_people_has_no_such_file(refused: Path, cli: Cli, channel: str, says: str) -> None:
    done = cli("audience", "failed", "card-payments", channel)

    assert (done.returncode, says in done.stderr) == (2, True), done.stderr


def test_in_the_state_of_the_incident_the_reasons_are_counted(refused: Path, cli: Cli, cli_json: CliJson) -> None:
    found = cli_json("status", "card-payments")
    shown = cli("-v", "status", "card-payments").stdout

    (reasons,) = [channel["refused_by_reason"] for channel in found["channels"] if channel["channel"] == "sms"]
    assert list(reasons.values()) == [1]
    assert f"1 refused: {next(iter(reasons))}"[:40] in " ".join(shown.split())
    assert "+6149" not in json.dumps(reasons)
