"""A Facebook Page: one post per update, through the Graph API.

https://developers.facebook.com/docs/graph-api/reference/page/feed
https://developers.facebook.com/docs/graph-api/guides/error-handling
https://developers.facebook.com/docs/graph-api/overview/rate-limiting
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from outagecast.about import about
from outagecast.channel import Grant, Idempotency, Limit, LookUp, OnDoubt, Semantics
from outagecast.errors import ChannelError, ConfigError, Problem, Rejected, Unavailable, Uncertain
from outagecast.model import Delivery, Published, Receipt
from outagecast.secret import Secret, redact, remember
from outagecast.text import clean, folded

if TYPE_CHECKING:
    import requests

    from outagecast.transport import Session

LONGEST_POST = 63_206  # characters; Meta's reference names none, this is where the site itself stops
CLOCK_SKEW = timedelta(minutes=1)  # by how much our clock may run ahead of Facebook's
MOST_POSTS, MOST_PAGES = 100, 3  # https://developers.facebook.com/docs/graph-api/reference/page/published_posts
FIELDS = "id,message,permalink_url,is_published"

# https://developers.facebook.com/docs/graph-api/guides/error-handling
ACCOUNT = frozenset({10, 102, 190, *range(200, 300), 368})
THROTTLED = frozenset({4, 17, 32, 613, *range(80_000, 80_100)})
TRANSIENT = frozenset({1, 2, 341})
DUPLICATE = 506
BAD_PARAMETER = 100  # also what is said of a post that is not there

HINTS = {
    190: "make page_token anew as in docs/channels/facebook.md, with pages_manage_posts and pages_read_engagement",
    368: "Facebook has blocked this for its policies: an administrator must open the Page's support inbox",
}
RIGHTS = ("pages_manage_posts", "pages_read_engagement")  # https://developers.facebook.com/docs/permissions
NODE_ID = re.compile(r"[0-9]{1,30}(_[0-9]{1,30})?")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The Page and its token. ``app_secret`` signs each call, so that a stolen token alone is of no use."""

    page_id: str = about("the Page's number")
    page_token: Secret = about("the Page's own token, as a secret such as env:FACEBOOK_PAGE_TOKEN")
    app_secret: Secret | None = about("signs each call, as a secret such as env:FACEBOOK_APP_SECRET", default=None)
    version: str = about("of the Graph API", default="v26.0")
    api_url: str = about("another address, for rehearsals", default="https://graph.facebook.com")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"https?://[\w.:\[\]-]+(/[!-~]*)?", self.api_url, re.ASCII):
            raise ValueError("api_url must be a whole address, such as https://graph.facebook.com")
        if not re.fullmatch(r"[0-9]+", self.page_id):
            raise ValueError("page_id must be the Page's number, which its page About > Page transparency shows")
        if not re.fullmatch(r"v[0-9]+\.[0-9]+", self.version):
            raise ValueError("version must be one of the Graph API, such as v26.0")


class Facebook:
    """A Facebook Page."""

    kind: ClassVar[str] = "facebook"
    parts: ClassVar[Mapping[str, Limit]] = {"text": Limit(LONGEST_POST, "characters", len)}
    addresses: ClassVar[Literal["phone", "email"] | None] = None
    escapes: ClassVar[frozenset[str]] = frozenset()
    semantics: ClassVar[Semantics] = Semantics(
        idempotency=Idempotency.NONE,  # no parameter is documented as a key
        lookup=LookUp.EVENTUAL,
        on_doubt=OnDoubt.HOLD,
        settle=timedelta(minutes=5),  # Meta says nothing about it: a careful guess
        source="https://developers.facebook.com/docs/graph-api/reference/page/feed",
    )
    imports: ClassVar[tuple[str, ...]] = ("outagecast.transport",)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def check(self) -> None:
        """Read the Page, and make sure that the token speaks as the Page and not as a person."""
        page = self._call("GET", self._settings.page_id, {"fields": "id,name"})
        speaker = self._call("GET", "me", {"fields": "id"})
        if speaker.get("id") != page.get("id"):
            hint = "exchange it for the Page's own: GET /me/accounts lists them"
            raise Rejected("page_token is the token of a person or of another Page", hint=hint, account=True)

    def inspect(self) -> Grant | None:
        """What ``page_token`` is good for; only its app may ask, so None without ``app_secret``.

        https://developers.facebook.com/docs/graph-api/reference/debug_token
        """
        if self._settings.app_secret is None:
            return None
        app = str(self._call("GET", "app", {"fields": "id"}).get("id"))
        if not NODE_ID.fullmatch(app):  # it becomes part of a header, beside the secret
            raise Unavailable("Facebook's answer names no app; nothing was changed")
        # https://developers.facebook.com/docs/facebook-login/guides/access-tokens#apptokens
        speaker = f"{app}|{self._settings.app_secret.reveal()}"
        answer = self._call("GET", "debug_token", {"input_token": self._credentials[0]}, speaker=speaker).get("data")
        told = answer if isinstance(answer, dict) else {}
        given = (told.get(name) for name in ("expires_at", "data_access_expires_at"))
        ends = [end for end in given if isinstance(end, int) and 0 < end < 1 << 37]  # 0: never
        scopes = told.get("scopes")
        lacks = tuple(right for right in RIGHTS if right not in scopes) if isinstance(scopes, list) else ()
        return Grant(datetime.fromtimestamp(min(ends), UTC) if ends else None, lacks) if told else None

    def send(self, delivery: Delivery) -> Receipt:
        """Post to the Page's feed. Facebook has no threads: every update is a post of its own."""
        answer = self._call("POST", f"{self._settings.page_id}/feed", message=delivery.parts["text"])
        try:
            return _receipt(answer.get("id"))
        except ValueError:
            raise Uncertain("Facebook's answer names no post; it may be out") from None

    def edit(self, delivery: Delivery) -> Receipt:
        """Put the text into the place of an earlier post's, which Facebook shows as edited.

        https://developers.facebook.com/docs/pages-api/posts#update-a-post
        """
        assert delivery.edits is not None  # noqa: S101 - the port's promise
        post_id = _post_id(delivery.edits)
        try:
            edited = self._call("POST", post_id, message=delivery.parts["text"]).get("success")
        except Rejected as refusal:
            if refusal.code != str(BAD_PARAMETER):
                raise
            hint = "it may be gone, or another app's: correct it on the Page, or delete it there"
            raise Rejected(f"Facebook does not let us edit the post {post_id}", code=refusal.code, hint=hint) from None
        if edited is not True:
            raise Uncertain("Facebook did not say that the post is edited")
        return _receipt(post_id)

    def find(self, delivery: Delivery) -> Receipt | None:
        """The Page's post with this text since the first attempt; of an edit, the edited post if it has this text."""
        if delivery.edits:
            seen = self.read_back(delivery, delivery.edits)
            same = seen is not None and seen.parts["text"] == folded(delivery.parts["text"])
            return Receipt(delivery.edits.provider_id, seen.url) if seen and same else None
        since = (delivery.attempted_at or delivery.opened_at) - CLOCK_SKEW
        query = {"fields": FIELDS, "since": str(int(since.timestamp())), "limit": str(MOST_POSTS)}
        wanted = folded(delivery.parts["text"])
        try:
            for _ in range(MOST_PAGES):
                answer = self._call("GET", f"{self._settings.page_id}/published_posts", query)
                for post in answer.get("data", []):
                    if folded(str(post.get("message") or "")) == wanted:
                        return _receipt(post["id"], post.get("permalink_url"))
                if "next" not in answer.get("paging", {}):  # the only sign of the end: a page before it may be empty
                    break
                query["after"] = answer["paging"]["cursors"]["after"]  # never the `next` URL: it holds the token
        except (AttributeError, LookupError, TypeError, ValueError):
            raise Unavailable("Facebook's list of posts is not one we can read; nothing was changed") from None
        return None

    def read_back(self, delivery: Delivery, receipt: Receipt) -> Published | None:  # noqa: ARG002 - the port's words
        """The post as the public sees it, white space folded, in NFC; None where it is gone or unpublished."""
        post_id = _post_id(receipt)
        post = self._read(post_id)
        if post is None or post.get("is_published") is False:
            return None
        return Published(
            {"text": folded(str(post.get("message") or ""))}, _receipt(post_id, post.get("permalink_url")).url
        )

    def withdraw(self, receipt: Receipt) -> None:
        """Delete the post."""
        post_id = _post_id(receipt)
        try:
            deleted = self._call("DELETE", post_id).get("success")
        except Rejected as refusal:
            # The same number says that the post is gone and that this app may not delete it.
            if refusal.code != str(BAD_PARAMETER) or self._read(post_id) is not None:
                raise
            return
        if deleted is not True:
            raise Uncertain("Facebook did not say that the post is deleted", hint="look at the Page, delete it there")

    def close(self) -> None:
        if "_session" in self.__dict__:
            self._session.close()

    @cached_property
    def _session(self) -> Session:
        from outagecast import transport

        return transport.Session()

    @cached_property
    def _credentials(self) -> tuple[str, dict[str, str]]:
        """The token, and the proof that goes with it: https://developers.facebook.com/docs/graph-api/guides/secure-requests"""
        token = self._settings.page_token.reveal()
        if not re.fullmatch("[!-~]+", token):
            # In a header it would fail only later, in words that quote it.
            problem = f"{self._settings.page_token} has a space, a line break or a letter that no token has"
            raise ConfigError(Problem(problem, "copy page_token again"))
        if self._settings.app_secret is None:
            return token, {}
        key = self._settings.app_secret.reveal().encode()
        proof = hmac.new(key, token.encode(), hashlib.sha256).hexdigest()
        remember(proof)  # with the token it is as good as the secret
        return token, {"appsecret_proof": proof}

    def _read(self, post_id: str) -> dict[str, Any] | None:
        try:
            return self._call("GET", post_id, {"fields": FIELDS})
        except Rejected as refusal:
            if refusal.code != str(BAD_PARAMETER):
                raise
        # The same number says that the post is gone and that app_secret is wrong; then this raises.
        self._call("GET", self._settings.page_id, {"fields": "id"})
        return None

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        message: str | None = None,
        speaker: str | None = None,
    ) -> dict[str, Any]:
        """Facebook's answer to the Page, or to ``speaker``, if it is one without an error."""
        settings = self._settings
        token, proof = (speaker, {}) if speaker else self._credentials

        def authorise(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["Authorization"] = f"Bearer {token}"
            return request

        url = f"{settings.api_url.rstrip('/')}/{settings.version}/{path}"
        query = {**(query or {}), **proof}
        data = None if message is None else {"message": message}
        response = self._session.request(method, url, params=query, data=data, auth=authorise)
        try:
            answer = response.json()
        except (ValueError, RecursionError):
            answer = None
        if 200 <= response.status_code < 300 and isinstance(answer, dict) and "error" not in answer:
            return answer
        if isinstance(answer, dict) and "id" in answer:
            raise Uncertain("Facebook answered with a post and an error at once, so it may be out")
        error = answer.get("error") if isinstance(answer, dict) else None
        refusal = _refusal(response, error if isinstance(error, dict) else {})
        if method == "GET" and isinstance(refusal, Uncertain):
            raise Unavailable("Facebook cannot be read now; nothing was changed", code=refusal.code)
        raise refusal


def _refusal(response: requests.Response, error: Mapping[str, Any]) -> ChannelError:
    """What Facebook's *no* means. Its number says it: throttling, for one, arrives as HTTP 400."""
    from outagecast import transport

    status, headers, words = response.status_code, response.headers, _words(error)
    if not re.fullmatch("[0-9]{1,9}", name := str(error.get("code"))):
        return transport.refusal("Facebook", status, headers, words)
    code, said = int(name), f"Facebook answered error {name}: {words}"
    if code in THROTTLED:
        return Unavailable(said, code=name, retry_after=_wait(headers))
    if code in ACCOUNT:
        return Rejected(said, code=name, hint=HINTS.get(code, HINTS[190]), account=True)
    if code in {DUPLICATE, BAD_PARAMETER}:
        return Rejected(said, code=name, duplicate=code == DUPLICATE)
    if code in TRANSIENT or error.get("is_transient") is True:
        return Uncertain(f"{said}; it may be out", code=name)
    return transport.refusal("Facebook", status, headers, words, code=name)


def _words(error: Mapping[str, Any]) -> str:
    trace = error.get("fbtrace_id")
    words = clean(error.get("message") or "", most=200)
    return f"{words} (fbtrace_id {clean(trace, most=40)})" if trace else words


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, as the header that counts in minutes says, or as ``Retry-After`` does."""
    from outagecast import transport

    try:
        usage = json.loads(headers.get("X-Business-Use-Case-Usage", "{}"))
        minutes = max(float(use.get("estimated_time_to_regain_access", 0)) for uses in usage.values() for use in uses)
    except (ArithmeticError, AttributeError, RecursionError, TypeError, ValueError):
        minutes = 0.0
    return min(minutes * 60, transport.LONGEST_WAIT) if minutes > 0 else transport.retry_after(headers)


def _post_id(receipt: Receipt) -> str:
    if not NODE_ID.fullmatch(receipt.provider_id):
        raise Rejected("the receipt does not name a post on Facebook", hint="a post's id looks like 100_200")
    return receipt.provider_id


def _receipt(post_id: object, permalink: object = None) -> Receipt:
    """The receipt for a post. Raises ValueError where ``post_id`` is the name of none."""
    if not NODE_ID.fullmatch(str(post_id)):
        raise ValueError("the id of a post on Facebook is one number, or two")
    # Facebook puts the token into some addresses that it gives.
    link = permalink if isinstance(permalink, str) and permalink == redact(permalink) else ""
    known = re.fullmatch("https://[!-~]{1,500}", link)
    return Receipt(str(post_id), link if known else f"https://www.facebook.com/{post_id}")
