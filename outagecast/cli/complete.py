"""What the shell proposes at a press of Tab. It never fails loudly: what cannot be found out is not proposed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

    from outagecast.config import Config


def incidents(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's
    """The slugs in the ledger, the newest first."""
    with contextlib.suppress(Exception):  # a command will say it better than a half-typed line
        from outagecast.ledger.sqlite import slugs

        return _fitting(slugs(Path(_config(ctx).ledger.removeprefix("sqlite:///"))), incomplete)
    return []


def channels(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's
    """The names of the configured channels."""
    with contextlib.suppress(Exception):
        return _fitting(_config(ctx).channels, incomplete)
    return []


def languages(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's
    """The promised languages but the first, in which messages are written."""
    with contextlib.suppress(Exception):
        return _fitting(_config(ctx).organisation.languages[1:], incomplete)
    return []


def playbooks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's
    """The scenarios that a message was agreed upon for."""
    from outagecast import playbook

    found = None
    with contextlib.suppress(Exception):
        found = _config(ctx)
    return _fitting(playbook.paths(found), incomplete)


def statuses(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's
    """The statuses that a message can have."""
    from outagecast.model import Status

    return _fitting((status.value for status in Status), incomplete)


def exit_codes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's
    """The exit codes, as numbers and as names."""
    from outagecast.errors import ExitCode

    return _fitting([word for code in ExitCode for word in (str(int(code)), code.label)], incomplete)


def _config(ctx: click.Context) -> Config:
    from outagecast import config

    return config.load(config.locate(ctx.find_root().params.get("config")))


def _fitting(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
