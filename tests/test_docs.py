"""The documents say what the code does: keys, codes, states, promises, paths, commands, and the README's session."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import jinja2
import pytest

from outagecast import (
    app,
    check,
    config,
    facts,
    headcount,
    ladder,
    message,
    playbook,
    promises,
    registry,
    remind,
    rules,
    schema,
    score,
)
from outagecast.changes import Change, Earlier
from outagecast.channel import Carries
from outagecast.cli import COMMANDS, cli
from outagecast.cli.words import WORDS
from outagecast.errors import PRECEDENCE, ExitCode, Problem
from outagecast.explain import EXPLANATIONS
from outagecast.ledger import Hold, Refusal, Update
from outagecast.model import ComponentState, Difference, Impact, State, Status, Variant
from outagecast.report import ChannelReport, Cost, Counts, Report
from outagecast.template import Book
from outagecast.wording import Wording
from tests.conftest import Bank

ROOT = Path(__file__).parents[1]
SOURCES = Path(os.environ.get("OUTAGECAST_SOURCES", ROOT))
MAP = ("README.md", "CONTRIBUTING.md", "docs/architecture.md")  # they lead through the repo
PAGES = sorted(str(page.relative_to(ROOT)) for page in [ROOT / MAP[0], ROOT / MAP[1], *(ROOT / "docs").rglob("*.md")])
YOURS = {"incident.yaml", "outagecast.yaml", ".venv/bin/outagecast"}  # the reader's own files, not the repo's
SIX_FORTY = datetime.fromisoformat("2026-11-22T18:40+11:00")  # in Sydney, when the README's session was run


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def rows(page: str, head: str) -> list[list[str]]:
    """The cells of the table whose first heading is ``head``."""
    found = re.search(rf"^\| {head} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text(page), flags=re.MULTILINE)
    assert found, f"{page} has no table of {head}"
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in found[1].splitlines()]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def models(annotation: object) -> Iterator[type]:
    """The mappings that a value of this type may hold."""
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from models(inner)


def keys(model: type, prefix: str = "") -> Iterator[str]:
    """Every key of a file, with dots; ``<name>`` where a name is the writer's."""
    for name, (_, annotation) in schema.keys_of(model).items():
        inner = list(models(annotation))
        if inner:
            named = ".<name>" if typing.get_origin(annotation) is dict else ""
            yield from keys(inner[0], f"{prefix}{name}{named}.")
        else:
            yield f"{prefix}{name}"


# --- the message file


def test_every_fact_of_the_message_has_a_row_of_its_own() -> None:
    documented = [names(row[0])[0] for row in rows("docs/message.md", "fact")]

    assert documented == list(schema.keys_of(message.Message))


@pytest.mark.parametrize("row", rows("docs/message.md", "fact"), ids=lambda row: row[0].strip("`"))
def test_a_fact_that_has_parts_names_them_all(row: list[str]) -> None:
    _, annotation = schema.keys_of(message.Message)[names(row[0])[0]]
    parts = {key.rsplit(".", 1)[-1] for model in models(annotation) for key in keys(model)}

    assert parts - set(names(row[1])) == set()


@pytest.mark.parametrize("row", rows("docs/message.md", "fact"), ids=lambda row: row[0].strip("`"))
def test_the_example_of_a_fact_is_a_good_one(row: list[str], tmp_path: Path) -> None:
    name, example = names(row[0])[0], names(row[2])[0]
    base = {"incident": "cards", "status": "investigating", "title": "Cards", "summary": "Cards are declined."}
    lines = [f"{key}: {value}" for key, value in base.items() if key != name]
    path = tmp_path / "incident.yaml"
    path.write_text("\n".join([*lines, example]), encoding="utf-8")

    loaded = message.load(path)

    assert example.startswith(f"{name}: ")
    assert getattr(loaded, name)


@pytest.mark.parametrize(
    ("fact", "words"), [("status", [*Status]), ("impact", [*Impact]), ("components", [*ComponentState])]
)
def test_a_fact_of_few_words_names_them_all(fact: str, words: list[str]) -> None:
    row = next(row for row in rows("docs/message.md", "fact") if names(row[0]) == [fact])

    assert set(words) - set(names(row[1])) == set()


# --- the config


def test_every_key_of_the_config_has_a_row_and_every_row_a_key() -> None:
    documented = [names(row[0])[0] for row in rows("docs/config.md", "key")]

    assert sorted(documented) == sorted(keys(config.File))


def test_every_rule_of_advice_has_a_row_in_its_order_and_its_lesson_another() -> None:
    documented = [[names(row[0])[0], *row[1:]] for row in rows("docs/advice.md", "rule")]
    lessons = [int(row[0]) for row in rows("docs/advice.md", "lesson")]

    assert documented == [[rule.name, str(rule.lesson), rule.wants] for rule in rules.RULES]
    assert lessons == sorted({rule.lesson for rule in rules.RULES})


def test_the_advice_in_the_documents_can_be_configured(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", text("docs/advice.md"), flags=re.DOTALL)
    path = tmp_path / "outagecast.yaml"
    rest = "organisation: {name: A, timezone: UTC}\nchannels: {banner: {kind: banner, path: b.html}}\n"
    path.write_text("\n".join([rest, *blocks]), encoding="utf-8")

    found = config.load(path)

    assert found.promise.require
    assert found.advice.words["en"]
    assert found.advice.allow
    assert found.advice.ignore


def test_every_option_of_a_channel_has_a_row_and_every_row_an_option() -> None:
    section = text("docs/config.md").partition("## What every channel takes")[2].partition("\n\n`expires`")[0]
    documented = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)

    assert sorted(documented) == sorted(option.name for option in fields(config.Options))


def test_every_kind_is_named_and_linked() -> None:
    page = text("docs/config.md")

    assert [kind for kind in registry.BUILTIN if f"[{kind}](channels/{kind}.md)" not in page] == []


# --- the channels' pages


def page_of(kind: str) -> str:
    return f"docs/channels/{kind}.md"


@pytest.mark.parametrize("kind", registry.BUILTIN)
def test_a_channels_page_prints_the_promise_that_its_semantics_give(kind: str) -> None:
    promised = [line for line in text(page_of(kind)).splitlines() if line.startswith("Promise: ")]

    assert promised == [f"Promise: {registry.channel_class(kind).semantics.promise}"]


@pytest.mark.parametrize("kind", registry.BUILTIN)
def test_a_channels_page_prints_its_limits(kind: str) -> None:
    limits = "; ".join(
        f"`{part}` {limit.most:,} {limit.unit}{f', best within {limit.aim:,}' if limit.aim else ''}"
        for part, limit in registry.channel_class(kind).parts.items()
    )

    printed = [line for line in text(page_of(kind)).splitlines() if line.startswith("Limits: ")]

    assert printed == [f"Limits: {limits}."]


@pytest.mark.parametrize("kind", registry.BUILTIN)
def test_a_channels_page_has_every_setting_with_its_default(kind: str) -> None:
    documented = {name: row[1] for row in rows(page_of(kind), "setting") for name in names(row[0])}

    expected = {}
    for setting in fields(registry.settings_class(kind)):
        if setting.default is MISSING and setting.default_factory is MISSING:
            default = "required"
        elif setting.default_factory is not MISSING or setting.default is None:
            default = "none"
        elif isinstance(setting.default, timedelta):
            default = f"`{setting.default // timedelta(hours=1)}h`"
        else:
            default = f"`{str(setting.default).lower() if isinstance(setting.default, bool) else setting.default}`"
        expected[setting.name.rstrip("_")] = default
    assert documented == expected


def test_the_readme_promises_what_the_semantics_give() -> None:
    promised = {names(row[0])[0]: row[1] for row in rows("README.md", "kind")}

    assert promised == {kind: registry.channel_class(kind).semantics.promise for kind in registry.BUILTIN}


@pytest.mark.parametrize("page", PAGES)
def test_nowhere_is_exactly_once_promised(page: str) -> None:
    mentions = re.findall(r"[^.\n]*exactly once[^.\n]*", text(page), flags=re.IGNORECASE)

    assert [mention for mention in mentions if "nowhere promised" not in mention] == []


# --- codes, states, JSON


def test_every_exit_code_is_documented_as_it_is_explained() -> None:
    explained = [
        [str(int(code)), f"`{code.label}`", EXPLANATIONS[code].meaning, EXPLANATIONS[code].advice] for code in ExitCode
    ]

    assert rows("docs/exit-codes.md", "code") == explained


def test_the_precedence_of_the_exit_codes_is_documented() -> None:
    assert f"given: {' > '.join(str(int(code)) for code in PRECEDENCE)}." in text("docs/exit-codes.md")


def test_the_readmes_exit_codes_are_those_of_their_page() -> None:
    every = [row[:3] for row in rows("docs/exit-codes.md", "code")]

    assert [row for row in rows("README.md", "code") if row not in every] == []


def test_every_state_is_documented_with_its_word_on_the_screen() -> None:
    documented = {names(row[0])[0]: row[1] for row in rows("docs/json.md", "state")}

    assert documented == {state.value: WORDS[state.value][0] for state in State}


def everything() -> Report:
    """A report in which nothing is left out."""
    said, before = {"text": "Cards - all - are declined."}, {"text": "Cards – all – are declined."}
    variant = Variant("sms", "twilio_sms", "en", said, 1, "en/twilio_sms", ("summary",), ("cause",), unfitted=before)
    cost = Cost(1, config.Price(Decimal("0.05"), "AUD"))
    channel = ChannelReport("x", "x", State.ACCEPTED, Counts(planned=1), 1, variants=(variant,), cost=cost)
    channel = dataclasses.replace(channel, difference=Difference("en", "text", "Cards are declined.", "Cards work."))
    update = Update("cards", 1, Status.RESOLVED, "", "{}", "", SIX_FORTY, "ana@desk", SIX_FORTY)
    others = [promises.Party(name, on=config.EVERY_STATUS) for name in ("x", "facebook")]
    told = {"x": {1: promises.Cell(State.ACCEPTED, 1, 1, 0, SIX_FORTY, SIX_FORTY)}}
    over = score.scored(promises.course([update], told, others, config.Promise(), SIX_FORTY))
    silent = dataclasses.replace(over.rows[1], standing=promises.Standing.SILENT)
    course = dataclasses.replace(over, rows=[over.rows[0], silent])
    held = Hold(SIX_FORTY, "ana@desk", "paused by hand")
    channel = dataclasses.replace(channel, held=held, refusals=[Refusal("not a mobile number", 3)])
    channel = dataclasses.replace(channel, previous={"en": Earlier(1, {"text": "Cards work."})})
    return Report(
        incident="cards",
        course=course,
        errors=(Problem("bad"),),
        warnings=("look",),
        changes=(Change("cause", "unknown", "A power cut."),),
        channels=(channel,),
    )


def leaves(value: object, at: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        named = {"parts": "<part>", "measures": "<part>", "refused_by_reason": "<reason>"}.get(at.rpartition(".")[2])
        for key, inner in value.items():
            yield from leaves(inner, f"{at}.{named or key}".removeprefix("."))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, f"{at}[]")
    else:
        yield at


def test_every_key_of_the_json_has_a_row_and_every_row_a_key() -> None:
    documented = [names(row[0])[0] for row in rows("docs/json.md", "key")]

    assert sorted(documented) == sorted({*leaves(json.loads(json.dumps(everything().as_json())))})


def test_every_key_of_a_watchs_json_has_a_row_and_every_row_a_key() -> None:
    found = {"incidents": [everything().course.as_json()]}  # type: ignore[union-attr]
    documented = [names(row[0])[0] for row in rows("docs/json.md", "watch")]

    assert [name for name in documented if name.startswith("incidents")] == list(dict.fromkeys(leaves(found)))


def test_every_key_of_a_warning_has_a_row_and_every_row_a_key() -> None:
    due = promises.Due(SIX_FORTY, promises.Word.FIRST)
    given = remind.payload(remind.Deadline("cards", 1, "identified", due, ("x",)), SIX_FORTY, ZoneInfo("UTC"))
    table = rows("docs/json.md", "warning")

    assert [names(row[0])[0] for row in table] == list(leaves(given))
    assert set(promises.Word) <= {name for row in table for name in names(row[1])}


def test_every_key_of_a_checks_json_has_a_row_and_every_row_a_key() -> None:
    looked = check.as_json([check.Item(check.Area.DISK, "disk", check.Verdict.OK, "77 GiB free")])
    table = rows("docs/json.md", "check")

    assert [names(row[0])[0] for row in table] == list(leaves(json.loads(json.dumps(looked))))
    assert set(check.Area) | set(check.Verdict) <= {name for row in table for name in names(row[1])}


def test_every_key_of_an_audiences_json_has_a_row_and_every_row_a_key(bank: Bank) -> None:
    (bank.folder / "customers.csv").write_text("phone\nnone\n", encoding="utf-8")
    bank.config["channels"]["sms"] |= {"price": "0.05 AUD"}
    bank.write()
    loaded = config.load(bank.folder / "outagecast.yaml")
    counted = headcount.as_json([headcount.take(loaded.channels["sms"], loaded, None)])
    for of_each in ("languages", "countries", "suppressed", "other_countries"):  # by names that are no keys
        counted["audiences"][0][of_each] = 1

    documented = [names(row[0])[0] for row in rows("docs/json.md", "audience")]
    assert documented == list(dict.fromkeys(leaves(counted)))


# --- playbooks


def test_every_key_of_a_playbooks_head_has_a_row_and_every_row_a_key() -> None:
    assert [names(row[0])[0] for row in rows("docs/playbooks.md", "head")] == list(schema.keys_of(playbook.Head))


def test_the_shipped_playbooks_are_listed_with_what_they_are_for() -> None:
    shipped = [playbook.find(name, None, SIX_FORTY) for name in sorted(playbook.paths(None))]

    listed = [(names(row[0])[0], row[1], names(row[2])[0]) for row in rows("docs/playbooks.md", "scenario")]

    assert listed == [(book.name, book.head.title, book.facts["status"]) for book in shipped]


def test_the_playbook_on_its_page_is_a_good_one_and_whole(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(playbook:.*?)```", text("docs/playbooks.md"), flags=re.DOTALL)
    path = tmp_path / "card-payments.yaml"
    path.write_text(example, encoding="utf-8")

    assert playbook.load(path, None, SIX_FORTY).languages == ["en", "ro"]


def test_every_key_of_news_json_has_a_row_and_every_row_a_key(
    clone: Path, shell: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    listed = json.loads(shell("outagecast --config config.example.yaml new --json").stdout)
    written = json.loads(shell("outagecast --config config.example.yaml new card-payments --json").stdout)

    assert {names(row[0])[0] for row in rows("docs/json.md", "playbook")} == {*leaves(listed["playbooks"][0])}
    assert {names(row[0])[0] for row in rows("docs/json.md", "new")} == {*leaves(written)}


# --- templates


def test_everything_a_template_may_name_is_documented() -> None:
    said = message.Message(incident="cards", status=Status.INVESTIGATING, title="Cards", summary="Cards are declined.")
    given = facts.context(said, Wording("en", ZoneInfo("UTC"), SIX_FORTY), None, links=True)
    documented = {name for row in rows("docs/templates.md", "name") for name in names(row[0])}

    beside = {"organisation", "first", "update", "groups", "languages", "components_named", "briefing"}
    beside |= {"rung", "parts", "say"}
    assert documented == {*given, *beside}


def test_the_rungs_are_documented() -> None:
    page = text("docs/templates.md")

    assert f"up to {ladder.RUNGS}; the first that fits" in page
    assert f"If rung {ladder.RUNGS} is too long" in page
    assert [row[0] for row in rows("docs/templates.md", "rung")] == [str(rung) for rung in range(2, ladder.RUNGS + 1)]


def test_every_filter_of_ours_is_documented() -> None:
    ours = set(Book("en", None)._environment.filters) - set(jinja2.Environment().filters)  # noqa: S701 - renders nothing

    assert {names(row[0])[0] for row in rows("docs/templates.md", "filter")} == ours


def test_every_status_is_named_as_a_block() -> None:
    assert set(Status) - set(names(text("docs/templates.md").partition("## Line breaks")[0])) == set()


def test_what_a_short_text_must_state_is_documented_by_status() -> None:
    everything_said = message.Message(
        incident="cards",
        status=Status.INVESTIGATING,
        title="Cards",
        summary="Cards are declined.",
        started_at=SIX_FORTY,
        ended_at=SIX_FORTY,
        window=message.Window(start=SIX_FORTY, end=SIX_FORTY),
        eta=SIX_FORTY,
        apology=message.Apology(short="Sorry.", long="Sorry."),
        retraction_reason="A monitor was broken.",
    )
    needed = {}
    for status in Status:
        said = dataclasses.replace(everything_said, status=status)
        given = facts.context(said, Wording("en", ZoneInfo("UTC"), SIX_FORTY), SIX_FORTY, links=True)
        needed[status.value] = set(facts.required(Carries.ESSENTIALS, facts.stated(given, {}), status))

    table = rows("docs/templates.md", "status")

    assert {status: set(names(row[1])) for row in table for status in names(row[0])} == needed


# --- paths and links


def written_paths(page: str) -> set[str]:
    """What a page names as a path of the repo: in backticks, with a slash in it or a known ending."""
    paths = set()
    for name in names(re.sub(r"```.*?```", "", text(page), flags=re.DOTALL)):
        is_path = re.fullmatch(r"[\w.<>-]+(?:/[\w.<>-]*)*", name) and not name.startswith("--")
        if is_path and ("/" in name or re.search(r"\.(?:py|md|ya?ml|toml|csv|j2|lock)$", name)):
            paths.add(name)
    return paths - YOURS


def real_paths(written: str) -> Iterator[str]:
    """A path as it is, once for each kind and part where it leaves them open."""
    for kind in registry.BUILTIN if "<kind>" in written else [""]:
        for part in registry.channel_class(kind).parts if "<part>" in written else [""]:
            yield written.replace("<kind>", kind).replace("<part>", part).replace("<language>", "en")


def places(path: str) -> list[Path]:
    """Where a path may be: of a template, also among what every language shares."""
    shared = path.replace("templates/en/", "templates/shared/")
    return [root / name for root in (ROOT, SOURCES) for name in (path, shared)]


@pytest.mark.parametrize(
    ("page", "written"), [(page, written) for page in MAP for written in sorted(written_paths(page))]
)
def test_a_path_that_leads_through_the_repo_exists(page: str, written: str) -> None:
    missing = [path for path in real_paths(written) if not any(map(Path.exists, places(path)))]

    if missing and not (SOURCES / "outagecast").is_dir():
        pytest.skip(f"{missing[0]} is not in the sdist, and the sources are away; OUTAGECAST_SOURCES may name them")
    assert missing == []


def test_the_pages_name_enough_paths_for_this_to_mean_something() -> None:
    assert len(written_paths("docs/architecture.md")) > 20
    assert "channels/<kind>.py" in written_paths("CONTRIBUTING.md")


def test_every_module_of_the_core_has_its_floor() -> None:
    table = " ".join(" ".join(row) for row in rows("docs/architecture.md", "floor"))
    folder = Path(app.__file__).parent
    modules = [path.name for path in folder.glob("*.py") if not path.name.startswith("_")]

    assert [name for name in modules if f"`outagecast/{name}`" not in table] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_link_inside_the_repo_leads_somewhere(page: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text(page)) if not re.match(r"https?:|#", link)]

    missing = [link for link in links if not ((ROOT / page).parent / link.partition("#")[0]).exists()]

    assert missing == []


def test_the_make_targets_are_all_described() -> None:
    makefile = ROOT / "Makefile"
    targets = re.findall(r"^(\w+):.*##", makefile.read_text(encoding="utf-8"), flags=re.MULTILINE)
    described = [names(row[0])[0].removeprefix("make ") for row in rows("CONTRIBUTING.md", "target")]

    assert sorted(described) == sorted(targets)


def test_adding_a_channel_takes_five_lines() -> None:
    section = text("CONTRIBUTING.md").partition("## Add a channel")[2].partition("\n## ")[0]

    assert re.findall(r"^(\d)\. ", section, flags=re.MULTILINE) == ["1", "2", "3", "4", "5"]


def test_the_changelog_says_what_is_unreleased() -> None:
    section = text("CHANGELOG.md").partition("## [Unreleased]\n")[2].partition("\n## ")[0]

    assert "- " in section


# --- commands


def commands(page: str) -> list[str]:
    """The command lines that a page shows at a prompt."""
    blocks = re.findall(r"```console\n(.*?)```", text(page), flags=re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.parametrize(
    "line", sorted({line for page in PAGES for line in commands(page) if line.startswith("outagecast ")})
)
def test_a_command_at_a_prompt_can_be_typed(line: str) -> None:
    _, *words = shlex.split(line, comments=True)
    if words[0] == "--config":
        words = words[2:]
    command = cli.get_command(click.Context(cli), words[0])
    while isinstance(command, click.Group):
        words = words[1:]
        command = command.get_command(click.Context(command), words[0])

    assert command
    assert command.make_context(words[0], words[1:], obj=None).params


@pytest.mark.parametrize("page", PAGES)
def test_a_command_named_in_a_sentence_is_there_or_said_not_to_be(page: str) -> None:
    mentions = re.findall(r"`outagecast ([a-z]+)[^`]*`( \(not there yet\))?", text(page))

    assert [word for word, not_yet in mentions if (word in COMMANDS) == bool(not_yet)] == []


# --- the README's session; with OUTAGECAST_REWRITE_README set, its output is written anew instead of compared


def session(mark: str) -> tuple[str, str]:
    """The command and the output of the README's block that is marked so."""
    found = re.search(rf"<!-- tested: {mark} -->\n```console\n\$ (.*)\n((?:.*\n)*?)```", text("README.md"))
    assert found, f"the README has no block marked {mark}"
    return found[1], found[2]


def rewritten(shown: str, printed: str) -> bool:
    """Puts ``printed`` into the README in the place of ``shown``, where that is asked for."""
    if "OUTAGECAST_REWRITE_README" not in os.environ:
        return False
    (ROOT / "README.md").write_text(text("README.md").replace(shown, printed), encoding="utf-8")
    return True


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the README's session needs of a clone."""
    shutil.copy(ROOT / "config.example.yaml", tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


@pytest.fixture
def shell(clone: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command line in ``clone``, with ``outagecast`` on the way."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OUTAGECAST_")}
    base = clean | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "80"}
    base |= {"PYTHONIOENCODING": "utf-8", "OUTAGECAST_NO_LINK_CHECK": "1"}  # the bank is made up

    def run(line: str, **extra: str) -> subprocess.CompletedProcess[str]:
        environment = base | extra
        return subprocess.run(
            ["sh", "-c", line],
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_readmes_preview_runs_as_it_is_written(
    clone: Path, shell: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    command, _ = session("preview")

    done = shell(command)

    assert (done.returncode, done.stderr) == (0, "")
    assert "of 280 X characters" in done.stdout
    assert sorted(path.name for path in clone.iterdir()) == ["config.example.yaml", "examples"]


def test_the_readmes_preview_prints_what_it_shows(
    clone: Path, shell: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    command, shown = session("preview")
    at = shlex.join([sys.executable, str(ROOT / "tests" / "at.py"), SIX_FORTY.isoformat(), "0"])

    printed = shell(command.replace("outagecast", at, 1)).stdout

    assert rewritten(shown, printed) or shown == printed


def test_the_readmes_first_steps_lead_to_a_wall(
    clone: Path, shell: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    first, rest = session("first")
    lines = [first, *(line.removeprefix("$ ") for line in rest.splitlines())]

    done = shell("set -e\n" + "\n".join(lines), EDITOR="true")

    assert (done.returncode, len(lines)) == (0, 4), done.stderr
    assert [
        heading for heading in ("x", "facebook", "banner", "sms", "email") if f"── {heading} " not in done.stdout
    ] == []
    assert (clone / "status" / "wall.html").exists()


def test_every_page_is_found_from_the_index() -> None:
    linked = set(re.findall(r"\]\(([\w./-]+\.md)\)", text("docs/README.md")))

    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert pages - linked == {"README.md"}
