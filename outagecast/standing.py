"""Which update each channel of an incident stands at: by what it carries, and what was passed over there."""

from __future__ import annotations

from outagecast import report
from outagecast.ledger import Ledger
from outagecast.model import DOUBTFUL, PUBLISHED, State

_UNFINISHED = DOUBTFUL | {State.READY, State.FAILED}
_LEFT_AS_IT_IS = {State.SKIPPED, State.UNCHANGED}


def newest(ledger: Ledger, slug: str) -> dict[str, int]:
    """For each channel the newest update that was opened there, be it only to pass it over."""
    past = ledger.past(slug, ())
    return dict(sorted((*past.opened, *past.begun), key=lambda pair: pair[1]))


def judged(ledger: Ledger, slug: str) -> dict[str, int]:
    """For each channel the update to judge it by: its newest, or where that passed it over, what it carries."""
    numbers: dict[str, int] = {}
    past = ledger.past(slug, ())
    for update in past.updates:
        states: dict[str, set[State]] = {}
        for item in ledger.tallies(slug, update.number):
            states.setdefault(item.channel, set()).add(item.state)
        for channel, its in states.items():
            if its <= _LEFT_AS_IT_IS and _has_drifted(ledger, slug, channel, numbers.get(channel)):
                continue
            if its != {State.SKIPPED} or not _carries(ledger, slug, channel, numbers.get(channel)):
                numbers[channel] = update.number
    for channel, number in past.begun:  # of people who are not all written down there is nothing to count yet
        numbers[channel] = max(number, numbers.get(channel, 0))
    return numbers


def _has_drifted(ledger: Ledger, slug: str, channel: str, number: int | None) -> bool:
    """Whether what a channel carries was found to be different or gone."""
    return number is not None and any(
        item.channel == channel and item.state in report.DRIFTED for item in ledger.tallies(slug, number)
    )


def _carries(ledger: Ledger, slug: str, channel: str, number: int | None) -> bool:
    """Whether something of an update is, or may be, out on a channel."""
    carried = PUBLISHED | DOUBTFUL | {State.UNCHANGED}
    return number is not None and any(
        item.channel == channel and item.state in carried for item in ledger.tallies(slug, number)
    )


def worded(ledger: Ledger, slug: str, channel: str, number: int) -> int:
    """The update whose words a channel shows: where it was left unchanged, the one before that went out there."""
    for earlier in range(number, 0, -1):
        states = {item.state for item in ledger.tallies(slug, earlier) if item.channel == channel}
        if states & PUBLISHED:
            return earlier
        if State.UNCHANGED not in states and states - {State.SKIPPED}:
            break
    return number


def is_unfinished(ledger: Ledger, slug: str) -> bool:
    """Whether resuming could change something."""
    return bool(ledger.past(slug, ()).begun) or any(
        item.channel == channel and item.state in _UNFINISHED and not item.refused
        for channel, number in judged(ledger, slug).items()
        for item in ledger.tallies(slug, number)
    )
