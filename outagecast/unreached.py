"""Who was not reached on a channel, and why: a file for whoever tells them otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from outagecast import audience, csv_form
from outagecast.ledger import Ledger, every_entry
from outagecast.model import State

# Who waits to be told is not in it, nor who was passed over on purpose, or got something newer.
STATES = (State.FAILED, State.EXPIRED, State.CANCELLED, State.MISSING, State.IN_DOUBT, State.NEEDS_DECISION)


@dataclass
class Unreached:
    """Those of one update on one channel, read as they are written down."""

    ledger: Ledger
    incident: str
    number: int
    channel: str
    addresses: Literal["phone", "email"]
    states: Counter[str] = field(default_factory=Counter)  # of those read so far
    purged: int = 0  # of whom only a hash is left

    @property
    def people(self) -> int:
        """How many were read so far."""
        return self.states.total()

    def lines(self) -> Iterator[str]:
        """A CSV file, as an audience's is: their address first, then the language, and what became of the delivery."""
        yield csv_form.line((self.addresses, "language", "state", "reason", "code", "at"))
        for entry in every_entry(self.ledger, self.incident, self.number, self.channel, STATES):
            target = entry.delivery.target
            if audience.normal(target, self.addresses) is None:
                self.purged += 1
                continue
            self.states[entry.state.value] += 1
            at = entry.changed_at.isoformat(timespec="seconds")
            language = entry.delivery.language
            yield csv_form.line((target, language, entry.state.value, entry.reason, entry.code, at))
