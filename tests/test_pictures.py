"""The pictures that the README and the docs show: they are there, small, and say what the command says."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LARGEST = 300_000  # bytes: they are read on a telephone too
TERMINALS = ("announce.svg", "check.svg", "preview.svg", "trouble.svg")


def shown() -> set[Path]:
    """Every picture that a page shows."""
    found = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        names = re.findall(r'!\[[^\]]+\]\(([^)]+)\)|(?:src|srcset)="([^"]+\.(?:png|svg))"', text)
        found |= {(page.parent / (first or second)).resolve() for first, second in names}
    return found


def words(picture: Path) -> str:
    """What is written in a drawn terminal."""
    texts = re.findall(r"<text[^>]*>(.*?)</text>", picture.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(html.unescape(" ".join(texts)).split())


def test_the_pages_show_all_pictures_and_no_others() -> None:
    assert shown() == {picture.resolve() for picture in FOLDER.iterdir()}


def test_the_readme_shows_the_wall_and_the_terminal() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert re.findall(r'src="docs/pictures/([\w.-]+)"', text) == ["wall-light.png", "trouble.svg"]


def test_every_picture_says_in_words_what_it_shows() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert [tag for tag in re.findall(r"<img [^>]*>", text) if not re.search(r'alt="[^"]{40,}"', tag)] == []


@pytest.mark.parametrize("picture", sorted(FOLDER.iterdir()), ids=lambda picture: picture.name)
def test_a_picture_is_small_and_tells_nothing_of_the_machine_that_made_it(picture: Path) -> None:
    content = picture.read_bytes()

    assert len(content) < LARGEST
    assert re.findall(rb"/tmp|/root|/var|localhost|127\.0\.0\.1|tEXt|eXIf", content) == []


def test_a_drawn_terminal_needs_nothing_from_the_network() -> None:
    drawn = "".join((FOLDER / name).read_text(encoding="utf-8") for name in TERMINALS)

    assert re.findall(r"url\(|href|<script|@import", drawn) == []


def test_the_drawn_terminals_say_what_the_command_says_today(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, ROOT / "tests" / "pictures.py", tmp_path, "--terminals"], check=True, capture_output=True
    )

    assert {name: words(FOLDER / name) for name in TERMINALS} == {name: words(tmp_path / name) for name in TERMINALS}
