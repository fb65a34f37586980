"""``preview --send-to``: the very words, to oneself alone, stamped TEST, outside any incident."""

from __future__ import annotations

import copy
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any

import pytest

from outagecast.errors import ExitCode

if TYPE_CHECKING:
    from tests.conftest import Bank

Cli = Callable[..., CompletedProcess[str]]
CliJson = Callable[..., dict[str, Any]]
TO_ME = ("preview", "incident.yaml", "--send-to", "me@example.com", "--yes")
NOTHING = {"x": 0, "facebook": 0, "sms": 0, "email": 0, "banner": 0}


def test_a_mail_goes_to_me_alone_with_test_at_the_start_of_every_part(bank: Bank, cli: Cli) -> None:
    told = cli(*TO_ME)

    assert (told.returncode, bank.sent) == (0, {**NOTHING, "email": 1})
    (mail,) = bank.providers.smtp.mails
    assert mail.to == ("me@example.com",)
    assert mail.subject.startswith("TEST: Card payments are failing")
    assert mail.text.startswith("TEST: ")
    page = mail.message.get_body(("html",))
    assert page is not None
    html = str(page.get_content())
    assert re.search(r"<body[^>]*>\s*<p><strong>TEST:</strong></p>", html)
    assert "<title>TEST: Card payments" in html
    assert "declined in shops" in mail.text


def test_a_text_goes_to_me_alone(bank: Bank, cli: Cli) -> None:
    told = cli("preview", "incident.yaml", "--send-to", "+61 491 570 999", "--yes")

    assert (told.returncode, bank.sent) == (0, {**NOTHING, "sms": 1})
    (text,) = bank.providers.twilio.messages
    assert text.to == "+61491570999"
    assert text.text.startswith("TEST: ")


def test_nothing_is_recorded_and_the_incident_is_as_before(bank: Bank, cli: Cli) -> None:
    before = {path.name: path.read_bytes() for path in bank.folder.iterdir()}

    cli(*TO_ME)

    assert {path.name: path.read_bytes() for path in bank.folder.iterdir()} == before
    assert cli("status").stdout.startswith("Nothing was ever announced")


def test_a_test_and_a_page_are_not_asked_for_at_once(bank: Bank, cli: Cli) -> None:
    told = cli(*TO_ME, "--html", "wall.html")

    assert (told.returncode, bank.sent) == (2, NOTHING)
    assert "give one at a time" in told.stderr
    assert not (bank.folder / "wall.html").exists()


def recorded(bank: Bank) -> list[str]:
    """All that is in the ledger."""
    with closing(sqlite3.connect(bank.folder / "outagecast.db")) as ledger:
        return list(ledger.iterdump())


def test_a_test_in_the_middle_of_an_incident_leaves_its_ledger_alone(bank: Bank, cli: Cli) -> None:
    cli("announce", "incident.yaml", "--yes", "--channel", "banner")
    before = recorded(bank)

    cli(*TO_ME)

    assert bank.sent["email"] == 1
    assert recorded(bank) == before


def test_an_audience_that_cannot_be_used_does_not_matter(bank: Bank, cli: Cli) -> None:
    bank.customers(("Ana", "0491", "nobody"))

    assert cli(*TO_ME).returncode == 0


def test_two_tests_are_two_mails_and_never_folded_into_one(bank: Bank, cli: Cli) -> None:
    cli(*TO_ME)
    cli(*TO_ME)

    assert len({mail.id for mail in bank.providers.smtp.mails}) == 2


def test_every_language_of_the_channel_is_sent(bank: Bank, cli: Cli) -> None:
    bank.config["organisation"]["languages"] = ["en", "en-AU"]
    named = {"components": {"Card payments": "Card payments"}}
    same = {fact: copy.copy(bank.message[fact]) for fact in ("title", "summary", "workaround", "apology")}
    bank.write(translations={"en-AU": same | named})

    cli(*TO_ME)

    assert [mail.message["Content-Language"] for mail in bank.providers.smtp.mails] == ["en", "en-AU"]


def test_a_language_that_is_left_out_is_not_sent(bank: Bank, cli: Cli) -> None:
    bank.config["organisation"]["languages"] = ["en", "en-AU"]
    bank.write()

    cli(*TO_ME, "--without", "en-AU")

    assert [mail.message["Content-Language"] for mail in bank.providers.smtp.mails] == ["en"]


@pytest.mark.parametrize(
    "address", ["bob", "0491570156", "+12", "a@b", "a@example.com, b@example.com", "", "me@example.com\nBcc: x@y.org"]
)
def test_what_is_not_an_address_is_refused(bank: Bank, cli: Cli, address: str) -> None:
    told = cli("preview", "incident.yaml", "--send-to", address, "--yes")

    assert (told.returncode, bank.sent) == (ExitCode.USAGE, NOTHING)
    assert "is not an address" in told.stderr


def test_an_address_that_no_channel_sends_to_is_refused(bank: Bank, cli: Cli) -> None:
    del bank.config["channels"]["sms"]
    bank.write()

    told = cli("preview", "incident.yaml", "--send-to", "+61491570999", "--yes")

    assert told.returncode == ExitCode.USAGE
    assert "outagecast channels" in told.stderr


def test_only_the_named_channel_sends(bank: Bank, cli: Cli) -> None:
    bank.config["channels"]["staff"] = dict(bank.config["channels"]["email"])
    bank.write()

    both, one = cli(*TO_ME), cli(*TO_ME, "--channel", "staff")

    assert (both.stdout.count("SENT"), one.stdout.count("SENT")) == (2, 1)
    assert "staff" in one.stdout


def test_without_a_terminal_it_must_be_told_yes(bank: Bank, cli: Cli) -> None:
    told = cli(*TO_ME[:-1])

    assert (told.returncode, bank.sent) == (ExitCode.USAGE, NOTHING)
    assert "--yes" in told.stderr


@pytest.mark.parametrize(("answer", "code", "mails"), [("y", 0, 1), ("n", 130, 0), ("", 130, 0)])
def test_in_a_terminal_it_shows_the_words_and_asks(bank: Bank, answer: str, code: int, mails: int) -> None:
    terminal = bank.terminal(*TO_ME[:-1])
    terminal.expect("Send this test to me@example.com? [y/N]")

    assert "TEST: Card payments are failing" in terminal.text
    assert bank.sent == NOTHING
    terminal.type(f"{answer}\r")
    assert terminal.wait() == code
    assert bank.sent["email"] == mails


def test_a_message_that_cannot_be_announced_cannot_be_tested(bank: Bank, cli: Cli) -> None:
    bank.write(status="nonsense")

    assert cli(*TO_ME).returncode == ExitCode.BAD_INPUT
    assert bank.sent == NOTHING


# --- what becomes of it


def test_a_refusal_is_told_with_the_next_command(bank: Bank, cli: Cli) -> None:
    bank.providers.smtp.behave("reject_rcpt")

    told = cli(*TO_ME)

    assert told.returncode == ExitCode.NOTHING_PUBLISHED
    assert told.stdout.startswith("NOT SENT  email (en) to me@example.com")
    assert told.stderr.rstrip().endswith("Next: outagecast check --channel email")


def test_a_throttled_test_is_tried_once(bank: Bank, cli: Cli) -> None:
    bank.providers.smtp.behave("throttled")

    assert cli(*TO_ME).returncode == ExitCode.NOTHING_PUBLISHED
    assert bank.sent == NOTHING


def test_a_lost_answer_is_unknown_and_not_sent_again(bank: Bank, cli: Cli) -> None:
    bank.providers.smtp.behave("drop_after_dot_applied")

    told = cli(*TO_ME)

    assert (told.returncode, bank.sent["email"]) == (ExitCode.IN_DOUBT, 1)
    assert told.stdout.startswith("UNKNOWN")


def test_one_that_arrives_and_one_that_does_not_is_a_part(bank: Bank, cli: Cli) -> None:
    bank.config["channels"]["staff"] = dict(bank.config["channels"]["email"], port=1)
    bank.write()

    told = cli(*TO_ME)

    assert told.returncode == ExitCode.PARTIAL
    assert "Next: outagecast check --channel staff" in told.stderr


def test_an_unusable_secret_fails_its_own_test_alone(bank: Bank, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REHEARSAL_SMTP_PASSWORD")

    told = cli(*TO_ME)

    assert told.returncode == ExitCode.NOTHING_PUBLISHED
    assert "REHEARSAL_SMTP_PASSWORD" in told.stdout


def test_in_json_it_is_one_object_of_the_reports_shape(bank: Bank, cli_json: CliJson) -> None:
    preview = cli_json("preview", "incident.yaml", "--channel", "email")

    found = cli_json(*TO_ME)

    assert found.keys() == preview.keys()
    assert (found["mode"], found["incident"], found["update"]) == ("test", None, None)
    (channel,) = found["channels"]
    assert (channel["channel"], channel["state"], channel["published"]) == ("email", "accepted", "yes")
    assert channel["target"] == "me@example.com"
    assert channel["parts"]["subject"].startswith("TEST: ")
    assert channel["provider_id"] == bank.providers.smtp.mails[0].id


def test_in_json_a_lost_answer_is_unknown(bank: Bank, cli_json: CliJson) -> None:
    bank.providers.smtp.behave("drop_after_dot")

    found = cli_json(*TO_ME)

    assert (found["exit_name"], found["channels"][0]["published"]) == ("in_doubt", "unknown")
    assert found["channels"][0]["error"]


def test_ctrl_c_while_it_is_being_sent_leaves_it_unknown(bank: Bank) -> None:
    bank.providers.smtp.behave("hang_after_dot")
    terminal = bank.terminal(*TO_ME)
    until = time.monotonic() + 15
    while not bank.sent["email"] and time.monotonic() < until:
        time.sleep(0.01)

    terminal.type("\x03")

    assert terminal.wait() == ExitCode.IN_DOUBT
    assert "may be under way" in terminal.text
