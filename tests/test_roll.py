from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from outagecast.ledger import Carried
from outagecast.model import State
from outagecast.roll import Group, Roll

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.fixture
def roll() -> Iterator[Roll]:
    made = Roll()
    made.fill([(number, f"{name}@example.com", "en", None) for number, name in enumerate(("ana", "ben", "chi"), 1)])
    yield made
    made.close()


def alike(groups: tuple[Group, ...]) -> dict[tuple[int | None, str], int]:
    return {(one.carried.update if one.carried else None, one.suppressed): one.people for one in groups}


def test_people_who_carry_the_same_are_one_group_whenever_and_under_whatever_id_they_got_it(roll: Roll) -> None:
    roll.mark(
        [
            ("ana@example.com", Carried(1, State.ACCEPTED, "a", NOW, "SM1")),
            ("BEN@example.com", Carried(1, State.ACCEPTED, "a", None, "SM2")),
            ("dan@example.com", Carried(1, State.ACCEPTED, "a", NOW, "SM3")),  # who is in the file no more
        ]
    )

    assert alike(roll.groups) == {(1, ""): 2, (None, ""): 1}


def test_what_may_have_reached_somebody_keeps_its_time(roll: Roll) -> None:
    roll.mark(
        [
            ("ana@example.com", Carried(1, State.IN_DOUBT, "a", NOW)),
            ("ben@example.com", Carried(1, State.ACCEPTED, "a", NOW)),
        ]
    )

    assert [person.began for person in roll.people()] == [NOW, None, None]


def test_those_on_the_suppression_list_are_a_group_of_their_own_whatever_the_capitals(roll: Roll) -> None:
    roll.suppress([("chi@EXAMPLE.com", "bounce"), ("nobody@example.com", "stop")])

    assert alike(roll.groups) == {(None, ""): 2, (None, "bounce"): 1}


def test_everybody_is_in_one_group_and_the_groups_have_everybody(roll: Roll) -> None:
    roll.suppress([("ana@example.com", "stop")])
    names = [person.group for person in roll.people()]

    assert {group.name: group.people for group in roll.groups} == {name: names.count(name) for name in names}


def test_who_comes_twice_is_told_once_as_the_first_of_them_says() -> None:
    roll = Roll()
    gone = roll.fill(
        [(1, "Ana@example.com", "ro", 2.0), (2, "ana@example.com", "en", 1.0), (3, "b@example.com", "en", 1.0)],
        is_ranked=True,
    )

    assert (gone, [*roll.addresses()], roll.count) == (1, ["b@example.com", "Ana@example.com"], 2)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which files are open")
def test_nothing_of_them_can_be_found_on_the_disk_by_name(tmp_path: Path) -> None:
    looking = [sys.executable, "-c", LOOK]
    found = subprocess.run(looking, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, check=True)

    # They are on the disk, not in memory, in a file without a name that others may not read.
    assert found.stdout.decode().split() == [f"{stat.S_IFREG | 0o600:o}", "0"]
    assert [*tmp_path.iterdir()] == []


LOOK = """
import os
from pathlib import Path
from outagecast.roll import Roll

roll = Roll()
roll.fill((number, f"person.{number}@example.com", "en", None) for number in range(300_000))
folder = os.environ["TMPDIR"]
for link in Path("/proc/self/fd").iterdir():
    if link.is_symlink() and str(link.readlink()).startswith(f"{folder}/") and link.stat().st_size > 1_000_000:
        print(f"{link.stat().st_mode:o}", link.stat().st_nlink)
roll.close()
"""
