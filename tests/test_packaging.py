"""What is installed is what the repo holds.

`make package` runs this on the installed wheel, away from the sources, and says where they are.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sysconfig
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pytest

import outagecast

ROOT = Path(__file__).parents[1]
SOURCES = Path(os.environ.get("OUTAGECAST_SOURCES", ROOT))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = PYPROJECT["tool"]["setuptools"]["packages"]
MAPPING: dict[str, str] = PYPROJECT["tool"]["setuptools"]["package-dir"]

needs_sources = pytest.mark.skipif(
    not (SOURCES / "outagecast").is_dir(), reason="the sources are away; OUTAGECAST_SOURCES may name their folder"
)


def source_packages() -> Iterator[str]:
    """Every folder of the repo with code in it, by the name it is installed under."""
    for top, folder in MAPPING.items():
        for code in {path.parent for path in (SOURCES / folder).rglob("*.py")}:
            name = ".".join((top, *code.relative_to(SOURCES / folder).parts))
            if name == top or name not in MAPPING:  # else it was reached through a link
                yield name


def source_data() -> Iterator[tuple[str, Path]]:
    """Every file of the packages that is not Python: its package and its path inside it."""
    for top, folder in MAPPING.items():
        for path in sorted((SOURCES / folder).rglob("*.*")):
            inside = path.relative_to(SOURCES / folder)
            hidden = any(part.startswith((".", "__pycache__")) for part in inside.parts)
            if path.is_file() and path.suffix != ".py" and not hidden:
                yield top, inside


def test_the_version_is_that_of_the_installed_package() -> None:
    assert version("outagecast") == outagecast.__version__


def test_the_command_prints_the_version() -> None:
    command = Path(sysconfig.get_path("scripts")) / "outagecast"

    shown = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout

    assert outagecast.__version__ in shown


@pytest.mark.parametrize("name", PACKAGES)
def test_every_listed_package_can_be_imported(name: str) -> None:
    assert importlib.import_module(name).__name__ == name


@needs_sources
def test_every_package_of_the_repo_is_listed() -> None:
    assert sorted(PACKAGES) == sorted(source_packages())


@needs_sources
def test_every_template_migration_and_text_is_installed() -> None:
    expected = list(source_data())

    missing = [
        f"{package}: {inside}" for package, inside in expected if not files(package).joinpath(*inside.parts).is_file()
    ]

    assert missing == []
    assert ("outagecast", Path("py.typed")) in expected


def test_the_lock_names_no_address_and_every_direct_dependency() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, flags=re.MULTILINE))
    project = PYPROJECT["project"]
    wanted = [
        *project["dependencies"],
        *project["optional-dependencies"]["keyring"],
        *project["optional-dependencies"]["s3"],
        *PYPROJECT["dependency-groups"]["dev"],
        *PYPROJECT["build-system"]["requires"],
    ]

    names = {re.split(r"[<>=~! ;\[]", one)[0].lower().replace("_", "-") for one in wanted}

    assert names - locked == set()
    assert "://" not in lock
