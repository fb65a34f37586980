"""Whatever bytes a provider answers with, out come a receipt or an error of ours, in time, short and fit to be shown.

``OUTAGECAST_FUZZ=20`` runs twenty times as many examples, at random; ``make fuzz`` does.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outagecast.errors import ChannelError, ConfigError, Rejected, Unavailable, Uncertain
from outagecast.model import Delivery, Published, Receipt, Status
from outagecast.secret import Secret
from outagecast.text import harmful_characters
from outagecast.transport import LONGEST_WAIT, Session

pytestmark = pytest.mark.sweep

TIMES = int(os.environ.get("OUTAGECAST_FUZZ", "1"))
FUZZ = settings(derandomize=TIMES == 1, deadline=None, suppress_health_check=list(HealthCheck))
DEADLINE = 0.5  # seconds, instead of 20
LONGEST_WORDS = 1000  # characters of everything that an error says
CANARIES = {
    name: f"{prefix}canary{number * 7919:032}"
    for number, (name, prefix) in enumerate(
        {"FUZZ_TOKEN": "4711-", "FUZZ_KEY": "", "FUZZ_SECRET": "", "FUZZ_OTHER": "", "FUZZ_ACCOUNT": "AC"}.items(), 1
    )
}
ID = {"x": r"[0-9]{1,19}", "facebook": r"[0-9_]{1,64}", "twilio_sms": r"\w{1,64}"}
NOW = datetime.now(UTC)
TEXT = "Card payments are failing. We are sorry. https://status.example.com"
DELIVERY = Delivery(
    key="cards/1/x",
    incident="cards",
    update=1,
    status=Status.INVESTIGATING,
    target="+61400000001",
    language="en",
    parts={"text": TEXT},
    opened_at=NOW,
    attempted_at=NOW,
)
RECEIPTS = {"x": Receipt("1999"), "facebook": Receipt("100_1999"), "twilio_sms": Receipt(f"SM{'9' * 32}")}
# The questions of `find`, at most: a page may be followed by others.
MOST_CALLS = {"send": 1, "check": 2, "find": 4, "read_back": 2, "withdraw": 2, "inspect": 2}


def channel(kind: str, url: str) -> Any:
    """A channel of that kind whose provider is at ``url``."""
    if kind == "x":
        from outagecast.channels import x

        settings = x.Settings(
            api_key=Secret("env:FUZZ_KEY"),
            api_secret=Secret("env:FUZZ_SECRET"),
            access_token=Secret("env:FUZZ_TOKEN"),
            access_token_secret=Secret("env:FUZZ_OTHER"),
            api_url=url,
        )
        return x.X(settings)
    if kind == "facebook":
        from outagecast.channels import facebook

        token, secret = Secret("env:FUZZ_TOKEN"), Secret("env:FUZZ_SECRET")
        return facebook.Facebook(facebook.Settings(page_id="100", page_token=token, app_secret=secret, api_url=url))
    from outagecast.channels import twilio_sms

    account, token = Secret("env:FUZZ_ACCOUNT"), Secret("env:FUZZ_TOKEN")
    return twilio_sms.TwilioSms(
        twilio_sms.Settings(account_sid=account, auth_token=token, from_="+61491570000", api_url=url)
    )


@pytest.fixture(scope="module", autouse=True)
def _environment() -> Iterator[None]:
    """Secrets that are in no other test, no proxy, and little patience."""
    defaults = Session.__init__.__kwdefaults__
    assert defaults is not None
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CANARIES.items():
            patch.setenv(name, value)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            patch.delenv(name, raising=False)
        patch.setitem(defaults, "deadline", DEADLINE)
        yield


# --- what providers say, and what becomes of it on the way

POST = {"id": "1999", "text": TEXT, "entities": {"urls": [{"url": "https://t.co/a", "expanded_url": "https://b.c"}]}}
SMS = {
    "sid": f"SM{'9' * 32}",
    "body": TEXT,
    "status": "queued",
    "error_code": None,
    "error_message": None,
    "date_created": "Sun, 22 Nov 2126 06:00:00 +0000",
}
ANSWERS: dict[str, list[Any]] = {
    "x": [
        {"data": {"id": "1999", "text": TEXT}},
        {"data": [POST], "meta": {"result_count": 1}},
        {"data": POST},
        {"data": {"deleted": True}},
        {"data": {"id": "4711", "username": "ExampleBank"}},
        {"errors": [{"detail": "no", "type": "https://api.x.com/2/problems/resource-not-found", "code": 187}]},
        {"title": "Forbidden", "detail": "You are not allowed", "type": "about:blank"},
    ],
    "facebook": [
        {"id": "100_1999"},
        {"id": "100", "name": "Example Bank", "success": True},
        {
            "data": [{"id": "100_1999", "message": TEXT, "permalink_url": "https://www.facebook.com/1"}],
            "paging": {"next": "https://graph.facebook.com/", "cursors": {"after": "MTAx"}},
        },
        {"id": "100_1999", "message": TEXT, "permalink_url": "https://www.facebook.com/1", "is_published": True},
        {"id": "100", "data": {"expires_at": 4000000000, "data_access_expires_at": 0, "scopes": ["x"]}},
        {"error": {"message": "no", "type": "OAuthException", "code": 100, "fbtrace_id": "A", "is_transient": False}},
    ],
    "twilio_sms": [
        SMS,
        {"messages": [SMS], "next_page_uri": None, "page_size": 100},
        {"messages": [], "next_page_uri": "/2010-04-01/Accounts/AC1/Messages.json?Page=1", "page_size": 100},
        {"messages": [], "meta": {"key": "messages", "next_page_url": "http://127.0.0.1:1/x"}},
        {"code": 21211, "message": "The 'To' number is not valid", "status": 400},
    ],
}
WORDS = [
    *("", "\x1b[31mred\x1b]8;;http://evil\x07", "[/red] [link=http://evil]x", "\u202egnp", "\ud800", "\0", "²", "١"),
    *(
        "A" * 50_000,
        "9" * 5000,
        "1" * 18,
        "100_1999\r\nX-Evil: 1",
        "../../me?x=",
        TEXT,
        "a@" * 3000,
        " ".join(CANARIES),
    ),
    *CANARIES.values(),
    "https://example.com/" + "b" * 50_000,
]
LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from([None, True, False, 0, -1, 187, 10**400, 2**63, 1e308, float("inf"), float("nan"), [], {}, [[]]]),
    st.sampled_from([[{}], {"id": "1"}, ["x"] * 2000, {"a": {"b": {"c": []}}}]),
    st.text(max_size=20),
    st.integers(),
)
STATUSES = [200, 200, 200, 201, 201, 204, 206, 300, 302, 400, 400, 401, 402, 403, 404, 409, 429, 500, 503, 599, 999]
HEADERS = {
    "Retry-After": [
        "1",
        "-1",
        "9" * 5000,
        "²",
        "Sun, 99 Nov 2126 06:00:00 GMT",
        "nan",
        "Sun, 22 Nov 9999 23:59:59 -2359",
    ],
    "Date": ["", " ", "Mon, 01 Jan 0001 00:00:00 +2359", "0 0 0 0 0 0", "Sun, 22 Nov 2026 06:00:00 +99999999999999"],
    "Content-Type": ["application/json; charset=\x00", "text/html; charset=utf-7", "x; charset=undefined", "/;;=;"],
    "Content-Encoding": ["br", "zstd", "gzip", "deflate", "gzip, gzip, gzip, gzip, gzip, gzip", "\x1b", "identity"],
    "Content-Length": ["0", "-1", "1", "99999999", "9" * 5000, "1, 2", "²", "abc"],
    "Transfer-Encoding": ["chunked", "gzip, chunked", "x"],
    "Location": ["http://[", "/", "\xff", "x:"],
    "Set-Cookie": ["a=\x01\x7f", "a=b; Expires=9; Max-Age=999999999999999999999", "=;;;=", "a=\xff\x85; Path=/"],
    "Connection": ["keep-alive", "upgrade", "\0"],
    "x-rate-limit-reset": ["9" * 11, "9" * 500, "\u00b2"],
    "x-rate-limit-remaining": ["0", "\x1b"],
    "X-Business-Use-Case-Usage": [
        '{"1":[{"estimated_time_to_regain_access":1' + "0" * 400 + "}]}",
        '{"1":[{"estimated_time_to_regain_access":NaN}]}',
        '{"1":[{"estimated_time_to_regain_access":1e999}]}',
        '{"1":"x"}',
        "[" * 30_000,
    ],
    "x-access-level": ["read", "\x1b[31m"],
    "Bad Name\x00": ["x"],
    "X-Long": ["y" * 70_000, "y" * 20_000],
}


def places(node: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in ``node``, itself among them."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [place, *(way for key, child in children for way in places(child, (*place, key)))]


def changed(node: Any, place: tuple[Any, ...], value: Any) -> Any:
    """``node`` with ``value`` at ``place``; without what stands there where that is ``...``."""
    if not place:
        return {} if value is ... else value
    copy = dict(node) if isinstance(node, dict) else list(node)
    if value is ... and len(place) == 1:
        del copy[place[0]]
    else:
        copy[place[0]] = changed(node[place[0]], place[1:], value)
    return copy


@st.composite
def bodies(draw: st.DrawFn, kind: str) -> bytes:
    """An answer of this provider with a few of its values changed, its bytes damaged, or no answer at all."""
    way = draw(st.sampled_from(["changed"] * 6 + ["damaged", "binary", "deep", "long"]))
    if way == "binary":
        return draw(st.binary(max_size=300))
    if way == "deep":
        return draw(st.sampled_from([b"[", b'{"data":', b'{"a":['])) * draw(st.sampled_from([10, 500, 100_000]))
    if way == "long":
        return draw(st.sampled_from([b" ", b"\xff\xfe", b"[1,", b'"\\u0000'])) * draw(st.sampled_from([1000, 300_000]))
    answer = draw(st.sampled_from(ANSWERS[kind]))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(places(answer)))
        answer = changed(answer, place, draw(LEAVES | st.just(...)))
    body = bytearray(json.dumps(answer).encode())
    if way == "damaged":
        for _ in range(draw(st.integers(1, 5))):
            at = draw(st.integers(0, len(body)))
            body[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(body)


@st.composite
def answers(draw: st.DrawFn, kind: str) -> bytes:
    """All the bytes of an answer: status, headers, framing and body, each sound or not."""
    body = draw(bodies(kind))
    packed = draw(st.sampled_from(["", "", "", "", "gzip", "deflate", "raw", "twice"]))
    packers: Mapping[str, Callable[[bytes], bytes]] = {
        "": lambda data: data,
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "raw": lambda data: zlib.compress(data)[2:-4],
        "twice": lambda data: gzip.compress(gzip.compress(data)),
    }
    body = packers[packed](body)
    encodings = {"gzip": "gzip", "deflate": "deflate", "raw": "deflate", "twice": "gzip, gzip"}
    lines = [f"Content-Encoding: {encodings[packed]}"] if packed else []
    framing = draw(st.sampled_from(["length", "length", "length", "chunked", "badly chunked", "none"]))
    if framing == "length":
        lines.append(f"Content-Length: {len(body)}")
    elif framing != "none":
        lines.append("Transfer-Encoding: chunked")
        size = b"%x" % len(body) if framing == "chunked" else draw(st.binary(max_size=9) | st.just(b"f" * 30))
        body = size + b"\r\n" + body + b"\r\n0\r\n\r\n"
    for name in draw(st.lists(st.sampled_from(sorted(HEADERS)), max_size=4)):
        lines.append(f"{name}: {draw(st.sampled_from(HEADERS[name]))}")
    status = draw(st.sampled_from(STATUSES))
    first = draw(st.sampled_from([f"HTTP/1.1 {status} OK"] * 9 + ["HTTP/1.0 200", "", "HTTP/9 x", "\x1b[31m 200 \xff"]))
    before = draw(
        st.sampled_from(["", "", "", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"])
    )
    ends = draw(st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r"]))
    return (before + ends.join([first, *lines]) + ends * 2).encode("latin-1", "replace") + body


# --- what may come out


def outcome(kind: str, url: str, verb: str) -> Any:
    """What the verb returns or raises, once it is clear that it took no longer than its calls may."""
    subject = channel(kind, url)
    receipt = RECEIPTS[kind]
    asks: Mapping[str, Callable[[], Any]] = {
        "send": lambda: subject.send(DELIVERY),
        "check": subject.check,
        "find": lambda: subject.find(DELIVERY),
        "read_back": lambda: subject.read_back(DELIVERY, receipt),
        "withdraw": lambda: subject.withdraw(receipt),
        "inspect": lambda: subject.inspect(),  # noqa: PLW0108 - the others have none
    }
    began = time.monotonic()
    try:
        return asks[verb]()
    except (ChannelError, ConfigError) as error:
        return error
    finally:
        assert time.monotonic() - began < MOST_CALLS[verb] * DEADLINE + 1
        subject.close()


def shown(result: Any) -> str:
    """All the words of a result that people may read."""
    if isinstance(result, ChannelError):
        assert not result.code or len(result.code) <= 60
        assert "".join(traceback.format_exception(result)).count("canary") == 0
        return f"{result} {result.code} {result.hint}"
    if isinstance(result, Receipt):
        return f"{result.provider_id} {result.url} {result.detail}"
    return ""


def check(kind: str, verb: str, result: Any, answer: bytes | None = None) -> None:
    """That a result is one that the port knows, and harms nobody."""
    words = shown(result)
    assert len(words) <= LONGEST_WORDS + (2000 if isinstance(result, Receipt) else 0)
    assert not harmful_characters(words), ascii(words)
    assert not [name for name, value in CANARIES.items() if value in words]
    if isinstance(result, Unavailable) and result.retry_after is not None:
        assert 0 <= result.retry_after <= LONGEST_WAIT
    if isinstance(result, Receipt):
        assert verb in {"send", "find"}
        assert isinstance(result.provider_id, str)
        assert re.fullmatch(ID[kind], result.provider_id, re.ASCII)
    elif isinstance(result, Published):
        assert verb == "read_back"
        assert all(isinstance(part, str) for part in result.parts.values())
    elif not isinstance(result, ChannelError | ConfigError):
        assert verb != "send"
    if answer is not None and isinstance(result, Receipt) and verb == "send" and b"Content-Encoding" not in answer:
        assert result.provider_id.encode() in answer


VERBS = {
    "x": ("send", "check", "find", "read_back", "withdraw"),
    "facebook": ("send", "check", "find", "read_back", "withdraw", "inspect"),
    "twilio_sms": ("send", "check", "find", "read_back"),
}
EACH = [(kind, verb) for kind, verbs in VERBS.items() for verb in verbs]


@pytest.mark.parametrize(("kind", "verb"), EACH)
@settings(FUZZ, max_examples=40 * TIMES)
@given(data=st.data())
def test_any_answer_is_a_result_or_an_error_of_ours(answerer: Any, kind: str, verb: str, data: st.DataObject) -> None:
    answerer.answer = data.draw(answers(kind))

    check(kind, verb, outcome(kind, answerer.url, verb), answerer.answer)


# --- what was found


def answer(body: Any, *headers: str, status: int = 200) -> bytes:
    """A sound answer."""
    content = json.dumps(body).encode()
    lines = (f"HTTP/1.1 {status} OK", f"Content-Length: {len(content)}", *headers, "", "")
    return "\r\n".join(lines).encode("latin-1") + content


def links(url: str, full: str, text: str) -> dict[str, Any]:
    """A post on X with one link."""
    return {"data": {"id": "1", "text": text, "entities": {"urls": [{"url": url, "expanded_url": full}]}}}


BODY = {"messages": [{**SMS, "sid": None}], "page_size": 100}
USAGE = "X-Business-Use-Case-Usage: " + '{"1":[{"estimated_time_to_regain_access":1' + "0" * 400 + "}]}"
FOUND: dict[str, tuple[str, str, bytes, type | None]] = {
    "a link that is everywhere in the text": (
        "x",
        "read_back",
        answer(links("a", "b" * 400_000, "a" * 400_000)),
        Unavailable,
    ),
    "a link that is empty": ("x", "read_back", answer(links("", "b" * 400_000, "a" * 400_000)), Unavailable),
    "a link of X's that is too long": (
        "x",
        "read_back",
        answer(links("https://t.co/a", "b" * 400_000, "https://t.co/a " * 20_000)),
        Unavailable,
    ),
    "a link of X's that is too long for its places": (
        "x",
        "read_back",
        answer(links("https://t.co/a", "b" * 400_000, "https://t.co/a " * 1500)),
        Unavailable,
    ),
    "a link that is none of X's": ("x", "read_back", answer(links("a", "b", "banana")), Unavailable),
    "a kind of error that draws": ("x", "read_back", answer({"errors": [{"type": "x/\x1b[31m"}]}), Rejected),
    "a kind of error without an end": ("x", "read_back", answer({"errors": [{"type": "x" * 9999}]}), Rejected),
    "a post whose id is a mapping": ("facebook", "find", answer({"data": [{"message": TEXT, "id": {}}]}), Unavailable),
    "a post whose id is a book": ("facebook", "send", answer({"id": "1" * 9999}), Uncertain),
    "a wait beyond all numbers": ("facebook", "send", answer({"error": {"code": 4}}, USAGE, status=400), Unavailable),
    "an app that ends the header": ("facebook", "inspect", answer({"id": "1\r\nX-Evil: 1"}), Unavailable),
    "an app without a number": ("facebook", "inspect", answer({"id": "me"}), Unavailable),
    "an address without an end": (
        "facebook",
        "find",
        answer({"data": [{"message": TEXT, "id": "1", "permalink_url": "https://a/" + "b" * 9999}]}),
        Receipt,
    ),
    "an app in another alphabet": ("facebook", "inspect", answer({"id": "\u0661"}), Unavailable),
    "a message whose name draws": ("twilio_sms", "send", answer({**SMS, "sid": "SM\x1b[31m"}, status=201), Uncertain),
    "a message without a name": ("twilio_sms", "find", answer(BODY), Unavailable),
    "a message whose text is a list": ("twilio_sms", "read_back", answer({**SMS, "body": [TEXT]}), Unavailable),
    "pages without an end": ("twilio_sms", "find", answer({"messages": [], "next_page_uri": "/x"}), None),
    "pages without an end, at a check": ("twilio_sms", "check", answer({"messages": [], "next_page_uri": "/x"}), None),
    "a code that is a digit elsewhere": ("twilio_sms", "send", answer({"code": "\u00b2"}, status=400), Rejected),
    "a code of thousands of digits": ("twilio_sms", "send", answer({"code": "9" * 4000}, status=400), Rejected),
    "two lengths": ("x", "send", b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nabc", Uncertain),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_once_stays_found(answerer: Any, name: str) -> None:
    kind, verb, said, expected = FOUND[name]
    answerer.answer, answerer.asked = said, 0

    result = outcome(kind, answerer.url, verb)

    check(kind, verb, result, said)
    assert result is None if expected is None else isinstance(result, expected)
    assert answerer.asked <= MOST_CALLS[verb]


def test_a_header_that_cannot_be_written_is_repeated_nowhere(answerer: Any) -> None:
    def spoil(request: Any) -> Any:
        request.headers["Authorization"] = "canary\r\nX-Evil: 1"
        return request

    with Session() as session, pytest.raises(Unavailable) as caught:
        session.get(answerer.url, auth=spoil)

    assert "canary" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("kind", VERBS)
def test_an_odd_header_is_shown_to_nobody(answerer: Any, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    answerer.answer = answer({}, "Odd\x00\x1b[31m: x", "Even: x", status=503)

    outcome(kind, answerer.url, "find")

    assert caplog.records == []


@pytest.mark.parametrize("kind", VERBS)
def test_no_answer_changes_the_requests_after_it(answerer: Any, kind: str) -> None:
    answerer.answer = answer({"data": {"id": "1", "username": "a"}}, "Set-Cookie: a=\x01; Path=/", status=401)
    answerer.asked = 0
    subject = channel(kind, answerer.url)
    for _ in range(2):
        with contextlib.suppress(ChannelError):
            subject.send(DELIVERY)
    subject.close()

    assert answerer.asked == 2
    assert b"cookie" not in answerer.heard.lower()
