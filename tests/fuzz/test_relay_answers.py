"""Whatever a mail relay says, out come a receipt or an error of ours, in time, short and fit to be shown."""

from __future__ import annotations

import base64
import os
import time
import traceback
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from outagecast.channels.smtp import Settings, Smtp
from outagecast.errors import ChannelError, ConfigError, Rejected
from outagecast.model import Delivery, Status
from outagecast.secret import Secret
from outagecast.text import harmful_characters

pytestmark = pytest.mark.sweep

TIMES = int(os.environ.get("OUTAGECAST_FUZZ", "1"))
FUZZ = settings(derandomize=TIMES == 1, deadline=None, suppress_health_check=list(HealthCheck))
DEADLINE = 0.5  # seconds for a login, and for a mail
PASSWORD = "canary-4711-0815-2342"
ENCODED = base64.b64encode(f"\0outagecast\0{PASSWORD}".encode()).decode()
ANA = Delivery(
    key="card-payments:1:email:ana@example.org",
    incident="card-payments",
    update=1,
    status=Status.INVESTIGATING,
    target="ana@example.org",
    language="en",
    parts={"subject": "Cards are failing", "text": "We are sorry.\n", "html": "<p>We are sorry.</p>"},
    opened_at=datetime(2026, 11, 22, 7, 30, tzinfo=UTC),
)
GOOD = (
    "220 relay.example ESMTP",
    "250-relay.example\r\n250-AUTH PLAIN LOGIN CRAM-MD5\r\n250 8BITMIME",
    "235 2.7.0 welcome",
    "250 2.1.0 Ok",
    "250 2.1.5 Ok",
    "354 go ahead",
    "250 2.0.0 Ok: queued as 4F1C2",
    "250 2.0.0 Ok",
)
WORDS = [
    *(
        "",
        "Ok",
        "\x1b[31mred\x1b]8;;http://evil\x07",
        "[/red] [link=http://evil]x",
        "\x9b31m",
        "\rPUBLISHED",
        "\0",
        "\xff",
    ),
    *(
        "ana@example.org is not here",
        f"you said {PASSWORD}",
        f"you said {ENCODED}",
        "5.1.1 " * 300,
        "a" * 8000,
        "a@" * 4000,
    ),
    *("-" * 600, "AUTH PLAIN\r\n250 STARTTLS", "a" * 70_000),
]
CODES = ["220", "235", "250", "251", "334", "354", "421", "450", "451", "500", "530", "535", "550", "554", "999", "000"]
ODD_CODES = ["2x0", "-250", "25", "2 50", "", "２５０", "250250", "+25"]


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUZZ_PASSWORD", PASSWORD)


@st.composite
def replies(draw: st.DrawFn) -> list[bytes]:
    """All that a relay says in one session, turn by turn: a good one's words, with some of them changed."""
    session = []
    for good in GOOD:
        way = draw(st.sampled_from(["good"] * 8 + ["words", "code", "lines", "binary", "silence"]))
        code = draw(st.sampled_from(CODES))
        if way == "good":
            said = good.encode()
        elif way == "words":
            said = f"{good[:3]} {draw(st.sampled_from(WORDS))}".encode("latin-1", "replace")
        elif way == "code":
            said = f"{draw(st.sampled_from(CODES + ODD_CODES))} {draw(st.sampled_from(WORDS))}".encode(
                "latin-1", "replace"
            )
        elif way == "lines":
            said = f"{code}-{draw(st.sampled_from(WORDS))}\r\n".encode("latin-1", "replace") * draw(st.integers(1, 40))
            said += code.encode()
        elif way == "binary":
            said = draw(st.binary(max_size=60))
        else:
            continue
        session.append(said + draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b""])))
    return session


def spoken(*said: str) -> list[bytes]:
    """A session of these replies."""
    return [f"{reply}\r\n".encode() for reply in said]


def relay(port: int, *, logs_in: bool = True) -> Smtp:
    login = {"username": "outagecast", "password": Secret("env:FUZZ_PASSWORD")} if logs_in else {}
    chosen = Settings(host="127.0.0.1", port=port, tls="none", from_="Example Bank <status@example.com>", **login)  # type: ignore[arg-type]
    return Smtp(chosen, login=DEADLINE, transaction=DEADLINE)


@settings(FUZZ, max_examples=120 * TIMES)
@given(said=replies(), logs_in=st.booleans(), verb=st.sampled_from(["send", "send", "send", "check"]))
@example(spoken(*GOOD), True, "send")
@example(spoken(*GOOD[:4], f"550 {'a' * 8000}"), True, "send")
@example(spoken(f"220-{'a' * 8000}"), False, "send")
@example([b"220-no\r\n" * 50_000], False, "check")
@example([*spoken(*GOOD[:6]), b"250-no\r\n" * 50_000], True, "send")
@example([b"".join(spoken(*GOOD))], True, "send")
def test_any_session_is_a_receipt_or_an_error_of_ours(
    answerer: Any, said: list[bytes], logs_in: bool, verb: str
) -> None:
    answerer.greets = answerer.takes_turns = True
    answerer.answer = said
    channel, began, traced = relay(answerer.port, logs_in=logs_in), time.monotonic(), ""
    ask: Any = partial(channel.send, ANA) if verb == "send" else channel.check
    try:
        receipt = ask()
        words = receipt.detail if verb == "send" else ""
    except (ChannelError, ConfigError) as error:
        traced = "".join(traceback.format_exception(error))
        words = str(error) + getattr(error, "code", "") + getattr(error, "hint", "")
    assert "canary" not in traced
    assert time.monotonic() - began < 2 * DEADLINE + 1
    channel.close()

    assert len(words) <= 1000
    assert not harmful_characters(words), ascii(words)
    for private in (PASSWORD, ENCODED, "ana@example.org"):
        assert private not in words


def test_a_long_refusal_is_not_searched_for_long(answerer: Any) -> None:
    refusal = f"550-{'a' * 8100}\r\n" * 7 + "550 no\r\n"
    answerer.greets = answerer.takes_turns = True
    answerer.answer = [*spoken(*GOOD[:4]), refusal.encode()]
    channel, began = relay(answerer.port), time.process_time()

    with pytest.raises(Rejected):
        channel.send(ANA)

    assert time.process_time() - began < 1
    channel.close()


def test_the_good_session_is_one(answerer: Any) -> None:
    answerer.greets = answerer.takes_turns = True
    answerer.answer = spoken(*GOOD)
    channel = relay(answerer.port)

    assert channel.send(ANA).detail == "2.0.0 Ok: queued as 4F1C2"
    channel.close()
