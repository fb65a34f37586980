"""The one way out over HTTP: a session with a deadline that tells how far a call got, and what that means.

``requests.ConnectionError`` is raised both when nothing left this machine and when everything did and the answer was
lost. So the connection itself notes the phase, and what that means is decided here, once, for all adapters.
"""

from __future__ import annotations

import email.utils
import http.client
import logging
import re
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from ssl import SSLContext
from typing import Any, NamedTuple

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from outagecast import __version__
from outagecast.call import CONNECT, Call, DeadlineExceeded, Phase, current
from outagecast.errors import ChannelError, Rejected, Unavailable, Uncertain
from outagecast.secret import remember
from outagecast.text import clean

DEADLINE = 20.0  # seconds for a whole call: DNS, TLS, a dribbling answer and all
LONGEST_ANSWER = 1 << 20  # bytes, unpacked; no provider's answer to us comes near it
LONGEST_WAIT = 86_400.0  # seconds; a provider that says to wait longer is not believed
_SIGNATURE = re.compile(r'oauth_signature="([^"]+)"')
SAFE = frozenset({"GET", "HEAD"})  # they only ask: https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1

# At DEBUG and INFO these log tokens, signatures and phone numbers: tweepy its Authorization header, oauthlib the
# access token, twilio the URL of a list with its To=. And urllib3 warns of odd headers with the URL and the server's
# own bytes, which no screen should show.
for _name in ("tweepy", "oauthlib", "requests_oauthlib", "urllib3", "twilio"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

_clocks: dict[str, tuple[float, float]] = {}  # host -> when it last answered, and how far our clock was ahead of its


class _Watched(HTTPConnection):
    """A connection that tells the active call how far it got."""

    _opening = False

    def _new_conn(self) -> socket.socket:
        if call := current():
            call.connecting()
        sock = super()._new_conn()
        if call:
            call.guard(sock)
        return sock

    def connect(self) -> None:
        self._opening = True
        try:
            super().connect()
        finally:
            self._opening = False
        if (call := current()) and self.sock is not None:
            call.guard(self.sock)  # TLS has put a new socket in the place of the first

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if (call := current()) and not self._opening:  # a proxy's CONNECT goes through here and publishes nothing
            if call.phase is Phase.UNKNOWN and self.sock is not None:
                call.guard(self.sock)  # a connection kept alive from an earlier call
            call.sending()
        super().send(data)

    def response_class(self, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:  # type: ignore[override]
        self._answer = http.client.HTTPResponse(*args, **kwargs)
        return self._answer

    def getresponse(self) -> Any:
        try:
            return super().getresponse()
        except urllib3.exceptions.InvalidHeader:
            self._answer.close()  # which urllib3 leaves open
            raise


class _WatchedTLS(_Watched, HTTPSConnection):
    pass


class _WatchedPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Watched


class _WatchedTLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _WatchedTLS


class _OncePool(_WatchedPool):
    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.close()  # its server may close it too without having said so, and the next request be lost on it
        super()._put_conn(conn)


class _OnceTLSPool(_WatchedTLSPool):
    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.close()
        super()._put_conn(conn)


class Way(NamedTuple):
    """An open connection of one's own, and what a request on it begins with."""

    socket: socket.socket
    host: str  # with the port where that is unusual
    target: str  # of the request line
    headers: Mapping[str, str]


class _Adapter(HTTPAdapter):
    def __init__(self, *, keep_alive: bool) -> None:
        self._contexts: dict[tuple[object, object], SSLContext] = {}
        self._context_lock = threading.Lock()
        self._pools = (
            {"http": _WatchedPool, "https": _WatchedTLSPool}
            if keep_alive
            else {"http": _OncePool, "https": _OnceTLSPool}
        )
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def open(self, request: requests.PreparedRequest, timeout: float, settings: Mapping[str, Any]) -> Way:
        """A connection as ``send`` would open it, with nothing said on it yet."""
        verify, cert, proxies = settings["verify"], settings["cert"], settings["proxies"]
        pool: Any = self.get_connection_with_tls_context(request, verify, proxies, cert)
        self.cert_verify(pool, request.url, verify, cert)  # type: ignore[no-untyped-call]
        headers = dict(request.headers)
        if pool.proxy and pool.proxy.scheme == "https":  # TLS within TLS, which urllib3 has no socket for
            hint = "in HTTPS_PROXY, name a proxy that begins with http://; what passes through it is encrypted"
            raise Rejected("a proxy that is itself reached by https carries no bulk", hint=hint, account=True)
        connection = pool._new_conn()
        connection.timeout = timeout
        try:
            if isinstance(connection, HTTPSConnection):
                self._trust(connection)
            if pool.proxy and pool.scheme == "https":
                pool._prepare_proxy(connection)
            else:
                headers |= pool.proxy_headers  # none where there is no proxy
                connection.connect()
            sock, connection.sock = connection.sock, None
        except BaseException:
            connection.close()
            raise
        sock.settimeout(None)
        return Way(sock, _host(request), self.request_url(request, proxies), headers)

    def _trust(self, connection: HTTPSConnection) -> None:
        """Give ``connection`` what it would read for itself: 20 ms for each of hundreds."""
        where = (connection.ca_certs, connection.ca_cert_dir)
        with self._context_lock:
            if where not in self._contexts:
                context = create_urllib3_context()
                context.load_verify_locations(connection.ca_certs, connection.ca_cert_dir)
                self._contexts[where] = context
        connection.ssl_context, connection.ca_certs, connection.ca_cert_dir = self._contexts[where], None, None


class Session(requests.Session):
    """A ``requests`` session that SDKs can be given: one deadline, no redirects, no retries, bounded answers.

    ``rebase`` is (what the SDK has built in, what is configured): the address is changed before the request is signed.
    Raises Unavailable when no byte of the request left or it only asked, Uncertain when any may have left, and Rejected
    when no request can be made of what it was given.
    """

    def __init__(
        self, *, deadline: float = DEADLINE, rebase: tuple[str, str] | None = None, keep_alive: bool = False
    ) -> None:
        super().__init__()
        self.deadline = deadline
        self._rebase = rebase
        self.headers["User-Agent"] = f"outagecast/{__version__}"
        if not keep_alive:
            # A kept connection that the server has just closed loses the request without telling whether it arrived.
            self.headers["Connection"] = "close"
        # A cookie would let one answer change the requests after it.
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        for scheme in ("https://", "http://"):
            self.mount(scheme, _Adapter(keep_alive=keep_alive))

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        if self._rebase and str(url).startswith(self._rebase[0]):
            url = self._rebase[1].rstrip("/") + str(url)[len(self._rebase[0]) :]
        try:
            return super().request(method, url, *args, **kwargs)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # Out of `send` come our own errors only, so it was not reached. The words would quote the URL or a header.
            problem = f"no request can be made ({type(error).__name__}); nothing was sent"
            raise Rejected(problem, hint="check api_url and the credentials", account=True) from None

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: `requests` would read the whole body of a redirect, however long, and stumble over a bad Location."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        kwargs |= {"stream": True, "allow_redirects": False, "timeout": (min(CONNECT, self.deadline), self.deadline)}
        for signature in _SIGNATURE.findall(str(request.headers.get("Authorization", ""))):
            remember(urllib.parse.unquote(signature), is_passing=True)
        call = Call(self.deadline)
        transmit = super().send

        def work() -> requests.Response:
            response = transmit(request, **kwargs)
            _read(response)
            return response

        began = time.time()
        try:
            response = call.run(work)
        except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL):
            raise  # before any connection: `request` says what it means
        except (OSError, ValueError, urllib3.exceptions.HTTPError, DeadlineExceeded) as error:
            # All of requests' own are OSErrors; a header that cannot be written is a ValueError.
            # `from None`: the original's text holds the URL, and URLs can hold tokens.
            raise _judge(error, call, request) from None
        if (ahead := _ahead(response.headers, began, time.time())) is not None:
            _clocks[_host(request)] = (time.monotonic(), ahead)
        return response

    def connect(self, request: requests.Request) -> Way:
        """A connection for many requests such as ``request``: with its proxy, trust and deadline, and no answer read.

        Raises Unavailable, or Rejected for a proxy that cannot be used so; nothing is sent.
        """
        prepared = self.prepare_request(request)
        settings = self.merge_environment_settings(prepared.url, {}, None, None, None)
        adapter: Any = self.get_adapter(prepared.url or "")
        call = Call(self.deadline)

        def work() -> Way:
            way: Way = adapter.open(prepared, min(CONNECT, self.deadline), settings)
            return way

        try:
            return call.run(work)
        except (OSError, ValueError, HTTPException, urllib3.exceptions.HTTPError, DeadlineExceeded) as error:
            raise Unavailable(f"{_reason(error, call, _host(prepared))}; nothing was sent") from None


def clocks(*, since: float) -> dict[str, float]:
    """By how many seconds our clock is ahead of each host that answered after ``since``, by ``time.monotonic``."""
    return {host: ahead for host, (answered, ahead) in _clocks.copy().items() if answered >= since}


def _ahead(headers: Mapping[str, str], began: float, ended: float) -> float | None:
    """Seconds by which our clock is ahead, none where it cannot be told apart; None where no clock was told.

    ``Date`` has full seconds, and was written at some moment between the question and the answer.
    """
    told = _http_date(headers.get("Date", ""))
    if told is None or "Age" in headers:  # the time of a cached answer is not now
        return None
    first = told.timestamp()
    if began > first + 1:
        return began - first - 1
    return min(0.0, ended - first)


def _read(response: requests.Response) -> None:
    """Read the whole body, unpacked, up to ``LONGEST_ANSWER`` bytes."""
    body = bytearray()
    try:
        for chunk in response.iter_content(16_384):
            body += chunk
            if len(body) > LONGEST_ANSWER:
                raise requests.exceptions.ContentDecodingError("the answer is too long")
    finally:
        response.close()
    response._content = bytes(body)  # as `requests` itself does when it reads a body


def _host(request: requests.PreparedRequest) -> str:
    return urllib3.util.parse_url(request.url or "").netloc or "the provider"


def _judge(error: Exception, call: Call, request: requests.PreparedRequest) -> ChannelError:
    """What a failed call means: nothing left this machine, it only asked, or it may be out."""
    reason = _reason(error, call, _host(request))
    if call.phase is Phase.CONNECTING or (call.phase is Phase.UNKNOWN and _never_connected(error)):
        return Unavailable(f"{reason}; nothing was sent")
    if request.method in SAFE:
        return Unavailable(f"{reason}; nothing was changed")
    return Uncertain(f"{reason}; the request had been sent, so it may be out")


def _reason(error: Exception, call: Call, host: str) -> str:
    """What went wrong, in words that hold no URL."""
    if isinstance(error, DeadlineExceeded | requests.exceptions.ReadTimeout):  # one of them notices first
        return f"no answer from {host} within {call.seconds:g} seconds"
    detail = _cause(error)
    return f"{host}: {detail}" if detail else f"the connection to {host} failed ({type(error).__name__})"


def _never_connected(error: BaseException) -> bool:
    """Whether the error's own class says so, for when no connection of ours took part."""
    if isinstance(error, (requests.ConnectTimeout, urllib3.exceptions.NewConnectionError)):
        return True
    inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    return isinstance(inner, BaseException) and _never_connected(inner)


def _cause(error: BaseException) -> str:
    """The operating system's or the TLS library's own words, which hold no URL."""
    seen = 0
    current: BaseException | None = error
    while current is not None and seen < 8:
        if isinstance(current, socket.gaierror):
            return "its name cannot be resolved"
        if isinstance(current, OSError) and current.strerror and not isinstance(current, requests.RequestException):
            return clean(current.strerror)
        inner = getattr(current, "reason", None) or (current.args[0] if current.args else None)
        current = current.__cause__ or current.__context__ or (inner if isinstance(inner, BaseException) else None)
        seen += 1
    return ""


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Seconds to wait as ``Retry-After`` says, in seconds or as a date by the server's own clock; None if unsaid."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        seconds = float(value)
    else:
        then = _http_date(value)
        if then is None:
            return None
        here = _http_date(headers.get("Date", "")) or datetime.fromtimestamp(now(), UTC)
        seconds = (then - here).total_seconds()
    return min(seconds, LONGEST_WAIT) if seconds >= 0 else None


def _http_date(value: str) -> datetime | None:
    try:
        parsed = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def refusal(
    provider: str, status: int, headers: Mapping[str, str], said: object, *, code: str = "", hint: str = ""
) -> ChannelError:
    """What an answer that is not a receipt means, going by its status alone.

    429 was refused before anything was done; 401 and 403 are about the account; any other 4xx is about the request.
    A 5xx, a redirect and a success we cannot read may have been done, so they are doubt.
    """
    code = code or f"HTTP {status}"
    words = f"{provider} answered {code}: {clean(said) or 'no reason given'}"
    if status == 429:
        return Unavailable(words, code=code, hint=hint, retry_after=retry_after(headers))
    if 400 <= status < 500:
        return Rejected(words, code=code, hint=hint, account=status in {401, 402, 403})
    return Uncertain(f"{words}; it may be out", code=code, hint=hint)
