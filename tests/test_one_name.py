"""One name everywhere: a kind is its module, its test, its docs page and the prefix of its templates."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from outagecast import registry

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "channels"
needs_docs = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the docs are not installed, only the code is")


@pytest.mark.parametrize("kind", registry.BUILTIN)
def test_a_kind_has_a_module_of_its_name(kind: str) -> None:
    assert registry.BUILTIN[kind].partition(":")[0] == f"outagecast.channels.{kind}"
    assert registry.channel_class(kind).kind == kind


@pytest.mark.parametrize("kind", registry.BUILTIN)
def test_a_kind_has_a_test_of_its_name(kind: str) -> None:
    assert (ROOT / "tests" / "channels" / f"test_{kind}.py").is_file()


@needs_docs
@pytest.mark.parametrize("kind", registry.BUILTIN)
def test_a_kind_has_a_docs_page_of_its_name(kind: str) -> None:
    assert (DOCS / f"{kind}.md").is_file()


LANGUAGES = ["de", "en", "es", "fr", "ro", "zh-Hant"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", registry.BUILTIN)
def test_a_kind_has_a_template_for_each_of_its_parts(kind: str, language: str) -> None:
    folders = [files("outagecast.templates") / name for name in (language, "shared")]
    names = [f"{kind}.{part}.j2" for part in registry.channel_class(kind).parts]

    missing = [name for name in names if not any((folder / name).is_file() for folder in folders)]

    assert missing == []


def test_every_module_of_the_channels_is_a_kind() -> None:
    names = [path.name for path in files("outagecast.channels").iterdir()]

    modules = {name.removesuffix(".py") for name in names if name.endswith(".py") and not name.startswith("_")}

    assert modules == set(registry.BUILTIN)
