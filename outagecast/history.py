"""What an outage page and the machine forms beside it are made of: every incident with all that was said of it.

It is read from the ``data`` and ``html`` parts of what the page's channel was handed, so that whoever writes the page
needs neither the ledger nor the message: all words in it, times included, are final.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from outagecast.inert import words
from outagecast.model import ComponentState, Impact, Status

RECENT = 50  # incidents in a machine form, as Statuspage has: an update must not cost more, the longer the past is
_IMPACT = {  # of a component's state, from what hurts least: that a part is down outweighs that another is worked on
    ComponentState.OPERATIONAL: Impact.NONE,
    ComponentState.UNDER_MAINTENANCE: Impact.MAINTENANCE,
    ComponentState.DEGRADED_PERFORMANCE: Impact.MINOR,
    ComponentState.PARTIAL_OUTAGE: Impact.MAJOR,
    ComponentState.MAJOR_OUTAGE: Impact.CRITICAL,
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One update in one language, as published."""

    incident: str
    number: int
    language: str
    html: str  # the article: finished markup, every fact escaped
    data: Mapping[str, Any]  # the facts beside it; see templates/shared/status_page.data.j2

    @property
    def status(self) -> Status:
        return Status(self.data["status"])

    @property
    def at(self) -> datetime:
        """When it was said."""
        return datetime.fromisoformat(self.data["at"])

    def time(self, name: str) -> datetime | None:
        """``started_at``, ``ended_at``, ``eta``, ``next_update_at``, ``window_start`` or ``window_end``."""
        value = self.data[name]
        return datetime.fromisoformat(value) if value else None

    @property
    def impact(self) -> Impact | None:
        return Impact(self.data["impact"]) if self.data["impact"] else None

    @property
    def components(self) -> list[tuple[str, str, ComponentState]]:
        """The parts of the service it names: the name in the first language, as it is called here, and how it is."""
        return [(name, called, ComponentState(state)) for name, called, state in self.data["components"]]

    @property
    def states(self) -> dict[str, ComponentState]:
        """How the parts that it names are now: what is only planned, over or a false alarm takes nothing from them."""
        calm = self.status.is_closing or self.status is Status.SCHEDULED
        return {name: ComponentState.OPERATIONAL if calm else state for name, _, state in self.components}

    @property
    def effect(self) -> Impact:
        """The impact as stated, else what its components show; of what fails and names none ``minor``."""
        if self.impact:
            return self.impact
        if self.status in {Status.INVESTIGATING, Status.IDENTIFIED} and not self.components:
            return Impact.MINOR
        return _IMPACT[worst_state(self.states.values())]

    @property
    def words(self) -> str:
        """What it says, as plain text: a line for each paragraph or fact."""
        return words(self.html, self.data["colon"])

    def heading(self, word: str) -> str:
        """The organisation's name before one of the page's words, such as ``title``."""
        return f"{self.data['organisation']}{self.data['colon']}{self.data['words'][word]}"

    def as_json(self) -> dict[str, Any]:
        """What ``Statement.from_json`` reads."""
        return {
            "incident": self.incident,
            "number": self.number,
            "language": self.language,
            "html": self.html,
            "data": dict(self.data),
        }

    @classmethod
    def from_json(cls, node: Mapping[str, Any]) -> Statement:
        """The statement that ``as_json`` wrote."""
        return cls(node["incident"], node["number"], node["language"], node["html"], node["data"])

    @classmethod
    def of(cls, incident: str, number: int, language: str, parts: Mapping[str, str]) -> Statement:
        """The statement that a delivery's parts are. Raises ValueError where ``data`` is no JSON object."""
        data = json.loads(parts["data"])
        if not isinstance(data, dict):
            raise ValueError("the data part is not a JSON object")  # noqa: TRY004 - as of any other wrong JSON
        return cls(incident, number, language, parts["html"], data)


@dataclass(frozen=True)
class Incident:
    """One disruption or planned work, with its updates in the order they were said."""

    slug: str
    statements: Sequence[Statement]

    @cached_property
    def updates(self) -> list[dict[str, Statement]]:
        """The updates, oldest first, each by language."""
        numbered: dict[int, dict[str, Statement]] = {}
        for said in sorted(self.statements, key=lambda said: said.number):
            numbered.setdefault(said.number, {})[said.language] = said
        return list(numbered.values())

    @cached_property
    def told(self) -> list[Statement]:
        """The updates, oldest first, each in the first language that it was said in."""
        return [next(iter(update.values())) for update in self.updates]

    @property
    def newest(self) -> Statement:
        """The newest update, in the first language that it was said in."""
        return self.told[-1]

    def newest_in(self, language: str) -> Statement:
        """The newest update in a language; in the first one where it was not said in that."""
        return self.updates[-1].get(language, self.newest)

    @property
    def first(self) -> Statement:
        return self.told[0]

    @property
    def status(self) -> Status:
        return self.newest.status

    @property
    def is_open(self) -> bool:
        """Whether it goes on, or is still ahead."""
        return not self.status.is_closing

    @property
    def is_planned(self) -> bool:
        """Whether it is planned work: work that was called off still is."""
        return self.window is not None

    @property
    def window(self) -> tuple[datetime, datetime] | None:
        """From when to when work is planned, as last said."""
        for said in reversed(self.told):
            if (start := said.time("window_start")) and (end := said.time("window_end")):
                return start, end
        return None

    @property
    def impact(self) -> Impact:
        """How much it takes away; once it is over, the most that it did; where nobody said it, what its parts show."""
        if self.window:
            return Impact.MAINTENANCE
        if self.status is Status.RETRACTED:
            return Impact.NONE
        if self.is_open:
            return self.newest.effect
        return worst_impact(said.effect for said in self.told)

    @property
    def created_at(self) -> datetime:
        return self.first.at

    @property
    def updated_at(self) -> datetime:
        return self.newest.at

    @property
    def resolved_at(self) -> datetime | None:
        """When it was first told to be over, if it still is."""
        end = None
        for said in reversed(self.told):
            if not said.status.is_closing:
                break
            end = said.at
        return end


@dataclass(frozen=True)
class History:
    """All incidents of one page, newest first."""

    incidents: Sequence[Incident]
    languages: Sequence[str]  # the first is the organisation's own

    @classmethod
    def of(cls, statements: Iterable[Statement], languages: Sequence[str]) -> History:
        """The history that these statements make."""
        its: dict[str, list[Statement]] = {}
        order = {language: place for place, language in enumerate(languages)}
        for said in sorted(statements, key=lambda said: (said.number, order.get(said.language, len(order)))):
            its.setdefault(said.incident, []).append(said)
        incidents = [Incident(slug, told) for slug, told in its.items()]
        return cls(sorted(incidents, key=lambda incident: incident.created_at, reverse=True), languages)

    @property
    def open_incidents(self) -> list[Incident]:
        """What goes on now, planned work under way among it."""
        return [item for item in self.incidents if item.is_open and item.status is not Status.SCHEDULED]

    @property
    def ahead(self) -> list[Incident]:
        """Planned work to come, the nearest first."""
        planned = [item for item in self.incidents if item.status is Status.SCHEDULED]
        return sorted(planned, key=lambda item: item.newest.time("window_start") or item.created_at)

    @property
    def newest(self) -> Statement | None:
        """The last thing said of anything."""
        return max((item.newest for item in self.incidents), key=lambda said: said.at, default=None)

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """The groups of components that the organisation lists, as the newest statement has them."""
        return self.newest.data["groups"] if self.newest else {}

    @property
    def states(self) -> dict[str, ComponentState]:
        """How each component is now: the worst that an open incident says; listed ones are else operational."""
        states = {name: ComponentState.OPERATIONAL for names in self.groups.values() for name in names}
        for incident in self.open_incidents:
            for name, state in incident.newest.states.items():
                states[name] = worst_state([states.get(name, ComponentState.OPERATIONAL), state])
        return states


def recent(incidents: Sequence[Incident], most: int = RECENT) -> list[Incident]:
    """The newest of these, which are newest first, and all that are not over."""
    return [incident for place, incident in enumerate(incidents) if place < most or incident.is_open]


def worst_state(states: Iterable[ComponentState]) -> ComponentState:
    """The one that hurts most; of none, ``operational``."""
    return max(states, key=list(_IMPACT).index, default=ComponentState.OPERATIONAL)


def worst_impact(impacts: Iterable[Impact]) -> Impact:
    """The one that hurts most; of none, ``none``."""
    return max(impacts, key=list(_IMPACT.values()).index, default=Impact.NONE)
