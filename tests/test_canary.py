"""No secret is ever shown: each has a value that stands nowhere else, and after every command and fault it is sought.

It is sought in all that was printed and logged, in the ledger, in every file that was made, and in what other programs
were started with; as it is, in part, quoted, in base64 at every offset, and as what is derived of it.
``make canary`` runs every command against every fault, with the secrets kept in each way there is, and in processes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import importlib
import io
import itertools
import json
import logging
import os
import re
import shlex
import socketserver
import subprocess
import sys
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, quote_plus

import click
import pytest

import outagecast.templates
from outagecast import cli
from outagecast.rehearsal import (
    FacebookStandIn,
    Providers,
    Reply,
    Request,
    Secrets,
    SmtpStandIn,
    TwilioStandIn,
    XStandIn,
)
from outagecast.rehearsal.server import FAULTS
from outagecast.rehearsal.smtp import FAULTS as MAIL_FAULTS

if TYPE_CHECKING:
    from tests.conftest import Bank as Bank_

pytestmark = pytest.mark.sweep

SHIPPED = Path(next(iter(outagecast.templates.__path__)))
WHOLE = bool(os.environ.get("OUTAGECAST_CANARY"))
KEPT = ("env", "file", "keyring")
AWKWARD = "+/=&%\"<~'"  # what quoting, JSON and HTML write differently

Step: TypeAlias = tuple[str, ...]
Outcome: TypeAlias = "tuple[Step, int, str]"


# --- the birds


class Canaries:
    """The secrets of one bank, and every form that they could be recognised in."""

    def __init__(self, spoilt: str = "") -> None:
        self.halves: list[str] = []
        account = f"AC{self._half()}{self._half()}"
        self.values = {
            "X_API_KEY": self._made(),
            "X_API_SECRET": self._made(),
            "X_ACCESS_TOKEN": f"4711-{self._made()}",
            "X_ACCESS_TOKEN_SECRET": self._made(),
            "FACEBOOK_PAGE_TOKEN": self._made(),
            "FACEBOOK_APP_SECRET": self._made(),
            "TWILIO_ACCOUNT_SID": account,
            "TWILIO_AUTH_TOKEN": self._made(),
            "SMTP_PASSWORD": self._made(),
        }
        if spoilt:
            self.values = {name: f"{value[:40]}{spoilt}{value[40:]}" for name, value in self.values.items()}
        self.signatures: set[str] = set()  # of the requests that arrived, as they stood in the header

    def _half(self) -> str:
        self.halves.append(uuid.uuid4().hex[:16])
        return self.halves[-1]

    def _made(self) -> str:
        return f"{self._half()}{AWKWARD}{self._half()}"

    @property
    def environment(self) -> dict[str, str]:
        return {f"REHEARSAL_{name}": value for name, value in self.values.items()}

    def forms(self) -> dict[str, str]:
        """What must be found nowhere, with whose it is."""
        wanted: dict[str, str] = {}
        for half in self.halves:
            name = next((name for name, value in self.values.items() if half in value), "?")
            wanted |= dict.fromkeys((half, half.upper(), half.encode().hex(), *_inside_base64(half)), name)
        for name, value in self.values.items():
            whole = value.encode()
            quoted = (quote(value, safe=""), quote_plus(value), html.escape(value), json.dumps(value)[1:-1])
            coded = (base64.b64encode(whole).decode(), base64.urlsafe_b64encode(whole).decode(), whole.hex())
            wanted |= dict.fromkeys((value, *quoted, *coded), name)
        token, key = self.values["FACEBOOK_PAGE_TOKEN"], self.values["FACEBOOK_APP_SECRET"]
        wanted[hmac.new(key.encode(), token.encode(), hashlib.sha256).hexdigest()] = "the proof of FACEBOOK_APP_SECRET"
        for signature in self.signatures:
            wanted |= dict.fromkeys((signature, quote(signature, safe="")), "a signature by X_API_SECRET")
        return wanted

    def sought_in(self, text: str) -> set[str]:
        """Whose secrets stand in ``text``."""
        return {name for form, name in self.forms().items() if form in text}


def _inside_base64(text: str) -> Iterator[str]:
    """What ``text`` becomes in the middle of a longer base64, at each of the three offsets."""
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + text.encode()).decode().rstrip("=")
        yield coded[-(-offset * 8 // 6) : -1]


def test_every_form_of_a_canary_is_recognised() -> None:
    birds = Canaries()
    for name, value in birds.values.items():
        for padding in ("", "a", "ab", "abc"):
            login = base64.b64encode(f"{padding}:{value}:".encode()).decode()
            assert birds.sought_in(f"Basic {login}") == {name}
        coded = (quote(value), html.escape(value), value.encode().hex(), repr(value))
        for form in (value[6:], value[:-6], value.upper(), *coded):
            assert birds.sought_in(f"x{form}x") >= {name}
    assert birds.sought_in("nothing at all") == set()


# --- providers that repeat whatever they are told


def _heard(birds: Canaries, whose: str, request: Request) -> str:
    """All of a request's own secrets, in the forms in which it carried them, and all that its provider knows."""
    birds.signatures.update(re.findall(r'oauth_signature="([^"]*)"', request.authorization))
    told = {**request.query, **request.form}
    known = [value for name, value in birds.values.items() if name.startswith(whose)]
    said = " ".join([*(f"{name}={value}" for name, value in told.items()), *known])
    return f"{request.authorization} {said} {quote(said)}"


class _Echo:
    """Refuses everything with ``status``, in the provider's own shape, and repeats what it was sent."""

    status = 400
    birds: Canaries
    whose: str

    def refuse(self, request: Request) -> Reply | None:
        words = _heard(self.birds, self.whose, request)
        return Reply(
            self.status,
            {
                "title": words,
                "detail": words,
                "type": words,
                "code": 20404 if isinstance(self, TwilioStandIn) else 21211,
                "message": words,
                "errors": [{"message": words, "detail": words, "title": words, "type": words, "code": 32}],
                "error": {"message": words, "type": words, "code": 100, "fbtrace_id": words, "error_user_msg": words},
            },
            {"Location": quote(words), "WWW-Authenticate": quote(words)},
        )


class _Receipts(_Echo):
    """Takes everything, and answers with a receipt made of what it was sent."""

    def refuse(self, request: Request) -> Reply | None:
        words = _heard(self.birds, self.whose, request)
        token = next(value for name, value in self.birds.values.items() if name.endswith("PAGE_TOKEN"))
        mine = {
            "id": "100_4711",
            "permalink_url": f"https://www.facebook.com/?access_token={token}",
            "sid": self.birds.values["TWILIO_AUTH_TOKEN"],
            "status": words,
            "data": {"id": "4711", "text": words, "username": words},
        }
        return Reply(200, mine)


class _Mailman(socketserver.StreamRequestHandler):
    """A mail server that repeats each line it is told, and refuses the login or what comes after it."""

    def handle(self) -> None:
        server: Any = self.server
        self.wfile.write(b"220 ready\r\n")
        for raw in self.rfile:
            line = raw.strip().decode("utf-8", "replace")
            known = line[:4].upper() in {"EHLO", "QUIT", "RSET"}
            if known:
                answer = "250-here\r\n250 AUTH PLAIN LOGIN" if line.upper().startswith("EHLO") else "250 ok"
            elif line.upper().startswith("AUTH PLAIN") and server.lets_in:
                answer = "235 in"
            elif line.upper().startswith("AUTH LOGIN") or re.fullmatch("[A-Za-z0-9+/=]{4,20}", line):
                answer = "334 UGFzc3dvcmQ6"
            else:
                answer = f"{server.code} 5.7.8 {line} {server.birds.values['SMTP_PASSWORD']}"
            self.wfile.write(f"{answer}\r\n".encode())


class _Mail(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, birds: Canaries, code: int, *, lets_in: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Mailman)
        self.birds, self.code, self.lets_in = birds, code, lets_in


@contextmanager
def _mail_that_repeats(birds: Canaries, code: int, *, lets_in: bool) -> Iterator[int]:
    with _Mail(birds, code, lets_in=lets_in) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join(5)


# --- the sweep

# Every command, and each of their options at least once; announcing first, so that the rest has something to look at.
STEPS: tuple[Step, ...] = (
    ("-v", "check", "--max-time", "3"),
    ("check", "--json", "--channel", "x", "--channel", "email"),
    ("-v", "preview", "incident.yaml", "--html", "wall.html", "--status", "identified", "--set", "cause=A power cut."),
    ("-v", "preview", "incident.yaml", "--send-to", "ana@example.com", "--yes"),
    ("preview", "incident.yaml", "--send-to", "+61491570156", "--yes", "--json"),
    (
        "-v",
        "announce",
        "incident.yaml",
        "--yes",
        "--verify",
        "--max-time",
        "0.6",
        "--events",
        "events.jsonl",
        "--no-link-check",
    ),
    ("status", "--json"),
    ("watch", "--once", "--json", "--every", "2"),
    ("pause", "card-payments", "--channel", "sms", "--json"),
    ("-v", "pause", "card-payments"),
    ("resume", "card-payments", "--keep-held", "--max-time", "0.1"),
    ("-v", "resume", "card-payments", "--yes", "--json", "--max-time", "0.3", "--events", "events.jsonl"),
    ("-v", "status", "card-payments"),
    ("-v", "verify", "card-payments", "--max-time", "0.6"),
    ("verify", "--json", "--max-time", "0.3"),
    ("settle", "card-payments", "x", "--not-published"),
    ("settle", "card-payments", "facebook", "--published", "https://www.facebook.com/100_1"),
    ("-v", "settle", "card-payments", "sms", "--resend", "--recipient", "+61491570156", "--json"),
    ("resume", "--max-time", "0.1"),
    ("-v", "verify", "card-payments", "--max-time", "0.1"),
    ("verify", "--json", "--max-time", "0.1"),
    ("audience", "failed", "card-payments", "sms", "--out", "failed.csv"),
    ("audience", "failed", "card-payments", "email", "--json"),
    ("audience", "suppressed", "--out", "suppressed.csv"),
    ("audience", "suppress", "suppressed.csv", "--json"),
    ("audience", "suppress", "customers.csv", "--remove"),
    ("audience", "suppressed", "--json"),
    ("purge", "--dry-run", "--json"),
    ("purge", "--yes"),
    ("watch", "card-payments", "--once", "--every", "1", "--json"),
    ("-v", "watch", "--once"),
    ("announce", "incident.yaml", "--dry-run", "--status", "identified", "--set", "cause=A power cut.", "--json"),
    ("announce", "incident.yaml", "--dry-run", "--channel", "sms", "--except", "x", "--accept-bad-rows"),
    ("preview", "incident.yaml", "--channel", "x", "--except", "sms", "--accept-bad-rows", "--no-link-check"),
    ("announce", "incident.yaml", "--dry-run", "--without", "ro"),
    ("preview", "incident.yaml", "--without", "ro", "--json"),
    ("-v", "preview", "--incident", "card-payments", "--status", "identified", "--set", "cause=A power cut."),
    ("announce", "--incident", "card-payments", "--dry-run", "--reopen", "--set", "scope=All.", "--json"),
    ("preview", "incident.yaml", "--reopen"),
    ("preview", "incident.yaml", "--correct", "--set", "scope=All."),
    ("-v", "announce", "incident.yaml", "--yes", "--correct", "--set", "scope=All.", "--max-time", "0.3"),
    ("-v", "retract", "card-payments", "--yes", "--delete", "x", "--delete", "facebook", "--max-time", "0.3"),
    ("retract", "card-payments", "--yes", "--json"),
    ("-v", "cancel", "card-payments", "--yes", "--channel", "sms"),
    ("cancel", "card-payments", "--yes", "--json"),
    ("--config", "outagecast.yaml", "channels"),
    ("channels", "--json"),
    ("explain", "12"),
    ("schema", "message"),
    ("schema", "config"),
    ("completion", "bash"),
    ("init", "first", "--templates", "--playbooks"),
    ("new", "--json"),
    ("-v", "new", "card-payments", "cards.yaml", "--started-at", "now", "--incident", "card-payments"),
    ("preview", "cards.yaml"),
    ("-v", "page", "build", "--channel", "page", "--json"),
    ("-v", "page", "publish", "--channel", "page", "--json"),
    ("--version",),
    ("announce", "--help"),
)
REHEARSED: tuple[Step, ...] = (("demo", "--yes", "--folder", "rehearsal", "--html", "demo.html", "--open"),)


def test_no_command_and_no_option_is_left_out() -> None:
    context = click.Context(cli.cli)
    told = {word for step in STEPS + REHEARSED for word in step}

    assert [name for name in cli.cli.list_commands(context) if name not in told] == []
    for name in cli.cli.list_commands(context):
        command = cli.cli.get_command(context, name)
        assert command is not None
        steps = {word for step in STEPS + REHEARSED if name in step for word in step}
        options = [option for option in command.params if isinstance(option, click.Option)]
        assert [option.name for option in options if not steps & set(option.opts)] == [], name


class Aviary:
    """A bank whose secrets are canaries, and all that its commands said and left behind."""

    def __init__(self, bank: Bank_, birds: Canaries, kept: str, away: Path) -> None:
        self.bank, self.birds = bank, birds
        self.home = bank.folder / "home"
        self.home.mkdir()
        self.environment = {
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "OUTAGECAST_NO_LINK_CHECK": "1",
        }
        self._keep(kept, away)
        bank.write()

    def _keep(self, kept: str, away: Path) -> None:
        """Put the secrets where the config says they are, and that outside of what is searched."""
        for name, value in self.birds.environment.items():
            if kept == "env":
                self.environment[name] = value
            else:
                (away / name).write_bytes(value.encode())
                (away / name).chmod(0o600)
        text = json.dumps(self.bank.config)
        places = {"env": r"env:\1", "file": rf"file:{away}/\1", "keyring": r"keyring:canary/\1"}
        self.bank.config = json.loads(re.sub(r"env:(REHEARSAL_\w+)", places[kept], text))

    def left(self) -> str:
        """Everything in every file below the bank's folder, and the files' names."""
        files = [path for path in self.bank.folder.rglob("*") if path.is_file() and not path.is_symlink()]
        return "\n".join(f"{path}\n{path.read_bytes().decode('latin-1')}" for path in files)

    def sought(self, told: str) -> set[str]:
        return self.birds.sought_in(told) | self.birds.sought_in(self.left())


def _behave(aviary: Aviary, fault: Any) -> None:
    providers = aviary.bank.providers
    for server in (providers.x, providers.facebook, providers.twilio):
        server.hang_seconds = 0.15
        for method in ("GET", "POST"):
            server.behave(fault, method=method, times=60)


def _meet_mail(aviary: Aviary, fault: Any) -> None:
    aviary.bank.providers.smtp.hang_seconds = 0.15
    aviary.bank.providers.smtp.behave(fault, times=60)


def _refused(aviary: Aviary) -> None:
    """Nobody listens where the config says."""
    for name in ("x", "facebook", "sms"):
        aviary.bank.config["channels"][name]["api_url"] = "http://127.0.0.1:9"
    aviary.bank.config["channels"]["email"]["port"] = 9


def _no_tls(aviary: Aviary) -> None:
    """Encryption is asked of those that speak none."""
    channels, providers = aviary.bank.config["channels"], aviary.bank.providers
    for name, server in (("x", providers.x), ("facebook", providers.facebook), ("sms", providers.twilio)):
        channels[name]["api_url"] = f"https://127.0.0.1:{server.port}"
    channels["email"]["tls"] = "implicit"


Setting: TypeAlias = Callable[[Aviary], None]


def _fault(http: Any, mail: Any) -> Setting:
    def setting(aviary: Aviary) -> None:
        _behave(aviary, http)
        _meet_mail(aviary, mail)

    return setting


WORLDS: dict[str, Setting] = {
    f"{http} and {mail}": _fault(http, mail) for http, mail in zip(FAULTS, itertools.cycle(MAIL_FAULTS), strict=False)
}
WORLDS |= {
    "nobody listens": _refused,
    "no encryption": _no_tls,
    "noise": _fault(Reply(200, bytes(range(256)) * 9, {"Content-Type": "application/json"}), "ok"),
    "nonsense": _fault(Reply(200, [{"data": None}] * 3), "ok"),
}
ECHOES = {**{f"repeats with {code}": code for code in (400, 401, 403, 404, 429, 500, 302)}, "repeats in a receipt": 200}
SPOILT = {"a line break within": "\n", "a space within": "  ", "a letter within": "é", "a tab within": "\t"}
SAMPLE = [
    *("ok and ok", "error_500 and drop_before_data", "garbage_200 and throttled", "unauthorized and hang_after_dot"),
    *("no encryption", "repeats with 400", "repeats with 403", "repeats in a receipt", "a line break within"),
]


@contextmanager
def _aviary(world: str, kept: str, folder: Path, away: Path) -> Iterator[Aviary]:
    """A bank in a world that behaves so."""
    from tests.conftest import Bank

    birds = Canaries(SPOILT.get(world, ""))
    with ExitStack() as stack:
        providers = Providers()
        _own(providers, birds, ECHOES.get(world))
        stack.enter_context(providers)
        bank = Bank(folder, providers)
        stack.callback(bank.close)
        if world in ECHOES:
            code = ECHOES[world] if ECHOES[world] >= 400 else 550
            port = stack.enter_context(_mail_that_repeats(birds, code, lets_in=ECHOES[world] in {403, 429}))
            bank.config["channels"]["email"]["port"] = port
        aviary = Aviary(bank, birds, kept, away)
        if world in WORLDS:
            WORLDS[world](aviary)
        bank.write()
        yield aviary


def _own(providers: Providers, birds: Canaries, echo: int | None) -> None:
    """Have the stand-ins know these secrets, and repeat them where they should."""
    values = birds.values
    extra = [] if echo is None else [_Receipts if echo == 200 else _Echo]

    def named(whose: str) -> dict[str, Any]:
        return {"birds": birds, "status": echo, "whose": whose}

    login = Secrets(*(values[f"X_{name}"] for name in ("API_KEY", "API_SECRET", "ACCESS_TOKEN", "ACCESS_TOKEN_SECRET")))
    providers.x = type("X", (*extra, XStandIn), named("X"))(login)
    providers.facebook = type("Facebook", (*extra, FacebookStandIn), named("FACEBOOK"))(
        page_token=values["FACEBOOK_PAGE_TOKEN"], app_secret=values["FACEBOOK_APP_SECRET"]
    )
    providers.twilio = type("Twilio", (*extra, TwilioStandIn), named("TWILIO"))(
        values["TWILIO_ACCOUNT_SID"], auth_token=values["TWILIO_AUTH_TOKEN"]
    )
    providers.smtp = SmtpStandIn(login=("rehearsal", values["SMTP_PASSWORD"]))
    providers.environment = birds.environment


# --- in this process: much faster


class _Ear:
    """Whatever is logged, at any level."""

    def __init__(self) -> None:
        self.said = io.StringIO()
        self._handler = logging.StreamHandler(self.said)
        self._handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s %(pathname)s"))

    def __enter__(self) -> _Ear:
        self._level = logging.getLogger().level
        logging.getLogger().addHandler(self._handler)
        logging.getLogger().setLevel(1)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._handler)
        logging.getLogger().setLevel(self._level)


_RING = """
from pathlib import Path

from keyring.backend import KeyringBackend


class Keyring(KeyringBackend):
    priority = 1

    def get_password(self, service, username):
        return Path(__file__).with_name(username).read_bytes().decode()

    def set_password(self, service, username, password):
        raise NotImplementedError
"""


@pytest.fixture
def away(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where secrets are kept, and a keyring over it: nothing here is searched."""
    folder = tmp_path_factory.mktemp("away")
    (folder / "canary_keyring.py").write_text(_RING)
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def ring(away: Path) -> Iterator[None]:
    """The keyring of this process."""
    keyring: Any = importlib.import_module("keyring")
    before = keyring.get_keyring()
    sys.modules.pop("canary_keyring", None)
    ring: Any = importlib.import_module("canary_keyring")
    keyring.set_keyring(ring.Keyring())
    yield
    keyring.set_keyring(before)


def sweep(
    aviary: Aviary, steps: tuple[Step, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> list[Outcome]:
    """Run every step here; what each of them printed and logged."""
    monkeypatch.chdir(aviary.bank.folder)
    for name in [name for name in os.environ if name.startswith(("OUTAGECAST_", "REHEARSAL_"))]:
        monkeypatch.delenv(name)
    for name, value in aviary.environment.items():
        monkeypatch.setenv(name, value)
    found: list[Outcome] = []
    for step in steps:
        capfd.readouterr()
        with _Ear() as ear, warnings.catch_warnings():
            code = cli.run(list(step))
        told = capfd.readouterr()
        found.append((step, code, f"{told.out}\n{told.err}\n{ear.said.getvalue()}"))
    return found


CASES = (
    [(world, kept) for world in (*WORLDS, *ECHOES, *SPOILT) for kept in KEPT]
    if WHOLE
    else list(zip(SAMPLE, itertools.cycle(KEPT), strict=False))
)


@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize(("world", "kept"), CASES)
def test_no_command_shows_a_secret_whatever_the_providers_do(
    world: str,
    kept: str,
    tmp_path: Path,
    away: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with _aviary(world, kept, tmp_path, away) as aviary:
        outcomes = sweep(aviary, STEPS, monkeypatch, capfd)
        found = {step: aviary.birds.sought_in(told) for step, _, told in outcomes}
        left = aviary.birds.sought_in(aviary.left())

        assert {step: names for step, names in found.items() if names} == {}
        assert left == set()
        assert [told for _, code, told in outcomes if code == 1] == []  # a bug would have kept us from the rest
        if world == "ok and ok":
            used = {name: count for name, count in aviary.bank.sent.items() if name != "banner"}  # taken back
            assert all(used.values())


def test_an_address_of_a_post_that_holds_the_token_is_not_kept() -> None:
    from outagecast.channels.facebook import _receipt
    from outagecast.secret import remember

    remember("canary-of-permalink")

    assert _receipt("100_1", "https://www.facebook.com/1?t=canary-of-permalink").url == "https://www.facebook.com/100_1"
    assert _receipt("100_1", "https://www.facebook.com/1?t=other").url == "https://www.facebook.com/1?t=other"


# --- in processes of their own, as they are run: command lines, tracebacks and other programs


_LOUD = """
import logging, os, sys

logging.basicConfig(level=1, stream=sys.stderr)  # as a curious officer might
"""
_FAULTY = '''
"""A channel with a bug in it: an exception that nobody foresaw, full of secrets, wherever one can come from."""
import threading
from dataclasses import dataclass

from outagecast.channels.x import X, Settings as Ours


@dataclass(frozen=True, kw_only=True)
class Settings(Ours):
    pass


class _Left:
    def __init__(self, words):
        self.words = words

    def __del__(self):
        raise RuntimeError(f"a finalizer with {self.words}")


class Faulty(X):
    kind = "x"

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self.settings = settings

    def _break(self, *_, **__):
        settings = self.settings
        references = (settings.api_key, settings.api_secret, settings.access_token, settings.access_token_secret)
        words = [reference.reveal() for reference in references]
        _Left(words)
        thread = threading.Thread(target=lambda: 1 / 0 if not words else self._raise(words))
        thread.start()
        thread.join()
        self._raise(words)

    def _raise(self, words):
        try:
            raise LookupError(words)
        except LookupError as error:
            error.add_note(f"noted: {words}")
            raise RuntimeError(f"nobody foresaw {words}") from error

    check = send = find = _break
'''
_EDITOR = """
import json, os, pathlib, subprocess, sys

pathlib.Path("told-{name}.json").write_text(json.dumps(
    [sys.argv, dict(os.environ), subprocess.run(["ps", "-A", "-o", "args"], capture_output=True, text=True).stdout]
))
"""


def _equip(aviary: Aviary, away: Path) -> dict[str, str]:
    """What a process is started with: everything logged, Python's own warnings, a keyring, and programs that tell."""
    (away / "sitecustomize.py").write_text(_LOUD)
    (away / "faulty.py").write_text(_FAULTY)
    (away / "faulty-1.0.dist-info").mkdir(exist_ok=True)
    (away / "faulty-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    points = "[outagecast.channels.v1]\nfaulty = faulty:Faulty\n"
    (away / "faulty-1.0.dist-info" / "entry_points.txt").write_text(points)
    for name in ("editor", "xdg-open", "open"):
        path = away / name
        path.write_text(f"#!{sys.executable}\n{_EDITOR.format(name=name)}")
        path.chmod(0o700)
    plain = {name: value for name, value in aviary.bank.environment.items() if not name.startswith("REHEARSAL_")}
    return {
        **plain,
        **aviary.environment,
        "PATH": f"{away}:{os.environ['PATH']}",
        "PYTHONPATH": str(away),
        "PYTHONDEVMODE": "1",
        "PYTHON_KEYRING_BACKEND": "canary_keyring.Keyring",
        "EDITOR": shlex.quote(str(away / "editor")),
    }


def _told(aviary: Aviary, away: Path, *step: str) -> tuple[int, str]:
    """What a process said, started as a shell starts it."""
    done = subprocess.run(
        aviary.bank.command(*step),
        cwd=aviary.bank.folder,
        env=_equip(aviary, away),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )
    return done.returncode, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(
    ("world", "kept"),
    list(zip((*WORLDS, *ECHOES), itertools.cycle(KEPT), strict=False)) if WHOLE else [("repeats with 403", "keyring")],
)
def test_a_process_that_logs_everything_logs_no_secret(world: str, kept: str, tmp_path: Path, away: Path) -> None:
    steps = STEPS if WHOLE else STEPS[:1] + STEPS[5:6]
    with _aviary(world, kept, tmp_path, away) as aviary:
        for step in steps:
            code, told = _told(aviary, away, *step)

            assert aviary.sought(told) == set(), step
            assert code != 1, told
            assert "Traceback" not in told


@pytest.mark.parametrize("kept", KEPT if WHOLE else ("file",))
def test_a_bug_in_a_channel_shows_no_secret_wherever_it_comes_up(kept: str, tmp_path: Path, away: Path) -> None:
    with _aviary("ok and ok", kept, tmp_path, away) as aviary:
        aviary.bank.config["channels"] = {"x": aviary.bank.config["channels"]["x"] | {"kind": "faulty"}}
        aviary.bank.config["templates"] = "words"
        aviary.bank.write()
        words = tmp_path / "words" / "en" / "faulty.text.j2"
        words.parent.mkdir(parents=True)
        words.write_text(SHIPPED.joinpath("en", "x.text.j2").read_text())
        heard = ""
        for step in (STEPS[0], STEPS[5], STEPS[6], STEPS[7]):
            _, told = _told(aviary, away, *step)
            heard += told

            assert aviary.sought(told) == set(), told
            assert "Traceback" not in told
        assert "nobody foresaw" in heard
        assert "a finalizer with" in heard


@pytest.mark.parametrize("kept", KEPT)
def test_other_programs_are_started_with_no_secret(kept: str, tmp_path: Path, away: Path) -> None:
    from tests.conftest import Terminal

    with _aviary("ok and ok", kept, tmp_path, away) as aviary:
        env = _equip(aviary, away)
        shown = Terminal(aviary.bank.command("announce", "incident.yaml", "--channel", "x"), tmp_path, env)
        try:
            shown.expect("Type send to publish")
            shown.type("e\n")
            shown.expect("Type send to publish, e to edit the file, anything else to stop: e")
            while shown.text.count("Type send to publish") < 2:
                shown.expect("LIVE")
            shown.type("send\n")

            assert shown.wait() == 0, shown.text
        finally:
            shown.close()
        arguments, environment, processes = json.loads((tmp_path / "told-editor.json").read_text())
        assert arguments[1:] == ["incident.yaml"]
        assert environment["HOME"] == str(aviary.home)
        assert "outagecast announce" in processes
        assert aviary.sought(shown.raw) == set()


def test_the_rehearsal_s_own_secrets_stay_in_it(tmp_path: Path, away: Path) -> None:
    with _aviary("ok and ok", "file", tmp_path, away) as aviary:
        code, told = _told(aviary, away, *REHEARSED[0])

        assert (code, aviary.sought(told)) == (0, set())
        opened = next(path for path in (tmp_path / "told-xdg-open.json", tmp_path / "told-open.json") if path.exists())
        assert [name for name in json.loads(opened.read_text())[1] if name.startswith("REHEARSAL")] == []


def test_no_core_file_can_hold_a_secret() -> None:
    script = """
import resource

from outagecast import cli

_, most = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (most, most))
try:
    cli.main(["--version"])
finally:
    print(most, resource.getrlimit(resource.RLIMIT_CORE)[0])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    most, now = done.stdout.splitlines()[-1].split()

    if most == "0":
        pytest.skip("no process may leave a core file here")
    assert now == "0"
