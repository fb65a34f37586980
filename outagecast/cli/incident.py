"""``status``, ``resume``, ``pause``, ``cancel`` and ``settle``: what is out, and what becomes of what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from outagecast.cli import Invocation, complete, output, screen
from outagecast.errors import ExitCode, OutagecastError, Problem, UsageError
from outagecast.ledger import Event

if TYPE_CHECKING:
    from outagecast.app import App
    from outagecast.report import Report

_json = click.option("--json", "wants_json", is_flag=True, help="One JSON object on standard output.")


@click.command(short_help="Show what each channel carries.")
@click.argument("incident", required=False, shell_complete=complete.incidents)
@_json
@click.pass_obj
def status(invocation: Invocation, incident: str | None, wants_json: bool) -> int:
    """Show which channel carries which update since when, what is due, and how an incident was told once it is over.

    Of the incident that changed last if none is named; of the others that are open, a line each.

    \b
    Example:
      outagecast status card-payments-2026-11-22
    """
    app = _app(invocation)
    report = app.status(incident)
    open_ = [] if incident else [course for course in app.watched().courses if course.incident != report.incident]
    told = {report.incident, *(course.incident for course in open_)}
    others = [slug for slug in app.incidents() if slug not in told]
    _tell(app, report, invocation, wants_json=wants_json, is_status=True)
    if open_ and not wants_json:
        from outagecast.cli import matrix

        screen.write(click.style("\nAlso open:", bold=True))
        for course in open_:
            for line in screen.wrap(matrix.brief(course, app.config.organisation.timezone), screen.width()):
                screen.write(line)
    if others and not incident:
        more = f", and {len(others) - 10} more" if len(others) > 10 else ""
        screen.note(f"also in this ledger: {', '.join(others[:10])}{more}")
    return report.exit_code


@click.command(short_help="Finish what was begun.")
@click.argument("incident", required=False, shell_complete=complete.incidents)
@click.option("--yes", is_flag=True, expose_value=False, help="Accepted for runbooks; resuming never asks.")
@click.option(
    "--max-time",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    envvar="OUTAGECAST_MAX_TIME",
    help="Start nothing after this time.",
)
@click.option(
    *("--events", "followed"),
    metavar="FILE",
    envvar="OUTAGECAST_EVENTS",
    help="Append what happens to this file, a line of JSON each.",
)
@click.option("--keep-held", is_flag=True, help="Leave alone what somebody has paused: for cron and runbooks.")
@_json
@click.pass_obj
def resume(
    invocation: Invocation,
    incident: str | None,
    max_time: float | None,
    followed: str | None,
    keep_held: bool,
    wants_json: bool,
) -> int:
    """Finish an announcement: look up what is in doubt, then send what is certainly unsent.

    Without INCIDENT it is the only unfinished one. Nothing that is out, or may be, is sent again. What was paused goes
    on.

    \b
    Example:
      outagecast resume card-payments-2026-11-22
    """
    from outagecast.cli import progress
    from outagecast.events import following

    app = _app(invocation)
    slugs = app.incidents()
    known = incident or (slugs[0] if len(slugs) == 1 else None)
    bulk = {name for name, channel in app.config.channels.items() if channel.is_bulk}
    with following(followed, bulk, screen.note) as events:

        def tell(report: Report) -> None:
            events.ended(report)
            _tell(app, report, invocation, wants_json=wants_json)

        report = progress.walk(
            lambda control: app.resume(incident, control, keep_held=keep_held),
            look=lambda: app.status(known),
            channels=app.status(known).channels if known else (),
            bulk=bulk,
            signals=invocation.signals,
            max_time=max_time,
            tell=tell,
            events=events,
        )
        tell(report)
    return report.exit_code


_people = click.option(
    *("--channel", "only"),
    metavar="NAME",
    multiple=True,
    shell_complete=complete.channels,
    help="On this channel alone; repeatable [default: every one that tells people one by one].",
)


@click.command(short_help="Let nothing more go out to many people, for now.")
@click.argument("incident", shell_complete=complete.incidents)
@_people
@_json
@click.pass_obj
def pause(invocation: Invocation, incident: str, only: tuple[str, ...], wants_json: bool) -> int:
    """Pause what is still to be sent to many people, from any terminal, also while another one is sending it.

    It takes about a second. What is under way ends, and nothing more begins until somebody types resume. What is posted
    in public is not touched.

    \b
    Examples:
      outagecast pause card-payments-2026-11-22
      outagecast pause card-payments-2026-11-22 --channel sms
    """
    app = _app(invocation)
    report = app.pause(incident, only)
    _tell(app, report, invocation, wants_json=wants_json)
    return report.exit_code


@click.command(short_help="Call off what is not sent to people yet.")
@click.argument("incident", shell_complete=complete.incidents)
@_people
@click.option("--yes", is_flag=True, help="Call off without asking; needed where there is no terminal.")
@_json
@click.pass_obj
def cancel(invocation: Invocation, incident: str, only: tuple[str, ...], yes: bool, wants_json: bool) -> int:
    """Call off what is not sent to people yet, for good, also while another terminal is sending it.

    What is under way ends first, so it can take half a minute. Who has the message keeps it; to take that back, see
    retract. Whom it
    did not reach is told by the next update, unless that says that it is over.

    \b
    Examples:
      outagecast cancel card-payments-2026-11-22
      outagecast cancel card-payments-2026-11-22 --channel sms --yes
    """
    if not yes and not screen.can_ask():
        problem = "there is no terminal to ask on; nothing was called off"
        raise UsageError(Problem(problem, "add --yes to call off without asking"))
    app = _app(invocation)
    if not yes and not output.confirm_cancel(app.waiting(incident, only)):
        raise OutagecastError(
            Problem("nothing was called off", f"outagecast status {incident}"), exit_code=ExitCode.INTERRUPTED
        )
    report = app.cancel(incident, only)
    _tell(app, report, invocation, wants_json=wants_json)
    return report.exit_code


@click.command(short_help="Say what became of a delivery in doubt.")
@click.argument("incident", shell_complete=complete.incidents)
@click.argument("channel", shell_complete=complete.channels)
@click.option(
    "--published",
    "url",
    metavar="[URL]",
    is_flag=False,
    flag_value="",
    help="It is out, and here it can be seen; a text or a mail has no address.",
)
@click.option("--not-published", is_flag=True, help="It is not out; a later resume may try again.")
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

    That it is not out can be said as soon as it can no longer appear: minutes after it was sent.

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
    config = app.config.channels.get(channel)
    if url is not None and not (url == "" and config and config.is_bulk):
        _check(url)
    report = app.settle(incident, channel, chosen[0], url=url, target=recipient)
    _tell(app, report, invocation, wants_json=wants_json)
    return ExitCode(report.exit_code)


def _check(url: str) -> None:
    """A word taken for an address would settle a doubt by mistake. Raises UsageError."""
    from outagecast.message import web_address

    try:
        web_address(url)
    except ValueError as error:
        raise UsageError(Problem(f"--published: {error}", "the address where it can be seen")) from None


def _tell(app: App, report: Report, invocation: Invocation, *, wants_json: bool, is_status: bool = False) -> None:
    if invocation.verbose:
        screen.note(f"config: {app.config.path}")
        screen.note(f"ledger: {app.config.ledger}{'' if app.has_ledger else ' (not there yet)'}")
    output.advice(report.warnings, verbose=invocation.verbose)
    output.outcome(
        report,
        app.config.organisation.timezone,
        wants_json=wants_json,
        verbose=invocation.verbose,
        is_status=is_status,
    )


def _app(invocation: Invocation) -> App:
    from outagecast import app
    from outagecast.person import operator

    its = app.start(invocation.config, operator())
    click.get_current_context().call_on_close(its.close)
    return its
