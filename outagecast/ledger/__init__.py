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
    opened: Collection[tuple[str, int]] = frozenset()  # (channel, number) whose deliveries all exist
    begun: frozenset[tuple[str, int]] = frozenset()  # (channel, number) that were declared, and are not frozen yet
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


class Move(NamedTuple):
    """What happened to a delivery, to be written down; which state that leads to, the table says."""

    event: Event
    reason: str | None = None
    code: str | None = None
    refused: bool = False  # where it failed: for the recipient's own reason
    not_before: datetime | None = None
    receipt: Receipt | None = None
    began: datetime | None = None  # when a claimed one may have been sent, where that was not now
    suppress: str = ""  # why the recipient is never to be sent to again: goes on the suppression list


class Claimed(NamedTuple):
    """One delivery of a window: it is ATTEMPTING on disk, and nobody else's."""

    id: int
    delivery: Delivery
    attempts: int  # this one included


class Told(NamedTuple):
    """What one recipient carries of an incident, in the language of their newest word."""

    target: str
    language: str
    carried: Carried


class Hold(NamedTuple):
    """Why a channel's deliveries are held back, since when, and by whom."""

    at: datetime
    by: str
    why: str


class Suppression(NamedTuple):
    """An address that nothing is sent to any more."""

    address: str  # as ``folded`` writes it
    kind: str  # phone, or email
    why: str  # stop, bounce, complaint, unsubscribed, or asked
    at: datetime
    source: str  # the channel that learned it, or the file it was imported from


@dataclass(frozen=True, slots=True)
class Refusal:
    """How many people a provider refused for one reason of their own."""

    words: str  # never an address
    count: int


class Purged(NamedTuple):
    """What a purge did, or left."""

    incidents: Sequence[str] = ()  # whose recipients are hashes now
    recipients: int = 0
    kept: Sequence[str] = ()  # that were due, and still have something to send


def folded(address: str) -> str:
    """An address as it is compared: without blanks around it, and in small letters."""
    return address.strip().casefold()


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

    For what did not go out the time is that of the update's opening; where many were claimed together, when the first
    and the last of all that were claimed so went out.
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

    def lock(self, channel: str | None = None) -> AbstractContextManager[None]:
        """Hold the right to send on public channels, or on one bulk channel: neither holds up the other.

        Several may be held at once, from several threads. Raises ConflictError naming who holds it, since when.
        """
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
        """What is known of an incident; what is carried, on ``channels`` only.

        A bulk channel's people may be a million: of those ask ``told``.
        """
        ...

    def open(self, update: Update, variants: Iterable[Variant], openings: Iterable[Opening]) -> None:
        """Write an update, its frozen words and its deliveries, and supersede what of older ones is still unsent.

        A channel with words and no deliveries is declared: its people come with ``freeze``. Of one channel all
        deliveries expire together. An update that exists gets the deliveries it lacks, and their digest. One that
        retracts calls off whatever of the incident is still unsent, on every channel. Raises ConflictError where its
        number is taken by another.
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

    def reached(self, incident: str) -> Iterator[Reached]:
        """Every target that anything of an incident was opened for, but for those purged; a thread is its first post.

        Read page by page, by channel and in the order of targets; a million of them take no memory.
        """
        ...

    def carried(self, channel: str) -> Iterator[Words]:
        """All that a public channel carries, what was opened first at first."""
        ...

    def knows(self, channel: str, provider_id: str) -> bool:
        """Whether a post, by its provider's id, was sent from this ledger."""
        ...

    # -- many recipients ---------------------------------------------------------------------------------------------

    def freeze(self, update: Update, channel: str, openings: Iterable[Opening]) -> None:
        """Write the deliveries of a channel that ``open`` declared, in slices, so that nobody else waits for long.

        Nothing of it can be claimed before all is there. What an earlier try left is replaced; one that is frozen
        stays as it is. What older updates have unsent for the same people is superseded. Raises ConflictError where
        the channel was not declared, or a newer update was.
        """
        ...

    def is_frozen(self, incident: str, number: int, channel: str) -> bool:
        """Whether all deliveries of an update on a channel are there."""
        ...

    def claim_window(
        self, incident: str, number: int, channel: str, most: int, now: datetime, by: str
    ) -> list[Claimed]:
        """Take up to ``most`` deliveries that are ready and due, as ATTEMPTING, in one transaction that is synced.

        Those that were never put off go first, in the order in which they were frozen. None where they are held, not
        all frozen, or expired; those are written off.
        """
        ...

    def record_many(self, moves: Sequence[tuple[Claimed, Move]], now: datetime, by: str) -> None:
        """Write down what happened to deliveries that are ATTEMPTING: all of them, or none.

        After a power loss, and only then, those of the last moments may be ATTEMPTING again. Raises ConflictError
        where one is ATTEMPTING no longer, and KeyError where nothing of the kind can happen to one that is.
        """
        ...

    def windows(self, incident: str, number: int, channel: str, since: datetime) -> list[tuple[datetime, int]]:
        """When windows were claimed since then, and how many deliveries each has: how fast it goes."""
        ...

    def refusals(self, incident: str, number: int, channel: str) -> list[Refusal]:
        """Why people were refused for their own reason, the most frequent first: a few, and the rest together."""
        ...

    def told(self, incident: str, channel: str) -> Iterator[Told]:
        """Everybody of a channel who carries, or may carry, something of an incident, or was refused it.

        Read page by page in the order of targets, each once with their newest; a million of them take no memory.
        """
        ...

    def hold(self, incident: str, number: int, channel: str, why: str, now: datetime, by: str) -> None:
        """Let nothing more of a channel be claimed until it is released. Who holds it first is the one who is named."""
        ...

    def release(self, incident: str, number: int, channel: str) -> None:
        """Let a channel go on."""
        ...

    def held(self, incident: str, number: int, channel: str) -> Hold | None:
        """Who holds a channel, and why; None for nobody."""
        ...

    def cancel(self, incident: str, number: int, channel: str, now: datetime, by: str) -> int:
        """Call off what is still unsent, put off or held; how many. What is under way ends as it ends."""
        ...

    def suppress(self, rows: Iterable[Suppression]) -> int:
        """Put addresses on the suppression list; how many were not on it. One that is keeps its first reason."""
        ...

    def unsuppress(self, address: str) -> bool:
        """Take an address off the list; whether it was on it."""
        ...

    def suppressed(self) -> Iterator[Suppression]:
        """The whole suppression list, in the order of addresses, read page by page."""
        ...

    def why_suppressed(self, address: str) -> str | None:
        """Why nothing is sent to an address any more; None where it is not on the list."""
        ...

    def purge(self, before: datetime, now: datetime, *, dry_run: bool = False) -> Purged:
        """Forget the addresses of incidents that a closing update older than ``before`` ended; counts remain.

        Each becomes a hash under a key in a file beside the ledger: the same person, the same hash. What of them is
        unsent and expired can never be sent again. Incidents that are still being sent are kept.
        """
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
