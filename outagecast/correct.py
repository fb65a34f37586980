"""A correction: an update that puts the one before it right, with whoever carries that, whatever `on:` says. Pure.

Where a post can be edited, or a file is replaced, the right words take the place of the wrong ones; elsewhere they are
said anew, as a correction. Who never had the wrong words gets the right ones as any other update.
"""

from __future__ import annotations

import json
from dataclasses import replace

from outagecast import sequel
from outagecast.channel import Edits, Idempotency
from outagecast.errors import PlanError, Problem
from outagecast.ledger import Digests, Past
from outagecast.model import DOUBTFUL, PUBLISHED, State
from outagecast.plan import Plan, PlannedChannel
from outagecast.sequel import Sequel

_THERE = (PUBLISHED - {State.MISSING}) | DOUBTFUL


def require_something(past: Past, incident: str) -> None:
    """Raises PlanError where nothing was announced."""
    if not past.updates:
        hint = "leave out --correct, or look which there are: outagecast status"
        raise PlanError(Problem(f"nothing was announced of {incident}, so there is nothing to correct", hint))


def applied(plan: Plan, past: Past) -> Plan:
    """``plan``, drawn as an update like any other, as a correction of the newest one in ``past``."""
    if past.wrong is None or not plan.is_new:
        return plan
    channels = tuple(_channel(channel, plan, past, past.wrong) for channel in plan.channels)
    promised, wrong = plan.next_update_at, past.updates[-1]
    if promised and wrong.next_update_at and wrong.next_update_at > plan.as_of:
        written = {json.loads(words).get("next_update_at") for words in (wrong.written, plan.message.as_written())}
        # What was promised stands, unless that is what was wrong.
        promised = wrong.next_update_at if len(written) == 1 else promised
    return replace(plan, channels=channels, next_update_at=promised, corrects=wrong.number)


def _channel(channel: PlannedChannel, plan: Plan, past: Past, wrong: Digests) -> PlannedChannel:
    """The channel with whom it owes a correction, and the posts whose words are replaced."""
    was_wrong = _first_posts(wrong, channel)
    owed = {
        target: carried
        for target in channel.targets
        if not target.suppressed
        and (carried := channel.carried.get(target))
        and carried.state in _THERE
        and carried.digest in was_wrong
    }
    if not owed or channel.is_open:
        return channel
    adapter = channel.config.adapter
    edits = {target: item.provider_id for target, item in owed.items() if item.provider_id}
    if not issubclass(adapter, Edits):
        edits = {}
    its: Sequel | None = Sequel.CORRECTION
    if adapter.semantics.idempotency is Idempotency.NATURAL or edits.keys() == owed.keys():
        before = past.right.updates  # the right words are read as the wrong ones were
        its = sequel.of(before[-1] if before else None, plan.message)
    sequels = {**channel.sequels, **dict.fromkeys(owed, Sequel.CORRECTION)}
    return replace(channel, sequels=sequels, sequel=its, edits=edits)


def spared(plan: Plan, plain: Digests, wrong: Digests | None) -> Plan:
    """``plan`` with no word of a correction on a channel whose own words were not wrong.

    ``plain`` are the digests of what would be said there were it no correction, ``wrong`` those of what was.
    """
    return replace(plan, channels=tuple(_spared(channel, plain, wrong or {}) for channel in plan.channels))


def _spared(channel: PlannedChannel, plain: Digests, wrong: Digests) -> PlannedChannel:
    if channel.sequel is not Sequel.CORRECTION:
        return channel
    owed = {channel.carried[target].digest for target, its in channel.sequels.items() if its is Sequel.CORRECTION}
    told = [language for digest, language in _first_posts(wrong, channel).items() if digest in owed]
    same = all(wrong.get((channel.name, language)) == plain.get((channel.name, language)) for language in told)
    return replace(channel, sequel=None) if same else channel


def _first_posts(digests: Digests, channel: PlannedChannel) -> dict[str, str]:
    """The languages of one channel's words, by digest: who was told in one may read another by now."""
    return {its[""]: language for (name, language), its in digests.items() if name == channel.name}
