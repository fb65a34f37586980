"""``announce`` and ``preview``: the one path, walked to its end or stopped before sending."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from outagecast.cli import Invocation, output
from outagecast.errors import ExitCode, Problem, UsageError


@dataclass(frozen=True, slots=True)
class Request:
    """Which message, and where it goes."""

    invocation: Invocation
    source: str
    status: str | None
    facts: tuple[str, ...]
    only: tuple[str, ...]
    without: tuple[str, ...]
    accept_bad_rows: bool


def _takes_message(command: Callable[..., int]) -> Callable[..., int]:
    """Gives a command the options that say which message, and where it goes, as one ``Request``."""

    def wrapper(
        invocation: Invocation,
        /,
        *,
        message: str,
        status: str | None,
        facts: tuple[str, ...],
        only: tuple[str, ...],
        without: tuple[str, ...],
        accept_bad_rows: bool,
        **rest: Any,
    ) -> int:
        return command(Request(invocation, message, status, facts, only, without, accept_bad_rows), **rest)

    options: tuple[Callable[[Any], Any], ...] = (
        click.argument("message", metavar="MESSAGE"),
        click.option("--status", metavar="STATUS", help="Say this status instead of the file's."),
        click.option(
            "--set", "facts", metavar="FACT=VALUE", multiple=True, help="Say this fact instead of the file's."
        ),
        click.option("--channel", "only", metavar="NAME", multiple=True, help="Only this channel; repeatable."),
        click.option("--except", "without", metavar="NAME", multiple=True, help="Not this channel; repeatable."),
        click.option("--accept-bad-rows", is_flag=True, help="Leave out audience rows that cannot be used."),
        click.option("--json", "wants_json", is_flag=True, help="One JSON object on standard output."),
    )
    wrapped: Callable[..., int] = functools.update_wrapper(click.pass_obj(wrapper), command)
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


@click.command()
@_takes_message
def preview(request: Request, *, wants_json: bool) -> int:
    """Show exactly what every channel would say; send nothing.

    MESSAGE is a file, or - for standard input.

    \b
    Example:
      outagecast preview incident.yaml --channel x --channel sms
    """
    output.preview(_Session(request).prepared, wants_json=wants_json)
    return ExitCode.DONE


@click.command()
@_takes_message
@click.option("--dry-run", is_flag=True, help="Stop before sending, as preview does.")
@click.option("--yes", is_flag=True, help="Send without asking; needed where there is no terminal.")
@click.option(
    "--max-time",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    envvar="OUTAGECAST_MAX_TIME",
    help="Start nothing after this time; what is left can be resumed.",
)
def announce(request: Request, *, wants_json: bool, dry_run: bool, yes: bool, max_time: float | None) -> int:
    """Announce one incident on every channel.

    MESSAGE is a file, or - for standard input. In a terminal you see all of it and are asked once. The same message
    again finishes what is unfinished; a changed one is the next update.

    \b
    Examples:
      outagecast announce incident.yaml
      outagecast announce incident.yaml --status resolved --set ended_at=2026-11-22T20:50+11:00
      outagecast announce incident.yaml --yes --json        in a runbook
    """
    session = _Session(request)
    if dry_run:
        output.preview(session.prepared, wants_json=wants_json)
        return ExitCode.DONE
    if not yes:
        _ask(session)
    if session.app.has_ledger:
        output.note(f"ledger: {session.app.config.ledger}", only_if=request.invocation.verbose)
    else:
        output.note(f"starting a new ledger: {session.app.config.ledger}")
    with output.Watch(session.prepared.report.channels) as watch:
        report = session.app.announce(session.prepared, session.said, watch.control(max_time))
    output.outcome(report, session.app.config.organisation.timezone, wants_json=wants_json)
    return report.exit_code


class _Session:
    """The message as it stands, prepared; the officer may edit the file and look again."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.prepare()

    def prepare(self) -> None:
        """Read the file, plan and render. Raises everything that can be wrong with it."""
        from outagecast import app
        from outagecast.ledger.sqlite import operator

        request = self.request
        self.app, self.said = app.load(
            request.invocation.config,
            request.source,
            by=operator(),
            stdin=sys.stdin.buffer if request.source == "-" else None,
            status=request.status,
            facts=request.facts,
        )
        self.prepared = self.app.prepare(
            self.said, only=request.only, without=request.without, accept_bad_rows=request.accept_bad_rows
        )


def _ask(session: _Session) -> None:
    """Show everything, then ask once. Raises UsageError where nobody can answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()) or session.request.source == "-":
        raise UsageError(
            Problem("there is no terminal to ask on; nothing was sent", "add --yes to send without asking")
        )
    while True:
        output.preview(session.prepared, wants_json=False, for_people=True)
        answer = output.question(session.prepared)
        if answer == "edit":
            click.edit(filename=session.request.source)
            session.prepare()
        elif answer == "send":
            return
        else:
            raise click.Abort
