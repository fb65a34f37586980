"""Secrets by reference: ``env:NAME``, ``file:PATH``, ``keyring:SERVICE/NAME``; resolved late, never shown."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from outagecast.errors import ConfigError, Problem

SCHEMES = ("env:", "file:", "keyring:")
REFERENCE = "^(env:.|file:.|keyring:.*/)"  # found in every reference, for editors
MASK = "***"
LEAST = 4  # characters: shorter ones would blot out ordinary words
LEAST_CODED = 8

_URLSAFE = str.maketrans("+/", "-_")

_revealed: set[str] = set()  # in every spelling
_passing: deque[frozenset[str]] = deque(maxlen=32)  # signatures of the last calls, which are good for one call each
_forms: list[tuple[str, ...]] = [()]  # one entry: all of them, the longest first
_variables: set[str] = set()  # the environment's, that a reference names
_lock = threading.Lock()


class Secret:
    """A reference to a secret. Printing, formatting or pickling it shows the reference, never the value."""

    __slots__ = ("_base", "reference")

    def __init__(self, reference: str, base: Path | None = None) -> None:
        scheme, _, rest = reference.partition(":")
        if f"{scheme}:" not in SCHEMES or not rest:
            # What was written may be the secret itself: never repeat it.
            raise ValueError("a secret must be a reference: env:NAME, file:PATH or keyring:SERVICE/NAME")
        if scheme == "keyring" and "/" not in rest:
            raise ValueError("a keyring reference is keyring:SERVICE/NAME")
        if scheme == "env":
            _variables.add(rest)
        self.reference = reference
        self._base = base

    def relative_to(self, base: Path) -> Secret:
        """The same reference, with ``file:`` paths counted from ``base``."""
        return Secret(self.reference, base)

    def reveal(self) -> str:
        """The value itself, remembered so that ``redact`` hides it. Raises ConfigError saying what to do."""
        scheme, _, rest = self.reference.partition(":")
        value = {"env": self._from_env, "file": self._from_file, "keyring": self._from_keyring}[scheme](rest)
        if not value:
            raise ConfigError(Problem(f"{self.reference} is empty", "give it a value, then run the same command again"))
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ConfigError(Problem(f"{self.reference} is not UTF-8 text", "copy it again")) from None
        remember(value)
        return value

    def _from_env(self, name: str) -> str:
        if name not in os.environ:
            raise ConfigError(Problem(f"the environment variable {name} is not set", f"export {name}=… and run again"))
        return os.environ[name]

    def _from_file(self, name: str) -> str:
        path = (self._base or Path()) / os.path.expanduser(name)  # noqa: PTH111 - Path.expanduser fails on an unknown user
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                    raise ConfigError(Problem(f"{path} can be read by others", f"chmod 600 {path}"))
                return file.read(65536).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(Problem(f"cannot read the secret {path}: {reason}")) from None

    def _from_keyring(self, name: str) -> str:
        service, _, user = name.partition("/")
        try:
            import keyring
        except ImportError:
            raise ConfigError(
                Problem(f"{self.reference} needs the keyring package", "pip install 'outagecast[keyring]'")
            ) from None
        try:
            value = keyring.get_password(service, user)
        except keyring.errors.KeyringError as error:
            raise ConfigError(Problem(f"the keyring refused {self.reference}: {type(error).__name__}")) from None
        if value is None:
            raise ConfigError(Problem(f"the keyring has no {name}", f"keyring set {service} {user}"))
        return value

    def __repr__(self) -> str:
        return f"Secret({self.reference!r})"

    def __str__(self) -> str:
        return self.reference

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.reference == other.reference

    def __hash__(self) -> int:
        return hash(self.reference)


def remember(value: str, *, is_passing: bool = False) -> None:
    """Have ``redact`` hide ``value``, however it is quoted or encoded on its way.

    One that is passing is hidden while its call, and those beside it, can still repeat it.
    """
    if len(value) < LEAST or value in _revealed:
        return
    forms = frozenset(form for form in _spellings(value) if len(form) >= LEAST)
    with _lock:
        if is_passing:
            _passing.append(forms)
        else:
            _revealed.update(forms)
        _forms[0] = tuple(sorted(_revealed.union(*_passing), key=len, reverse=True))


def redact(text: str) -> str:
    """``text`` with every secret revealed so far replaced by ``***``."""
    for form in _forms[0]:
        text = text.replace(form, MASK)
    return text


def withheld() -> Mapping[str, str]:
    """The environment's variables that hold secrets, each empty: for a program that is none of ours."""
    return dict.fromkeys(_variables & os.environ.keys(), "")


def _spellings(value: str) -> Iterator[str]:
    """``value`` as it is, and as Python, URLs, JSON, HTML and base64 write it."""
    import html

    yield from (value, " ".join(value.split()), html.escape(value), json.dumps(value)[1:-1])
    yield from (repr(value)[1:-1], repr(value.encode())[2:-1])
    for quoted in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield from (quoted, quote(quoted, safe=""), re.sub("%..", lambda code: code.group().lower(), quoted))
    whole = base64.b64encode(value.encode()).decode()
    yield from (whole, whole.rstrip("="), whole.translate(_URLSAFE), whole.translate(_URLSAFE).rstrip("="))
    for offset in range(3):  # as part of something longer, such as a login
        coded = base64.b64encode(b"\0" * offset + value.encode()).decode().rstrip("=")
        # The characters at both ends are made of its neighbours too.
        core = coded[-(-offset * 8 // 6) : -1]
        yield from (core, core.translate(_URLSAFE)) if len(core) >= LEAST_CODED else ()
