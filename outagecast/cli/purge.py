"""``purge``: forgets the addresses of incidents that are long over."""

from __future__ import annotations

from datetime import timedelta

import click

from outagecast.cli import Invocation, screen, sheet
from outagecast.errors import ExitCode, OutagecastError, Problem, UsageError
from outagecast.ledger import Purged

SCHEMA_VERSION = 1


@click.command(short_help="Forget the addresses of incidents that are long over.")
@click.option("--dry-run", is_flag=True, help="Only say what would be forgotten.")
@click.option("--yes", is_flag=True, help="Forget without asking; needed where there is no terminal.")
@click.option("--json", "wants_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def purge(invocation: Invocation, dry_run: bool, yes: bool, wants_json: bool) -> int:
    """Forget whom each incident was sent to, once it was over for as long as `retention` in the configuration says.

    What was said, when, and to how many stays. Each address becomes a hash that nobody can turn back without the key
    beside the ledger. The suppression list is kept, and so is what is not finished. It cannot be undone.

    \b
    Examples:
      outagecast purge --dry-run
      outagecast purge --yes      from cron, once a day
    """
    from outagecast import app
    from outagecast.person import operator

    if not (yes or dry_run or screen.can_ask()):
        raise UsageError(Problem("there is no terminal to ask on; nothing was forgotten", "add --yes, or --dry-run"))
    its = app.start(invocation.config, operator())
    click.get_current_context().call_on_close(its.close)
    long = _span(its.config.retention)
    due = its.purge(dry_run=True)
    done = due
    if not dry_run and due.incidents:
        if not yes:
            screen.note(f"{_count(due)}, over for more than {long}:")
            for slug in due.incidents:
                screen.note(f"  {slug}")
            if screen.ask("Forget whom they went to, for good? [y/N]") not in {"y", "yes"}:
                raise OutagecastError(
                    Problem("nothing was forgotten", "outagecast purge --dry-run"), exit_code=ExitCode.INTERRUPTED
                )
        done = its.purge()
    if wants_json:
        code = ExitCode.DONE
        sheet.dump(
            {
                "schema_version": SCHEMA_VERSION,
                "exit_code": int(code),
                "exit_name": code.label,
                "dry_run": dry_run,
                "incidents": list(done.incidents),
                "messages": done.recipients,
                "kept": list(done.kept),
            }
        )
        return code
    if not done.incidents:
        screen.write(f"Nothing to forget: no incident with addresses was over {long} ago.")
    else:
        would = "Would forget" if dry_run else "Forgot"
        screen.write(f"{would} whom {_count(done)} went to:")
        for slug in done.incidents:
            screen.write(f"  {slug}")
    for slug in done.kept:
        screen.note(f"{slug} is over, and kept: something of it is not finished. See: outagecast status {slug}")
    return ExitCode.DONE


def _span(time: timedelta) -> str:
    return f"{time.days} days" if time.days > 1 else f"{time // timedelta(hours=1)} hours"


def _count(purged: Purged) -> str:
    sent, over = purged.recipients, len(purged.incidents)
    messages = "1 message" if sent == 1 else f"{sent:,} messages"
    return f"{messages} of {'1 incident' if over == 1 else f'{over:,} incidents'}"
