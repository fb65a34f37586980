"""Before the first incident: init, check, channels, explain, completion, and help that teaches."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from outagecast import json_schema, registry
from outagecast.cli import COMMANDS, GROUPS, cli, reference
from outagecast.errors import ExitCode
from outagecast.explain import EXPLANATIONS, find
from outagecast.model import Status

if TYPE_CHECKING:
    from tests.conftest import Bank

ROOT = Path(__file__).parents[2]
Cli = Callable[..., CompletedProcess[str]]


def in_folder(folder: Path, *arguments: str, **environment: str) -> CompletedProcess[str]:
    """The command in a process of its own, in an empty shell."""
    mine = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "OUTAGECAST_SOURCES"}}
    return subprocess.run(
        [sys.executable, "-m", "outagecast", *arguments],
        cwd=folder,
        env={**mine, "LC_ALL": "C.UTF-8", "XDG_CONFIG_HOME": str(folder / "none"), **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=40,
    )


# --- init


def test_a_new_user_has_a_preview_by_the_commands_that_init_prints(tmp_path: Path) -> None:
    told = in_folder(tmp_path, "init", "my bank")
    commands = [line.strip() for line in told.stdout.splitlines() if line.startswith("  ")]

    assert (told.returncode, commands[0]) == (0, "cd 'my bank'")
    assert [command.split()[1] for command in commands[1:]] == ["preview", "check", "preview", "new"]
    shown = in_folder(tmp_path / "my bank", *commands[1].split()[1:])
    assert (shown.returncode, "PREVIEW" in shown.stdout) == (0, True)


def test_what_init_writes_is_what_the_repo_shows(tmp_path: Path, cli: Cli) -> None:
    assert cli("init", str(tmp_path / "new")).returncode == 0

    pairs = {"outagecast.yaml": "config.example.yaml"}
    pairs |= {name: name for name in ("examples/card-payments.yaml", "examples/customers.csv")}
    written = {name: (tmp_path / "new" / name).read_bytes() for name in pairs}
    assert written == {name: (ROOT / original).read_bytes() for name, original in pairs.items()}
    found = [path.relative_to(tmp_path / "new") for path in (tmp_path / "new").rglob("*") if path.is_file()]
    schemas = [f".outagecast/{name}.schema.json" for name in json_schema.FILES]
    assert sorted(map(str, found)) == sorted([*pairs, *schemas])


def test_init_keeps_every_file_that_is_there_and_names_it(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "outagecast.yaml").write_text("mine")

    told = cli("init", str(tmp_path))

    assert told.returncode == 0
    assert (tmp_path / "outagecast.yaml").read_text() == "mine"
    assert f"kept     {tmp_path / 'outagecast.yaml'}" in told.stdout
    assert (tmp_path / "examples" / "customers.csv").exists()


def test_init_follows_no_link_to_a_file_of_yours(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "outagecast.yaml").symlink_to(tmp_path / "elsewhere.yaml")

    told = cli("init", str(tmp_path / "new"))

    assert f"kept     {tmp_path / 'new' / 'outagecast.yaml'}" in told.stdout
    assert not (tmp_path / "elsewhere.yaml").exists()


def test_init_where_all_is_there_already_is_an_error(tmp_path: Path, cli: Cli) -> None:
    cli("init", str(tmp_path))

    again = cli("init", str(tmp_path))

    assert again.returncode == ExitCode.USAGE
    assert "nothing was written" in again.stderr
    assert again.stderr.rstrip().endswith("outagecast init FOLDER)")


def test_init_renews_what_editors_read_and_nothing_of_yours(tmp_path: Path, cli: Cli) -> None:
    cli("init", str(tmp_path))
    schema = tmp_path / ".outagecast" / "config.schema.json"
    written = schema.read_bytes()
    schema.write_text("{}")
    (tmp_path / "outagecast.yaml").write_text("mine")

    told = cli("init", str(tmp_path))

    assert (told.returncode, f"wrote    {schema}" in told.stdout) == (0, True)
    assert schema.read_bytes() == written
    assert (tmp_path / "outagecast.yaml").read_text() == "mine"


def test_init_copies_the_templates_only_on_request(tmp_path: Path, cli: Cli) -> None:
    cli("init", str(tmp_path), "--templates")

    shipped = {path.name: path.read_bytes() for path in Path(reference.__file__).parents[1].glob("templates/en/*.j2")}
    copied = {path.name: path.read_bytes() for path in (tmp_path / "my-templates" / "en").iterdir()}
    assert copied == shipped != {}


def test_customers_are_nobody_elses_to_read(tmp_path: Path, cli: Cli) -> None:
    cli("init", str(tmp_path))

    assert stat.S_IMODE((tmp_path / "examples" / "customers.csv").stat().st_mode) == 0o600


@pytest.mark.parametrize("below", [".", "inside"])
def test_init_into_a_file_says_so(tmp_path: Path, cli: Cli, below: str) -> None:
    (tmp_path / "file").write_text("")

    told = cli("init", str(tmp_path / "file" / below))

    assert told.returncode in {ExitCode.USAGE, ExitCode.LEDGER}
    assert "bug" not in told.stderr
    assert told.stderr.rstrip().endswith("outagecast init FOLDER)")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_init_where_nothing_may_be_written_is_a_matter_of_permission(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)

    assert cli("init", str(tmp_path / "closed")).returncode == ExitCode.PERMISSION


def test_every_key_of_the_shipped_files_is_explained_to_a_newcomer() -> None:
    for name in ("config.example.yaml", "examples/card-payments.yaml"):
        comments = re.findall(r"# .{10,}", (ROOT / name).read_text(encoding="utf-8"))

        assert len(comments) > 10


# --- check


def test_check_says_one_line_an_item_into_a_pipe(bank: Bank) -> None:
    bank.config["channels"]["x"]["api_key"] = "env:NOWHERE"
    bank.write()

    told = bank.run("check")

    lines = [line.split() for line in told.stdout.splitlines()]
    assert (told.returncode, {line[0] for line in lines}) == (ExitCode.CONFIG, {"OK", "WRONG"})
    wrong = [line for line in told.stdout.splitlines() if line.startswith("WRONG")]
    assert len(wrong) == 1
    assert wrong[0].endswith("-> export NOWHERE=… and run again")
    assert told.stderr.rstrip().endswith("outagecast check")


def test_check_in_json_has_the_same_items(bank: Bank, cli: Cli, cli_json: Callable[..., dict[str, Any]]) -> None:
    told = cli("check", "--channel", "x")
    found = cli_json("check", "--channel", "x")

    words = [(item["verdict"].upper(), item["name"]) for item in found["items"]]
    assert words == [tuple(re.split(r"\s{2,}", line)[:2]) for line in told.stdout.splitlines()]
    assert ("OK", "x") in words
    assert "facebook" not in dict(map(reversed, words))  # type: ignore[arg-type]


def test_check_of_a_bad_config_names_every_line(bank: Bank, cli_json: Callable[..., dict[str, Any]]) -> None:
    path = bank.folder / "outagecast.yaml"
    path.write_text(path.read_text().replace("kind: smtp", "kind: smpt").replace("kind: banner", "kind: baner"))

    found = cli_json("check")

    assert found["exit_code"] == ExitCode.CONFIG
    assert [item["verdict"] for item in found["items"]] == ["wrong", "wrong"]
    assert all(re.match(r"outagecast.yaml:\d+:\d+: ", item["words"]) for item in found["items"])


def test_check_of_an_unknown_channel_is_refused(bank: Bank, cli: Cli) -> None:
    assert cli("check", "--channel", "twitter").returncode == ExitCode.USAGE


def test_check_where_nothing_is_set_up_says_how_to_begin(tmp_path: Path) -> None:
    told = in_folder(tmp_path, "check")

    assert told.returncode == ExitCode.CONFIG
    assert "outagecast init" in told.stdout


def test_the_whole_command_ends_in_time_though_a_provider_never_answers(bank: Bank) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts, and never says a word
        bank.config["channels"]["x"]["api_url"] = f"http://127.0.0.1:{server.getsockname()[1]}"
        bank.write()
        began = time.monotonic()

        told = bank.run("check", "--channel", "x", "--max-time", "1.5")
        took = time.monotonic() - began

    assert told.returncode == ExitCode.CONFIG
    assert "no answer within 1.5 seconds" in told.stdout
    assert took < 10  # the call's own deadline would be 20


# --- channels


def test_channels_lists_every_kind_with_its_promise_though_nothing_is_set_up(tmp_path: Path) -> None:
    told = in_folder(tmp_path, "channels")

    assert told.returncode == 0
    assert [line for line in told.stdout.splitlines() if line in registry.kinds()] == list(registry.kinds())
    flat = " ".join(told.stdout.split())
    for kind in registry.kinds():
        assert registry.channel_class(kind).semantics.promise in flat
    assert told.stdout.rstrip().endswith("outagecast init")


def test_channels_lists_those_that_are_configured(bank: Bank, cli_json: Callable[..., dict[str, Any]]) -> None:
    bank.config["channels"]["x"] |= {"required": False, "on": ["resolved"]}
    bank.write()

    found = cli_json("channels")

    assert [channel["channel"] for channel in found["channels"]] == list(bank.config["channels"])
    assert found["channels"][0] == {
        "channel": "x",
        "kind": "x",
        "enabled": True,
        "required": False,
        "languages": ["en"],
        "on": ["resolved"],
        "audience": None,
    }
    kinds = {kind["kind"]: kind for kind in found["kinds"]}
    assert kinds["x"]["parts"] == {"text": {"limit": 280, "unit": "X characters", "aim": None, "carries": "essentials"}}
    assert [kind for kind, its in kinds.items() if its["withdraws"]] == ["x", "facebook"]
    assert [kind for kind, its in kinds.items() if not its["public"]] == [
        "twilio_sms",
        "smtp",
        "briefing",
        "briefing_mail",
    ]
    assert kinds["smtp"]["looks_up"] == "none"


def test_channels_says_what_is_wrong_with_the_config(bank: Bank, cli: Cli) -> None:
    (bank.folder / "outagecast.yaml").write_text("channels: {}")

    assert cli("channels").returncode == ExitCode.CONFIG


# --- explain


@pytest.mark.parametrize("code", ExitCode)
def test_every_exit_code_is_explained(code: ExitCode) -> None:
    words = EXPLANATIONS[code]

    assert words.meaning.endswith(".")
    assert words.advice.endswith(".")


@pytest.mark.parametrize("word", ["12", "in_doubt", "IN-DOUBT", "in doubt"])
def test_explain_takes_a_number_or_a_name(cli: Cli, word: str) -> None:
    told = cli("explain", word)

    assert told.returncode == 0
    assert told.stdout.startswith("12 in_doubt\nSomething may be out")
    assert "outagecast resume" in told.stdout


def test_explain_without_a_code_lists_them_all(cli: Cli) -> None:
    listed = re.findall(r"^ *(\d+) (\w+)  ", cli("explain").stdout, flags=re.MULTILINE)

    assert listed == [(str(int(code)), code.label) for code in ExitCode]


@pytest.mark.parametrize("word", ["99", "twelve", "", "1 2"])
def test_explain_of_no_exit_code_says_where_they_are(cli: Cli, word: str) -> None:
    told = cli("explain", word)

    assert told.returncode == ExitCode.USAGE
    assert told.stderr.rstrip().endswith("outagecast explain)")
    assert find(word) is None


# --- schema


@pytest.mark.parametrize("name", json_schema.FILES)
def test_schema_prints_what_init_writes(tmp_path: Path, cli: Cli, name: str) -> None:
    cli("init", str(tmp_path))

    printed = cli("schema", name)

    assert printed.returncode == 0
    assert printed.stdout == (tmp_path / ".outagecast" / f"{name}.schema.json").read_text(encoding="utf-8")


# --- completion


@pytest.mark.parametrize(("shell", "sign"), [("bash", "complete"), ("zsh", "compdef"), ("fish", "complete")])
def test_completion_prints_what_the_shell_itself_would_be_given(shell: str, sign: str, tmp_path: Path) -> None:
    told = in_folder(tmp_path, "completion", shell)
    own = in_folder(tmp_path, _OUTAGECAST_COMPLETE=f"{shell}_source")

    assert told.returncode == own.returncode == 0
    assert sign in told.stdout
    assert told.stdout.strip() == own.stdout.strip()


def proposed(bank: Bank, *words: str, **environment: str) -> list[str]:
    """What bash is told at a press of Tab after these words."""
    asked = {"COMP_WORDS": " ".join(["outagecast", *words]), "COMP_CWORD": str(len(words))}
    told = bank.run(env={**asked, "_OUTAGECAST_COMPLETE": "bash_complete", **environment})
    assert told.stderr == ""
    return [line.partition(",")[2] for line in told.stdout.splitlines() if line]


def test_tab_proposes_channels_incidents_statuses_and_codes(bank: Bank) -> None:
    bank.run("announce", "incident.yaml", "--yes", "--channel", "banner")

    assert proposed(bank, "status", "") == ["card-payments"]
    assert proposed(bank, "settle", "card-payments", "em") == ["email"]
    assert proposed(bank, "announce", "incident.yaml", "--channel", "") == list(bank.config["channels"])
    assert proposed(bank, "preview", "incident.yaml", "--status", "") == [*Status]
    assert proposed(bank, "explain", "in_") == ["in_doubt"]
    assert proposed(bank, "schema", "") == [*json_schema.FILES]
    assert proposed(bank, "ch") == ["check", "channels"]


def test_tab_says_nothing_where_nothing_can_be_found_out(bank: Bank) -> None:
    (bank.folder / "outagecast.yaml").write_text("channels: [")

    assert proposed(bank, "status", "") == []
    assert proposed(bank, "check", "--channel", "") == []


def test_tab_makes_no_ledger(bank: Bank) -> None:
    before = sorted(bank.folder.iterdir())

    assert proposed(bank, "status", "") == []
    assert sorted(bank.folder.iterdir()) == before


# --- help


def test_help_is_grouped_and_says_what_each_command_says_of_itself(cli: Cli) -> None:
    told = cli("--help").stdout

    assert [line[:-1] for line in told.splitlines() if line[:-1] in GROUPS] == ["Announce", "Look", "Set up"]
    for group in GROUPS.values():
        for name, (_, words) in group.items():
            command = cli_command(name)
            assert command.get_short_help_str(200) == words
            assert " ".join(words.split()) in " ".join(told.split())


def cli_command(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_has_an_example_that_can_be_typed(name: str) -> None:
    words = cli_command(name).help or ""

    examples = re.findall(rf"^ +(?:eval \"\$\()?(outagecast {name}\b.*)$", words, flags=re.MULTILINE)
    assert examples
    assert re.search(r"^ *Examples?:$", words, flags=re.MULTILINE)


def test_help_imports_no_command(tmp_path: Path) -> None:
    script = "import sys; from outagecast.cli import run; run(['--help']); print(*sys.modules, file=sys.stderr)"

    told = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)

    loaded = {name for name in told.stderr.split() if name.startswith("outagecast.")}
    assert loaded <= {"outagecast.cli", "outagecast.cli.signals", "outagecast.cli.screen", "outagecast.errors"} | {
        "outagecast.text",
        "outagecast.secret",
    }


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the docs are not here")
def test_the_docs_are_what_make_docs_would_write() -> None:
    stale = [path.name for path, content in reference.pages(ROOT) if path.read_text(encoding="utf-8") != content]

    assert stale == []  # else: make docs


@pytest.mark.parametrize(
    "arguments",
    [
        ("explian", "12"),
        ("explain", "99"),
        ("preview", "nowhere.yaml"),
        ("preview", "incident.yaml", "--set", "impact=huge"),
        ("preview", "incident.yaml", "--send-to", "bob"),
        ("preview", "incident.yaml", "--channel", "twitter"),
        ("announce", "incident.yaml"),
        ("status", "nothing"),
        ("resume",),
        ("settle", "x", "y"),
        ("check", "--channel", "twitter"),
        ("completion", "tcsh"),
        ("new", "card-paymets"),
        ("new", "card-payments", "incident.yaml"),
        ("--config", "nowhere.yaml", "channels"),
    ],
    ids=" ".join,
)
def test_an_error_ends_with_the_next_command_to_type(bank: Bank, cli: Cli, arguments: tuple[str, ...]) -> None:
    told = cli(*arguments)

    assert told.returncode
    assert "outagecast " in told.stderr.splitlines()[-1] or "--yes" in told.stderr.splitlines()[-1]


# --- every screen

PAGES = (("--help",), ("new",), ("channels",), ("explain",), ("explain", "12"), ("check", "--channel", "banner"))


@pytest.mark.parametrize("columns", [40, 200])
@pytest.mark.parametrize("arguments", PAGES, ids=" ".join)
def test_a_screen_of_any_width_is_kept(bank: Bank, arguments: tuple[str, ...], columns: int) -> None:
    terminal = bank.terminal(*arguments, columns=columns)
    terminal.wait()

    too_long = [line for line in terminal.text.splitlines() if len(line) > columns]
    breakable = [line for line in too_long if len(line.split()) > 1 and "outagecast " not in line]
    assert breakable == []
    assert terminal.text.strip()


@pytest.mark.parametrize("arguments", PAGES, ids=" ".join)
def test_a_pipe_of_ascii_gets_every_word_and_no_colour(bank: Bank, arguments: tuple[str, ...]) -> None:
    plain = bank.run(*arguments, env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    full = bank.run(*arguments)

    assert plain.stdout.isascii()
    assert "\x1b" not in plain.stdout + full.stdout
    assert plain.returncode == full.returncode
    assert len(plain.stdout.splitlines()) == len(full.stdout.splitlines())


def test_the_shipped_config_and_message_are_yaml_that_a_newcomer_can_read_on_a_small_screen() -> None:
    for name in ("config.example.yaml", "examples/card-payments.yaml"):
        text = (ROOT / name).read_text(encoding="utf-8")

        assert yaml.safe_load(text)
        assert max(map(len, text.splitlines())) <= 120


def test_json_is_one_object_whatever_the_pipe_can_show(bank: Bank) -> None:
    told = bank.run("channels", "--json", env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})

    assert json.loads(told.stdout)["exit_code"] == 0
