"""A message out of what was agreed upon beforehand: listed, written, never over another file, and finished by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from outagecast import playbook
from outagecast.check import Verdict
from outagecast.errors import ExitCode

if TYPE_CHECKING:
    from tests.conftest import Bank

    Cli = Callable[..., CompletedProcess[str]]

SCENARIOS = sorted(path.stem for path in playbook.SHIPPED.glob("*.yaml"))


def today() -> str:
    return f"{datetime.now(ZoneInfo('Australia/Sydney')):%Y-%m-%d}"


def fill(path: Path) -> None:
    """Take each example, as somebody does for whom it is right."""
    text = re.sub(r"FILL IN [^|\n]*\| ", "", path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")


def speak(bank: Bank, *languages: str) -> None:
    bank.config["organisation"]["languages"] = list(languages)
    bank.write()


def own(bank: Bank, name: str, text: str) -> Path:
    """Put a playbook of the bank's own."""
    path = bank.folder / "mine" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    bank.config["playbooks"] = {"folder": "mine"}
    bank.write()
    return path


MINE = "playbook: {title: Our own, owner: Ana Pop}\nstatus: investigating\ntitle: Cards\nsummary: Cards fail.\n"


def test_from_scenario_to_a_preview_by_the_commands_that_are_printed(bank: Bank, cli: Cli) -> None:
    told = cli("new", "card-payments", "--started-at", "now")

    command = told.stdout.strip().splitlines()[-1].split()
    path = bank.folder / f"card-payments-{today()}.yaml"
    assert (told.returncode, command) == (0, ["outagecast", "preview", path.name])
    assert f"Then: outagecast preview {path.name}\n" in path.read_text(encoding="utf-8")
    assert cli("preview", path.name).returncode == ExitCode.BAD_INPUT
    fill(path)
    shown = cli("preview", path.name)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Cash machines and transfers in our app still work." in shown.stdout


def test_a_preview_of_an_unfilled_message_names_every_place_at_once(bank: Bank, cli: Cli) -> None:
    told = cli("new", "card-payments", "incident-1.yaml")

    shown = cli("preview", "incident-1.yaml")

    lines = (bank.folder / "incident-1.yaml").read_text(encoding="utf-8").splitlines()
    marked = [str(number) for number, line in enumerate(lines, 1) if "FILL IN" in line and not line.startswith("#")]
    assert re.findall(r"incident-1\.yaml:(\d+):\d+: still to be filled in: ", shown.stderr) == marked
    assert f"on lines {', '.join(marked)}:" in told.stdout
    assert len(marked) == 3


def test_an_unfilled_message_is_announced_nowhere(bank: Bank, cli: Cli) -> None:
    cli("new", "card-payments", "incident-1.yaml")

    assert cli("announce", "incident-1.yaml", "--yes").returncode == ExitCode.BAD_INPUT
    assert set(bank.sent.values()) == {0}


def test_no_file_is_written_over(bank: Bank, cli: Cli) -> None:
    (bank.folder / "mine.yaml").write_text("mine")

    told = cli("new", "card-payments", "mine.yaml")

    assert told.returncode == ExitCode.USAGE
    assert "is there already" in told.stderr
    assert (bank.folder / "mine.yaml").read_text() == "mine"


def test_a_name_that_a_file_or_the_ledger_has_is_not_taken_again(bank: Bank, cli: Cli) -> None:
    for _ in range(2):
        cli("new", "card-payments")
    first, second = (bank.folder / f"card-payments-{today()}{end}.yaml" for end in ("", "-2"))
    assert yaml.safe_load(second.read_text())["incident"] == f"card-payments-{today()}-2"

    fill(first)
    assert cli("announce", first.name, "--yes", "--channel", "banner").returncode == 0
    first.unlink()
    second.unlink()
    cli("new", "card-payments", "other.yaml")

    assert yaml.safe_load((bank.folder / "other.yaml").read_text())["incident"] == f"card-payments-{today()}-2"


def test_a_dash_prints_the_message_and_what_is_for_people_beside_it(bank: Bank, cli: Cli) -> None:
    before = sorted(bank.folder.iterdir())

    told = cli("new", "total-outage", "-")

    assert yaml.safe_load(told.stdout)["title"] == "All our services are down"
    assert "FILL IN on lines" in told.stderr
    assert "another network" in told.stderr or "a network that" in told.stderr
    assert sorted(bank.folder.iterdir()) == before


def test_the_languages_are_the_configs_and_the_first_is_what_it_is_written_in(bank: Bank, cli: Cli) -> None:
    speak(bank, "ro", "en")

    cli("new", "card-payments", "cards.yaml")

    facts = yaml.safe_load((bank.folder / "cards.yaml").read_text(encoding="utf-8"))
    assert facts["title"] == "Plățile cu cardul nu funcționează"
    assert list(facts["translations"]) == ["en"]


def test_without_a_configuration_it_is_english_with_a_hint(
    bank: Bank, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bank.folder / "outagecast.yaml").unlink()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))

    told = cli("new", "card-payments", "cards.yaml")

    assert told.returncode == 0
    assert "outagecast init" in told.stderr
    assert "translations" not in yaml.safe_load((bank.folder / "cards.yaml").read_text(encoding="utf-8"))


def test_a_configuration_that_was_named_is_named_again(bank: Bank, cli: Cli) -> None:
    (bank.folder / "outagecast.yaml").rename(bank.folder / "our bank.yaml")

    told = cli("--config", "our bank.yaml", "new", "card-payments", "cards.yaml")

    assert told.stdout.rstrip().endswith("outagecast --config 'our bank.yaml' preview cards.yaml")


def test_the_start_is_by_the_organisations_clock(bank: Bank, cli: Cli) -> None:
    cli("new", "card-payments", "cards.yaml", "--started-at", "2026-11-22T09:30+02:00")

    assert "started_at: 2026-11-22T09:30+02:00\n" in (bank.folder / "cards.yaml").read_text(encoding="utf-8")


def test_a_false_alarm_goes_under_the_name_that_was_announced(bank: Bank, cli: Cli) -> None:
    cli("announce", "incident.yaml", "--yes", "--channel", "x")
    cli("new", "false-alarm", "--incident", "card-payments")
    path = bank.folder / "card-payments.yaml"
    fill(path)

    told = cli("announce", path.name, "--yes", "--channel", "x")

    assert told.returncode == 0, told.stderr
    assert "We're sorry for the alarm." in bank.providers.x.posts[-1].text


def test_a_false_alarm_without_a_name_asks_for_it(bank: Bank, cli_json: Callable[..., dict[str, Any]]) -> None:
    written = cli_json("new", "false-alarm")

    assert (written["file"], written["incident"]) == ("false-alarm.yaml", None)
    assert written["fill_in"][0]["message"].startswith("still to be filled in: the incident that was announced")


def test_json_says_what_was_written_and_what_is_left(bank: Bank, cli_json: Callable[..., dict[str, Any]]) -> None:
    speak(bank, "en", "ro")

    written = cli_json("new", "online-banking", "--started-at", "now")

    assert {name: value for name, value in written.items() if name != "fill_in"} == {
        "schema_version": 1,
        "exit_code": 0,
        "exit_name": "done",
        "file": f"online-banking-{today()}.yaml",
        "incident": f"online-banking-{today()}",
        "playbook": "online-banking",
        "languages": ["en", "ro"],
    }
    assert len(written["fill_in"]) == 4
    assert set(written["fill_in"][0]) == {"file", "line", "column", "message", "hint"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("card-paymets",), 'did you mean "card-payments"?'),
        (("zzz",), "outagecast new"),
        (("card-payments", "--incident", "Not A Slug"), "small letters"),
        (("card-payments", "--started-at", "25:00"), "--started-at"),
        (("planned-maintenance", "--started-at", "now"), "leave out --started-at"),
        (("card-payments", "-", "--json"), "name a file"),
        (("card-payments", "incident.yaml/deeper.yaml"), "outagecast new card-payments FILE"),
    ],
)
def test_what_cannot_be_written_says_what_to_type(bank: Bank, cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    before = sorted(bank.folder.iterdir())

    told = cli("new", *arguments)

    assert told.returncode == ExitCode.USAGE
    assert words in told.stderr
    assert sorted(bank.folder.iterdir()) == before


# --- the list


def test_the_list_names_every_scenario_and_how_to_begin(bank: Bank, cli: Cli) -> None:
    told = cli("new")

    assert told.returncode == 0
    assert [line.split()[0] for line in told.stdout.splitlines() if line.split()[:1] and line.split()[0] in SCENARIOS]
    assert "outagecast new card-payments" in told.stdout
    assert told.stdout.rstrip().endswith("outagecast init --playbooks")


def test_the_list_says_which_of_the_promised_languages_are_lacking(bank: Bank, cli: Cli) -> None:
    speak(bank, "en", "it")

    assert cli("new").stdout.count("en, no it") == len(SCENARIOS)


def test_the_list_in_json_has_each_playbook(bank: Bank, cli_json: Callable[..., dict[str, Any]]) -> None:
    own(bank, "our-own.yaml", MINE)
    own(bank, "broken.yaml", "playbook: {}\n")

    rows = {row["name"]: row for row in cli_json("new")["playbooks"]}

    assert rows["our-own"] == {
        "name": "our-own",
        "title": "Our own",
        "owner": "Ana Pop",
        "reviewed": None,
        "languages": ["en"],
        "own": True,
        "error": None,
    }
    assert "broken.yaml:1:" in rows["broken"]["error"]
    assert rows["card-payments"]["languages"] == ["en", "ro", "zh-Hant", "es", "fr", "de"]
    assert rows["card-payments"]["own"] is False


def test_one_that_is_broken_hides_no_other_and_is_explained_when_it_is_wanted(bank: Bank, cli: Cli) -> None:
    own(bank, "broken.yaml", "playbook: {}\nstatus: open\n")

    assert cli("new", "card-payments", "cards.yaml").returncode == 0
    told = cli("new", "broken", "other.yaml")

    assert told.returncode == ExitCode.BAD_INPUT
    assert "broken.yaml:2:9:" in told.stderr
    assert not (bank.folder / "other.yaml").exists()


# --- around it


def test_init_copies_the_shipped_ones_on_request_and_they_can_be_used(bank: Bank, cli: Cli) -> None:
    cli("init", "first", "--playbooks")

    copied = {path.name: path.read_bytes() for path in (bank.folder / "first" / "my-playbooks").iterdir()}
    assert copied == {path.name: path.read_bytes() for path in playbook.SHIPPED.iterdir()} != {}
    settings = bank.folder / "first" / "outagecast.yaml"
    text = settings.read_text(encoding="utf-8")
    for line in ("# playbooks:", "#   folder: my-playbooks/", "#   owner: "):
        assert line in text
        text = text.replace(line, line.replace("# ", "", 1).replace("#   ", "  "))
    settings.write_text(text.replace("#   review_every", "  review_every"), encoding="utf-8")
    told = cli("--config", "first/outagecast.yaml", "new", "--json")
    assert {row["own"] for row in json.loads(told.stdout)["playbooks"]} == {True}


def test_check_tries_every_playbook_and_names_the_owner_of_what_is_due(
    bank: Bank, cli_json: Callable[..., dict[str, Any]]
) -> None:
    own(bank, "our-own.yaml", MINE)
    items = {item["name"]: item for item in cli_json("check", "--channel", "banner")["items"]}
    assert (items["our-own"]["verdict"], "Ana Pop" in items["our-own"]["fix"]) == (Verdict.WARN, True)

    own(bank, "our-own.yaml", MINE.replace("Cards fail.", f"{'Cards fail. ' * 40}"))
    found = cli_json("check", "--channel", "x")

    item = next(item for item in found["items"] if item["name"] == "our-own")
    assert (item["area"], item["verdict"], found["exit_code"]) == ("playbooks", "wrong", ExitCode.BAD_INPUT)
    assert "too long for x" in item["words"]


def test_tab_proposes_the_scenarios_with_ones_own(bank: Bank) -> None:
    own(bank, "our-own.yaml", MINE)
    asked = {"COMP_WORDS": "outagecast new ", "COMP_CWORD": "2", "_OUTAGECAST_COMPLETE": "bash_complete"}

    proposed = [line.partition(",")[2] for line in bank.run(env=asked).stdout.splitlines()]

    assert proposed == ["our-own", *SCENARIOS]
