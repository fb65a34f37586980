"""Advice where the officer meets it: before the question, in a preview, and in the JSON of a runbook."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from outagecast.errors import ExitCode

if TYPE_CHECKING:
    from tests.conftest import Bank

Cli: TypeAlias = Callable[..., CompletedProcess[str]]
CliJson: TypeAlias = Callable[..., dict[str, Any]]
NOTHING = {"x": 0, "facebook": 0, "sms": 0, "email": 0, "banner": 0}
BAD = {"summary": "Some customers have technical issues!!", "workaround": None, "apology": None}


def lines(shown: str) -> list[str]:
    return [line for line in shown.splitlines() if line.startswith("! ")]


def test_a_preview_shows_three_lines_of_it_the_most_important_first_and_all_with_v(
    bank: Bank, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    bank.write(**BAD)

    few, all_ = (lines(cli(*given, "preview", "incident.yaml").stdout) for given in ((), ("-v",)))

    assert few[:2] == all_[:2]
    assert few[0] == "! no workaround: say what still works, or that nothing does (lesson 20) [workaround]"
    assert few[2:] == ["! and 3 more: outagecast -v preview …"]
    assert len(all_) == 5
    assert all_[2].startswith('! incident.yaml:5:10: summary says "Some customers": say how many')


def test_json_has_each_as_a_sentence_with_its_place_its_lesson_and_its_rule(bank: Bank, cli_json: CliJson) -> None:
    bank.write(**BAD)

    dry, live = cli_json("preview", "incident.yaml"), cli_json("announce", "incident.yaml", "--yes")

    assert dry["warnings"] == live["warnings"]
    assert "no apology: say that you are sorry, and for what (lesson 17) [apology]" in dry["warnings"]
    assert any(line.startswith("incident.yaml:5:10: ") and line.endswith("[no_shouting]") for line in dry["warnings"])
    assert live["exit_code"] == 0


@pytest.mark.parametrize("command", [("preview",), ("announce", "--dry-run"), ("announce", "--yes")], ids="-".join)
def test_what_the_promise_requires_stops_everything_before_anything_is_sent(
    bank: Bank, cli_json: CliJson, command: tuple[str, ...]
) -> None:
    bank.config["promise"] = {"require": ["apology", "no_shouting"]}
    bank.write(**BAD)

    found = cli_json(*command, "incident.yaml")

    assert found["exit_code"] == ExitCode.BAD_INPUT
    assert [(error["line"], error["message"].rpartition(" ")[2]) for error in found["errors"]] == [
        (None, "[apology]"),
        (5, "[no_shouting]"),
    ]
    assert all("promise.require in the config asks for it" in error["hint"] for error in found["errors"])
    assert bank.sent == NOTHING


def test_an_update_that_is_out_in_part_is_finished_whatever_is_required_since(bank: Bank, cli_json: CliJson) -> None:
    bank.write(**BAD)
    cli_json("announce", "incident.yaml", "--yes", "--channel", "x")
    bank.config["promise"] = {"require": ["apology"]}
    bank.write()

    assert cli_json("announce", "incident.yaml", "--yes")["exit_code"] == 0
    assert bank.sent["facebook"] == 1
    assert cli_json("announce", "incident.yaml", "--yes", "--status", "identified")["exit_code"] == ExitCode.BAD_INPUT


def test_taking_an_incident_back_asks_for_nothing(bank: Bank, cli_json: CliJson) -> None:
    bank.write(**BAD)
    cli_json("announce", "incident.yaml", "--yes")
    bank.config["promise"] = {"require": ["apology", "no_shouting"]}
    bank.write()

    assert cli_json("retract", "card-payments", "--yes")["exit_code"] == 0
