"""The wall in a real browser: at any width, by day and by night, with no script and no network."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

SMALL, PHONE, DESK, WALL = 320, 360, 1280, 1920  # pixels


def look(browser: Chrome, page: Path, *, width: int = DESK, scheme: str = "light", media: str = "screen") -> None:
    """Open a page as a person with such a screen does."""
    for log in ("browser", "performance"):
        browser.get_log(log)  # what the test before left
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width <= PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    prefers = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": prefers})
    browser.get(page.as_uri())


def fetched(browser: Chrome) -> list[str]:
    """The address of everything that was asked for, from the network or the disk."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [url for url in asked if not url.startswith("data:")]


def violations(browser: Chrome) -> list[str]:
    """What axe-core finds wrong, every rule switched on; the mail's own page inside its frame is not ours."""
    browser.execute_script((files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = browser.execute_async_script(
        "axe.run(document, {iframes: false}).then(result => arguments[0](result.violations))"
    )
    return [f"{one['id']}: {one['help']} {[node['html'] for node in one['nodes']]}" for one in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [SMALL, 768, DESK, WALL])
@pytest.mark.parametrize("name", ["rehearsal", "preview", "tongues"])
def test_it_fits_the_screen_says_nothing_to_the_console_and_fetches_nothing(
    browser: Chrome, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    look(browser, pages[name], width=width, scheme=scheme)

    assert width == browser.execute_script("return document.documentElement.scrollWidth")
    assert [panel.text for panel in browser.find_elements("css selector", "h2") if not panel.is_displayed()] == []
    assert browser.get_log("browser") == []
    assert fetched(browser) == [pages[name].as_uri()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [SMALL, DESK])
@pytest.mark.parametrize("name", ["rehearsal", "preview", "tongues"])
def test_everybody_can_read_it(browser: Chrome, pages: dict[str, Path], name: str, width: int, scheme: str) -> None:
    look(browser, pages[name], width=width, scheme=scheme)

    assert violations(browser) == []


def test_the_check_of_accessibility_would_find_something(browser: Chrome, pages: dict[str, Path]) -> None:
    look(browser, pages["rehearsal"])
    browser.execute_script("document.querySelector('h1').style.color = '#eee'")

    assert [found.partition(":")[0] for found in violations(browser)] == ["color-contrast"]


def test_day_and_night_differ(browser: Chrome, pages: dict[str, Path]) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        look(browser, pages["rehearsal"], scheme=scheme)
        grounds.add(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))

    assert len(grounds) == 2


def test_it_works_with_javascript_switched_off(browser: Chrome, pages: dict[str, Path]) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        look(browser, pages["rehearsal"])
        newest, oldest = browser.find_elements("css selector", "details")
        assert "working again" in newest.text
        assert (newest.get_attribute("open"), oldest.get_attribute("open")) == ("true", None)

        oldest.find_element("css selector", "summary").click()

        assert (newest.get_attribute("open"), oldest.get_attribute("open")) == (None, "true")
        assert oldest.find_element("css selector", "iframe").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("width", [SMALL, PHONE, 414, 600, 768, 1000, DESK, 1440, WALL])
@pytest.mark.parametrize(("name", "count"), [("rehearsal", 2), ("tongues", 3)])
def test_every_mail_is_seen_to_its_last_line(
    browser: Chrome, pages: dict[str, Path], width: int, name: str, count: int
) -> None:
    look(browser, pages[name], width=width)

    mails = browser.find_elements("css selector", "details")
    assert len(mails) == count
    for mail in mails:
        browser.execute_script("arguments[0].open = true", mail)
        frame = mail.find_element("css selector", "iframe")
        height = frame.size["height"]
        browser.switch_to.frame(frame)
        end = browser.execute_script("return document.querySelector('main').getBoundingClientRect().bottom")
        browser.switch_to.default_content()
        assert end <= height <= end + 200  # some air below is all right, a page of it is not


def test_one_language_is_chosen_without_a_script_by_mouse_and_by_keyboard(
    browser: Chrome, pages: dict[str, Path]
) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        look(browser, pages["tongues"])
        views = browser.find_elements("css selector", ".view")
        buttons = browser.find_elements("css selector", ".languages input")
        assert [view.is_displayed() for view in views] == [True, True, True]

        buttons[2].click()
        assert [view.is_displayed() for view in views] == [False, True, False]
        assert "信用卡付款失敗" in views[1].text

        buttons[2].send_keys("\ue014")  # the right arrow
        assert [view.is_displayed() for view in views] == [False, False, True]

        buttons[0].click()
        assert [view.is_displayed() for view in views] == [True, True, True]
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_each_language_is_written_its_own_way(browser: Chrome, pages: dict[str, Path]) -> None:
    look(browser, pages["tongues"])

    for code, direction in (("en", "ltr"), ("zh-Hant", "ltr"), ("ar", "rtl")):
        texts = browser.find_elements("css selector", f"main [lang='{code}']")
        assert {text.value_of_css_property("direction") for text in texts} == {direction}
        assert len(texts) == len(("x", "facebook", "banner", "sms", "subject", "snippet"))


def test_hostile_facts_are_words_and_nothing_else(browser: Chrome, pages: dict[str, Path]) -> None:
    look(browser, pages["preview"])

    assert browser.title.endswith("(PREVIEW)")
    assert 'onerror="alert(1)"' in browser.find_element("tag name", "h1").text
    assert browser.find_elements("css selector", "script, img") == []
    browser.switch_to.frame(browser.find_element("css selector", "iframe"))
    assert browser.find_elements("css selector", "script, img") == []
    browser.switch_to.default_content()


def test_a_template_cannot_run_load_or_lead_anywhere(browser: Chrome, pages: dict[str, Path]) -> None:
    look(browser, pages["forged"])

    banner = browser.find_element("css selector", ".banner")
    assert "Read this here" in banner.text
    assert banner.find_elements("css selector", "a, script, img, form, [onclick]") == []
    frame = browser.find_element("css selector", "iframe")
    browser.switch_to.frame(frame)
    browser.find_element("css selector", "p").click()
    browser.find_element("css selector", "a[target=_top]").click()
    browser.find_element("css selector", "button").click()
    browser.switch_to.default_content()
    assert browser.title == "Example Bank: Cards fail (PREVIEW)"
    assert browser.current_url == pages["forged"].as_uri()
    assert fetched(browser) == [pages["forged"].as_uri()]


def test_a_link_in_the_mail_leads_nowhere(browser: Chrome, pages: dict[str, Path]) -> None:
    look(browser, pages["rehearsal"])
    browser.switch_to.frame(browser.find_element("css selector", "details[open] iframe"))
    browser.find_element("css selector", "a[href^=http]").click()
    words = browser.find_element("tag name", "body").text
    browser.switch_to.default_content()

    assert "Card payments are working again" in words
    assert len(browser.window_handles) == 1
    assert fetched(browser) == [pages["rehearsal"].as_uri()]


def test_on_paper_every_mail_is_open(browser: Chrome, pages: dict[str, Path]) -> None:
    look(browser, pages["rehearsal"], media="print")

    frames = browser.find_elements("css selector", "details iframe")

    assert [browser.execute_script("return arguments[0].checkVisibility()", frame) for frame in frames] == [True, True]
    assert min(frame.size["height"] for frame in frames) > 400
    assert browser.execute_cdp_cmd("Page.printToPDF", {})["data"].startswith("JVBERi0")  # %PDF-
