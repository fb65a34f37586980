"""A stand-in of the Graph API for one Page, after https://developers.facebook.com/docs/pages-api/posts.

Errors are shaped as https://developers.facebook.com/docs/graph-api/guides/error-handling has them: almost all are
HTTP 400, throttling too, and ``error.code`` tells them apart.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from outagecast.rehearsal.server import Fault, Reply, Request, StandIn

LONGEST = 63_206  # characters of a post
POST_FIELDS = "created_time,message,id"  # of a post, when none are asked for
APP_ID = "200"
REGAIN = 3  # minutes, as the throttling header says


@dataclass(frozen=True, slots=True)
class FacebookPost:
    """A post of the Page; ``scheduled_at`` is set while the public does not see it."""

    id: str
    text: str
    link: str | None
    created_at: datetime
    updated_at: datetime
    scheduled_at: datetime | None = None

    def as_json(self, fields: str) -> dict[str, Any]:
        """The fields of it that are asked for; the Graph API leaves out those without a value."""
        page, _, number = self.id.partition("_")
        known = {
            "id": self.id,
            "message": self.text or None,
            "created_time": f"{self.created_at:%Y-%m-%dT%H:%M:%S}+0000",
            "updated_time": f"{self.updated_at:%Y-%m-%dT%H:%M:%S}+0000",
            "permalink_url": f"https://www.facebook.com/{page}/posts/{number}",
            "is_published": self.scheduled_at is None,
            "scheduled_publish_time": int(self.scheduled_at.timestamp()) if self.scheduled_at else None,
            "from": {"id": page, "name": "Example Bank"},
        }
        wanted = ["id", *fields.split(",")]
        return {name: known[name] for name in wanted if known.get(name) is not None}


class FacebookStandIn(StandIn):
    """The Graph API for one Page. It checks the token, and the proof where it is told the app's secret."""

    routes = (
        ("POST", r"(?:/v\d+\.\d)?/(?P<page>\d+|me)/feed", "publish"),
        ("GET", r"(?:/v\d+\.\d)?/(?P<page>\d+|me)/(?P<edge>published_posts|scheduled_posts|feed)", "posts_of"),
        ("GET", r"(?:/v\d+\.\d)?/app", "app"),
        ("GET", r"(?:/v\d+\.\d)?/debug_token", "debug"),
        ("GET", r"(?:/v\d+\.\d)?/(?P<name>[\d_]+|me)", "look_up"),
        ("POST", r"(?:/v\d+\.\d)?/(?P<name>\d+_\d+)", "edit"),
        ("DELETE", r"(?:/v\d+\.\d)?/(?P<name>\d+_\d+)", "delete"),
    )

    def __init__(self, page_id: str = "100", *, page_token: str | None = None, app_secret: str | None = None) -> None:
        super().__init__()
        self.page_id = page_id
        self._token = page_token
        self._app_secret = app_secret
        self.token_expires_at: datetime | None = None
        self.scopes = ["pages_show_list", "pages_read_engagement", "pages_manage_posts"]
        self._posts: dict[str, FacebookPost] = {}
        self._made = 0

    @property
    def posts(self) -> tuple[FacebookPost, ...]:
        """What the Page shows, oldest first; scheduled posts are not among them."""
        with self._lock:
            return tuple(post for post in self._posts.values() if post.scheduled_at is None)

    def refuse(self, request: Request) -> Reply | None:
        given = _parameters(request)
        scheme, _, token = request.authorization.partition(" ")
        token = token if scheme in {"Bearer", "OAuth"} else given.get("access_token", "")
        if not token:
            return _error(104, "An access token is required to request this resource.", "OAuthException")
        if request.path.endswith("/debug_token"):  # the app itself asks here, and needs no proof
            own = f"{APP_ID}|{self._app_secret}"
            return None if hmac.compare_digest(token.encode(), own.encode()) else self.failure("unauthorized", request)
        if self._token is not None and not hmac.compare_digest(token.encode(), self._token.encode()):
            return self.failure("unauthorized", request)
        if self._app_secret is not None:
            proof = hmac.new(self._app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()
            if "appsecret_proof" not in given:
                return _error(100, "API calls from the server require an appsecret_proof argument")
            if not hmac.compare_digest(given["appsecret_proof"].encode(), proof.encode()):
                return _error(100, "Invalid appsecret_proof provided in the API argument")
        return None

    def failure(self, fault: Fault, request: Request) -> Reply:
        if fault == "rate_limited":
            usage = {"type": "pages", "call_count": 100, "total_cputime": 25, "total_time": 25}
            usage["estimated_time_to_regain_access"] = REGAIN
            headers = {
                "X-App-Usage": json.dumps({"call_count": 100, "total_cputime": 25, "total_time": 25}),
                "X-Business-Use-Case-Usage": json.dumps({self.page_id: [usage]}),
            }
            return replace(_error(32, "(#32) Page request limit reached", "OAuthException"), headers=headers)
        if fault == "unauthorized":
            return _error(190, "Error validating access token", "OAuthException", error_subcode=460)
        if fault == "duplicate":
            words = "This status update is identical to the last one you posted."
            return _error(506, "(#506) Duplicate status message", "OAuthException", error_user_msg=words)
        # The same answer has come for posts that were made: https://github.com/arsduo/koala/issues/699
        return _error(2, "An unexpected error has occurred. Please retry your request later.", "OAuthException", 500)

    def not_found(self, request: Request) -> Reply:
        words = (
            f"Unsupported {request.method.lower()} request. Object with ID '{request.path.rpartition('/')[2]}' does not"
        )
        return _error(100, f"{words} exist, cannot be loaded due to missing permissions", error_subcode=33)

    def publish(self, request: Request, page: str) -> Reply:
        """A new post, at once or scheduled; an identical repeat of the newest is refused."""
        if page not in {"me", self.page_id}:
            return self.not_found(request)
        given = _parameters(request)
        text, link = given.get("message", ""), given.get("link")
        if not text.strip() and not link:
            return _error(100, "(#100) You must provide a message or a link", "OAuthException")
        if len(text) > LONGEST:
            return _error(100, "(#100) Param message is too long", "OAuthException")
        now = datetime.now(UTC)
        scheduled: datetime | None = None
        if given.get("published", "true").lower() == "false" and "scheduled_publish_time" in given:
            scheduled = datetime.fromtimestamp(int(given["scheduled_publish_time"]), UTC)
            if scheduled < now + timedelta(minutes=10):
                return _error(100, "(#100) The specified scheduled publish time is invalid.", "OAuthException")
        if self.posts and (self.posts[-1].text, self.posts[-1].link) == (text, link):
            return self.failure("duplicate", request)
        self._made += 1
        post = FacebookPost(f"{self.page_id}_{122_000_000_000 + self._made}", text, link, now, now, scheduled)
        self._posts[post.id] = post
        return Reply(200, {"id": post.id})

    def posts_of(self, request: Request, page: str, edge: str) -> Reply:
        """The Page's posts, newest first, as an edge lists them."""
        if page not in {"me", self.page_id}:
            return self.not_found(request)
        query = request.query
        most, first = min(int(query.get("limit", "25")), 100), int(query.get("after", "0"))
        found = [
            post
            for post in reversed(self._posts.values())
            if (post.scheduled_at is not None) == (edge == "scheduled_posts")
            and int(query.get("since", "0")) <= int(post.created_at.timestamp()) <= int(query.get("until", 1 << 40))
        ]
        shown = found[first : first + most]
        body: dict[str, Any] = {"data": [post.as_json(query.get("fields", POST_FIELDS)) for post in shown]}
        if shown:
            body["paging"] = {"cursors": {"before": str(first), "after": str(first + len(shown))}}
        if first + most < len(found):
            body["paging"]["next"] = f"{self.url}{request.path}?after={first + most}&limit={most}"
        return Reply(200, body)

    def look_up(self, request: Request, name: str) -> Reply:
        """The Page itself, or one of its posts."""
        if name in {"me", self.page_id}:
            known = {"id": self.page_id, "name": "Example Bank", "link": f"https://www.facebook.com/{self.page_id}"}
            wanted = request.query.get("fields", "id,name").split(",")
            return Reply(200, {key: value for key, value in known.items() if key in {"id", *wanted}})
        if name not in self._posts:
            return self.not_found(request)
        return Reply(200, self._posts[name].as_json(request.query.get("fields", POST_FIELDS)))

    def app(self, request: Request) -> Reply:
        """The app that the token belongs to."""
        return Reply(200, {"id": APP_ID})

    def debug(self, request: Request) -> Reply:
        """What a token is good for: https://developers.facebook.com/docs/graph-api/reference/debug_token."""
        given = request.query.get("input_token", "")
        valid = self._token is None or hmac.compare_digest(given.encode(), self._token.encode())
        ends = int(self.token_expires_at.timestamp()) if self.token_expires_at else 0
        known = {"app_id": APP_ID, "type": "PAGE", "is_valid": valid, "expires_at": ends, "data_access_expires_at": 0}
        return Reply(200, {"data": {**known, "scopes": self.scopes}})

    def edit(self, request: Request, name: str) -> Reply:
        """New words in an old post."""
        if name not in self._posts:
            return self.not_found(request)
        text = _parameters(request).get("message", "")
        self._posts[name] = replace(self._posts[name], text=text, updated_at=datetime.now(UTC))
        return Reply(200, {"success": True})

    def delete(self, request: Request, name: str) -> Reply:
        """Take a post down."""
        return Reply(200, {"success": True}) if self._posts.pop(name, None) else self.not_found(request)


def _parameters(request: Request) -> dict[str, str]:
    document = request.json if isinstance(request.json, dict) else {}
    return {**request.query, **request.form, **{name: str(value) for name, value in document.items()}}


def _error(code: int, message: str, kind: str = "GraphMethodException", status: int = 400, **more: Any) -> Reply:
    error = {"message": message, "type": kind, "code": code, "is_transient": status >= 500, **more}
    return Reply(status, {"error": {**error, "fbtrace_id": "AbCdEfGhIjKlMnOpQrStUvW"}})
