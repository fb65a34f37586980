"""A real browser, and the two pages it looks at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
import yaml

from outagecast import wall
from outagecast.model import Status
from tests import tongues

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# The profile is new, and nothing is asked of the browser's maker.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--disable-dev-shm-usage"),
)
HOSTILE = '"></iframe><script>document.title="owned"</script><img src=x onerror="alert(1)"></p></style></main>'

FORGED = f"""<p onclick="alert(1)">Read this <a href="https://example.com">here</a>. {HOSTILE}
<script>parent.document.title = "owned"; document.title = "owned"</script><img src="https://example.com/x.png">
<form action="https://example.com"><button>Go</button></form><a target="_top" href="https://example.com/top">Up</a>"""


def _found(*names: str) -> str:
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        missing = f"there is no {names[0]} on this machine: apt-get install chromium chromium-driver"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return path


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Chromium without a screen; it notes what the console says and what is fetched."""
    program, driver = _found("chromium", "chromium-browser", "google-chrome"), _found("chromedriver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The demo's wall, that of a preview whose every fact attacks it, one that a template attacks, one of languages."""
    folder = tmp_path_factory.mktemp("walls")
    mine = {name: value for name, value in os.environ.items() if not name.startswith("OUTAGECAST_")}
    mine["OUTAGECAST_NO_LINK_CHECK"] = "1"

    def run(*arguments: str) -> None:
        command = [sys.executable, "-m", "outagecast", *arguments]
        done = subprocess.run(
            command, cwd=folder, env=mine, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run("demo", "--yes", "--folder", "demo")
    hostile = {
        "incident": "hostile",
        "status": "investigating",
        "impact": "major",
        "title": f"Cards {HOSTILE}",
        "summary": f"Cards fail. {HOSTILE}.",
        "started_at": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()),
        "apology": f"Sorry. {HOSTILE}.",
    }
    (folder / "hostile.yaml").write_text(yaml.safe_dump(hostile), encoding="utf-8")
    run("--config", "demo/outagecast.yaml", "preview", "hostile.yaml", "--html", "hostile.html")
    _write_tongues(folder)
    run("--config", "tongues.yaml", "preview", "cards.yaml", "--html", "tongues.html")
    (folder / "forged.html").write_text(wall.page(_forged()), encoding="utf-8")
    return {
        "rehearsal": folder / "demo" / "wall.html",
        "preview": folder / "hostile.html",
        "forged": folder / "forged.html",
        "tongues": folder / "tongues.html",
    }


def _write_tongues(folder: Path) -> None:
    """A bank that says on every channel, in English, Chinese and Arabic, that cards fail."""
    settings = yaml.safe_load((folder / "demo" / "outagecast.yaml").read_text(encoding="utf-8"))
    settings["organisation"]["languages"] = list(tongues.LANGUAGES)
    settings["templates"] = "words"
    for channel in settings["channels"].values():
        channel["languages"] = list(tongues.LANGUAGES)
    people = [
        f"+6149157015{number},someone{number}@example.com,{code}" for number, code in enumerate(tongues.LANGUAGES)
    ]
    (folder / "people.csv").write_text("\n".join(["phone,email,language", *people]), encoding="utf-8")
    settings["audiences"] = {name: {"file": "people.csv"} for name in settings["audiences"]}
    facts = {
        "incident": "cards",
        "status": "investigating",
        "impact": "major",
        "title": "Card payments are failing",
        "summary": "Our debit and credit cards are being declined in shops and online.",
        "components": {"Card payments": "major_outage"},
        "started_at": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()),
        "apology": "We're sorry.",
        "translations": tongues.TRANSLATIONS,
    }
    for name, data in (("tongues.yaml", settings), ("cards.yaml", facts)):
        (folder / name).write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    tongues.write_templates(folder / "words")


def _forged() -> wall.Wall:
    """What a template of the user's own might do to it."""
    mail = wall.Mail("a@example.com", "Cards", "Read this", FORGED)
    return wall.Wall(
        stamp=wall.Stamp.PREVIEW,
        organisation="Example Bank",
        language="en",
        zone=ZoneInfo("Australia/Sydney"),
        incident="forged",
        title="Cards fail",
        update=1,
        status=Status.INVESTIGATING,
        impact=None,
        at=datetime.now(UTC),
        views=(wall.View("en", inboxes=(wall.Inbox(1, (mail,)),), sites=(wall.Site((wall.Banner(FORGED),)),)),),
    )
