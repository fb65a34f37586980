"""One night at a bank, from the first word to the follow-up next day, as its officer types it: the night on which the
clocks in Sydney go forward from 2am to 3am. Real commands, real SDKs over real sockets; only the clock is set.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from outagecast.errors import ExitCode

if TYPE_CHECKING:
    from tests.conftest import Bank

AT = Path(__file__).with_name("at.py")
CAUSE = "A power cut in one of our data centres."


class Night:
    """The bank's desk at a given time of the night of 4 October 2026 in Sydney."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        bank.customers(("Ana", "+61491570156", "ana@example.com"), ("Ben", "+61491570157", "ben@example.com"))
        bank.write(started_at="2026-10-04T01:20+10:00", components={"Card payments": "major_outage"})

    def run(self, at: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command at a time such as ``01:35+10:00``, or one of another day."""
        time = at if "T" in at else f"2026-10-04T{at}"
        command = [sys.executable, str(AT), time, "0", *arguments]
        return subprocess.run(
            command, cwd=self.bank.folder, env=self.bank.environment, capture_output=True, text=True, check=False
        )

    def told(self, at: str, *arguments: str) -> dict[str, Any]:
        """What a command says in JSON."""
        done = self.run(at, *arguments, "--json")
        found: dict[str, Any] = json.loads(done.stdout or "{}")
        assert found.get("exit_code") == done.returncode, done.stdout + done.stderr
        return found


@pytest.fixture
def night(bank: Bank) -> Night:
    return Night(bank)


def states(found: dict[str, Any]) -> dict[str, str]:
    return {channel["channel"]: channel["state"] for channel in found["channels"]}


def test_a_whole_incident_is_told_promised_proved_and_closed(night: Night) -> None:
    bank, providers = night.bank, night.bank.providers

    # 1:35am. The first word, and the promise of the next one across the hour that does not exist.
    first = night.told("01:35+10:00", "announce", "incident.yaml", "--yes")
    assert (first["exit_code"], set(states(first).values())) == (0, {"accepted"})
    assert "It started at 1:20am" in providers.x.posts[0].text
    assert "Next update by 3:05am" in providers.x.posts[0].text
    assert bank.sent == {"x": 1, "facebook": 1, "sms": 2, "email": 2, "banner": 1}

    # What the public sees is what was sent.
    providers.twilio.deliver()
    seen = night.told("01:36+10:00", "verify")
    assert states(seen) == dict.fromkeys(("x", "facebook", "banner", "sms"), "verified") | {"email": "accepted"}

    # 3:06am, which is 31 minutes later. Nobody has spoken: the promise is broken, and cron hears of it.
    assert night.told("01:59+10:00", "watch", "--once")["exit_code"] == ExitCode.DONE
    assert night.told("03:06+11:00", "watch", "--once")["exit_code"] == ExitCode.OVERDUE
    assert night.told("03:06+11:00", "status")["overdue"] is True

    # 3:10am. The cause is found: no file, only what is new. Phones stay quiet.
    found = night.told(
        *("03:10+11:00", "announce", "--incident", "card-payments"),
        *("--status", "identified", "--set", f"cause={CAUSE}", "--yes"),
    )
    assert (found["exit_code"], found["update"], found["overdue"]) == (0, 2, False)
    assert CAUSE in providers.x.posts[1].text
    assert providers.x.posts[1].in_reply_to == providers.x.posts[0].id
    assert bank.sent == {"x": 2, "facebook": 2, "sms": 2, "email": 2, "banner": 1}

    # Somebody deletes the post on the Page, and somebody edits the banner by hand.
    _delete_newest(bank)
    banner = bank.folder / "banner.html"
    banner.write_text(banner.read_text().replace("declined", "welcome"))
    drifted = night.told("03:15+11:00", "verify")
    assert drifted["exit_code"] == ExitCode.DIFFERS
    assert (states(drifted)["facebook"], states(drifted)["banner"]) == ("missing", "mismatch")

    # 3:20am. The start was wrong: it is corrected where it can be, and told where it cannot.
    right = night.told(
        *("03:20+11:00", "announce", "--incident", "card-payments", "--correct"),
        *("--set", "started_at=2026-10-04T01:05+10:00", "--yes"),
    )
    assert (right["exit_code"], right["update"]) == (0, 3)
    assert "1:05am" in providers.x.posts[2].text
    assert "1:05am" in banner.read_text()
    assert "welcome" not in banner.read_text()

    # 3:38am. It works again: everybody hears it, and the banner comes down.
    closed = night.told(
        *("03:38+11:00", "announce", "--incident", "card-payments", "--status", "resolved"),
        *("--set", "summary=Our cards work again in shops and online.", "--set", "workaround="),
        *("--set", "components.Card payments=operational", "--set", "ended_at=2026-10-04T03:35+11:00", "--yes"),
    )
    assert closed["exit_code"] == 0
    assert "lasted from 1:05am to 3:35am" in providers.x.posts[-1].text
    assert len(providers.twilio.messages) == 4
    assert bank.sent["banner"] == 0

    # The score: the second word came late on X, on Facebook and on the banner, and every other in time.
    status = night.told("03:39+11:00", "status")
    assert (status["exit_code"], status["overdue"]) == (0, False)
    score = status["score"]
    assert score["promised"] - score["kept"] == 3

    # The next day: what had happened. Nothing is opened again for it, and no phone rings.
    after = night.told(
        *("2026-10-05T10:00+11:00", "announce", "--incident", "card-payments"),
        *("--set", "cause=A switch failed, and its spare with it.", "--yes"),
    )
    assert (after["exit_code"], after["status"]) == (0, "resolved")
    assert "switch failed" in providers.x.posts[-1].text
    assert len(providers.twilio.messages) == 4
    assert _history_is_whole(bank)


def test_a_false_alarm_beside_it_is_taken_back_everywhere_and_the_other_incident_stands(night: Night) -> None:
    bank, providers = night.bank, night.bank.providers
    night.told("01:35+10:00", "announce", "incident.yaml", "--yes")
    other = bank.folder / "other.yaml"
    other.write_text(
        json.dumps(
            {
                "incident": "mobile-app",
                "status": "investigating",
                "title": "Our app is down",
                "summary": "Nobody can log in.",
            }
        )
    )
    night.told("01:40+10:00", "announce", "other.yaml", "--yes")
    assert "Nobody can log in" in (bank.folder / "banner.html").read_text()

    back = night.told("01:50+10:00", "retract", "mobile-app", "--yes")

    assert (back["exit_code"], back["status"]) == (0, "retracted")
    assert "That was wrong." in providers.x.posts[-1].text
    assert providers.x.posts[-1].in_reply_to == providers.x.posts[1].id
    banner = (bank.folder / "banner.html").read_text()
    assert ("Nobody can log in" in banner, "declined" in banner) == (False, True)
    assert len(providers.x.posts) == 3  # nothing was deleted
    assert night.told("01:51+10:00", "status", "card-payments")["update"] == 1


def _delete_newest(bank: Bank) -> None:
    """As somebody does on the Page itself."""
    page = bank.providers.facebook
    del page._posts[page.posts[-1].id]


def _history_is_whole(bank: Bank) -> bool:
    with closing(sqlite3.connect(bank.folder / "outagecast.db")) as ledger:
        return bool(ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",))
