"""Writes into the docs what the code knows best: what each kind of channel is, and every command's help.

``make docs`` runs it; a test holds the pages to it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from outagecast import catalogue, registry
from outagecast.cli import GROUPS, cli, screen

BEGIN, END = "<!-- `make docs` writes what follows -->", "<!-- up to here -->"
_COLUMNS = 88


def pages(root: Path) -> Iterator[tuple[Path, str]]:
    """Every page that is made, wholly or in part, with what should stand in it. Raises ValueError without markers."""
    yield root / "docs" / "commands.md", commands()
    for kind in registry.BUILTIN:
        path = root / "docs" / "channels" / f"{kind}.md"
        yield path, _put(path.read_text(encoding="utf-8"), channel(kind), path)


def channel(kind: str) -> str:
    """What the adapter declares: its promise, its limits and what it can do."""
    adapter = registry.channel_class(kind)
    limits = "; ".join(
        f"`{part}` {limit.most:,} {limit.unit}{f', best within {limit.aim:,}' if limit.aim else ''}"
        for part, limit in adapter.parts.items()
    )
    rows = dict(catalogue.Kind(kind, adapter).rows())
    shown = {name: answer for name, answer in rows.items() if name not in {"what it is", "promise", "source"}}
    table = "\n".join(f"| {name} | {answer} |" for name, answer in shown.items())
    sources = " ".join(f"<{address}>" for address in re.findall(r"https?://\S+", adapter.semantics.source))
    return (
        f"Promise: {adapter.semantics.promise}\n\nLimits: {limits}.\n\n| | |\n|---|---|\n{table}\n\n"
        f"What the promise rests on: {sources or adapter.semantics.source}"
    )


def commands() -> str:
    """Every command's help, as it is printed."""
    lines = ["# Commands", "", "Made by `make docs` from each command's `--help`.", "", *_help(cli, "outagecast")]
    for title, group in GROUPS.items():
        lines += ["", f"## {title}"]
        for name in group:
            command = cli.get_command(click.Context(cli), name)
            assert command is not None  # noqa: S101 - for the type checker
            lines += ["", f"### {name}", "", *_help(command, f"outagecast {name}")]
            for part, within in getattr(command, "commands", {}).items():
                lines += ["", f"#### {name} {part}", "", *_help(within, f"outagecast {name} {part}")]
    return "\n".join([*lines, ""])


def _help(command: click.Command, path: str) -> list[str]:
    settings = {**cli.context_settings, "terminal_width": _COLUMNS, "max_content_width": _COLUMNS}
    top = click.Context(cli, info_name="outagecast", **settings)
    context = top if command is cli else click.Context(command, top, path.removeprefix("outagecast "))
    with context:
        return ["```text", *command.get_help(context).splitlines(), "```"]


def _put(page: str, made: str, path: Path) -> str:
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


def main(root: Path) -> None:
    """Write every page below ``root``."""
    for path, content in pages(root):
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
            screen.note(f"wrote {path}")


if __name__ == "__main__":
    main(Path(*sys.argv[1:]))
