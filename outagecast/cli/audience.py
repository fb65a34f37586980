"""``audience``: who is told one by one, who must not be, and who was not reached."""

from __future__ import annotations

import click

from outagecast.cli.headcount import check
from outagecast.cli.recipients import failed, suppress, suppressed


@click.group(short_help="Check who is told, and keep the list of who must not be.")
def audience() -> None:
    """Who is told one by one: whether their list can be used, who must not be on it, and who was not reached.

    \b
    Examples:
      outagecast audience check
      outagecast audience suppress unsubscribed.csv
      outagecast audience failed card-payments-2026-11-22 sms --out not-reached.csv
    """


for _command in (check, suppress, suppressed, failed):
    audience.add_command(_command)
