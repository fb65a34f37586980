from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from outagecast import registry
from outagecast.secret import Secret

THIRD_PARTY = """
from __future__ import annotations
from dataclasses import dataclass
@dataclass(frozen=True, kw_only=True)
class Settings:
    room: str
class Chat:
    kind, parts, addresses, escapes, semantics, imports = "chat", {}, None, frozenset(), None, ()
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

class Half:
    kind = "half"
"""


@pytest.fixture
def python(tmp_path: Path) -> Callable[[str], str]:
    """Runs a program beside an installed package that brings a kind of its own."""
    (tmp_path / "chatcast.py").write_text(THIRD_PARTY)
    info = tmp_path / "chatcast-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chatcast\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[outagecast.channels.v1]\nchat = chatcast:Chat\nx = chatcast:Chat\nhalf = chatcast:Half\n"
    )

    def run(program: str) -> str:
        program = f"import sys; sys.path.append({str(tmp_path)!r}); from outagecast import registry\n{program}"
        return subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30
        ).stdout.strip()

    return run


def test_the_shipped_kinds_come_first() -> None:
    assert registry.kinds()[:5] == ("x", "facebook", "twilio_sms", "smtp", "banner")


@pytest.mark.parametrize("kind", registry.BUILTIN)
def test_each_shipped_kind_is_a_class_that_says_its_own_name_and_takes_a_dataclass(kind: str) -> None:
    assert kind == registry.channel_class(kind).kind
    assert is_dataclass(registry.settings_class(kind))


def test_a_kind_that_nobody_provides_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="telegraph"):
        registry.channel_class("telegraph")


def test_a_channel_is_made_without_opening_anything_or_reading_its_secrets() -> None:
    kind = "x"
    settings = registry.settings_class(kind)
    required = [item.name for item in fields(settings) if "api" in item.name or "token" in item.name]
    unset = {name: Secret("env:OUTAGECAST_NOT_SET") for name in required if name != "api_url"}
    channel = registry.create(kind, settings(**unset))
    assert kind == channel.kind
    channel.close()


def test_the_names_of_the_kinds_are_known_without_importing_any(python: Callable[[str], str]) -> None:
    program = "registry.kinds(); print([name for name in sys.modules if name.startswith('outagecast.channels')])"
    assert python(program) == "[]"


def test_knowing_a_kinds_settings_imports_no_providers_package(python: Callable[[str], str]) -> None:
    program = (
        "for kind in registry.BUILTIN: registry.settings_class(kind)\n"
        "print([name for name in ('tweepy', 'twilio', 'requests', 'smtplib') if name in sys.modules])"
    )
    assert python(program) == "[]"


def test_an_installed_package_adds_a_kind_and_cannot_take_the_name_of_a_shipped_one(
    python: Callable[[str], str],
) -> None:
    program = (
        "settings = registry.settings_class('chat')\n"
        "print(registry.kinds().count('x'), registry.kinds()[-2], registry.create('chat', settings(room='a')).kind,\n"
        "      registry.channel_class('x').__module__)"
    )
    assert python(program) == "1 chat chat outagecast.channels.x"


def test_a_kind_that_does_not_state_what_the_core_asks_is_refused_by_its_name(python: Callable[[str], str]) -> None:
    program = "try: registry.channel_class('half')\nexcept Exception as error: print(type(error).__name__, error)"
    assert python(program) == (
        'ConfigError the kind "half" (chatcast:Half) does not state parts, addresses, escapes, semantics, imports '
        "(its package is for another version of outagecast)"
    )
