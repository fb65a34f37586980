"""The port that every channel fills: two methods are enough, capabilities are protocols of their own.

An adapter publishes finished text, once, and says what the provider's *no* means. It never renders, loops, sleeps,
retries or sees the ledger. A new kind is one module in ``channels/``, its templates, a test, a docs page and one line
in ``registry.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from outagecast.errors import ChannelError, Rejected
from outagecast.model import Delivery, Published, Receipt

if TYPE_CHECKING:
    from collections.abc import Iterable
    from socket import socket

FIRST = "first"  # beside the statuses: the first word that a channel carries of an incident, whatever its status
FOLLOW_UP = "follow_up"  # more on what it has told to be over


class Carries(StrEnum):
    """How many of the message's facts a part must hold for the run to go on."""

    EVERYTHING = "everything"  # a long form: every fact the message states
    ESSENTIALS = "essentials"  # a short form: what fails, since when, what works, sorry, when we speak next
    NOTHING = "nothing"  # a headline beside a part that carries them


class Limit(NamedTuple):
    """How long one part may be, in the network's own unit, and which facts it must carry."""

    most: int
    unit: str  # as people read it after a number: "characters", "segments"
    count: Callable[..., int]  # of a text; of one that is spoken, with the code of its language
    carries: Carries = Carries.EVERYTHING
    aim: int | None = None  # where shorter reads better or costs less: the richest text within it is taken first
    fit: Callable[[str], str] | None = None  # spells a finished text as it costs least, its meaning unchanged
    spoken: bool = False  # heard, not read: it is given times and sums in words, and a voice takes longer for German
    for_programs: bool = False  # nobody reads it: where people look at a part, its length is enough

    def length(self, text: str, language: str) -> int:
        """How long ``text`` is, in ``unit``."""
        return self.count(text, language) if self.spoken else self.count(text)

    def fitted(self, text: str) -> str:
        """``text`` as it goes out."""
        return self.fit(text) if self.fit else text


class Idempotency(StrEnum):
    """What happens when the same request reaches the provider twice."""

    NONE = "none"  # two posts
    KEY = "key"  # one: it knows our key for ``key_lifetime``
    MESSAGE_ID = "message_id"  # two copies under one id, which mail readers can fold
    NATURAL = "natural"  # the same bytes replace themselves


class LookUp(StrEnum):
    """What asking the provider for a delivery proves. Presence is always proof; absence only if it is strong."""

    NONE = "none"
    EVENTUAL = "eventual"
    STRONG = "strong"


class OnDoubt(StrEnum):
    """What is done about a delivery that may be out, when no look-up settles it."""

    HOLD = "hold"  # a person decides
    RESEND_ONCE = "resend_once"  # a miss is worse than a repeat
    REPLAY = "replay"  # a repeat changes nothing


class Semantics(NamedTuple):
    """What a provider does with repeats and questions, with its page. The promise in the docs is derived from this."""

    idempotency: Idempotency
    lookup: LookUp
    on_doubt: OnDoubt
    settle: timedelta  # how long a request that timed out may still be applied
    source: str  # the provider's page, or the measurement
    key_lifetime: timedelta | None = None

    @property
    def promise(self) -> str:
        """What we promise of the number of copies, in words."""
        if self.idempotency is Idempotency.NATURAL:
            return "Exactly the newest text, replaced as a whole."
        if self.on_doubt is OnDoubt.RESEND_ONCE:
            return "At least once, at most two copies, both under the same message id."
        if self.idempotency is Idempotency.KEY:
            return f"Once within {self.key_lifetime}; then at most once, and never lost without a word."
        if self.lookup is LookUp.NONE:
            return "At most once; what is in doubt waits for a person."
        return "At most once; what is in doubt is looked up, and if not found waits for a person."


class Channel(Protocol):
    """Publishes finished text to one provider."""

    kind: ClassVar[str]  # also the module's name, the templates' prefix, the test's and the docs page's
    parts: ClassVar[Mapping[str, Limit]]  # what is rendered for it, and how long it may be
    addresses: ClassVar[Literal["phone", "email"] | None]  # the audience's column; None for a public channel
    escapes: ClassVar[frozenset[str]]  # the parts that are HTML, where facts are escaped
    semantics: ClassVar[Semantics]
    imports: ClassVar[
        tuple[str, ...]
    ]  # what its first call imports, so that the channel with least to import starts first

    def check(self) -> None:
        """Prove credentials and reach; publish nothing. Raises ChannelError or ConfigError."""

    def send(self, delivery: Delivery) -> Receipt:
        """Publish once. Raises Rejected, Unavailable or Uncertain; any other exception counts as Uncertain."""
        ...

    def close(self) -> None:
        """Let go of connections. Never raises."""


@runtime_checkable
class Finds(Protocol):
    """Can tell, after a crash or a lost answer, whether a delivery went out."""

    def find(self, delivery: Delivery) -> Receipt | None:
        """The receipt of what the provider carries, or None where it is not seen. Raises ChannelError."""
        ...


@runtime_checkable
class ReadsBack(Protocol):
    """Can fetch what the public sees."""

    def read_back(self, delivery: Delivery, receipt: Receipt) -> Published | None:
        """What is to be seen of it now, or None where it is gone.

        Raises ChannelError: Rejected without a provider's code where this can never be told.
        """
        ...


class Sighting(NamedTuple):
    """One delivery in a provider's list."""

    target: str
    provider_id: str
    seen: Published | Rejected  # Rejected, as of ``read_back``, where this can never be told


@runtime_checkable
class ReadsMany(Protocol):
    """Can list what became of many deliveries, by far fewer questions than one for each."""

    def read_many(self, since: datetime, until: datetime) -> Iterator[Sighting]:
        """All that went on its way between these times, whoever sent it, in any order. Raises ChannelError.

        What waits with the provider, and never began its way, is missing.
        """
        ...


@runtime_checkable
class Withdraws(Protocol):
    """Can take a post down."""

    def withdraw(self, receipt: Receipt) -> None:
        """Delete what the receipt names; already gone is no error. Raises ChannelError."""
        ...


@runtime_checkable
class Edits(Protocol):
    """Can put other words into a post of ours. To do so again changes nothing, so doubt about it is harmless."""

    def edit(self, delivery: Delivery) -> Receipt:
        """Put the words into the post that ``delivery.edits`` names. Raises as ``send`` does.

        Where the channel also finds, ``find`` tells of such a delivery whether that post carries its words.
        """
        ...


@runtime_checkable
class SparesLinks(Protocol):
    """Has a reason to carry a link seldom, such as its price; any other kind carries one on every status."""

    @staticmethod
    def links() -> tuple[str, ...]:
        """The statuses on which its words hold a link, in the vocabulary of a channel's ``on:``, unless the config
        names others."""
        ...


@runtime_checkable
class Speaks(Protocol):
    """Chooses its languages, such as all where it has a place for each; any other public kind carries the first."""

    @staticmethod
    def languages(promised: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the organisation's that it carries, unless the config names others."""
        ...


@runtime_checkable
class Briefs(Protocol):
    """Is read by the organisation's own people alone, so that its templates are given ``briefing``; no other's are."""

    @staticmethod
    def readers() -> str:
        """Who reads it, and how, in words: nothing of it is for the public."""
        ...


@runtime_checkable
class Adapts(Protocol):
    """Has settings that its words depend on, such as how long it shows that something is over."""

    @staticmethod
    def given(settings: Any, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """What its templates may name beside ``facts``, which every kind's may name."""
        ...


@runtime_checkable
class Threads(Protocol):
    """Can carry one update in two posts, the second a reply to the first; not for a kind that edits.

    Each post is a delivery of its own. The second is sent only once the first is out, with ``delivery.thread`` its
    receipt and ``delivery.is_second`` true.
    """

    @staticmethod
    def may_thread(settings: Any) -> bool:
        """Whether this channel's settings ask for it."""
        ...


Outcome: TypeAlias = tuple[Delivery, Receipt | ChannelError]


class Outgoing(NamedTuple):
    """What a conversation has to say now."""

    data: bytes
    begins: Sequence[Delivery]  # those that may be published once a byte of ``data`` has left: noted before it does


class Conversation(Protocol):
    """What is said on one connection that many deliveries share: bytes in, bytes out, no socket and no clock.

    Whoever drives it gives it deliveries while it has room, writes what it says, and hands it what it hears.
    """

    patience: ClassVar[float]  # seconds that the provider may take to answer, before the connection counts as broken

    @property
    def room(self) -> int:
        """How many more deliveries it takes now."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be said on this connection, once what it holds has its outcome."""
        ...

    def take(self, delivery: Delivery) -> None:
        """Take one delivery, when there is room. Raises Rejected where it can never be said."""
        ...

    def outgoing(self) -> Outgoing:
        """What is to be written now, and no more; empty where it waits for an answer."""
        ...

    def incoming(self, data: bytes) -> Iterable[Outcome]:
        """What an answer, or a part of one, decides."""
        ...

    def broken(self, why: str) -> Iterable[Outcome]:
        """The connection ended, or the answer took too long: what that means for each delivery that it holds."""
        ...

    def farewell(self) -> bytes:
        """What is politely said before hanging up; may be nothing."""
        ...


class Line(NamedTuple):
    """One open connection: encrypted, logged in, and blocking, as whoever opened it left it."""

    socket: socket
    conversation: Conversation


@runtime_checkable
class Bulk(Protocol):
    """Can serve many recipients over few kept connections, without waiting for one before it turns to the next."""

    @property
    def connections(self) -> int:
        """How many lines may be open at once, by its settings."""
        ...

    def connect(self) -> Line:
        """A line of its own, safe to call from several threads. Raises ChannelError or ConfigError, in its own time."""
        ...


class Grant(NamedTuple):
    """What the provider says of our credentials: until when they are good, and what they do not allow."""

    expires_at: datetime | None = None  # None: not before somebody revokes them
    lacks: tuple[str, ...] = ()  # rights that publishing needs


@runtime_checkable
class Inspects(Protocol):
    """Can ask the provider about the credentials themselves."""

    def inspect(self) -> Grant | None:
        """What they are good for, or None where the provider does not tell. Raises ChannelError."""
        ...
