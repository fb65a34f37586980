"""A bulk send whose process is killed again and again; `make soak` does it with far more people."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import Soak, soak

pytestmark = pytest.mark.sweep


def test_nobody_is_left_out_and_nobody_has_two_texts_however_often_a_bulk_send_is_killed(tmp_path: Path) -> None:
    result = soak(tmp_path, Soak(people=2000, kills=14))

    assert list(result.broken) == []
