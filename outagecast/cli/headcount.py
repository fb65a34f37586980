"""``audience check``: how many each channel would tell, in which languages and countries, for how much and how long."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from outagecast.cli import Invocation, complete, screen, sheet
from outagecast.cli.words import of_rows, people
from outagecast.errors import ExitCode, OutagecastError, Problem, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outagecast.headcount import Headcount


@click.command(short_help="Count whom each channel would tell; send nothing.")
@click.option(
    "--channel", "only", metavar="NAME", multiple=True, help="Only this channel; repeatable.",
    shell_complete=complete.channels,
)  # fmt: skip
@click.option(
    "--bad-rows",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write every row that cannot be used, with its line, into a new file that only you can read.",
)
@click.option("--json", "wants_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def check(invocation: Invocation, only: tuple[str, ...], bad_rows: Path | None, wants_json: bool) -> int:
    """Read the audience of each channel that reaches people one by one, as an announcement would, and count it.

    Nothing is sent. Ends with 65 where a file cannot be used, or has more bad rows than are left out.

    \b
    Examples:
      outagecast audience check
      outagecast audience check --channel sms --bad-rows bad-rows.csv
    """
    from outagecast import app, headcount, plan

    its = app.start(invocation.config, "")
    click.get_current_context().call_on_close(its.close)
    chosen = [channel for channel in plan.select(its.config, only, ()) if channel.is_bulk]
    if not chosen:
        raise UsageError(Problem("no channel here reaches people one by one", "see them all: outagecast channels"))
    ledger = its.ledger if its.has_ledger else None
    with _new(bad_rows, headcount.BAD_ROWS) as file:
        counts = [headcount.take(channel, its.config, ledger, file) for channel in chosen]
    if wants_json:
        sheet.dump(headcount.as_json(counts))
    else:
        for count in counts:
            screen.write(sheet.heading(f"{count.channel.name} ({count.channel.options.audience})"))
            sheet.show(sheet.pairs(_rows(count)))
            screen.write("")
    for problem in dict.fromkeys(problem for count in counts for problem in count.problems):
        screen.note(str(problem))
    if bad_rows:
        screen.note(f"every row that cannot be used: {bad_rows}")
    code = headcount.judge(counts)
    if code is not ExitCode.DONE:
        sheet.note(f"exit {int(code)} ({code.label}): nothing would be sent; correct the files, then count again")
    return code


def _rows(count: Headcount) -> Iterator[tuple[str, str]]:
    yield "people", people(count.people)
    yield "languages", _shares(count.languages)
    if count.countries:
        yield "countries", _shares(count.countries)
    if count.rows.elsewhere:
        yield "other countries", f"{_shares(count.rows.elsewhere)}; to tell them, list them: countries: [...]"
    if count.suppressed:
        yield "suppressed", _shares(count.suppressed)
    left_out = {words: rows for words, rows in of_rows(count.rows).items() if rows}
    if left_out:
        yield "rows left out", _shares(left_out)
    unit = "a segment each" if count.channel.adapter.addresses == "phone" else "one update"
    if cost := count.cost:
        yield "cost", f"{cost.total:,.2f} {cost.price.currency} for {unit}"
    if count.seconds is None:
        yield "time", "as fast as the provider takes them; set rate: to what it allows"
    else:
        yield "time", f"{_long(count.seconds)} at the rate of this channel"


def _shares(counts: Mapping[str, int]) -> str:
    """``en 10, ro 2``; what has no name is of no country."""
    return ", ".join(f"{name or 'none'} {number:,}" for name, number in counts.items()) or "none"


def _long(seconds: int) -> str:
    """A time as long as a night, to the minute."""
    hours, minutes = divmod(-(-seconds // 60), 60)
    if seconds < 120:
        return f"{seconds} s"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


@contextmanager
def _new(path: Path | None, columns: tuple[str, ...]) -> Iterator[TextIO | None]:
    """A new CSV file of ours alone, if one is asked for. Raises UsageError where there is one already."""
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(Problem(f"{path} is there already", "name another file after --bad-rows")) from None
    except OSError as error:
        problem = Problem(f"cannot write {path}: {error.strerror}", "name another file after --bad-rows")
        raise OutagecastError(problem, exit_code=ExitCode.PERMISSION) from None
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow(columns)
        yield file
