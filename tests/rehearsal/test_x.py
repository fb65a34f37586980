"""The stand-in of X answers as X does, to tweepy and to plain requests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import tweepy
from requests_oauthlib import OAuth1

from outagecast.rehearsal import Secrets, XStandIn
from outagecast.rehearsal.oauth import is_signed, sign
from outagecast.transport import Session

SECRETS = Secrets("key", "secret & co", "77-token", "token/secret")


@pytest.fixture
def x() -> Iterator[XStandIn]:
    with XStandIn(SECRETS) as x:
        yield x


@pytest.fixture
def client(x: XStandIn) -> Any:
    client = tweepy.Client(
        consumer_key=SECRETS.api_key,
        consumer_secret=SECRETS.api_secret,
        access_token=SECRETS.access_token,
        access_token_secret=SECRETS.access_token_secret,
        return_type=dict,
    )
    client.session = Session(rebase=("https://api.twitter.com", x.url))
    return client


def call(x: XStandIn, method: str, path: str, secrets: Secrets = SECRETS, **more: Any) -> requests.Response:
    auth = OAuth1(secrets[0], secrets[1], secrets[2], secrets[3])
    return requests.request(method, x.url + path, auth=auth, timeout=2, **more)


def test_tweepy_can_post_reply_read_and_delete(x: XStandIn, client: Any) -> None:
    first = client.create_tweet(text="Cards are failing")["data"]["id"]
    second = client.create_tweet(text="Fixed", in_reply_to_tweet_id=first)["data"]["id"]

    assert [post.text for post in x.posts] == ["Cards are failing", "Fixed"]
    assert [None, first] == [post.in_reply_to for post in x.posts]
    assert {first} == {post.conversation_id for post in x.posts}
    assert client.get_me()["data"]["id"] == "77"
    assert client.get_tweet(second, user_auth=True)["data"]["text"] == "Fixed"
    assert [second, first] == [post["id"] for post in client.get_users_tweets("77", user_auth=True)["data"]]
    assert client.delete_tweet(first) == {"data": {"deleted": True}}
    assert [second] == [post.id for post in x.posts]


def test_the_signature_is_that_of_the_example_in_rfc_5849() -> None:
    """Section 1.2, with its form taken as a query: the base string is built in the same way."""
    given = {
        "file": "vacation.jpg",
        "size": "original",
        "oauth_consumer_key": "dpf43f3p2l4k3l03",
        "oauth_token": "nnch734d00sl2jdk",
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": "137131202",
        "oauth_nonce": "chapoH",
    }
    secrets = Secrets("dpf43f3p2l4k3l03", "kd94hf93k423kf44", "nnch734d00sl2jdk", "pfkkdhi9sl3r4s00")

    assert sign(secrets, "GET", "http://photos.example.net/photos", given) == "MdpQcU8iPSUjWoN/UDMsK2sui9I="


def test_a_signature_that_is_old_counts_for_nothing() -> None:
    header = 'OAuth oauth_consumer_key="key", oauth_token="77-token", oauth_timestamp="137131202", oauth_signature="x"'

    assert not is_signed(SECRETS, header, "GET", "http://127.0.0.1/", {})


@pytest.mark.parametrize("wrong", range(4))
def test_a_request_signed_with_a_wrong_secret_is_a_401(x: XStandIn, wrong: int) -> None:
    secrets = Secrets(*(f"{value}x" if index == wrong else value for index, value in enumerate(SECRETS)))

    answer = call(x, "POST", "/2/tweets", secrets, json={"text": "hello"})

    assert (answer.status_code, answer.json()["type"]) == (401, "about:blank")
    assert x.posts == ()


def test_a_request_without_a_signature_is_a_401_also_where_the_secrets_are_not_known() -> None:
    with XStandIn() as x:
        bearer = requests.get(f"{x.url}/2/users/me", headers={"Authorization": "Bearer app"}, timeout=2)
        signed = call(x, "GET", "/2/users/me")

    assert (bearer.status_code, signed.status_code) == (401, 200)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"text": "a", "txet": "b"}, 400, "does not allow additional properties"),
        ({}, 400, "text: is missing"),
        ({"text": "x" * 281}, 400, "too long"),
        ({"text": "a", "reply": {"in_reply_to_tweet_id": 7}}, 400, "does not match the regex"),
        ({"text": "a", "reply": {"in_reply_to_tweet_id": "7"}}, 403, "deleted or not visible"),
        ([], 400, "not a JSON object"),
    ],
)
def test_what_x_refuses_is_refused(x: XStandIn, body: Any, status: int, words: str) -> None:
    answer = call(x, "POST", "/2/tweets", json=body)

    assert status == answer.status_code
    assert words in answer.text
    assert x.posts == ()


def test_the_same_text_again_is_refused_in_the_words_of_x(x: XStandIn) -> None:
    call(x, "POST", "/2/tweets", json={"text": "hello"})

    answer = call(x, "POST", "/2/tweets", json={"text": "hello"})

    assert answer.json() == {
        "detail": "You are not allowed to create a Tweet with duplicate content.",
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
    }
    assert len(x.posts) == 1


def test_links_are_wrapped_and_markup_is_escaped(x: XStandIn) -> None:
    text = "🔴 A & B: https://status.example.com/a?b=1&c=2 and status.example.com"
    made = call(x, "POST", "/2/tweets", json={"text": text}).json()["data"]["id"]

    data = call(x, "GET", f"/2/tweets/{made}?tweet.fields=entities,created_at").json()["data"]

    full, bare = data["entities"]["urls"]
    stored = x.posts[0].stored
    assert f"🔴 A & B: {full['url']} and {bare['url']}" == stored
    assert data["text"] == stored.replace("&", "&amp;")
    assert full["url"] == stored[full["start"] : full["end"]]
    assert len(full["url"]) == 23
    assert [
        full["expanded_url"],
        bare["expanded_url"],
    ] == ["https://status.example.com/a?b=1&c=2", "http://status.example.com"]
    assert data["created_at"].endswith("Z")
    assert len(data["created_at"]) == 24
    assert text == x.posts[0].text


def test_only_the_fields_that_were_asked_for_are_given(x: XStandIn) -> None:
    made = call(x, "POST", "/2/tweets", json={"text": "see https://example.com"}).json()["data"]["id"]

    data = call(x, "GET", f"/2/tweets/{made}").json()["data"]

    assert {"id", "text", "edit_history_tweet_ids"} == set(data)


def test_what_is_not_there_is_a_200_with_errors_and_no_data(x: XStandIn) -> None:
    for path in ("/2/tweets/123", "/2/users/123/tweets"):
        answer = call(x, "GET", path)

        assert answer.status_code == 200
        assert {"errors"} == set(answer.json())
        assert answer.json()["errors"][0]["type"].endswith("/resource-not-found")


def test_the_timeline_is_paged_and_bounded(x: XStandIn) -> None:
    ids = [call(x, "POST", "/2/tweets", json={"text": f"post {n}"}).json()["data"]["id"] for n in range(7)]

    def timeline(**query: str) -> Any:
        return call(x, "GET", "/2/users/77/tweets", params=query).json()

    first = timeline(max_results="5")
    second = timeline(max_results="5", pagination_token=first["meta"]["next_token"])
    later = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()

    assert ids[::-1] == [post["id"] for page in (first, second) for post in page["data"]]
    assert "next_token" not in second["meta"]
    assert ids[:4:-1] == [post["id"] for post in timeline(since_id=ids[4])["data"]]
    assert timeline(start_time=later) == {"meta": {"result_count": 0}}
    assert "not between 5 and 100" in str(timeline(max_results="4"))
    assert "not between 5 and 100" in str(timeline(max_results="101"))
    assert "RFC 3339" in str(timeline(start_time="yesterday"))


def test_too_many_requests_name_the_time_of_the_reset(x: XStandIn) -> None:
    x.behave("rate_limited")

    answer = call(x, "POST", "/2/tweets", json={"text": "hello"})

    assert (answer.status_code, answer.headers["x-rate-limit-remaining"]) == (429, "0")
    assert 50 < int(answer.headers["x-rate-limit-reset"]) - datetime.now(UTC).timestamp() < 61


def test_a_post_whose_answer_was_lost_is_found_in_the_timeline(x: XStandIn) -> None:
    x.behave("reset_after")

    with pytest.raises(requests.ConnectionError):
        call(x, "POST", "/2/tweets", json={"text": "hello"})

    assert [post["text"] for post in call(x, "GET", "/2/users/77/tweets").json()["data"]] == ["hello"]
