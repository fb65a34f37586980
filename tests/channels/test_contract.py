"""What every channel keeps to; those that speak HTTP, against stand-ins of their providers on this machine.

A new kind is added to ``PEERS`` and has nothing else to write for it.
"""

from __future__ import annotations

import gzip
import importlib
import importlib.util
import itertools
import json
import logging
import socket
import subprocess
import sys
import time
import traceback
import tracemalloc
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from outagecast import registry
from outagecast.channel import Finds, ReadsBack, Semantics, Withdraws
from outagecast.errors import ChannelError, ConfigError, Rejected, Unavailable, Uncertain
from outagecast.model import Delivery, Receipt, Status
from outagecast.rehearsal import FacebookStandIn, Reply, Secrets, StandIn, TwilioStandIn, XStandIn
from outagecast.secret import Secret
from outagecast.transport import LONGEST_ANSWER, Session

DEADLINE = 0.25  # seconds, instead of 20
TEXT = "Card payments are failing. Numerarul merge; ștampila & <chip> nu. 🔴 https://status.example.com/a?b=1&c=2"
HEAVY = ("requests", "urllib3", "tweepy", "twilio", "smtplib", "email", "jinja2", "babel")


@dataclass(frozen=True)
class Peer:
    """A channel, the stand-in of its provider, and how that provider says things."""

    server: Any
    make: Callable[[str], Any]  # a channel for an address
    canaries: Mapping[str, str]
    receipt: Mapping[str, Any]  # what the provider answers to a post
    beside: Mapping[str, Any]  # an error that it could put beside that
    refusal: Callable[[str], Reply]  # its way of saying no, in these words
    beside_means: type[ChannelError]
    waits: tuple[float, float]  # seconds that it asks for when it is throttled, at least and at most
    target: str = ""

    @property
    def channel(self) -> Any:
        return self.make(self.server.url)

    @property
    def published(self) -> list[str]:
        held = getattr(self.server, "messages", None)
        return [one.text for one in (self.server.posts if held is None else held)]

    @property
    def posted(self) -> int:
        return sum(request.method == "POST" for request in self.server.requests)

    def delivery(self, text: str = TEXT) -> Delivery:
        now = datetime.now(UTC)
        return Delivery(
            key="cards/1/x",
            incident="cards",
            update=1,
            status=Status.INVESTIGATING,
            target=self.target,
            language="en",
            parts={"text": text},
            opened_at=now,
            attempted_at=now,
        )


def secrets(monkeypatch: pytest.MonkeyPatch, *names: str, prefix: str = "") -> dict[str, str]:
    """Values that are in no other test, in the environment."""
    values = {name: f"{prefix}canary{uuid.uuid4().hex}" for name in names}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


def x(monkeypatch: pytest.MonkeyPatch) -> Peer:
    from outagecast.channels.x import Settings, X

    token = secrets(monkeypatch, "X_TOKEN", prefix="4711-")
    rest = secrets(monkeypatch, "X_KEY", "X_SECRET", "X_TOKEN_SECRET")
    return Peer(
        XStandIn(Secrets(rest["X_KEY"], rest["X_SECRET"], token["X_TOKEN"], rest["X_TOKEN_SECRET"])),
        lambda url: X(
            Settings(
                api_key=Secret("env:X_KEY"),
                api_secret=Secret("env:X_SECRET"),
                access_token=Secret("env:X_TOKEN"),
                access_token_secret=Secret("env:X_TOKEN_SECRET"),
                api_url=url,
            )
        ),
        {**token, **rest},
        receipt={"data": {"id": "1999", "text": TEXT}},
        beside={"errors": [{"title": "Internal Error", "detail": "no", "type": "about:blank"}]},
        beside_means=Uncertain,
        refusal=lambda words: Reply(400, {"title": "Invalid Request", "detail": words, "type": "about:blank"}),
        waits=(50, 61),
    )


def facebook(monkeypatch: pytest.MonkeyPatch) -> Peer:
    from outagecast.channels.facebook import Facebook, Settings

    canaries = secrets(monkeypatch, "FB_TOKEN", "FB_SECRET")
    return Peer(
        FacebookStandIn("100", page_token=canaries["FB_TOKEN"], app_secret=canaries["FB_SECRET"]),
        lambda url: Facebook(
            Settings(page_id="100", page_token=Secret("env:FB_TOKEN"), app_secret=Secret("env:FB_SECRET"), api_url=url)
        ),
        canaries,
        receipt={"id": "100_1999"},
        beside={"error": {"message": "no", "type": "OAuthException", "code": 190, "fbtrace_id": "A"}},
        beside_means=Uncertain,
        refusal=lambda words: Reply(400, {"error": {"message": words, "code": 100, "fbtrace_id": words}}),
        waits=(180, 180),
    )


def twilio_sms(monkeypatch: pytest.MonkeyPatch) -> Peer:
    from outagecast.channels.twilio_sms import Settings, TwilioSms

    canaries = secrets(monkeypatch, "TWILIO_TOKEN")
    account = f"AC{uuid.uuid4().hex}"
    monkeypatch.setenv("TWILIO_ACCOUNT", account)
    return Peer(
        TwilioStandIn(account, auth_token=canaries["TWILIO_TOKEN"]),
        lambda url: TwilioSms(
            Settings(
                account_sid=Secret("env:TWILIO_ACCOUNT"),
                auth_token=Secret("env:TWILIO_TOKEN"),
                messaging_service_sid=f"MG{'0' * 32}",
                api_url=url,
            )
        ),
        {**canaries, "TWILIO_ACCOUNT": account},
        receipt={"sid": f"SM{'9' * 32}", "status": "queued", "error_code": None},
        beside={"status": "failed", "error_code": 30007, "error_message": "no"},
        beside_means=Rejected,  # it is one whole answer: a message that has failed
        refusal=lambda words: Reply(400, {"code": 21617, "message": words, "status": 400}),
        waits=(1, 1),
        target="+61400000001",
    )


PEERS = (x, facebook, twilio_sms)


@pytest.fixture(params=PEERS, ids=lambda make: make.__name__)
def peer(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Peer]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    defaults = Session.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "deadline", DEADLINE)
    caplog.set_level(logging.DEBUG)
    peer: Peer = request.param(monkeypatch)
    with peer.server:
        yield peer
    logged = caplog.text + "".join(map(repr, caplog.records))
    assert not [name for name, value in peer.canaries.items() if value in logged]
    assert peer.target == "" or peer.target not in logged


def failure(peer: Peer, work: Callable[[], object]) -> ChannelError:
    """The error out of ``work``, which comes by the deadline and shows no secret and no recipient."""
    began = time.monotonic()
    with pytest.raises(ChannelError) as caught:
        work()
    assert time.monotonic() - began < DEADLINE + 1
    error = caught.value
    shown = "".join((str(error), repr(error), error.code, error.hint, *traceback.format_exception(error)))
    assert not [name for name, value in peer.canaries.items() if value in shown]
    assert peer.target == "" or peer.target not in shown
    assert TEXT not in shown
    return error


def failed_send(peer: Peer, fault: Any = "ok") -> ChannelError:
    """The error of one send that meets ``fault``, for which exactly one POST reached the provider."""
    channel = peer.channel
    peer.server.behave(fault)
    error = failure(peer, lambda: channel.send(peer.delivery()))
    channel.close()
    assert (peer.posted, len(peer.server.requests)) == (1, 1)
    return error


# --- a no that is certain


def test_a_dead_token_is_rejected_for_the_whole_account(peer: Peer) -> None:
    error = failed_send(peer, "unauthorized")

    assert isinstance(error, Rejected)
    assert (error.account, error.recipient, error.duplicate) == (True, False, False)
    assert error.hint
    assert peer.published == []


def test_a_wrong_secret_is_rejected_for_the_whole_account(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in peer.canaries.items():
        if name != "TWILIO_ACCOUNT":
            monkeypatch.setenv(name, f"{value[:-1]}!")

    error = failed_send(peer)

    assert isinstance(error, Rejected)
    assert peer.published == []


def test_throttling_is_unavailable_for_as_long_as_the_provider_says(peer: Peer) -> None:
    error = failed_send(peer, "rate_limited")

    assert isinstance(error, Unavailable)
    assert error.retry_after is not None
    assert peer.waits[0] <= error.retry_after <= peer.waits[1]
    assert peer.published == []


def test_throttling_that_names_no_time_is_unavailable_too(peer: Peer) -> None:
    error = failed_send(peer, replace(peer.server.failure("rate_limited", peer), headers={}))

    assert isinstance(error, Unavailable)
    assert error.retry_after is None


def test_a_refused_request_is_rejected(peer: Peer) -> None:
    error = failed_send(peer, peer.refusal("The text is not to our liking"))

    assert isinstance(error, Rejected)
    assert "The text is not to our liking" in str(error)
    assert (error.account, error.recipient, error.duplicate) == (False, False, False)


@pytest.mark.parametrize("peer", [x, facebook], indirect=True, ids=lambda make: make.__name__)
def test_a_repeat_is_rejected_as_a_duplicate(peer: Peer) -> None:
    peer.channel.send(peer.delivery())

    error = failure(peer, lambda: peer.channel.send(peer.delivery()))

    assert isinstance(error, Rejected)
    assert error.duplicate
    assert len(peer.published) == 1


def test_a_refused_connection_is_unavailable(peer: Peer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    error = failure(peer, lambda: peer.make(f"http://127.0.0.1:{port}").send(peer.delivery()))

    assert isinstance(error, Unavailable)
    assert "Connection refused" in str(error)


def test_a_name_that_cannot_be_resolved_is_unavailable(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # asking a true resolver would leave this machine

    error = failure(peer, lambda: peer.make("https://nowhere.invalid").send(peer.delivery()))

    assert isinstance(error, Unavailable)
    assert "its name cannot be resolved" in str(error)


def test_a_failing_handshake_is_unavailable(peer: Peer) -> None:
    error = failure(peer, lambda: peer.make(f"https://127.0.0.1:{peer.server.port}").send(peer.delivery()))

    assert isinstance(error, Unavailable)
    assert peer.server.requests == ()


def test_a_peer_that_never_shakes_hands_is_unavailable(peer: Peer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"

        error = failure(peer, lambda: peer.make(url).send(peer.delivery()))

    assert isinstance(error, Unavailable)


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://[::1"])
def test_an_address_that_is_none_is_never_doubt(peer: Peer, url: str) -> None:
    try:
        channel = peer.make(url)
    except ValueError:
        return  # the config refuses it already
    error = failure(peer, lambda: channel.send(peer.delivery()))

    assert isinstance(error, Rejected | Unavailable)


def test_an_unset_secret_is_an_error_of_the_config(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(next(iter(peer.canaries)))
    channel = peer.channel  # to make one reveals nothing

    with pytest.raises(ConfigError, match="is not set"):
        channel.send(peer.delivery())
    channel.close()

    assert peer.server.requests == ()


# --- doubt


@pytest.mark.parametrize(
    ("fault", "applied"),
    [
        ("hang", False),
        ("hang_applied", True),
        ("reset_before", False),
        ("reset_after", True),
        ("error_500", False),
        ("error_500_applied", True),
        ("garbage_200", False),
        ("garbage_200_applied", True),
    ],
)
def test_an_answer_that_is_lost_leaves_doubt(peer: Peer, fault: str, applied: bool) -> None:
    error = failed_send(peer, fault)

    assert isinstance(error, Uncertain)
    assert "may be out" in str(error)
    assert peer.published == [TEXT] * applied


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520])
def test_an_error_of_the_servers_leaves_doubt_whatever_it_says(peer: Peer, status: int) -> None:
    assert isinstance(failed_send(peer, Reply(status, "<h1>Sorry</h1>", {"Retry-After": "5"})), Uncertain)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!DOCTYPE html><p>Please sign in",
        b"{",
        b"[]",
        b"[{}]",
        b"{}",
        b"null",
        b"true",
        b'"1999"',
        b"1999",
        b"\xff\xfe",
        b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_success_that_is_no_receipt_leaves_doubt(peer: Peer, body: bytes) -> None:
    error = failed_send(peer, Reply(201, body, {"Content-Type": "application/json"}))

    assert isinstance(error, Uncertain)


def without_id(receipt: Mapping[str, Any], value: Any) -> dict[str, Any]:
    """The receipt with ``value`` in the place of its id; without one where that is ``...``."""
    inner = {**receipt.get("data", receipt)}
    name = next(name for name in inner if name in {"id", "sid"})
    inner |= {name: value}
    if value is ...:
        del inner[name]
    return {"data": inner} if "data" in receipt else inner


@pytest.mark.parametrize("value", [..., None, "", [], {}, {"id": "1"}, True, False], ids=repr)
def test_a_receipt_without_an_id_leaves_doubt(peer: Peer, value: Any) -> None:
    assert isinstance(failed_send(peer, Reply(201, without_id(peer.receipt, value))), Uncertain)


def test_a_receipt_beside_an_error_is_no_receipt(peer: Peer) -> None:
    assert isinstance(failed_send(peer, Reply(201, {**peer.receipt, **peer.beside})), peer.beside_means)


def test_the_receipt_alone_leaves_none(peer: Peer) -> None:
    peer.server.behave(Reply(201, peer.receipt))

    assert peer.channel.send(peer.delivery()).provider_id.endswith("9")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_leaves_doubt(peer: Peer, status: int) -> None:
    error = failed_send(peer, Reply(status, peer.receipt, {"Location": f"{peer.server.url}/elsewhere"}))

    assert isinstance(error, Uncertain)


@pytest.mark.parametrize("location", ["http://[", "http://127.0.0.1:99999/", "x:", "\xff", ""], ids=ascii)
def test_a_redirect_to_nowhere_leaves_doubt(peer: Peer, location: str) -> None:
    assert isinstance(failed_send(peer, Reply(302, b"", {"Location": location})), Uncertain)


def test_an_answer_that_unpacks_to_too_much_is_cut_off(peer: Peer) -> None:
    bomb = gzip.compress(b" " * (LONGEST_ANSWER * 32), 1)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    peer.channel.send(peer.delivery("Warming up, so that imports do not count"))
    tracemalloc.start()
    try:
        peer.server.behave(Reply(201, bomb, headers))
        error = failure(peer, lambda: peer.channel.send(peer.delivery()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert isinstance(error, Uncertain)
    assert peak < LONGEST_ANSWER * 8


@pytest.mark.parametrize("status", [201, 302, 400, 429])
def test_an_answer_without_an_end_is_cut_off(peer: Peer, status: int) -> None:
    peer.channel.send(peer.delivery("Warming up, so that imports do not count"))
    peer.server.behave(Reply(status, itertools.repeat(b" " * 65_536), {"Location": f"{peer.server.url}/elsewhere"}))
    tracemalloc.start()
    try:
        error = failure(peer, lambda: peer.channel.send(peer.delivery()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert isinstance(error, Uncertain)
    assert peak < LONGEST_ANSWER * 8


def test_an_answer_that_drips_ends_by_the_deadline(peer: Peer) -> None:
    def drip() -> Iterator[bytes]:
        while not peer.server.closing.wait(0.02):
            yield b" "

    assert isinstance(failed_send(peer, Reply(201, drip())), Uncertain)


def test_an_answer_that_breaks_off_leaves_doubt(peer: Peer) -> None:
    whole = json.dumps(peer.receipt).encode()
    headers = {"Content-Length": str(len(whole) + 1), "Connection": "close"}

    assert isinstance(failed_send(peer, Reply(201, whole, headers)), Uncertain)


# --- words


@pytest.mark.parametrize(
    "words", ["\x1b[31mred\x1b]0;title\x07", "first\r\nsecond: line", "\u202egnp\u2066", "\x9b31m"], ids=ascii
)
def test_a_providers_words_reach_no_terminal_raw(peer: Peer, words: str) -> None:
    error = failed_send(peer, peer.refusal(f"Not {words} so"))

    shown = f"{error} {error.code} {error.hint}"
    assert shown.isprintable()
    assert "Not" in shown


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_a_provider_that_repeats_our_secrets_does_not_make_us_repeat_them(peer: Peer, status: int) -> None:
    words = " ".join(peer.canaries.values())

    failed_send(peer, replace(peer.refusal(words), status=status))


def test_a_provider_that_repeats_the_text_and_the_recipient_does_not_make_us_repeat_them(peer: Peer) -> None:
    failed_send(peer, peer.refusal(f"Cannot send to {peer.target}"))


# --- evidence


@pytest.mark.parametrize("fault", ["hang_applied", "reset_after", "error_500_applied", "garbage_200_applied"])
def test_what_is_out_after_all_is_found(peer: Peer, fault: str) -> None:
    channel, delivery = peer.channel, peer.delivery()
    assert isinstance(peer.channel, Finds)
    peer.server.behave(fault)
    failure(peer, lambda: channel.send(delivery))

    found = channel.find(delivery)

    held = getattr(peer.server, "messages", None) or peer.server.posts
    assert found is not None
    assert [one.id for one in held] == [found.provider_id]
    assert peer.posted == 1


@pytest.mark.parametrize("fault", ["error_500", "reset_before"])
def test_what_is_not_out_is_not_found(peer: Peer, fault: str) -> None:
    channel, delivery = peer.channel, peer.delivery()
    channel.send(peer.delivery("An older update, which is not this one"))
    peer.server.behave(fault)
    failure(peer, lambda: channel.send(delivery))

    assert channel.find(delivery) is None


@pytest.mark.parametrize("fault", ["hang", "reset_before", "error_500", "garbage_200", "rate_limited"])
def test_a_question_that_gets_no_answer_is_unanswered_and_not_a_doubt(peer: Peer, fault: str) -> None:
    channel, delivery = peer.channel, peer.delivery()
    receipt = channel.send(delivery)
    for ask in (channel.check, lambda: channel.find(delivery), lambda: channel.read_back(delivery, receipt)):
        peer.server.behave(fault, method="GET")
        error = failure(peer, ask)
        assert isinstance(error, Unavailable), ask


@pytest.mark.parametrize("text", [TEXT, "Fixed.", "a < b && c > d &amp; e", "ÎÂȘȚĂ — „așa” …"])
def test_what_was_sent_is_what_is_read_back(peer: Peer, text: str) -> None:
    channel, delivery = peer.channel, peer.delivery(text)
    assert isinstance(peer.channel, ReadsBack)

    receipt = channel.send(delivery)
    seen = channel.read_back(delivery, receipt)

    assert seen is not None
    assert seen.parts == {"text": text}
    assert peer.published == [text]
    assert channel.find(delivery) == Receipt(receipt.provider_id, seen.url or receipt.url)


def test_what_is_withdrawn_is_gone_and_gone_already_is_no_error(peer: Peer) -> None:
    channel, delivery = peer.channel, peer.delivery()
    if not isinstance(peer.channel, Withdraws):
        pytest.skip("what it sends cannot be taken back")
    receipt = channel.send(delivery)

    channel.withdraw(receipt)
    channel.withdraw(receipt)

    assert peer.published == []
    assert channel.read_back(delivery, receipt) is None


def test_a_check_publishes_nothing(peer: Peer) -> None:
    peer.channel.check()

    assert peer.published == []
    assert {request.method for request in peer.server.requests} == {"GET"}


def test_a_check_with_a_dead_token_is_rejected(peer: Peer) -> None:
    peer.server.behave("unauthorized", method="GET")

    error = failure(peer, peer.channel.check)

    assert isinstance(error, Rejected)
    assert error.account


def test_closing_never_raises(peer: Peer) -> None:
    channel = peer.channel
    channel.close()
    channel.send(peer.delivery())
    channel.close()
    channel.close()


# --- every kind


@pytest.mark.parametrize("kind", registry.BUILTIN)
def test_a_kind_states_what_the_core_asks_of_it(kind: str) -> None:
    channel = registry.channel_class(kind)

    assert channel.kind == kind
    assert channel.parts
    assert all(limit.most > 0 and limit.unit for limit in channel.parts.values())
    assert all(0 < limit.count("a") <= limit.count("a" * 9000) for limit in channel.parts.values())
    assert channel.addresses in {"phone", "email", None}
    assert channel.escapes <= set(channel.parts)
    assert isinstance(channel.semantics, Semantics)
    assert channel.semantics.source.startswith("https://")
    assert channel.semantics.promise.endswith(".")
    assert [name for name in channel.imports if importlib.util.find_spec(name) is None] == []
    assert channel.__doc__


@pytest.mark.parametrize("kind", registry.BUILTIN)
def test_a_kind_that_is_only_looked_at_imports_nothing_heavy(kind: str) -> None:
    module = registry.BUILTIN[kind].partition(":")[0]
    script = (
        f"import sys, importlib; importlib.import_module({module!r});"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )

    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert shown == "[]\n"


def test_every_kind_that_speaks_http_is_in_this_suite() -> None:
    kinds = {kind for kind in registry.BUILTIN if "api_url" in registry.settings_class(kind).__dataclass_fields__}

    assert kinds == {make.__name__ for make in PEERS}
    assert all(importlib.import_module(f"outagecast.channels.{kind}").__doc__ for kind in kinds)


def test_the_stand_ins_are_stand_ins(peer: Peer) -> None:
    assert isinstance(peer.server, StandIn)
