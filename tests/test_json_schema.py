"""What editors are told of the message and the configuration agrees with how they are read."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest
import yaml

from outagecast import config, json_schema, message, sample
from outagecast.errors import OutagecastError
from outagecast.model import Status
from tests.conftest import CHANNELS, MESSAGE

ROOT = Path(__file__).parents[1]
SHIPPED = [(path, "message") for path in sorted(ROOT.glob("examples/*.yaml"))]
SHIPPED += [(path, "config") for path in ROOT.glob("config.example.yaml")]
VALIDATORS = {name: jsonschema.Draft202012Validator(schema_of()) for name, schema_of in json_schema.FILES.items()}

NEEDED = "incident: cards\nstatus: investigating\ntitle: Cards fail\nsummary: Cards are declined.\n"
ORGANISATION = "organisation: {name: Example Bank, timezone: Australia/Sydney, languages: [en, ro, no]}\n"
AUDIENCES = "audiences: {customers: {file: customers.csv}}\n"
X = "kind: x, api_key: env:K, api_secret: env:K, access_token: env:K, access_token_secret: env:K"
SMS = "kind: twilio_sms, account_sid: env:K, auth_token: env:K, from: Bank"
EMAIL = "kind: smtp, host: smtp.example.com, from: a@example.com, audience: customers"
BANNER = "kind: banner, path: banner.html"

# https://yaml.org/spec/1.2.2/#103-core-schema
CORE = {
    "null": r"null|Null|NULL|~|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?",
}


class _Editor(yaml.SafeLoader):
    """Reads YAML as an editor does, which knows no more types than these."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]


for tag, pattern in CORE.items():
    _Editor.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"(?:{pattern})$"), None)


def read(name: str, text: str, folder: Path | None = None) -> bool:
    """Whether our own reader takes it."""
    try:
        if name == "message":
            message.load("-", stdin=io.BytesIO(text.encode()))
        else:
            path = (folder or Path()) / "outagecast.yaml"
            path.write_text(text, encoding="utf-8")
            config.load(path)
    except OutagecastError:
        return False
    return True


def tree(text: str) -> Any:
    """What an editor sees in a file."""
    return yaml.load(text, _Editor)  # noqa: S506 - it makes nothing but plain values


def marks(name: str, text: str) -> list[str]:
    """What an editor marks as wrong."""
    found = VALIDATORS[name].iter_errors(tree(text))
    return [f"{error.json_path}: {error.message}" for error in found]


def configured(*channels: str, head: str = ORGANISATION + AUDIENCES) -> str:
    """A configuration of channels, each given as its settings."""
    return head + "channels:\n" + "".join(f"  c{number}: {{{its}}}\n" for number, its in enumerate(channels))


# --- the schemas


@pytest.mark.parametrize("schema", VALIDATORS.values(), ids=VALIDATORS)
@pytest.mark.parametrize("dialect", [jsonschema.Draft202012Validator, jsonschema.Draft7Validator])
def test_it_is_a_schema_for_new_editors_and_for_old_ones(schema: Any, dialect: Any) -> None:
    dialect.check_schema(schema.schema)


def keys(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every key that a schema knows, with what it says of it."""
    if isinstance(node, list):
        for item in node:
            yield from keys(item, place)
    if isinstance(node, dict):
        for word, inner in node.items():
            if word == "properties":
                for name, key in inner.items():
                    yield f"{place}.{name}", key
                    yield from keys(key, f"{place}.{name}")
            elif word != "if":
                yield from keys(inner, place)


@pytest.mark.parametrize("schema", VALIDATORS.values(), ids=VALIDATORS)
def test_every_key_says_what_it_is_for(schema: Any) -> None:
    said = [(place, key.get("description", "")) for place, key in keys(schema.schema) if "const" not in key]

    assert len(said) > 30
    assert [place for place, words in said if not re.fullmatch(r"\S.{5,}[^.\s]", words)] == []


# --- files that are right


@pytest.mark.parametrize(("path", "name"), SHIPPED, ids=lambda given: getattr(given, "name", given))
def test_nothing_is_marked_in_a_shipped_file(path: Path, name: str) -> None:
    assert marks(name, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(("path", "name"), SHIPPED, ids=lambda given: getattr(given, "name", given))
def test_a_shipped_file_names_the_schema_that_init_writes(path: Path, name: str) -> None:
    first = path.read_text(encoding="utf-8").partition("\n")[0]

    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named is not None
    assert (path.parent / named[1]).resolve() == ROOT / ".outagecast" / f"{name}.schema.json"


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("status", Status)
def test_nothing_is_marked_in_a_message_of_any_status(status: Status, full: bool) -> None:
    written = sample.message(status, datetime(2026, 11, 22, tzinfo=UTC), full=full).as_written()

    assert marks("message", written) == []


def test_nothing_is_marked_in_the_files_of_other_tests() -> None:
    channels = {kind: {"kind": kind, **its} for kind, its in CHANNELS.items()}
    whole = {**tree(ORGANISATION + AUDIENCES), "channels": channels}

    assert marks("message", json.dumps(MESSAGE)) == []
    assert marks("config", json.dumps(whole)) == []


FACTS = {
    "incident": ["2026", "true", "cards-2", "Cards", "[a]"],
    "status": ["resolved", "'monitoring'", "done", "1", ""],
    "impact": ["none", "major", "", "grave", "true"],
    "title": ["3", "true", "Null and void", "'null'", "null", "2026-11-22", "' '", "[a]", "{a: b}", "1e3"],
    "components": ["{}", "{Cards: operational}", "{1: operational}", "{Cards: }", "{Cards: bad}", "[Cards]", "Cards"],
    "scope": ["unknown", "1000", "1.5", "", "[a]"],
    "started_at": [
        *("2026-11-22T18:30+11:00", "2026-11-22 18:30:05 Z", "'2026-11-22T18:30:00.123Z'", "' 2026-11-22T18:30Z '"),
        *("2026-11-22T18:30", "2026-11-22", "18:30", "30m", "20261122", ""),
    ],
    "window": ["{start: 2026-11-22T18:30Z, end: 2026-11-22T19:30Z}", "{start: 2026-11-22T18:30Z}", "", "30m"],
    "workaround": ["One.", "[One., Two.]", "[One., ]", "[]", "[1, true]", "7", "[[a]]", "{a: b}", ""],
    "next_update_at": ["30m", "1d2h3m4s", "' 30m '", "2026-11-22T18:30Z", "30", "m", "30 m", "''", ""],
    "apology": ["Sorry.", "{short: Sorry., long: So sorry.}", "{short: Sorry.}", "[Sorry.]", "1", ""],
    "contact": ["{phone: 132032, url: https://example.com}", "{url: HTTP://example.com}", "{url: example.com}", "{}"],
    "translations": ["{ro: {title: Da, workaround: Nu.}}", "{zh-Hant: {}}", "{EN: {}}", "{ro: {tilte: a}}", "{no: }"],
    "briefing": ["{say: [a], faq: [{q: a, a: b}]}", "{say: a}", "{faq: [{q: a}]}", "{escalation: 4711}"],
    "variants": ["{x: {en: {text: a}}}", "{x: {en: a}}", "{x: {EN: {text: a}}}", "{1: {en: {2: a}}}"],
}
OPTIONS = {
    "languages": ["[en]", "[en, ro]", "[]", "[en, en]", "en", "[no]"],
    "on": ["[first, resolved]", "[]", "[all]", "first", "[first, first]", ""],
    "expires": ["6h", "90", "''", "1d", ""],
    "enabled": ["true", "no", "'Off'", "YES", "1", "maybe", ""],
    "required": ["false", "[]"],
    "rate": ["100/s", "600 / min", "100", "fast"],
    "price": ["0.0515 AUD", "1EUR", "0.05", "free"],
    "owner": ["Web team", "4711", "[a]"],
    "kind": ["fax", "true", ""],
    "ledger": ["sqlite:///a.db"],
    "audience": ["customers"],
}
SETTINGS = {
    X: {
        "username": ["ExampleBank", "'@a'", "{a: b}"],
        "thread": ["true", "2"],
        "api_key": ["key", "file:k", "keyring:a"],
    },
    SMS: {"audience": ["customers", ""], "validity": ["600", "'600'", "soon", "1.5", "[]"]},
    EMAIL: {"port": ["25", "'25'", "x", "true"], "tls": ["none", "ssl", ""], "ca_file": ["a.pem", "7", "[a]"]},
    BANNER: {"path": ["7", "[a]", ""], "public_url": ["https://example.com/b.html", ""], "stale_after": ["30m", "30"]},
}


@pytest.mark.parametrize(("fact", "value"), [(fact, value) for fact, values in FACTS.items() for value in values])
def test_a_fact_is_marked_where_it_is_not_read_and_nowhere_else(fact: str, value: str) -> None:
    lines = {**dict(line.split(": ", 1) for line in NEEDED.splitlines()), fact: value}
    text = "".join(f"{name}: {given}\n" for name, given in lines.items())

    assert read("message", text) == (marks("message", text) == [])


@pytest.mark.parametrize(
    ("channel", "key", "value"),
    [
        *((BANNER, key, value) for key, values in OPTIONS.items() for value in values),
        *(
            (channel, key, value)
            for channel, its in SETTINGS.items()
            for key, values in its.items()
            for value in values
        ),
    ],
)
def test_a_setting_is_marked_where_it_is_not_read_and_nowhere_else(
    tmp_path: Path, channel: str, key: str, value: str
) -> None:
    lines = {**dict(pair.split(": ", 1) for pair in channel.split(", ")), key: value}
    text = configured(", ".join(f"{name}: {given}" for name, given in lines.items()))

    assert read("config", text, tmp_path) == (marks("config", text) == [])


# --- files that are wrong


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        (NEEDED.replace("title", "tilte"), "$"),
        (NEEDED.replace("investigating", "investigate"), "$.status"),
        (NEEDED.partition("\n")[2], "$"),
        (NEEDED + "window: {start: 2026-11-22T18:30+11:00}\n", "$.window"),
        (NEEDED + "contact: {fax: 13 20 32}\n", "$.contact"),
        (NEEDED + "translations: {ro: {title: [Da]}}\n", "$.translations.ro.title"),
    ],
)
def test_a_wrong_message_is_marked_where_it_is_wrong_and_not_read(wrong: str, place: str) -> None:
    assert not read("message", wrong)
    assert {mark.partition(": ")[0] for mark in marks("message", wrong)} == {place}


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ("legder: sqlite:///a.db\n" + configured(X), "$"),
        ("ledger: postgresql://a/b\n" + configured(X), "$.ledger"),
        ("promise: {update_every: 30}\n" + configured(X), "$.promise.update_every"),
        ("audiences: {Customers: {file: a.csv}}\n" + configured(X, head=ORGANISATION), "$.audiences"),
        (configured(X, head=ORGANISATION.replace("name: Example Bank, ", "")), "$.organisation"),
        (configured(X, head=""), "$"),
        (ORGANISATION, "$"),
        (ORGANISATION + "channels: {}\n", "$.channels"),
        (configured(X).replace("c0", "X"), "$.channels"),
        (configured(X.replace("kind: x", "kind: y")), "$.channels.c0.kind"),
        (configured(X.replace("kind: x, ", "")), "$.channels.c0"),
        (configured(X.replace("env:K", "hunter2", 1)), "$.channels.c0.api_key"),
        (configured(X + ", host: a"), "$.channels.c0"),
        (configured(X + ", audience: customers"), "$.channels.c0"),
        (configured(SMS), "$.channels.c0"),
        (configured(EMAIL + ", tls: ssl"), "$.channels.c0.tls"),
        (configured(X, EMAIL.replace("host: smtp.example.com, ", "")), "$.channels.c1"),
    ],
)
def test_a_wrong_configuration_is_marked_where_it_is_wrong_and_not_read(tmp_path: Path, wrong: str, place: str) -> None:
    assert not read("config", wrong, tmp_path)
    assert {mark.partition(": ")[0] for mark in marks("config", wrong)} == {place}


def test_who_writes_a_sentence_is_offered_neither_true_nor_null() -> None:
    offered = json_schema.message()["properties"]["title"]["anyOf"][0]

    assert offered == {"type": "string"}


# --- kinds of other packages

CHATCAST = """
from __future__ import annotations
from dataclasses import dataclass, field
@dataclass(frozen=True, kw_only=True)
class Settings:
    room: str = field(metadata={"about": "the room that is told"})
class Chat:
    kind, parts, addresses, escapes, semantics, imports = "chat", {}, None, frozenset(), None, ()
    def __init__(self, settings: Settings) -> None: ...
class Half:
    kind = "half"
"""


@pytest.fixture
def schema_beside(tmp_path: Path) -> Callable[[str], Any]:
    """What ``schema config`` prints where a package with a kind of its own is installed."""

    def printed(code: str) -> Any:
        (tmp_path / "chatcast.py").write_text(code)
        info = tmp_path / "chatcast-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chatcast\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[outagecast.channels.v1]\nchat = chatcast:Chat\nhalf = chatcast:Half\n")
        told = subprocess.run(
            [sys.executable, "-m", "outagecast", "schema", "config"],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            check=True,
            capture_output=True,
            timeout=30,
        )
        return json.loads(told.stdout)

    return printed


def test_a_kind_of_an_installed_package_is_known_and_a_broken_one_is_not(schema_beside: Callable[[str], Any]) -> None:
    validator = jsonschema.Draft202012Validator(schema_beside(CHATCAST))

    def is_marked(its: str) -> bool:
        return not validator.is_valid(tree(configured(its)))

    assert not is_marked("kind: chat, room: Status, languages: [en]")
    assert not is_marked(X)
    assert is_marked("kind: chat")
    assert is_marked("kind: chat, room: Status, host: a")
    assert is_marked("kind: half")
