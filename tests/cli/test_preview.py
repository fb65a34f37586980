"""``preview``: exactly what every channel would say, and nothing done."""

from __future__ import annotations

import re
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from rich.cells import cell_len

from tests import tongues

if TYPE_CHECKING:
    from tests.conftest import Bank

Cli: TypeAlias = Callable[..., CompletedProcess[str]]
CliJson: TypeAlias = Callable[..., dict[str, Any]]

SUMMARY = "Our debit and credit cards are being declined in shops and online."
CHANNELS = ["x", "facebook", "banner", "sms", "email"]
NOTHING = {"x": 0, "facebook": 0, "sms": 0, "email": 0, "banner": 0}


@pytest.fixture
def abroad(bank: Bank) -> Bank:
    """The bank speaks Chinese and Arabic too: on X, and to the customers who asked for it."""
    tongues.write_templates(bank.folder / "words")
    bank.config["templates"] = "words"
    bank.config["organisation"]["languages"] = list(tongues.LANGUAGES)
    bank.config["channels"]["x"]["languages"] = ["zh-Hant", "en", "ar"]
    rows = [("+61491570156", "ana@example.com", "en"), ("+61491570157", "chi@example.com", "zh-Hant")]
    lines = ["phone,email,language", *(",".join(row) for row in rows)]
    (bank.folder / "customers.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    bank.write(translations=tongues.TRANSLATIONS, cause=None, workaround=None)
    return bank


def _without_secrets(bank: Bank) -> dict[str, str | None]:
    return dict.fromkeys(bank.providers.environment)


def test_it_shows_the_exact_text_its_measure_the_people_and_what_they_cost(bank: Bank) -> None:
    bank.config["channels"]["sms"]["price"] = "0.05 AUD"
    bank.write()

    shown = bank.run("preview", "incident.yaml", env=_without_secrets(bank))

    assert shown.returncode == 0
    assert shown.stderr == ""
    flowing = " ".join(shown.stdout.split())
    assert "card-payments update 1 investigating PREVIEW" in flowing
    assert "Our debit and credit cards are being declined in shops and online." in flowing
    assert "of 280 X characters" in flowing
    assert "2 of 6 segments" in flowing
    assert "2 people, 4 billed = 0.20 AUD" in flowing
    assert "── email (smtp) " in flowing
    assert "English · says everything subject · " in flowing
    assert flowing.endswith("Nothing is sent yet. digest " + flowing[-12:])


def test_of_an_update_it_counts_those_who_will_get_it_and_leaves_nothing_out_of_an_empty_banner(
    bank: Bank, cli: Cli
) -> None:
    bank.providers.twilio.unsubscribed = frozenset({"+61491570157"})
    bank.write()
    cli("announce", "incident.yaml", "--yes")
    bank.write(
        status="resolved", title="Cards work again", summary="They were declined.", components=None, workaround=None
    )

    shown = " ".join(cli("preview", "incident.yaml", "--channel", "sms", "--channel", "banner").stdout.split())

    assert "1 person ──" in shown
    assert "2 people" not in shown
    assert shown.index("(nothing: it is taken down)") + len("(nothing: it is taken down) ") == shown.index("── sms")


def test_it_reads_no_secret_asks_no_provider_and_makes_no_ledger(bank: Bank) -> None:
    before = sorted(path.name for path in bank.folder.iterdir())

    found = bank.json("preview", "incident.yaml", env=_without_secrets(bank))

    assert found["mode"] == "dry_run"
    assert found["warnings"] == []
    assert sorted(path.name for path in bank.folder.iterdir()) == before
    assert bank.sent == NOTHING
    assert bank.providers.x.requests + bank.providers.facebook.requests + bank.providers.twilio.requests == ()


def test_its_json_has_each_channels_words_measures_and_facts(bank: Bank, cli_json: CliJson) -> None:
    found = cli_json("preview", "incident.yaml")

    assert [channel["channel"] for channel in found["channels"]] == CHANNELS
    x = found["channels"][0]
    assert (x["kind"], x["state"], x["published"], x["complete"]) == ("x", "ready", "no", False)
    assert x["counts"]["planned"] == 1
    (variant,) = x["variants"]
    assert variant["language"] == "en"
    assert variant["measures"]["text"]["limit"] == 280
    assert variant["measures"]["text"]["unit"] == "X characters"
    assert "summary" in variant["facts"]["carried"]
    assert SUMMARY in variant["parts"]["text"]


def test_its_json_has_every_part_of_every_language_with_its_measure(abroad: Bank, cli_json: CliJson) -> None:
    found = cli_json("preview", "incident.yaml")

    said = {channel["channel"]: channel["variants"] for channel in found["channels"]}
    languages = {name: [variant["language"] for variant in variants] for name, variants in said.items()}
    assert languages["x"] == ["zh-Hant", "en", "ar"]
    assert languages["sms"] == languages["email"] == ["en", "zh-Hant"]
    for variant in (variant for variants in said.values() for variant in variants):
        assert set(variant["parts"]) == set(variant["measures"])
        assert 1 <= variant["rung"] <= 8
        assert not set(variant["facts"]["carried"]) & set(variant["facts"]["left_out"])
        assert variant["previous"] is None


def test_a_dry_run_of_announce_is_the_same_to_the_letter(bank: Bank, cli_json: CliJson) -> None:
    preview = cli_json("preview", "incident.yaml")

    assert cli_json("announce", "incident.yaml", "--dry-run") == preview


def test_the_message_may_come_from_standard_input(bank: Bank) -> None:
    text = (bank.folder / "incident.yaml").read_text(encoding="utf-8")

    shown = bank.run("preview", "-", "--channel", "x", stdin=text)

    assert shown.returncode == 0
    assert "x ──" in shown.stdout.replace("── x ─", "x ──")


def test_facts_and_status_of_the_command_line_stand_for_the_files(bank: Bank, cli_json: CliJson) -> None:
    found = cli_json(
        "preview", "incident.yaml", "--channel", "x", "--status", "identified", "--set", "cause=A power cut."
    )

    assert found["status"] == "identified"
    assert "A power cut." in found["channels"][0]["variants"][0]["parts"]["text"]


def test_channels_can_be_chosen_and_left_out(bank: Bank, cli_json: CliJson) -> None:
    chosen = cli_json("preview", "incident.yaml", "--channel", "x", "--channel", "sms")
    rest = cli_json("preview", "incident.yaml", "--except", "x", "--except", "sms")

    assert [channel["channel"] for channel in chosen["channels"]] == ["x", "sms"]
    assert [channel["channel"] for channel in rest["channels"]] == ["facebook", "banner", "email"]


def test_no_variable_of_the_shell_decides_what_is_sent(
    bank: Bank, cli_json: CliJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    deciding = {"STATUS": "resolved", "SET": "cause=Sabotage", "CHANNEL": "x", "EXCEPT": "x", "ONLY": "x"}
    deciding |= {"INCIDENT": "cards", "REOPEN": "1"}
    before = cli_json("preview", "incident.yaml")
    for name, value in deciding.items():
        monkeypatch.setenv(f"OUTAGECAST_{name}", value)
        monkeypatch.setenv(f"OUTAGECAST_PREVIEW_{name}", value)

    assert cli_json("preview", "incident.yaml") == before


def test_said_verbosely_it_names_ledger_audience_and_where_the_words_come_from(bank: Bank, cli: Cli) -> None:
    bank.customers(("Ana", "+61491570156", "a@example.com"), ("Ana", "+61491570156", "b@example.com"), ("Ben", "", ""))

    shown = cli("-v", "preview", "incident.yaml", "--channel", "sms")

    assert shown.returncode == 0
    assert f"ledger: sqlite:///{bank.folder}/outagecast.db (not there yet)" in shown.stderr
    assert "audience: 1 person; 1 twice in the file, 1 without an address" in shown.stdout
    assert re.search(r"from en/twilio_sms\.text\.j2:\d+; states ", shown.stdout)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"sumary": "Cards fail."}, 'incident.yaml:14:1: unknown key "sumary"  (did you mean "summary"?)'),
        ({"title": None}, 'incident.yaml:1:1: "title" is missing'),
        ({"status": "investigatng"}, '"investigatng" is not valid here  (did you mean "investigating"?)'),
        ({"started_at": "2026-11-22T18:30"}, "in Australia/Sydney write 2026-11-22T18:30+11:00"),
        ({"next_update_at": "soon"}, '"soon" is neither a time nor a duration'),
        ({"summary": "Cards \u202eliaf"}, "an invisible character, U+202E"),
        ({"summary": "Cards \x1b[31mfail"}, "U+001B"),
        ({"summary": "Cards are declined. " * 20}, "characters too long for x"),
        ({"status": "resolved"}, "resolved, but Card payments is major_outage"),
    ],
)
def test_a_bad_message_is_65_with_its_place_and_what_was_expected(
    bank: Bank, cli: Cli, facts: dict[str, str | None], expected: str
) -> None:
    bank.write(**facts)

    done = cli("announce", "incident.yaml", "--yes")

    assert done.returncode == 65
    assert expected in done.stderr
    assert done.stderr.endswith("Nothing was sent.\n")
    assert done.stdout == ""
    assert bank.sent == NOTHING
    assert not (bank.folder / "outagecast.db").exists()


def test_all_problems_come_at_once(bank: Bank, cli_json: CliJson) -> None:
    bank.write(sumary="x", status="down", title=None)

    found = cli_json("preview", "incident.yaml")

    assert found["exit_name"] == "bad_input"
    assert len(found["errors"]) == 3
    assert {name for error in found["errors"] for name in error} == {"file", "line", "column", "message", "hint"}


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ({"kind": "x", "api_key": "abc123"}, "env:"),
        ({"kind": "twiter"}, 'there is no kind "twiter"'),
        ({"kind": "banner"}, '"path" is missing'),
        ({"kind": "banner", "path": "b.html", "pth": "c"}, 'unknown key "pth"'),
    ],
)
def test_a_bad_config_is_78_and_shows_no_literal_secret(
    bank: Bank, cli: Cli, channel: dict[str, str], expected: str
) -> None:
    bank.config["channels"]["mine"] = channel
    bank.write()

    done = cli("announce", "incident.yaml", "--yes")

    assert done.returncode == 78
    assert expected in done.stderr
    assert "abc123" not in done.stderr
    assert bank.sent == NOTHING


def test_a_bad_message_is_told_before_a_bad_config(bank: Bank, cli_json: CliJson) -> None:
    bank.config["organisation"]["timezone"] = "Sydney"
    bank.write(title=None)

    found = cli_json("preview", "incident.yaml")

    assert (found["exit_code"], found["exit_name"]) == (65, "bad_input")


def test_a_missing_template_is_named(bank: Bank, cli: Cli) -> None:
    bank.config["organisation"]["languages"] = ["en", "fi"]
    bank.config["channels"]["x"]["languages"] = ["fi"]
    said: dict[str, Any] = {"title": "Kortit", "summary": "Kortit eivät toimi.", "apology": "Pahoittelut."}
    said |= {"workaround": "Automaatit toimivat.", "components": {"Card payments": "Korttimaksut"}}
    bank.write(translations={"fi": said})

    done = cli("announce", "incident.yaml", "--yes", "--channel", "x")

    assert done.returncode == 65
    assert "fi/" in done.stderr
    assert "there is no such template" in done.stderr
    assert bank.sent == NOTHING


def test_a_bad_row_of_the_audience_is_named_by_its_line_or_left_out_on_request(bank: Bank, cli_json: CliJson) -> None:
    bank.customers(("Ana", "0491570156", "ana@example.com"), ("Ben", "+61491570157", "ben@example"))

    refused = cli_json("preview", "incident.yaml")
    accepted = cli_json("preview", "incident.yaml", "--accept-bad-rows")

    assert refused["exit_code"] == 65
    assert [error["line"] for error in refused["errors"] if error["line"]] == [2, 3]
    counts = {channel["channel"]: channel["counts"]["planned"] for channel in accepted["channels"]}
    assert (accepted["exit_code"], counts["sms"], counts["email"]) == (0, 1, 1)
    assert any("sms: 1 row is left out, the first on line 2" in warning for warning in accepted["warnings"])


def test_an_unknown_channel_is_a_usage_error_with_the_nearest_name(bank: Bank, cli_json: CliJson) -> None:
    found = cli_json("preview", "incident.yaml", "--channel", "facebok")

    assert found["exit_code"] == 2
    assert found["errors"][0]["hint"] == 'did you mean "facebook"?'


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_it_fits_the_screen_and_breaks_no_address(
    bank: Bank, cli: Cli, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    shown = cli("preview", "incident.yaml")

    assert max(len(line) for line in shown.stdout.splitlines()) <= int(columns)
    assert "https://status.example.com" in shown.stdout


def _western_words(shown: CompletedProcess[str], channel: str) -> set[str]:
    """The words of a channel's block that stands alone in its rows; Chinese has none that can be told apart."""
    block = shown.stdout.partition(f"── {channel} ")[2].partition("\n──")[0]
    return {word for word in block.replace("─", "").split() if word.isascii()}


def test_languages_stand_side_by_side_where_there_is_room_in_columns_that_a_chinese_text_does_not_push(
    abroad: Bank, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")

    shown = cli("preview", "incident.yaml", "--channel", "x")

    _, names, *row = shown.stdout.split("\n\n")[1].splitlines()
    right = cell_len(names.partition("English")[0])
    assert (names.split(" · ")[0].strip(), right) == ("Chinese (Traditional)", 63)
    chinese = [line for line in row if re.search("[\u4e00-\u9fff]", line)]
    assert len(chinese) > 2
    for line in chinese:
        *_, english = re.split(" {2,}", line)
        assert cell_len(line) - cell_len(english) == right + 2
    assert shown.stdout.index("Arabic · ") > shown.stdout.index("English · ")


def test_however_wide_the_screen_the_words_are_the_same(
    abroad: Bank, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for columns in ("80", "120", "180", "240", "400"):
        monkeypatch.setenv("COLUMNS", columns)
        shown = cli("preview", "incident.yaml", "--channel", "x", "--channel", "email")
        assert max(map(cell_len, shown.stdout.splitlines())) <= int(columns)
        seen.append({channel: _western_words(shown, channel) for channel in ("x", "email")})

    assert seen == [seen[0]] * 5
    assert "https://status.example.com" in seen[0]["x"]


@pytest.mark.parametrize(("columns", "abreast"), [("80", 1), ("119", 2), ("178", 3), ("240", 4)])
def test_channels_that_say_one_thing_share_a_row(
    bank: Bank, cli: Cli, columns: str, abreast: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    shown = cli("preview", "incident.yaml")

    headings = [re.findall(r"── ([a-z]+) ", line) for line in shown.stdout.splitlines() if line.startswith("── ")]
    assert headings == [CHANNELS[first : first + abreast] for first in range(0, len(CHANNELS), abreast)]


def test_into_a_pipe_it_is_eighty_columns_wide_and_has_no_colours(abroad: Bank) -> None:
    shown = abroad.run("preview", "incident.yaml")

    assert max(map(cell_len, shown.stdout.splitlines())) == 80
    assert "\x1b" not in shown.stdout


def test_an_address_that_is_too_long_for_its_card_is_not_broken_and_pushes_no_neighbour(
    bank: Bank, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"https://status.example.com/{'incidents-' * 7}"
    bank.write(contact={"url": address})
    monkeypatch.setenv("COLUMNS", "120")

    shown = cli("preview", "incident.yaml", "--channel", "x", "--channel", "facebook")

    assert shown.stdout.count(address) == 2
    assert [line for line in shown.stdout.splitlines() if line.count("── ") > 1] == []


def test_of_a_long_mail_nothing_is_hidden(bank: Bank, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    said = [f"Sentence {number} of a long story." for number in range(200)]
    bank.write(aftermath=" ".join(said))

    shown = " ".join(cli("preview", "incident.yaml", "--channel", "email").stdout.split())

    assert [sentence for sentence in said if sentence not in shown] == []


def test_a_text_by_hand_says_so_and_every_text_says_in_words_what_it_leaves_out(
    bank: Bank, cli: Cli, cli_json: CliJson
) -> None:
    short = cli_json("preview", "incident.yaml", "--channel", "x")["channels"][0]["variants"][0]["parts"]["text"]
    bank.write(variants={"x": {"en": {"text": short}}})

    shown = " ".join(cli("preview", "incident.yaml", "--channel", "x", "--channel", "facebook").stdout.split())

    assert re.search("English · written by hand · left out: [a-z., _]*contact.phone text · ", shown)
    assert "English · says everything text · " in shown


# -- an SMS in the letters that cost least


def test_what_the_spelling_of_an_sms_saves_is_shown_and_counted(bank: Bank, cli: Cli, cli_json: CliJson) -> None:
    bank.write(summary="Plățile cu cardul nu merg în magazine și pe internet, și nici la bancomate.")

    shown = " ".join(cli("preview", "incident.yaml", "--channel", "sms").stdout.split())
    found = cli_json("preview", "incident.yaml", "--channel", "sms")["channels"][0]["variants"][0]

    assert "Platile cu cardul nu merg in magazine si pe internet, si nici la bancomate." in shown
    assert re.search(r"5 letters written without marks \(ă ț î ș\): [12] segments? instead of [345]", shown)
    assert found["measures"]["text"]["spelling"]["replaced"] == ["ă", "ț", "î", "ș"]
    assert found["measures"]["text"]["spelling"]["count"] == 5
    assert "summary" in found["facts"]["carried"]


def test_a_character_that_makes_an_sms_cost_more_is_advice(bank: Bank, cli_json: CliJson) -> None:
    words = "Example Bank: our cards have been failing since 6:30pm 😀. Cash machines and transfers in our app work."
    bank.write(summary=words.removeprefix("Example Bank: "))

    warnings = cli_json("preview", "incident.yaml", "--channel", "sms")["warnings"]

    assert any("😀 (character 56, after “failing since 6:30pm”) makes it" in line for line in warnings)
