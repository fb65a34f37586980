"""Whether the links of an announcement open, against servers that do everything a server should not."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from outagecast import linkcheck
from outagecast.linkcheck import WITHIN, Links
from outagecast.model import Variant

if TYPE_CHECKING:
    from tests.conftest import Bank

CERTIFICATE = Path(__file__).parent / "channels/data/loopback.pem"
AUTHORITY = CERTIFICATE.with_name("loopback-authority.pem")
ASKS = {"OUTAGECAST_NO_LINK_CHECK": None}
DOWN = "readers would be sent to a page that is down"


class Page:
    """A server of this machine that gives each connection one answer."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
        self.answer = answer
        self.heard: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self.heard.append(connection.recv(65_536).decode("latin-1"))
            self.talk(connection)

    def talk(self, connection: socket.socket) -> None:
        connection.sendall(self.answer)
        connection.close()

    @property
    def paths(self) -> list[str]:
        return [heard.split(" ")[1] for heard in self.heard]

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()


class Silent(Page):
    """It takes the question and says nothing."""

    def talk(self, connection: socket.socket) -> None:
        pass


class Dribbling(Page):
    """It sends a byte at a time, for ever."""

    def talk(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while True:
            connection.sendall(b"a")
            time.sleep(0.05)


class Endless(Page):
    """A body without an end."""

    def talk(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"a" * 65_536)


class Flooding(Page):
    """A redirect whose headers have no end."""

    def talk(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 302 Found\r\n")
        while True:
            connection.sendall(b"X-Long: " + b"a" * 60_000 + b"\r\n")


class Secure(Page):
    """A page behind TLS, whose certificate is its own."""

    def _one(self, connection: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
            self.heard.append(secure.recv(65_536).decode("latin-1"))
            secure.sendall(self.answer)


Serve = Callable[..., Page]


@pytest.fixture
def serve() -> Iterator[Serve]:
    pages: list[Page] = []

    def start(kind: type[Page] = Page, *given: bytes) -> Page:
        pages.append(kind(*given))
        return pages[-1]

    yield start
    for page in pages:
        page.close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def answer(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()


def variant(**parts: str) -> Variant:
    return Variant("email", "smtp", "en", parts, 1, "a template", (), ())


# -- which links -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("More: https://status.example.com.", ["https://status.example.com"]),
        ("(see https://status.example.com/cards), or call", ["https://status.example.com/cards"]),
        ("https://example.com/wiki/Outage_(2026)", ["https://example.com/wiki/Outage_(2026)"]),
        ("HTTP://Example.com/a?b=1&c=2#d!", ["HTTP://Example.com/a?b=1&c=2#d"]),
        ("“https://example.com/a”, https://example.com/b…", ["https://example.com/a", "https://example.com/b"]),
        ("www.example.com and ana@example.com", []),
        ("https://", []),
    ],
)
def test_a_link_is_told_from_the_sentence_around_it(text: str, found: list[str]) -> None:
    assert linkcheck.public([variant(text=text)]) == found


def test_what_html_leads_to_is_a_link_and_what_it_is_written_in_is_none() -> None:
    html = (
        '<html xmlns="http://www.w3.org/1999/xhtml"><p>Look <a href="https://example.com/?a=1&amp;b=2">here</a>'
        " or https://example.com/b.</p></html>"
    )

    assert linkcheck.public([variant(html=html)]) == ["https://example.com/?a=1&b=2", "https://example.com/b"]


def test_a_link_on_several_channels_is_one() -> None:
    assert linkcheck.public([variant(text="https://example.com"), variant(html="<p>https://example.com</p>")]) == [
        "https://example.com"
    ]


# -- what opens, and what does not -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        *("200 OK", "204 No Content", "304 Not Modified", "401 Unauthorized", "403 Forbidden"),
        *("405 Method Not Allowed", "429 Too Many Requests", "301 Moved without a place"),
    ],
)
def test_a_page_that_answers_is_there(serve: Serve, said: str) -> None:
    assert Links([serve(Page, answer(said)).url]).dead() == []


@pytest.mark.parametrize("said", ["404 Not Found", "410 Gone", "400 Bad", "500 Oops", "503 Down", "599 Odd"])
def test_a_page_that_is_down_or_gone_is_told_with_its_status_alone(serve: Serve, said: str) -> None:
    page = serve(Page, answer(f"{said} \x1b[31m[/x] click https://evil.example"))

    assert Links([page.url]).dead() == [f"{page.url} does not open (HTTP {said[:3]}): {DOWN}"]


def test_a_page_is_asked_for_once_with_our_name_and_nothing_else(serve: Serve) -> None:
    page = serve(Page, answer("200 OK", "Set-Cookie: who=ana"))

    assert Links([f"{page.url}/cards?a=1#part"]).dead() == []

    assert len(page.heard) == 1
    first, *headers = page.heard[0].split("\r\n")
    assert first == "GET /cards?a=1 HTTP/1.1"
    assert sorted(header.partition(":")[0].lower() for header in headers if header) == [
        *("accept", "accept-encoding", "connection", "host", "user-agent")
    ]
    assert "User-Agent: outagecast/" in page.heard[0]


def test_a_redirect_is_followed_to_its_end(serve: Serve) -> None:
    end = serve(Page, answer("404 Not Found"))
    page = serve(Page, answer("301 Moved", f"Location: {end.url}/süß"))

    assert Links([page.url]).dead() == [f"{page.url} does not open (HTTP 404): {DOWN}"]
    assert end.paths == ["/s%C3%BC%C3%9F"]


def test_a_redirect_without_a_host_stays_on_the_page(serve: Serve) -> None:
    page = serve(Page, answer("302 Found", "Location: ../b"))

    assert "it leads from page to page without an end" in Links([f"{page.url}/a/a"]).dead()[0]
    assert page.paths == ["/a/a", "/b", "/b", "/b", "/b", "/b"]


@pytest.mark.parametrize("place", ["itms-apps://example.com/bank", "intent://bank#Intent;end"])
def test_a_redirect_into_an_app_opens(serve: Serve, place: str) -> None:
    assert Links([serve(Page, answer("302 Found", f"Location: {place}")).url]).dead() == []


@pytest.mark.parametrize("place", ["http://[::1", "http:///", "http://a\x00b/", "http://x:99999/", "https://\ud7ff.."])
def test_a_redirect_to_no_address_at_all_does_not_open(serve: Serve, place: str) -> None:
    page = serve(Page, b"HTTP/1.1 302 Found\r\nLocation: " + place.encode() + b"\r\n\r\n")

    (told,) = Links([page.url]).dead()

    assert told.startswith(f"{page.url} does not open (")
    assert place not in told


@pytest.mark.parametrize(
    ("kind", "given", "why"),
    [
        (Page, b"SSH-2.0-OpenSSH_9.2\r\n", "what answers there is no web server"),
        (Page, b"", "the connection was closed without an answer"),
        (Flooding, b"", "what answers there is no web server"),
    ],
)
def test_what_is_no_page_does_not_open(serve: Serve, kind: type[Page], given: bytes, why: str) -> None:
    page = serve(kind, given)

    assert Links([page.url]).dead() == [f"{page.url} does not open ({why}): {DOWN}"]


def test_a_port_where_nobody_listens_and_a_name_that_nobody_has_do_not_open(serve: Serve) -> None:
    page = serve()
    page.close()

    refused, unknown = Links([page.url, "http://status.invalid"]).dead()

    assert "(Connection refused)" in refused
    assert "(its name cannot be resolved)" in unknown


def test_a_page_that_speaks_no_tls_does_not_open(serve: Serve) -> None:
    page = serve(Page, b"HTTP/1.1 400 Bad Request\r\n\r\n")

    assert "(no secure connection can be made)" in Links([page.url.replace("http:", "https:")]).dead()[0]


def test_a_certificate_that_no_browser_would_take_is_told(serve: Serve) -> None:
    page = serve(Secure)

    (told,) = Links([page.url.replace("http:", "https:")]).dead()

    assert "(its certificate is refused: unable to get local issuer certificate)" in told


def test_a_certificate_that_we_are_told_to_trust_opens(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = serve(Secure)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(AUTHORITY))
    linkcheck._trust.cache_clear()
    try:
        assert Links([f"https://127.0.0.1:{page.port}"]).dead() == []
    finally:
        linkcheck._trust.cache_clear()


def test_a_proxy_is_used_where_one_is_named(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve(Page, answer("503 Down"))
    monkeypatch.setenv("http_proxy", proxy.url)

    assert "(HTTP 503)" in Links(["http://status.invalid/cards"]).dead()[0]
    assert proxy.paths == ["http://status.invalid/cards"]

    assert "(the proxy does not reach it)" in _by_tunnel(proxy, monkeypatch)


def _by_tunnel(proxy: Page, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("https_proxy", proxy.url)
    return Links(["https://status.invalid/cards"]).dead()[0]


# -- in time ---------------------------------------------------------------------------------------------------------


def test_pages_that_keep_us_waiting_take_two_seconds_together(serve: Serve) -> None:
    pages = [serve(kind) for kind in (Silent, Dribbling, Silent, Silent)]
    began = time.monotonic()
    links = Links([page.url for page in pages])

    told = links.dead()

    assert time.monotonic() - began < WITHIN + 0.6
    assert told == [f"{page.url} does not open (no answer within 2 seconds): {DOWN}" for page in pages]


def test_a_body_without_an_end_is_left_unread(serve: Serve) -> None:
    began = time.monotonic()

    assert Links([serve(Endless).url]).dead() == []
    assert time.monotonic() - began < WITHIN / 2


def test_whoever_does_not_wait_is_told_what_is_known(serve: Serve) -> None:
    down = serve(Page, answer("503 Down"))
    links = Links([serve(Silent).url, down.url])
    began = time.monotonic()
    while not (told := links.dead(wait=False)) and time.monotonic() - began < WITHIN / 2:
        time.sleep(0.01)

    assert told == [f"{down.url} does not open (HTTP 503): {DOWN}"]


# -- on the command line ---------------------------------------------------------------------------------------------


def test_a_preview_warns_of_a_dead_link_and_is_else_the_same(bank: Bank, serve: Serve) -> None:
    page = serve(Page, answer("503 Down"))
    bank.config["organisation"]["status_page"] = page.url
    bank.write()
    told = f"{page.url} does not open (HTTP 503): {DOWN}"

    alone, done = bank.run("preview", "incident.yaml"), bank.run("preview", "incident.yaml", env=ASKS)
    whole, found = bank.json("preview", "incident.yaml"), bank.json("announce", "incident.yaml", "--dry-run", env=ASKS)

    assert (done.returncode, alone.stderr) == (0, "")
    assert done.stderr.split() == f"! {told}".split()
    assert found == whole | {"warnings": [told, *whole["warnings"]]}
    assert page.paths == ["/", "/"]


def test_an_isolated_network_is_not_asked(bank: Bank, serve: Serve) -> None:
    page = serve(Page, answer("503 Down"))
    bank.config["organisation"]["status_page"] = page.url
    bank.write()

    bank.run("preview", "incident.yaml", "--no-link-check", env=ASKS)
    bank.run("announce", "incident.yaml", "--yes", "--no-link-check", env=ASKS)

    assert page.heard == []
    assert bank.sent["x"] == 1


def test_a_page_that_hangs_delays_no_unattended_first_word(bank: Bank, serve: Serve) -> None:
    page = serve(Silent)
    bank.config["organisation"]["status_page"] = page.url
    bank.write()

    found = bank.json("announce", "incident.yaml", "--yes", "--channel", "x", "--channel", "banner", env=ASKS)

    (post,) = bank.providers.x.posts
    assert found["warnings"] == [f"{page.url} does not open (no answer within 2 seconds): {DOWN}"]
    assert (found["exit_code"], page.paths) == (0, ["/"])
    assert "does not open" not in post.text


def test_an_unattended_run_is_told_of_it_when_it_has_sent(bank: Bank, serve: Serve) -> None:
    bank.config["organisation"]["status_page"] = serve(Silent).url
    bank.write()

    done = bank.run("announce", "incident.yaml", "--yes", "--channel", "x", "--channel", "banner", env=ASKS)

    assert 0 < done.stderr.index("x: published") < done.stderr.index("does not open")


def test_somebody_who_can_still_stop_is_told_before_the_question(bank: Bank, serve: Serve) -> None:
    page = serve(Page, answer("404 Not Found"))
    bank.config["organisation"]["status_page"] = page.url
    bank.write()

    shown = bank.terminal("announce", "incident.yaml", env={"OUTAGECAST_NO_LINK_CHECK": "0"})
    shown.expect("Type send to publish")
    shown.type("no\n")

    assert shown.wait() == 130
    assert 0 < shown.text.index("does not open (HTTP 404)") < shown.text.index("Type send to publish")
    assert shown.text.count("does not open") == 1


def test_the_wall_says_so_too(bank: Bank, serve: Serve) -> None:
    bank.config["organisation"]["status_page"] = serve(Page, answer("503 Down")).url
    bank.write()

    done = bank.run("preview", "incident.yaml", "--html", "wall.html", env=ASKS)

    assert done.returncode == 0
    assert "does not open (HTTP 503)" in (bank.folder / "wall.html").read_text(encoding="utf-8")


def test_a_preview_that_asks_imports_nothing_that_sends(bank: Bank, serve: Serve) -> None:
    bank.config["organisation"]["status_page"] = serve().url
    bank.write()
    script = (
        "import sys; from outagecast.cli import run; run(['preview', 'incident.yaml']);"
        "print(sorted({'requests', 'urllib3', 'ssl'} & set(sys.modules)), 'http.client' in sys.modules)"
    )
    mine = {name: value for name, value in bank.environment.items() if name not in ASKS}

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=bank.folder, env=mine, capture_output=True, text=True, check=True
    )

    assert done.stdout.endswith("['ssl'] True\n")  # urllib's own import; no trusted certificate was read
