"""The stand-in of the Graph API answers as it does."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from outagecast.rehearsal import FacebookStandIn

TOKEN = "page token"
SECRET = "app secret"
PROOF = hmac.new(SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
AUTH = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def facebook() -> Iterator[FacebookStandIn]:
    with FacebookStandIn(page_token=TOKEN, app_secret=SECRET) as facebook:
        yield facebook


def call(facebook: FacebookStandIn, method: str, path: str, **more: Any) -> Any:
    params = {"appsecret_proof": PROOF, **more.pop("params", {})}
    url = f"{facebook.url}/v26.0{path}"
    return requests.request(method, url, params=params, headers=AUTH, timeout=2, **more).json()


def test_a_post_is_published_read_edited_and_deleted(facebook: FacebookStandIn) -> None:
    made = call(facebook, "POST", "/100/feed", data={"message": "Cards are failing"})["id"]

    read = call(facebook, "GET", f"/{made}", params={"fields": "message,created_time,permalink_url,is_published,link"})

    number = made.partition("_")[2]
    assert read == {
        "id": made,
        "message": "Cards are failing",
        "created_time": f"{facebook.posts[0].created_at:%Y-%m-%dT%H:%M:%S}+0000",
        "permalink_url": f"https://www.facebook.com/100/posts/{number}",
        "is_published": True,
    }
    assert call(facebook, "POST", f"/{made}", data={"message": "Fixed"}) == {"success": True}
    assert [post.text for post in facebook.posts] == ["Fixed"]
    assert call(facebook, "DELETE", f"/{made}") == {"success": True}
    assert facebook.posts == ()
    assert call(facebook, "DELETE", f"/{made}")["error"]["code"] == 100
    assert call(facebook, "GET", f"/{made}")["error"]["error_subcode"] == 33


def test_the_page_and_the_token_are_the_same_node(facebook: FacebookStandIn) -> None:
    assert call(facebook, "GET", "/100", params={"fields": "id,name"}) == {"id": "100", "name": "Example Bank"}
    assert call(facebook, "GET", "/me", params={"fields": "id"}) == {"id": "100"}


@pytest.mark.parametrize(
    ("headers", "query", "code"),
    [
        ({}, {"appsecret_proof": PROOF}, 104),
        ({"Authorization": "Bearer other"}, {"appsecret_proof": PROOF}, 190),
        (AUTH, {}, 100),
        (AUTH, {"appsecret_proof": "0" * 64}, 100),
        (AUTH, {"appsecret_proof": PROOF}, None),
        ({}, {"access_token": TOKEN, "appsecret_proof": PROOF}, None),
    ],
)
def test_token_and_proof_are_checked(
    facebook: FacebookStandIn, headers: dict[str, str], query: dict[str, str], code: int | None
) -> None:
    url = f"{facebook.url}/v26.0/100/feed"

    answer = requests.post(url, params=query, data={"message": "a"}, headers=headers, timeout=2)

    assert (400 if code else 200) == answer.status_code
    assert code == answer.json().get("error", {}).get("code")
    assert bool(code) is not bool(facebook.posts)


def test_an_identical_repeat_is_error_506(facebook: FacebookStandIn) -> None:
    for text in ("one", "two", "one"):
        assert "id" in call(facebook, "POST", "/100/feed", data={"message": text})

    error = call(facebook, "POST", "/100/feed", data={"message": "one"})["error"]

    assert error["code"] == 506
    assert {"message", "type", "code", "is_transient", "error_user_msg", "fbtrace_id"} == set(error)
    assert [post.text for post in facebook.posts] == ["one", "two", "one"]


@pytest.mark.parametrize("data", [{}, {"message": "x" * 63_207}, {"message": "  "}])
def test_what_is_no_post_is_error_100(facebook: FacebookStandIn, data: dict[str, str]) -> None:
    assert call(facebook, "POST", "/100/feed", data=data)["error"]["code"] == 100


def test_another_page_is_error_100(facebook: FacebookStandIn) -> None:
    assert call(facebook, "POST", "/200/feed", data={"message": "a"})["error"]["code"] == 100


def test_the_published_posts_are_paged_newest_first(facebook: FacebookStandIn) -> None:
    ids = [call(facebook, "POST", "/100/feed", data={"message": f"post {n}"})["id"] for n in range(5)]

    first = call(facebook, "GET", "/100/published_posts", params={"limit": 3})
    after = first["paging"]["cursors"]["after"]
    second = call(facebook, "GET", "/100/published_posts", params={"limit": 3, "after": after})
    later = call(facebook, "GET", "/100/published_posts", params={"since": int(time.time()) + 60})

    assert ids[::-1] == [post["id"] for page in (first, second) for post in page["data"]]
    assert "next" in first["paging"]
    assert "next" not in second["paging"]
    assert later == {"data": []}


def test_a_scheduled_post_is_not_yet_public(facebook: FacebookStandIn) -> None:
    at = int(time.time()) + 3600
    data = {"message": "Our offer", "published": "false", "scheduled_publish_time": str(at)}
    made = call(facebook, "POST", "/100/feed", data=data)["id"]

    (waiting,) = call(facebook, "GET", "/100/scheduled_posts", params={"fields": "scheduled_publish_time"})["data"]

    assert {"id": made, "scheduled_publish_time": at} == waiting
    assert call(facebook, "GET", "/100/published_posts") == {"data": []}
    assert facebook.posts == ()
    soon = {**data, "scheduled_publish_time": str(int(time.time()) + 60)}
    assert call(facebook, "POST", "/100/feed", data=soon)["error"]["code"] == 100


def test_throttling_is_a_400_that_says_for_how_many_minutes(facebook: FacebookStandIn) -> None:
    facebook.behave("rate_limited")

    answer = requests.post(f"{facebook.url}/v26.0/100/feed", data={"message": "a"}, headers=AUTH, timeout=2)

    (usage,) = json.loads(answer.headers["X-Business-Use-Case-Usage"])["100"]
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 32)
    assert usage["estimated_time_to_regain_access"] == 3


def test_a_failure_may_have_been_applied(facebook: FacebookStandIn) -> None:
    facebook.behave("error_500_applied")

    error = call(facebook, "POST", "/100/feed", data={"message": "a"})["error"]

    assert (error["code"], error["is_transient"]) == (2, True)
    assert [post.text for post in facebook.posts] == ["a"]
