"""What a person found out of a delivery in doubt, where no look-up could."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from outagecast.errors import Problem, UsageError
from outagecast.ledger import Entry, Event, Ledger, Move, every_entry
from outagecast.model import DOUBTFUL, Receipt, State


def doubtful(ledger: Ledger, slug: str, channel: str, target: str | None) -> tuple[int, list[Entry]]:
    """The newest update that is in doubt on a channel, and its deliveries in doubt. Raises UsageError for none."""
    for update in reversed(ledger.past(slug, ()).updates):
        entries = every_entry(ledger, slug, update.number, channel, DOUBTFUL)
        if chosen := [entry for entry in entries if target in {None, entry.delivery.target}]:
            return update.number, chosen
    raise UsageError(Problem(f"nothing of {slug} is in doubt on {channel}", f"outagecast status {slug}"))


def decide(ledger: Ledger, entry: Entry, decision: Event, url: str | None, *, by: str, now: datetime) -> None:
    """Walk one doubtful delivery to the decision, by the same table as everything else."""
    steps = {State.ATTEMPTING: Event.LOST, State.IN_DOUBT: Event.EXHAUSTED, State.NEEDS_DECISION: decision}
    while event := steps.get(entry.state):
        receipt = _seen_at(url) if event is Event.SETTLED_PUBLISHED else None
        reason = f"{by} looked and decided" if event is decision else entry.reason
        state = ledger.move(entry, Move(event, reason, receipt=receipt), now, by)
        entry = replace(entry, state=state)


def _seen_at(url: str | None) -> Receipt:
    """The receipt of what a person saw. An address ends in the provider's own id, which the next update replies to."""
    last = (url or "").rstrip("/").rpartition("/")[2]
    return Receipt(last if re.fullmatch(r"\w+", last) else url or "seen by a person", url or None)
