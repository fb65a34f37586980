"""Pausing what is still to be sent to many people, letting it go on, and calling the rest off."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from datetime import timedelta

from outagecast import standing
from outagecast.clock import Clock
from outagecast.config import ChannelConfig
from outagecast.errors import ConflictError, Problem, UsageError
from outagecast.ledger import Ledger
from outagecast.model import State

BY_HAND = "paused by hand"
PATIENCE = timedelta(seconds=30)  # that what is under way may take to end
_NAP = 0.2  # seconds between two looks whether it has

_WAITING = {State.READY, State.ATTEMPTING}


def waiting(
    ledger: Ledger, slug: str, channels: Mapping[str, ChannelConfig], only: Collection[str] = ()
) -> dict[str, int]:
    """The channels on which people still wait for a word of an incident, each with the update that it is.

    Raises UsageError where there is none, or where one of ``only`` is a public channel.
    """
    for name in only:
        if name in channels and not channels[name].is_bulk:
            raise UsageError(Problem(f"{name} is posted at once, and has no rest that could wait", _look(slug)))
    opened = {**standing.newest(ledger, slug), **standing.judged(ledger, slug)}
    numbers = {name: number for name, number in opened.items() if name in channels and channels[name].is_bulk}
    numbers = {name: number for name, number in numbers.items() if not only or name in only}
    found = {name: number for name, number in numbers.items() if _is_waiting(ledger, slug, number, name)}
    if not found:
        on = f" on {', '.join(only)}" if only else ""
        raise UsageError(Problem(f"nothing of {slug} waits to be sent to people{on}", _look(slug)))
    return found


def _is_waiting(ledger: Ledger, slug: str, number: int, name: str) -> bool:
    if not ledger.is_frozen(slug, number, name):
        return True
    return any(item.channel == name and item.state in _WAITING for item in ledger.tallies(slug, number))


def _look(slug: str) -> str:
    return f"look with: outagecast status {slug}"


def cancel(ledger: Ledger, slug: str, chosen: Mapping[str, int], clock: Clock, by: str) -> list[str]:
    """Call off what is not sent yet; the channels on which something was still under way, and stays paused.

    Whoever is sending is made to stop first, so that nothing goes out that comes back unsent later.
    """
    for name, number in chosen.items():
        ledger.hold(slug, number, name, "about to be called off", clock.now(), by)
    ends, busy = clock.now() + PATIENCE, []
    for name, number in chosen.items():
        while not _called_off(ledger, slug, number, name, clock, by):
            if clock.now() >= ends:
                ledger.cancel(slug, number, name, clock.now(), by)
                busy.append(name)
                break
            clock.wait(_NAP, threading.Event())
    return busy


def _called_off(ledger: Ledger, slug: str, number: int, name: str, clock: Clock, by: str) -> bool:
    """Whether nobody is sending there, and all that is unsent is called off."""
    try:
        with ledger.lock(name):
            if not ledger.is_frozen(slug, number, name):  # whoever wrote its people down did not get to the end
                update = next(one for one in ledger.past(slug, ()).updates if one.number == number)
                ledger.freeze(update, name, ())
            ledger.cancel(slug, number, name, clock.now(), by)
            ledger.release(slug, number, name)
    except ConflictError:
        return False
    return True
