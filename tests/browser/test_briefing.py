"""The sheet for those who answer people, on a screen of any width and on paper."""

from __future__ import annotations

import base64
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from outagecast.channels.briefing import Briefing, Settings
from outagecast.model import Delivery, Status
from tests.browser.test_wall import DESK, SMALL, fetched, look, violations
from tests.conftest import BESIDE

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.conftest import Newsroom

BRIEFING = {
    "say": ["Cash machines work."],
    "faq": [{"q": f"Question {number}?", "a": "No. A declined payment takes no money. " * 4} for number in range(40)],
    "escalation": "Duty manager, extension 4410",
}


@pytest.fixture
def sheet(newsroom: Newsroom, tmp_path: Path) -> Path:
    """The page of two incidents; the first fills several sheets of paper."""
    newsroom.settings["channels"] = {"briefing": {"kind": "briefing", **BESIDE["briefing"]}}
    path = tmp_path / "internal" / "briefing.html"
    at = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
    (variant,) = newsroom.variants(briefing=BRIEFING)
    first = Delivery("k", "cards", 1, Status.INVESTIGATING, "", "en", variant.parts, at)
    (variant,) = newsroom.variants(title="The app is slow")
    second = first._replace(incident="app", parts=variant.parts, opened_at=at - timedelta(hours=1))
    for delivery in (second, first):
        Briefing(Settings(path=path)).send(delivery)
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [SMALL, DESK])
def test_it_fits_the_screen_fetches_nothing_and_is_accessible(
    browser: Chrome, sheet: Path, width: int, scheme: str
) -> None:
    look(browser, sheet, width=width, scheme=scheme)

    assert width == browser.execute_script("return document.documentElement.scrollWidth")
    assert [url for url in fetched(browser) if not url.startswith("chrome:")] == [sheet.as_uri()]  # a new tab's own
    assert violations(browser) == []


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs pdftotext, which reads what was printed")
def test_its_number_and_time_stand_on_every_page_of_paper(browser: Chrome, sheet: Path, tmp_path: Path) -> None:
    look(browser, sheet, media="print")
    printed = browser.execute_cdp_cmd("Page.printToPDF", {})["data"]
    (tmp_path / "sheet.pdf").write_bytes(base64.b64decode(printed))
    command = ["pdftotext", str(tmp_path / "sheet.pdf"), "-"]
    pages = subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip("\f").split("\f")

    headings = [" ".join(page.split()).partition(" (Sydney time)")[0] for page in pages]
    when = "Looking for the cause · Sunday 22 November, 6:50pm"
    assert len(headings) > 3
    assert set(headings[:-1]) == {f"Briefing 1 · Card payments are failing · {when}"}
    assert headings[-1] == f"Briefing 1 · The app is slow · {when}"
