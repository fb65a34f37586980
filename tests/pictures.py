"""Makes the pictures in ``docs/pictures``: ``make pictures``.

The terminal is drawn from what the command prints in a real terminal, the wall is what Chromium shows. All of it goes
to the rehearsal stand-ins. The time stands still, and what differs from machine to machine (folder, port, disk, ids)
is replaced, so that the same words give the same pictures.
"""

from __future__ import annotations

import base64
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from outagecast.rehearsal import Providers

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

ROOT = Path(__file__).parents[1]
COLUMNS = 80
WALL = 1180  # CSS pixels
# The mail is as long as all the rest, and looks like any other.
ABOVE_INBOX = """
const mail = document.querySelector("iframe");
return mail.closest("section").getBoundingClientRect().top;
"""

THEME = TerminalTheme(
    background=(22, 27, 34),
    foreground=(225, 230, 236),
    normal=[
        *((72, 79, 88), (255, 123, 114), (86, 211, 100), (227, 179, 65)),
        *((121, 192, 255), (210, 168, 255), (86, 212, 221), (225, 230, 236)),
    ],
)
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
# Rich's own frame fetches a font from the network, which no page that shows a picture lets it do; and cuts off what
# hangs below the last line.
FRAME = f"""<svg class="rich-terminal" viewBox="0 0 {{width}} {{height}}" xmlns="http://www.w3.org/2000/svg">
<style>
.{{unique_id}}-matrix {{{{ font-family: {FONT}; font-size: {{char_height}}px; line-height: {{line_height}}px; }}}}
.{{unique_id}}-title {{{{ font-family: system-ui, sans-serif; font-size: 17px; font-weight: 600; }}}}
{{styles}}
</style>
{{chrome}}
<g transform="translate({{terminal_x}}, {{terminal_y}})">
{{backgrounds}}
<g class="{{unique_id}}-matrix">
{{matrix}}
</g></g></svg>
"""


@dataclass(frozen=True, slots=True)
class Bank:
    """Example Bank in a folder of its own, on Sunday 22 November 2026 in Sydney."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, line: str, *, at: str, speed: float = 0.02) -> str:
        """What ``outagecast`` prints on a terminal, with its colours, as a person would see it."""
        _, *words = shlex.split(line)
        main, slave = pty.openpty()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("OUTAGECAST_", "NO_COLOR"))}
        clean |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LC_ALL": "C.UTF-8", **self.environment}
        clean["OUTAGECAST_NO_LINK_CHECK"] = "1"  # the bank is made up
        with subprocess.Popen(
            [sys.executable, ROOT / "tests" / "at.py", f"2026-11-22T{at}+11:00", str(speed), *words],
            cwd=self.folder,
            env=clean,
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=subprocess.DEVNULL,
        ):
            os.close(slave)
            printed = b"".join(_read(main))
        os.close(main)
        return self._anonymous(printed.decode().replace("\r\n", "\n"))

    def _anonymous(self, screen: str) -> str:
        """Without what only this run and this machine have."""
        screen = screen.replace(str(self.folder), "/home/ana/status")
        screen = re.sub(r"http://127\.0\.0\.1:\d+", "https://www.example.com", screen)
        screen = re.sub(r"/status/\d+", "/status/1992136612345678901", screen)
        screen = re.sub(r"127\.0\.0\.1:\d+", "api.x.com", screen)  # whose clock check compares ours with
        return re.sub(r"\d+ GiB free", "212 GiB free", screen)


def _read(descriptor: int) -> Iterator[bytes]:
    with suppress(OSError):  # the other end is closed
        while data := os.read(descriptor, 65536):
            yield data


@contextmanager
def bank(providers: Providers) -> Iterator[Bank]:
    """The example of the repo, with the stand-ins as its channels."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = yaml.safe_load((ROOT / "config.example.yaml").read_text(encoding="utf-8"))
        rehearsed = providers.config(folder)
        settings["channels"] = {channel: rehearsed[channel] for channel in settings["channels"]}
        settings["channels"]["sms"]["price"] = "0.0515 AUD"
        (folder / "outagecast.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        shutil.copytree(ROOT / "examples", folder / "examples")
        shutil.copy(ROOT / "examples/card-payments.yaml", folder / "incident.yaml")
        yield Bank(folder, providers.environment)


def draw(path: Path, line: str, screen: str) -> None:
    """A terminal's window with a command and what it printed."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(Text.assemble(("$ ", "bold green"), (line, "bold")))
        console.print(Text.from_ansi(screen.rstrip("\n")), soft_wrap=True)
        svg = console.export_svg(title="outagecast", theme=THEME, code_format=FRAME, unique_id=path.stem)
    svg = re.sub(r' clip-path="[^"]*"', "", svg)
    path.write_text("\n".join(filter(None, map(str.strip, svg.splitlines()))) + "\n", encoding="utf-8")


def terminals(folder: Path) -> None:
    """What an officer sees: before, after, when it goes wrong, and on a quiet day."""
    with Providers() as providers, bank(providers) as example:
        line = "outagecast check"
        draw(folder / "check.svg", line, example.run(line, at="09:00:00"))
        line = "outagecast preview incident.yaml --channel x --channel sms"
        draw(folder / "preview.svg", line, example.run(line, at="18:40:00", speed=0))
        line = "outagecast announce incident.yaml --yes"
        draw(folder / "announce.svg", line, example.run(line, at="18:39:40"))
    with Providers() as providers, bank(providers) as example:
        providers.facebook.behave("error_500")
        example.run("outagecast announce incident.yaml --yes", at="18:39:40")
        line = "outagecast status"
        draw(folder / "trouble.svg", line, example.run(line, at="18:40:10"))


def walls(folder: Path) -> None:
    """What the public would see of the first word, by day and by night."""
    with Providers() as providers, bank(providers) as example, browser(example.folder / "profile") as chrome:
        example.run("outagecast preview incident.yaml --html wall.html", at="18:40:00", speed=0)
        for scheme in ("light", "dark"):
            media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
            chrome.get((example.folder / "wall.html").as_uri())
            height = chrome.execute_script(ABOVE_INBOX)
            size = {"width": WALL, "height": round(height), "deviceScaleFactor": 1, "mobile": False}
            chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            shot = chrome.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
            (folder / f"wall-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(profile: Path) -> Iterator[Chrome]:
    """Chromium without a screen. The profile is new, and nothing is asked of the browser's maker."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if not program or not driver:
        sys.exit("The wall needs a browser to be seen in: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (
        *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
        *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--disable-dev-shm-usage"),
        *(f"--user-data-dir={profile}", f"--window-size={WALL},900", "--force-device-scale-factor=1"),
    ):
        options.add_argument(flag)
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


def main(folder: Path, *, with_walls: bool = True) -> None:
    """All of them, into ``folder``; the walls need a browser."""
    folder.mkdir(parents=True, exist_ok=True)
    terminals(folder)
    if with_walls:
        walls(folder)
    for picture in sorted(folder.iterdir()):
        sys.stdout.write(f"{picture.stat().st_size / 1000:6.0f} kB  {picture}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), with_walls="--terminals" not in sys.argv)
