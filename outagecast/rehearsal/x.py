"""A stand-in of X: posts, read-back and refusals as https://docs.x.com/x-api/posts/create-post describes them."""

from __future__ import annotations

import html
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from outagecast.rehearsal.oauth import Secrets, is_signed
from outagecast.rehearsal.server import Fault, Reply, Request, StandIn

# The fields of a new post's body, which takes no other.
FIELDS = {"text", "reply", "media", "poll", "geo", "quote_tweet_id", "reply_settings", "edit_options", "community_id"}
FIELDS |= {"made_with_ai", "paid_partnership", "nullcast", "for_super_followers_only", "share_with_followers"}
FIELDS |= {"direct_message_deep_link", "card_uri"}
PROBLEMS = "https://api.twitter.com/2/problems/"
SNOWFLAKE_EPOCH = 1_288_834_974_657  # ms; an id is its post's time, shifted


@dataclass(frozen=True, slots=True)
class XPost:
    """A post: ``text`` as it was written and as people see it, ``stored`` with X's t.co links in it."""

    id: str
    text: str
    stored: str
    urls: tuple[tuple[str, str], ...]  # (t.co address, the link as written)
    in_reply_to: str | None
    conversation_id: str
    created_at: datetime

    def as_json(self, fields: str = "", author: str = "") -> dict[str, Any]:
        """What the API says of it: id, text and which ``fields`` were asked for besides."""
        known: dict[str, Any] = {
            "created_at": self.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "author_id": author,
            "conversation_id": self.conversation_id,
        }
        if self.urls:
            known["entities"] = {"urls": [self._entity(*url) for url in self.urls]}
        if self.in_reply_to:
            known["in_reply_to_user_id"] = author
            known["referenced_tweets"] = [{"type": "replied_to", "id": self.in_reply_to}]
        # X escapes what HTML would read as markup: https://github.com/dogsheep/twitter-to-sqlite/issues/21
        always = {"id": self.id, "text": html.escape(self.stored, quote=False), "edit_history_tweet_ids": [self.id]}
        return always | {name: known[name] for name in fields.split(",") if name in known}

    def _entity(self, short: str, written: str) -> dict[str, Any]:
        start = self.stored.index(short)
        scheme, _, rest = written.rpartition("://")
        full = f"{scheme or 'http'}://{rest}"
        return {"start": start, "end": start + len(short), "url": short, "expanded_url": full, "display_url": rest[:26]}


class XStandIn(StandIn):
    """X for one account. Given the secrets, it verifies the OAuth 1.0a signature of each request."""

    routes = (
        ("POST", "/2/tweets", "create"),
        ("GET", "/2/users/me", "me"),
        ("GET", r"/2/users/(?P<user>\d{1,19})/tweets", "timeline"),
        ("GET", r"/2/tweets/(?P<post>\d{1,19})", "look_up"),
        ("DELETE", r"/2/tweets/(?P<post>\d{1,19})", "delete"),
    )

    def __init__(self, secrets: Secrets | None = None) -> None:
        super().__init__()
        self._secrets = secrets
        number = secrets.access_token.partition("-")[0] if secrets else ""
        self.user_id = number if number.isdecimal() else "2244994945"  # X begins an access token with it
        self.username = "examplebank"
        self._posts: dict[str, XPost] = {}
        self._made = 0

    @property
    def posts(self) -> tuple[XPost, ...]:
        """What the account shows, oldest first."""
        with self._lock:
            return tuple(self._posts.values())

    def refuse(self, request: Request) -> Reply | None:
        url = self.url + request.path
        if is_signed(self._secrets, request.authorization, request.method, url, request.query):
            return None
        return self.failure("unauthorized", request)

    def failure(self, fault: Fault, request: Request) -> Reply:
        if fault == "rate_limited":
            reset = str(int(time.time()) + 60)
            headers = {"x-rate-limit-limit": "100", "x-rate-limit-remaining": "0", "x-rate-limit-reset": reset}
            return _problem(429, "Too Many Requests", "Too Many Requests", headers)
        if fault == "unauthorized":
            return _problem(401, "Unauthorized", "Unauthorized")
        if fault == "duplicate":  # as logged in https://github.com/akrherz/iembot/issues/163
            return _problem(403, "Forbidden", "You are not allowed to create a Tweet with duplicate content.")
        return _problem(500, "Internal Server Error", "Internal Server Error")

    def not_found(self, request: Request) -> Reply:
        return _problem(404, "Not Found", "Not Found")

    def create(self, request: Request) -> Reply:
        """A new post, or the reason why not, in X's order: shape, length, parent, repetition."""
        from outagecast.measure import X_LIMIT, x_length

        body = request.json
        if not isinstance(body, dict):
            return _invalid("The body is not a JSON object")
        for name in sorted(body.keys() - FIELDS):
            return _invalid(
                f"$.{name}: is not defined in the schema and the schema does not allow additional properties"
            )
        text, reply = body.get("text"), body.get("reply")
        if not isinstance(text, str) or not text.strip():
            return _invalid("$.text: is missing but it is required")
        if x_length(text) > X_LIMIT:  # as logged in https://github.com/gundogan8/FotBot/issues/22
            return _problem(400, "Bad Request", "Your Tweet text is too long.")
        parent = reply.get("in_reply_to_tweet_id", "") if isinstance(reply, dict) else reply
        if parent is not None and not (isinstance(parent, str) and re.fullmatch(r"\d{1,19}", parent)):
            return _invalid("$.reply.in_reply_to_tweet_id: does not match the regex pattern ^[0-9]{1,19}$")
        if parent is not None and parent not in self._posts:
            return _problem(
                403, "Forbidden", "You attempted to reply to a Tweet that is deleted or not visible to you."
            )
        if any(post.text == text for post in self._posts.values()):
            return self.failure("duplicate", request)
        return Reply(201, {"data": self._keep(text, parent).as_json()})

    def _keep(self, text: str, parent: str | None) -> XPost:
        from outagecast.measure_x import code_points, code_units, links

        self._made += 1
        now = datetime.now(UTC)
        made = str(((int(now.timestamp() * 1000) - SNOWFLAKE_EPOCH) << 22) + self._made)
        units = code_units(text)
        stored, position = "", 0
        urls: list[tuple[str, str]] = []
        for start, length in sorted(links(units).items()):
            short = f"https://t.co/{self._made:06}{len(urls):04}"
            urls.append((short, code_points(units[start : start + length])))
            stored += units[position:start] + short
            position = start + length
        stored = code_points(stored + units[position:])
        root = self._posts[parent].conversation_id if parent else made
        self._posts[made] = XPost(made, text, stored, tuple(urls), parent, root, now)
        return self._posts[made]

    def me(self, request: Request) -> Reply:
        """Whose credentials these are."""
        return Reply(200, {"data": {"id": self.user_id, "name": "Example Bank", "username": self.username}})

    def timeline(self, request: Request, user: str) -> Reply:
        """The account's posts, newest first; for an unknown account, a 200 with errors."""
        query = request.query
        most, first = query.get("max_results", "10"), int(query.get("pagination_token", "0"))
        if not most.isdecimal() or not 5 <= int(most) <= 100:
            return _invalid(f"The `max_results` query parameter value [{most}] is not between 5 and 100")
        start = query.get("start_time", "2010-11-06T00:00:00Z")
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", start):
            return _invalid(f"Invalid 'start_time':'{start}': it must be an RFC 3339 time")
        if user != self.user_id:
            return Reply(200, {"errors": [_missing("user", user)]})
        newer = [post for post in reversed(self._posts.values()) if int(post.id) > int(query.get("since_id", "0"))]
        no_replies = "replies" in query.get("exclude", "")
        found = [
            post
            for post in newer
            if post.created_at >= datetime.fromisoformat(start) and not (no_replies and post.in_reply_to)
        ]
        page = found[first : first + int(most)]
        if not page:
            return Reply(200, {"meta": {"result_count": 0}})
        meta: dict[str, Any] = {"result_count": len(page), "newest_id": page[0].id, "oldest_id": page[-1].id}
        if first + len(page) < len(found):
            meta["next_token"] = str(first + len(page))
        data = [post.as_json(query.get("tweet.fields", ""), self.user_id) for post in page]
        return Reply(200, {"data": data, "meta": meta})

    def look_up(self, request: Request, post: str) -> Reply:
        """One post; for an unknown one, a 200 with errors and no data."""
        found, fields = self._posts.get(post), request.query.get("tweet.fields", "")
        body = {"data": found.as_json(fields, self.user_id)} if found else {"errors": [_missing("tweet", post)]}
        return Reply(200, body)

    def delete(self, request: Request, post: str) -> Reply:
        """Take a post down."""
        if self._posts.pop(post, None) is None:
            return Reply(404, {"errors": [_missing("tweet", post)]})
        return Reply(200, {"data": {"deleted": True}})


def _problem(status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, {"detail": detail, "type": "about:blank", "title": title, "status": status}, headers or {})


def _invalid(message: str) -> Reply:
    words = "One or more parameters to your request was invalid."
    body = {"errors": [{"parameters": {}, "message": message}], "title": "Invalid Request", "detail": words}
    return Reply(400, {**body, "type": f"{PROBLEMS}invalid-request"})


def _missing(kind: str, value: str) -> dict[str, str]:
    words = f"Could not find {kind} with id: [{value}]."
    names = {"resource_type": kind, "parameter": "id", "resource_id": value, "value": value}
    return {**names, "detail": words, "title": "Not Found Error", "type": f"{PROBLEMS}resource-not-found"}
