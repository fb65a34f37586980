"""The outage page as files: an index, a page for each incident and pages of older ones, in every language.

Each page is one request: no font, image or stylesheet beside it, no script needed. What an update changes is a bounded
number of files, however long the history.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from outagecast import language as languages
from outagecast.history import History, Incident, Statement
from outagecast.model import ComponentState, Impact, Status
from outagecast.place import CALENDAR, INDEX, Place
from outagecast.status_archive import Archive

if TYPE_CHECKING:
    import jinja2

RECENT = 15  # incidents that are over which the machine forms tell of
PAST = 8  # of them on the index
A_PAGE = 25  # incidents on a page of older ones
MOST_WHOLE = 8  # earlier updates that the index holds word for word; what is older is a link away
_FOLDER = Path(__file__).parent

_TONES = {  # how a state looks; it is always said in words too
    ComponentState.OPERATIONAL: "ok",
    ComponentState.DEGRADED_PERFORMANCE: "warn",
    ComponentState.PARTIAL_OUTAGE: "bad",
    ComponentState.MAJOR_OUTAGE: "bad",
    ComponentState.UNDER_MAINTENANCE: "plan",
}


class Shown(NamedTuple):
    """An update as a page shows it."""

    name: str  # of its element
    incident: str
    html: Markup
    title: str
    status: str
    tone: str  # how loud it looks
    at: str
    stamp: str  # the same for machines
    window: str | None
    tongue: Markup  # the attributes that name its language, where it is not the page's

    @classmethod
    def of(cls, said: Statement, language: str) -> Shown:
        """How a page in a language shows an update."""
        data, words = said.data, said.data["said"]
        return cls(
            f"{said.incident}-{said.number}",
            said.incident,
            Markup(said.html),  # noqa: S704 - judged before it came here
            data["title"],
            words["status"],
            _tone(said),
            words["at"],
            data["at"],
            words["window"],
            _tongue(said.language, language),
        )


class Month(NamedTuple):
    """What began in one month."""

    name: str
    updates: list[Shown]  # the newest of each incident


class Component(NamedTuple):
    """One part of the service and how it is, in words."""

    name: str
    tongue: Markup  # as above, of the name
    state: str
    tone: str


class Group(NamedTuple):
    """Components as the organisation lists them."""

    name: str
    tongue: Markup
    components: list[Component]


class Spoken(NamedTuple):
    """A language to choose."""

    code: str
    direction: str
    folder: str
    name: str


@dataclass(frozen=True)
class Site:
    """The page of an archive. ``public_url`` is where the public sees it, for what needs whole addresses."""

    archive: Archive
    public_url: str | None = None

    def after(self, incident: Incident) -> Iterator[tuple[str, bytes]]:
        """The files that an incident's update changes, in the order in which to publish them: the index last."""
        yield from self._incident(incident)
        yield from self._history(self.archive.place(incident.slug) // A_PAGE)
        yield from self._front([incident])

    def whole(self, incidents: Iterable[Incident]) -> Iterator[tuple[str, bytes]]:
        """Every file, in that order; ``incidents`` are all that the archive holds."""
        for incident in incidents:
            yield from self._incident(incident)
        for number in range(-(-self.archive.count() // A_PAGE)):
            yield from self._history(number)
        yield from self._front(self._recent.incidents)

    # -- the pages ----------------------------------------------------------------------------------------------------

    def _incident(self, incident: Incident) -> Iterator[tuple[str, bytes]]:
        for language in self._place.languages:
            newest = incident.newest_in(language)
            yield self._page(
                language,
                f"incidents/{incident.slug}.html",
                kind="incident",
                heading=newest.data["title"],
                description=newest.data["summary"],
                is_open=incident.is_open,
                updates=_told(incident, language),
                **self._times(language, newest, [newest] if incident.is_open else []),
            )

    def _history(self, number: int) -> Iterator[tuple[str, bytes]]:
        """A page of older incidents; ``number`` counts from 0, the oldest, and always holds the same ones."""
        incidents = self.archive.stretch(number * A_PAGE, (number + 1) * A_PAGE)
        for language in self._place.languages:
            words = self._words(language)
            yield self._page(
                language,
                f"history/{number + 1}.html",
                kind="history",
                heading=words["past"],
                description=words["past"],
                is_open=False,
                months=_by_month(incidents, language),
                older=number or None,
            )

    def _front(self, incidents: Sequence[Incident]) -> Iterator[tuple[str, bytes]]:
        """The machine forms, told of these incidents anew, and every language's index, the first language's last."""
        forms = self._forms(incidents)
        yield from forms.items()
        running, ahead = self._recent.open_incidents, self._recent.ahead
        past = [item for item in self._recent.incidents if not item.is_open][:PAST]
        count, shown = self.archive.count(), len(past) + len(running) + len(ahead)
        for language in reversed(self._place.languages):
            words, first = self._words(language), running[0].newest_in(language).data if running else None
            said = [item.newest_in(language) for item in self._recent.incidents]
            yield self._page(
                language,
                INDEX,
                kind="index",
                heading=words["title"],
                title=first["title"] if first else words["title"],
                description=first["summary"] if first else words["fine"],
                is_open=bool(running),
                running=[_told(item, language) for item in running],
                ahead=[Shown.of(item.newest_in(language), language) for item in ahead],
                groups=self._groups(language),
                months=_by_month(past, language),
                older=-(-count // A_PAGE) if count > shown else None,
                feed=self._beside(self._place.feed(language), forms),
                calendar=self._beside(CALENDAR, forms),
                **self._times(
                    language,
                    max(said, key=lambda one: one.at, default=None),
                    [item.newest_in(language) for item in running],
                ),
            )

    def _page(self, language: str, name: str, **page: Any) -> tuple[str, bytes]:
        folder = self._place.folder(language)
        rendered = _template().render(
            {
                **dict.fromkeys(("updated", "next", "feed", "calendar")),
                "title": page["heading"],
                **page,
                "language": language,
                "direction": languages.direction(language),
                "name": name,
                "folder": folder,
                "root": "../" * f"{folder}{name}".count("/"),
                "organisation": self.archive.furniture[language]["organisation"],
                "words": self._words(language),
                "spoken": self._spoken,
            }
        )
        content = rendered.encode()
        # A reader's browser looks now and then whether there is another version.
        return f"{folder}{name}", content.replace(b"<main>", b'<main data-v="%08x">' % zlib.crc32(content), 1)

    # -- the machine forms --------------------------------------------------------------------------------------------

    def _forms(self, incidents: Sequence[Incident]) -> dict[str, bytes]:
        """What programs read beside the page; none where nobody knows at which address they will find it."""
        if not self.public_url:
            return {}
        from outagecast import atom_feed, cap, icalendar_feed, statuspage_v2

        spoken = self._place.languages
        forms = {
            **statuspage_v2.files(self._recent, self.public_url),
            **atom_feed.files(self._recent, self.public_url),
            **cap.files(History(incidents, spoken), self.public_url),  # each has a message of its own
        }
        if any(incident.is_planned for incident in incidents) or not self.archive.knows(CALENDAR):
            forms |= icalendar_feed.files(self._recent, self.public_url)
        return forms

    def _beside(self, path: str, forms: Mapping[str, bytes]) -> str | None:
        """A form's path, where there is one."""
        return path if path in forms or self.archive.knows(path) else None

    # -- what they say ------------------------------------------------------------------------------------------------

    @cached_property
    def _recent(self) -> History:
        return History(self.archive.recent(RECENT), self._place.languages)

    @cached_property
    def _place(self) -> Place:
        # The languages of former days too: their pages must not stand still for ever.
        return Place(self.public_url or "", tuple(self.archive.languages))

    @cached_property
    def _spoken(self) -> list[Spoken]:
        return [
            Spoken(code, languages.direction(code), self._place.folder(code), self._words(code)["name"])
            for code in self.archive.promised
        ]

    def _words(self, language: str) -> dict[str, str]:
        words: dict[str, str] = self.archive.furniture[language]["words"]
        return words

    def _times(self, language: str, newest: Statement | None, running: Sequence[Statement]) -> dict[str, str | None]:
        """When it was last said, and when more is promised: whoever reads both can tell an old copy."""
        if newest is None:
            return {}
        words, said = self._words(language), newest.data["said"]
        promises = [one for one in running if one.data["next_update_at"]]
        soonest = min(promises, key=lambda one: one.time("next_update_at") or one.at, default=None)
        by = soonest.data["said"]["next_update"] if soonest else None
        return {
            "updated": words["updated"].replace("{zone}", said["zone"]).replace("{at}", said["at"]),
            "next": words["next"].replace("{by}", by) if by else None,
        }

    def _groups(self, language: str) -> list[Group]:
        """How every component is; what nobody has said in this language yet is called as the config calls it."""
        own, furniture = self._place.languages[0], self.archive.furniture[language]
        listed: Mapping[str, Sequence[str]] = furniture["groups"]
        states = {name: ComponentState.OPERATIONAL for names in listed.values() for name in names}
        states |= self._recent.states
        called = self._called(language)

        def component(name: str) -> Component:
            state = states[name]
            tongue = _tongue(language if name in called else own, language)
            return Component(called.get(name, name), tongue, furniture["states"][state], _TONES[state])

        known = {name for names in listed.values() for name in names}
        theirs = _tongue(own, language)
        groups = [Group(name, theirs, [component(each) for each in names]) for name, names in listed.items()]
        if others := [component(name) for name in states if name not in known]:
            groups.append(Group("", theirs, others))
        return groups

    def _called(self, language: str) -> dict[str, str]:
        """What the components are called in a language, as it was said last."""
        said = [item.newest_in(language) for item in reversed(self._recent.incidents)]
        return {name: called for one in said if one.language == language for name, called, _ in one.components}


def _tone(said: Statement) -> str:
    """How loud a status looks."""
    status = said.status
    if status.is_maintenance and not status.is_closing:
        return "plan"
    if status.is_closing:
        return "ok"
    return "warn" if status is Status.MONITORING or said.impact in {Impact.MINOR, Impact.NONE} else "bad"


@cache
def _tongue(code: str, around: str) -> Markup:
    """The attributes of an element whose language is ``code``, in one whose language is ``around``."""
    return Markup("") if code == around else Markup(' lang="{}" dir="{}"').format(code, languages.direction(code))


def _told(incident: Incident, language: str) -> list[Shown]:
    """Every update, the newest first; where it was not said in this language, in the first one that it was said in."""
    said = (update.get(language) or next(iter(update.values())) for update in reversed(incident.updates))
    return [Shown.of(one, language) for one in said]


def _by_month(incidents: Sequence[Incident], language: str) -> list[Month]:
    def began(incident: Incident) -> tuple[str, str]:
        first = incident.updates[0]
        said = first.get(language) or next(iter(first.values()))
        return said.data["at"][:7], said.data["said"]["month"]

    return [
        Month(name, [Shown.of(incident.newest_in(language), language) for incident in its])
        for (_, name), its in groupby(incidents, began)
    ]


@cache
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css, js = (_FOLDER.joinpath(f"status_site.{kind}").read_text(encoding="utf-8").strip() for kind in ("css", "js"))
    environment.globals.update(
        css=Markup(css),  # noqa: S704 - our own
        js=Markup(js),  # noqa: S704
        css_digest=_sha256(css),
        js_digest=_sha256(js),
        most_whole=MOST_WHOLE,
    )
    return environment.get_template("status_site.html.j2")


def _sha256(text: str) -> str:
    """As a Content-Security-Policy wants it: https://www.w3.org/TR/CSP3/#grammardef-hash-source."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
