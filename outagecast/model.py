"""The nouns that every floor shares: frozen dataclasses and enums, no I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """Where an incident stands; the last word on it is a closing one."""

    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    MONITORING = "monitoring"
    RESOLVED = "resolved"
    SCHEDULED = "scheduled"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    RETRACTED = "retracted"

    @property
    def is_closing(self) -> bool:
        """Whether nothing more is promised after it."""
        return self in {Status.RESOLVED, Status.COMPLETED, Status.RETRACTED}

    @property
    def is_maintenance(self) -> bool:
        """Whether it belongs to planned work rather than to an incident."""
        return self in {Status.SCHEDULED, Status.IN_PROGRESS, Status.COMPLETED}


class Impact(StrEnum):
    """How much of the service the incident takes away."""

    NONE = "none"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"
    MAINTENANCE = "maintenance"


class ComponentState(StrEnum):
    """How one part of the service is doing."""

    OPERATIONAL = "operational"
    DEGRADED_PERFORMANCE = "degraded_performance"
    PARTIAL_OUTAGE = "partial_outage"
    MAJOR_OUTAGE = "major_outage"
    UNDER_MAINTENANCE = "under_maintenance"


class State(StrEnum):
    """Where one delivery stands; the moves between states are ``outagecast.transitions.TRANSITIONS``."""

    READY = "ready"
    ATTEMPTING = "attempting"
    ACCEPTED = "accepted"
    IN_DOUBT = "in_doubt"
    NEEDS_DECISION = "needs_decision"
    FAILED = "failed"
    VERIFIED = "verified"
    MISMATCH = "mismatch"
    MISSING = "missing"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    UNCHANGED = "unchanged"


PUBLISHED = frozenset({State.ACCEPTED, State.VERIFIED, State.MISMATCH, State.MISSING})
DOUBTFUL = frozenset({State.ATTEMPTING, State.IN_DOUBT, State.NEEDS_DECISION})

SECOND = "post 2"  # the target of a thread's second post; no recipient's address is like it
_IN_SECOND = "_2"


def in_second(part: str) -> str:
    """The name, in a variant, of the second post's ``part``."""
    return part + _IN_SECOND


def first_of(part: str) -> str:
    """The name of the part that a second post's goes on from; of any other its own."""
    return part.removesuffix(_IN_SECOND)


def posts(parts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """A variant's parts, by the post that they are of: "" for the first, or only one, and ``SECOND``."""
    its: dict[str, dict[str, str]] = {"": {}}
    for name, text in parts.items():
        its.setdefault("" if first_of(name) == name else SECOND, {})[first_of(name)] = text
    return its


@dataclass(frozen=True, slots=True)
class Variant:
    """The message as one channel carries it in one language; its bytes are final."""

    channel: str
    kind: str
    language: str
    parts: Mapping[str, str]
    rung: int  # of the template's ladder, from 1, the fullest; 0 where somebody wrote the text by hand
    source: str  # the template, or the place in the message, that gave the words
    carried: Sequence[str]  # the facts it states
    left_out: Sequence[str]  # the facts it leaves out
    unfitted: Mapping[str, str] = field(default_factory=dict, compare=False)  # before they were spelled for the network
    fullest: Mapping[str, str] = field(default_factory=dict, compare=False)  # what would be said if length cost nothing

    @property
    def digest(self) -> str:
        """SHA-256 of the parts, in hexadecimal."""
        return digest_of(dict(self.parts))

    @property
    def digests(self) -> dict[str, str]:
        """The same of each of its posts; of what is no thread it is the one ``digest``."""
        return {post: digest_of(parts) for post, parts in posts(self.parts).items()}


def digest_of(value: object) -> str:
    """SHA-256 of a JSON value, independent of key order, in hexadecimal."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class Receipt(NamedTuple):
    """A provider's word that it took a delivery."""

    provider_id: str
    url: str | None = None
    detail: str | None = None  # what else the provider said, already cleaned


@dataclass(frozen=True, slots=True)
class Published:
    """What the public sees of one delivery, as read back."""

    parts: Mapping[str, str]
    url: str | None = None
    is_final: bool = True  # False: on its way to whom it is for; ask again later
    lost: str | None = None  # why it never reached them, in a safe sentence
    code: str = ""  # the provider's own, of why
    suppress: str = ""  # why nothing may be sent to this address again, as of a refusal: "stop", "bounce"


class ReadBack(StrEnum):
    """What reading a channel back came to; of many recipients the worst."""

    SEEN = "seen"  # as it was sent
    DIFFERENT = "different"
    GONE = "gone"  # or, of a text, never delivered
    UNCONFIRMED = "unconfirmed"  # not to be seen yet, or on its way
    FAILED = "failed"  # it could not be asked now
    IMPOSSIBLE = "impossible"  # there is no way to ask


@dataclass(frozen=True, slots=True)
class Difference:
    """One part that the public sees otherwise than it was sent; both texts are safe to show."""

    language: str
    part: str
    sent: str
    seen: str


class Delivery(NamedTuple):  # of a million people it is made a million times
    """One variant to one target: the unit of work, of retry and of proof. An adapter gets nothing else."""

    key: str  # unique over (incident, update, channel, target); stable over retries
    incident: str
    update: int
    status: Status
    target: str  # a recipient's address; of a public channel "", or SECOND for a thread's second post
    language: str
    parts: Mapping[str, str]  # finished text, byte for byte what was previewed
    opened_at: datetime  # when the update was opened: the same on every retry
    attempted_at: datetime | None = None  # when the first attempt began: the lower bound of a look-up
    expires_at: datetime | None = None  # after it the text is stale: tell the provider where it can be told
    thread: Receipt | None = None  # what this target already carries of the incident, to reply to
    edits: Receipt | None = None  # the post whose words these replace, where the channel can edit

    @property
    def is_second(self) -> bool:
        """Whether it is a thread's second post, which replies to the first."""
        return self.target == SECOND
