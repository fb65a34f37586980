"""X: one post per update, through tweepy with OAuth 1.0a user tokens, which do not expire.

https://docs.x.com/x-api/posts/create-post
https://docs.x.com/x-api/fundamentals/rate-limits
https://docs.x.com/x-api/getting-started/pricing
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeVar

from outagecast.about import about
from outagecast.channel import FIRST, Carries, Idempotency, Limit, LookUp, OnDoubt, Semantics
from outagecast.errors import ChannelError, Rejected, Unavailable, Uncertain
from outagecast.measure import X_LIMIT, x_length
from outagecast.model import Delivery, Published, Receipt, Status
from outagecast.secret import Secret
from outagecast.text import clean, folded

BUILT_IN = "https://api.twitter.com"  # in tweepy, where it cannot be set; X documents api.x.com
CLOCK_SKEW = timedelta(minutes=1)  # by how much our clock may run ahead of X's
MOST_POSTS = 100  # a page: https://docs.x.com/x-api/users/get-posts
BUCKETS = ("x-rate-limit", "x-app-limit-24hour", "x-user-limit-24hour")  # each with -remaining and -reset
HINTS = {
    401: "are api_key, api_secret, access_token and access_token_secret right, and this computer's clock? if they were "
    "revoked, make them anew as in docs/channels/x.md",
    402: "the developer account has no credits left: buy some in X's developer console, then resume",
    403: "give the app the permission Read and write, then make access_token and access_token_secret anew",
}
GONE = frozenset({"HTTP 404", "resource-not-found"})
POST_ID = re.compile(r"[0-9]{1,19}")
LONGEST_TEXT, LONGEST_LINK = 25_000, 4096  # characters: https://help.x.com/en/using-x/x-premium

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the app and the account need. ``thread``: what one post cannot hold may go on in a second one."""

    api_key: Secret = about("the app's API key, as a secret such as env:X_API_KEY")
    api_secret: Secret = about("the app's API secret, as a secret such as env:X_API_SECRET")
    access_token: Secret = about("the account's access token, as a secret such as env:X_ACCESS_TOKEN")
    access_token_secret: Secret = about("the access token's secret, as a secret such as env:X_ACCESS_TOKEN_SECRET")
    username: str | None = about("the account's name, such as ExampleBank", default=None)
    thread: bool = about("what one post cannot hold goes on in a second one below it", default=False)
    api_url: str = about("another address, for rehearsals", default="https://api.x.com")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"https?://[\w.:\[\]-]+(/[!-~]*)?", self.api_url, re.ASCII):
            raise ValueError("api_url must be a whole address, such as https://api.x.com")
        if self.username is not None and not re.fullmatch(r"@?\w{1,15}", self.username, re.ASCII):
            raise ValueError("username must be the account's name on X, such as ExampleBank")


class X:
    """An account on X."""

    kind: ClassVar[str] = "x"
    parts: ClassVar[Mapping[str, Limit]] = {"text": Limit(X_LIMIT, "X characters", x_length, Carries.ESSENTIALS)}
    addresses: ClassVar[Literal["phone", "email"] | None] = None
    escapes: ClassVar[frozenset[str]] = frozenset()
    semantics: ClassVar[Semantics] = Semantics(
        idempotency=Idempotency.NONE,  # the request has no field for a key
        lookup=LookUp.EVENTUAL,
        on_doubt=OnDoubt.HOLD,
        settle=timedelta(minutes=5),  # X says nothing about it: a careful guess
        source="https://docs.x.com/x-api/posts/create-post",
    )
    imports: ClassVar[tuple[str, ...]] = ("outagecast.transport", "tweepy")

    def __init__(self, settings: Settings, *, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._now = now
        self._username = (settings.username or "").lstrip("@")

    @staticmethod
    def may_thread(settings: Settings) -> bool:
        return settings.thread

    @staticmethod
    def links() -> tuple[str, ...]:
        """With one a post costs thirteen times as much: https://docs.x.com/x-api/getting-started/pricing."""
        return (FIRST, Status.RESOLVED, Status.COMPLETED)

    def check(self) -> None:
        """Ask X who we are, and whether we may post; with ``username`` set, it must be that account."""
        levels: list[str] = []

        def introduce(client: Any) -> str:
            # X says it beside every answer to such tokens: https://github.com/xdevplatform/open-evolution/issues/21
            client.session.hooks["response"] = lambda answer, **_: levels.append(
                answer.headers.get("x-access-level", "")
            )
            return str(_data(client.get_me())["username"])

        name = self._ask(introduce)
        if levels[-1:] == ["read"]:
            raise Rejected("the tokens for X may read, and not post", hint=HINTS[403], account=True)
        if self._username and name.casefold() != self._username.casefold():
            hint = "make access_token and access_token_secret while logged in as the account, or correct username"
            raise Rejected(f"the tokens for X belong to @{clean(name)}, not @{self._username}", hint=hint, account=True)

    def send(self, delivery: Delivery) -> Receipt:
        """Post, as a reply to the earlier post if there is one and X lets us, else on its own."""
        text = delivery.parts["text"]
        if delivery.thread is None or not POST_ID.fullmatch(delivery.thread.provider_id):
            return self._post(text)
        try:
            return self._post(text, delivery.thread.provider_id)
        except Rejected as refusal:
            # Self-serve accounts may reply only where they were mentioned, and X does not say whether threads of one's
            # own are exempt; or the earlier post is gone: https://docs.x.com/x-api/posts/manage-tweets/introduction
            if refusal.code != "HTTP 403" or refusal.duplicate:
                raise
        return self._post(text)._replace(detail="X refused it as a reply, so it is a post of its own")

    def find(self, delivery: Delivery) -> Receipt | None:
        """The account's own post with this text since the first attempt."""
        options = {
            "max_results": MOST_POSTS,
            "start_time": (delivery.attempted_at or delivery.opened_at) - CLOCK_SKEW,
            # Answers to customers would push ours off the page, and every post read costs money.
            "exclude": ["retweets"] if delivery.thread or delivery.is_second else ["retweets", "replies"],
            "tweet_fields": ["entities"],
        }
        # X begins an access token with the account's number, as tweepy knows too; to ask for it costs money.
        number, dash, _ = self._client.access_token.partition("-")
        wanted = delivery.parts["text"]

        def seek(client: Any) -> Receipt | None:
            user_id = number if dash and number.isdecimal() else _data(client.get_me())["id"]
            posts = _data(client.get_users_tweets(user_id, user_auth=True, **options)) or []
            same = (post["id"] for post in posts if _as_published(post, wanted) == folded(wanted))
            return next((self._receipt(post_id) for post_id in same), None)

        return self._ask(seek)

    def read_back(self, delivery: Delivery, receipt: Receipt) -> Published | None:
        """The post as the public sees it: links in full, white space folded, in NFC."""
        post_id = _post_id(receipt)

        def read(client: Any) -> Published:
            post = _data(client.get_tweet(post_id, user_auth=True, tweet_fields=["entities"]))
            # Each edit is a post with an id of its own, and the public is shown the last:
            # https://docs.x.com/x-api/fundamentals/edit-posts
            if (newest := (post.get("edit_history_tweet_ids") or [post_id])[-1]) != post_id:
                if not POST_ID.fullmatch(newest):
                    raise ValueError
                post = _data(client.get_tweet(newest, user_auth=True, tweet_fields=["entities"]))
            return Published({"text": _as_published(post, delivery.parts["text"])}, self._receipt(post_id).url)

        try:
            return self._ask(read)
        except Rejected as refusal:
            if refusal.code in GONE:
                return None
            raise

    def withdraw(self, receipt: Receipt) -> None:
        """Delete the post."""
        post_id = _post_id(receipt)
        try:
            deleted = self._ask(lambda client: _data(client.delete_tweet(post_id))["deleted"], changes=True)
        except Rejected as refusal:
            if refusal.code in GONE:
                return
            raise
        if deleted is not True:
            raise Uncertain("X did not say that the post is deleted", hint="look at the post, and delete it there")

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.session.close()

    @cached_property
    def _client(self) -> Any:
        import tweepy

        from outagecast import transport

        settings = self._settings
        client = tweepy.Client(
            consumer_key=settings.api_key.reveal(),
            consumer_secret=settings.api_secret.reveal(),
            access_token=settings.access_token.reveal(),
            access_token_secret=settings.access_token_secret.reveal(),
            return_type=dict,  # tweepy's own models fail on dates without a fraction
        )
        client.session = transport.Session(rebase=(BUILT_IN, settings.api_url))
        return client

    def _post(self, text: str, reply_to: str | None = None) -> Receipt:
        def create(client: Any) -> Receipt:
            answer = client.create_tweet(text=text, in_reply_to_tweet_id=reply_to)
            if answer.get("errors"):
                raise ValueError
            return self._receipt(answer["data"]["id"])

        return self._ask(create, changes=True)

    def _receipt(self, post_id: str) -> Receipt:
        if not POST_ID.fullmatch(post_id):
            raise ValueError("the id of a post on X is a number")
        return Receipt(post_id, f"https://x.com/{self._username or 'i'}/status/{post_id}")

    def _ask(self, call: Callable[[Any], T], *, changes: bool = False) -> T:
        import tweepy

        client = self._client
        try:
            return call(client)
        except tweepy.HTTPException as error:
            problem = self._refusal(error)
        except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
            # So end both tweepy's reading and ours of an answer in another shape, even after the post was made.
            problem = Uncertain("X's answer is not one we can read; it may be out")
        if isinstance(problem, Uncertain) and not changes:
            raise Unavailable("X cannot be read now; nothing was changed", code=problem.code)
        raise problem

    def _refusal(self, error: Any) -> ChannelError:
        from outagecast import transport

        status, headers = error.response.status_code, error.response.headers
        words = "; ".join(map(str, error.api_messages))
        # The problem's type is about:blank, so its words are all there is; 187 is the older form.
        if status == 403 and ("duplicate content" in words or 187 in error.api_codes):
            return Rejected(f"X carries this text already: {clean(words)}", code="HTTP 403", duplicate=True)
        problem = transport.refusal("X", status, headers, words, hint=HINTS.get(status, ""))
        if isinstance(problem, Unavailable):
            problem.retry_after = _wait(headers, self._now)
        return problem


def _wait(headers: Mapping[str, str], now: Callable[[], float]) -> float | None:
    """Seconds until the last of the exhausted buckets refills, by X's own clock; else what ``Retry-After`` says."""
    from email.utils import formatdate

    from outagecast import transport

    used_up = [bucket for bucket in BUCKETS if headers.get(f"{bucket}-remaining", "0") == "0"]
    resets = [reset for bucket in used_up if re.fullmatch("[0-9]{1,11}", reset := headers.get(f"{bucket}-reset", ""))]
    if not resets:
        return transport.retry_after(headers, now)
    until = formatdate(max(map(int, resets)), usegmt=True)
    return transport.retry_after({"Retry-After": until, "Date": headers.get("Date", "")}, now)


def _post_id(receipt: Receipt) -> str:
    if not POST_ID.fullmatch(receipt.provider_id):
        raise Rejected("the receipt names no post on X", hint="a post's id is the number at the end of its URL")
    return receipt.provider_id


def _data(answer: dict[str, Any]) -> Any:
    """What X answered. Raises Rejected where a 200 carries errors, as it does for a post that is gone."""
    if not (errors := answer.get("errors")):
        return answer.get("data", [])
    words = errors[0].get("detail") or errors[0].get("message") or "no reason given"
    problem = str(errors[0].get("type")).rpartition("/")[2]  # X writes the rest of it under two hosts
    raise Rejected(f"X answered with an error: {clean(words)}", code=clean(problem, most=60))


def _as_published(post: dict[str, Any], wanted: str) -> str:
    """A post's text with X's changes undone: links in full, ``&amp;`` ``&lt;`` ``&gt;`` as characters."""
    text = post["text"]
    for link in post.get("entities", {}).get("urls", []):
        full = link.get("expanded_url", link["url"])
        if not link["url"].startswith("https://t.co/") or len(text) > LONGEST_TEXT or len(full) > LONGEST_LINK:
            raise ValueError  # no link of X's; each of its places would grow
        bare = full.partition("://")[2]  # X puts http:// before a bare domain
        spellings = (full, full.rstrip("/"), bare, bare.rstrip("/"))
        text = text.replace(link["url"], next((one for one in spellings if one and one in wanted), full))
    return folded(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
