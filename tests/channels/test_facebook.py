"""What we send to Facebook, and what its answers mean."""

from __future__ import annotations

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
from urllib.parse import parse_qsl, urlsplit

import pytest
import responses
from responses import matchers

from outagecast.channel import Finds, Grant, ReadsBack, Withdraws
from outagecast.channels.facebook import RIGHTS, Facebook, Settings
from outagecast.errors import ConfigError, Rejected, Unavailable, Uncertain
from outagecast.model import Delivery, Published, Receipt, Status
from outagecast.secret import Secret

API = "https://graph.facebook.com/v26.0"
FEED = f"{API}/100/feed"
TEXT = "Card payments are failing.\n\nPlăți cu cardul & 50% + more.\nhttps://status.example.com"
ATTEMPTED = datetime(2026, 11, 22, 7, 45, tzinfo=UTC)
SINCE = str(int(ATTEMPTED.timestamp()) - 60)
FIELDS = "id,message,permalink_url,is_published"
RECEIPT = Receipt("100_200", "https://www.facebook.com/100_200")


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    secrets = {name: f"canary{uuid.uuid4().hex}" for name in ("FACEBOOK_PAGE_TOKEN", "FACEBOOK_APP_SECRET")}
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
    return Settings(**{"page_id": "100", "page_token": Secret("env:FACEBOOK_PAGE_TOKEN"), **changes})


def channel(**changes: Any) -> Facebook:
    return Facebook(settings(**changes))


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


def error(code: int | str, **more: Any) -> dict[str, Any]:
    words = {"message": f"(#{code}) Words of Facebook", "type": "OAuthException", "fbtrace_id": "AbCdEf"}
    return {"error": {**words, "code": code, **more}}


# --- sending -----------------------------------------------------------------


def test_a_post_is_one_form_with_the_message_and_the_token_in_a_header(
    web: responses.RequestsMock, canaries: dict[str, str]
) -> None:
    token = canaries["FACEBOOK_PAGE_TOKEN"]
    web.post(
        FEED,
        json={"id": "100_200"},
        match=[
            matchers.urlencoded_params_matcher({"message": TEXT}),
            matchers.query_param_matcher({}),
            matchers.header_matcher({"Authorization": f"Bearer {token}"}),
        ],
    )

    assert channel().send(delivery()) == RECEIPT
    assert token not in str(web.calls[0].request.url)


def test_the_proof_is_made_with_the_app_secret_over_the_token_that_is_sent(
    web: responses.RequestsMock, canaries: dict[str, str]
) -> None:
    key, token = canaries["FACEBOOK_APP_SECRET"].encode(), canaries["FACEBOOK_PAGE_TOKEN"].encode()
    proof = hmac.new(key, token, hashlib.sha256).hexdigest()
    web.post(FEED, json={"id": "100_200"}, match=[matchers.query_param_matcher({"appsecret_proof": proof})])

    channel(app_secret=Secret("env:FACEBOOK_APP_SECRET")).send(delivery())


def test_a_netrc_does_not_replace_the_token(
    web: responses.RequestsMock, canaries: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    web.post(FEED, json={"id": "100_200"})

    channel().send(delivery())

    assert web.calls[0].request.headers["Authorization"] == f"Bearer {canaries['FACEBOOK_PAGE_TOKEN']}"


def test_an_update_is_a_post_of_its_own(web: responses.RequestsMock) -> None:
    web.post(FEED, json={"id": "100_201"}, match=[matchers.urlencoded_params_matcher({"message": TEXT})])

    assert channel().send(delivery(thread=RECEIPT)).provider_id == "100_201"


# --- what Facebook's no means ----------------------------------------------------


@pytest.mark.parametrize(
    ("code", "account", "duplicate"),
    [
        (190, True, False),
        ("190", True, False),
        (102, True, False),
        (10, True, False),
        (200, True, False),
        (299, True, False),
        (368, True, False),
        (506, False, True),
        (100, False, False),
        (1609005, False, False),
    ],
)
def test_a_refusal_is_told_by_its_number(
    web: responses.RequestsMock, code: int | str, account: bool, duplicate: bool
) -> None:
    web.post(FEED, json=error(code), status=400)

    with pytest.raises(Rejected) as caught:
        channel().send(delivery())

    assert (str(code), account, duplicate) == (caught.value.code, caught.value.account, caught.value.duplicate)
    assert f"(#{code}) Words of Facebook (fbtrace_id AbCdEf)" in str(caught.value)


@pytest.mark.parametrize("status", [200, 401, 500])
def test_the_number_counts_and_not_the_status(web: responses.RequestsMock, status: int) -> None:
    web.post(FEED, json=error(190), status=status)

    with pytest.raises(Rejected, match="page_token") as caught:
        channel().send(delivery())

    assert caught.value.account


@pytest.mark.parametrize("code", [4, 17, 32, 613, 80000, 80001, 80099])
def test_throttling_arrives_as_a_400_and_is_no_refusal(web: responses.RequestsMock, code: int) -> None:
    web.post(FEED, json=error(code, is_transient=True), status=400)

    with pytest.raises(Unavailable) as caught:
        channel().send(delivery())

    assert (str(code), None) == (caught.value.code, caught.value.retry_after)


def usage(*minutes: Any) -> str:
    return json.dumps({"100": [{"type": "pages", "estimated_time_to_regain_access": one} for one in minutes]})


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Business-Use-Case-Usage": usage(0, 12)}, 720),
        ({"X-Business-Use-Case-Usage": usage(0), "Retry-After": "30"}, 30),
        ({"X-Business-Use-Case-Usage": usage(100_000)}, 86_400),
        ({"X-Business-Use-Case-Usage": usage()}, None),
        ({"X-Business-Use-Case-Usage": usage("soon")}, None),
        ({"X-Business-Use-Case-Usage": usage(float("nan"))}, None),
        ({"X-Business-Use-Case-Usage": usage(float("inf"))}, 86_400),
        ({"X-Business-Use-Case-Usage": "not JSON", "Retry-After": "30"}, 30),
        ({"X-Business-Use-Case-Usage": "[1]"}, None),
        ({"Retry-After": "45"}, 45),
    ],
)
def test_the_wait_is_given_in_minutes(
    web: responses.RequestsMock, headers: dict[str, str], expected: float | None
) -> None:
    web.post(FEED, json=error(80001), status=400, headers=headers)

    with pytest.raises(Unavailable) as caught:
        channel().send(delivery())

    assert expected == caught.value.retry_after


def test_a_plain_429_is_throttling_too(web: responses.RequestsMock) -> None:
    web.post(FEED, body="slow down", status=429, headers={"Retry-After": "9"})

    with pytest.raises(Unavailable) as caught:
        channel().send(delivery())

    assert caught.value.retry_after == 9


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, json.dumps(error(1))),
        (400, json.dumps(error(1))),
        (503, json.dumps(error(2))),
        (400, json.dumps(error(341))),
        (400, json.dumps(error(99_999, is_transient=True))),
        (500, json.dumps(error(99_999))),
        (200, json.dumps(error(99_999))),
        (200, '{"id": "100_200", "error": "odd"}'),
        (502, "<html>Sorry, something went wrong.</html>"),
        (200, "<html>ok</html>"),
        (200, ""),
        (200, "[]"),
        (200, "true"),
        (200, "{}"),
        (200, '{"id": null}'),
        (200, '{"id": "../100"}'),
        (200, "[" * 200_000),
        (302, '{"id": "100_200"}'),
    ],
)
def test_an_answer_that_is_no_receipt_and_no_refusal_leaves_doubt(
    web: responses.RequestsMock, status: int, body: str
) -> None:
    web.post(FEED, body=body, status=status)

    with pytest.raises(Uncertain, match="may be out"):
        channel().send(delivery())


@pytest.mark.parametrize("body", ["<html>no</html>", "{}", '{"error": {"code": "odd"}}', '{"error": "odd"}'])
def test_a_4xx_without_a_number_is_a_refusal_all_the_same(web: responses.RequestsMock, body: str) -> None:
    web.post(FEED, body=body, status=400)

    with pytest.raises(Rejected):
        channel().send(delivery())


def test_words_of_facebook_are_cleaned_before_anyone_reads_them(
    web: responses.RequestsMock, canaries: dict[str, str]
) -> None:
    echo = f"Malformed access token {canaries['FACEBOOK_PAGE_TOKEN']}\x1b[31m"
    web.post(FEED, json={"error": {"message": echo, "code": 190, "fbtrace_id": "A\u202eB"}}, status=400)

    with pytest.raises(Rejected) as caught:
        channel().send(delivery())

    assert canaries["FACEBOOK_PAGE_TOKEN"] not in repr(caught.value) + str(caught.value)
    assert "Malformed access token *** [31m (fbtrace_id A B)" in str(caught.value)


# --- looking for a post, and at one ------------------------------------------------


def own_posts(
    web: responses.RequestsMock, *posts: dict[str, Any], after: str | None = None, then: str | None = None
) -> None:
    query = {"fields": FIELDS, "since": SINCE, "limit": "100", **({"after": after} if after else {})}
    paging = {
        "cursors": {"before": "B", "after": then or "END"},
        **({"next": "https://evil.example/?t"} if then else {}),
    }
    web.get(
        f"{API}/100/published_posts",
        json={"data": list(posts), "paging": paging},
        match=[matchers.query_param_matcher(query)],
    )


@pytest.mark.parametrize(
    "message",
    [TEXT, TEXT + "\n", TEXT.replace("\n\n", "\n"), TEXT.replace("ă", "a\u0306").replace("ț", "t\u0326")],
)
def test_a_post_is_found_by_its_text(web: responses.RequestsMock, message: str) -> None:
    url = "https://www.facebook.com/ExampleBank/posts/200"
    own_posts(web, {"id": "100_199"}, {"id": "100_200", "message": message, "permalink_url": url})

    assert Receipt("100_200", url) == channel().find(delivery())


def test_pages_are_followed_by_cursor_even_over_an_empty_one(web: responses.RequestsMock) -> None:
    own_posts(web, then="A1")
    own_posts(web, {"id": "100_1", "message": "Promotion"}, after="A1", then="A2")
    own_posts(web, {"id": "100_200", "message": TEXT}, after="A2")

    assert channel().find(delivery()) == RECEIPT


def test_the_search_ends_with_the_last_page_or_the_third(web: responses.RequestsMock) -> None:
    own_posts(web)
    assert channel().find(delivery()) is None

    web.reset()
    for after, then in ((None, "A1"), ("A1", "A2"), ("A2", "A3")):
        own_posts(web, after=after, then=then)
    assert channel().find(delivery()) is None


@pytest.mark.parametrize("body", ['{"data": 1}', '{"data": ["odd"]}', '{"paging": {"next": "n"}}', '{"data": null}'])
def test_a_list_that_cannot_be_read_says_nothing(web: responses.RequestsMock, body: str) -> None:
    web.get(f"{API}/100/published_posts", body=body)

    with pytest.raises(Unavailable):
        channel().find(delivery())


@pytest.mark.parametrize(
    ("permalink", "url"),
    [
        ("https://www.facebook.com/ExampleBank/posts/200", "https://www.facebook.com/ExampleBank/posts/200"),
        ("/ExampleBank/posts/200", "https://www.facebook.com/100_200"),
        (None, "https://www.facebook.com/100_200"),
    ],
)
def test_reading_back_shows_what_the_public_sees(web: responses.RequestsMock, permalink: str | None, url: str) -> None:
    web.get(
        f"{API}/100_200",
        json={"id": "100_200", "message": TEXT, "permalink_url": permalink, "is_published": True},
        match=[matchers.query_param_matcher({"fields": FIELDS})],
    )

    assert channel().read_back(delivery(), RECEIPT) == Published({"text": " ".join(TEXT.split())}, url)


def test_a_post_that_is_not_published_is_not_seen(web: responses.RequestsMock) -> None:
    web.get(f"{API}/100_200", json={"id": "100_200", "message": TEXT, "is_published": False})

    assert channel().read_back(delivery(), RECEIPT) is None


def test_a_post_that_is_gone_reads_back_as_none(web: responses.RequestsMock) -> None:
    web.get(f"{API}/100_200", json=error(100, error_subcode=33), status=400)
    web.get(f"{API}/100", json={"id": "100"})

    assert channel().read_back(delivery(), RECEIPT) is None


def test_a_wrong_app_secret_does_not_make_a_post_look_gone(web: responses.RequestsMock) -> None:
    refused = {"error": {"message": "Invalid appsecret_proof provided in the API argument", "code": 100}}
    web.get(f"{API}/100_200", json=refused, status=400)
    web.get(f"{API}/100", json=refused, status=400)

    with pytest.raises(Rejected, match="appsecret_proof"):
        channel().read_back(delivery(), RECEIPT)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, error(190), Rejected),
        (400, error(4), Unavailable),
        (500, error(2), Unavailable),
        (502, {}, Unavailable),
    ],
)
def test_any_other_trouble_in_reading_back_is_said(
    web: responses.RequestsMock, status: int, body: Any, expected: type[Exception]
) -> None:
    web.get(f"{API}/100_200", json=body, status=status)

    with pytest.raises(expected):
        channel().read_back(delivery(), RECEIPT)


# --- taking a post down, and checking ---------------------------------------------


def test_a_withdrawn_post_is_gone(web: responses.RequestsMock) -> None:
    web.delete(f"{API}/100_200", json={"success": True})

    channel().withdraw(RECEIPT)


def test_a_post_that_was_gone_already_is_no_error(web: responses.RequestsMock) -> None:
    web.delete(f"{API}/100_200", json=error(100), status=400)
    web.get(f"{API}/100_200", json=error(100), status=400)
    web.get(f"{API}/100", json={"id": "100"})

    channel().withdraw(RECEIPT)


def test_a_post_that_we_may_not_delete_is_not_taken_for_gone(web: responses.RequestsMock) -> None:
    web.delete(f"{API}/100_200", json=error(100), status=400)
    web.get(f"{API}/100_200", json={"id": "100_200", "message": TEXT})

    with pytest.raises(Rejected):
        channel().withdraw(RECEIPT)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"success": False}, Uncertain),
        (500, error(1), Uncertain),
        (502, {}, Uncertain),
        (403, error(200), Rejected),
    ],
)
def test_a_post_that_may_still_be_up_is_said_to_be(
    web: responses.RequestsMock, status: int, body: Any, expected: type[Exception]
) -> None:
    web.delete(f"{API}/100_200", json=body, status=status)

    with pytest.raises(expected):
        channel().withdraw(RECEIPT)


@pytest.mark.parametrize("post_id", ["", "../me", "100_200/comments", "https://www.facebook.com/100_200"])
def test_an_id_that_is_no_number_never_reaches_a_url(post_id: str) -> None:
    with pytest.raises(Rejected):
        channel().read_back(delivery(), Receipt(post_id))
    with pytest.raises(Rejected):
        channel().withdraw(Receipt(post_id))


def test_check_reads_the_page_and_who_the_token_is(web: responses.RequestsMock) -> None:
    web.get(
        f"{API}/100", json={"id": "100", "name": "Bank"}, match=[matchers.query_param_matcher({"fields": "id,name"})]
    )
    web.get(f"{API}/me", json={"id": "100"}, match=[matchers.query_param_matcher({"fields": "id"})])

    channel().check()


def test_check_notices_the_token_of_a_person(web: responses.RequestsMock) -> None:
    web.get(f"{API}/100", json={"id": "100", "name": "Bank"})
    web.get(f"{API}/me", json={"id": "7"})

    with pytest.raises(Rejected, match="/me/accounts") as caught:
        channel().check()

    assert caught.value.account


def test_the_app_itself_asks_what_the_token_is_good_for(web: responses.RequestsMock, canaries: dict[str, str]) -> None:
    token, secret = canaries["FACEBOOK_PAGE_TOKEN"], canaries["FACEBOOK_APP_SECRET"]
    told = {"type": "PAGE", "expires_at": 0, "data_access_expires_at": 1_800_000_000, "scopes": ["pages_manage_posts"]}
    web.get(f"{API}/app", json={"id": "200"}, match=[matchers.header_matcher({"Authorization": f"Bearer {token}"})])
    web.get(
        f"{API}/debug_token",
        json={"data": told},
        match=[
            matchers.query_param_matcher({"input_token": token}),
            matchers.header_matcher({"Authorization": f"Bearer 200|{secret}"}),
        ],
    )

    assert channel(app_secret=Secret("env:FACEBOOK_APP_SECRET")).inspect() == Grant(
        datetime.fromtimestamp(1_800_000_000, UTC), ("pages_read_engagement",)
    )


@pytest.mark.parametrize(
    ("told", "grant"),
    [
        ({"expires_at": 0, "scopes": [*RIGHTS]}, Grant(None, ())),
        ({"expires_at": 0}, Grant(None, ())),
        ({"expires_at": "soon", "scopes": 7}, Grant(None, ())),
        ({"expires_at": 10**30, "scopes": []}, Grant(None, RIGHTS)),
        ({}, None),
        ([], None),
    ],
)
def test_what_facebook_does_not_say_of_a_token_is_not_made_up(
    web: responses.RequestsMock, told: object, grant: Grant | None
) -> None:
    web.get(f"{API}/app", json={"id": "200"})
    web.get(f"{API}/debug_token", json={"data": told})

    assert channel(app_secret=Secret("env:FACEBOOK_APP_SECRET")).inspect() == grant


def test_without_the_apps_secret_nobody_may_ask() -> None:
    assert channel().inspect() is None


def test_a_refusal_to_tell_quotes_no_secret(web: responses.RequestsMock, canaries: dict[str, str]) -> None:
    web.get(f"{API}/app", json={"id": "200"})
    web.get(f"{API}/debug_token", status=400, json=error(190, message=f"bad {canaries['FACEBOOK_PAGE_TOKEN']}"))

    with pytest.raises(Rejected) as refusal:
        channel(app_secret=Secret("env:FACEBOOK_APP_SECRET")).inspect()

    assert "canary" not in str(refusal.value)


# --- settings ------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{"page_id": "ExampleBank"}, {"page_id": "1/feed"}, {"version": "26"}, {"api_url": "facebook"}]
)
def test_settings_that_make_no_url_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        settings(**changes)


def test_a_channel_is_made_without_a_secret_or_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEBOOK_PAGE_TOKEN")

    facebook = channel()
    facebook.close()

    with pytest.raises(ConfigError, match="FACEBOOK_PAGE_TOKEN"):
        facebook.send(delivery())


@pytest.mark.parametrize("spoilt", ["{}\n", " {}", "Bearer {}", "{}\u00e9"])
def test_a_token_that_fits_no_header_is_refused_before_it_is_quoted(
    monkeypatch: pytest.MonkeyPatch, canaries: dict[str, str], spoilt: str
) -> None:
    token = canaries["FACEBOOK_PAGE_TOKEN"]
    monkeypatch.setenv("FACEBOOK_PAGE_TOKEN", spoilt.format(token))

    with pytest.raises(ConfigError, match="page_token") as caught:
        channel().send(delivery())

    assert token not in str(caught.value)


def test_facebook_can_find_read_back_and_withdraw() -> None:
    facebook = channel()
    assert isinstance(facebook, Finds)
    assert isinstance(facebook, ReadsBack)
    assert isinstance(facebook, Withdraws)
    expected = "At most once; what is in doubt is looked up, and if not found waits for a person."
    assert expected == Facebook.semantics.promise


def test_importing_the_adapter_is_light() -> None:
    code = "import sys, outagecast.channels.facebook; print(*{'requests', 'email', 'smtplib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# --- over a real socket ----------------------------------------------------------


class Provider(ThreadingHTTPServer):
    """A stand-in for Facebook that keeps the requests it got, and drops the connection if told so."""

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
        name = urlsplit(self.path).path.rpartition("/")[2]
        post = {"id": "100_200", "message": TEXT}
        last = {"data": [post], "paging": {"cursors": {"after": "A2"}}}
        first = {"data": [], "paging": {"cursors": {"after": "A1"}, "next": "https://graph.facebook.com/next"}}
        answers: dict[str, Any] = {
            "100": {"id": "100", "name": "Bank"},
            "me": {"id": "100"},
            "100_200": {"success": True, **post},
            "feed": {"id": "100_200"},
            "published_posts": last if "after=A1" in self.path else first,
        }
        answer = json.dumps(answers[name]).encode()
        self.send_response(200)
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


def everything(provider: Provider) -> None:
    facebook = channel(api_url=f"{provider.url}/", app_secret=Secret("env:FACEBOOK_APP_SECRET"))
    facebook.check()
    assert facebook.send(delivery()) == RECEIPT
    assert facebook.find(delivery()) == RECEIPT
    assert facebook.read_back(delivery(), RECEIPT) == Published({"text": " ".join(TEXT.split())}, RECEIPT.url)
    facebook.withdraw(RECEIPT)
    facebook.close()


def test_on_the_wire_the_token_is_in_the_header_alone_and_the_proof_in_the_query(canaries: dict[str, str]) -> None:
    key, token = canaries["FACEBOOK_APP_SECRET"], canaries["FACEBOOK_PAGE_TOKEN"]
    proof = hmac.new(key.encode(), token.encode(), hashlib.sha256).hexdigest()
    with serving() as provider:
        everything(provider)

    assert [method for method, *_ in provider.seen] == ["GET", "GET", "POST", "GET", "GET", "GET", "DELETE"]
    for _, target, headers, body in provider.seen:
        assert headers["Authorization"] == f"Bearer {token}"
        assert dict(parse_qsl(urlsplit(target).query))["appsecret_proof"] == proof
        assert not [secret for secret in (key, token) if secret in target or secret in body.decode()]
    assert parse_qsl(provider.seen[2][3].decode()) == [("message", TEXT)]


def test_an_answer_lost_after_the_request_leaves_doubt(canaries: dict[str, str]) -> None:
    with serving() as provider:
        provider.drops = True
        with pytest.raises(Uncertain) as caught:
            channel(api_url=provider.url, app_secret=Secret("env:FACEBOOK_APP_SECRET")).send(delivery())

    assert len(provider.seen) == 1
    assert not [value for value in canaries.values() if value in str(caught.value)]
    assert "appsecret_proof" not in str(caught.value)


def test_where_nobody_listens_nothing_was_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable, match="nothing was sent"):
            channel(api_url=f"http://127.0.0.1:{unused.getsockname()[1]}").send(delivery())


# --- against Meta's own description ---------------------------------------------------


def test_every_request_is_one_that_meta_describes() -> None:
    if "OUTAGECAST_DATA" not in os.environ:
        pytest.skip("OUTAGECAST_DATA is not set: no description of the Graph API to compare with")
    spec = json.loads(Path(os.environ["OUTAGECAST_DATA"], "facebook/graph_pages.openapi.json").read_text())
    with serving() as provider:
        everything(provider)

    assert len(provider.seen) == 7
    for method, target, _, body in provider.seen:
        parts = urlsplit(target)
        template = next(one for one in spec["paths"] if re.fullmatch(one.replace("{id}", "[0-9a-z_]+"), parts.path))
        operation = spec["paths"][template][method.lower()]
        query = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
        form: dict[str, Any] = {}
        if "requestBody" in operation:
            form = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]["properties"]
        # Meta lists a call's parameters without their place; of a POST, the description puts all in the form.
        assert {key for key, _ in parse_qsl(parts.query)} <= query | set(form)
        assert {key for key, _ in parse_qsl(body.decode())} <= set(form)
