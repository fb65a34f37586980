"""The history as Atom feeds (RFC 4287), one for each language of the page: an entry for each incident.

An entry keeps its id, and its ``updated`` and content change with every update, so that readers show it again. Its
content is marked up as Statuspage's is: bots take what stands in the first ``<strong>`` for the status.
"""

from __future__ import annotations

import html
from datetime import datetime
from xml.etree.ElementTree import Element

from outagecast import xml_form
from outagecast.history import History, Incident, Statement, recent
from outagecast.place import Place, identity

ENTRIES = 25  # besides what is open: as many as Statuspage's feed has
EMPTY = "1970-01-01T00:00:00Z"  # when a feed without entries was updated


def files(history: History, base_url: str) -> dict[str, bytes]:
    """A feed for each language, by path below ``base_url``, where the page is reached."""
    place = Place(base_url, tuple(history.languages))
    return {place.feed(language): _feed(history, place, language) for language in history.languages}


def _feed(history: History, place: Place, language: str) -> bytes:
    newest = max(
        (incident.newest_in(language) for incident in history.incidents), key=lambda said: said.at, default=None
    )
    name, title = (newest.data["organisation"], newest.heading("title")) if newest else (place.host, place.host)
    root = Element("feed", {"xmlns": "http://www.w3.org/2005/Atom", "xml:lang": language})
    xml_form.add(root, "id", place.tag(f"/{place.folder(language)}history"))
    xml_form.add(root, "title", title)
    xml_form.add(root, "updated", _time(newest.at) if newest else EMPTY)
    xml_form.add(xml_form.add(root, "author"), "name", name)
    xml_form.add(root, "link", rel="self", type="application/atom+xml", href=place.url(place.feed(language)))
    xml_form.add(root, "link", rel="alternate", type="text/html", href=place.url(place.folder(language)))
    for incident in recent(history.incidents, ENTRIES):
        _entry(root, incident, place, language)
    return xml_form.dump(root)


def _entry(root: Element, incident: Incident, place: Place, language: str) -> None:
    newest = incident.newest_in(language)
    entry = xml_form.add(root, "entry", **{"xml:lang": newest.language})
    xml_form.add(entry, "id", place.tag(f"{place.folder(language)}Incident/{identity('incident', incident.slug)}"))
    xml_form.add(entry, "title", newest.data["title"])
    xml_form.add(entry, "published", _time(incident.created_at))
    xml_form.add(entry, "updated", _time(incident.updated_at))
    page = place.url(place.incident(incident.slug, language))
    xml_form.add(entry, "link", rel="alternate", type="text/html", href=page)
    alert = place.url(place.alert(incident.slug))
    xml_form.add(entry, "link", rel="related", type="application/cap+xml", href=alert)
    told = [update.get(language) or next(iter(update.values())) for update in reversed(incident.updates)]
    xml_form.add(entry, "content", "".join(map(_paragraph, told)), type="html")


def _paragraph(said: Statement) -> str:
    """One update, marked up."""
    at, zone, status = (html.escape(said.data["said"][name]) for name in ("at", "zone", "status"))
    words = html.escape(said.words).replace("\n", "<br>")
    return f"<p><small>{at} · {zone}</small><br><strong>{status}</strong> - {words}</p>"


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
