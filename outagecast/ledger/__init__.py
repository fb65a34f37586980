"""The durable record of what was meant, tried and taken: the port in the verbs of the domain, and ``open``.

One ledger, one promise: whoever announces from a second ledger is not known to the first.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeAlias

from outagecast.model import Delivery, Receipt, State, Status, Variant

UNSURE_FOR = timedelta(hours=12)  # how long a ledger that was put back is believed to have gaps: longer than a shift


Digests: TypeAlias = Mapping[tuple[str, str], Mapping[str, str]]  # of texts, by channel and language, and by post


class Event(StrEnum):
    """What can happen to a delivery."""

    CLAIMED = "claimed"
    RECEIPT = "receipt"
    NOT_SENT = "not_sent"  # for certain; worth another try
    REFUSED = "refused"  # for certain; useless to try again
    LOST = "lost"  # it may be out
    REPLAYED = "replayed"  # sent again under the same key
    FOUND = "found"
    ABSENT = "absent"  # a strong look-up after the settle time did not find it
    EXHAUSTED = "exhausted"  # no means left to find out
    SETTLED_PUBLISHED = "settled_published"
    SETTLED_NOT_PUBLISHED = "settled_not_published"
    SETTLED_RESEND = "settled_resend"
    REVIVED = "revived"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SEEN = "seen"
    SEEN_DIFFERENT = "seen_different"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Update:
    """One public statement on an incident, as it was opened."""

    incident: str
    number: int
    status: Status
    fingerprint: str  # of the canonical message
    written: str  # the message as written, JSON
    digest: str  # of everything that goes out
    opened_at: datetime
    opened_by: str
    started_at: datetime | None = None
    next_update_at: datetime | None = None
    corrects: int | None = None  # the number of the update whose words it puts right

    @property
    def summary(self) -> str:
        """The summary as written."""
        return str(json.loads(self.written).get("summary", ""))


class Carried(NamedTuple):
    """What one target carries of an incident, or that it was refused for a reason of its own (FAILED)."""

    update: int
    state: State
    digest: str  # of the variant; of a thread, of this post
    attempted_at: datetime | None = None  # the lower bound of a look-up for it
    provider_id: str | None = None  # of the receipt, where there is one


@dataclass(frozen=True, slots=True)
class Past:
    """What the ledger knows of an incident before something new is planned."""

    incident: str
    updates: Sequence[Update] = ()
    carried: Mapping[tuple[str, str, str], Carried] = field(default_factory=dict)  # (channel, target, language)
    opened: Collection[tuple[str, int]] = frozenset()  # (channel, number) whose deliveries exist
    wrong: Digests | None = None  # where the newest update is to be put right, of its words

    @property
    def right(self) -> Past:
        """The same without the update that is to be put right."""
        return self if self.wrong is None else replace(self, updates=self.updates[:-1], wrong=None)


NOTHING_PAST = Past("")


class Opening(NamedTuple):
    """A delivery about to be opened: ready to be sent, or passed over with the reason."""

    channel: str
    target: str
    language: str
    state: State
    reason: str | None
    expires_at: datetime | None
    attempted_at: datetime | None = None  # for one that is opened in doubt
    edits: str | None = None  # the provider's id of the post whose words it replaces


@dataclass(frozen=True, slots=True)
class Entry:
    """A delivery as the ledger has it."""

    id: int
    delivery: Delivery
    channel: str
    state: State
    attempts: int
    replays: int
    changed_at: datetime
    refused: bool = False
    reason: str | None = None
    code: str | None = None
    not_before: datetime | None = None
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """What happened to a delivery, to be written down; which state that leads to, the table says."""

    event: Event
    reason: str | None = None
    code: str | None = None
    refused: bool = False  # where it failed: for the recipient's own reason
    not_before: datetime | None = None
    receipt: Receipt | None = None
    began: datetime | None = None  # when a claimed one may have been sent, where that was not now


@dataclass(frozen=True, slots=True)
class Tally:
    """How many deliveries of one channel are in one state."""

    channel: str
    state: State
    refused: bool
    count: int


class Reached(NamedTuple):
    """One target of an incident, and the newest updates that it knows of; None where there is none."""

    channel: str
    target: str
    language: str
    number: int | None  # that is, or may be, out there
    owed: int | None  # that was to go out there and did not, or not yet


@dataclass(frozen=True, slots=True)
class Heard:
    """How many deliveries of an update are in one state on one channel, and when the first and last of them went out.

    For one that never went out the times are those of its last change.
    """

    number: int
    channel: str
    state: State
    refused: bool
    count: int
    first_at: datetime
    last_at: datetime


class Words(NamedTuple):
    """What one update says in one language, as it went out."""

    incident: str
    number: int
    language: str
    parts: Mapping[str, str]


class Ledger(Protocol):
    """What every ledger can do. Each verb is one transaction, on disk when it returns. Raises LedgerError."""

    @property
    def place(self) -> str:
        """Where it is, for people."""
        ...

    def lock(self) -> AbstractContextManager[None]:
        """Hold the right to send. Raises ConflictError naming who holds it, since when."""
        ...

    def unsure(self, now: datetime) -> str | None:
        """Why it may not know all that is out: a newer one was used here. None where nothing says so."""
        ...

    def recognise(self, now: datetime, by: str) -> None:
        """Before a run: where a newer ledger was used here, put in doubt what this one believes unsent."""
        ...

    def remember(self) -> None:
        """Note apart from the ledger how far it is."""
        ...

    def incidents(self) -> list[str]:
        """Every incident, the one that changed last first."""
        ...

    def past(self, incident: str, channels: Collection[str] | None = None) -> Past:
        """What is known of an incident; what is carried, on ``channels`` only."""
        ...

    def open(self, update: Update, variants: Iterable[Variant], openings: Iterable[Opening]) -> None:
        """Write an update, its frozen words and its deliveries, and supersede what of older ones is still unsent.

        An update that exists gets the deliveries it lacks, and their digest. One that retracts calls off whatever of
        the incident is still unsent, on every channel. Raises ConflictError where its number is taken by another.
        """
        ...

    def variants(self, incident: str, number: int) -> list[Variant]:
        """The frozen words of an update."""
        ...

    def claim(self, incident: str, number: int, channel: str, now: datetime, by: str) -> Entry | None:
        """Take the next delivery that is ready and due, as ATTEMPTING; what has expired is written off on the way.

        A thread's second post is not due before its first is out.
        """
        ...

    def next_try(self, incident: str, number: int, channel: str) -> datetime | None:
        """When the next ready delivery is due; None if none is, or waits only for a post that is not out."""
        ...

    def move(self, entry: Entry, move: Move, now: datetime, by: str) -> State:
        """Write down what happened; the state it leads to.

        Raises ConflictError where the entry has left the state it was read in, and KeyError where nothing of the kind
        can happen in that state.
        """
        ...

    def entries(
        self, incident: str, number: int, channel: str, states: Collection[State], *, after: int = 0
    ) -> list[Entry]:
        """A page, of a few hundred, of the deliveries of a channel that are in one of ``states``, in the order of ids.

        ``after``: the last id of the page before. No page follows an empty one.
        """
        ...

    def tallies(self, incident: str, number: int) -> list[Tally]:
        """Counts by channel and state."""
        ...

    def latest(self) -> list[Update]:
        """The newest update of every incident, the one that changed last first."""
        ...

    def heard(self, incident: str) -> list[Heard]:
        """Every update of an incident on every channel, in the order in which they were opened."""
        ...

    def reached(self, incident: str) -> list[Reached]:
        """Every target that anything of an incident was opened for; a thread is one, its first post's."""
        ...

    def carried(self, channel: str) -> Iterator[Words]:
        """All that a public channel carries, what was opened first at first."""
        ...

    def knows(self, channel: str, provider_id: str) -> bool:
        """Whether a post, by its provider's id, was sent from this ledger."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def every_entry(ledger: Ledger, incident: str, number: int, channel: str, states: Collection[State]) -> Iterator[Entry]:
    """All of a channel's deliveries in these states, page by page: a page is read before it is changed."""
    last = 0
    while page := ledger.entries(incident, number, channel, states, after=last):
        yield from page
        last = page[-1].id
