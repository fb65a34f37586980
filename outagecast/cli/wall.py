"""The wall of a preview: what the public would see, written to a file before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from outagecast.cli import screen

if TYPE_CHECKING:
    from outagecast.app import App
    from outagecast.dry_run import Prepared


def hang(app: App, prepared: Prepared, path: Path) -> None:
    """Write the page. Raises UsageError where that cannot be done."""
    from outagecast import wall

    plan = prepared.plan
    earlier = [(number, app.ledger.variants(plan.message.incident, number)) for number in range(1, plan.number)]
    wall.write(wall.of_preview(plan, prepared.variants, prepared.shares, earlier), path)
    screen.note(f"what the public would see: {path.resolve()}")
