"""The banner on sample sites in a real browser, with the very lines of its docs page: each way to include it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from outagecast.channels.banner import Banner, Settings
from outagecast.model import Delivery, Status
from tests.conftest import Newsroom
from tests.stories import STORIES, told_in

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

DOCS = Path(__file__).parents[2] / "docs" / "banner.md"
pytestmark = pytest.mark.skipif(not DOCS.is_file(), reason="the docs are not installed, only the code is")

SMALL, DESK = 320, 1280  # pixels
POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:"
TRUSTED = f"{POLICY}; require-trusted-types-for 'script'"
WAYS = ("server", "edge", "no script", "fetch", "json")
PAGE = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">
<title>Example Bank</title><link rel="stylesheet" href="/banner.css"></head>
<body>{banner}<main><h1>Example Bank</h1><p>Accounts, cards and loans.</p></main>{scripts}</body></html>
"""

# Calls back once all that the page fetches has come and been used.
FETCHED = """
const [done] = arguments, fetches = document.getElementById("outage") !== null;
const has = () => performance.getEntriesByType("resource").some(entry => entry.initiatorType === "fetch");
const ask = () => !fetches || has() ? setTimeout(done, 50) : setTimeout(ask, 10);
ask();
"""


def block(heading: str, language: str) -> str:
    """The first block of code of the docs page in a language, below a heading."""
    section = DOCS.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)
    return found[0]


class Website(SimpleHTTPRequestHandler):
    """Serves files, under a policy that allows nothing but the site's own."""

    policy = POLICY

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", self.policy)
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Trusted(Website):
    """The same under the strictest policy."""

    policy = TRUSTED


class Site:
    """A bank's website, with the banner in its folder."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder, address
        self.banner = Banner(Settings(path=folder / "outage" / "banner.html", json=folder / "outage" / "banner.json"))
        (folder / "banner.css").write_text(block("How it looks", "css"), encoding="utf-8")
        scripts = {"times": "Let it hide itself", "fetch": "Include it with a script", "json": "The same as JSON"}
        for name, heading in scripts.items():
            (folder / f"{name}.js").write_text(block(heading, "js"), encoding="utf-8")

    def say(self, html: str, language: str = "en", incident: str = "cards") -> None:
        """Send one text."""
        now = datetime.now(UTC)
        parts = {"html": html}
        self.banner.send(Delivery("k", incident, 1, Status.INVESTIGATING, "", language, parts, now))

    def included(self, tag: str) -> str:
        """What stands in the place of the tag, once a server or an edge has put it in."""
        (path,) = re.findall(r'^<(?:!--#include virtual|esi:include src)="/([^"]+)"', tag)
        return Path(self.folder, path).read_text(encoding="utf-8")

    def page(self, way: str, language: str = "en") -> str:
        """The address of a page that includes the banner in one way."""
        place = block("Include it with a script", "html")
        banner, names = {
            "server": (self.included(block("Include it on the server", "html")), ["times"]),
            "edge": (self.included(block("Include it at the edge", "html")), ["times"]),
            "no script": (self.included(block("Include it on the server", "html")), []),
            "fetch": (place, ["fetch", "times"]),
            "json": (place, ["json"]),
        }[way]
        scripts = "".join(f'<script src="/{name}.js"></script>' for name in names)
        page = PAGE.format(language=language, banner=banner, scripts=scripts)
        (self.folder / "index.html").write_text(page, encoding="utf-8")
        return f"{self.address}/index.html"


def serve(folder: Path, handler: type[Website]) -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Site(folder, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield from serve(tmp_path, Website)


@pytest.fixture
def strict_site(tmp_path: Path) -> Iterator[Site]:
    yield from serve(tmp_path, Trusted)


def element(
    words: str = "Cards fail.",
    *,
    severity: str = "major",
    from_: timedelta | None = None,
    until: timedelta | None = None,
) -> str:
    """A banner's element, seen from and until so long from now."""
    times = {"from": from_, "until": until}
    now = datetime.now(UTC)
    seen = "".join(f' data-{name}="{(now + time).isoformat()}"' for name, time in times.items() if time)
    link = '<a href="https://status.example.com">What we know</a>'
    return (
        f'<div class="outagecast-banner outagecast-{severity}" role="alert" lang="en"{seen}><p>{words} {link}</p></div>'
    )


def look(browser: Chrome, address: str, *, width: int = DESK, scheme: str = "light") -> list[str]:
    """Open a page; the words of the banners that are seen, once its scripts have run."""
    browser.get_log("browser")
    metrics = {"width": width, "height": 700, "deviceScaleFactor": 1, "mobile": width <= SMALL}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    prefers = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": prefers})
    browser.get(address)
    browser.execute_async_script(FETCHED)
    shown = browser.find_elements("css selector", ".outagecast-banner")
    return [banner.text for banner in shown if banner.is_displayed()]


def violations(browser: Chrome) -> list[str]:
    """What axe-core finds wrong."""
    browser.execute_script((files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = browser.execute_async_script(
        "axe.run(document).then(result => arguments[0](result.violations))"
    )
    return [f"{one['id']}: {one['help']} {[node['html'] for node in one['nodes']]}" for one in found]


def test_every_way_to_include_it_shows_it_and_says_nothing_to_the_console(browser: Chrome, site: Site) -> None:
    site.say(element(until=timedelta(hours=1)))

    for way in WAYS:
        words = look(browser, site.page(way))

        assert words == ["Cards fail. What we know"], way
        assert browser.get_log("browser") == [], way


def test_with_nothing_wrong_no_way_shows_anything(browser: Chrome, site: Site) -> None:
    site.say("")

    for way in WAYS:
        assert look(browser, site.page(way)) == []
        assert browser.get_log("browser") == []


@pytest.mark.parametrize("way", ["server", "edge", "fetch", "json"])
def test_it_is_seen_only_in_its_time(browser: Chrome, site: Site, way: str) -> None:
    hour = timedelta(hours=1)
    site.say(element("Over.", until=-hour), incident="over")
    site.say(element("Ahead.", from_=hour, until=2 * hour), incident="ahead")
    site.say(element("Now.", from_=-hour, until=hour), incident="now")
    site.say(element("Always."), incident="always")

    words = look(browser, site.page(way))

    assert [said.partition(".")[0] for said in words] == ["Now", "Always"]


def test_it_hides_itself_while_the_page_stays_open(browser: Chrome, site: Site) -> None:
    site.say(element(until=timedelta(hours=1)))
    before = look(browser, site.page("server"))

    browser.execute_script(
        "document.querySelector('.outagecast-banner').dataset.until = '2020-01-01T00:00Z'; heedTimes()"
    )

    assert len(before) == 1
    assert not browser.find_element("css selector", ".outagecast-banner").is_displayed()


def test_a_page_takes_the_text_in_its_own_language_from_the_json(browser: Chrome, site: Site) -> None:
    site.say(element("Cards fail."))
    site.say(element("Cardurile nu merg."), "ro")

    assert look(browser, site.page("json", "ro")) == ["Cardurile nu merg. What we know"]
    assert look(browser, site.page("json", "fr")) == ["Cards fail. What we know"]
    assert browser.find_element("css selector", ".outagecast-banner").get_attribute("lang") == "en"


def test_the_json_works_where_a_policy_forbids_to_write_html(browser: Chrome, strict_site: Site) -> None:
    strict_site.say(element("Cards &lt;b&gt;fail&lt;/b&gt;.", until=timedelta(hours=1)))

    assert look(browser, strict_site.page("json")) == ["Cards <b>fail</b>. What we know"]
    assert browser.get_log("browser") == []


@pytest.fixture
def every_text(newsroom: Newsroom) -> Callable[[str], Iterator[tuple[str, str]]]:
    """A function from a language to shipped texts in it, by their stories."""

    def texts(language: str) -> Iterator[tuple[str, str]]:
        newsroom.settings["organisation"]["languages"] = [language]
        newsroom.settings["channels"]["banner"]["closing"] = "24h"
        for story in ("investigating", "identified", "monitoring", "scheduled", "in_progress", "resolved"):
            now, _, facts = STORIES[story]
            newsroom.now = datetime.fromisoformat(now)
            yield story, newsroom.texts("banner", **told_in(language, facts))["banner.html"]

    return texts


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [SMALL, DESK])
def test_everybody_can_read_every_kind_of_it(
    browser: Chrome,
    site: Site,
    every_text: Callable[[str], Iterator[tuple[str, str]]],
    width: int,
    scheme: str,
) -> None:
    for story, html in every_text("en"):
        site.say(html, "en", story)
    site.say(next(every_text("zh-Hant"))[1], "zh-Hant", "investigating")
    for severity in ("none", "minor", "major", "critical", "maintenance"):
        site.say(element("A long word: " + "donaudampfschifffahrt" * 5, severity=severity), incident=severity)

    look(browser, site.page("no script"), width=width, scheme=scheme)

    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    assert violations(browser) == []
    grounds = {
        banner.value_of_css_property("background-color")
        for banner in browser.find_elements("css selector", ".outagecast-banner")
    }
    assert len(grounds) == len({"none", "minor", "major", "maintenance"})
