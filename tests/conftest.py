"""What several tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def reference_data() -> Callable[[str], Path]:
    """A function from a name such as ``sms/vectors.json`` to that file of the reference data, kept out of the repo."""

    def find(name: str) -> Path:
        folder = os.environ.get("OUTAGECAST_DATA")
        if not folder:
            pytest.skip("OUTAGECAST_DATA does not name the folder of the reference data")
        path = Path(folder, name)
        if not path.exists():
            pytest.fail(f"OUTAGECAST_DATA is set, and {path} does not exist")
        return path

    return find
