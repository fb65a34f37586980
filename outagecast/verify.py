"""Reading back: what the public sees on each channel, compared with what was sent.

Nothing is sent here, so the ledger's lock is not taken: one must be able to look while a million texts go out. A
look moves only what was taken, between seen, different and gone; no sender does, and of two who look the second yields.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from outagecast import facts, registry
from outagecast.channel import Channel, ReadsBack, ReadsMany
from outagecast.clock import Clock, Timer
from outagecast.errors import ConfigError, ConflictError, Rejected, Unavailable
from outagecast.lane import Progress, words_of
from outagecast.ledger import Entry, Event, Ledger, Move, every_entry
from outagecast.listed import ALONE, Listed
from outagecast.model import PUBLISHED, Delivery, Difference, Published, ReadBack, Receipt, State, in_second
from outagecast.secret import redact
from outagecast.text import clean, folded, printable

if TYPE_CHECKING:
    from outagecast.config import ChannelConfig
    from outagecast.report import ChannelReport

PATIENCE = 30.0  # seconds after its receipt for which a provider may not show what it took
CONFIRM_FOR = timedelta(days=1)  # for which a carrier may still confirm a text; many never do
MOST_FAILED = 5  # questions in a row that fail before a channel is asked no more
MANY = 500  # deliveries; to read the provider's list takes fewer questions than to ask about each of more
MOST_READERS = 8  # that ask at once: what was sent to many need not be seen as fast
MOST_WORDS = 1000  # that are compared one by one
LONGEST_TEXT = 8000  # characters of what is seen, for people; whoever changed it may have made it endless
_PAUSE = (0.5, 5.0)  # seconds between two looks: the first, and the longest
_NAP = 0.5  # seconds: never asleep for longer, since the run may be stopped

_EVENTS = {ReadBack.SEEN: Event.SEEN, ReadBack.DIFFERENT: Event.SEEN_DIFFERENT, ReadBack.GONE: Event.GONE}
_WORST_FIRST = (ReadBack.DIFFERENT, ReadBack.GONE, ReadBack.FAILED, ReadBack.UNCONFIRMED, ReadBack.IMPOSSIBLE)


class Look(NamedTuple):
    """What one look at one delivery came to."""

    result: ReadBack
    reason: str | None = None
    code: str = ""
    difference: Difference | None = None
    retry_after: float | None = None  # seconds
    is_account: bool = False  # every further question would fail in the same way
    is_final: bool = False  # however soon after it was taken
    suppress: str = ""  # why nothing may be sent to this recipient again


@dataclass
class Finding:
    """What the looks at one channel came to."""

    planned: int
    counts: Counter[ReadBack] = field(default_factory=Counter)
    reasons: dict[ReadBack, Counter[str]] = field(default_factory=dict)
    difference: Difference | None = None
    retry_after: float | None = None

    def add(self, look: Look) -> None:
        """Count one delivery, once nothing more will be found out about it."""
        self.counts[look.result] += 1
        if look.reason:
            self.reasons.setdefault(look.result, Counter())[look.reason] += 1
        self.difference = self.difference or look.difference
        self.retry_after = max(filter(None, (self.retry_after, look.retry_after)), default=None)

    def fill(self, look: Look) -> None:
        """Count all that was never looked at."""
        missed = self.planned - self.counts.total()
        if missed > 0:
            self.counts[look.result] += missed
            if look.reason:
                self.reasons.setdefault(look.result, Counter())[look.reason] += missed

    def why(self, result: ReadBack) -> str | None:
        """The commonest reasons, in a sentence; with their numbers, where there are many."""
        reasons = self.reasons.get(result, Counter())
        if self.planned == 1 or reasons.total() == 1:
            return next(iter(reasons), None)
        return "; ".join(f"{count:,} × {reason}" for reason, count in reasons.most_common(3)) or None


def judged(delivery: Delivery, kind: str, seen: Published | None) -> Look:
    """What is seen, against what was sent: both in NFC and with every run of white space one space."""
    if seen and seen.lost:
        return Look(ReadBack.GONE, clean(seen.lost), seen.code, is_final=True, suppress=seen.suppress)
    sent = {part: folded(text) for part, text in delivery.parts.items()}
    shown = {part: folded(text) for part, text in seen.parts.items()} if seen else {}
    if not any(shown.values()):
        # What was taken down is meant to show nothing.
        return Look(ReadBack.GONE, "it is not there any more") if any(sent.values()) else Look(ReadBack.SEEN)
    for part, text in shown.items():
        if text != sent.get(part, ""):
            before, after = readable(kind, part, sent.get(part, "")[:LONGEST_TEXT], text[:LONGEST_TEXT])
            name = in_second(part) if delivery.is_second else part
            difference = Difference(delivery.language, name, _safe(sent.get(part, "")), _safe(text))
            return Look(ReadBack.DIFFERENT, _in_short(before, after), difference=difference)
    if seen and not seen.is_final:
        return Look(ReadBack.UNCONFIRMED)
    return Look(ReadBack.SEEN)


def readable(kind: str, part: str, sent: str, seen: str) -> tuple[str, str]:
    """Both texts as a reader has them; where only what a reader does not see differs, as they are."""
    if part not in registry.channel_class(kind).escapes:
        return sent, seen
    words = folded(facts.visible(sent)), folded(facts.visible(seen))
    return (sent, seen) if words[0] == words[1] else words


def _safe(text: str) -> str:
    return redact(printable(text))[:LONGEST_TEXT]


def _in_short(sent: str, seen: str) -> str:
    """The first place where two texts differ, in a sentence."""
    old, new = sent.split()[:MOST_WORDS], seen.split()[:MOST_WORDS]
    for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            before, after = clean(" ".join(old[i1:i2]), most=60), clean(" ".join(new[j1:j2]), most=60)
            if not before:
                return f'"{after}" was not in what was sent'
            return f'"{before}" was sent, "{after}" is seen' if after else f'"{before}" was sent, and is not seen'
    return "other words are seen than were sent"


@dataclass
class Reading:
    """One look at an incident's channels, several at once."""

    ledger: Ledger
    incident: str
    numbers: Mapping[str, int]  # which update each channel carries
    channels: Mapping[str, ChannelConfig]
    create: Callable[[ChannelConfig], Channel]
    by: str
    clock: Clock = field(default_factory=Clock)
    max_time: float | None = None  # seconds
    watch: Callable[[Progress], None] = lambda _: None
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> dict[str, Finding]:
        """Look at all that was taken. Raises LedgerError where what was seen cannot be written down."""
        self.timer = Timer(self.clock)
        self._failures: list[BaseException] = []
        findings, ends = {}, []
        for name, number in self.numbers.items():
            sizes = Counter(
                {
                    item.state: item.count
                    for item in self.ledger.tallies(self.incident, number)
                    if item.channel == name and item.state in PUBLISHED
                }
            )
            if not sizes:
                continue
            findings[name] = finding = Finding(sizes.total())
            config = self.channels.get(name)
            if config is None:
                finding.fill(Look(ReadBack.IMPOSSIBLE, "the channel is not in the config"))
            elif not issubclass(config.adapter, ReadsBack):
                finding.fill(Look(ReadBack.IMPOSSIBLE))
            else:
                if config.is_bulk:  # what has reached a person stays there
                    finding.counts[ReadBack.SEEN] = sizes[State.VERIFIED]
                ends.append(self.begin(_Reader(self, config, number, finding).run, f"read {name}"))
        for end in ends:
            while not end.wait(0.2):  # in slices, so that a signal is handled while we wait
                pass
        if self._failures:
            raise self._failures[0]
        return findings

    def begin(self, work: Callable[[], None], name: str) -> threading.Event:
        """Start ``work`` in a thread of its own; the event is set at its end."""
        end = threading.Event()

        def body() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread, whatever it is
                self._failures.append(error)
                self.stop.set()
            finally:
                end.set()

        threading.Thread(target=body, name=name, daemon=True).start()
        return end

    def is_over(self) -> bool:
        """Whether nothing more may be asked."""
        return self.stop.is_set() or (self.max_time is not None and self.timer.seconds() >= self.max_time)


class _Reader:
    """One channel, looked at by one or more threads, each with an adapter of its own."""

    def __init__(self, run: Reading, config: ChannelConfig, number: int, finding: Finding) -> None:
        self._run, self._config, self._finding = run, config, finding
        self._where = (run.incident, number, config.name)
        self._gap = 1 / config.options.rate if config.options.rate else 0.0  # seconds between two questions
        self._free_at = 0.0
        self._turn = threading.Lock()
        self._mutex = threading.Lock()
        self._again: list[tuple[Entry, Look]] = []
        self._failed = 0  # questions in a row
        self._dead: Look | None = None  # why asking on would be useless

    def run(self) -> None:
        """Look; and again, with growing pauses, at what is so young that it may only not be shown yet."""
        states = PUBLISHED - {State.VERIFIED} if self._config.is_bulk else PUBLISHED
        entries = every_entry(self._run.ledger, *self._where, states)
        if self._config.is_bulk and self._finding.planned - self._finding.counts.total() > MANY:
            entries = self._unlisted(entries)
        pause = _PAUSE[0]
        while True:
            self._round(entries)
            if not self._again or self._dead or self._run.is_over():
                break
            if pause == _PAUSE[0] and not self._config.is_bulk:
                entry, look = self._again[0]
                self._tell(entry, Event.GONE, f"{_unproved(look).reason or 'not confirmed yet'}; looking again")
            asked = max((look.retry_after or 0.0 for _, look in self._again), default=0.0)
            self._sleep(max(asked, min(pause, max(self._left(entry) for entry, _ in self._again))))
            pause = min(pause * 2, _PAUSE[1])
            if self._run.is_over():
                break
            entries, self._again = iter([entry for entry, _ in self._again]), []
        for _, look in self._again:
            self._finding.add(_unproved(look))
        over = Look(ReadBack.UNCONFIRMED, "it was not looked at: the time was over")
        self._finding.fill(self._dead or over)

    def _round(self, entries: Iterator[Entry]) -> None:
        count = min(self._config.workers, MOST_READERS)
        workers = [self._run.begin(lambda: self._work(entries), f"{self._config.name} {n}") for n in range(1, count)]
        try:
            self._work(entries)
        finally:
            for worker in workers:
                worker.wait()

    def _work(self, entries: Iterator[Entry]) -> None:
        adapter: Channel | None = None
        try:
            while entry := self._next(entries):
                if adapter is None:
                    try:
                        adapter = self._run.create(self._config)
                    except Exception as error:  # noqa: BLE001 - a bug in an adapter must not end the run
                        self._conclude(entry, _failure(error))
                        continue
                self._conclude(entry, self._look(adapter, entry))
        finally:
            if adapter:
                adapter.close()

    def _unlisted(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """Judge all that the provider's list tells, without waiting for what it does not tell yet; yields what must be
        asked about alone."""
        run, asked = self._run, self._run.clock.now()
        try:
            adapter = run.create(self._config)
        except Exception as error:  # noqa: BLE001 - as below
            self._dead = _failure(error)
            return
        variants = run.ledger.variants(run.incident, self._where[1])
        texts = [variant.parts for variant in variants if variant.channel == self._config.name]
        with contextlib.closing(adapter), contextlib.closing(Listed(texts)) as listed:
            if not isinstance(adapter, ReadsMany) or (first := next(entries, None)) is None:
                yield from entries
                return
            opened = first.delivery.opened_at
            try:
                for sighting in adapter.read_many(min(first.delivery.attempted_at or opened, opened), asked):
                    if run.is_over():
                        return
                    listed.add(sighting)
            except Exception as error:  # noqa: BLE001 - a bug in an adapter must not end the run
                self._dead = _failure(error)
                return
            for entry in itertools.chain([first], entries):
                if run.is_over():
                    return
                seen = listed.get(entry.receipt.provider_id) if entry.receipt else ALONE
                if seen is None and asked - _began(entry) <= CONFIRM_FOR:
                    self._conclude(entry, Look(ReadBack.UNCONFIRMED), may_wait=False)
                elif seen is None or seen is ALONE:
                    yield entry
                else:
                    self._conclude(entry, self._judge(entry, seen, asked), may_wait=False)

    def _next(self, entries: Iterator[Entry]) -> Entry | None:
        """The next delivery, as soon as the pace allows it; None where no more is to be asked."""
        with self._turn:
            if self._run.is_over() or self._dead or (entry := next(entries, None)) is None:
                return None
            while not self._run.is_over() and (wait := self._free_at - self._run.timer.seconds()) > 0:
                self._run.clock.wait(min(wait, _NAP), self._run.stop)
            self._free_at = max(self._free_at, self._run.timer.seconds()) + self._gap
            return None if self._run.is_over() else entry

    def _look(self, adapter: Channel, entry: Entry) -> Look:
        """Ask once. The one place where everything is caught: whatever it was, nothing is known."""
        if not isinstance(adapter, ReadsBack):
            return Look(ReadBack.IMPOSSIBLE)
        asked = self._run.clock.now()
        try:
            seen = adapter.read_back(entry.delivery, entry.receipt or Receipt(""))
        except Exception as error:  # noqa: BLE001 - a bug in an adapter must not end the run
            return _failure(error)
        return self._judge(entry, seen, asked)

    def _judge(self, entry: Entry, seen: Published | Rejected | None, asked: datetime) -> Look:
        if isinstance(seen, Rejected):
            return _failure(seen)
        look = judged(entry.delivery, self._config.kind, seen)
        if look.result is ReadBack.UNCONFIRMED and asked - _began(entry) > CONFIRM_FOR:
            return Look(ReadBack.IMPOSSIBLE, "never confirmed by the carrier")
        return look

    def _conclude(self, entry: Entry, look: Look, *, may_wait: bool = True) -> None:
        """Write down what is certain, and keep for another look what is not."""
        is_proof = look.result in _EVENTS
        with self._mutex:
            self._failed = self._failed + 1 if look.result is ReadBack.FAILED else 0
            if look.is_account or self._failed >= MOST_FAILED:
                self._dead = look
            is_settled = look.is_final or look.result in {ReadBack.SEEN, ReadBack.IMPOSSIBLE}
            if may_wait and not is_settled and self._left(entry) > 0:
                self._again.append((entry, look))
                return
            self._finding.add(look)
        state = self._record(entry, look) if is_proof else entry.state
        self._tell(replace(entry, state=state), _EVENTS.get(look.result, Event.GONE), look.reason)

    def _record(self, entry: Entry, look: Look) -> State:
        move = Move(_EVENTS[look.result], look.reason, look.code or None, suppress=look.suppress)
        try:
            return self._run.ledger.move(entry, move, self._run.clock.now(), self._run.by)
        except ConflictError:  # somebody else has looked at this very moment, and has written it down
            return entry.state

    def _left(self, entry: Entry) -> float:
        """Seconds for which not to be seen proves nothing, since it has only just been taken."""
        age = (self._run.clock.now() - entry.changed_at).total_seconds()
        return PATIENCE - age if entry.state is State.ACCEPTED else 0.0

    def _tell(self, entry: Entry, event: Event, reason: str | None) -> None:
        with contextlib.suppress(Exception):  # a terminal that went away must not end a run
            self._run.watch(Progress(entry.channel, event, entry.state, reason))

    def _sleep(self, seconds: float) -> None:
        until = self._run.timer.seconds() + seconds
        while not self._run.is_over() and (left := until - self._run.timer.seconds()) > 0:
            self._run.clock.wait(min(left, _NAP), self._run.stop)


def _began(entry: Entry) -> datetime:
    return entry.delivery.attempted_at or entry.changed_at


def _failure(error: Exception) -> Look:
    """What it means that a question was not answered."""
    reason = words_of(error)
    is_account = isinstance(error, ConfigError) or (isinstance(error, Rejected) and error.account)
    if isinstance(error, Rejected) and not is_account and not error.code:  # the adapter's own word: there is no way
        return Look(ReadBack.IMPOSSIBLE, reason)
    after = error.retry_after if isinstance(error, Unavailable) else None
    return Look(ReadBack.FAILED, reason, retry_after=after, is_account=is_account)


def _unproved(look: Look) -> Look:
    """What is left of a look at something too young to be judged."""
    return look if look.result is ReadBack.FAILED else Look(ReadBack.UNCONFIRMED, look.reason and "not to be seen yet")


def told(channel: ChannelReport, finding: Finding | None, again: str) -> ChannelReport:
    """A channel's report, with what looking at it has found; ``again`` is the command that looks once more."""
    if finding is None:
        return channel
    present = [result for result in _WORST_FIRST if finding.counts[result]]
    if not channel.differs:  # of many people a few are always out of reach
        present = [result for result in present if result not in {ReadBack.GONE, ReadBack.DIFFERENT}]
    result = present[0] if present else ReadBack.SEEN
    is_untold = result in {ReadBack.FAILED, ReadBack.UNCONFIRMED}
    wait = math.ceil(finding.retry_after) if finding.retry_after and is_untold else None
    return replace(
        channel,
        read_back=result,
        difference=finding.difference,
        error=(None if channel.differs else channel.error) or finding.why(result) or channel.error,
        retry_after_s=channel.retry_after_s if wait is None else wait,
        next_action=channel.next_action or (again if is_untold else None),
    )
