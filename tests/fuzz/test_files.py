"""Whatever a message, a config or an audience holds, out come an object or problems with their places, in time."""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from outagecast import audience, config, mail, message, schema
from outagecast.document import MOST_PROBLEMS
from outagecast.errors import AudienceError, ConfigError, MessageError, OutagecastError, Problem
from outagecast.text import harmful_characters

pytestmark = pytest.mark.sweep

TIMES = int(os.environ.get("OUTAGECAST_FUZZ", "1"))
FUZZ = settings(derandomize=TIMES == 1, deadline=None, suppress_health_check=list(HealthCheck))
PATIENCE = 2.0  # seconds of the processor's time: the machine may be busy
LONGEST_PROBLEM = 1500  # characters
ROOT = Path(__file__).parents[2]
MESSAGES = [path.read_bytes() for path in sorted((ROOT / "examples").glob("*.yaml"))]
CONFIG = (ROOT / "config.example.yaml").read_bytes()
AUDIENCE = (ROOT / "examples" / "customers.csv").read_bytes()
BASE = b"incident: a\nstatus: resolved\ntitle: t\nsummary: s\n"
BANK = b"organisation: {name: a, timezone: UTC}\n"

PIECES = [
    *(
        b"\0",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\r",
        b"\r\n",
        b"\n",
        b"\t",
        b" ",
        b"\x1b[31m",
        b"\x85",
        b"\x7f",
    ),
    *(
        b"&a ",
        b"*a",
        b"!!python/object:os.system ",
        b"<<: *a\n",
        b"%YAML 9.9\n---\n",
        b"---\n",
        b"...\n",
        b"? ",
        b"- ",
        b": ",
    ),
    *(
        b"[",
        b"{",
        b"}",
        b"]",
        b"'",
        b'"',
        b"|\n",
        b">\n",
        b"#",
        b"{{ 7*7 }}",
        b"{% for x in y %}",
        b"<script>",
        b"@",
        b"`",
    ),
    *(b'"\\ud800"', b'"\\U00110000"', "\u202e".encode(), "\u200b".encode(), b"1e999", b"9" * 5000, b"a" * 9000),
    *(
        b"null",
        b"~",
        b"yes",
        b"0x10",
        b"2026-11-22",
        b"14:30",
        b"2026-11-22T18:30+11:00",
        b"-1m",
        b"https://u:p@h/",
        b"[" * 90,
    ),
    *(
        b"env:A",
        b"file:../x",
        b"keyring:a/b",
        b"/",
        b"../" * 500,
        b"~x/",
        b"=cmd()",
        b",",
        b";",
        b'"a\nb"',
        b"a@b.co",
        b"+614",
    ),
]
TEXTS = st.sampled_from([piece.decode("utf-8", "surrogateescape") for piece in PIECES]) | st.text(max_size=30)
TREES = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A good file in which something was overwritten, put in, taken out or doubled."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(content)))
        gone = draw(st.sampled_from([0, 0, 1, 3, 40]))
        content[at : at + gone] = draw(st.sampled_from(PIECES) | st.binary(max_size=4))
        if draw(st.integers(0, 9)) == 0:
            content += content[at:][:5000]
    return bytes(content)


def wrong(keys: list[str], whole: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """A file with all that is needed, and values of any shape for its keys."""
    given_ = st.dictionaries(st.sampled_from(keys) | TEXTS, TREES, max_size=6)
    return st.builds(lambda facts: json.dumps({**whole, **facts}).encode(), given_)


def check(problem: Problem) -> None:
    """That somebody can read it and knows where to look."""
    assert problem.file, problem
    assert problem.message
    assert len(str(problem)) < LONGEST_PROBLEM + len(problem.file)
    assert not harmful_characters(str(problem)), ascii(problem)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Any]:
    """A function that loads bytes, once it is clear that it took no time, and that the problems can be read."""

    def load(content: bytes, by: Callable[[Path], Any], error: type[OutagecastError]) -> Any:
        path = tmp_path / "file"
        path.write_bytes(content)
        found, problems, began = None, tuple[Problem, ...](), time.process_time()
        try:
            found = by(path)
        except error as raised:
            problems = raised.problems
        assert time.process_time() - began < PATIENCE
        assert found or 0 < len(problems) <= MOST_PROBLEMS + 2
        for problem in problems:
            check(problem)
        return found

    return load


@settings(FUZZ, max_examples=150 * TIMES)
@given(st.one_of(*map(damaged, MESSAGES), wrong(sorted(schema.keys_of(message.Message)), yaml.safe_load(BASE))))
def test_any_message_is_one_or_has_problems(read: Callable[..., Any], content: bytes) -> None:
    found = read(content, message.load, MessageError)
    if found:
        again = json.dumps(json.loads(found.as_written())).encode()
        assert read(again, message.load, MessageError).canonical == found.canonical


@settings(FUZZ, max_examples=150 * TIMES)
@given(damaged(CONFIG) | wrong(sorted(schema.keys_of(config.File)), yaml.safe_load(CONFIG)))
def test_any_config_is_one_or_has_problems(read: Callable[..., Any], content: bytes) -> None:
    read(content, config.load, ConfigError)


KINDS = ["x", "facebook", "twilio_sms", "smtp", "banner"]


@settings(FUZZ, max_examples=30 * TIMES)
@given(st.data())
def test_any_channel_settings_are_some_or_have_problems(read: Callable[..., Any], data: st.DataObject) -> None:
    whole = yaml.safe_load(CONFIG)
    for entry in whole["channels"].values():
        for key in data.draw(st.lists(st.sampled_from(sorted(entry)), max_size=2)):
            entry[key] = data.draw(TREES)
        for key in data.draw(
            st.lists(st.sampled_from(["api_url", "public_url", "on", "expires", "version", "ca_file"]))
        ):
            entry[key] = data.draw(TREES)

    read(json.dumps(whole).encode(), config.load, ConfigError)


@settings(FUZZ, max_examples=200 * TIMES)
@given(
    st.one_of(
        damaged(AUDIENCE), st.lists(st.sampled_from([*PIECES, b"phone", b"email", b"+61491570156"])).map(b",".join)
    ),
    st.sampled_from(["phone", "email"]),
    st.booleans(),
)
def test_any_audience_is_one_or_has_problems(
    read: Callable[..., Any], content: bytes, column: Any, accept: bool
) -> None:
    found = read(content, lambda path: audience.load(path, column, ("en", "ro"), accept_bad_rows=accept), AudienceError)
    for address in found.roll.addresses() if found else ():
        assert address.isprintable()
        assert not set(address) & set(" ,;<>\"'\r\n")
        if column == "email":
            with contextlib.suppress(ValueError):  # it knows fewer: of other alphabets, those that IDNA can write
                assert mail.parse_address(address).isascii()


@settings(FUZZ, max_examples=150 * TIMES)
@given(
    st.lists(
        st.builds(
            "{}{}{}".format,
            st.sampled_from(
                [*sorted(schema.keys_of(message.Message)), "contact.url", "components.A", "window.start", "."]
            )
            | TEXTS,
            st.sampled_from(["=", "", ".a=", "=="]),
            TEXTS,
        ),
        max_size=3,
    ),
    st.none() | TEXTS,
)
@example(["a." * 60_000 + "b=1"], None)
@example([".=x"], None)
@example(["variants.x.en." + "a." * 60_000 + "b=1"], None)
def test_any_options_are_facts_or_problems(facts: list[str], status: str | None) -> None:
    problems, began = tuple[Problem, ...](), time.process_time()
    try:
        message.load("-", stdin=io.BytesIO(BASE), facts=facts, status=status).as_written()
    except MessageError as raised:
        problems = raised.problems
    for problem in problems:
        check(problem)
    assert time.process_time() - began < PATIENCE


def lines(count: int, form: str) -> bytes:
    return "".join(form.format(number) for number in range(count)).encode()


# What took a minute, or every byte there is, until it was bounded; and what was found to be quick.
SLOW_MESSAGES = {
    "thousands of mistyped components": BASE
    + b"components:\n"
    + lines(2400, " component number {}: operational\n")
    + b"translations:\n ro:\n  components:\n"
    + lines(2400, "   componemt numbre {}: x\n"),
    "components of a kilobyte": BASE
    + b"components: {"
    + (b"a" * 999 + b"%d: operational,") * 9 % tuple(range(9))
    + b"}\n"
    b"translations: {ro: {components: {b: x}}}\n",
    "a long text, then an error": b"a: " + b"x y " * 60_000 + b"\n[: }",
    "comments": b"#\n" * 120_000 + b"\n[: }",
    "open brackets": b"[" * 250_000,
    "open lists": b"- " * 120_000,
    "empty lines in quotes": b'a: "' + b"\n" * 250_000,
    "anchors": b"a: " + b"&a " * 80_000,
    "a long sentence": BASE.replace(b": s\n", b": " + b"Cards fail, and so on. " * 9000 + b"\n"),
    "a long word": BASE.replace(b": s\n", b": " + b"a" * 200_000 + b"\n"),
}


@pytest.mark.parametrize("name", SLOW_MESSAGES)
def test_no_message_takes_long(read: Callable[..., Any], name: str) -> None:
    read(SLOW_MESSAGES[name], message.load, MessageError)


SMTP = "{{kind: smtp, host: a, audience: {}, from: {}}}"
SLOW_CONFIGS = {
    "a sender of spaces": BANK + b"channels: {a: {kind: smtp, host: a, from: 'a" + b" " * 100_000 + b"b'}}\n",
    "a time zone of many slashes": b"organisation: {name: a, timezone: " + b"Etc/UTC" * 1000 + b"}\nchannels: {}\n",
    "a time zone of very many slashes": b"organisation: {name: a, timezone: " + b"a/" * 60_000 + b"}\nchannels: {}\n",
    "hundreds of mistyped audiences": BANK
    + b"audiences:\n"
    + lines(900, " audience{}: {{file: a}}\n")
    + b"channels:\n"
    + lines(400, " c{0}: {{kind: smtp, host: a, from: a@b.co, audience: audiemce{0}}}\n"),
    "thousands of channels that are none": BANK + b"channels:\n" + lines(1600, " c{}: {{kind: y}}\n"),
    "thousands of statuses": BANK + b"channels: {x: {kind: banner, path: a, on: [" + b"first, " * 4900 + b"]}}\n",
}


@pytest.mark.parametrize("name", SLOW_CONFIGS)
def test_no_config_takes_long(read: Callable[..., Any], name: str) -> None:
    read(SLOW_CONFIGS[name], config.load, ConfigError)


SLOW_AUDIENCES = {
    "a hundred thousand columns": b"email" + b"," * 100_000 + b"\na@b.co\n",
    "fifty thousand names": b"email," + ",".join(map(str, range(50_000))).encode() + b"\na@b.co\n",
    "a long cell": b"email\n" + b"a." * 60_000 + b"@b.co\n",
    "a longer cell": b"email\n" + b"a" * 200_000 + b"\n",
    "an open quote": b'email\n"' + b"a\n" * 60_000,
}


@pytest.mark.parametrize("name", SLOW_AUDIENCES)
def test_no_audience_takes_long(read: Callable[..., Any], name: str) -> None:
    read(SLOW_AUDIENCES[name], lambda path: audience.load(path, "email", ("en",)), AudienceError)
