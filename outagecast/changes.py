"""What an update changes: facts against the update before, and each channel's words against those it carries."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from outagecast import schema
from outagecast.ledger import Ledger, Past
from outagecast.message import Message
from outagecast.model import DOUBTFUL, PUBLISHED
from outagecast.plan import Plan
from outagecast.text import flowing, folded, pieces

_OUT = PUBLISHED | DOUBTFUL
_INTERNAL = {"briefing", "incident"}
_SHORTEST_SAME = 4  # words: fewer between two changes read as part of one
_SAME = 0.4  # of the words: with fewer it is another text, and no list of changes helps

Value: TypeAlias = "str | list[str] | None"


class Change(NamedTuple):
    """One fact that is another, new (``before`` is None) or left out (``after`` is None), as it was written."""

    fact: str
    before: Value
    after: Value

    def as_json(self) -> dict[str, Value]:
        """The change's object of the JSON contract."""
        return self._asdict()


class Earlier(NamedTuple):
    """The words that a channel carries already, and of which update."""

    update: int
    parts: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """The words' object of the JSON contract."""
        return {"update": self.update, "parts": dict(self.parts)}


class Edit(NamedTuple):
    """A run of words that stands no more, and what stands in its place; one of them may be empty."""

    gone: str
    new: str


def since(past: Past, plan: Plan) -> list[Change]:
    """What a plan's message says otherwise than the update before it."""
    before = past.updates[: plan.number - 1]
    return of_facts(before[-1].written, plan.message.as_written()) if before else []


def of_facts(before: str, after: str) -> list[Change]:
    """The public facts that differ between two messages as written, in the order in which a message has them."""
    old, new = (dict(_facts(json.loads(written))) for written in (before, after))
    order = list(schema.keys_of(Message))
    names = sorted({**old, **new}, key=lambda name: order.index(name.partition(".")[0]))
    return [Change(name, old.get(name), new.get(name)) for name in names if _said(old, name) != _said(new, name)]


def _facts(written: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    for name, value in written.items():
        if not prefix and name in _INTERNAL:
            continue
        if isinstance(value, dict):
            yield from _facts(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield f"{prefix}{name}", [str(item) for item in value]
        else:
            yield f"{prefix}{name}", value


def _said(facts: Mapping[str, Value], name: str) -> list[str]:
    """A fact's meaning, however it was quoted and folded; one sentence says as much as a list of it."""
    value = facts.get(name)
    return [folded(item) for item in ([value] if isinstance(value, str) else value or [])]


def previous(past: Past, ledger: Ledger, plan: Plan) -> dict[tuple[str, str], Earlier]:
    """By channel and language, the words that are or may be out; of many recipients the newest."""
    newest: dict[tuple[str, str], int] = {}
    for (channel, _, language), carried in past.carried.items():
        if carried.update < plan.number and carried.state in _OUT:
            newest[channel, language] = max(carried.update, newest.get((channel, language), 0))
    bulk = {channel.name for channel in plan.channels if channel.config.is_bulk}
    heard = {
        (its.channel, its.number)
        for its in (ledger.heard(past.incident) if bulk and past.updates else ())
        if its.channel in bulk and its.number < plan.number and its.state in _OUT
    }
    numbers = {number for _, number in heard} | set(newest.values())
    frozen = {
        (variant.channel, variant.language, number): variant.parts
        for number in numbers
        for variant in ledger.variants(plan.message.incident, number)
    }
    for channel, language, number in frozen:
        if (channel, number) in heard:
            newest[channel, language] = max(number, newest.get((channel, language), 0))
    return {where: Earlier(number, frozen[*where, number]) for where, number in newest.items()}


def of_words(before: str, after: str) -> list[Edit]:
    """What was changed in a text, in runs of words; a single one, without what is gone, where most of it is new."""
    import difflib

    old, new = pieces(before), pieces(after)
    matcher = difflib.SequenceMatcher(None, _bare(old), _bare(new), autojunk=False)
    if matcher.ratio() < _SAME:
        return [Edit("", flowing(new))]
    edits: list[tuple[int, int, int, int]] = []
    for tag, from_old, to_old, from_new, to_new in matcher.get_opcodes():
        if tag == "equal":
            continue
        if edits and from_old - edits[-1][1] < _SHORTEST_SAME:
            edits[-1] = edits[-1][0], to_old, edits[-1][2], to_new
        else:
            edits.append((from_old, to_old, from_new, to_new))
    return [Edit(flowing(old[a:b]), flowing(new[c:d])) for a, b, c, d in edits]


def _bare(words: list[tuple[str, str]]) -> list[str]:
    """What is compared: a full stop that became a quotation mark is no news."""
    return [word.strip('.,:;“”"。，：；') or word for _, word in words]
