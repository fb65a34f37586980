from __future__ import annotations

from typing import TYPE_CHECKING

from outagecast import config
from outagecast.channel import Briefs, Bulk, Channel
from outagecast.channels.briefing_mail import BriefingMail
from outagecast.channels.smtp import Settings, Smtp

if TYPE_CHECKING:
    from tests.conftest import Bank, Newsroom


def test_it_is_for_the_own_people_and_promises_what_the_relay_does() -> None:
    channel: Channel = BriefingMail(Settings(host="localhost", from_="status@example.com"))

    assert isinstance(channel, Briefs)
    assert isinstance(channel, Bulk)
    assert channel.connections == 8
    assert channel.semantics == Smtp.semantics
    assert channel.addresses == "email"


def test_staff_are_told_beside_the_public_with_what_is_for_them_alone(bank: Bank) -> None:
    relay = bank.config["channels"]["email"]
    bank.config["channels"] = {
        "banner": bank.config["channels"]["banner"],
        "phone": {"kind": "phone_script", "path": "public/phone.xml"},
        "sheet": {"kind": "briefing", "path": "internal/briefing.html"},
        "staff": {**relay, "kind": "briefing_mail"},
    }
    bank.write(briefing={"escalation": "Duty manager, extension 4410"})

    found = bank.json("announce", "incident.yaml", "--yes", "--verify")

    assert {item["channel"]: item["state"] for item in found["channels"]} == {
        "banner": "verified",
        "phone": "verified",
        "sheet": "verified",
        "staff": "accepted",
    }
    assert len(bank.providers.smtp.mails) == 2
    secret = "extension 4410"
    assert all(secret in mail.text for mail in bank.providers.smtp.mails)
    files = [path for path in bank.folder.rglob("*") if path.is_file() and "outagecast.db" not in path.name]
    told = {path.name for path in files if secret in path.read_text(encoding="utf-8")}
    assert told == {"incident.yaml", "briefing.html", "briefing.txt", "briefing.json"}


def test_staff_hear_every_status_unless_the_config_says_otherwise(newsroom: Newsroom) -> None:
    newsroom.settings["channels"]["staff"] = {
        "kind": "briefing_mail",
        "host": "localhost",
        "from": "status@example.com",
        "audience": "customers",
    }

    assert newsroom.config.channels["staff"].options.on == config.EVERY_STATUS
