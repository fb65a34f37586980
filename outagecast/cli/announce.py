"""``announce`` and ``preview``: the one path, walked to its end or stopped before sending."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from outagecast.cli import Invocation, complete, output, screen
from outagecast.errors import ExitCode, OutagecastError, Problem, UsageError

if TYPE_CHECKING:
    from outagecast.control import Control
    from outagecast.dry_run import Prepared
    from outagecast.linkcheck import Links
    from outagecast.report import Report


class Request(NamedTuple):
    """Which message, and where it goes."""

    invocation: Invocation
    source: str | None  # a file, - for standard input; None where it builds on the incident's last update
    incident: str | None
    status: str | None
    facts: tuple[str, ...]
    only: tuple[str, ...]
    without: tuple[str, ...]
    left_out: tuple[str, ...]  # languages
    accept_bad_rows: bool
    reopen: bool
    correct: bool
    asks_links: bool


def _takes_message(command: Callable[..., int]) -> Callable[..., int]:
    """Gives a command the options that say which message, and where it goes, as one ``Request``."""

    def wrapper(
        invocation: Invocation,
        /,
        *,
        message: str | None,
        incident: str | None,
        status: str | None,
        facts: tuple[str, ...],
        only: tuple[str, ...],
        without: tuple[str, ...],
        left_out: tuple[str, ...],
        accept_bad_rows: bool,
        reopen: bool,
        correct: bool,
        no_link_check: bool,
        **rest: Any,
    ) -> int:
        _require_one(message, incident)
        request = Request(
            invocation=invocation,
            source=message,
            incident=incident,
            status=status,
            facts=facts,
            only=only,
            without=without,
            left_out=left_out,
            accept_bad_rows=accept_bad_rows,
            reopen=reopen,
            correct=correct,
            asks_links=not no_link_check,
        )
        return command(request, **rest)

    options: tuple[Callable[[Any], Any], ...] = (
        click.argument("message", metavar="[MESSAGE]", required=False),
        click.option(
            "--incident",
            metavar="SLUG",
            shell_complete=complete.incidents,
            help="No file: say what this incident's last update said, but for --status and --set.",
        ),
        click.option(
            "--status",
            metavar="STATUS",
            shell_complete=complete.statuses,
            help="Say this status instead of the file's.",
        ),
        click.option(
            "--set", "facts", metavar="FACT=VALUE", multiple=True, help="Say this fact instead of the file's."
        ),
        click.option("--correct", is_flag=True, help="Something in the last update was wrong: this puts it right."),
        click.option("--reopen", is_flag=True, help="It is back: an open status after resolved, completed, retracted."),
        click.option(
            *("--channel", "only"),
            metavar="NAME",
            multiple=True,
            shell_complete=complete.channels,
            help="Only this channel; repeatable.",
        ),
        click.option(
            *("--except", "without"),
            metavar="NAME",
            multiple=True,
            shell_complete=complete.channels,
            help="Not this channel; repeatable.",
        ),
        click.option(
            *("--without", "left_out"),
            metavar="LANGUAGE",
            multiple=True,
            shell_complete=complete.languages,
            help="Not in this language; repeatable.",
        ),
        click.option("--accept-bad-rows", is_flag=True, help="Leave out audience rows that cannot be used."),
        click.option(
            *("--no-link-check", "no_link_check"),
            is_flag=True,
            envvar="OUTAGECAST_NO_LINK_CHECK",
            help="Do not ask whether the links open.",
        ),
        click.option("--json", "wants_json", is_flag=True, help="One JSON object on standard output."),
    )
    wrapped: Callable[..., int] = functools.update_wrapper(click.pass_obj(wrapper), command)
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def _require_one(message: str | None, incident: str | None) -> None:
    """Raises UsageError unless exactly one of them is given."""
    if message is None and incident is None:
        hint = "name a message file; or --incident SLUG to build on an incident's last update"
        raise UsageError(Problem("there is no message", hint))
    if message is not None and incident is not None:
        hint = f"leave out --incident to say what {message} says"
        raise UsageError(Problem("a message file and --incident do not go together", hint))


@click.command(short_help="Show what every channel would say; send nothing.")
@_takes_message
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write a page that shows what the public would see.",
)
@click.option(
    "--send-to",
    "address",
    metavar="ADDRESS|+NUMBER",
    help="Send it to yourself alone, marked TEST, outside the incident.",
)
@click.option("--yes", is_flag=True, help="Send the test without asking; needed where there is no terminal.")
def preview(request: Request, *, wants_json: bool, page: Path | None, address: str | None, yes: bool) -> int:
    """Show exactly what every channel would say; send nothing, or a test to yourself.

    MESSAGE is a file, or - for standard input. Of an update it also shows what changed since the one before.

    \b
    Examples:
      outagecast preview incident.yaml --channel x --channel sms
      outagecast preview --incident card-payments --status monitoring
      outagecast preview incident.yaml --html wall.html
      outagecast preview incident.yaml --send-to ana@example.com
    """
    if address is not None and page is not None:
        raise UsageError(Problem("--send-to and --html do not go together; nothing was sent", "give one at a time"))
    if address is not None:
        from outagecast.cli import trial

        return trial.send_to(request, address, yes=yes, wants_json=wants_json)
    session = _Session(request)
    if page is not None:
        from outagecast.cli import wall

        wall.hang(session.app, session.told(), page)
    return session.preview(wants_json=wants_json)


@click.command(short_help="Announce an incident on every channel.")
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
@click.option(*("--verify", "wants_proof"), is_flag=True, help="Then read it back where the public reads it.")
@click.option(
    *("--events", "followed"),
    metavar="FILE",
    envvar="OUTAGECAST_EVENTS",
    help="Append what happens to this file, a line of JSON each.",
)
def announce(
    request: Request,
    *,
    wants_json: bool,
    dry_run: bool,
    yes: bool,
    max_time: float | None,
    wants_proof: bool,
    followed: str | None,
) -> int:
    """Announce an incident on every channel.

    MESSAGE is a file, or - for standard input. In a terminal you see all of it and are asked once. The same message
    again finishes what is unfinished; a changed one is the next update.

    \b
    Examples:
      outagecast announce incident.yaml
      outagecast announce incident.yaml --status identified --set "cause=A power cut."
      outagecast announce --incident card-payments --status monitoring --set ended_at=2026-11-22T20:50+11:00
      outagecast announce incident.yaml --yes --json        in a runbook
    """
    from outagecast.cli import progress
    from outagecast.events import following

    verbose = request.invocation.verbose
    if dry_run:
        return _Session(request).preview(wants_json=wants_json)
    if not yes and (request.source == "-" or not screen.can_ask()):
        raise UsageError(
            Problem("there is no terminal to ask on; nothing was sent", "add --yes to send without asking")
        )
    session = _Session(request)
    if yes:
        if request.incident:
            output.changes(session.prepared.report, verbose=verbose)
        output.advice(session.prepared.report.warnings, verbose=verbose)
        session.warn(wait=False)  # nobody could answer: the first word does not wait for it
    elif any(output.is_due(channel) for channel in session.prepared.report.channels):
        _ask(session)
    app = session.app
    screen.note(f"{'ledger' if app.has_ledger else 'starting a new ledger'}: {app.config.ledger}")

    bulk = {name for name, channel in app.config.channels.items() if channel.is_bulk}
    with following(followed, bulk, screen.note) as events:

        def tell(report: Report) -> None:
            events.ended(report)
            session.warn(wait=False)
            if not wants_json and screen.is_terminal(sys.stderr):
                screen.note("")
            outcome = replace(report, warnings=[*session.warned, *report.warnings])
            output.outcome(outcome, app.config.organisation.timezone, wants_json=wants_json, verbose=verbose)

        report = progress.walk(
            lambda control: _send(session, control, wants_proof=wants_proof),
            look=lambda: app.status(session.said.incident),
            channels=session.prepared.report.channels,
            bulk=(),
            signals=request.invocation.signals,
            max_time=max_time,
            tell=tell,
            events=events,
        )
        session.warn()
        tell(report)
    return report.exit_code


def _send(session: _Session, control: Control, *, wants_proof: bool) -> Report:
    """Announce, and with ``wants_proof`` look at what the public sees of it, in what is left of the time."""
    from outagecast.clock import Timer

    app, timer = session.app, Timer(session.app.clock)
    report = app.announce(session.prepared, session.said, control)
    if not wants_proof:
        return report
    left = None if control.max_time is None else max(0.0, control.max_time - timer.seconds())
    return app.verify(session.said.incident, control, announced=report, max_time=left)


class _Session:
    """The message as it stands, prepared; the officer may edit the file and look again."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.prepare()

    def prepare(self) -> None:
        """Read the file, plan and render. Raises everything that can be wrong with it."""
        from outagecast import app, linkcheck
        from outagecast.person import operator

        request = self.request
        self.app, self.said = app.load(
            request.invocation.config,
            request.source,
            by=operator(),
            incident=request.incident,
            stdin=sys.stdin.buffer if request.source == "-" and sys.stdin else None,
            status=request.status,
            facts=request.facts,
        )
        click.get_current_context().call_on_close(self.app.close)
        self.prepared = self.app.prepare(
            self.said,
            only=request.only,
            without=request.without,
            left_out=request.left_out,
            accept_bad_rows=request.accept_bad_rows,
            reopen=request.reopen,
            correct=request.correct,
        )
        self.warned: list[str] = []  # of links that do not open
        self._links: Links | None = None
        if request.asks_links and (addresses := linkcheck.public(self.prepared.variants)):
            self._links = linkcheck.Links(addresses)

    def warn(self, *, wait: bool = True) -> None:
        """Say loudly which links do not open, each once; without ``wait``, of those that are known by now."""
        found = self._links.dead(wait=wait) if self._links else []
        output.alarm([line for line in found if line not in self.warned])
        self.warned = found

    def told(self) -> Prepared:
        """What is prepared, with all that is known of its links among the warnings."""
        found = self._links.dead() if self._links else []
        plan, report = self.prepared.plan, self.prepared.report
        return self.prepared._replace(
            plan=replace(plan, warnings=(*found, *plan.warnings)),
            report=replace(report, warnings=[*found, *report.warnings]),
        )

    def preview(self, *, wants_json: bool) -> int:
        """Stop here: the dry run."""
        verbose = self.request.invocation.verbose
        if verbose:
            screen.note(f"config: {self.app.config.path}")
            screen.note(f"ledger: {self.app.config.ledger}{'' if self.app.has_ledger else ' (not there yet)'}")
        output.preview(self.told() if wants_json else self.prepared, wants_json=wants_json, verbose=verbose)
        self.warn()
        return ExitCode.DONE


def _ask(session: _Session) -> None:
    """Show everything, then ask once; after an edit, again. Raises Abort where the answer is no."""
    while True:
        output.preview(session.prepared, wants_json=False, verbose=session.request.invocation.verbose, for_people=True)
        session.warn()
        answer = output.question(session.prepared)
        if answer == "send":
            return
        if answer != "edit" or not session.request.source:
            raise click.Abort
        _edit(session, session.request.source)


def _edit(session: _Session, source: str) -> None:
    """Have the officer edit the file until it can be announced. Raises what is wrong with it where they give up."""
    from outagecast.secret import withheld

    while True:
        try:
            click.edit(filename=source, env=withheld())
        except click.ClickException as error:  # there is no editor: the message they looked at is still good
            screen.note(f"{error.format_message()} (set EDITOR, or edit {source} elsewhere)")
            return
        try:
            session.prepare()
        except OutagecastError as error:
            output.explain(error.problems)
            if not output.ask_to_edit():
                raise
        else:
            return
