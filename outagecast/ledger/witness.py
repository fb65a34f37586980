"""What this machine remembers of a ledger, apart from it: enough to see that the file was lost, replaced or put back.

A copy of yesterday's ledger believes unsent what went out today. The memory lies in the user's own state folder, which
a backup of the ledger's folder does not hold: https://specifications.freedesktop.org/basedir-spec/latest/
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from outagecast import atomic


class Mark(NamedTuple):
    """How far a ledger was when it was last used from here."""

    ledger: str  # its identity, drawn when it was made
    changes: int  # how many changes of state it held

    def contradicts(self, ledger: str, changes: int) -> str | None:
        """Why a ledger that says this of itself may not know all that is out, in words; None if it is that one."""
        if ledger != self.ledger:
            return "the ledger that was used here before is gone"
        if changes < self.changes:
            return f"the ledger is an older copy, and lacks the last {self.changes - changes:,} of its entries"
        return None


def recall(path: Path) -> Mark | None:
    """What was noted of the ledger at ``path``; None if nothing was, or it cannot be read."""
    try:
        kept = json.loads(_place(path).read_bytes())
        return Mark(str(kept["ledger"]), int(kept["changes"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def note(path: Path, mark: Mark) -> None:
    """Remember how far the ledger at ``path`` is. Where nothing can be kept, nothing is recognised later."""
    place = _place(path)
    with suppress(OSError):  # no home, or a read-only one, as in containers and under cron
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic.write(place, json.dumps(mark._asdict()).encode(), mode=0o600)


def beside(path: Path, suffix: str) -> Path:
    """Where else this machine may keep something about the ledger at ``path``."""
    return _place(path).with_suffix(suffix)


def _place(path: Path) -> Path:
    state = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(state) if state.startswith("/") else Path("~/.local/state").expanduser()
    return folder / "outagecast" / hashlib.blake2b(os.fsencode(path.resolve()), digest_size=16).hexdigest()
