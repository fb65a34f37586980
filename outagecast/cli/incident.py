"""``status``, ``resume`` and ``settle``: what is out, finishing it, and deciding what nothing else can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from outagecast.cli import Invocation, output
from outagecast.errors import ExitCode, Problem, UsageError
from outagecast.ledger import Event

if TYPE_CHECKING:
    from outagecast.app import App

_json = click.option("--json", "wants_json", is_flag=True, help="One JSON object on standard output.")


@click.command()
@click.argument("incident", required=False)
@_json
@click.pass_obj
def status(invocation: Invocation, incident: str | None, wants_json: bool) -> int:
    """Show what each channel carries of an incident; of the last one if none is named.

    \b
    Example:
      outagecast status card-payments-2026-11-22
    """
    app = _app(invocation)
    report = app.status(incident)
    output.outcome(report, app.config.organisation.timezone, wants_json=wants_json)
    others = [slug for slug in app.incidents() if slug != report.incident]
    if others and not incident:
        output.note(f"also in this ledger: {', '.join(others[:10])}")
    return report.exit_code


@click.command()
@click.argument("incident", required=False)
@click.option("--yes", is_flag=True, expose_value=False, help="Accepted for runbooks; resuming never asks.")
@click.option(
    "--max-time",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    envvar="OUTAGECAST_MAX_TIME",
    help="Start nothing after this time.",
)
@_json
@click.pass_obj
def resume(invocation: Invocation, incident: str | None, max_time: float | None, wants_json: bool) -> int:
    """Finish an announcement: look up what is in doubt, then send what is certainly unsent.

    Without INCIDENT it is the only unfinished one. Nothing that is out, or may be, is sent again.

    \b
    Example:
      outagecast resume card-payments-2026-11-22
    """
    app = _app(invocation)
    with output.Watch(()) as watch:
        report = app.resume(incident, watch.control(max_time))
    output.outcome(report, app.config.organisation.timezone, wants_json=wants_json)
    return report.exit_code


@click.command()
@click.argument("incident")
@click.argument("channel")
@click.option("--published", "url", metavar="URL", help="It is out, and here it can be seen.")
@click.option("--not-published", is_flag=True, help="It is not out, and shall not be sent.")
@click.option("--resend", is_flag=True, help="It is not out: send it at the next resume.")
@click.option("--recipient", metavar="ADDRESS", help="Only this recipient's [default: all that are in doubt].")
@_json
@click.pass_obj
def settle(
    invocation: Invocation,
    incident: str,
    channel: str,
    url: str | None,
    not_published: bool,
    resend: bool,
    recipient: str | None,
    wants_json: bool,
) -> int:
    """Say what became of a delivery that is in doubt, once you have looked.

    \b
    Examples:
      outagecast settle card-payments-2026-11-22 x --published https://x.com/examplebank/status/1
      outagecast settle card-payments-2026-11-22 facebook --resend
    """
    chosen = [
        event
        for event, given in (
            (Event.SETTLED_PUBLISHED, url is not None),
            (Event.SETTLED_NOT_PUBLISHED, not_published),
            (Event.SETTLED_RESEND, resend),
        )
        if given
    ]
    if len(chosen) != 1:
        raise UsageError(Problem("say one of --published URL, --not-published, --resend", "look at the channel first"))
    app = _app(invocation)
    report = app.settle(incident, channel, chosen[0], url=url, target=recipient)
    output.outcome(report, app.config.organisation.timezone, wants_json=wants_json)
    if chosen[0] is Event.SETTLED_RESEND:
        output.note(f"now send it: outagecast resume {incident}")
    return ExitCode(report.exit_code)


def _app(invocation: Invocation) -> App:
    from outagecast import app
    from outagecast.ledger.sqlite import operator

    return app.start(invocation.config, operator())
