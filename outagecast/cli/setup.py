"""``init``, ``check``, ``channels``, ``explain``, ``schema`` and ``completion``: for quiet days."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

from outagecast.cli import Invocation, complete, files, screen, sheet
from outagecast.errors import ConfigError, ExitCode, Problem, UsageError

if TYPE_CHECKING:
    from outagecast.config import Config

CONFIG, MESSAGE, AUDIENCE = "outagecast.yaml", "examples/card-payments.yaml", "examples/customers.csv"
TEMPLATES, PLAYBOOKS = "my-templates", "my-playbooks"
SCHEMA = ".outagecast/{}.schema.json"  # the shipped files' first lines tell editors so
ELSEWHERE = "name another folder: outagecast init FOLDER"
_PRIVATE = {AUDIENCE: 0o600}  # people's own numbers will stand in it

_json = click.option("--json", "wants_json", is_flag=True, help="One JSON object on standard output.")


@click.command(short_help="Write a first configuration, message and audience.")
@click.argument("folder", default=".", metavar="[FOLDER]", type=click.Path(path_type=Path))
@click.option("--templates", is_flag=True, help="Also copy the shipped texts, to change them.")
@click.option("--playbooks", is_flag=True, help="Also copy the shipped playbooks, to make them yours.")
def init(folder: Path, templates: bool, playbooks: bool) -> int:
    """Write a first configuration, an example message and a list of people to FOLDER, or here.

    All are commented. A file that is there already is left as it is.

    \b
    Example:
      outagecast init status-page
    """
    written: list[str] = []
    in_the_way: list[str] = []
    for name, content in _shipped(templates=templates, playbooks=playbooks):
        made = files.create(folder / name, content, ELSEWHERE, _PRIVATE.get(name, 0o644))
        (written if made else in_the_way).append(name)
    written += [name for name, content in _schemas() if files.renew(folder / name, content, ELSEWHERE)]
    for name in written:
        screen.write(f"wrote    {folder / name}")
    for name in in_the_way:
        screen.write(f"kept     {folder / name}, which is in the way: it was left as it is")
    if not written:
        hint = f"take them away first, or {ELSEWHERE}"
        raise UsageError(Problem("nothing was written: every file is there already", hint))
    if templates:
        screen.write(f"\nTo use your own texts, take the # off `templates: {TEMPLATES}/` in {folder / CONFIG}.")
    if playbooks:
        screen.write(f"\nTo use your own playbooks, take the # off `playbooks:` and its lines in {folder / CONFIG}.")
    screen.write(f"\nNow put your own names into {folder / CONFIG}, and then:\n")
    for command in _next_commands(folder):
        screen.write(f"  {command}")
    return ExitCode.DONE


def _next_commands(folder: Path) -> Iterator[str]:
    if folder.resolve() != Path.cwd():
        yield f"cd {shlex.quote(str(folder))}"
    yield f"outagecast preview {MESSAGE}"
    yield "outagecast check"
    yield f"outagecast preview {MESSAGE} --send-to you@example.com"
    yield "outagecast new"


def _shipped(*, templates: bool, playbooks: bool) -> Iterator[tuple[str, bytes]]:
    """The files to write, by their names below the folder."""
    package = resources.files("outagecast")
    yield CONFIG, (package / "config.example.yaml").read_bytes()
    for name in (MESSAGE, AUDIENCE):
        yield name, package.joinpath(*name.split("/")).read_bytes()
    if templates:
        for language in sorted((package / "templates").iterdir(), key=lambda entry: entry.name):
            if language.is_dir() and not language.name.startswith("_"):
                for text in sorted(language.iterdir(), key=lambda entry: entry.name):
                    if text.name.endswith(".j2"):
                        yield f"{TEMPLATES}/{language.name}/{text.name}", text.read_bytes()
    if playbooks:
        for book in sorted((package / "playbooks").iterdir(), key=lambda entry: entry.name):
            yield f"{PLAYBOOKS}/{book.name}", book.read_bytes()


def _schemas() -> Iterator[tuple[str, bytes]]:
    """What editors read, by its names below the folder."""
    from outagecast import json_schema

    for name, schema_of in json_schema.FILES.items():
        yield SCHEMA.format(name), f"{json.dumps(schema_of(), ensure_ascii=False, indent=2)}\n".encode()


@click.command(short_help="Prove that everything is ready; publish nothing.")
@click.option(
    "--channel", "only", metavar="NAME", multiple=True, help="Only this channel; repeatable.",
    shell_complete=complete.channels,
)  # fmt: skip
@click.option(
    "--max-time",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    envvar="OUTAGECAST_MAX_TIME",
    help="Wait no longer for anything; 25 unless told.",
)
@_json
@click.pass_obj
def check(invocation: Invocation, only: tuple[str, ...], max_time: float | None, wants_json: bool) -> int:
    """Prove that everything an announcement needs is ready: config, texts, audiences, ledger, disk, every channel.

    Nothing is published. It ends within 30 seconds, whatever does not answer; run it daily, as from cron.

    \b
    Example:
      outagecast check --channel x
    """
    from outagecast import app
    from outagecast import check as looking

    try:
        its = app.start(invocation.config, "")
    except ConfigError as error:
        items = looking.unusable(error)
    else:
        from outagecast import plan

        patience = looking.PATIENCE if max_time is None else max_time
        if screen.is_terminal(sys.stderr) and not wants_json:
            screen.note(f"Looking, for {patience:g} seconds at most.")
        items = looking.Check(its.config, plan.select(its.config, only, ()), its.create, patience=patience).run()
    code = looking.judge(items)
    if wants_json:
        sheet.dump(looking.as_json(items))
        return code
    sheet.show(sheet.findings(items))
    if code is not ExitCode.DONE:
        sheet.note(f"exit {int(code)} ({code.label}): put right what is WRONG, then check again: outagecast check")
    return code


@click.command(short_help="Show what each kind of channel can do and promises.")
@_json
@click.pass_obj
def channels(invocation: Invocation, wants_json: bool) -> int:
    """Show what each kind of channel is, can do and promises; and the channels that are configured.

    \b
    Example:
      outagecast channels --json
    """
    from outagecast import catalogue

    found = _config(invocation)
    kinds = catalogue.kinds()
    its = list(found.channels.values()) if found else []
    if wants_json:
        sheet.dump(
            {
                "schema_version": 1,
                "exit_code": int(ExitCode.DONE),
                "exit_name": ExitCode.DONE.label,
                "kinds": [kind.as_json() for kind in kinds],
                "channels": [catalogue.configured(channel) for channel in its],
            }
        )
        return ExitCode.DONE
    for kind in kinds:
        screen.write(sheet.heading(kind.name))
        sheet.show(sheet.pairs(kind.rows()))
        screen.write("")
    if found is None:
        screen.write("No channel is configured here. Make a first configuration: outagecast init")
        return ExitCode.DONE
    screen.write(sheet.heading(f"Configured in {found.path}"))
    screen.write("")
    sheet.show(
        sheet.table(
            ("CHANNEL", "KIND", "LANGUAGES", "REQUIRED", "CARRIES"),
            [
                (
                    channel.name,
                    channel.kind,
                    ", ".join(channel.options.languages or ()),
                    "switched off" if not channel.options.enabled else "yes" if channel.options.required else "no",
                    catalogue.carried(channel),
                )
                for channel in its
            ],
        )
    )
    return ExitCode.DONE


def _config(invocation: Invocation) -> Config | None:
    """The configuration, None where there is none and none was named. Raises ConfigError for a bad one."""
    from outagecast import config

    try:
        path = config.locate(invocation.config)
    except ConfigError:
        return None
    return config.load(path)


@click.command(short_help="Say what an exit code means, and what to do.")
@click.argument("code", required=False, metavar="[CODE]", shell_complete=complete.exit_codes)
def explain(code: str | None) -> int:
    """Say what an exit code means and what to do next. CODE is a number or a name; without one, all are listed.

    \b
    Example:
      outagecast explain 12
    """
    from outagecast import explain as explained

    if code is None:
        rows = ((f"{int(known):>3} {known.label}", words.meaning) for known, words in explained.EXPLANATIONS.items())
        sheet.show(sheet.pairs(rows, indent=""))
        screen.write("\nWhat to do about one: outagecast explain 12")
        return ExitCode.DONE
    found = explained.find(code)
    if found is None:
        hint = "see them all: outagecast explain"
        raise UsageError(Problem(f'there is no exit code "{code}"', hint))
    words = explained.EXPLANATIONS[found]
    screen.write(sheet.heading(f"{int(found)} {found.label}"))
    for text in (words.meaning, re.sub(r"`([^`]+)`", _quoted, words.advice)):
        for line in screen.wrap(text, screen.width()):
            screen.write(line)
    return ExitCode.DONE


def _quoted(command: re.Match[str]) -> str:
    return f"“{command[1]}”" if screen.is_unicode(sys.stdout) else f'"{command[1]}"'


@click.command(short_help="Print what lets an editor check and complete your files.")
@click.argument("file", type=click.Choice(["message", "config"]))
def schema(file: str) -> int:
    """Print the JSON Schema of the message file or of the configuration, for an editor or any other program.

    It knows every kind of channel that is installed. "outagecast init" writes both where the example files name them.

    \b
    Example:
      outagecast schema message > message.schema.json
    """
    from outagecast import json_schema

    sheet.dump(json_schema.FILES[file]())
    return ExitCode.DONE


@click.command(short_help="Print what makes a shell complete commands.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the script that makes a shell complete commands, channels and incidents at a press of Tab.

    \b
    Examples:
      eval "$(outagecast completion bash)"                 in ~/.bashrc
      eval "$(outagecast completion zsh)"                  in ~/.zshrc
      outagecast completion fish | source                  in config.fish
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None  # noqa: S101 - for the type checker
    screen.write(script(ctx.find_root().command, {}, "outagecast", "_OUTAGECAST_COMPLETE").source().rstrip())
    return ExitCode.DONE
