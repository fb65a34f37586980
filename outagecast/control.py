"""How a run is watched and stopped from outside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from outagecast.errors import ExitCode

if TYPE_CHECKING:
    from outagecast.lane import Progress


@dataclass
class Control:
    """How a run is watched and stopped from outside."""

    watch: Callable[[Progress], None] = lambda _: None
    begin: Callable[[str, Mapping[str, int]], None] = lambda *_: None  # the incident, and the update of each channel
    stop: threading.Event = field(default_factory=threading.Event)
    max_time: float | None = None
    interrupted: ExitCode | None = None  # set by whoever sets ``stop``
