"""``new``: a message out of a playbook, or the list of them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from outagecast.cli import Invocation, complete, files, screen, sheet
from outagecast.errors import ExitCode, OutagecastError, Problem, UsageError
from outagecast.text import clean, printable

if TYPE_CHECKING:
    from outagecast.config import Config
    from outagecast.playbook import Playbook


@click.command(short_help="Write a message from a pre-agreed one.")
@click.argument("scenario", required=False, shell_complete=complete.playbooks)
@click.argument("file", required=False)
@click.option(
    "--started-at", metavar="TIME", help="When it began: now, 18:30 of today, or a time such as 2026-11-22T18:30+11:00."
)
@click.option(
    "--incident",
    metavar="SLUG",
    shell_complete=complete.incidents,
    help="What to call it; else the scenario and the day. A false alarm takes the name that was announced.",
)
@click.option("--json", "wants_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def new(
    invocation: Invocation,
    *,
    scenario: str | None,
    file: str | None,
    started_at: str | None,
    incident: str | None,
    wants_json: bool,
) -> int:
    """Write a message to FILE, or here, from what was agreed upon beforehand for a SCENARIO.

    It has the languages of your configuration. What only the day can tell says FILL IN, and cannot be announced before
    that is done. Without a SCENARIO they are listed; - as FILE is standard output.

    \b
    Examples:
      outagecast new
      outagecast new card-payments --started-at 18:30
      outagecast new card-payments incident.yaml
    """
    config = _config(invocation)
    now = datetime.now(config.organisation.timezone) if config else datetime.now().astimezone()
    if scenario is None:
        return _list(config, now, wants_json=wants_json)
    if wants_json and file == "-":
        raise UsageError(Problem("--json and - both write to standard output", "name a file, or leave out --json"))
    from outagecast import message, playbook

    if incident and not message.SLUG.fullmatch(incident):
        raise UsageError(Problem("--incident must be small letters, digits and hyphens", "see outagecast new --help"))
    book = playbook.find(scenario, config, now)
    folder = Path(file).parent if file else Path()
    slug = incident or book.incident or playbook.slug(scenario, now.date(), _taken(config, folder))
    languages = config.organisation.languages if config else ("en",)
    facts = book.draft(languages, now, incident=slug, started_at=_start(book, started_at, now))
    path = Path(file or f"{book.name if slug == book.incident else slug}.yaml")
    text = playbook.written(facts, _comments(book, None if file == "-" else path))
    left = playbook.open_places(str(path), text, now)
    if file == "-":
        screen.write(text.rstrip("\n"))
    elif not files.create(path, text.encode(), elsewhere := f"name another file: outagecast new {scenario} FILE"):
        raise UsageError(Problem(f"{path} is there already, and was left as it is", elsewhere))
    if wants_json:
        named = None if slug == book.incident else slug
        open_ = [problem._asdict() for problem in left]
        _dump(file=str(path), incident=named, playbook=book.name, languages=list(languages), fill_in=open_)
    else:
        _tell(book, path, left, config, is_out=file == "-")
    return ExitCode.DONE


def _config(invocation: Invocation) -> Config | None:
    """The configuration, None where there is none and none was named. Raises ConfigError for a bad one."""
    from outagecast import config
    from outagecast.errors import ConfigError

    try:
        path = config.locate(invocation.config)
    except ConfigError:
        screen.note("There is no configuration here, so this is English and by this machine's clock: outagecast init")
        return None
    return config.load(path)


def _taken(config: Config | None, folder: Path) -> set[str]:
    """The names of incidents that are known, and of files that would be in the way."""
    from outagecast.ledger.sqlite import slugs

    known = slugs(Path(config.ledger.removeprefix("sqlite:///"))) if config else []
    return {*known, *(path.stem for path in folder.glob("*.yaml"))}


def _start(book: Playbook, given: str | None, now: datetime) -> datetime | None:
    from outagecast import playbook

    if given is None:
        return None
    if "started_at" not in book.facts:
        raise UsageError(Problem(f"{book.name} does not say when it began", "leave out --started-at"))
    try:
        return playbook.parse_start(given, now)
    except ValueError as error:
        raise UsageError(Problem(f"--started-at {error}", "see outagecast new --help")) from None


def _comments(book: Playbook, path: Path | None) -> list[str]:
    """What stands above the message; ``path`` is None where it goes to standard output."""
    agreed = f", reviewed {book.head.reviewed}" if book.head.reviewed else ""
    owner = f", {book.head.owner}" if book.head.owner else ""
    lines = [f"{book.head.title} (playbook {book.name}{owner}{agreed})"]
    lines += [book.head.note] if book.head.note else []
    look = f"outagecast preview {clean(shlex.quote(str(path))) if path else 'FILE'}"
    return [*lines, f"Where it says FILL IN, write what is true, or take the line out. Then: {look}"]


def _tell(book: Playbook, path: Path, left: Sequence[Problem], config: Config | None, *, is_out: bool) -> None:
    """What was written, what is left to do, and the next command to type; beside the message itself on - ."""
    say = screen.note if is_out else screen.write
    if book.head.note:
        say(book.head.note)
    if not is_out:
        say(f"wrote    {path}")
    if left:
        lines = ", ".join(dict.fromkeys(str(problem.line) for problem in left))
        say(f"It says FILL IN on line{'s' if len(left) > 1 else ''} {lines}: write what is true there, or take it out.")
    if not is_out:
        option = f"--config {shlex.quote(str(config.path))} " if config and _named(config) else ""
        say(f"\nThen:\n\n  outagecast {option}preview {shlex.quote(str(path))}")


def _named(config: Config) -> bool:
    """Whether the configuration was found only because somebody named it on the command line."""
    given = click.get_current_context().find_root().params.get("config")
    return given == str(config.path)


# -- the list ----------------------------------------------------------------------------------------------------------


def _list(config: Config | None, now: datetime, *, wants_json: bool) -> int:
    from outagecast import playbook

    rows = [_row(name, path, config, now) for name, path in playbook.paths(config).items()]
    if wants_json:
        _dump(playbooks=rows)
        return ExitCode.DONE
    wanted = config.organisation.languages if config else None
    sheet.show(
        sheet.table(("SCENARIO", "OWNER", "REVIEWED", "LANGUAGES", "WHEN"), [_cells(row, wanted) for row in rows])
    )
    screen.write(f"\nWrite a message from one: outagecast new {rows[0]['name']}")
    if not any(row["own"] for row in rows):
        screen.write("Agree on yours on a quiet day: outagecast init --playbooks")
    return ExitCode.DONE


def _cells(row: Mapping[str, Any], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """A row for people: of the languages, those that the organisation speaks."""
    owner = row["owner"] or ("nobody" if row["own"] else "shipped")
    spoken = [language if language in row["languages"] else f"no {language}" for language in wanted or row["languages"]]
    named = printable(row["name"])
    return named, owner, row["reviewed"] or "never", ", ".join(spoken), printable(row["title"] or row["error"])


def _row(name: str, path: Path, config: Config | None, now: datetime) -> dict[str, Any]:
    from outagecast import playbook

    row: dict[str, Any] = {"name": name, "title": None, "owner": None, "reviewed": None}
    row |= {"languages": [], "own": path.parent != playbook.SHIPPED, "error": None}
    try:
        book = playbook.load(path, config, now)
    except OutagecastError as error:
        return row | {"error": str(error.problems[0])}
    owner = book.head.owner or (config.playbooks.owner if config and book.is_own else None)
    reviewed = book.head.reviewed.isoformat() if book.head.reviewed else None
    return row | {"title": book.head.title, "owner": owner, "reviewed": reviewed, "languages": book.languages}


def _dump(**values: Any) -> None:
    code = ExitCode.DONE
    sheet.dump({"schema_version": 1, "exit_code": int(code), "exit_name": code.label, **values})
