"""The newest update of each incident as a message of the Common Alerting Protocol, version 1.2.

The first is an ``Alert``, those after it are each an ``Update`` that refers to all before it, and what takes back a
false alarm is a ``Cancel``. An end is an ``Update`` with ``AllClear``. Each language has an ``info`` of its own.

Source: https://docs.oasis-open.org/emergency/cap/v1.2/CAP-v1.2-os.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from xml.etree.ElementTree import Element

from outagecast import language, xml_form
from outagecast.history import History, Incident, Statement
from outagecast.model import Impact, Status
from outagecast.place import Place


class _Stage(NamedTuple):
    """What a status is in the protocol's words."""

    response: str
    urgency: str
    certainty: str


_STAGES: Mapping[Status, _Stage] = {
    Status.INVESTIGATING: _Stage("Monitor", "Immediate", "Observed"),
    Status.IDENTIFIED: _Stage("Monitor", "Immediate", "Observed"),
    Status.MONITORING: _Stage("Monitor", "Past", "Observed"),
    Status.RESOLVED: _Stage("AllClear", "Past", "Observed"),
    Status.SCHEDULED: _Stage("Prepare", "Future", "Likely"),
    Status.IN_PROGRESS: _Stage("Monitor", "Immediate", "Observed"),
    Status.COMPLETED: _Stage("AllClear", "Past", "Observed"),
    Status.RETRACTED: _Stage("AllClear", "Past", "Unlikely"),
}
_SEVERITY: Mapping[Impact, str] = {  # "Extreme" is an extraordinary threat to life, which no impact means
    Impact.NONE: "Minor",
    Impact.MINOR: "Minor",
    Impact.MAJOR: "Moderate",
    Impact.CRITICAL: "Severe",
    Impact.MAINTENANCE: "Minor",
}
_VALID = timedelta(days=1)  # what promises no next word


def files(history: History, base_url: str, *, drill: bool = False) -> dict[str, bytes]:
    """The message of each incident, by path below ``base_url``, where the page is reached; an update changes one."""
    place = Place(base_url, tuple(history.languages))
    return {place.alert(incident.slug): _alert(incident, place, drill) for incident in history.incidents}


def _alert(incident: Incident, place: Place, drill: bool) -> bytes:
    *earlier, newest = incident.told
    cancels = newest.status is Status.RETRACTED
    root = Element("alert", {"xmlns": "urn:oasis:names:tc:emergency:cap:1.2"})
    xml_form.add(root, "identifier", _identifier(newest))
    xml_form.add(root, "sender", place.host)
    xml_form.add(root, "sent", _time(newest.at))
    xml_form.add(root, "status", "Exercise" if drill else "Actual")
    xml_form.add(root, "msgType", "Alert" if not earlier else "Cancel" if cancels else "Update")
    xml_form.add(root, "scope", "Public")
    if cancels and (reason := newest.data["retraction_reason"]):
        xml_form.add(root, "note", reason)
    if earlier:
        named = [f"{place.host},{_identifier(said)},{_time(said.at)}" for said in earlier]
        xml_form.add(root, "references", " ".join(named))
    xml_form.add(root, "incidents", incident.slug)
    for said in incident.updates[-1].values():
        _info(root, said, incident, place)
    return xml_form.dump(root)


def _info(root: Element, said: Statement, incident: Incident, place: Place) -> None:
    """What one language's readers are told."""
    stage, data = _STAGES[said.status], said.data
    onset = said.time("started_at") or said.time("window_start")
    fields = {
        "language": language.regional(said.language),
        "category": "Infra",
        "event": data["title"],
        "responseType": stage.response,
        "urgency": stage.urgency,
        "severity": _SEVERITY[incident.impact],
        "certainty": stage.certainty,
        "onset": _time(onset) if onset else None,
        "expires": _time(_expires(said)),
        "senderName": data["organisation"],
        "headline": data["title"],
        "description": said.words,
        "instruction": "\n".join(data["workaround"]) or None,
        "web": place.url(place.incident(incident.slug, said.language)),
        "contact": data["phone"],
    }
    info = xml_form.add(root, "info")
    for name, text in fields.items():
        if text is not None:
            xml_form.add(info, name, text)
    status = xml_form.add(info, "parameter")
    xml_form.add(status, "valueName", "status")
    xml_form.add(status, "value", said.status)
    xml_form.add(xml_form.add(info, "area"), "areaDesc", data["scope"] or data["organisation"])


def _identifier(said: Statement) -> str:
    """A slug has none of the characters that the protocol forbids here: spaces, commas, ``<`` and ``&``."""
    return f"{said.incident}.{said.number}"


def _expires(said: Statement) -> datetime:
    """Twice as far as the next word, so that one which is late does not look like the end; planned work to its end."""
    word, end = said.time("next_update_at"), said.time("window_end")
    until = [time for time in (word and word + (word - said.at), end) if time and time > said.at]
    return max(until, default=said.at + _VALID)


def _time(at: datetime) -> str:
    """With the offset of the organisation's clock, and no fraction; UTC is ``-00:00``, and never ``Z``."""
    text = at.isoformat(timespec="seconds")
    return f"{text.removesuffix('+00:00')}-00:00" if text.endswith("+00:00") else text
