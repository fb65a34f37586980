"""What is said on a kept connection, as bytes alone: however an answer arrives, it means the same."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outagecast.errors import ChannelError, Rejected, Unavailable, Uncertain
from outagecast.http_conversation import HttpConversation
from outagecast.model import Delivery, Receipt, Status
from outagecast.transport import LONGEST_ANSWER, Way, refusal

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
HEADERS = {"Authorization": "Basic QUM6dA==", "Accept-Encoding": "gzip, deflate", "Content-Length": "0"}


def delivery(number: int = 1) -> Delivery:
    return Delivery(
        key=f"k{number}",
        incident="cards",
        update=1,
        status=Status.INVESTIGATING,
        target=f"+6149157000{number}",
        language="en",
        parts={"text": "Cards fail."},
        opened_at=NOW,
    )


def judge(status: int, headers: Mapping[str, str], content: bytes) -> Receipt:
    """A provider that answers with an id alone."""
    if status != 201:
        raise refusal("The provider", status, headers, content.decode("latin-1"))
    if not content.isalnum():
        raise Uncertain("the answer cannot be read")
    return Receipt(content.decode())


def conversation(host: str = "api.example.com") -> HttpConversation:
    way: Any = Way(None, host, "/texts?a=b", HEADERS)  # type: ignore[arg-type]
    return HttpConversation(way, lambda delivery: b"To=" + delivery.target.encode(), judge)


def asked(number: int = 1) -> HttpConversation:
    """A conversation that has asked, and waits for the answer."""
    talk = conversation()
    talk.take(delivery(number))
    assert talk.outgoing().data
    return talk


def heard(talk: HttpConversation, pieces: Iterable[bytes]) -> list[tuple[str, str, str]]:
    """What the pieces of an answer decide: whose it is, what it is, in which words."""
    return [told(outcome) for piece in pieces for outcome in talk.incoming(piece)]


def told(outcome: tuple[Delivery, Receipt | ChannelError]) -> tuple[str, str, str]:
    said = outcome[1].provider_id if isinstance(outcome[1], Receipt) else str(outcome[1])
    return outcome[0].key, type(outcome[1]).__name__, said


def answer(body: bytes = b"SM1", status: str = "201 Created", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """The same in one piece, in two that are cut at each byte in turn, and byte by byte."""
    yield [data]
    yield from ([data[:place], data[place:]] for place in range(1, len(data)))
    yield [data[place : place + 1] for place in range(len(data))]


def test_a_request_is_whole_names_its_length_and_asks_for_nothing_packed() -> None:
    talk = conversation()
    talk.take(delivery())

    assert talk.outgoing() == (
        b"POST /texts?a=b HTTP/1.1\r\n"
        b"Host: api.example.com\r\n"
        b"Authorization: Basic QUM6dA==\r\n"
        b"Accept-Encoding: identity\r\n"
        b"Connection: keep-alive\r\n"
        b"Content-Length: 15\r\n\r\n"
        b"To=+61491570001",
        (delivery(),),
    )
    assert talk.outgoing() == (b"", ())


def test_one_request_is_under_way_at_a_time() -> None:
    talk = conversation()
    assert (talk.room, talk.is_over, talk.outgoing()) == (1, False, (b"", ()))

    talk.take(delivery())
    assert talk.room == 0
    talk.outgoing()
    assert talk.room == 0
    assert heard(talk, [answer()]) == [("k1", "Receipt", "SM1")]
    assert talk.room == 1


WHOLE = {
    "a length": answer(),
    "an empty body": answer(b"", "400 Bad Request"),
    "chunks": b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nS\r\n2;x=y\r\nM1\r\n0\r\nX: y\r\n\r\n",
    "no end but the connection's": b"HTTP/1.1 201 Created\r\n\r\nSM1",
    "an older HTTP": b"HTTP/1.0 201 Created\r\n\r\nSM1",
    "a 100 before it": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer(),
    "the last on its connection": answer(b"SM1", "201 Created", "Connection: close"),
    "a refusal": answer(b"no such number", "400 Bad Request"),
    "too much at once": answer(b"slow down", "429 Too Many Requests", "retry-AFTER: 7"),
    "a failure": answer(b"oops", "500 Internal Server Error"),
    "a redirect": answer(b"", "302 Found", "Location: https://elsewhere.example"),
    "what was not asked for, packed": answer(gzip.compress(b"SM1", mtime=0), "201 Created", "Content-Encoding: gzip"),
    "two lengths": b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nSM12",
    "a length that is none": b"HTTP/1.1 201 Created\r\nContent-Length: -3\r\n\r\nSM1",
    "chunks that are none": b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nSM1\r\n0\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    "cut short": answer()[:-1],
    "a head cut short": answer()[:20],
    "nothing": b"",
}
RECEIPTS = {
    "a length": 1,
    "chunks": 1,
    "a 100 before it": 1,
    "no end but the connection's": 0,
    "an older HTTP": 0,
    "the last on its connection": 0,
}
KINDS = {
    "an empty body": "Rejected",
    "a refusal": "Rejected",
    "too much at once": "Unavailable",
}


@pytest.mark.parametrize("name", WHOLE)
def test_an_answer_means_the_same_however_it_is_cut(name: str) -> None:
    for pieces in cuts(WHOLE[name]):
        talk = asked()
        outcomes = heard(talk, pieces) + [told(outcome) for outcome in talk.broken("it hung up")]
        if name in RECEIPTS:
            assert outcomes == [("k1", "Receipt", "SM1")]
        else:
            assert [outcome[:2] for outcome in outcomes] == [("k1", KINDS.get(name, "Uncertain"))]


@pytest.mark.parametrize("name", [*RECEIPTS, *KINDS])
def test_a_connection_carries_another_request_where_http_says_so(name: str) -> None:
    talk = asked()
    heard(talk, [WHOLE[name]])
    keeps = RECEIPTS.get(name, 1)
    assert talk.room == keeps
    if keeps:
        talk.take(delivery(2))
        assert talk.outgoing().begins == (delivery(2),)
        assert heard(talk, [answer(b"SM2")]) == [("k2", "Receipt", "SM2")]


def test_an_answer_that_ends_with_its_connection_is_whole_when_that_is_closed() -> None:
    talk = asked()
    assert heard(talk, [WHOLE["no end but the connection's"]]) == []
    assert heard(talk, [b""]) == [("k1", "Receipt", "SM1")]
    assert (talk.room, talk.is_over) == (0, True)


def test_the_wait_that_a_provider_asks_for_is_heard() -> None:
    ((_, outcome),) = asked().incoming(WHOLE["too much at once"])
    assert isinstance(outcome, Unavailable)
    assert outcome.retry_after == 7


@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 201 Created\r\nContent-Length: 9999999\r\n\r\n",
        b"HTTP/1.1 201 Created\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 4096 + b"\r\n",
        b"HTTP/1.1 201 Created\r\nX: ",
    ],
)
def test_an_answer_without_end_is_left_and_may_have_been_a_receipt(begun: bytes) -> None:
    talk, heard_so_far = asked(), 0
    outcomes = heard(talk, [begun])
    while not outcomes:
        heard_so_far += 65_536
        outcomes = heard(talk, [b"1" * 65_536])
    assert heard_so_far <= LONGEST_ANSWER
    assert outcomes[0][:2] == ("k1", "Uncertain")
    assert talk.is_over


def test_an_endless_row_of_hints_is_left_as_well() -> None:
    talk, size = asked(), 0
    outcomes: list[tuple[str, str, str]] = []
    hints = b"HTTP/1.1 103 Early Hints\r\nX: " + b"y" * 8000 + b"\r\n\r\n"
    while not outcomes:
        size += len(hints)
        outcomes = heard(talk, [hints])
    assert outcomes == [
        ("k1", "Uncertain", "api.example.com: its answer is too long; the request had been sent, so it may be out")
    ]
    assert size <= LONGEST_ANSWER + len(hints)


def test_many_answers_of_some_length_are_not_too_long_together() -> None:
    talk = asked()
    for _ in range(5):
        assert heard(talk, [answer(b"a" * (LONGEST_ANSWER // 4))])
        talk.take(delivery())
        talk.outgoing()


@pytest.mark.parametrize("more", [answer(b"SM9"), b"x", b"\r\n"])
def test_what_comes_behind_an_answer_is_never_taken_for_the_next_ones(more: bytes) -> None:
    for pieces in ([answer() + more], [answer(), more]):
        talk = asked()
        assert heard(talk, pieces) == [("k1", "Receipt", "SM1")]
        assert (talk.room, talk.is_over) == (0, True)


def test_an_answer_that_nobody_asked_for_ends_the_connection_and_what_waits_is_certainly_unsent() -> None:
    talk = conversation()
    assert heard(talk, [answer()]) == []
    assert talk.is_over

    talk = conversation()
    talk.take(delivery())
    assert heard(talk, [answer()]) == [
        ("k1", "Unavailable", "api.example.com: it said something unasked; nothing was sent")
    ]
    assert (talk.room, talk.is_over, talk.outgoing()) == (0, True, (b"", ()))
    assert heard(talk, [answer(), b""]) == []


@pytest.mark.parametrize("ends", ["hears nothing more", "is told that it broke"])
def test_what_has_begun_is_in_doubt_and_what_has_not_is_certainly_unsent(ends: str) -> None:
    for has_begun, kind in ((True, Uncertain), (False, Unavailable)):
        talk = conversation()
        talk.take(delivery())
        if has_begun:
            talk.outgoing()
        ((whose, outcome),) = talk.incoming(b"") if ends == "hears nothing more" else talk.broken("no answer in 20 s")
        assert (whose, type(outcome), talk.is_over) == (delivery(), kind, True)
        assert list(talk.broken("again")) == []


def test_a_connection_that_ends_between_two_requests_ends_nothing_else() -> None:
    talk = conversation()
    assert heard(talk, [b""]) == []
    assert (talk.is_over, talk.farewell()) == (True, b"")


def test_what_cannot_be_said_is_refused_before_it_is_taken() -> None:
    def never(_: Delivery) -> bytes:
        raise Rejected("it has expired", code="expired")

    way: Any = Way(None, "api.example.com", "/", {})  # type: ignore[arg-type]
    talk = HttpConversation(way, never, judge)
    with pytest.raises(Rejected):
        talk.take(delivery())
    assert (talk.room, list(talk.broken("it broke"))) == (1, [])


WORDS = b"HTTP/1.1 |201 |\r\n|\n|Content-Length|: |3|-1|999999999999999999999|0\r\n\r\n|Transfer-Encoding|chunked|gzip"
PIECES = st.sampled_from(WORDS.split(b"|")) | st.binary(max_size=8)


@given(st.lists(PIECES, max_size=30), st.lists(st.integers(1, 40), max_size=10))
def test_no_bytes_raise_and_each_delivery_gets_one_outcome(parts: list[bytes], sizes: list[int]) -> None:
    data, talk, outcomes = b"".join(parts), asked(), 0
    for size in [*sizes, len(data) or 1]:
        outcomes += len(talk.incoming(data[:size])) if data[:size] else 0
        data = data[size:]
    outcomes += len(talk.broken("it hung up"))
    assert outcomes == 1
