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
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import quote_plus, urlencode

from outagecast.about import about
from outagecast.channel import Carries, Idempotency, Limit, Line, LookUp, OnDoubt, Semantics, Sighting
from outagecast.errors import ChannelError, ConfigError, Problem, Rejected, Unavailable, Uncertain
from outagecast.measure import sms, sms_fit
from outagecast.model import Delivery, Published, Receipt
from outagecast.secret import Secret, redact
from outagecast.text import folded

if TYPE_CHECKING:
    from requests.auth import HTTPBasicAuth

    from outagecast import transport

# Each segment is billed to each recipient; six are at most 918 characters, and Twilio's own limit is 1600:
# https://www.twilio.com/docs/api/errors/21617
MOST_SEGMENTS, FEW_SEGMENTS = 6, 2
LONGEST_WAIT = 36_000  # seconds in Twilio's queue: https://www.twilio.com/docs/messaging/api/message-resource
FAR_BACK, PAGE = 400, 100  # messages of one recipient that a look-up reads, the newest first, and at a time
# Twilio would give 1000 at a time, but that many long ones are more than we read of any answer: transport's limit.
MOST_PAGES, LARGE_PAGE = 20_000, 250  # of a list of all: five million texts
MOST_CONNECTIONS = 500  # more would need more open files than a process may have on many machines
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
# Why nothing is sent to a number again. Not what may pass: a phone that is off (30003), or what is not its owner's
# doing: a country we do not allow (21408), a carrier that Twilio does not reach from our sender (21612).
_SUPPRESS = {21610: "stop"} | dict.fromkeys({21211, 21614, 30005, 30006}, "bounce")
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
    connections: int = about("how many texts are under way at once, at most", default=64)
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
        if not 1 <= self.connections <= MOST_CONNECTIONS:
            raise ValueError(f"connections must be 1 to {MOST_CONNECTIONS}")
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
    imports: ClassVar[tuple[str, ...]] = ("outagecast.transport",)

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
        form, (address, head) = self._form(delivery), self._messages
        answer = self._http.session.request("POST", address, data=form, **head)
        return _judged(answer.status_code, answer.headers, answer.content)

    @property
    def connections(self) -> int:
        """How many texts may be under way at once; where that is more than Twilio allows, it refuses the rest."""
        return self._settings.connections

    def connect(self) -> Line:
        """A connection for many texts, each as ``send`` would hand it over."""
        import requests

        from outagecast.http_conversation import HttpConversation

        address, head = self._messages
        way = self._http.session.connect(requests.Request("POST", address, **head))
        return Line(way.socket, HttpConversation(way, lambda delivery: self._form(delivery).encode(), _judged))

    def _form(self, delivery: Delivery) -> str:
        """The body of the request for one text. Raises Rejected where it has expired."""
        validity = self._settings.validity
        if delivery.expires_at is not None:
            left = int((delivery.expires_at - self._now()).total_seconds())
            if left < 1:
                raise Rejected("the text expired before it could be sent", code="expired")
            validity = min(validity, left)
        words = _words(delivery.parts["text"], self._settings.from_, self._settings.messaging_service_sid)
        return f"To={quote_plus(delivery.target)}&ValidityPeriod={validity}&{words}"

    def find(self, delivery: Delivery) -> Receipt | None:
        """The receipt of a text with these words to this number since the first attempt.

        One that failed later counts too: it shows that Twilio took our request. Those still queued have no date of
        sending, so none is asked for.
        """
        since = (delivery.attempted_at or delivery.opened_at) - CLOCK_SKEW
        words = _canonical(delivery.parts["text"])
        newest = self._list(FAR_BACK // PAGE, to=delivery.target, from_=self._settings.from_, page_size=PAGE)
        with _readable(Unavailable):
            for message in newest:
                if message.date_created and message.date_created >= since and _canonical(message.body) == words:
                    return _receipt(message.sid)
        return None

    def read_many(self, since: datetime, until: datetime) -> Iterator[Sighting]:
        """What Twilio keeps of all that left its queue between these times, the newest first."""
        after, before = (since - CLOCK_SKEW).astimezone(UTC), (until + CLOCK_SKEW).astimezone(UTC)
        for message in self._list(MOST_PAGES, date_sent_after=after, date_sent_before=before, page_size=LARGE_PAGE):
            yield Sighting(str(message.to), str(message.sid), _told(message))

    def _list(self, most: int, **asked: Any) -> Iterator[Any]:
        """Messages, the newest first, on ``most`` pages: an empty one may be followed by another without end."""
        messages = self._client.messages
        with _readable(Unavailable):
            page = messages.page(**asked)
            for left in reversed(range(most)):
                yield from page
                page = page.next_page() if left else None
                if page is None:
                    break

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
        if isinstance(seen := _told(message), Rejected):
            raise seen
        return seen

    def close(self) -> None:
        """Let go of the connections."""
        if "_http" in self.__dict__:
            self._http.session.close()

    @cached_property
    def _http(self) -> _Http:
        from outagecast import transport

        return _Http(transport.Session(keep_alive=True))

    @cached_property
    def _login(self) -> tuple[str, str, str]:
        """The account, and the user and password that sign in to it."""
        account = self._settings.account_sid.reveal()
        if not re.fullmatch(r"[\w-]+", account):  # it becomes part of every address
            raise ConfigError(Problem(f"{self._settings.account_sid} is no account SID", "it begins with AC"))
        user = self._settings.api_key or self._settings.account_sid
        password = self._settings.api_key_secret or self._settings.auth_token
        return account, user.reveal(), password.reveal() if password else ""

    @cached_property
    def _messages(self) -> tuple[str, dict[str, Any]]:
        """Where texts are handed over, and what is said with each."""
        account, user, password = self._login
        head = {"auth": _basic(user, password), "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
        return f"{self._settings.api_url.rstrip('/')}/2010-04-01/Accounts/{account}/Messages.json", head

    @cached_property
    def _client(self) -> Any:
        from twilio.rest import Client

        account, user, password = self._login
        client = Client(
            user,
            password,
            account,
            http_client=self._http,
            environment={"TWILIO_EDGE": ""},  # in the true environment, edge and region would change `api_url`'s host
        )
        client.api.base_url = self._settings.api_url
        return client


class _Http:
    """The SDK's way out, by which we only ask; refusals are judged here, since its errors lose headers and codes."""

    is_async = False

    def __init__(self, session: transport.Session) -> None:
        self.session = session

    def request(self, method: str, url: str, *, auth: tuple[str, str], **kwargs: Any) -> Any:
        from twilio.http.response import Response

        kwargs = {name: kwargs.get(name) for name in ("params", "data", "headers")}
        answer = self.session.request(method, url, auth=_basic(*auth), **kwargs)
        text = answer.content.decode("utf-8", "replace")  # without a charset `requests` would guess one
        if not 200 <= answer.status_code < 300:
            error = _refusal(answer.status_code, answer.headers, _object(text))
            if isinstance(error, Uncertain):  # nothing is published this way
                raise Unavailable(f"Twilio cannot be asked now: it answered {error.code}", code=error.code)
            raise error
        return Response(answer.status_code, text, answer.headers)


def _basic(user: str, password: str) -> HTTPBasicAuth:
    from requests.auth import HTTPBasicAuth

    return HTTPBasicAuth(user.encode(), password.encode())  # `requests` could not send text outside Latin-1


@lru_cache(32)  # the same for everybody who reads a language
def _words(text: str, sender: str | None, service: str | None) -> str:
    """What the requests for a text have in common."""
    return urlencode({"Body": text, **({"From": sender} if sender else {"MessagingServiceSid": service})})


def _judged(status: int, headers: Mapping[str, str], content: bytes) -> Receipt:
    """The receipt that an answer to a text is; else raises what it means."""
    said = _object(content.decode("utf-8", "replace"))
    if not 200 <= status < 300:
        raise _refusal(status, headers, said)
    if said.get("error_code") or said.get("status") in _LOST:
        raise _refusal(400, {}, {"code": said.get("error_code"), "message": said.get("error_message") or "it failed"})
    try:
        return _receipt(said.get("sid"))
    except ValueError:
        raise Uncertain("Twilio's answer cannot be read; the text may be out") from None


def _refusal(status: int, headers: Mapping[str, str], said: Mapping[str, Any]) -> ChannelError:
    """What Twilio's *no* means: by its code where we know it, else by the status."""
    from outagecast import transport

    code = int(said["code"]) if re.fullmatch("[0-9]{1,9}", str(said.get("code"))) else 0
    # Twilio repeats the number in its sentence, and a customer's number has no place in a log.
    words = _NUMBER.sub("…", redact(str(said.get("message") or said.get("detail") or said.get("title") or "")))
    named = str(code or f"HTTP {status}")
    # 408: "did not receive a complete request", as an idle connection's end crosses ours: RFC 9110, 15.5.9
    if status == 408 or (400 <= status < 500 and code in _BUSY):
        status = 429
    hint = _HINTS.get(code, _KEY_HINT if status in {401, 403} else "")
    error = transport.refusal("Twilio", status, headers, words, code=named, hint=hint)
    if isinstance(error, Rejected):
        error.suppress = _SUPPRESS.get(code, "")
        error.recipient = code in _RECIPIENT
        error.account = not error.recipient and (error.account or code in _CREDENTIALS or code in _SENDERS)
    return error


def _told(message: Any) -> Published | Rejected:
    """What Twilio tells of one text."""
    body, status = message.body, str(message.status)
    if status in _LOST:
        code = str(message.error_code or "")
        code = code if re.fullmatch("[0-9]{1,9}", code) else ""
        why = _REASONS.get(code, "Twilio gives no reason" if not code else "see Twilio's page on the error")
        lost = f"{_LOST[status]}: {why}{f' (error {code})' if code else ''}"
        return Published({}, lost=lost, code=code, suppress=_SUPPRESS.get(int(code or 0), ""))
    if body and not isinstance(body, str):
        raise Unavailable("Twilio's answer holds no text")
    if not body:
        # https://www.twilio.com/docs/messaging/guides/privacy-message-redaction
        return Rejected("Twilio keeps no texts of this account (message redaction), so it cannot be read back")
    return Published({"text": body}, is_final=status in _ARRIVED)


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
