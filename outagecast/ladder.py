"""What a short text leaves out where room is short: one thing more on each rung, the same in every language."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from outagecast.model import Status
from outagecast.sequel import Sequel

_Steps: TypeAlias = tuple[tuple[str, ...], ...]

# The names are those of a template's facts. Some stand for less of a fact, and not for none: of `apology` the first
# sentence stays, of `more_ways` the first way round, of `told_at` what was said, without its time and headline. Never
# left out: what fails, since when, sorry, when we speak next.
_DETAIL = ("scope", "scope_unknown")
_CONTACT = ("phone", "url")
_OPEN: _Steps = (
    (*_DETAIL, "aftermath", "no_estimate"),
    ("cause_unknown",),
    ("apology",),
    _CONTACT,
    ("more_ways",),
    ("cause",),
    ("eta",),
    ("workaround",),
    (),
)
_OVER: _Steps = (
    _DETAIL,
    ("cause_unknown",),
    ("apology",),
    _CONTACT,
    ("more_ways",),
    ("cause",),
    ("compensation",),
    ("workaround",),
    ("aftermath",),
)
_PLANNED: _Steps = (
    _DETAIL,
    ("apology",),
    _CONTACT,
    ("cause",),
    ("more_ways",),
    ("aftermath",),
    ("eta",),
    ("workaround",),
    ("headline",),
)
_STEPS: Mapping[Status, _Steps] = {
    Status.INVESTIGATING: _OPEN,
    Status.IDENTIFIED: (*_OPEN[:5], ("eta",), ("workaround",), ("cause",), ()),
    Status.MONITORING: (*_OVER[:5], ("aftermath",), ("cause",), ("workaround",), ("started", "lasted")),
    Status.RESOLVED: _OVER,
    Status.SCHEDULED: _PLANNED,
    Status.IN_PROGRESS: _PLANNED,
    Status.COMPLETED: _OVER,
    Status.RETRACTED: (
        (),
        ("apology",),
        (),
        _CONTACT,
        ("more_ways", "told_at"),
        ("aftermath",),
        ("headline",),
        ("workaround",),
        (),
    ),
}
# Whoever hears more of what is over, hears it for the cause.
_FOLLOW_UP: _Steps = (
    *_OVER[:4],
    ("more_ways", "told_at"),
    ("aftermath",),
    ("compensation",),
    ("workaround",),
    ("cause",),
)

RUNGS = 1 + len(_OVER)  # 1 has everything


def reduced(given: Mapping[str, Any], rung: int) -> Mapping[str, Any]:
    """The facts of ``given`` that a short text still has on ``rung``; above 1, less with each."""
    steps = _FOLLOW_UP if given["sequel"] == Sequel.FOLLOW_UP else _STEPS[Status(given["status"])]
    gone = [name for step in steps[: max(rung - 1, 0)] for name in step]
    less: dict[str, Any] = {name: None for name in gone if name in given}
    if "apology" in gone and given["apology"]:
        less["apology"] = given["apology"] | dict.fromkeys(("short", "long"), given["apology"]["brief"])
    if "more_ways" in gone and "workaround" not in gone:
        less["workaround"] = given["workaround"] and given["workaround"][:1]
    if "told_at" in gone:
        less["said_before"] = given["said_before"] | {"at": None, "headline": None}
    return MappingProxyType({**given, **less})
