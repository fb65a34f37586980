"""``preview --send-to``: a real test send to oneself, outside any incident."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from outagecast.cli import screen, sheet
from outagecast.cli.signals import Interrupted
from outagecast.errors import ExitCode, Problem, UsageError
from outagecast.text import printable

if TYPE_CHECKING:
    from outagecast.cli.announce import Request
    from outagecast.trial import Trial

_WORDS = {"accepted": ("SENT", "green"), "failed": ("NOT SENT", "red"), "in_doubt": ("UNKNOWN", "yellow")}


def send_to(request: Request, address: str, *, yes: bool, wants_json: bool) -> int:
    """Send the request's message to ``address`` alone, stamped TEST; asks first unless ``yes``."""
    from outagecast import app, trial

    trial.recipient(address)  # what is not an address is said before anything of the message
    if not yes and (request.source == "-" or not screen.can_ask()):
        hint = "add --yes to send the test without asking"
        raise UsageError(Problem("there is no terminal to ask on; nothing was sent", hint))
    its, said = app.load(
        request.invocation.config,
        request.source,
        by="",
        incident=request.incident,
        stdin=sys.stdin.buffer if request.source == "-" and sys.stdin else None,
        status=request.status,
        facts=request.facts,
    )
    click.get_current_context().call_on_close(its.close)
    trials = trial.prepare(
        said,
        its.config,
        address,
        only=request.only,
        without=request.without,
        left_out=request.left_out,
        clock=its.clock,
    )
    if not yes:
        _ask(trials)
    outcomes: list[Trial] = []
    try:
        for outcome in trial.send(trials, said.status, its.create, its.clock):
            outcomes.append(outcome)
            if not wants_json:
                sheet.show(_lines(outcome))
    except Interrupted:
        outcomes += _broken_off(trials[len(outcomes) :])
    if wants_json:
        sheet.dump(trial.as_json(outcomes, said.status))
    code = trial.judge(outcomes)
    sheet.note("A test, outside every incident: nothing was recorded.")
    if code is ExitCode.IN_DOUBT:
        sheet.note("It may be under way: look for it before you send another.")
    elif code is not ExitCode.DONE:
        names = " ".join(
            dict.fromkeys(f"--channel {outcome.channel.name}" for outcome in outcomes if outcome.state == "failed")
        )
        sheet.note(f"Next: outagecast check {names}")
    return code


def _ask(trials: Sequence[Trial]) -> None:
    """Show what will be sent and to whom, then ask. Raises Abort where the answer is no."""
    columns = screen.width(err=True)
    for trial in trials:
        adapter = trial.channel.adapter
        screen.write(screen.rule(f"{trial.channel.name} ({trial.variant.language})", trial.target, columns), err=True)
        for part, text in trial.variant.parts.items():
            if part in adapter.escapes and len(trial.variant.parts) > 1:
                continue  # the same words, marked up
            for line in printable(text).splitlines():
                for shown in screen.wrap(line, columns, "    ") or [""]:
                    screen.write(shown, err=True)
            screen.write("", err=True)
    how_many = "this test" if len(trials) == 1 else f"these {len(trials)} tests"
    if screen.ask(f"Send {how_many} to {trials[0].target}? [y/N]") not in {"y", "yes"}:
        raise click.Abort


def _lines(trial: Trial) -> Iterator[str]:
    word, colour = _WORDS[trial.state]
    yield (
        f"{click.style(word, fg=colour, bold=True)}  {trial.channel.name} ({trial.variant.language})"
        f" to {trial.target}{f'  {printable(trial.provider_id)}' if trial.provider_id else ''}"
    )
    if trial.error:
        yield from screen.wrap(printable(trial.error), screen.width(), "    ")


def _broken_off(rest: Sequence[Trial]) -> list[Trial]:
    """What was being sent when somebody pressed Ctrl-C may arrive; what came after it was not begun."""
    if not rest:
        return []
    first, *others = rest
    stopped = "stopped while it was being sent"
    return [
        replace(first, state="in_doubt", error=stopped),
        *(replace(trial, state="failed", error="stopped before it was sent") for trial in others),
    ]
