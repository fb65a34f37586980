"""A bank's card payments fail one evening: told from the first word to the last, by the real SDKs over real sockets."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from tests.conftest import Bank

SUMMARY = "Our debit and credit cards are being declined in shops and online."
WORKAROUND = "Cash machines and transfers in our app still work."
CAUSE = "A power cut in one of our data centres."
SORRY = "We're sorry, above all if you're at a till right now."


def _texts(bank: Bank) -> dict[str, str]:
    """The newest text that each channel shows, on one line."""
    providers = bank.providers
    banner = (bank.folder / "banner.html").read_text(encoding="utf-8")
    texts = {
        "x": providers.x.posts[-1].text,
        "facebook": providers.facebook.posts[-1].text,
        "sms": providers.twilio.messages[-1].text,
        "email": providers.smtp.mails[-1].text,
        "banner": banner.replace("&#39;", "'"),
    }
    return {name: " ".join(text.replace("’", "'").split()) for name, text in texts.items()}


def _announce(bank: Bank, how: Literal["script", "terminal"], *, first: bool = False) -> None:
    if how == "script":
        done = bank.run("announce", "incident.yaml", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        return
    screen = bank.terminal("announce", "incident.yaml")
    screen.expect("Type send to publish" if first else "Send it? [y/N]")
    screen.type("send\r" if first else "y\r")
    assert screen.wait() == 0, screen.text


def _lacking(bank: Bank, *words: str) -> list[tuple[str, str]]:
    return [(channel, word) for channel, text in _texts(bank).items() for word in words if word not in text]


@pytest.mark.parametrize("how", ["script", "terminal"])
def test_an_incident_is_told_on_five_channels_from_first_word_to_resolved(
    bank: Bank, how: Literal["script", "terminal"]
) -> None:
    providers = bank.providers
    bank.customers(("Ana", "+61491570156", "ana@example.com"))

    # 18:50: the first word. What was previewed is what is sent, byte for byte.
    preview = bank.json("preview", "incident.yaml")
    _announce(bank, how, first=True)
    first = bank.json("status")

    assert first["digest"] == preview["digest"]
    assert _parts(first) == _parts(preview)
    assert bank.sent == {"x": 1, "facebook": 1, "sms": 1, "email": 1, "banner": 1}
    assert _lacking(bank, SUMMARY, WORKAROUND, SORRY) == []
    assert _parts(first)["x"] == {"text": providers.x.posts[0].text}
    assert _parts(first)["sms"] == {"text": providers.twilio.messages[0].text}
    assert _parts(first)["email"]["subject"] == providers.smtp.mails[0].subject

    # An hour later: the cause. Phones and inboxes stay quiet until it is over.
    bank.write(status="identified", cause=CAUSE)
    _announce(bank, how)

    assert bank.sent == {"x": 2, "facebook": 2, "sms": 1, "email": 1, "banner": 1}
    assert [CAUSE in _texts(bank)[channel] for channel in ("x", "facebook")] == [True, True]

    # It is over: everybody hears it, as an answer to what they have, and the banner comes down.
    ended = bank.clock - timedelta(minutes=1)
    bank.write(
        status="resolved",
        summary="Our cards work again in shops and online.",
        components={"Card payments": "operational"},
        workaround=None,
        next_update_at=None,
        ended_at=ended.isoformat(timespec="minutes"),
    )
    _announce(bank, how)

    assert [len(providers.x.posts), len(providers.facebook.posts)] == [3, 3]
    assert [len(providers.twilio.messages), len(providers.smtp.mails)] == [2, 2]
    posts = providers.x.posts
    assert [post.in_reply_to for post in posts] == [None, posts[0].id, posts[1].id]
    opened, closed = providers.smtp.mails
    assert str(closed.message["References"]) == closed.in_reply_to == opened.id
    assert opened.message["References"] is None
    for channel in ("x", "facebook", "sms", "email"):
        assert "work again in shops and online" in _texts(bank)[channel]
    assert "declined" not in _texts(bank)["banner"]
    assert bank.sent["banner"] == 0
    assert bank.json("status")["exit_code"] == 0


def test_saying_the_same_again_sends_nothing(bank: Bank) -> None:
    first = bank.json("announce", "incident.yaml", "--yes")

    again = bank.json("announce", "incident.yaml", "--yes")

    assert (again["exit_code"], again["update"], again["digest"]) == (0, 1, first["digest"])
    assert bank.sent == {"x": 1, "facebook": 1, "sms": 2, "email": 2, "banner": 1}


def test_told_on_x_first_it_is_the_same_update_on_the_rest(bank: Bank) -> None:
    assert bank.json("announce", "incident.yaml", "--yes", "--channel", "x")["update"] == 1

    rest = bank.json("announce", "incident.yaml", "--yes")

    assert (rest["exit_code"], rest["update"]) == (0, 1)
    assert bank.sent == {"x": 1, "facebook": 1, "sms": 2, "email": 2, "banner": 1}


def _parts(found: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {channel["channel"]: channel["variants"][0]["parts"] for channel in found["channels"]}
