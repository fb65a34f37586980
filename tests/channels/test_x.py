"""What we send to X, and what its answers mean."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
import responses
from responses import matchers

from outagecast.channel import Finds, ReadsBack, Withdraws
from outagecast.channels.x import Settings, X
from outagecast.errors import ConfigError, Rejected, Unavailable, Uncertain
from outagecast.model import Delivery, Published, Receipt, Status
from outagecast.secret import Secret

API = "https://api.x.com"
POSTS = f"{API}/2/tweets"
TEXT = "Card payments are failing. We are sorry. https://status.example.com"
ATTEMPTED = datetime(2026, 11, 22, 7, 45, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC).timestamp()
EARLIER = Receipt("1990", "https://x.com/i/status/1990")
NAMES = ("X_API_KEY", "X_API_SECRET", "X_ACCESS_TOKEN", "X_ACCESS_TOKEN_SECRET")
DUPLICATE = {
    "detail": "You are not allowed to create a Tweet with duplicate content.",
    "type": "about:blank",
    "title": "Forbidden",
    "status": 403,
}
REPLY_REFUSED = {"detail": "Reply to this conversation is not allowed.", "type": "about:blank", "status": 403}
NOT_FOUND = {
    "errors": [
        {
            "title": "Not Found Error",
            "detail": "Could not find tweet with id: [2000].",
            "type": "https://api.twitter.com/2/problems/resource-not-found",
        }
    ]
}
PROTECTED = {
    "errors": [
        {"detail": "Sorry, you are not authorized.", "type": "https://api.x.com/2/problems/not-authorized-for-resource"}
    ]
}


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    secrets = {name: f"canary{uuid.uuid4().hex}" for name in NAMES}
    secrets["X_ACCESS_TOKEN"] = f"4711-{secrets['X_ACCESS_TOKEN']}"
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return secrets


@pytest.fixture(autouse=True)
def nothing_leaks(canaries: dict[str, str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert not [name for name, value in canaries.items() if value in caplog.text]


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def settings(**changes: Any) -> Settings:
    keys = ("api_key", "api_secret", "access_token", "access_token_secret")
    return Settings(**{**{key: Secret(f"env:{name}") for key, name in zip(keys, NAMES, strict=True)}, **changes})


def channel(**changes: Any) -> X:
    return X(settings(**changes), now=lambda: NOW)


def delivery(text: str = TEXT, *, thread: Receipt | None = None) -> Delivery:
    return Delivery(
        key="k",
        incident="card-payments",
        update=1,
        status=Status.INVESTIGATING,
        target="",
        language="en",
        parts={"text": text},
        opened_at=ATTEMPTED - timedelta(hours=1),
        attempted_at=ATTEMPTED,
        thread=thread,
    )


def bodies(web: responses.RequestsMock) -> list[Any]:
    return [json.loads(call.request.body or "null") for call in web.calls]


# --- sending -----------------------------------------------------------------


def test_a_post_is_one_signed_request_with_the_text_and_nothing_else(
    web: responses.RequestsMock, canaries: dict[str, str]
) -> None:
    web.post(POSTS, json={"data": {"id": "2000", "text": TEXT}}, status=201)

    receipt = channel().send(delivery())

    assert Receipt("2000", "https://x.com/i/status/2000") == receipt
    assert bodies(web) == [{"text": TEXT}]
    signature = str(web.calls[0].request.headers["Authorization"])
    assert "OAuth oauth_nonce=" in signature
    assert f'oauth_consumer_key="{canaries["X_API_KEY"]}"' in signature
    assert f'oauth_token="{canaries["X_ACCESS_TOKEN"]}"' in signature
    assert 'oauth_signature_method="HMAC-SHA1"' in signature


def test_the_url_of_a_post_names_the_account_where_it_is_known(web: responses.RequestsMock) -> None:
    web.post(POSTS, json={"data": {"id": "2000"}}, status=201)

    assert channel(username="@ExampleBank").send(delivery()).url == "https://x.com/ExampleBank/status/2000"


def test_an_update_replies_to_the_earlier_post(web: responses.RequestsMock) -> None:
    web.post(POSTS, json={"data": {"id": "2000"}}, status=201)

    channel().send(delivery(thread=EARLIER))

    assert bodies(web) == [{"text": TEXT, "reply": {"in_reply_to_tweet_id": "1990"}}]


def test_a_refused_reply_becomes_a_post_of_its_own_in_the_same_send(web: responses.RequestsMock) -> None:
    web.post(POSTS, json=REPLY_REFUSED, status=403)
    web.post(POSTS, json={"data": {"id": "2001"}}, status=201)

    receipt = channel().send(delivery(thread=EARLIER))

    assert Receipt("2001", "https://x.com/i/status/2001", receipt.detail) == receipt
    assert receipt.detail == "X refused it as a reply, so it is a post of its own"
    assert bodies(web)[1] == {"text": TEXT}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [(403, DUPLICATE, Rejected), (400, {}, Rejected), (429, {}, Unavailable), (503, {}, Uncertain)],
)
def test_no_second_post_is_tried_after_any_other_answer_to_a_reply(
    web: responses.RequestsMock, status: int, body: Any, expected: type[Exception]
) -> None:
    web.post(POSTS, json=body, status=status)

    with pytest.raises(expected):
        channel().send(delivery(thread=EARLIER))

    assert len(web.calls) == 1


def test_an_earlier_post_without_an_id_of_x_is_not_replied_to(web: responses.RequestsMock) -> None:
    web.post(POSTS, json={"data": {"id": "2000"}}, status=201)

    channel().send(delivery(thread=Receipt("by hand")))

    assert bodies(web) == [{"text": TEXT}]


# --- what X's no means -----------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "account", "duplicate"),
    [
        (400, {"errors": [{"message": "The text is invalid"}], "title": "Invalid Request"}, False, False),
        (401, {"title": "Unauthorized", "detail": "Unauthorized", "status": 401}, True, False),
        (402, {"title": "CreditsDepleted", "detail": "Your account has no credits."}, True, False),
        (403, {"detail": "Your client app is not configured with the appropriate permissions."}, True, False),
        (403, DUPLICATE, False, True),
        (403, {"errors": [{"code": 187, "message": "Status is a duplicate."}]}, False, True),
        (404, {}, False, False),
        (410, "gone", False, False),
    ],
)
def test_a_refusal_is_certain_and_says_whose_reason_it_is(
    web: responses.RequestsMock, status: int, body: Any, account: bool, duplicate: bool
) -> None:
    web.post(POSTS, json=body, status=status) if isinstance(body, dict) else web.post(POSTS, body=body, status=status)

    with pytest.raises(Rejected) as caught:
        channel().send(delivery())

    assert (f"HTTP {status}", account, duplicate) == (caught.value.code, caught.value.account, caught.value.duplicate)


@pytest.mark.parametrize(("status", "named"), [(401, "api_key"), (402, "credits"), (403, "access_token")])
def test_a_refusal_for_the_account_says_what_to_do(web: responses.RequestsMock, status: int, named: str) -> None:
    web.post(POSTS, json={}, status=status)

    with pytest.raises(Rejected) as caught:
        channel().send(delivery())

    assert named in caught.value.hint


def at(seconds: float) -> str:
    return str(int(NOW + seconds))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "30"}, 30),
        ({"x-rate-limit-remaining": "0", "x-rate-limit-reset": at(600)}, 600),
        ({"x-rate-limit-reset": at(600)}, 600),
        (
            {
                "x-rate-limit-remaining": "0",
                "x-rate-limit-reset": at(600),
                "x-user-limit-24hour-remaining": "0",
                "x-user-limit-24hour-reset": at(7200),
            },
            7200,
        ),
        (
            {
                "x-rate-limit-remaining": "99",
                "x-rate-limit-reset": at(600),
                "x-app-limit-24hour-remaining": "0",
                "x-app-limit-24hour-reset": at(3600),
                "x-user-limit-24hour-remaining": "5",
                "x-user-limit-24hour-reset": at(7200),
            },
            3600,
        ),
        ({"x-rate-limit-remaining": "7", "x-rate-limit-reset": at(600), "Retry-After": "30"}, 30),
        ({"x-rate-limit-reset": at(-5)}, None),
        ({"x-rate-limit-reset": at(600), "Date": "Sun, 22 Nov 2026 08:05:00 GMT"}, 300),
        ({"x-app-limit-24hour-remaining": "0", "x-app-limit-24hour-reset": "9" * 400}, None),
    ],
)
def test_when_throttled_we_are_told_to_wait_for_the_last_exhausted_bucket(
    web: responses.RequestsMock, headers: dict[str, str], expected: float | None
) -> None:
    web.post(POSTS, json={"title": "Too Many Requests"}, status=429, headers=headers)

    with pytest.raises(Unavailable) as caught:
        channel().send(delivery())

    assert expected == caught.value.retry_after
    assert len(web.calls) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, "{}"),
        (503, "<html>Over capacity</html>"),
        (504, '{"title":"Gateway Timeout"}'),
        (302, ""),
        (400, '["odd"]'),
        (403, '{"errors": null}'),
        (201, ""),
        (201, "<html>ok</html>"),
        (201, "[]"),
        (201, "{}"),
        (201, '{"data": {"text": "no id"}}'),
        (201, '{"data": {"id": "not a number"}}'),
        (201, '{"data": {"id": null}}'),
        (200, '{"data": {"id": "2000"}, "errors": [{"detail": "half done"}]}'),
    ],
)
def test_an_answer_that_is_no_receipt_and_no_refusal_leaves_doubt(
    web: responses.RequestsMock, status: int, body: str
) -> None:
    web.post(POSTS, body=body, status=status)

    with pytest.raises(Uncertain, match="may be out"):
        channel().send(delivery())


def test_words_of_x_are_cleaned_before_anyone_reads_them(web: responses.RequestsMock, canaries: dict[str, str]) -> None:
    echo = f"bad token {canaries['X_ACCESS_TOKEN']} \x1b[31mred\u202e"
    web.post(POSTS, json={"detail": echo}, status=401)

    with pytest.raises(Rejected) as caught:
        channel().send(delivery())

    assert not [value for value in canaries.values() if value in repr(caught.value) + str(caught.value)]
    assert "X answered HTTP 401: bad token *** [31mred" in str(caught.value)


# --- looking for a post, and at one ------------------------------------------------


def own_posts(web: responses.RequestsMock, *posts: dict[str, Any], exclude: str = "retweets,replies") -> None:
    web.get(
        f"{API}/2/users/4711/tweets",
        json={"data": list(posts), "meta": {"result_count": len(posts)}} if posts else {"meta": {"result_count": 0}},
        match=[
            matchers.query_param_matcher(
                {
                    "max_results": "100",
                    "start_time": "2026-11-22T07:44:00Z",
                    "exclude": exclude,
                    "tweet.fields": "entities",
                }
            )
        ],
    )


def link(short: str, full: str) -> dict[str, Any]:
    return {"urls": [{"url": short, "expanded_url": full, "display_url": full.partition("://")[2]}]}


@pytest.mark.parametrize(
    ("text", "post"),
    [
        (TEXT, {"text": TEXT}),
        (
            TEXT,
            {
                "text": "Card payments are failing. We are sorry. https://t.co/abcdefghij",
                "entities": link("https://t.co/abcdefghij", "https://status.example.com"),
            },
        ),
        (
            "See status.example.com now",
            {
                "text": "See https://t.co/abcdefghij now",
                "entities": link("https://t.co/abcdefghij", "http://status.example.com"),
            },
        ),
        (
            "See https://example.com now",
            {
                "text": "See https://t.co/abcdefghij now",
                "entities": link("https://t.co/abcdefghij", "https://example.com/"),
            },
        ),
        ("Q&A: 1 < 2 > 0 &amp;", {"text": "Q&amp;A: 1 &lt; 2 &gt; 0 &amp;amp;"}),
        ("Plăți cu cardul", {"text": "Pla\u0306t\u0326i cu cardul"}),
        ("One.\n\n\nTwo. ", {"text": "One.\n\nTwo."}),
    ],
)
def test_a_post_is_found_by_its_text_whatever_x_did_to_it(
    web: responses.RequestsMock, text: str, post: dict[str, Any]
) -> None:
    own_posts(web, {"id": "1999", "text": "Something else"}, {"id": "2000", **post})

    assert channel().find(delivery(text)) == Receipt("2000", "https://x.com/i/status/2000")


def test_a_token_that_does_not_say_whose_it_is_costs_a_question(
    web: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X_ACCESS_TOKEN", "canary-without-a-number")
    web.get(f"{API}/2/users/me", json={"data": {"id": "4711", "name": "Bank", "username": "bank"}})
    own_posts(web, {"id": "2000", "text": TEXT})

    assert channel().find(delivery()) == Receipt("2000", "https://x.com/i/status/2000")


def test_a_post_with_other_words_is_not_ours(web: responses.RequestsMock) -> None:
    other = {"text": "See https://t.co/abcdefghij", "entities": link("https://t.co/abcdefghij", "https://evil.example")}
    own_posts(web, {"id": "2000", **other}, {"id": "2001", "text": TEXT + " Really."})

    assert channel().find(delivery("See https://status.example.com")) is None


def test_no_posts_at_all_is_an_answer_too(web: responses.RequestsMock) -> None:
    own_posts(web)

    assert channel().find(delivery()) is None


def test_replies_are_looked_through_only_where_ours_may_be_one(web: responses.RequestsMock) -> None:
    own_posts(web, {"id": "2000", "text": TEXT}, exclude="retweets")

    assert channel().find(delivery(thread=EARLIER)) == Receipt("2000", "https://x.com/i/status/2000")


@pytest.mark.parametrize(
    "body", ["[]", '{"data": {"id": 1}}', '{"data": [7]}', "<html>", "", '{"data": [{"id": "1"}]}']
)
def test_a_list_that_cannot_be_read_says_nothing(web: responses.RequestsMock, body: str) -> None:
    web.get(f"{API}/2/users/4711/tweets", body=body)

    with pytest.raises(Unavailable):
        channel().find(delivery())


def test_errors_in_a_200_are_not_an_empty_list(web: responses.RequestsMock) -> None:
    web.get(f"{API}/2/users/4711/tweets", json=PROTECTED)

    with pytest.raises(Rejected, match="not authorized"):
        channel().find(delivery())


def test_reading_back_shows_what_the_public_sees(web: responses.RequestsMock) -> None:
    post = {
        "id": "2000",
        "text": "Card payments are failing. We are sorry. https://t.co/abcdefghij",
        "entities": link("https://t.co/abcdefghij", "https://status.example.com"),
    }
    web.get(f"{POSTS}/2000", json={"data": post}, match=[matchers.query_param_matcher({"tweet.fields": "entities"})])

    published = channel().read_back(delivery(), Receipt("2000"))

    assert Published({"text": TEXT}, "https://x.com/i/status/2000") == published


def test_of_a_post_that_somebody_edited_the_newest_words_are_read(web: responses.RequestsMock) -> None:
    post = {"id": "2000", "text": "Card payments are failing.", "edit_history_tweet_ids": ["2000", "2001"]}
    web.get(f"{POSTS}/2000", json={"data": post})
    web.get(f"{POSTS}/2001", json={"data": post | {"id": "2001", "text": "All is well."}})

    published = channel().read_back(delivery(), Receipt("2000"))

    assert Published({"text": "All is well."}, "https://x.com/i/status/2000") == published


@pytest.mark.parametrize("history", [["../users/me"], [7], "2001", {"2000": 1}, [""]])
def test_a_history_that_names_no_post_is_not_followed(web: responses.RequestsMock, history: Any) -> None:
    web.get(f"{POSTS}/2000", json={"data": {"id": "2000", "text": "Fixed.", "edit_history_tweet_ids": history}})

    with pytest.raises(Unavailable):
        channel().read_back(delivery(), Receipt("2000"))


@pytest.mark.parametrize(("status", "body"), [(404, {"title": "Not Found"}), (200, NOT_FOUND)])
def test_a_post_that_is_gone_reads_back_as_none(web: responses.RequestsMock, status: int, body: Any) -> None:
    web.get(f"{POSTS}/2000", json=body, status=status)

    assert channel().read_back(delivery(), Receipt("2000")) is None


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, PROTECTED, Rejected),
        (200, {}, Unavailable),
        (200, {"data": {"id": "2000"}}, Unavailable),
        (401, {}, Rejected),
        (429, {}, Unavailable),
        (503, {}, Unavailable),
    ],
)
def test_any_other_trouble_in_reading_back_is_said(
    web: responses.RequestsMock, status: int, body: Any, expected: type[Exception]
) -> None:
    web.get(f"{POSTS}/2000", json=body, status=status)

    with pytest.raises(expected):
        channel().read_back(delivery(), Receipt("2000"))


# --- taking a post down, and checking ---------------------------------------------


@pytest.mark.parametrize(
    ("status", "body"), [(200, {"data": {"deleted": True}}), (404, {"title": "Not Found"}), (200, NOT_FOUND)]
)
def test_a_withdrawn_post_is_gone_or_was_already(web: responses.RequestsMock, status: int, body: Any) -> None:
    web.delete(f"{POSTS}/2000", json=body, status=status)

    channel().withdraw(Receipt("2000"))


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"data": {"deleted": False}}, Uncertain),
        (200, {}, Uncertain),
        (503, {}, Uncertain),
        (403, {"detail": "You are not the author."}, Rejected),
        (200, PROTECTED, Rejected),
    ],
)
def test_a_post_that_may_still_be_up_is_said_to_be(
    web: responses.RequestsMock, status: int, body: Any, expected: type[Exception]
) -> None:
    web.delete(f"{POSTS}/2000", json=body, status=status)

    with pytest.raises(expected):
        channel().withdraw(Receipt("2000"))


@pytest.mark.parametrize("post_id", ["", "../users/me", "2000/x", "https://x.com/i/status/2000"])
def test_an_id_that_is_no_number_never_reaches_a_url(post_id: str) -> None:
    with pytest.raises(Rejected):
        channel().read_back(delivery(), Receipt(post_id))
    with pytest.raises(Rejected):
        channel().withdraw(Receipt(post_id))


def test_check_asks_who_we_are_and_publishes_nothing(web: responses.RequestsMock) -> None:
    web.get(f"{API}/2/users/me", json={"data": {"id": "4711", "username": "EXAMPLEBANK"}})

    channel(username="ExampleBank").check()


def test_check_notices_the_tokens_of_another_account(web: responses.RequestsMock) -> None:
    web.get(f"{API}/2/users/me", json={"data": {"id": "1", "username": "jokes"}})

    with pytest.raises(Rejected, match="belong to @jokes, not @ExampleBank") as caught:
        channel(username="ExampleBank").check()

    assert caught.value.account


@pytest.mark.parametrize(("level", "may"), [("read", False), ("read-write", True), ("", True)])
def test_check_notices_tokens_that_may_only_read(web: responses.RequestsMock, level: str, may: bool) -> None:
    answer = {"data": {"id": "4711", "username": "ExampleBank"}}
    web.get(f"{API}/2/users/me", json=answer, headers={"x-access-level": level} if level else {})

    if may:
        channel().check()
    else:
        with pytest.raises(Rejected, match="may read, and not post") as caught:
            channel().check()
        assert caught.value.account


@pytest.mark.parametrize(("status", "expected"), [(401, Rejected), (200, Unavailable), (503, Unavailable)])
def test_check_fails_where_x_does_not_know_us(
    web: responses.RequestsMock, status: int, expected: type[Exception]
) -> None:
    web.get(f"{API}/2/users/me", json={}, status=status)

    with pytest.raises(expected):
        channel().check()


# --- settings ------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{"username": "a bank"}, {"username": "x/../y"}, {"api_url": "api.x.com"}, {"api_url": "https://a b"}]
)
def test_settings_that_make_no_url_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        settings(**changes)


def test_a_channel_is_made_without_a_secret_or_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("X_API_KEY")

    x = channel()
    x.close()

    with pytest.raises(ConfigError, match="X_API_KEY"):
        x.send(delivery())


def test_x_can_find_read_back_and_withdraw() -> None:
    x = channel()
    assert isinstance(x, Finds)
    assert isinstance(x, ReadsBack)
    assert isinstance(x, Withdraws)
    assert X.semantics.promise == "At most once; what is in doubt is looked up, and if not found waits for a person."


def test_importing_the_adapter_is_light() -> None:
    code = "import sys, outagecast.channels.x; print(*{'tweepy', 'requests', 'email', 'smtplib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# --- over a real socket ----------------------------------------------------------


class Provider(ThreadingHTTPServer):
    """A stand-in for X that keeps the requests it got, and drops the connection instead of answering if told so."""

    drops = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Provider

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path, dict(self.headers), body))
        if self.server.drops:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        data: Any = {"id": "2000", "text": TEXT, "username": "examplebank", "deleted": True}
        if urlsplit(self.path).path.endswith("/users/4711/tweets"):
            data = [data]
        answer = json.dumps({"data": data}).encode()
        self.send_response(201 if self.command == "POST" else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def serving() -> Iterator[Provider]:
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def signature_over(method: str, url: str, given: dict[str, str], canaries: dict[str, str]) -> str:
    """RFC 5849, section 3.4: the HMAC-SHA1 signature of a request whose body is not a form."""

    def enc(value: str) -> str:
        return quote(value, safe="~")

    parts = urlsplit(url)
    pairs = [*parse_qsl(parts.query, keep_blank_values=True), *given.items()]
    pairs = sorted((enc(key), enc(value)) for key, value in pairs if key not in {"oauth_signature", "realm"})
    base = "&".join(
        enc(part)
        for part in (method, f"{parts.scheme}://{parts.netloc}{parts.path}", "&".join("=".join(pair) for pair in pairs))
    )
    key = f"{enc(canaries['X_API_SECRET'])}&{enc(canaries['X_ACCESS_TOKEN_SECRET'])}"
    return base64.b64encode(hmac.new(key.encode(), base.encode(), hashlib.sha1).digest()).decode()


def test_every_request_is_signed_for_the_address_it_really_goes_to(canaries: dict[str, str]) -> None:
    with serving() as provider:
        x = channel(api_url=provider.url)
        receipt = x.send(delivery())
        x.check()
        assert x.find(delivery()) == receipt
        assert x.read_back(delivery(), receipt) == Published({"text": TEXT}, receipt.url)
        x.withdraw(receipt)
        x.close()

    assert [method for method, *_ in provider.seen] == ["POST", "GET", "GET", "GET", "DELETE"]
    for method, path, headers, _ in provider.seen:
        assert headers["Host"] == provider.url.removeprefix("http://")
        given = {
            key: re.sub("%(..)", lambda found: chr(int(found[1], 16)), value)
            for key, value in re.findall('(oauth_[a-z_]+)="([^"]*)"', headers["Authorization"])
        }
        assert given["oauth_signature"] == signature_over(method, provider.url + path, given, canaries)


def test_an_answer_lost_after_the_request_leaves_doubt(canaries: dict[str, str]) -> None:
    with serving() as provider:
        provider.drops = True
        with pytest.raises(Uncertain) as caught:
            channel(api_url=provider.url).send(delivery())

    assert len(provider.seen) == 1
    assert not [value for value in canaries.values() if value in str(caught.value)]


def test_where_nobody_listens_nothing_was_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable, match="nothing was sent"):
            channel(api_url=f"http://127.0.0.1:{unused.getsockname()[1]}").send(delivery())


# --- against X's own description -----------------------------------------------------


def described() -> dict[str, Any]:
    if "OUTAGECAST_DATA" not in os.environ:
        pytest.skip("OUTAGECAST_DATA is not set: no description of X's API to compare with")
    spec: dict[str, Any] = json.loads(Path(os.environ["OUTAGECAST_DATA"], "x-api/openapi.subset.json").read_text())
    return spec


def test_every_request_is_one_that_x_describes() -> None:
    spec = described()
    with serving() as provider:
        x = channel(api_url=provider.url)
        x.check()
        x.send(delivery())
        receipt = x.send(delivery(thread=EARLIER))
        x.find(delivery())
        x.read_back(delivery(), receipt)
        x.withdraw(receipt)
        x.close()

    def resolve(node: dict[str, Any]) -> Any:
        found: Any = spec if "$ref" in node else node
        for step in node["$ref"].split("/")[1:] if "$ref" in node else []:
            found = found[step]
        return found

    assert len(provider.seen) == 6
    for method, target, _, body in provider.seen:
        path = urlsplit(target).path
        # A literal path goes before one with a placeholder: /2/users/me is not /2/users/{id}.
        templates = sorted(spec["paths"], key=lambda template: template.count("{"))
        template = next(one for one in templates if re.fullmatch(re.sub(r"{\w+}", "[0-9]+", one), path))
        operation = spec["paths"][template][method.lower()]
        known = {resolve(one)["name"]: resolve(one)["schema"] for one in operation.get("parameters", [])}
        for key, value in parse_qsl(urlsplit(target).query):
            # X's guides and tweepy say tweet.fields, its description post.fields: https://docs.x.com/x-api/fundamentals/fields
            schema = known[{"tweet.fields": "post.fields"}.get(key, key)]
            assert set(value.split(",")) <= set(schema.get("items", {}).get("enum", value.split(",")))
        if body:
            schema = resolve(operation["requestBody"]["content"]["application/json"]["schema"])
            sent = json.loads(body)
            assert set(sent) <= set(schema["properties"])
            assert set(sent.get("reply", {})) <= set(resolve(schema["properties"]["reply"])["properties"])
