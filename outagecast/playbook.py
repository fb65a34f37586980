"""Playbooks: messages agreed upon on a quiet day, one a scenario and in every language, to be filled in on a bad one.

A playbook is a message file with a head, ``playbook:``, and with placeholders where only the day can tell.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, NamedTuple, TypeAlias, cast
from zoneinfo import ZoneInfo

from outagecast import document, message, placeholder, schema
from outagecast.about import about
from outagecast.config import Config
from outagecast.document import Document, Node, Place
from outagecast.errors import MessageError, OutagecastError, Problem, UsageError
from outagecast.message import SLUG, UNKNOWN, Language, Message, Text, Translation
from outagecast.schema import Parse
from outagecast.text import clean

SHIPPED = Path(__file__).parent / "playbooks"
_HEAD = "playbook"
_TEXTS = tuple(item.name for item in fields(Translation) if item.name != "components")
_LONGEST = 48  # characters of a name that go into a slug, so that a date and a number find room beside it
# What an example of a time is counted from now.
_EXAMPLES: Mapping[Place, timedelta] = {
    ("started_at",): timedelta(),
    ("ended_at",): timedelta(),
    ("eta",): timedelta(hours=2),
    ("next_update_at",): timedelta(minutes=30),
    ("window", "start"): timedelta(days=7),
    ("window", "end"): timedelta(days=7, hours=4),
}


def _day(value: str, _: object) -> date:
    try:
        return date.fromisoformat(value.strip())
    except ValueError:
        raise ValueError(f'"{clean(value, most=60)}" is not a day; write it like 2026-11-01') from None


Day: TypeAlias = Annotated[date, Parse(_day, "a day, such as 2026-11-01")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """What a playbook says of itself."""

    title: Text = about("when to use it, such as: Cards are declined")
    owner: Text | None = about("who keeps it right", default=None)
    reviewed: Day | None = about("the day when somebody last read it, such as 2026-11-01", default=None)
    review_every: timedelta | None = about("how often it must be read again, such as 180d", default=None)
    language: Language | None = about("what its facts are written in; else the organisation's first", default=None)
    note: Text | None = about("what to know before it is used", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Playbook:
    """One of them, as it was written; with its placeholders filled by examples it is a good message."""

    name: str
    head: Head
    language: str  # of its facts; the other languages stand under ``translations``
    facts: Mapping[str, Node]
    is_own: bool  # else it is shipped

    @property
    def languages(self) -> list[str]:
        """What it is whole in."""
        translated = _mapping(self.facts, "translations")
        return [self.language, *(language for language in translated if not self.lacks(language))]

    def lacks(self, language: str) -> list[str]:
        """The facts that have no words in ``language``."""
        if language == self.language:
            return []
        said = _mapping(_mapping(self.facts, "translations"), language)
        texts = [fact for fact in self._to_translate if not _is_whole(said.get(fact), self.facts[fact])]
        names = [name for name in _mapping(self.facts, "components") if name not in _mapping(said, "components")]
        return [*texts, *(f"components.{name}" for name in names)]

    @property
    def incident(self) -> str:
        """The placeholder for the name of an incident that was announced already; empty where there is a new one."""
        return _asked_for(self.facts)

    @property
    def _to_translate(self) -> list[str]:
        return [fact for fact, value in self.facts.items() if fact in _TEXTS and value != UNKNOWN]

    def draft(
        self, languages: Sequence[str], now: datetime, *, incident: str, started_at: datetime | None = None
    ) -> dict[str, Node]:
        """The facts of a message that is written in the first of ``languages``; ``now`` is by its readers' clock.

        What it has no words for, and each time but ``started_at`` if that is known, is a placeholder.
        """
        first, *others = languages
        components = _mapping(self.facts, "components")
        drafted: dict[str, Node] = {"incident": incident}
        for fact, value in self.facts.items():
            if fact == "components":
                drafted[fact] = {self._called(name, first): state for name, state in components.items()}
            elif fact in _TEXTS:
                drafted[fact] = self._said(fact, first)
            elif fact not in {"incident", "translations"}:
                drafted[fact] = value
        translations: dict[str, Node] = {}
        for language in others:
            texts: dict[str, Node] = {fact: self._said(fact, language) for fact in self._to_translate}
            called: dict[str, Node] = {self._called(name, first): self._called(name, language) for name in components}
            translations[language] = texts | ({"components": called} if called else {})
        drafted |= {"translations": translations} if translations else {}
        drafted = _exemplified(drafted, now)
        return drafted | ({"started_at": started_at.isoformat(timespec="minutes")} if started_at else {})

    def _said(self, fact: str, language: str) -> Node:
        """A fact in a language; a placeholder where it has no words for it."""
        own = self.facts[fact]
        if language == self.language or own == UNKNOWN:
            return own
        given = _mapping(_mapping(self.facts, "translations"), language).get(fact)
        if given is not None and _is_whole(given, own):
            return given
        return _mapped(own, lambda _, text: _untranslated(text, language))

    def _called(self, component: str, language: str) -> str:
        if language == self.language:
            return component
        said = _mapping(_mapping(self.facts, "translations"), language)
        return str(_mapping(said, "components").get(component) or _untranslated(component, language))

    def due_for_review(self, config: Config, today: date) -> str:
        """Why somebody should read it again; empty while nobody need."""
        if self.head.reviewed is None:
            return "nobody has said when it was reviewed"
        every = self.head.review_every or config.playbooks.review_every
        age = today - self.head.reviewed
        if age < timedelta():
            return f"its review, {self.head.reviewed}, is still to come"
        return f"last reviewed {self.head.reviewed}, {age.days} days ago" if age > every else ""


class Finding(NamedTuple):
    """What is wrong with a playbook; or only due."""

    name: str
    problem: Problem
    is_wrong: bool


# -- where they are ----------------------------------------------------------------------------------------------------


def paths(config: Config | None) -> dict[str, Path]:
    """The files by name, the organisation's own first; of two with one name its own counts."""
    folder = config.playbooks.folder if config else None
    own = sorted(path for ending in ("*.yaml", "*.yml") for path in (folder.glob(ending) if folder else ()))
    found = {path.stem: path for path in own if not path.name.startswith(".")}
    return found | {path.stem: path for path in sorted(SHIPPED.glob("*.yaml")) if path.stem not in found}


def find(name: str, config: Config | None, now: datetime) -> Playbook:
    """The playbook of a scenario. Raises UsageError where there is none, MessageError for a bad one."""
    known = paths(config)
    if name not in known:
        hint = document.nearest(name, list(known))
        see = f"{hint}{'' if hint.endswith('?') else '.'} See them: outagecast new"
        raise UsageError(Problem(f'there is no playbook "{clean(name, most=60)}"', see))
    return load(known[name], config, now)


def load(path: Path, config: Config | None, now: datetime) -> Playbook:
    """The playbook in a file. Raises MessageError with every problem at once."""
    doc = document.parse(*document.read(path, None, MessageError), MessageError)
    facts = {key: value for key, value in doc.data.items() if key != _HEAD}
    head, problems = schema.read(Head, doc, doc.data.get(_HEAD, {}), at=(_HEAD,))
    if not SLUG.fullmatch(path.stem):
        words = f'"{clean(path.stem, most=60)}" is no name for a playbook'
        problems.append(Problem(words, "name the file with small letters, digits and hyphens", str(path)))
    try:
        check(replace(doc, data={**facts, "incident": _asked_for(facts) or _HEAD}), now)
    except MessageError as error:
        problems += error.problems
    if problems or head is None:
        raise MessageError(*document.foremost(problems))
    first = config.organisation.languages[0] if config else "en"
    own = path.parent != SHIPPED
    return Playbook(name=path.stem, head=head, language=head.language or first, facts=facts, is_own=own)


def check(doc: Document, now: datetime) -> Message:
    """The message that a document is once its placeholders are filled. Raises MessageError."""
    data = cast("dict[str, Node]", _mapped(_exemplified(doc.data, now), lambda _, text: _filled(text), name=_filled))
    return message.check(replace(doc, data=data), _zone(now))


# -- a new message -----------------------------------------------------------------------------------------------------


def slug(name: str, today: date, taken: Collection[str]) -> str:
    """A name for the incident that nothing has yet: the scenario and the day, then ``-2`` and so on."""
    base = f"{name[:_LONGEST].rstrip('-')}-{today.isoformat()}"
    names = itertools.chain([base], (f"{base}-{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in taken)


def parse_start(value: str, now: datetime) -> datetime:
    """``now``, ``18:30`` of the last twenty-four hours by the clock of ``now``, or a whole time. Raises ValueError."""
    if value == "now":
        return now
    if not re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", value, flags=re.ASCII):
        return message.parse_moment(value, _zone(now))
    hour, minute = map(int, value.split(":"))
    naive = now.replace(hour=hour, minute=minute, second=0, microsecond=0, fold=0)
    naive = naive - timedelta(days=1) if naive > now else naive  # nothing that is told has yet to begin
    if naive.utcoffset() != naive.replace(fold=1).utcoffset():
        return message.parse_moment(f"{naive:%Y-%m-%dT%H:%M}", _zone(now))  # which says what to write
    return naive


def written(facts: Mapping[str, Node], comments: Sequence[str]) -> str:
    """The facts as a message file, after some lines of comment."""
    import yaml

    class Indented(yaml.SafeDumper):
        """Lists stand further in than their names, as people write them."""

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML's
            super().increase_indent(flow, indentless=False)

    body: str = yaml.dump(dict(facts), Dumper=Indented, sort_keys=False, allow_unicode=True, width=1 << 20)
    return "".join(f"# {line}\n" for line in comments) + body


def open_places(name: str, text: str, now: datetime) -> tuple[Problem, ...]:
    """What keeps the message in ``text`` from being announced, as a preview of the file will say it."""
    try:
        message.check(document.parse(name, text, MessageError), _zone(now))
    except MessageError as error:
        return error.problems
    return ()


# -- on a quiet day ----------------------------------------------------------------------------------------------------


def examine(config: Config, now: datetime, attempt: Callable[[Message], object]) -> tuple[int, list[Finding]]:
    """How many playbooks there are, and what is wrong with them; ``attempt`` raises what stops an announcement of one.

    A shipped one that does not suit is no fault of the organisation's, which may put one of its own in its place.
    """
    found: list[Finding] = []
    folder = config.playbooks.folder
    if folder and not folder.is_dir():
        hint = "make it: outagecast init --playbooks; or take playbooks.folder out of the config"
        found.append(Finding("playbooks", Problem(f"{folder} is not there", hint), True))
    known = paths(config)
    for name, path in known.items():
        is_own = path.parent != SHIPPED
        try:
            book = load(path, config, now)
            facts = book.draft(
                config.organisation.languages, now, incident=book.incident or name[:_LONGEST].rstrip("-")
            )
            attempt(check(Document(str(path), facts), now))
        except OutagecastError as error:
            found += (Finding(name, problem, is_own) for problem in error.problems)
            continue
        found += _shortcomings(book, config, now.date())
    return len(known), found


def _shortcomings(book: Playbook, config: Config, today: date) -> Iterator[Finding]:
    owner = book.head.owner or config.playbooks.owner
    for language in config.organisation.languages:
        if lacking := book.lacks(language):
            ask = (
                f"ask {owner}"
                if owner and book.is_own
                else "put one of yours in its place: outagecast init --playbooks"
            )
            yield Finding(book.name, Problem(f"has no {language} for {', '.join(lacking)}", ask), book.is_own)
    if book.is_own and (why := book.due_for_review(config, today)):
        hint = f"{owner or 'somebody'} reads it, and writes the day after reviewed:"
        yield Finding(book.name, Problem(why, hint), False)


# -- the parts ---------------------------------------------------------------------------------------------------------


def _zone(now: datetime) -> ZoneInfo | None:
    return now.tzinfo if isinstance(now.tzinfo, ZoneInfo) else None


def _mapping(node: Mapping[str, Node], key: str) -> dict[str, Node]:
    value = node.get(key)
    return value if isinstance(value, dict) else {}


def _asked_for(facts: Mapping[str, Node]) -> str:
    given = facts.get("incident")
    return given if isinstance(given, str) and placeholder.find(given) else ""


def _is_whole(given: Node | None, own: Node) -> bool:
    if isinstance(own, list):
        return isinstance(given, list) and len(given) == len(own)
    return bool(given)


def _mapped(node: Node, change: Callable[[Place, str], str], at: Place = (), name: Callable[[str], str] = str) -> Node:
    """The same tree with every text changed, and every name."""
    if isinstance(node, dict):
        return {name(key): _mapped(value, change, (*at, key), name) for key, value in node.items()}
    if isinstance(node, list):
        return [_mapped(value, change, (*at, number), name) for number, value in enumerate(node)]
    return change(at, node)


def _filled(text: str) -> str:
    found = placeholder.find(text)
    return found.filled if found else text


def _is_duration(text: str) -> bool:
    try:
        return bool(schema.duration(text))
    except ValueError:
        return False


def _untranslated(text: str, language: str) -> str:
    return placeholder.put(f"the same in {language}", _filled(text))


def _exemplified(facts: dict[str, Node], now: datetime) -> dict[str, Node]:
    """The facts with every time open, and an example of it: what was right when a playbook was written is past."""

    def change(at: Place, text: str) -> str:
        if at not in _EXAMPLES or _is_duration(text):
            return text
        found = placeholder.find(text)
        example = (found and found.example) or (now + _EXAMPLES[at]).isoformat(timespec="minutes")
        return placeholder.put(found.wanted if found else "when", example)

    return cast("dict[str, Node]", _mapped(facts, change))
