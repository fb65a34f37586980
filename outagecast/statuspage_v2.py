"""The public JSON of Statuspage, version 2, which monitors, bots and dashboards know how to read.

Every key is always there, since readers break where one is missing. The words for statuses, impacts and the whole are
the standard's; what people said is in the page's first language. Times are in UTC.

Source: https://metastatuspage.com/api, and the types in npm's statuspage.io 3.1.1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeAlias

from outagecast.history import History, Incident, Statement, recent, worst_impact, worst_state
from outagecast.model import ComponentState, Impact, Status
from outagecast.place import Place, identity
from outagecast.text import printable

Node: TypeAlias = dict[str, Any]

_DESCRIPTIONS = {
    Impact.NONE: "All Systems Operational",
    Impact.MINOR: "Minor Service Outage",
    Impact.MAJOR: "Partial System Outage",
    Impact.CRITICAL: "Major Service Outage",
    Impact.MAINTENANCE: "Service Under Maintenance",
}
_UNKNOWN = datetime.fromtimestamp(0, UTC)  # since when a component exists nobody says, and the key must be there


def files(history: History, base_url: str) -> dict[str, bytes]:
    """All of ``api/v2/``, by path below ``base_url``, where the page is reached."""
    page = _Page(history, Place(base_url, tuple(history.languages)))
    incidents = [page.incident(incident) for incident in page.incidents]
    unresolved = [incident for incident in incidents if incident["status"] != Status.RESOLVED]
    works = [page.maintenance(work) for work in page.works]
    upcoming, active = (
        [work for work in works if work["status"] == status] for status in (Status.SCHEDULED, Status.IN_PROGRESS)
    )
    status, components = {"status": page.status}, {"components": page.components}
    summary = {"incidents": unresolved, "scheduled_maintenances": active + upcoming}
    nodes: dict[str, Node] = {
        "summary": components | summary | status,
        "status": status,
        "components": components,
        "incidents": {"incidents": incidents},
        "incidents/unresolved": {"incidents": unresolved},
        "scheduled-maintenances": {"scheduled_maintenances": works},
        "scheduled-maintenances/active": {"scheduled_maintenances": active},
        "scheduled-maintenances/upcoming": {"scheduled_maintenances": upcoming},
    }
    return {f"api/v2/{name}.json": _json({"page": page.head} | node) for name, node in nodes.items()}


@dataclass(frozen=True)
class _Page:
    """One page's history in the standard's shapes."""

    history: History
    place: Place

    @cached_property
    def id(self) -> str:
        return identity("page", self.place.url())

    @cached_property
    def incidents(self) -> list[Incident]:
        return recent([incident for incident in self.history.incidents if not incident.window])

    @cached_property
    def works(self) -> list[Incident]:
        return recent([incident for incident in self.history.incidents if incident.window])

    @property
    def head(self) -> Node:
        newest = self.history.newest
        return {
            "id": self.id,
            "name": newest.data["organisation"] if newest else self.place.host,
            "url": self.place.url(),
            "time_zone": "Etc/UTC",
            "updated_at": _time(newest.at if newest else _UNKNOWN),
        }

    @property
    def status(self) -> Node:
        impact = worst_impact(incident.impact for incident in self.history.open_incidents)
        return {"indicator": impact, "description": _DESCRIPTIONS[impact]}

    @cached_property
    def components(self) -> list[Node]:
        """Each group before its components, as listed; then what is in no group, and an open incident names."""
        nodes: list[Node] = []
        for group, names in self.history.groups.items():
            members = [self._component(name, len(nodes) + place, group) for place, name in enumerate(names, 1)]
            nodes += [self._group(group, len(nodes), members), *members]
        listed = {node["id"] for node in nodes}
        single = [name for name in self._states if identity("component", name) not in listed]
        return nodes + [self._component(name, len(nodes) + place) for place, name in enumerate(single)]

    def _group(self, name: str, position: int, members: Sequence[Node]) -> Node:
        state = worst_state(member["status"] for member in members)
        changed = max((member["updated_at"] for member in members), default=_time(_UNKNOWN))
        return self._node("group", name, state, changed, position) | {
            "components": [member["id"] for member in members]
        }

    def _component(self, name: str, position: int, group: str | None = None) -> Node:
        state = self._states.get(name, ComponentState.OPERATIONAL)
        node = self._node("component", name, state, _time(self._named_at.get(name, _UNKNOWN)), position)
        return node | {"group_id": identity("group", group) if group else None}

    def _node(self, kind: str, name: str, state: ComponentState, changed: str, position: int) -> Node:
        return {
            "id": identity(kind, name),
            "name": name,
            "status": state,
            "created_at": _time(_UNKNOWN),
            "updated_at": changed,
            "position": position,
            "description": None,
            "showcase": True,
            "start_date": None,
            "group_id": None,
            "page_id": self.id,
            "group": kind == "group",
            "only_show_if_degraded": False,
        }

    @cached_property
    def _states(self) -> dict[str, ComponentState]:
        return self.history.states

    @cached_property
    def _named_at(self) -> dict[str, datetime]:
        """When each component was last spoken of."""
        told = [(said.at, said.states) for incident in (*self.incidents, *self.works) for said in incident.told]
        return {name: at for at, states in sorted(told, key=lambda one: one[0]) for name in states}

    def incident(self, incident: Incident) -> Node:
        """An incident; of a false alarm the standard has no word: it is ``resolved``, and its text says what it was."""
        watched = next((said.at for said in incident.told if said.status is Status.MONITORING), None)
        started = next((time for said in reversed(incident.told) if (time := said.time("started_at"))), None)
        return {
            "id": identity("incident", incident.slug),
            "name": incident.newest.data["title"],
            "status": _status(incident.newest, incident),
            "created_at": _time(incident.created_at),
            "updated_at": _time(incident.updated_at),
            "monitoring_at": _time(watched) if watched else None,
            "resolved_at": _time(incident.resolved_at) if incident.resolved_at else None,
            "impact": incident.impact,
            "shortlink": self.place.url(self.place.incident(incident.slug, incident.newest.language)),
            "started_at": _time(started or incident.created_at),
            "page_id": self.id,
            "incident_updates": self._updates(incident),
            "components": self._named(incident),
        }

    def maintenance(self, work: Incident) -> Node:
        """Planned work; what was called off is ``completed``, likewise."""
        start, end = work.window or (work.created_at, work.created_at)
        times = {"started_at": _time(start), "scheduled_for": _time(start), "scheduled_until": _time(end)}
        return self.incident(work) | times

    def _named(self, incident: Incident) -> list[Node]:
        names = dict.fromkeys(name for said in incident.told for name in said.states)
        listed = {node["name"]: node for node in self.components if not node["group"]}
        return [listed.get(name) or self._component(name, len(self.components)) for name in names]

    def _updates(self, incident: Incident) -> list[Node]:
        """What was said, newest first."""
        nodes: list[Node] = []
        before: dict[str, ComponentState] = {}
        for said in incident.told:
            nodes.append(self._update(said, incident, before))
            before |= said.states
        return nodes[::-1]

    def _update(self, said: Statement, incident: Incident, before: Mapping[str, ComponentState]) -> Node:
        affected = [
            {
                "code": identity("component", name),
                "name": name,
                "old_status": before.get(name, ComponentState.OPERATIONAL),
                "new_status": state,
            }
            for name, state in said.states.items()
        ]
        return {
            "id": identity("update", said.incident, said.number),
            "status": _status(said, incident),
            "body": said.words,
            "incident_id": identity("incident", said.incident),
            "created_at": _time(said.at),
            "updated_at": _time(said.at),
            "display_at": _time(said.at),
            "affected_components": affected or None,
            "deliver_notifications": True,
            "custom_tweet": None,
            "tweet_id": None,
        }


def _status(said: Statement, incident: Incident) -> Status:
    if said.status is not Status.RETRACTED:
        return said.status
    return Status.COMPLETED if incident.window else Status.RESOLVED


def _time(at: datetime) -> str:
    """As Statuspage writes it: in UTC, with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(node: Node) -> bytes:
    return json.dumps(_inert(node), ensure_ascii=False, separators=(",", ":")).encode()


def _inert(value: Any) -> Any:
    """The same without characters that hide or reorder text."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {key: _inert(one) for key, one in value.items()}
    return [_inert(one) for one in value] if isinstance(value, list) else value
