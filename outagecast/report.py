"""What is out, what is not, what is unknown: the one shape that people, runbooks and monitoring read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from outagecast import measure, promises, registry, render, score, speed, spelling
from outagecast.changes import Change, Earlier
from outagecast.config import ChannelConfig, Price, Promise
from outagecast.errors import PRECEDENCE, ExitCode, Problem
from outagecast.ledger import Entry, Hold, Ledger, Opening, Refusal, Update
from outagecast.model import DOUBTFUL, PUBLISHED, Difference, ReadBack, Receipt, State, Variant, posts
from outagecast.plan import Plan, counted
from outagecast.promises import Course, Party, Row

SCHEMA_VERSION = 1
TOLERATED_REFUSALS = 5  # percent of a channel's recipients, for their own reason, before it counts
DRIFTED = frozenset({State.MISMATCH, State.MISSING})
NOBODY: Mapping[str, str] = {}

_UNTOLD = {ReadBack.UNCONFIRMED, ReadBack.FAILED}
# Of a bulk channel's recipients, the state furthest to the left is the channel's.
_WORST_FIRST = (
    *(State.NEEDS_DECISION, State.IN_DOUBT, State.ATTEMPTING, State.MISSING, State.MISMATCH, State.FAILED),
    *(State.READY, State.EXPIRED, State.CANCELLED, State.SUPERSEDED),
    *(State.ACCEPTED, State.VERIFIED, State.UNCHANGED, State.SKIPPED),
)


class Counts(NamedTuple):
    """Deliveries of one channel, by what became of them."""

    planned: int = 0
    accepted: int = 0
    verified: int = 0
    refused: int = 0  # for the recipient's own reason
    failed: int = 0
    in_doubt: int = 0
    pending: int = 0
    skipped: int = 0
    mismatch: int = 0
    missing: int = 0


class Cost(NamedTuple):
    """What sending to everybody costs, where a price is configured."""

    units: int  # SMS segments, posts or mails
    price: Price

    @property
    def total(self) -> Decimal:
        """The sum, in the price's currency."""
        return self.price.amount * self.units


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """One channel's state."""

    channel: str
    kind: str
    state: State
    counts: Counts
    update: int
    required: bool = True
    unchanged: bool = False  # it carries these very words already
    differs: bool = False  # what the public sees of it is something else, or gone
    provider_id: str | None = None
    url: str | None = None
    attempts: int = 0
    changed_at: datetime | None = None
    error: str | None = None
    next_action: str | None = None
    retry_after_s: int | None = None
    variants: Sequence[Variant] = ()
    cost: Cost | None = None
    row: Row | None = None  # the channel through the whole incident
    owner: str | None = None  # whom to call about the channel's account
    read_back: ReadBack | None = None  # what this run's look at it came to, if it looked
    difference: Difference | None = None
    deleted: int = 0  # earlier posts that this run took down
    unsent: int = 0  # of those that failed: called off, too old or overtaken before they were sent
    frozen: bool = True  # whether all of its deliveries are written down; of many people that takes a while
    held: Hold | None = None  # who has paused what is not sent yet, and why
    sending: str = ""  # who is sending to its people at this moment, if that is not us
    rate: float | None = None  # people told per second, where somebody is telling them
    refusals: Sequence[Refusal] = ()  # why people were refused, the most frequent first
    previous: Mapping[str, Earlier] = field(default_factory=dict)  # by language, the words it carries already

    @property
    def published(self) -> str:
        """``yes``: at least one target carries it; ``unknown``: none does for certain and some may; ``no``: neither."""
        if self.counts.accepted > self.counts.missing or self.unchanged:
            return "yes"
        return "unknown" if self.counts.in_doubt else "no"

    @property
    def complete(self) -> bool:
        """Whether everybody who was to carry it does."""
        carried = self.counts.accepted - self.counts.mismatch - self.counts.missing
        return self.frozen and carried == self.counts.planned

    @property
    def seconds_left(self) -> int | None:
        """Until everybody who waits is told, at the rate of the last minutes; None where nobody can say."""
        return speed.seconds_left(self.counts.pending, self.rate) if self.frozen else None

    @property
    def too_many_refused(self) -> bool:
        return _too_many(self.counts.refused, self.counts.planned)

    def as_json(self) -> dict[str, Any]:
        """The channel's object of the JSON contract."""
        counts = {name: getattr(self.counts, name) for name in Counts._fields}
        return {
            "channel": self.channel,
            "kind": self.kind,
            "state": self.state.value,
            "published": self.published,
            "complete": self.complete,
            "required": self.required,
            "counts": counts,
            "provider_id": self.provider_id,
            "url": self.url,
            "update": self.update,
            "carries": self.row.carries if self.row else None,
            "since": _stamp(self.row.since if self.row else None),
            "due_at": _stamp(self.row.due.at if self.row and self.row.due else None),
            "overdue": bool(self.row and self.row.overdue),
            "attempts": self.attempts,
            "error": self.error,
            "next_action": self.next_action,
            "owner": self.owner,
            "retry_after_s": self.retry_after_s,
            "held": self.held and {"by": self.held.by, "at": _stamp(self.held.at), "why": self.held.why},
            "rate_per_s": self.rate and round(self.rate, 1),
            "seconds_left": self.seconds_left,
            "refused_by_reason": {one.words: one.count for one in self.refusals},
            "read_back": self.read_back and self.read_back.value,
            "deleted": self.deleted,
            "difference": self.difference
            and {name: getattr(self.difference, name) for name in ("language", "part", "sent", "seen")},
            "cost": self.cost
            and {"units": self.cost.units, "amount": str(self.cost.total), "currency": self.cost.price.currency},
            "variants": [_variant(variant, self.previous.get(variant.language)) for variant in self.variants],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run's outcome, or an incident's state."""

    incident: str | None = None
    update: int | None = None
    status: str | None = None
    mode: str = "live"
    digest: str | None = None
    exit_code: ExitCode = ExitCode.DONE
    overdue: bool = False
    next_update_at: datetime | None = None
    corrects: int | None = None  # the update whose words this one puts right
    course: Course | None = None
    errors: Sequence[Problem] = ()
    warnings: Sequence[str] = ()
    changes: Sequence[Change] = ()  # since the update before
    channels: Sequence[ChannelReport] = ()

    def as_json(self) -> dict[str, Any]:
        """The JSON contract, version 1."""
        names = ("file", "line", "column", "message", "hint")
        return {
            "schema_version": SCHEMA_VERSION,
            "incident": self.incident,
            "update": self.update,
            "status": self.status,
            "corrects": self.corrects,
            "mode": self.mode,
            "digest": self.digest,
            "exit_code": int(self.exit_code),
            "exit_name": self.exit_code.label,
            "overdue": self.overdue,
            **_course(self.course),
            "errors": [{name: getattr(problem, name) for name in names} for problem in self.errors],
            "warnings": list(self.warnings),
            "changes": [change.as_json() for change in self.changes],
            "channels": [channel.as_json() for channel in self.channels],
        }


def _course(course: Course | None) -> dict[str, Any]:
    return {
        "next_due_at": _stamp(course.next_due_at if course else None),
        "updates": course.updates_json() if course else [],
        "silent": [row.as_json() for row in course.silent] if course else [],
        "score": course.score.as_json() if course and course.score else None,
    }


def _stamp(time: datetime | None) -> str | None:
    return time.isoformat(timespec="seconds") if time else None


def _variant(variant: Variant, previous: Earlier | None) -> dict[str, Any]:
    spelled = spelling.of(variant)
    return {
        "language": variant.language,
        "parts": dict(variant.parts),
        "measures": {
            part: measured.as_json() | {"spelling": spelled[part].as_json() if part in spelled else None}
            for part, measured in render.measures(variant.kind, variant.parts, variant.language).items()
        },
        "rung": variant.rung,
        "source": variant.source,
        "facts": {"carried": list(variant.carried), "left_out": list(variant.left_out)},
        "previous": previous and previous.as_json(),
    }


def planned(
    plan: Plan, variants: Sequence[Variant], openings: Iterable[Opening], recorded: Mapping[str, ChannelReport]
) -> list[ChannelReport]:
    """The channels of a run that stops before sending; ``recorded``, those whose deliveries exist already."""
    states: dict[str, Counter[tuple[State, bool]]] = {}
    due: dict[str, Counter[str]] = {}  # by language
    reasons: dict[str, str | None] = {}
    for opening, count in counted(plan, openings):
        states.setdefault(opening.channel, Counter())[opening.state, False] += count
        reasons.setdefault(opening.channel, opening.reason)
        if opening.state is State.READY:
            due.setdefault(opening.channel, Counter())[opening.language] += count
    reports = []
    for channel in plan.channels:
        words = [variant for variant in variants if variant.channel == channel.name]
        if channel.name in recorded:
            readers = channel.readers
            readers = Counter({item.language: readers[item.language] * len(posts(item.parts)) for item in words})
            reports.append(replace(recorded[channel.name], cost=_cost(channel.config, words, readers)))
            continue
        tally = states.get(channel.name, Counter())
        state, counts = _summary(tally)
        reports.append(
            ChannelReport(
                channel=channel.name,
                kind=channel.kind,
                state=state,
                counts=counts,
                update=plan.number,
                required=channel.config.options.required,
                unchanged=bool(tally[State.UNCHANGED, False]),
                error=None if counts.planned else reasons.get(channel.name),
                variants=words,
                owner=channel.config.options.owner,
                cost=_cost(channel.config, words, due[channel.name]) if channel.name in due else None,
            )
        )
    return reports


def recorded(
    ledger: Ledger,
    incident: str,
    numbers: Mapping[str, int],
    channels: Mapping[str, ChannelConfig],
    now: datetime,
    *,
    sending: Mapping[str, str] = NOBODY,
) -> list[ChannelReport]:
    """The state of an incident's channels. ``numbers``: which update to judge each channel by.

    ``sending``: where somebody else is sending to people at this moment, and who.
    """
    reports = []
    tallies = {number: ledger.tallies(incident, number) for number in set(numbers.values())}
    words = {number: ledger.variants(incident, number) for number in set(numbers.values())}
    begun = ledger.past(incident, ()).begun
    for name, number in numbers.items():
        tally = Counter({(item.state, item.refused): item.count for item in tallies[number] if item.channel == name})
        if sending.get(name):  # what is under way is no doubt
            tally[State.READY, False] += tally.pop((State.ATTEMPTING, False), 0)
        variants = [variant for variant in words[number] if variant.channel == name]
        is_bulk = name in channels and channels[name].is_bulk
        frozen = (name, number) not in begun
        if not tally and frozen:
            if name in channels:  # nobody in its audience
                mine = channels[name]
                nobody = ChannelReport(name, mine.kind, State.SKIPPED, Counts(), number, mine.options.required)
                reports.append(nobody)
            continue
        state, counts = _summary(tally) if tally else (State.READY, Counts())
        worst = ledger.entries(incident, number, name, {state})
        entry = worst[0] if worst else None
        due = ledger.next_try(incident, number, name) or _settled_at(entry, variants[0].kind)
        if state is State.FAILED and due is None:  # what waits for a post that failed has failed with it
            counts = counts._replace(failed=counts.failed + counts.pending, pending=0)
        receipt = _receipt(ledger, incident, number, name, entry)
        told = ChannelReport(
            channel=name,
            kind=variants[0].kind,
            state=state,
            counts=counts,
            update=number,
            required=channels[name].options.required if name in channels else False,
            unchanged=bool(tally[State.UNCHANGED, False]),
            differs=_is_drift(counts),
            provider_id=receipt.provider_id if receipt else None,
            url=receipt.url if receipt else None,
            attempts=max((item.attempts for item in worst), default=0),
            changed_at=max((item.changed_at for item in worst), default=None),
            error=_reason(entry) if entry and state not in PUBLISHED - DRIFTED else None,
            # Whom the provider refused for their own reason, no resume tries again.
            next_action=None
            if state is State.FAILED and not counts.failed
            else next_action(incident, name, state, configured=name in channels),
            retry_after_s=max(0, math.ceil((due - now).total_seconds())) if due else None,
            variants=variants,
            owner=channels[name].options.owner if name in channels else None,
            unsent=sum(tally[state, False] for state in (State.CANCELLED, State.EXPIRED, State.SUPERSEDED)),
            frozen=frozen,
        )
        reports.append(_of_people(told, ledger, incident, now, sending.get(name, "")) if is_bulk else told)
    return reports


def _of_people(channel: ChannelReport, ledger: Ledger, incident: str, now: datetime, sending: str) -> ChannelReport:
    """The same with what is to be known of a channel that tells many people."""
    where = (incident, channel.update, channel.channel)
    held = ledger.held(*where) if channel.counts.pending or not channel.frozen else None
    windows = ledger.windows(*where, now - timedelta(seconds=speed.LATELY)) if sending and not held else []
    return replace(
        channel,
        held=held,
        sending=sending,
        rate=speed.per_second([(at.timestamp(), count) for at, count in windows], now.timestamp()),
        refusals=ledger.refusals(*where) if channel.counts.refused else (),
        next_action=None if sending else _next(channel, incident, held),
        retry_after_s=None if held or sending else channel.retry_after_s,
    )


def _next(channel: ChannelReport, incident: str, held: Hold | None) -> str | None:
    if not channel.frozen:  # only whoever reads the audience again can say who is to be told
        return f"outagecast announce --incident {incident}"
    return f"outagecast resume {incident}" if held else channel.next_action


def _receipt(ledger: Ledger, incident: str, number: int, channel: str, entry: Entry | None) -> Receipt | None:
    """Of what became of ``entry``; of a thread whose second post it is, that of the first where it has none."""
    if entry is None:
        return None
    if entry.receipt or not entry.delivery.is_second:
        return entry.receipt
    out = ledger.entries(incident, number, channel, PUBLISHED)
    return next((other.receipt for other in out if other.delivery.language == entry.delivery.language), None)


def _reason(entry: Entry) -> str | None:
    """Why it is in its state; it could be taken for that of the first post."""
    return f"its second post: {entry.reason}" if entry.reason and entry.delivery.is_second else entry.reason


def _settled_at(entry: Entry | None, kind: str) -> datetime | None:
    """When a look-up can be the last word on what is in doubt: before, asking again can only find it."""
    if entry is None or entry.state is not State.IN_DOUBT:
        return None
    return (entry.delivery.attempted_at or entry.changed_at) + registry.channel_class(kind).semantics.settle


def _summary(tally: Mapping[tuple[State, bool], int]) -> tuple[State, Counts]:
    """A channel's state and counts out of how many of its deliveries are in which state, refused or not."""
    by: Counter[State] = Counter()
    refused = 0
    for (state, is_refused), count in tally.items():
        if is_refused and state is State.FAILED:
            refused += count
        else:
            by[state] += count
    gone = by[State.EXPIRED] + by[State.CANCELLED] + by[State.SUPERSEDED]
    skipped = by[State.SKIPPED] + by[State.UNCHANGED]
    counts = Counts(
        planned=sum(by.values()) + refused - skipped,
        accepted=sum(by[state] for state in PUBLISHED),
        verified=by[State.VERIFIED],
        refused=refused,
        failed=by[State.FAILED] + gone,
        in_doubt=sum(by[state] for state in DOUBTFUL),
        pending=by[State.READY],
        skipped=skipped,
        mismatch=by[State.MISMATCH],
        missing=by[State.MISSING],
    )
    present = {state for state, count in by.items() if count}
    if not _is_drift(counts):
        present.discard(State.MISSING)
    if _too_many(refused, counts.planned):
        present.add(State.FAILED)
    return next((state for state in _WORST_FIRST if state in present), State.SKIPPED), counts


def _is_drift(counts: Counts) -> bool:
    """Whether the public sees something else: of many people a few are always out of reach, as with refusals."""
    return counts.mismatch > 0 or _too_many(counts.missing, counts.planned)


def _too_many(refused: int, planned: int) -> bool:
    return refused * 100 > TOLERATED_REFUSALS * planned


def judge(channels: Iterable[ChannelReport], *, interrupted: ExitCode | None = None, overdue: bool = False) -> ExitCode:
    """The exit code: what is certain of every required channel. What others carry is published all the same."""
    everywhere = list(channels)
    needed = [channel for channel in everywhere if channel.required]
    published = any(channel.published == "yes" for channel in everywhere)
    failed = any(channel.counts.failed or channel.too_many_refused for channel in needed)
    in_doubt = any(channel.counts.in_doubt for channel in needed)
    # "Nothing published, certain" must not be said while an optional channel may carry it.
    uncertain = failed and not published and any(channel.counts.in_doubt for channel in everywhere)
    applies = {
        ExitCode.DIFFERS: any(channel.differs for channel in needed),
        ExitCode.IN_DOUBT: in_doubt or uncertain,
        ExitCode.PARTIAL: failed and published,
        ExitCode.PENDING: any(
            channel.counts.pending or not channel.frozen or channel.read_back in _UNTOLD for channel in needed
        ),
        ExitCode.NOTHING_PUBLISHED: failed and not published,
        ExitCode.OVERDUE: overdue,
    }
    if interrupted:
        applies[interrupted] = True
    return next((code for code in PRECEDENCE if applies.get(code)), ExitCode.DONE)


def course(
    ledger: Ledger, updates: Sequence[Update], channels: Mapping[str, ChannelConfig], promise: Promise, now: datetime
) -> Course:
    """An incident through all its updates (at least one) and channels, with what was promised."""
    heard = ledger.heard(updates[-1].incident)
    tallies: dict[tuple[str, int], Counter[tuple[State, bool]]] = {}
    for item in heard:
        tallies.setdefault((item.channel, item.number), Counter())[item.state, item.refused] += item.count
    matrix = promises.cells(heard, {where: _summary(tally)[0] for where, tally in tallies.items()})
    known = sorted(channels.values(), key=lambda channel: channel.is_bulk)
    parties = [
        Party(channel.name, channel.options.required, channel.options.on or (), not channel.is_bulk)
        for channel in known
    ]
    parties += [Party(name, required=False) for name in matrix if name not in channels]
    return score.scored(promises.course(updates, matrix, parties, promise, now))


def next_action(incident: str, channel: str, state: State, *, configured: bool) -> str | None:
    """The one command to type next for a channel in this state, if there is one."""
    if state is State.NEEDS_DECISION:
        return f"outagecast settle {incident} {channel} --published URL | --not-published | --resend"
    if not configured:
        return f"put the channel {channel} back into the config" if state in {State.READY, *DOUBTFUL} else None
    if state in {State.READY, State.ATTEMPTING, State.IN_DOUBT, State.FAILED}:
        return f"outagecast resume {incident}"
    if state in DRIFTED:
        return f"outagecast verify {incident}"
    return None


def _cost(config: ChannelConfig, variants: Iterable[Variant], readers: Mapping[str, int]) -> Cost | None:
    """An SMS is billed by the segment, everything else by the piece."""
    if config.options.price is None:
        return None
    by_segment = registry.channel_class(config.kind).addresses == "phone"
    units = sum(
        readers[variant.language] * (measure.sms(variant.parts["text"]).segments if by_segment else 1)
        for variant in variants
    )
    return Cost(units, config.options.price)
