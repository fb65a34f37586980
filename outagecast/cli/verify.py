"""``verify``: what the public sees on each channel, compared with what was sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from outagecast.cli import Invocation, complete, output, screen
from outagecast.errors import Problem

if TYPE_CHECKING:
    from outagecast.report import ChannelReport

_LEFT = Problem("left before every channel was read", "nothing was sent; look again: outagecast verify")


@click.command(short_help="Compare what the public sees with what was sent.")
@click.argument("incident", required=False, shell_complete=complete.incidents)
@click.option(
    "--max-time",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    envvar="OUTAGECAST_MAX_TIME",
    help="Look at nothing after this time.",
)
@click.option("--json", "wants_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def verify(invocation: Invocation, incident: str | None, max_time: float | None, wants_json: bool) -> int:
    """Read every channel where the public reads it, and compare it with what was sent; of the last incident if none is
    named.

    Nothing is sent. What was published in the last half minute is looked for until it shows. Ends with 14 where
    something else is seen, or nothing.

    \b
    Examples:
      outagecast verify card-payments-2026-11-22
      outagecast announce incident.yaml --verify
    """
    from outagecast import app
    from outagecast.cli import progress
    from outagecast.person import operator

    its = app.start(invocation.config, operator())
    click.get_current_context().call_on_close(its.close)
    if invocation.verbose:
        screen.note(f"config: {its.config.path}")
        screen.note(f"ledger: {its.config.ledger}{'' if its.has_ledger else ' (not there yet)'}")
    report = progress.walk(
        lambda control: its.verify(incident, control),
        look=lambda: its.status(incident),
        channels=[_unread(channel) for channel in its.status(incident).channels],
        bulk={name for name, channel in its.config.channels.items() if channel.is_bulk},
        signals=invocation.signals,
        max_time=max_time,
        left=_LEFT,
    )
    output.outcome(report, its.config.organisation.timezone, wants_json=wants_json, verbose=invocation.verbose)
    return report.exit_code


def _unread(channel: ChannelReport) -> ChannelReport:
    """A channel before it is looked at, for the live screen."""
    from outagecast.model import State
    from outagecast.report import Counts

    return replace(channel, state=State.READY, counts=Counts(planned=channel.counts.accepted))
