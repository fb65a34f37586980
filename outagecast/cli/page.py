"""``page build``, ``page serve`` and ``page publish``: the outage pages of the config, without an announcement."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from outagecast.cli import Invocation, screen, sheet
from outagecast.cli.signals import Interrupted
from outagecast.errors import ExitCode, OutagecastError, Problem

if TYPE_CHECKING:
    from outagecast.app import App
    from outagecast.page import Built, Copied

SCHEMA_VERSION = 1
_channel = click.option("--channel", metavar="NAME", help="Which page, where the config has several.")


@click.group(short_help="Build the outage page, look at it, copy it to where it lives.")
def page() -> None:
    """The outage page: what the channels of the kind status_page have published, as files for any web server.

    \b
    Examples:
      outagecast page build
      outagecast page serve
      outagecast page publish
    """


@page.command(short_help="Write every page anew from the ledger.")
@_channel
@click.option("--json", "wants_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def build(invocation: Invocation, channel: str | None, wants_json: bool) -> int:
    """Write every file of the outage page anew from the ledger, or a first one before anything was announced.

    It is needed once, so that the page is there when it is looked for, and where its folder was lost or its templates
    have changed. Every announcement writes what it changes by itself.

    \b
    Examples:
      outagecast page build
      outagecast page build --channel page --json
    """
    its = _started(invocation)
    built = its.build_pages(channel)
    if wants_json:
        _dump(built)
        return ExitCode.DONE
    for one in built:
        screen.write(f"{one.channel}: {_count(one.files, 'file')} of {_count(one.incidents, 'incident')} in {one.path}")
        if its.config.channels[one.channel].settings.publish:
            screen.note("to copy it to where it lives: outagecast page publish")
    return ExitCode.DONE


@page.command(short_help="Show it in a browser on this machine.")
@_channel
@click.option("--port", type=click.IntRange(0, 65535), default=8000, metavar="PORT", help="[default: 8000]; 0: any.")
@click.pass_obj
def serve(invocation: Invocation, channel: str | None, port: int) -> int:
    """Serve the outage page to this machine alone until Ctrl-C, for a look at it. The public needs a real web server.

    \b
    Examples:
      outagecast page serve
      outagecast page serve --port 8080
    """
    from outagecast import page as pages

    chosen = pages.chosen(_started(invocation).config, channel)[0]
    with pages.served(chosen.settings.path, "127.0.0.1", port) as server:
        screen.note(f"{chosen.name}: http://127.0.0.1:{server.server_port}/   Ctrl-C ends")
        try:
            server.serve_forever(poll_interval=0.1)
        except Interrupted as error:
            return error.code
    return ExitCode.DONE


@page.command(short_help="Copy it to the storage where it lives.")
@_channel
@click.option("--json", "wants_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def publish(invocation: Invocation, channel: str | None, wants_json: bool) -> int:
    """Copy what has changed in the outage page's folder to the storage that its `publish` names, the index last.

    It is needed once, before the first announcement, and after `page build`. Every announcement copies what it changes
    by itself. An index that somebody else has put there is replaced.

    \b
    Examples:
      outagecast page publish
      outagecast page publish --channel page --json
    """
    from outagecast import page as pages

    copied = []
    try:
        for one in pages.published(_started(invocation).config, channel):
            with _progress(one.name) as tell:
                copied.append(pages.publish(one, tell))
    except Interrupted as error:
        problem = Problem("stopped; what was not copied can still be", "outagecast page publish")
        raise OutagecastError(problem, exit_code=error.code) from None
    if wants_json:
        _dump(copied)
        return ExitCode.DONE
    for its in copied:
        screen.write(f"{its.channel}: {_count(its.files, 'changed file')} copied to {its.publish}")
    return ExitCode.DONE


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """How far it got, on a terminal."""
    if not screen.can_redraw(sys.stderr):
        yield lambda *_: None
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{name}: looking for what has changed", spinner="line") as line:
        yield lambda done, count: line.update(f"{name}: {done:,} of {count:,} files")


def _dump(pages: Sequence[Built | Copied]) -> None:
    sheet.dump(
        {
            "schema_version": SCHEMA_VERSION,
            "exit_code": int(ExitCode.DONE),
            "exit_name": ExitCode.DONE.label,
            "pages": [one.as_json() for one in pages],
        }
    )


def _started(invocation: Invocation) -> App:
    from outagecast import app
    from outagecast.person import operator

    its = app.start(invocation.config, operator())
    click.get_current_context().call_on_close(its.close)
    return its


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
