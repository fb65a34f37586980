"""A stand-in of Twilio's messages, after https://www.twilio.com/docs/messaging/api/message-resource."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import islice
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from outagecast.rehearsal.server import Fault, Reply, Request, StandIn

LONGEST = 1600  # characters
LONGEST_VALIDITY = 36_000  # seconds
SENDER = re.compile(r"\+[1-9]\d{6,14}|\d{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}")  # a number, a short code, a name
NOTHING_LOST: Mapping[str, int] = MappingProxyType({})
ACCOUNT = r"/2010-04-01/Accounts/(?P<account>[^/.]+)"


@dataclass(frozen=True, slots=True)
class TwilioMessage:
    """One SMS as Twilio holds it; ``date_sent`` is None until it left, as are segments with a Messaging Service."""

    id: str
    to: str
    text: str
    sender: str | None
    service: str | None
    created_at: datetime
    status: str
    segments: int
    sent_at: datetime | None = None
    error_code: int | None = None  # why a carrier did not deliver it

    def as_json(self, account: str) -> dict[str, Any]:
        """The message resource: numbers as strings, dates as RFC 2822, no price until it is billed."""
        made, sent = format_datetime(self.created_at), self.sent_at and format_datetime(self.sent_at)
        path = f"/2010-04-01/Accounts/{account}/Messages/{self.id}"
        nothing = dict.fromkeys(("error_message", "price", "price_unit"))
        return nothing | {
            "sid": self.id,
            "account_sid": account,
            "api_version": "2010-04-01",
            "body": self.text,
            "to": self.to,
            "from": self.sender,
            "messaging_service_sid": self.service,
            "status": self.status,
            "error_code": self.error_code,
            "direction": "outbound-api",
            "num_segments": str(self.segments),
            "num_media": "0",
            "date_created": made,
            "date_updated": sent or made,
            "date_sent": sent,
            "uri": f"{path}.json",
            "subresource_uris": {"media": f"{path}/Media.json"},
        }


class TwilioStandIn(StandIn):
    """Twilio for one account. It checks the login where it is told the token; ``unsubscribed`` numbers said STOP."""

    routes = (
        ("POST", f"{ACCOUNT}/Messages\\.json", "create"),
        ("GET", f"{ACCOUNT}/Messages\\.json", "list_messages"),
        ("GET", f"{ACCOUNT}/Messages/(?P<sid>SM[0-9a-f]{{32}})\\.json", "fetch"),
        ("GET", f"{ACCOUNT}\\.json", "fetch_account"),
    )

    def __init__(
        self,
        account_sid: str = "AC" + "0" * 32,
        *,
        auth_token: str | None = None,
        username: str | None = None,  # the API key's SID, where that is used and not the account's
        unsubscribed: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__()
        self.account_sid = account_sid
        self.unsubscribed = unsubscribed
        self._login = (username or account_sid, auth_token)
        self._messages: dict[str, TwilioMessage] = {}

    @property
    def messages(self) -> tuple[TwilioMessage, ...]:
        """What was accepted, oldest first."""
        with self._lock:
            return tuple(self._messages.values())

    def deliver(self, lost: Mapping[str, int] = NOTHING_LOST) -> None:
        """Have the carriers deliver all that was accepted, but what is ``lost``: numbers, each with its error code.

        Statuses, dates and segments become final.
        """
        from outagecast.measure import sms

        with self._lock:
            for sid, message in self._messages.items():
                segments, now = sms(message.text).segments, datetime.now(UTC)
                code = lost.get(message.to)
                status = "undelivered" if code else "delivered"
                self._messages[sid] = replace(message, status=status, sent_at=now, segments=segments, error_code=code)

    def refuse(self, request: Request) -> Reply | None:
        scheme, _, rest = request.authorization.partition(" ")
        user, token = self._login
        try:
            given = base64.b64decode(rest, validate=True)
        except ValueError:
            given = b""
        known = f"{user}:{token}".encode()
        if scheme != "Basic" or (token is not None and not hmac.compare_digest(given, known)):
            return self.failure("unauthorized", request)
        if not request.path.startswith(f"/2010-04-01/Accounts/{self.account_sid}"):
            return self.not_found(request)
        return None

    def failure(self, fault: Fault, request: Request) -> Reply:
        if fault == "rate_limited":
            reply = _error(429, 20429, "Too Many Requests")
            return replace(reply, headers={"Retry-After": "1", "Twilio-Concurrent-Requests": "101"})
        if fault == "unauthorized":
            return _error(401, 20003, "Authenticate")
        if fault == "duplicate":  # Twilio knows none; the nearest it has is that too many wait already
            return _error(429, 21611, "This 'From' number has exceeded the maximum number of queued messages")
        return _error(500, 20500, "An internal server error has occurred")

    def not_found(self, request: Request) -> Reply:
        return _error(404, 20404, f"The requested resource {request.path} was not found")

    def create(self, request: Request, account: str) -> Reply:
        """A new message, or the reason why not."""
        form = request.form
        to, text = form.get("To", ""), form.get("Body", "")
        sender, service = form.get("From"), form.get("MessagingServiceSid")
        validity = form.get("ValidityPeriod", str(LONGEST_VALIDITY))
        if not to:
            return _error(400, 21604, "A 'To' phone number is required.")
        if not text:
            return _error(400, 21602, "Message body is required.")
        if not sender and not service:
            return _error(400, 21603, "A 'From' phone number is required.")
        if sender and not SENDER.fullmatch(sender):
            return _error(400, 21212, f"The 'From' number {sender} is not a valid phone number, shortcode, or name.")
        if service and not re.fullmatch("MG[0-9a-fA-F]{32}", service):
            return _error(400, 21705, "The Messaging Service Sid is invalid")
        if not re.fullmatch(r"\+[1-9]\d{6,14}", to):
            return _error(400, 21211, f"The 'To' number {to} is not a valid phone number.")
        if to in self.unsubscribed:
            return _error(400, 21610, "Attempt to send to unsubscribed recipient")
        if len(text) > LONGEST:
            return _error(400, 21617, "The concatenated message body exceeds the 1600 character limit.")
        if not validity.isdecimal() or not 1 <= int(validity) <= LONGEST_VALIDITY:
            return _error(400, 20001, "Invalid parameter: ValidityPeriod must be between 1 and 36000")
        return Reply(201, self._keep(to, text, sender, service).as_json(self.account_sid))

    def _keep(self, to: str, text: str, sender: str | None, service: str | None) -> TwilioMessage:
        from outagecast.measure import sms

        sid = _sid(len(self._messages) + 1)
        status, segments = ("accepted", 0) if service else ("queued", sms(text).segments)
        self._messages[sid] = TwilioMessage(sid, to, text, sender, service, datetime.now(UTC), status, segments)
        return self._messages[sid]

    def list_messages(self, request: Request, account: str) -> Reply:
        """Messages, newest first, by number and by the day they were *sent*, which a waiting one was not."""
        query = request.query
        size, page = int(query.get("PageSize", "50")), int(query.get("Page", "0"))
        if not 1 <= size <= 1000:
            return _error(400, 20006, "PageSize must be between 1 and 1000")
        last = int(query["PageToken"][2:], 16) if "PageToken" in query else len(self._messages) + 1
        found = (
            message
            for number in range(last - 1, 0, -1)  # newest first, and not all of a million for each page
            if (message := self._messages.get(_sid(number)))
            and query.get("To", message.to) == message.to
            and query.get("From", message.sender or "") == (message.sender or "")
            and _sent_between(message.sent_at, query)
        )
        shown = list(islice(found, size))
        token = f"PA{shown[-1].id[2:]}" if shown and next(found, None) is not None else None
        rest = urlencode({**query, "PageSize": size, "Page": page + 1, "PageToken": token or ""})
        following = f"{request.path}?{rest}" if token else None
        first = f"{request.path}?PageSize={size}&Page=0"
        body: dict[str, Any] = {"page": page, "page_size": size, "start": page * size, "uri": request.path}
        body |= {"end": max(page * size + len(shown) - 1, 0), "messages": [one.as_json(account) for one in shown]}
        body |= {"next_page_uri": following, "previous_page_uri": None, "first_page_uri": first}
        return Reply(200, body)

    def fetch(self, request: Request, account: str, sid: str) -> Reply:
        """One message."""
        return Reply(200, self._messages[sid].as_json(account)) if sid in self._messages else self.not_found(request)

    def fetch_account(self, request: Request, account: str) -> Reply:
        """The account itself."""
        return Reply(200, {"sid": account, "friendly_name": "Example Bank", "status": "active", "type": "Full"})


def _sid(number: int) -> str:
    return f"SM{number:032x}"


def _sent_between(sent: datetime | None, query: Mapping[str, str]) -> bool:
    exact, before, after = (query.get(f"DateSent{sign}", "")[:10] for sign in ("", "<", ">"))
    if not (exact or before or after):
        return True
    day = f"{sent:%Y-%m-%d}" if sent else "9999"
    return sent is not None and day == (exact or day) and after <= day <= (before or day)


def _error(status: int, code: int, message: str) -> Reply:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return Reply(status, {"code": code, "message": message, "more_info": more, "status": status})
