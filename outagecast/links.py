"""Links as customers would read them: a fraud lives from one that looks like the bank's own and is not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from urllib.parse import SplitResult, urlsplit

from outagecast import measure_x

_WHOLE = re.compile(r"(?:https?://|\bwww\.)(?:\[[0-9a-f:.]*\]|[^\s<>\"/?#\[\]])+", re.IGNORECASE)
_SENTENCES_OWN = ".,;:!?)}'\u2019\u201d\u00bb*_"


def addresses(text: str) -> Iterator[str]:
    """Every link in ``text``: what looks like one, and the bare domains that X and phones make links of."""
    yield from (found.rstrip(_SENTENCES_OWN) for found in _WHOLE.findall(text))
    units = measure_x.code_units(text)
    for start, length in measure_x.links(units).items():
        yield measure_x.code_points(units[start : start + length])


def domain(address: str) -> str:
    """The domain that a link leads to, as it is looked up; empty where it leads to none."""
    try:
        return _ascii(_parts(address).hostname or "")
    except ValueError:
        return ""


def deception(address: str, official: Collection[str]) -> str:
    """What is wrong with a link in the public's eyes; empty if nothing is. No ``official`` domain is any domain."""
    try:
        parts = _parts(address)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return "is not a web address"
    if "@" in parts.netloc:
        return "holds a user name, and leads to what stands behind the @"
    name = _ascii(host)
    if official:
        own = [_ascii(domain) for domain in official]
        if any(name == domain or name.endswith(f".{domain}") for domain in own):
            return ""
        return f"leads to {name}, which is not among the official domains"
    if any(label.startswith("xn--") for label in host.split(".")):
        return "is written so that nobody can read its name (xn--)"
    if any(len(_scripts(label)) > 1 for label in host.split(".")):
        return f"mixes the letters of several scripts: it leads to {name}"
    return ""


def _parts(address: str) -> SplitResult:
    return urlsplit(address if "://" in address else f"https://{address}")


def _ascii(host: str) -> str:
    """A host as it is looked up, so that two spellings of one compare as the same."""
    try:
        return host.casefold().rstrip(".").encode("idna").decode("ascii")
    except UnicodeError:
        return host.casefold()


def _scripts(label: str) -> set[str]:
    return {unicodedata.name(letter, "?").partition(" ")[0] for letter in label if letter.isalpha()}
