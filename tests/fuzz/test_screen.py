"""Hostile words of every provider at once: the command neither stumbles over them nor lets them draw on the screen."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from outagecast.rehearsal import Reply
from outagecast.text import harmful_characters

pytestmark = pytest.mark.sweep

EVIL = (
    "\x1b[38;5;123mgreen\x1b[0m \x1b]8;;http://evil.example\x1b\\\x1b]0;title\x07 \x1b[2J\x9b31m"
    "\rALL PUBLISHED\r\n\x1b[1A[/x] [/] [link=http://evil.example]x[/link] [b]loud[/b] \u202egnorw\u2066 \0 \x7f \ud83d"
    "%s {0} :boom: \\ "
)
LONG = EVIL + "a" * 100_000 + "\n" * 1000 + "b " * 50_000
OURS = re.compile(
    r"\x1b\[(?:\?25[lh]|[0-9]*[ABCDGHJK]|(?:[0-9]|22|[34][0-7]|9[0-7])?(?:;(?:[0-9]|22|[34][0-7]|9[0-7]))*m)"
)
MOST_SHOWN = 20_000  # characters, of all that a run says


def speak_evil(bank: Any, words: str) -> None:
    """Have every provider refuse everything in these words, wherever it can put words."""
    providers = bank.providers
    told = {"title": words, "detail": words, "type": words, "errors": [{"message": words, "code": words}]}
    for method in ("POST", "GET"):
        providers.x.behave(Reply(400, told), times=50, method=method)
        error = {"message": words, "type": words, "code": 100, "fbtrace_id": words}
        providers.facebook.behave(Reply(400, {"error": error}), times=50, method=method)
        answer = {"code": 21211, "message": words, "more_info": words}
        providers.twilio.behave(Reply(400, answer), times=50, method=method)
    line = words.replace("\r", " ").replace("\n", " ").replace("\0", " ").encode("ascii", "replace").decode()[:400]
    providers.smtp.refuse.update({f"{name}@example.com": f"550 5.1.1 {line}" for name in ("ana", "ben")})


def check_plain(text: str) -> None:
    """That nothing draws, and that nobody has to scroll for it."""
    assert [name for _, name in harmful_characters(text.replace("\r\n", "\n"))] == []
    assert len(text) < MOST_SHOWN
    assert "Traceback" not in text


def test_evil_words_in_a_pipe_are_words(bank: Any) -> None:
    speak_evil(bank, LONG)

    runs = [
        bank.run("announce", "incident.yaml", "--yes", "--max-time", "5"),
        bank.run("-v", "status", "card-payments"),
        bank.run("resume", "--yes", "--max-time", "5"),
        bank.run("check"),
    ]

    for done in runs:
        assert done.returncode not in {0, 1}, done.stderr
        check_plain(done.stdout)
        check_plain(done.stderr)
    assert "[/x]" in runs[0].stdout


def test_evil_words_in_json_are_words(bank: Any) -> None:
    speak_evil(bank, LONG)

    done = bank.run("announce", "incident.yaml", "--yes", "--json", "--max-time", "5")

    found = json.loads(done.stdout)
    assert found["exit_code"] == done.returncode
    assert done.returncode not in {0, 1}
    check_plain(done.stdout)
    assert all(len(channel["error"] or "") < 500 for channel in found["channels"])


def test_evil_words_on_a_terminal_are_words(bank: Any) -> None:
    speak_evil(bank, LONG)

    for arguments in (("announce", "incident.yaml", "--yes", "--max-time", "5"), ("-v", "status"), ("check",)):
        screen = bank.terminal(*arguments)
        assert screen.wait() not in {0, 1}
        check_plain(OURS.sub("", screen.raw).replace("\r\n", "\n").replace("\r", ""))
        assert "\x1b[38;5" not in screen.raw
        assert "Traceback" not in screen.text
