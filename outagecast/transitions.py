"""The whole life of a delivery, as data. What is not in the table cannot happen."""

from __future__ import annotations

from collections.abc import Mapping

from outagecast.ledger import Event
from outagecast.model import State

# Of a thread's first post, the states in which the second may be claimed: the public has what it goes on from.
LEADS = frozenset({State.ACCEPTED, State.VERIFIED, State.MISMATCH, State.UNCHANGED})

TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.READY, Event.CLAIMED): State.ATTEMPTING,
    (State.READY, Event.SUPERSEDED): State.SUPERSEDED,
    (State.READY, Event.EXPIRED): State.EXPIRED,
    (State.READY, Event.CANCELLED): State.CANCELLED,
    (State.ATTEMPTING, Event.RECEIPT): State.ACCEPTED,
    (State.ATTEMPTING, Event.FOUND): State.ACCEPTED,  # the provider says it carries this already, and shows it
    (State.ATTEMPTING, Event.NOT_SENT): State.READY,
    (State.ATTEMPTING, Event.REFUSED): State.FAILED,
    (State.ATTEMPTING, Event.LOST): State.IN_DOUBT,
    # Doubt is sticky: a later refusal does not prove that the earlier attempt never arrived.
    (State.IN_DOUBT, Event.REPLAYED): State.IN_DOUBT,
    (State.IN_DOUBT, Event.RECEIPT): State.ACCEPTED,
    (State.IN_DOUBT, Event.NOT_SENT): State.IN_DOUBT,
    (State.IN_DOUBT, Event.REFUSED): State.IN_DOUBT,
    (State.IN_DOUBT, Event.LOST): State.IN_DOUBT,
    (State.IN_DOUBT, Event.FOUND): State.ACCEPTED,
    (State.IN_DOUBT, Event.ABSENT): State.READY,
    (State.IN_DOUBT, Event.EXHAUSTED): State.NEEDS_DECISION,
    (State.NEEDS_DECISION, Event.FOUND): State.ACCEPTED,  # to be seen is proof, however late
    (State.NEEDS_DECISION, Event.SETTLED_PUBLISHED): State.ACCEPTED,
    (State.NEEDS_DECISION, Event.SETTLED_NOT_PUBLISHED): State.FAILED,
    (State.NEEDS_DECISION, Event.SETTLED_RESEND): State.READY,
    (State.FAILED, Event.REVIVED): State.READY,
    **{(seen, Event.SEEN): State.VERIFIED for seen in (State.ACCEPTED, State.VERIFIED, State.MISMATCH, State.MISSING)},
    **{
        (seen, Event.SEEN_DIFFERENT): State.MISMATCH
        for seen in (State.ACCEPTED, State.VERIFIED, State.MISMATCH, State.MISSING)
    },
    **{(seen, Event.GONE): State.MISSING for seen in (State.ACCEPTED, State.VERIFIED, State.MISMATCH, State.MISSING)},
}
