"""The command line: global options, commands imported on use, every way to end as an exit code."""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import sys
import threading
from contextlib import suppress
from dataclasses import field
from typing import Any, NamedTuple

import click

from outagecast import __version__
from outagecast.cli.signals import Interrupted, Signals
from outagecast.errors import ExitCode, OutagecastError, Problem

# What a command does is written here too, so that --help imports none of them.
GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Announce": {
        "new": ("outagecast.cli.new:new", "Write a message from a pre-agreed one."),
        "preview": ("outagecast.cli.announce:preview", "Show what every channel would say; send nothing."),
        "announce": ("outagecast.cli.announce:announce", "Announce an incident on every channel."),
        "resume": ("outagecast.cli.incident:resume", "Finish what was begun."),
        "pause": ("outagecast.cli.incident:pause", "Let nothing more go out to many people, for now."),
        "cancel": ("outagecast.cli.incident:cancel", "Call off what is not sent to people yet."),
        "settle": ("outagecast.cli.incident:settle", "Say what became of a delivery in doubt."),
        "retract": ("outagecast.cli.retract:retract", "Take back a false alarm, everywhere it went."),
    },
    "Look": {
        "status": ("outagecast.cli.incident:status", "Show what each channel carries."),
        "verify": ("outagecast.cli.verify:verify", "Compare what the public sees with what was sent."),
        "watch": ("outagecast.cli.watch:watch", "Keep it on the screen, and warn before a promised word is late."),
        "explain": ("outagecast.cli.setup:explain", "Say what an exit code means, and what to do."),
    },
    "Set up": {
        "demo": (
            "outagecast.cli.demo:demo",
            "Tell a made-up outage from first word to last, on all channels, to nobody.",
        ),
        "init": ("outagecast.cli.setup:init", "Write a first configuration, message and audience."),
        "check": ("outagecast.cli.setup:check", "Prove that everything is ready; publish nothing."),
        "channels": ("outagecast.cli.setup:channels", "Show what each kind of channel can do and promises."),
        "audience": ("outagecast.cli.audience:audience", "Check who is told, and keep the list of who must not be."),
        "purge": ("outagecast.cli.purge:purge", "Forget the addresses of incidents that are long over."),
        "page": ("outagecast.cli.page:page", "Build the outage page, look at it, copy it to where it lives."),
        "schema": ("outagecast.cli.setup:schema", "Print what lets an editor check and complete your files."),
        "completion": ("outagecast.cli.setup:completion", "Print what makes a shell complete commands."),
    },
}
COMMANDS = {name: place for group in GROUPS.values() for name, (place, _) in group.items()}


class Invocation(NamedTuple):
    """What the global options said, and the signals that may end it."""

    config: str | None = None
    verbose: bool = False
    signals: Signals = field(default_factory=Signals)


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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        for title, group in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<10}", words) for name, (_, words) in group.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--config", metavar="FILE", envvar="OUTAGECAST_CONFIG", help="The configuration [default: ./outagecast.yaml]."
)
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    envvar="OUTAGECAST_VERBOSE",
    help="Say more: every warning, the audience, the ledger, where words come from.",
)
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
    ctx.obj = Invocation(config, verbose, ctx.obj or Signals())


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code."""
    # Starting makes tens of thousands of objects and no garbage: looking for it took a twentieth of a preview.
    gc.set_threshold(50_000)
    from outagecast.cli import screen

    screen.guard()
    _close_doors()
    threading.excepthook, sys.unraisablehook = _report_thread, _report_unraisable
    with Signals() as signals:
        code = run(sys.argv[1:] if arguments is None else arguments, signals)
    gc.freeze()  # else the interpreter walks through all that was imported once more before it ends
    sys.exit(code)


def _close_doors() -> None:
    """No image of our memory in a core file, and no file of ours that others may write, whatever the shell allows."""
    import resource

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    os.umask(os.umask(0o077) | 0o022)


def run(arguments: list[str], signals: Signals | None = None) -> int:
    """Run one command; every way it can end is an exit code."""
    try:
        return int(
            cli.main(arguments, prog_name="outagecast", standalone_mode=False, obj=signals, terminal_width=_columns())
            or 0
        )
    except click.exceptions.NoArgsIsHelpError as error:
        if "--json" in arguments:
            return _fail(arguments, (Problem("no command was given", "see outagecast --help"),), ExitCode.USAGE)
        click.echo(error.format_message(), err=True)
        return ExitCode.USAGE
    except click.UsageError as error:
        return _fail(arguments, (_misused(error),), ExitCode.USAGE)
    except click.ClickException as error:
        return _fail(arguments, (Problem(error.format_message()),), ExitCode.USAGE)
    except click.Abort:
        return _fail(arguments, (Problem("stopped; nothing was sent"),), ExitCode.INTERRUPTED)
    except Interrupted as error:
        return _fail(arguments, (Problem("stopped before it began"),), error.code)
    except OutagecastError as error:
        return _fail(arguments, error.problems, error.exit_code)
    except OSError as error:
        if {"-h", "--help", "--version"} & set(arguments):  # nobody could read it, and nothing else was asked
            return ExitCode.DONE
        return _fail(arguments, (_bug(error),), ExitCode.BUG)
    except Exception as error:  # noqa: BLE001 - a bug must end in a sentence and a code, never in a screen of secrets
        code = _fail(arguments, (_bug(error),), ExitCode.BUG)
        if {"-v", "--verbose"} & set(arguments):
            _tell_way(error)
        return code


def _columns() -> int:
    """Of a help's lines; click itself makes none shorter than 50."""
    return max(min(shutil.get_terminal_size().columns, 110) - 2, 20)


def _fail(arguments: list[str], problems: tuple[Problem, ...], code: ExitCode) -> int:
    from outagecast.cli import output

    is_live = {"announce", "retract"} & set(arguments) and "--dry-run" not in arguments
    is_dry = "preview" in arguments or "--dry-run" in arguments
    output.failure(
        problems,
        code,
        mode="dry_run" if is_dry else "live",
        wants_json="--json" in arguments,
        was_to_send=bool(is_live),
    )
    return code


def _misused(error: click.UsageError) -> Problem:
    command = error.ctx.command_path if error.ctx else "outagecast"
    hint = f"see {command} --help"
    option = error.option_name if isinstance(error, click.NoSuchOption) else ""
    if option in {"-v", "--verbose", "--config"} and error.ctx and error.ctx.parent:
        hint = f"it stands before the command: outagecast {option} {error.ctx.info_name}"
    return Problem(error.format_message(), hint)


def _bug(error: BaseException) -> Problem:
    from outagecast.text import clean

    trace: Any = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else "somewhere"
    return Problem(
        f"a bug in outagecast: {type(error).__name__} in {where}: {clean(error)}",
        "see what is out before anything else: outagecast status",
    )


def _tell_way(error: BaseException) -> None:
    """The way to a bug, without the values on it."""
    import traceback

    from outagecast.cli import screen

    for frame in traceback.extract_tb(error.__traceback__):
        screen.note(f"  {frame.filename}:{frame.lineno} {frame.name}")


def _report_thread(given: threading.ExceptHookArgs) -> None:
    """A bug in a channel's thread: in a sentence too, since a traceback may hold secrets."""
    from outagecast.cli import output

    if given.exc_value is not None:
        output.explain((_bug(given.exc_value),))


def _report_unraisable(given: sys.UnraisableHookArgs) -> None:
    """A bug where nothing can be raised, such as in a finalizer: in a sentence too."""
    from outagecast.cli import output

    if given.exc_value is not None and not isinstance(given.exc_value, OSError):  # a screen that went away is no bug
        output.explain((_bug(given.exc_value),))
