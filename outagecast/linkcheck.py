"""Whether the links of an announcement open: each is asked for once, so that nobody is sent to a page that is down.

This asks by the standard library and not by ``outagecast.transport``: a page that is looked at needs neither the
phases of a call nor redaction, and importing ``requests`` for it would make a preview take twice as long.
"""

from __future__ import annotations

import functools
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from outagecast import __version__, facts, registry
from outagecast.text import clean

if TYPE_CHECKING:
    import ssl

    from outagecast.model import Variant

WITHIN = 2.0  # seconds for all links together
MOST = 20  # links that are asked for; nobody writes more
_HOPS = 5  # redirects that are followed
_GRACE = 0.1  # seconds in which a connection that timed out says so
# It is there, and wants something of the reader, or of machines such as ours: a login, another method, patience.
_THERE = frozenset({401, 403, 405, 407, 429})
_MOVED = frozenset({301, 302, 303, 307, 308})
_LINK = re.compile(r"https?://[^\s<>\"'\u00ab\u00bb\u201c\u201d\u3001\u3002]+", re.IGNORECASE)
_SENTENCES_OWN = ".,;:!?*_\u2019\u2026"
_PAIRS = {")": "(", "]": "[", "}": "{"}


def public(variants: Iterable[Variant]) -> list[str]:
    """Every web address that readers of ``variants`` can follow, each once."""
    found: dict[str, None] = {}
    for variant in variants:
        markup = registry.channel_class(variant.kind).escapes
        for part, text in variant.parts.items():
            found.update(dict.fromkeys(_addresses(facts.visible(text) if part in markup else text)))
    return list(found)


def _addresses(text: str) -> Iterator[str]:
    """The web addresses in a text, without what belongs to the sentence around them."""
    for address in _LINK.findall(text):
        kept = address
        while kept and (kept[-1] in _SENTENCES_OWN or _is_unpaired(kept)):
            kept = kept[:-1]
        yield kept


def _is_unpaired(address: str) -> bool:
    """Whether it ends with a bracket that was opened before it began."""
    opening = _PAIRS.get(address[-1])
    return opening is not None and address.count(opening) < address.count(address[-1])


class Links:
    """Some links that are being asked for, all at once, each in a thread of its own, from the moment this is made."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._until = time.monotonic() + WITHIN + _GRACE
        self._asked = [_Asked(address) for address in list(addresses)[:MOST]]
        for asked in self._asked:
            asked.begin()

    def dead(self, *, wait: bool = True) -> list[str]:
        """A sentence on each link that does not open; without ``wait``, of those that are known by now."""
        found = []
        for asked in self._asked:
            why = asked.answer(max(0.0, self._until - time.monotonic()) if wait else 0.0)
            if why is None and wait:
                why = _SILENT
            if why:
                shown = clean(asked.address, most=100)
                found.append(f"{shown} does not open ({why}): readers would be sent to a page that is down")
        return found


_SILENT = f"no answer within {WITHIN:g} seconds"


class _Asked:
    """One link."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._why = ""
        self._is_known = threading.Event()

    def begin(self) -> None:
        # Nobody waits for the thread itself: a server that sends a byte a second would keep it.
        threading.Thread(target=self._ask, name="link", daemon=True).start()

    def answer(self, within: float) -> str | None:
        """Why it does not open, empty where it does, None while that is not known."""
        return self._why if self._is_known.wait(within) else None

    def _ask(self) -> None:
        try:
            self._why = _trouble(self.address)
        except Exception as error:  # noqa: BLE001 - whatever comes of it, it is no reason to announce nothing
            self._why = _words(error)
        finally:
            self._is_known.set()


class _Answer(NamedTuple):
    status: int
    location: str


def _trouble(address: str) -> str:
    """Why the page does not open; empty if it does. Raises OSError, HTTPException and ValueError."""
    for _ in range(_HOPS + 1):
        answer = _get(address)
        if answer.status not in _MOVED or not answer.location:
            return f"HTTP {answer.status}" if answer.status >= 400 and answer.status not in _THERE else ""
        address = urljoin(address, answer.location)
        if urlsplit(address).scheme not in {"http", "https"}:
            return ""  # it leads into an app
    return "it leads from page to page without an end"


def _get(address: str) -> _Answer:
    """The head of the page's answer; its body is left unread."""
    from urllib import request

    opener = request.OpenerDirector()  # with nothing in it that follows, raises, or keeps a cookie
    opener.add_handler(request.ProxyHandler())
    opener.add_handler(request.HTTPHandler())
    if address.lower().startswith("https:"):
        opener.add_handler(request.HTTPSHandler(context=_trust()))
    headers = {"User-Agent": f"outagecast/{__version__}", "Accept": "*/*"}
    asked = request.Request(_ascii(address), headers=headers)  # noqa: S310 - http and https only
    with opener.open(asked, timeout=WITHIN) as answer:
        return _Answer(answer.status, _location(answer.headers))


def _location(headers: Mapping[str, str]) -> str:
    # http.client reads headers as Latin-1; what is there is UTF-8 at best.
    return str(headers.get("Location", "")).encode("latin-1", "replace").decode("utf-8", "replace")


def _ascii(address: str) -> str:
    """An address as it is sent. Raises ValueError where none can be."""
    parts = urlsplit(address)
    if not parts.hostname:
        raise ValueError(address)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname.encode("idna").decode("ascii")
    place = f"{host}:{parts.port}" if parts.port is not None else host
    path, query = (quote(part, safe="%/:=&?~+!$,;'@()*[]") for part in (parts.path or "/", parts.query))
    return urlunsplit((parts.scheme.lower(), place, path, query, ""))


@functools.cache
def _trust() -> ssl.SSLContext:
    """Whom a reader's browser trusts: this machine's own store, or that of `requests` where Python finds none."""
    import os
    import ssl

    context = ssl.create_default_context()
    own = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if own:
        context.load_verify_locations(own)
    elif not context.cert_store_stats()["x509_ca"]:
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def _words(error: Exception) -> str:
    """Why no page came; of the answer itself nothing is quoted."""
    import socket
    import ssl
    from http.client import HTTPException

    reason = getattr(error, "reason", None)
    cause = reason if isinstance(reason, Exception) else error  # urllib wraps what it was told
    if isinstance(cause, TimeoutError):
        return _SILENT
    if isinstance(cause, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {clean(cause.verify_message, most=100)}"
    if isinstance(cause, ssl.SSLError):
        return "no secure connection can be made"
    if isinstance(cause, ConnectionError) and isinstance(cause, HTTPException):
        return "the connection was closed without an answer"
    if isinstance(cause, HTTPException):
        return "what answers there is no web server"
    if isinstance(cause, OSError):
        return clean(cause.strerror, most=100) if cause.strerror else "the proxy does not reach it"
    return "it is no web address"
