"""The outage page in a real browser: at any width, by day and by night, on paper, with and without scripts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from outagecast import page
from outagecast.history import Statement
from outagecast.status_folder import StatusFolder
from tests import evening
from tests.browser.conftest import HOSTILE
from tests.browser.test_wall import DESK, SMALL, fetched, look, violations
from tests.evening import NOW

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PAGES = ("index.html", f"incidents/{NOW}.html", "history/1.html", "zh-Hant/index.html", "ar/index.html")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a bank that speaks three languages, one of them from right to left."""
    folder = StatusFolder(tmp_path_factory.mktemp("site") / "status", evening.URL)
    for delivery in evening.deliveries(("en", "zh-Hant")):
        said = Statement.of(delivery.incident, delivery.update, delivery.language, delivery.parts)
        said = replace(said, data={**said.data, "languages": ["en", "zh-Hant", "ar"]})
        folder.add(said)
        if said.language == "en":
            folder.add(replace(said, language="ar"))
    return folder.path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [SMALL, 414, 768, DESK])
@pytest.mark.parametrize("name", PAGES)
def test_it_fits_the_screen_says_nothing_to_the_console_and_is_one_request(
    browser: Chrome, site: Path, name: str, width: int, scheme: str
) -> None:
    look(browser, site / name, width=width, scheme=scheme)

    assert width == browser.execute_script("return document.documentElement.scrollWidth")
    assert browser.get_log("browser") == []
    assert fetched(browser) == [(site / name).as_uri()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [SMALL, DESK])
@pytest.mark.parametrize("name", PAGES)
def test_everybody_can_read_it(browser: Chrome, site: Path, name: str, width: int, scheme: str) -> None:
    look(browser, site / name, width=width, scheme=scheme)
    browser.execute_script("document.querySelectorAll('details').forEach(one => { one.open = true })")

    assert violations(browser) == []


def test_day_and_night_differ(browser: Chrome, site: Path) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        look(browser, site / "index.html", scheme=scheme)
        grounds.add(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))

    assert len(grounds) == 2


def test_a_language_is_chosen_and_an_earlier_update_opened_without_scripts(browser: Chrome, site: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        look(browser, site / "index.html")
        assert browser.find_element("css selector", "meta[http-equiv=refresh]").get_attribute("content") == "120"
        earlier = browser.find_element("css selector", f"#{NOW}-1")
        assert not earlier.is_displayed()

        browser.find_element("css selector", ".olds summary").click()
        assert earlier.is_displayed()

        browser.find_element("css selector", "a[hreflang=zh-Hant]").click()
        assert browser.current_url == (site / "zh-Hant" / "index.html").as_uri()
        browser.find_element("css selector", "h2 a").click()
        assert browser.current_url == (site / "zh-Hant" / "incidents" / f"{NOW}.html").as_uri()
        browser.find_element("css selector", "a[hreflang=en]").click()
        assert browser.current_url == (site / "incidents" / f"{NOW}.html").as_uri()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_with_scripts_nothing_reloads_the_page_under_a_reader(browser: Chrome, site: Path) -> None:
    look(browser, site / "index.html")

    assert browser.find_elements("css selector", "meta[http-equiv=refresh]") == []


def test_the_keyboard_goes_through_it_as_it_is_read_and_is_seen(browser: Chrome, site: Path) -> None:
    look(browser, site / "index.html")
    places = []
    for _ in range(8):
        browser.switch_to.active_element.send_keys("\ue004")  # tab
        focused = browser.switch_to.active_element
        assert focused.value_of_css_property("outline-style") == "solid"
        places.append(focused.rect["y"] * DESK + focused.rect["x"])

    assert places == sorted(places)


def test_from_right_to_left_the_mark_is_on_the_other_side(browser: Chrome, site: Path) -> None:
    look(browser, site / "ar" / "index.html")
    card = browser.find_element("css selector", ".inc")

    assert browser.find_element("tag name", "html").get_attribute("dir") == "rtl"
    assert card.value_of_css_property("border-right-width") > card.value_of_css_property("border-left-width")


def test_on_paper_every_update_is_open(browser: Chrome, site: Path) -> None:
    look(browser, site / "index.html", media="print")
    articles = browser.find_elements("css selector", "details article")

    assert [browser.execute_script("return arguments[0].checkVisibility()", one) for one in articles] == [True, True]
    assert min(one.size["height"] for one in articles) > 100


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[StatusFolder, str]]:
    """A page on a web server, and its address."""
    folder = StatusFolder(tmp_path / "status")
    folder.add(_said(1))
    with page.served(folder.path, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def _said(number: int, **facts: object) -> Statement:
    said = Statement.of("cards", number, "en", evening.first().parts)
    return replace(said, data={**said.data, **facts})


def test_an_open_page_takes_up_what_is_new_and_keeps_the_readers_place(
    browser: Chrome, live: tuple[StatusFolder, str]
) -> None:
    folder, address = live
    hurry = "const slow = setInterval; window.setInterval = (work, time) => slow(work, time / 1000)"
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": hurry})
    try:
        browser.get(address)
        browser.execute_script("window.mark = 'still here'")
        folder.add(_said(2, title="Card payments are working again"))

        until = time.monotonic() + 10
        while (
            "working again" not in browser.execute_script("return document.body.innerText") and time.monotonic() < until
        ):
            time.sleep(0.05)

        assert browser.find_element("css selector", "h2 a").text == "Card payments are working again"
        assert browser.title == "Card payments are working again · Example Bank"
        assert browser.execute_script("return window.mark") == "still here"
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_hostile_facts_run_nothing(browser: Chrome, tmp_path: Path) -> None:
    folder = StatusFolder(tmp_path / "status")
    folder.add(_said(1, title=f"Cards {HOSTILE}", organisation=HOSTILE, groups={HOSTILE: [HOSTILE]}))

    look(browser, folder.path / "index.html")

    assert browser.title != "owned"
    assert len(browser.find_elements("css selector", "script")) == 1
    assert browser.find_elements("css selector", "img, iframe") == []
    assert browser.find_element("css selector", "h2").text == f"Cards {HOSTILE}"


def test_the_policy_stops_a_script_that_gets_in_all_the_same(browser: Chrome, site: Path, tmp_path: Path) -> None:
    forged = (
        (site / "index.html")
        .read_text(encoding="utf-8")
        .replace(
            "</main>", "<script>document.title = 'owned'</script><p onclick=\"document.title = 'owned'\">x</p></main>"
        )
    )
    (tmp_path / "forged.html").write_text(forged, encoding="utf-8")

    look(browser, tmp_path / "forged.html")
    browser.find_element("css selector", "main > p:last-child").click()

    assert "owned" not in browser.title
