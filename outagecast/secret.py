"""Secrets by reference: ``env:NAME``, ``file:PATH``, ``keyring:SERVICE/NAME``; resolved late, never shown."""

from __future__ import annotations

import base64
import os
import stat
import threading
from pathlib import Path
from urllib.parse import quote, quote_plus

from outagecast.errors import ConfigError, Problem

SCHEMES = ("env:", "file:", "keyring:")
MASK = "***"

_revealed: set[str] = set()
_revealed_lock = threading.Lock()


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


def remember(value: str) -> None:
    """Have ``redact`` hide ``value``, also as base64 and as part of a URL."""
    forms = {value, quote(value, safe=""), quote_plus(value), base64.b64encode(value.encode()).decode()}
    with _revealed_lock:
        _revealed.update(form for form in forms if len(form) >= 4)  # shorter ones would blot out ordinary words


def redact(text: str) -> str:
    """``text`` with every secret revealed so far replaced by ``***``."""
    with _revealed_lock:
        forms = sorted(_revealed, key=len, reverse=True)
    for form in forms:
        text = text.replace(form, MASK)
    return text
