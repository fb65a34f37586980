"""The container image, as far as it can be proved without an engine that builds it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = Path(os.environ.get("OUTAGECAST_SOURCES", ROOT))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
INSTRUCTIONS = [
    line.split(maxsplit=1)
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    if line and not line.startswith("#")
]


def said(instruction: str) -> list[str]:
    return [rest for name, rest in INSTRUCTIONS if name == instruction]


def copied() -> list[str]:
    """What is taken from the repo."""
    found = [shlex.split(rest)[:-1] for rest in said("COPY") if not rest.startswith("--from")]
    return [path.rstrip("/") for paths in found for path in paths]


def locked(name: str) -> dict[str, str]:
    lock = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", lock, flags=re.MULTILINE))


def plain(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=~! ;\[]", one)[0].lower() for one in requirements}


@pytest.mark.skipif(not (SOURCES / "outagecast").is_dir(), reason="the sources are away")
def test_what_is_copied_is_enough_to_build_the_wheel_with_all_its_data(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for path in copied():
        if (SOURCES / path).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(SOURCES / path, tmp_path / "source" / path, symlinks=True, ignore=ignored)
        else:
            shutil.copy(SOURCES / path, tmp_path / "source")

    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", "wheels", "./source"]
    subprocess.run(command, cwd=tmp_path, check=True)

    (wheel,) = (tmp_path / "wheels").iterdir()
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {"config.example.yaml", "examples/card-payments.yaml", "templates/en/x.text.j2", "channels/x.py"}
    assert {f"outagecast/{name}" for name in expected} - names == set()


def test_the_builder_is_given_what_is_copied_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()

    assert lines[1] == "*"
    assert sorted(line[1:] for line in lines if line.startswith("!")) == sorted(copied())


def test_its_python_is_one_that_we_promise() -> None:
    (image,) = {rest.split()[0] for rest in said("FROM")}
    version = image.removeprefix("python:").removesuffix("-slim")

    assert f"Programming Language :: Python :: {version}" in PROJECT["project"]["classifiers"]
    least = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert [int(part) for part in version.split(".")] >= [int(part) for part in least.split(".")]


def test_everything_from_the_network_is_checked_by_its_hash() -> None:
    installs = re.findall(r"pip (?:install|wheel) [^&]*", " && ".join(said("RUN")))

    assert len(installs) == 3
    assert [one for one in installs if "--require-hashes" not in one and "--no-deps" not in one] == []


def test_its_dependencies_are_the_locked_ones_without_our_tools() -> None:
    image, ours = locked("requirements-image.lock"), locked("requirements.lock")
    wanted = plain([*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["demo"]])
    tools = plain(PROJECT["dependency-groups"]["dev"]) - wanted - {"setuptools"}  # it builds the wheel, and is removed

    assert {name: version for name, version in image.items() if ours.get(name) != version} == {}
    assert wanted - set(image) == set()
    assert tools & set(image) == set()


def test_it_runs_the_command_as_nobody_special() -> None:
    last = max(index for index, (name, _) in enumerate(INSTRUCTIONS) if name == "FROM")
    final = dict(INSTRUCTIONS[last:])

    assert json.loads(final["ENTRYPOINT"]) == ["outagecast"]
    assert final["USER"] not in {"root", "0"}


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_without_a_builder_make_image_says_so(tmp_path: Path) -> None:
    for engine in ("docker", "podman"):
        (tmp_path / engine).write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        (tmp_path / engine).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"

    done = subprocess.run(
        ["make", "image"], cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )

    assert done.returncode != 0
    assert "No image was built: neither docker nor podman answers on this machine." in done.stderr
