"""All planned work as one calendar to subscribe to (RFC 5545), in the page's first language.

An event keeps its UID while its SEQUENCE grows with every update, so that calendars move it, and take it out where the
work is called off. It makes nobody busy.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from outagecast.history import History, Incident, recent
from outagecast.model import Status
from outagecast.place import CALENDAR, Place
from outagecast.text import printable

if TYPE_CHECKING:
    from icalendar import Component, Event

_PRODUCT = "-//outagecast//maintenance//EN"
_REFRESH = timedelta(hours=1)


def files(history: History, base_url: str) -> dict[str, bytes]:
    """The calendar, by its path below ``base_url``, where the page is reached."""
    from icalendar import Calendar, vText  # 0.1 s

    place = Place(base_url, tuple(history.languages))
    works = recent([incident for incident in history.incidents if incident.window])
    newest = history.newest
    calendar = Calendar.new(
        prodid=_PRODUCT,
        method="PUBLISH",
        uid=f"maintenance@{place.host}",
        url=place.url(),
        subcomponents=[_event(work, place) for work in works] or [_utc()],
    )
    name = vText(printable(newest.heading("calendar") if newest else place.host))  # the library would not escape a str
    calendar.add("name", name)
    calendar.add("x-wr-calname", name)  # the older name of the same
    calendar.add("refresh-interval", _REFRESH, parameters={"VALUE": "DURATION"})  # RFC 7986 has no default type for it
    return {CALENDAR: calendar.to_ical()}


def _event(work: Incident, place: Place) -> Event:
    from icalendar import STATUS, TRANSP, Event

    newest = work.newest
    start, end = work.window or (work.created_at, work.created_at)
    event = Event.new(
        uid=f"{work.slug}@{place.host}",
        sequence=newest.number,
        status=STATUS.CANCELLED if newest.status is Status.RETRACTED else STATUS.CONFIRMED,
        start=start.astimezone(UTC),
        end=end.astimezone(UTC),
        created=work.created_at.astimezone(UTC),
        stamp=work.updated_at.astimezone(UTC),
        last_modified=work.updated_at.astimezone(UTC),
        transparency=TRANSP.TRANSPARENT,
        url=place.url(place.incident(work.slug, newest.language)),
    )
    words = {"LANGUAGE": newest.language}
    event.add("summary", printable(newest.data["title"]), parameters=words)
    event.add("description", printable(newest.words), parameters=words)
    return event


def _utc() -> Component:
    """What a calendar without events holds, as the grammar asks for one component at least."""
    from icalendar import Timezone, TimezoneStandard

    standard = TimezoneStandard()
    standard.add("dtstart", datetime(1970, 1, 1))  # noqa: DTZ001 - local time, as the grammar has it
    standard.add("tzoffsetfrom", timedelta())
    standard.add("tzoffsetto", timedelta())
    zone = Timezone()
    zone.add("tzid", "Etc/UTC")
    zone.add_component(standard)
    return zone
