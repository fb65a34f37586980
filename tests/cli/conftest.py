"""The command line without a process of its own, where neither terminal nor signal matters: much faster."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any

import pytest

from outagecast.cli import run

if TYPE_CHECKING:
    from tests.conftest import Bank


@pytest.fixture
def cli(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., CompletedProcess[str]]:
    """A function that runs the command in the bank's folder and shell."""
    monkeypatch.chdir(bank.folder)
    for name in [name for name in os.environ if name.startswith("OUTAGECAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OUTAGECAST_NO_LINK_CHECK", "1")
    monkeypatch.delenv("COLUMNS", raising=False)
    for name, value in bank.providers.environment.items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str) -> CompletedProcess[str]:
        capsys.readouterr()
        code = run(list(arguments))
        told = capsys.readouterr()
        return CompletedProcess(arguments, code, told.out, told.err)

    return call


@pytest.fixture
def cli_json(cli: Callable[..., CompletedProcess[str]]) -> Callable[..., dict[str, Any]]:
    """The same with ``--json``: the one object on standard output."""

    def call(*arguments: str) -> dict[str, Any]:
        done = cli(*arguments, "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        assert found["exit_code"] == done.returncode
        return found

    return call
