"""Exit codes are an API: runbooks script against the numbers, monitoring against the names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from outagecast import errors
from outagecast.errors import (
    PRECEDENCE,
    AudienceError,
    ConfigError,
    ConflictError,
    ExitCode,
    LedgerError,
    MessageError,
    OutagecastError,
    PlanError,
    Rejected,
    TemplateError,
    Unavailable,
    Uncertain,
    UsageError,
)

CODES = {
    "done": 0,
    "bug": 1,
    "usage": 2,
    "partial": 10,
    "nothing_published": 11,
    "in_doubt": 12,
    "pending": 13,
    "differs": 14,
    "approval_needed": 20,
    "approval_invalid": 21,
    "conflict": 22,
    "mode_mismatch": 23,
    "overdue": 24,
    "bad_input": 65,
    "ledger": 74,
    "permission": 77,
    "config": 78,
    "interrupted": 130,
    "terminated": 143,
}


def test_no_code_changes_its_number_or_its_name() -> None:
    assert {code.label: int(code) for code in ExitCode} == CODES


def test_when_several_apply_the_least_certain_wins() -> None:
    assert [int(code) for code in PRECEDENCE] == [14, 12, 22, 130, 143, 10, 13, 11, 24, 0]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OutagecastError, 1),
        (UsageError, 2),
        (Rejected, 11),
        (Uncertain, 12),
        (Unavailable, 13),
        (ConflictError, 22),
        (AudienceError, 65),
        (MessageError, 65),
        (PlanError, 65),
        (TemplateError, 65),
        (LedgerError, 74),
        (ConfigError, 78),
    ],
)
def test_each_error_carries_the_code_a_runbook_is_told(error: type[OutagecastError], code: int) -> None:
    assert int(error("anything").exit_code) == code


def test_an_error_may_say_a_code_of_its_own() -> None:
    assert LedgerError("its folder is not ours", exit_code=ExitCode.PERMISSION).exit_code == 77


def _leaves(error: type[OutagecastError]) -> list[type[OutagecastError]]:
    ours = [child for child in error.__subclasses__() if child.__module__ == errors.__name__]
    return [leaf for child in ours for leaf in _leaves(child)] or [error]


@pytest.mark.parametrize("name", [leaf.__name__ for leaf in _leaves(OutagecastError)])
def test_each_error_of_the_tree_is_met_by_a_test(name: str) -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    assert re.search(rf"raises\(\(?[^()]*\b{name}\b", tests)
