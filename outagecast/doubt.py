"""What an answer, or its absence, proves: the rules that decide about a delivery, without I/O.

The engine asks here after each call and each look-up, and the model check of the tests walks the same functions.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from outagecast.channel import Idempotency, LookUp, OnDoubt, Semantics
from outagecast.errors import ConfigError, Rejected, Unavailable
from outagecast.ledger import Entry, Event
from outagecast.model import Receipt, State

# Of words that replace others in a post, whatever the channel promises of new posts.
EDITING = Semantics(
    idempotency=Idempotency.NATURAL,
    lookup=LookUp.EVENTUAL,
    on_doubt=OnDoubt.REPLAY,
    settle=timedelta(0),
    source="outagecast.channel.Edits",
)


class Sight(StrEnum):
    """What a look-up came to."""

    SEEN = "seen"
    UNSEEN = "unseen"
    DENIED = "denied"  # there is no look-up, or this account may not use it
    FAILED = "failed"  # it may succeed another time


class Doubt(NamedTuple):
    """What the ledger knows of a delivery that may be out."""

    state: State
    began: datetime  # when the first attempt was made that may have arrived
    last: datetime  # when the last one was
    replays: int
    expires_at: datetime | None

    @classmethod
    def of(cls, entry: Entry) -> Doubt:
        """The doubt about one entry."""
        began = entry.delivery.attempted_at or entry.changed_at
        # A replay is an attempt too; when it was made is when the entry last changed.
        last = entry.changed_at if entry.replays else began
        return cls(entry.state, began, last, entry.replays, entry.delivery.expires_at)


def meaning(outcome: object) -> Event:
    """What an adapter's answer to ``send``, or what it raised, says for certain."""
    if isinstance(outcome, Receipt) and outcome.provider_id:
        return Event.RECEIPT
    if isinstance(outcome, Unavailable):
        return Event.NOT_SENT
    if isinstance(outcome, ConfigError) or (isinstance(outcome, Rejected) and not outcome.duplicate):
        return Event.REFUSED
    return Event.LOST  # a receipt that names nothing, a "duplicate" of we know not what, a bug in an adapter


def verdict(semantics: Semantics, doubt: Doubt, sight: Sight, now: datetime) -> Event | None:
    """What follows for a delivery in doubt; None: nothing yet.

    To be seen is proof at any time. Not to be seen is one only where the listing is strong and the settle time over.
    """
    if sight is Sight.SEEN:
        return Event.FOUND
    if doubt.state is State.NEEDS_DECISION or sight is Sight.FAILED:
        return None
    settled = now - doubt.last >= semantics.settle
    if sight is Sight.UNSEEN and semantics.lookup is LookUp.STRONG and settled:
        return Event.ABSENT
    if may_repeat(semantics, doubt, now):
        return Event.REPLAYED
    return Event.EXHAUSTED if settled else None


def may_repeat(semantics: Semantics, doubt: Doubt, now: datetime) -> bool:
    """Whether the channel's promise allows to send again what may be out."""
    if doubt.expires_at and now >= doubt.expires_at:
        return False
    if semantics.idempotency is Idempotency.KEY:
        # A provider may note our key only when it has finished, and have forgotten it by the time it reads it again.
        if now - doubt.last < semantics.settle:
            return False
        if semantics.key_lifetime is None or now - doubt.began + semantics.settle >= semantics.key_lifetime:
            return False
    if semantics.on_doubt is OnDoubt.RESEND_ONCE:
        return not doubt.replays
    return semantics.on_doubt is OnDoubt.REPLAY
