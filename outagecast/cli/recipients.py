"""``audience suppress``, ``suppressed`` and ``failed``: addresses, in files and nowhere else."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from outagecast.cli import Invocation, complete, output, screen, sheet
from outagecast.cli.words import people
from outagecast.errors import ExitCode, OutagecastError, Problem, UsageError

if TYPE_CHECKING:
    from outagecast.app import App

SCHEMA_VERSION = 1
_json = click.option("--json", "wants_json", is_flag=True, help="Only counts, as one JSON object.")
_out = click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Into a new file that only you can read [default: standard output].",
)


@click.command(short_help="Put people on the list of those who must not be sent anything.")
@click.argument("file", metavar="FILE", type=click.Path(allow_dash=True))
@click.option("--remove", is_flag=True, help="Take them off the list instead.")
@_json
@click.pass_obj
def suppress(invocation: Invocation, file: str, remove: bool, wants_json: bool) -> int:
    """Put everybody in FILE on the suppression list: they get no text and no mail any more, whatever the audience says.

    FILE is CSV, or - for standard input. The column `address` is needed; `kind` (phone, email), `why` (stop,
    unsubscribed, bounce, complaint, asked), `at` and `source` are read where they are there. Each row counts by itself,
    and to read a file twice changes nothing. The list is kept in the ledger.

    \b
    Examples:
      outagecast audience suppress unsubscribed.csv
      outagecast audience suppress came-back.csv --remove
    """
    from outagecast import suppression

    app = _started(invocation)
    path = Path("standard input" if file == "-" else file)
    with _reading(file) as given:
        taken = suppression.take(app.ledger, path, given, app.clock.now(), remove=remove)
    problems = list(taken.bad)
    if taken.bad_rows:
        more = f"; the first {len(taken.bad)} are named above" if taken.bad_rows > len(taken.bad) else ""
        hint = "correct them and read the file again: it changes nothing for the others"
        problems.append(Problem(f"{_rows(taken.bad_rows)} could not be used{more}", hint))
    code = ExitCode.BAD_INPUT if taken.bad_rows else ExitCode.DONE
    if wants_json:
        found = {"rows": taken.rows, "changed": taken.changed, "bad_rows": taken.bad_rows}
        _dump(code, found)
    else:
        done = "taken off the list" if remove else "put on the list"
        same = taken.rows - taken.changed
        screen.write(f"{people(taken.changed)} {done}.")
        if same:
            screen.write(f"{_rows(same)} changed nothing: {'not on it' if remove else 'on it already'}.")
    output.explain(problems)
    return code


@click.command(short_help="Write out the list of those who must not be sent anything.")
@_out
@_json
@click.pass_obj
def suppressed(invocation: Invocation, out: Path | None, wants_json: bool) -> int:
    """Write the suppression list as CSV, as `audience suppress` reads it; with --json, how many are on it and why.

    \b
    Examples:
      outagecast audience suppressed --out suppressed.csv
      outagecast audience suppressed --json
    """
    from outagecast import suppression

    app = _started(invocation)
    listed = app.ledger.suppressed() if app.has_ledger else iter(())
    if not wants_json:
        count = _put(out, suppression.lines(listed))
        if count:
            screen.note(f"{people(count - 1)} on the list{f', written to {out}' if out else ''}")
        return ExitCode.DONE
    tally = Counter((one.kind, one.why) for one in listed)
    kinds, whys = Counter[str](), Counter[str]()
    for (kind, why), count in tally.items():
        kinds[kind] += count
        whys[why] += count
    _dump(ExitCode.DONE, {"people": tally.total(), "by_kind": dict(kinds), "by_why": dict(whys)})
    return ExitCode.DONE


@click.command(short_help="Write out who was not reached, and why.")
@click.argument("incident", shell_complete=complete.incidents)
@click.argument("channel", shell_complete=complete.channels)
@_out
@_json
@click.pass_obj
def failed(invocation: Invocation, incident: str, channel: str, out: Path | None, wants_json: bool) -> int:
    """Write who was not reached on a channel as CSV, with the state and the reason, to be told in another way.

    It has whoever was refused, never got it, may not have it or came too late. Who still waits is not in it: first
    resume. Its first columns are those of an audience.

    \b
    Examples:
      outagecast audience failed card-payments-2026-11-22 sms --out not-reached.csv
    """
    app = _started(invocation)
    found = app.unreached(incident, channel)
    if wants_json:
        for _ in found.lines():
            pass
        about = {"incident": found.incident, "update": found.number, "channel": channel, "people": found.people}
        _dump(ExitCode.DONE, {**about, "by_state": dict(found.states), "purged": found.purged})
        return ExitCode.DONE
    _put(out, found.lines())
    screen.note(f"update {found.number}, {channel}: {people(found.people)} not reached{f', in {out}' if out else ''}")
    if found.purged:
        screen.note(f"of {people(found.purged)} more the addresses were purged")
    return ExitCode.DONE


def _reading(file: str) -> IO[str]:
    """The text of a file, or of standard input. Raises UsageError."""
    try:
        return open(0 if file == "-" else file, encoding="utf-8-sig", newline="", closefd=file != "-")
    except OSError as error:
        problem = Problem(f"cannot read {file}: {error.strerror}", "name a CSV file, or - for standard input")
        raise UsageError(problem) from None


def _put(out: Path | None, lines: Iterable[str]) -> int:
    """Write the lines, and return how many; 0 where nobody reads on.

    Raises OutagecastError where they cannot be written, and then there is no file.
    """
    if out is None:
        try:
            return _write(sys.stdout, lines)
        except BrokenPipeError:  # whoever reads has seen enough
            return 0
        except OSError as error:
            raise _cannot("standard output", error) from None
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(Problem(f"{out} is there already", "name a new file with --out")) from None
    except OSError as error:
        raise _cannot(out, error) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            return _write(file, lines)
    except BaseException as error:
        out.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _cannot(out, error) from None
        raise


def _write(file: IO[str], lines: Iterable[str]) -> int:
    count = 0
    for count, line in enumerate(lines, 1):  # noqa: B007 - how many there were
        file.write(f"{line}\n")
    file.flush()
    return count


def _cannot(out: Path | str, error: OSError) -> OutagecastError:
    problem = Problem(f"cannot write {out}: {error.strerror}", "name another file with --out")
    return OutagecastError(problem, exit_code=ExitCode.PERMISSION)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _dump(code: ExitCode, facts: Mapping[str, object]) -> None:
    sheet.dump({"schema_version": SCHEMA_VERSION, "exit_code": int(code), "exit_name": code.label, **facts})


def _started(invocation: Invocation) -> App:
    from outagecast import app
    from outagecast.person import operator

    its = app.start(invocation.config, operator())
    click.get_current_context().call_on_close(its.close)
    return its
