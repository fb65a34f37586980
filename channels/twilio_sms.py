"""Text messages through Twilio: https://www.twilio.com/docs/messaging/api/message-resource.

Twilio knows no idempotency key, so a lost answer is looked up by recipient and text, and else held for a person.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from outagecast.about import about
from outagecast.channel import Carries, Idempotency, Limit, LookUp, OnDoubt, Semantics
from outagecast.errors import ChannelError, ConfigError, Problem, Rejected, Unavailable, Uncertain
from outagecast.measure import sms, sms_fit
from outagecast.model import Delivery, Published, Receipt
from outagecast.secret import Secret, redact
from outagecast.text import folded

if TYPE_CHECKING:
    import requests

# Each segment is billed to each recipient; six are at most 918 characters, and Twilio's own limit is 1600:
# https://www.twilio.com/docs/api/errors/21617
MOST_SEGMENTS, FEW_SEGMENTS = 6, 2
LONGEST_WAIT = 36_000  # seconds in Twilio's queue: https://www.twilio.com/docs/messaging/api/message-resource
FAR_BACK, PAGE = 400, 100  # messages of one recipient that a look-up reads, the newest first, and at a time
CLOCK_SKEW = timedelta(seconds=60)  # between Twilio's clock and ours

# A number, a name of at most 11 (https://www.twilio.com/docs/messaging/api/alphasender-resource) or a short code.
_SENDER = re.compile(r"\+[1-9]\d{1,14}|(?=.*[A-Za-z])[A-Za-z0-9 +_&-]{1,11}|\d{3,8}")
_TRIAL = "Sent from your Twilio trial account - "  # put before the text by Twilio, until the account is upgraded
_SID = re.compile(r"(?:SM|MM)[0-9A-Za-z]{1,64}")  # https://www.twilio.com/docs/messaging/api/message-resource
_NUMBER = re.compile(r"(?:\+|%2B|\b)\d[\d ().-]{4,}\d\b", re.IGNORECASE)

# The meaning of codes: https://www.twilio.com/docs/api/errors, each under its number.
_BUSY = {14107, 20429, 21611}  # 20429: "never processed and is always safe to retry"; 21611: the sender's queue is full
_RECIPIENT = {21211, 21214, 21217, 21265, 21266, 21268, 21408, 21610, 21612, 21614, 21635, 30003, 30004, 30005, 30006}
_CREDENTIALS = {10001, 20003, 20005, 20006, 20008, 20010, 20403, 20404, 30002, 90010}
_SENDERS = {21212, 21267, 21603, 21606, 21607, 21657, 21659, 21660, 21661, 21701, 21702, 21703, 21704, 21705, 21711}
# https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks
_ARRIVED = {"delivered", "read"}
_LOST = {"undelivered": "not delivered", "failed": "not sent", "canceled": "called off at Twilio"}
_REASONS = {
    "30001": "too many waited in the queue",
    "30002": "Twilio has suspended the account",
    "30003": "the phone is off or out of reach",
    "30004": "the carrier or the phone blocks it",
    "30005": "there is no such phone any more",
    "30006": "it is a landline, or its carrier is out of reach",
    "30007": "the carrier took it for spam",
    "30008": "the carrier does not say why",
    "30034": "the sender is not registered with US carriers",
    "30036": "it waited too long and expired",
    "30410": "the carrier did not answer",
}
_KEY_HINT = (
    "check `account_sid` and `api_key` with `api_key_secret` (or `auth_token`); if it was revoked, make a key that may "
    "create and read messages as in docs/channels/twilio_sms.md"
)
_SENDER_HINT = (
    "correct `from` or `messaging_service_sid`: it must be this account's and able to send SMS to that country"
)
_HINTS = (
    dict.fromkeys(_CREDENTIALS, _KEY_HINT)
    | dict.fromkeys(_SENDERS, _SENDER_HINT)
    | {
        21408: "allow the country under Messaging, Settings, Geo permissions in the Twilio console",
        21608: "a trial account texts verified numbers only: upgrade it",
        21610: "they texted STOP; only their own START lets texts through again",
        21611: "use a messaging service with more senders, or lower the channel's `rate`",
    }
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """An API key (least rights) or the account's auth token, and who the text comes from."""

    account_sid: Secret = about("the account's AC…, as a secret such as env:TWILIO_ACCOUNT_SID")
    api_key: Secret | None = about("an API key's SK…, as a secret; or give auth_token", default=None)
    api_key_secret: Secret | None = about("the API key's own secret, with api_key", default=None)
    auth_token: Secret | None = about("the account's, as a secret; or give an API key", default=None)
    from_: str | None = about("a number, a name or a short code; or give messaging_service_sid", default=None)
    messaging_service_sid: str | None = about("the messaging service's MG…; or give from", default=None)
    validity: int = about("seconds a text may wait in Twilio's queue; less if it expires earlier", default=LONGEST_WAIT)
    api_url: str = about("another address, for rehearsals", default="https://api.twilio.com")

    def __post_init__(self) -> None:
        if (self.api_key is None) != (self.api_key_secret is None):
            raise ValueError("api_key and api_key_secret belong together: give both")
        if (self.api_key is None) == (self.auth_token is None):
            raise ValueError("give either api_key with api_key_secret, or auth_token")
        if (self.from_ is None) == (self.messaging_service_sid is None):
            raise ValueError("give either from or messaging_service_sid")
        if self.from_ is not None and not _SENDER.fullmatch(self.from_):
            raise ValueError(
                "from must be a number such as +61400000000, a name of at most 11 letters, or a short code"
            )
        if self.messaging_service_sid is not None and not re.fullmatch(r"MG\w+", self.messaging_service_sid):
            raise ValueError("messaging_service_sid must begin with MG")
        if not 1 <= self.validity <= LONGEST_WAIT:
            raise ValueError(f"validity must be 1 to {LONGEST_WAIT} seconds")
        if not re.fullmatch(r"https?://[^/?#@\s]+(/[!-~]*)?", self.api_url):  # a password has no place in an address
            raise ValueError("api_url must begin with https:// (or http://) and a host")


class TwilioSms:
    """Sends one text to one number, and can look for it."""

    kind: ClassVar[str] = "twilio_sms"
    parts: ClassVar[Mapping[str, Limit]] = {
        "text": Limit(
            MOST_SEGMENTS,
            "segments",
            lambda text: sms(text).segments,
            Carries.ESSENTIALS,
            aim=FEW_SEGMENTS,
            fit=sms_fit,
        )
    }
    addresses: ClassVar[Literal["phone", "email"] | None] = "phone"
    escapes: ClassVar[frozenset[str]] = frozenset()
    semantics: ClassVar[Semantics] = Semantics(
        idempotency=Idempotency.NONE,
        lookup=LookUp.EVENTUAL,
        on_doubt=OnDoubt.HOLD,
        settle=timedelta(minutes=1),
        source="https://www.twilio.com/docs/api/errors/20500",
    )
    imports: ClassVar[tuple[str, ...]] = ("outagecast.transport", "twilio.rest")

    def __init__(self, settings: Settings, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings = settings
        self._now = now

    @staticmethod
    def links() -> tuple[str, ...]:
        """None: banks are told not to text links, so that nobody learns to tap them."""
        return ()

    def check(self) -> None:
        """Whether the credentials may read this account's messages."""
        messages = self._client.messages
        with _readable(Unavailable):
            # Not the account itself: only a main key may read that, https://www.twilio.com/docs/iam/api-keys
            messages.page(page_size=1)

    def send(self, delivery: Delivery) -> Receipt:
        """Hand one text to Twilio, to be dropped from its queue when the delivery expires."""
        validity = self._settings.validity
        if delivery.expires_at is not None:
            left = int((delivery.expires_at - self._now()).total_seconds())
            if left < 1:
                raise Rejected("the text expired before it could be sent", code="expired")
            validity = min(validity, left)
        messages = self._client.messages
        with _readable(Uncertain):
            sent = messages.create(
                to=delivery.target,
                body=delivery.parts["text"],
                from_=self._settings.from_,
                messaging_service_sid=self._settings.messaging_service_sid,
                validity_period=validity,
            )
            if sent.error_code or sent.status in {"failed", "undelivered", "canceled"}:
                raise _refusal(400, {}, {"code": sent.error_code, "message": sent.error_message or sent.status})
            return _receipt(sent.sid)

    def find(self, delivery: Delivery) -> Receipt | None:
        """The receipt of a text with these words to this number since the first attempt.

        One that failed later counts too: it shows that Twilio took our request. Those still queued have no date of
        sending, so none is asked for.
        """
        since = (delivery.attempted_at or delivery.opened_at) - CLOCK_SKEW
        words = _canonical(delivery.parts["text"])
        messages = self._client.messages
        with _readable(Unavailable):
            page = messages.page(delivery.target, self._settings.from_, page_size=PAGE)
            for left in reversed(range(FAR_BACK // PAGE)):  # an empty page may be followed by another without end
                for message in page:
                    if message.date_created and message.date_created >= since and _canonical(message.body) == words:
                        return _receipt(message.sid)
                page = page.next_page() if left else None
                if page is None:
                    break
        return None

    def read_back(self, delivery: Delivery, receipt: Receipt) -> Published | None:  # noqa: ARG002 - the sid says it all
        """The text as Twilio keeps it, and whether it has reached the phone.

        Never None: a record that was deleted at Twilio does not take the text off the phone.
        """
        if not re.fullmatch(r"\w{1,66}", receipt.provider_id, re.ASCII):
            raise Rejected("the receipt names no message of Twilio's, so it cannot be read back")
        messages = self._client.messages
        try:
            with _readable(Unavailable):
                message = messages(receipt.provider_id).fetch()
        except Rejected as error:
            if error.code in {"20404", "HTTP 404"}:
                raise Rejected("Twilio has no record of this text, so it cannot be read back") from None
            raise
        body, status = message.body, str(message.status)
        if status in _LOST:
            code = str(message.error_code or "")
            code = code if re.fullmatch("[0-9]{1,9}", code) else ""
            why = _REASONS.get(code, "Twilio gives no reason" if not code else "see Twilio's page on the error")
            return Published({}, lost=f"{_LOST[status]}: {why}{f' (error {code})' if code else ''}", code=code)
        if body and not isinstance(body, str):
            raise Unavailable("Twilio's answer holds no text")
        if not body:
            # https://www.twilio.com/docs/messaging/guides/privacy-message-redaction
            raise Rejected("Twilio keeps no texts of this account (message redaction), so it cannot be read back")
        return Published({"text": body}, is_final=status in _ARRIVED)

    def close(self) -> None:
        """Let go of the connections."""
        if "_http" in self.__dict__:
            self._http.session.close()

    @cached_property
    def _http(self) -> _Http:
        from outagecast import transport

        return _Http(transport.Session(keep_alive=True))

    @cached_property
    def _client(self) -> Any:
        from twilio.rest import Client

        account = self._settings.account_sid.reveal()
        if not re.fullmatch(r"[\w-]+", account):  # it becomes part of every address
            raise ConfigError(Problem(f"{self._settings.account_sid} is no account SID", "it begins with AC"))
        user = self._settings.api_key or self._settings.account_sid
        password = self._settings.api_key_secret or self._settings.auth_token
        client = Client(
            user.reveal(),
            password.reveal() if password else None,
            account,
            http_client=self._http,
            environment={"TWILIO_EDGE": ""},  # in the true environment, edge and region would change `api_url`'s host
        )
        client.api.base_url = self._settings.api_url
        return client


class _Http:
    """The SDK's way out, with our deadline; refusals are judged here, since its errors lose headers and codes."""

    is_async = False

    def __init__(self, session: requests.Session) -> None:
        self.session = session

    def request(self, method: str, url: str, *, auth: tuple[str, str], **kwargs: Any) -> Any:
        from requests.auth import HTTPBasicAuth
        from twilio.http.response import Response

        kwargs = {name: kwargs.get(name) for name in ("params", "data", "headers")}
        user, password = (part.encode() for part in auth)  # `requests` could not send text outside Latin-1
        answer = self.session.request(method, url, auth=HTTPBasicAuth(user, password), **kwargs)
        text = answer.content.decode("utf-8", "replace")  # without a charset `requests` would guess one
        if not 200 <= answer.status_code < 300:
            error = _refusal(answer.status_code, answer.headers, _object(text))
            if method == "GET" and isinstance(error, Uncertain):
                raise Unavailable(f"Twilio cannot be asked now: it answered {error.code}", code=error.code)
            raise error
        return Response(answer.status_code, text, answer.headers)


def _refusal(status: int, headers: Mapping[str, str], said: Mapping[str, Any]) -> ChannelError:
    """What Twilio's *no* means: by its code where we know it, else by the status."""
    from outagecast import transport

    code = int(said["code"]) if re.fullmatch("[0-9]{1,9}", str(said.get("code"))) else 0
    # Twilio repeats the number in its sentence, and a customer's number has no place in a log.
    words = _NUMBER.sub("…", redact(str(said.get("message") or said.get("detail") or said.get("title") or "")))
    if 400 <= status < 500 and code in _BUSY:
        status = 429
    hint = _HINTS.get(code, _KEY_HINT if status in {401, 403} else "")
    error = transport.refusal("Twilio", status, headers, words, code=str(code or ""), hint=hint)
    if isinstance(error, Rejected):
        error.recipient = code in _RECIPIENT
        error.account = not error.recipient and (error.account or code in _CREDENTIALS or code in _SENDERS)
    return error


def _receipt(sid: object) -> Receipt:
    if not (isinstance(sid, str) and _SID.fullmatch(sid)):
        raise ValueError("the name of a message of Twilio's is letters and digits")
    return Receipt(sid)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


@contextmanager
def _readable(error: type[ChannelError]) -> Iterator[None]:
    """An answer that the SDK cannot make sense of proves nothing, neither for the text nor against it."""
    from twilio.base.exceptions import TwilioException

    try:
        yield
    except (TwilioException, ValueError, TypeError, AttributeError, KeyError, RecursionError) as unread:
        doubt = "; the text may be out" if error is Uncertain else ""
        raise error(f"Twilio's answer cannot be read ({type(unread).__name__}){doubt}") from None


def _canonical(text: str | None) -> str:
    """The words alone: composed the same way, every run of spaces one, and without what a trial account puts before."""
    return folded((text or "").removeprefix(_TRIAL))
