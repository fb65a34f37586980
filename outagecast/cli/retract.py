"""``retract``: a false alarm taken back, in words that nobody has to write."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from outagecast.cli import Invocation, complete, output, screen
from outagecast.errors import Problem, UsageError

if TYPE_CHECKING:
    from outagecast.report import Report


@click.command(short_help="Take back a false alarm, everywhere it went.")
@click.argument("incident", shell_complete=complete.incidents)
@click.option(
    "--delete",
    metavar="CHANNEL",
    multiple=True,
    shell_complete=complete.channels,
    help="Then delete what was posted there before; repeatable.",
)
@click.option("--yes", is_flag=True, help="Send without asking; needed where there is no terminal.")
@click.option(
    "--max-time",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    envvar="OUTAGECAST_MAX_TIME",
    help="Start nothing after this time; the same again, or resume, does the rest.",
)
@click.option("--json", "wants_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def retract(
    invocation: Invocation,
    incident: str,
    delete: tuple[str, ...],
    yes: bool,
    max_time: float | None,
    wants_json: bool,
) -> int:
    """Take back a false alarm: say that it was one wherever it went, or may have gone.

    The words are ready: they quote what was said and call it wrong, as a new post in the thread, a text or a mail to
    everybody who got the alarm. What of it is still queued is never sent, and the banner comes down. Nothing is deleted
    that --delete does not name. While another run is sending, press Ctrl-C there first.

    \b
    Examples:
      outagecast retract card-payments-2026-11-22
      outagecast retract card-payments-2026-11-22 --yes --delete x
    """
    from outagecast import app
    from outagecast.cli import progress
    from outagecast.person import operator

    if not yes and not screen.can_ask():
        raise UsageError(
            Problem("there is no terminal to ask on; nothing was sent", "add --yes to send without asking")
        )
    its = app.start(invocation.config, operator())
    click.get_current_context().call_on_close(its.close)
    verbose = invocation.verbose
    prepared = its.prepare_retraction(incident, delete)
    if yes:
        output.advice(prepared.report.warnings, verbose=verbose)
    else:
        output.preview(prepared, wants_json=False, verbose=verbose, for_people=True)
        for name in dict.fromkeys(delete):
            screen.note(f"Then what was posted on {name} before is deleted.")
        if not output.confirm(prepared.report, "retract", "publish this"):
            raise click.Abort
    screen.note(f"ledger: {its.config.ledger}")

    def tell(report: Report) -> None:
        if not wants_json and screen.is_terminal(sys.stderr):
            screen.note("")
        output.outcome(report, its.config.organisation.timezone, wants_json=wants_json, verbose=verbose)

    report = progress.walk(
        lambda control: its.retract(prepared, control, delete),
        look=lambda: its.status(incident),
        channels=prepared.report.channels,
        bulk=(),
        signals=invocation.signals,
        max_time=max_time,
        tell=tell,
    )
    tell(report)
    return report.exit_code
