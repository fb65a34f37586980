"""An answer that unpacks to gigabytes, or never ends, costs neither memory nor time."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.sweep

MEGABYTE = 1 << 20
MOST_GROWTH = 50  # megabytes
DEADLINE = 0.75  # seconds
LONG = b"x" * 65_000
GREETING = b"220 hello\r\n250 hello\r\n"
MAIL = b"250 ok\r\n250 ok\r\n354 go on\r\n"


def packed(gigabytes: int) -> Iterator[bytes]:
    """That many gigabytes of spaces, in gzip."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    yield packer.compress(b" ") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b" " * MEGABYTE) + packer.flush(zlib.Z_FULL_FLUSH)  # the same, wherever it stands
    yield from itertools.repeat(block * 1024, gigabytes)


def response(*headers: str, status: str = "201 Created") -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *headers, "", "")).encode()


def chunked(pieces: Iterable[bytes]) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def endless(first: bytes, piece: bytes) -> Iterable[bytes]:
    return itertools.chain([first], itertools.repeat(piece))


def speech(said: bytes, piece: bytes) -> Iterable[bytes]:
    """Reply after reply, and then without an end."""
    return itertools.chain(said.splitlines(keepends=True), itertools.repeat(piece))


@pytest.fixture(scope="module")
def bombs() -> Mapping[str, Iterable[bytes]]:
    """Answers over HTTP."""
    pieces = list(packed(10))
    once = b"".join(pieces)
    twice = gzip.compress(once)
    in_gzip, in_both, in_chunks = "Content-Encoding: gzip", "Content-Encoding: gzip, gzip", "Transfer-Encoding: chunked"
    return {
        "gzip": [response(in_gzip), once],
        "gzip, with its length": [response(in_gzip, f"Content-Length: {len(once)}"), once],
        "gzip, in one chunk": [response(in_gzip, in_chunks), chunked([once])],
        "gzip, in chunks": [response(in_gzip, in_chunks), chunked(pieces)],
        "gzip of gzip": [response(in_both), twice],
        "gzip of gzip, with its length": [response(in_both, f"Content-Length: {len(twice)}"), twice],
        "gzip of gzip, in one chunk": [response(in_both, in_chunks), chunked([twice])],
        "a body without an end": endless(response(), LONG),
        "a chunk's size without an end": endless(response(in_chunks), LONG),
        "trailers without an end": endless(response(in_chunks) + b"0\r\n", b"a: b\r\n" * 9999),
        "a status without an end": endless(b"", LONG),
        "headers without an end": endless(response()[:-2], b"a: b\r\n" * 9999),
        "long headers": endless(response()[:-2], b"a: " + LONG + b"\r\n"),
        "promises to go on": endless(b"", response(status="100 Continue") * 999),
        "long promises to go on": endless(b"", response(*["a: " + "x" * 60_000] * 90, status="100 Continue")),
    }


@pytest.fixture(scope="module")
def talk() -> Mapping[str, Iterable[bytes]]:
    """What mail relays say."""
    return {
        "a greeting without an end": speech(b"220-", LONG),
        "greetings without an end": speech(b"", b"220-hello\r\n" * 9999),
        "long greetings": speech(b"", (b"220-" + b"x" * 8000 + b"\r\n") * 9),
        "abilities without an end": speech(b"220 hello\r\n", b"250-SIZE\r\n" * 9999),
        "thanks without an end": speech(GREETING + MAIL, b"250-thanks\r\n" * 9999),
        "long thanks": speech(GREETING + MAIL, (b"250-" + b"x" * 8000 + b"\r\n") * 9),
        "a refusal without an end": speech(GREETING + MAIL[:8], b"550-no, ana@example.org\r\n" * 9999),
    }


@pytest.fixture
def probe(answering: Callable[[], Any]) -> Iterator[Callable[..., dict[str, tuple[str, bool, bool]]]]:
    """A function that has a process of its own send to each of some answers, and says what came of it."""
    with ExitStack() as stack:

        def run(kind: str, answers: Mapping[str, Iterable[bytes]]) -> dict[str, tuple[str, bool, bool]]:
            ports = []
            for answer in answers.values():
                peer = stack.enter_context(closing(answering()))
                peer.answer, peer.greets = answer, kind == "smtp"
                peer.takes_turns = peer.greets
                ports.append(str(peer.port))
            environment = {name: value for name, value in os.environ.items() if "proxy" not in name.casefold()}
            done = subprocess.run(
                [sys.executable, str(Path(__file__).with_name("probe.py")), kind, str(DEADLINE), *ports],
                capture_output=True,
                text=True,
                check=True,
                timeout=90,
                env=environment | {"FUZZ_SECRET": "canary-4711"},
            )
            found = zip(answers, json.loads(done.stdout), strict=True)
            # A second more, as every call may take; and one for a machine that is busy.
            return {name: (said, took < DEADLINE + 2, grown < MOST_GROWTH) for name, (said, took, grown) in found}

        yield run


@pytest.mark.parametrize("kind", ["x", "facebook", "twilio_sms"])
def test_a_provider_without_measure_is_cut_off(probe: Any, bombs: Mapping[str, Iterable[bytes]], kind: str) -> None:
    assert dict.fromkeys(bombs, ("Uncertain", True, True)) == probe(kind, bombs)


def test_a_relay_without_measure_is_cut_off(probe: Any, talk: Mapping[str, Iterable[bytes]]) -> None:
    expected = {name: ("Uncertain" if "thanks" in name else "Unavailable", True, True) for name in talk}

    assert expected == probe("smtp", talk)
