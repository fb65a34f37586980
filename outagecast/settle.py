"""What a person found out of a delivery in doubt, where no look-up could."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from outagecast.doubt import Doubt
from outagecast.errors import Problem, UsageError
from outagecast.ledger import Entry, Event, Ledger, Move, every_entry
from outagecast.model import DOUBTFUL, Receipt, State


def doubtful(ledger: Ledger, slug: str, channel: str, target: str | None) -> tuple[int, list[Entry]]:
    """The newest update that is in doubt on a channel, and its deliveries in doubt; of a thread one post after another.

    Raises UsageError for none.
    """
    for update in reversed(ledger.past(slug, ()).updates):
        entries = every_entry(ledger, slug, update.number, channel, DOUBTFUL)
        if chosen := [entry for entry in entries if target in {None, entry.delivery.target}]:
            return update.number, [entry for entry in chosen if not entry.delivery.is_second] or chosen
    raise UsageError(Problem(f"nothing of {slug} is in doubt on {channel}", f"outagecast status {slug}"))


def require_settled(entries: Iterable[Entry], settle: timedelta, now: datetime) -> None:
    """Raises UsageError while what is in doubt may still appear: it would be there twice if it was sent again.

    ``settle``: how long a request that got no answer may still be applied.
    """
    ends = max(
        (Doubt.of(entry).last + settle for entry in entries if entry.state is not State.NEEDS_DECISION), default=now
    )
    if ends > now:
        wait = f"in {math.ceil((ends - now).total_seconds())} s"
        hint = f"look again {wait}, then say so; or now --published URL, if you see it"
        raise UsageError(Problem("it may still appear, however it looks now", hint))


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
