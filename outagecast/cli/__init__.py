"""The command line: global options, commands imported on use, errors to exit codes."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import Any

import click

from outagecast import __version__
from outagecast.errors import ExitCode, OutagecastError, Problem

COMMANDS = {
    "announce": "outagecast.cli.announce:announce",
    "preview": "outagecast.cli.announce:preview",
    "status": "outagecast.cli.incident:status",
    "resume": "outagecast.cli.incident:resume",
    "settle": "outagecast.cli.incident:settle",
}


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the global options said."""

    config: str | None
    verbose: bool


class _Commands(click.Group):
    """Imports a command's module when it is called: `--help` must not wait for what it does not run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--config", metavar="FILE", envvar="OUTAGECAST_CONFIG", help="The configuration [default: ./outagecast.yaml]."
)
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, config: str | None, verbose: bool) -> None:
    """Tell everybody, at once and truthfully, when a service is down.

    Write the facts once in a message file; every channel says them in its own voice.

    \b
    See what would go out:   outagecast preview incident.yaml
    Announce it:             outagecast announce incident.yaml
    See what is out:         outagecast status
    Finish what was begun:   outagecast resume
    """
    ctx.obj = Invocation(config, verbose)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code."""
    sys.exit(int(run(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run one command; every way it can end is an exit code."""
    wants_json = "--json" in arguments
    try:
        return int(cli.main(arguments, prog_name="outagecast", standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return ExitCode.USAGE
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "outagecast"
        hint = f"see {command} --help"
        return _fail((Problem(error.format_message(), hint),), ExitCode.USAGE, wants_json)
    except click.Abort:
        return _fail((Problem("stopped before anything was sent"),), ExitCode.INTERRUPTED, wants_json)
    except OutagecastError as error:
        return _fail(error.problems, error.exit_code, wants_json)
    except Exception as error:  # noqa: BLE001 - a bug must end in a sentence and a code, never in a screen of secrets
        return _fail((_bug(error),), ExitCode.BUG, wants_json)


def _fail(problems: tuple[Problem, ...], code: ExitCode, wants_json: bool) -> int:
    from outagecast.cli import output

    output.failure(problems, code, wants_json=wants_json)
    return code


def _bug(error: Exception) -> Problem:
    from outagecast.text import clean

    trace: Any = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else "somewhere"
    return Problem(
        f"a bug in outagecast: {type(error).__name__} in {where}: {clean(error)}",
        "see what is out before anything else: outagecast status",
    )
