"""What an update is after what was said before it: which status may follow which, and how it is read. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

from outagecast.errors import PlanError, Problem, UsageError
from outagecast.ledger import Past, Update
from outagecast.message import Message, Window, parse_moment
from outagecast.model import Status
from outagecast.text import folded

_GOING_ON = frozenset({Status.INVESTIGATING, Status.IDENTIFIED, Status.MONITORING})
_OVER = frozenset({Status.RESOLVED, Status.RETRACTED})

# What may be said after each status; the same status again tells more. From a closing one back to an open one leads
# only --reopen, and never from an incident to planned work or back.
FOLLOWS: Mapping[Status, frozenset[Status]] = {
    Status.INVESTIGATING: _GOING_ON | _OVER,
    Status.IDENTIFIED: _GOING_ON | _OVER,
    Status.MONITORING: _GOING_ON | _OVER,
    Status.RESOLVED: _OVER,  # what turns out, afterwards, to have been a false alarm
    Status.SCHEDULED: frozenset({Status.SCHEDULED, Status.IN_PROGRESS, Status.COMPLETED, Status.RETRACTED}),
    Status.IN_PROGRESS: frozenset({Status.IN_PROGRESS, Status.COMPLETED, Status.RETRACTED}),
    Status.COMPLETED: frozenset({Status.COMPLETED}),
    Status.RETRACTED: frozenset({Status.RETRACTED}),
}


class Sequel(StrEnum):
    """What an update is to who heard the one before, beyond being newer."""

    FOLLOW_UP = "follow_up"  # more on what they know to be over
    REMINDER = "reminder"  # of planned work that they know of
    MOVED = "moved"  # planned work that they know of has another time
    BACK = "back"  # what they know to be over is not
    CORRECTION = "correction"  # what puts right what they carry


def of(heard: Update | None, message: Message) -> Sequel | None:
    """What ``message`` is to those whose newest word is ``heard``."""
    if heard is None:
        return None
    before, now = heard.status, message.status
    if now.is_closing:
        return Sequel.FOLLOW_UP if before is now else None
    if before.is_closing:
        return Sequel.BACK
    if before is now is Status.SCHEDULED and message.window:
        return Sequel.REMINDER if _window(heard) == message.window else Sequel.MOVED
    return None


def _window(update: Update) -> Window | None:
    given: dict[str, Any] | None = json.loads(update.written).get("window")
    return Window(start=parse_moment(given["start"]), end=parse_moment(given["end"])) if given else None


def check(message: Message, past: Past, *, reopen: bool) -> None:
    """Whether the message's status may come after what was said.

    Raises PlanError where it may not, UsageError where there is nothing to reopen.
    """
    said = [update.status for update in past.updates]
    opened = next((status for status in said if not status.is_closing), None)
    last, now, slug = said[-1] if said else None, message.status, message.incident
    is_back = opened is not None and last is not None and last.is_closing and not now.is_closing
    if opened and now is not Status.RETRACTED and now.is_maintenance is not opened.is_maintenance:
        was, other = ("planned work", "an incident") if opened.is_maintenance else ("an incident", "planned work")
        hint = "give the message an incident: of its own"
        raise PlanError(Problem(f"{slug} is {was}, and {now} is said of {other}", hint))
    if reopen and not is_back:
        what = f"{now} ends it" if now.is_closing else f"it is {last}" if last else "it was never announced"
        raise UsageError(Problem(f"there is nothing to reopen of {slug}: {what}", "leave out --reopen"))
    if last is None or opened is None:  # of what was never announced, anything is the first word
        return
    if is_back and not reopen:
        hint = "is it back? say --reopen; if it is another, give it an incident: of its own"
        raise PlanError(Problem(f"{slug} is {last}, and {now} would open it again", hint))
    if not is_back and now not in FOLLOWS[last]:
        raise PlanError(Problem(f"{slug} is {last}, and {now} does not follow that", _instead(last, now)))


def _instead(last: Status, now: Status) -> str:
    """What to do where a status does not follow."""
    if now is Status.SCHEDULED:
        return "if it is put off, retract it, and give the new date an incident: of its own"
    if last is Status.COMPLETED:
        return "say what was wrong as another completed update"
    return "say --reopen with an open status first, if it is back"


def perhaps_updates_of(message: Message, others: Iterable[Update]) -> Iterator[str]:
    """Advice for the first word of an incident: the open ones it may be an update of.

    ``others`` are the newest updates of all incidents.
    """
    mine = set(map(_name, message.components))
    for update in others:
        is_other = update.status.is_closing or update.status.is_maintenance is not message.status.is_maintenance
        if not is_other and mine & set(map(_name, json.loads(update.written).get("components", {}))):
            slug = update.incident
            yield f'is this an update of "{slug}"? announce it with --incident {slug}'


def _name(component: str) -> str:
    return folded(component).casefold()
