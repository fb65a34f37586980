"""Plan and templates to variants: every error of wording, length or missing fact appears here, and nowhere later."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from outagecast import facts, internal, ladder, registry, thread, voice
from outagecast.channel import Adapts, Briefs, Carries, Limit, Threads
from outagecast.errors import Problem, TemplateError
from outagecast.facts import Fact, Said
from outagecast.message import Message
from outagecast.model import Variant, digest_of, first_of, in_second
from outagecast.plan import Plan, PlannedChannel
from outagecast.sequel import Sequel
from outagecast.template import Book
from outagecast.wording import Wording


class Measure(NamedTuple):
    """How long a part is, in the network's own unit."""

    length: int
    limit: int
    unit: str

    def as_json(self) -> dict[str, object]:
        """The measure's object of the JSON contract."""
        return {"length": self.length, "limit": self.limit, "unit": self.unit}


def measures(kind: str, parts: Mapping[str, str], language: str = "") -> dict[str, Measure]:
    """How long each part is against its limit. ``language`` matters where the limit is of a voice."""
    limits = registry.channel_class(kind).parts
    limits = {**limits, **{in_second(part): limit for part, limit in limits.items()}}
    return {
        part: Measure(limit.length(parts[part], language), limit.most, limit.unit)
        for part, limit in limits.items()
        if part in parts
    }


def variants(plan: Plan, templates: Path | None = None, books: dict[str, Book] | None = None) -> list[Variant]:
    """One variant per planned channel and language, in the plan's order; what is open already keeps its bytes.

    ``books`` keeps what was compiled, for who renders several plans. Raises TemplateError with every problem.
    """
    if templates and not templates.is_dir():
        hint = "make it, or take `templates` out of the config: then the shipped words go out"
        raise TemplateError(Problem(f"there is no folder {templates}, which should hold your templates", hint))
    books = {} if books is None else books
    rendered: list[Variant] = []
    problems: list[Problem] = []
    for channel in plan.channels:
        if channel.is_open:
            continue
        for language in channel.languages_needed:
            book = books.setdefault(language, Book(language, templates))
            try:
                rendered.append(_variant(plan, channel, book))
            except TemplateError as error:
                problems += error.problems
    if problems:
        raise TemplateError(*problems)
    return rendered


def digest(plan: Plan, rendered: list[Variant]) -> str:
    """What an approval signs: the message, who is told, and every byte that people will read. The same on a dry run.

    What is for programs is left out: it says the facts of the message again, and the very second.
    """
    return digest_of(
        {
            "incident": plan.message.incident,
            "update": plan.number,
            "message": plan.message.canonical,
            "channels": [[channel.name, channel.kind, channel.audience_digest] for channel in plan.channels],
            "variants": [[item.channel, item.language, _for_people(item)] for item in rendered],
        }
    )


def _for_people(variant: Variant) -> dict[str, str]:
    limits = registry.channel_class(variant.kind).parts
    return {part: text for part, text in variant.parts.items() if not limits[first_of(part)].for_programs}


def _variant(plan: Plan, channel: PlannedChannel, book: Book) -> Variant:
    """A channel's variant in one language; what it carries with a link is no news, and not posted again, without."""
    rendering = _Rendering(plan, channel, book)
    known = {item.digest for target, item in channel.carried.items() if target.language == book.language}
    if known and channel.config.options.links and not rendering.has_link:
        with suppress(TemplateError):
            linked = replace(rendering, is_linked=True).variant()
            if known.issuperset(linked.digests.values()):
                return linked
    return rendering.variant()


@dataclass(frozen=True)
class _Rendering:
    """One channel's variant in one language, on its way."""

    plan: Plan
    channel: PlannedChannel
    book: Book
    is_linked: bool = False  # with a link, whatever the config says

    @property
    def has_link(self) -> bool:
        return self.is_linked or self.channel.has_link(self._message.status)

    @cached_property
    def _message(self) -> Message:
        words = self.channel.words
        return (words.message if words else self.plan.message).translated(self.book.language)

    @cached_property
    def _given(self) -> dict[str, Any]:
        given = facts.context(
            self._message,
            Wording(
                self.book.language,
                self.plan.organisation.timezone,
                self.plan.as_of,
                is_spoken=self._is_spoken,
            ),
            self.plan.next_update_at,
            links=self.has_link,
            earlier=self._earlier,
            sequel=self.channel.sequel,
        )
        if self._is_spoken:
            given |= voice.facts(given, self.book.language)
        return (
            given
            | internal.facts(self.channel.config.adapter, self._message, self._earlier)
            | self._adapted(given)
            | {
                "organisation": self.plan.organisation.name,
                "first": self.channel.is_first_word,
                "update": self.plan.number,
                "groups": {name: list(components) for name, components in self.plan.groups.items()},
                "languages": list(self.channel.config.options.languages or ()),
                "components_named": list(self._components_named()),
            }
        )

    def _adapted(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the channel's own settings give its words."""
        config = self.channel.config
        return dict(config.adapter.given(config.settings, given)) if issubclass(config.adapter, Adapts) else {}

    @property
    def _is_spoken(self) -> bool:
        """Whether it is heard, not read."""
        return any(limit.spoken for limit in self._limits.values())

    def _components_named(self) -> Iterator[tuple[str, str, str]]:
        """Each component by the name that the message gives it, the name in this language, and how it is."""
        for own, (called, state) in zip(self.plan.message.components, self._message.components.items(), strict=True):
            yield own, called, state.value

    @property
    def _earlier(self) -> tuple[Said, ...]:
        """What is no news here; to who was told of the end, neither is what that said."""
        if self.channel.words:
            return self.channel.words.earlier
        if self.channel.sequel is not Sequel.FOLLOW_UP:
            return self.plan.earlier
        return tuple(sorted((*self.plan.earlier, *self.plan.ends), key=lambda said: said.at))

    def variant(self) -> Variant:
        """The richest text that fits; a text written by hand goes through the same gate."""
        rungs = [0] if set(self._written) >= set(self._limits) else range(1, self._rungs + 1)
        tried: list[tuple[int, dict[str, str]]] = []
        for rung in rungs:
            parts: dict[str, str] = {}
            for part in self._limits:  # in order: a later part may mark up an earlier one's words
                self._drawn[part, rung] = self._worded(part, rung, parts)
                parts[part] = self._limits[part].fitted(self._drawn[part, rung])
            if self._fits(parts, aim=True):
                return self._checked(*self._continued(rung, parts, tried))
            tried.append((rung, parts))
        # None is as short as it should be: the shortest that is allowed, with as much in it as its length holds.
        allowed = [(rung, parts) for rung, parts in tried if self._fits(parts, aim=False)]
        return self._checked(*(min(allowed, key=lambda item: self._lengths(item[1])) if allowed else tried[-1]))

    def _continued(
        self, rung: int, parts: dict[str, str], fuller: Iterable[tuple[int, dict[str, str]]]
    ) -> tuple[int, dict[str, str]]:
        """What fits one post, and where a thread is allowed, the rest of the richest text that a second one holds."""
        written = {part: self._written[part] for part in self._seconds if part in self._written}
        if written or rung == 0:
            return rung, parts | written
        for richer, whole in fuller if self._seconds else ():
            rest = {in_second(part): thread.rest(whole[part], text) for part, text in parts.items()}
            if all(rest.values()) and self._fits(rest, aim=False) and self._says_more(parts, rest):
                return richer, parts | rest
        return rung, parts

    def _says_more(self, parts: Mapping[str, str], rest: Mapping[str, str]) -> bool:
        """Whether ``rest`` adds a fact to ``parts``: the end of an apology alone is not worth a second post."""
        return any(
            facts.carried(f"{text}\n{rest[in_second(part)]}", self._stated) != facts.carried(text, self._stated)
            for part, text in parts.items()
        )

    @cached_property
    def _drawn(self) -> dict[tuple[str, int], str]:
        """Each part on each rung that was tried, before it was spelled for the network."""
        return {}

    @cached_property
    def _stated(self) -> list[Fact]:
        return facts.stated(self._given, self.book.phrases)

    @cached_property
    def _seconds(self) -> Mapping[str, Limit]:
        """The parts of a thread's second post, where the settings ask for one."""
        channel, limits = self.channel.config, self._limits
        if not (issubclass(channel.adapter, Threads) and channel.adapter.may_thread(channel.settings)):
            return {}
        return {in_second(part): limit for part, limit in limits.items()}

    @cached_property
    def _written(self) -> dict[str, str]:
        """The parts that somebody wrote by hand. Raises TemplateError for one that the channel does not have."""
        written = self._message.variants.get(self.channel.name, {}).get(self.book.language, {})
        if unknown := sorted(set(written) - {*self._limits, *self._seconds}):
            place = f"variants.{self.channel.name}.{self.book.language}.{unknown[0]}"
            hint = f"it has {', '.join([*self._limits, *self._seconds])}"
            raise TemplateError(Problem(f"{place}: {self.channel.kind} has no such part", hint))
        return {part: self._tidied(part, text) for part, text in written.items()}

    def _tidied(self, part: str, text: str) -> str:
        """A text by hand without the blank end that YAML's ``|`` leaves; a headline in one line."""
        if part in self._limits and self._limits[part].carries is Carries.NOTHING:
            return " ".join(text.split())
        return "\n".join(line.rstrip() for line in text.splitlines()).strip()

    @property
    def _limits(self) -> Mapping[str, Limit]:
        return self.channel.config.adapter.parts

    def _of(self, parts: Mapping[str, str]) -> list[tuple[str, Limit]]:
        """Each of ``parts`` with its limit."""
        return [(part, limit) for part, limit in {**self._limits, **self._seconds}.items() if part in parts]

    @property
    def _rungs(self) -> int:
        """How many there are: a long text leaves nothing out."""
        return ladder.RUNGS if any(limit.carries is Carries.ESSENTIALS for limit in self._limits.values()) else 1

    def _worded(self, part: str, rung: int, parts: Mapping[str, str]) -> str:
        return self._written.get(part) or self._part(part, rung, parts)

    def _part(self, part: str, rung: int, parts: Mapping[str, str]) -> str:
        name = f"{self.channel.kind}.{part}.j2"
        is_short = self._limits[part].carries is Carries.ESSENTIALS
        given = ladder.reduced(self._given, rung) if is_short else self._given
        return self.book.block(name, self._message.status.value, {**given, "rung": rung, "parts": parts})

    def _fits(self, parts: Mapping[str, str], *, aim: bool) -> bool:
        return all(
            limit.length(parts[part], self.book.language) <= ((limit.aim if aim else None) or limit.most)
            for part, limit in self._of(parts)
        )

    def _lengths(self, parts: Mapping[str, str]) -> list[int]:
        return [limit.length(parts[part], self.book.language) for part, limit in self._limits.items() if limit.aim]

    def _checked(self, rung: int, parts: dict[str, str]) -> Variant:
        """The variant, once every part is within its limit and states what it must."""
        listed = self._stated
        problems, carried, left_out = [], set[str](), set[str]()
        for part, limit in self._of(parts):
            length = limit.length(parts[part], self.book.language)
            if length > limit.most:
                problems.append(self._too_long(part, limit, length, parts[part]))
            text = facts.visible(parts[part]) if part in self.channel.config.adapter.escapes else parts[part]
            if part in self._seconds:  # what it goes on from stands above it
                text = f"{parts[first_of(part)]}\n{text}"
            found, missing = facts.carried(text, listed, by_hand=self._is_by_hand(part))
            carried.update(found)
            left_out.update(missing)
            if part in self._written:
                denied = facts.contradictions(text, self._given, self.book.phrases)
                problems += [self._denied(part, fact, words) for fact, words in denied]
                if not issubclass(self.channel.config.adapter, Briefs):
                    told = internal.repeated(text, self._message)
                    problems += [self._told(part, fact, words) for fact, words in told]
            if parts[part]:  # a channel that is taken down says nothing
                needed = facts.required(limit.carries, listed, self._message.status)
                problems += [self._lost(part, fact) for fact in listed if fact.name in needed and fact.name in missing]
        if problems:
            raise TemplateError(*problems)
        fitted = [part for part, limit in self._limits.items() if limit.fit]
        return Variant(
            channel=self.channel.name,
            kind=self.channel.kind,
            language=self.book.language,
            parts=parts,
            rung=rung,
            carried=tuple(fact.name for fact in listed if fact.name in carried),
            left_out=tuple(fact.name for fact in listed if fact.name in left_out - carried),
            source=self._source(next(iter([*self._written, *self._limits]))),
            unfitted={part: self._drawn[part, rung] for part in fitted},
            fullest={part: self._limits[part].fitted(self._drawn[part, min(rung, 1)]) for part in fitted},
        )

    def _is_by_hand(self, part: str) -> bool:
        """Whether somebody wrote the words of a part, or those that it marks up."""
        return part in self._written or (part in self.channel.config.adapter.escapes and "text" in self._written)

    def _source(self, part: str) -> str:
        """Where the words of a part come from: the message's own, or the line of the template's block."""
        if part in self._written:
            return f"variants.{self.channel.name}.{self.book.language}.{part}"
        file, line = self._place(part)
        return f"{file}:{line}" if line else file

    def _place(self, part: str) -> tuple[str, int | None]:
        return self.book.place(f"{self.channel.kind}.{part}.j2", self._message.status.value)

    def _problem(self, part: str, text: str, hint: str) -> Problem:
        """What is wrong with a part, and where its words were written."""
        if part not in self._written:
            return Problem(text, hint, *self._place(part))
        place = ("variants", self.channel.name, self.book.language, part)
        return self._message.problem(place, f"{self._source(part)}: {text}", hint)

    def _denied(self, part: str, fact: str, words: str) -> Problem:
        hint = f"say what the message says of {fact}, or correct the message"
        return self._problem(part, f'says "{words}", which contradicts the message\'s {fact}', hint)

    def _told(self, part: str, fact: str, words: str) -> Problem:
        hint = "leave it out, or write it among the message's public facts too"
        return self._problem(part, f'says "{words}", which is for staff only: {fact}', hint)

    def _lost(self, part: str, fact: Fact) -> Problem:
        hint = (
            f"it must say: {' '.join(map(str, fact.needles[:1]))}" if fact.needles else "phrases.j2 has no words for it"
        )
        return self._problem(part, f"does not state {fact.name}", hint)

    def _too_long(self, part: str, limit: Limit, length: int, text: str) -> Problem:
        """How many characters to lose and where: the longest of the officer's own facts is the place to begin."""
        names = ("title", "summary", "cause", "compensation", "aftermath", "scope", "retraction_reason")
        own = {name: getattr(self._message, name) for name in names}
        apology = self._given["apology"] or {}
        own |= {"apology" if form == "brief" else f"apology.{form}": words for form, words in apology.items()}
        own |= {f"workaround {number}": item for number, item in enumerate(self._message.workaround, 1)}
        own = {name: limit.fitted(words) for name, words in own.items() if words}
        found = sorted((item for item in own.items() if item[1] in text), key=lambda item: -len(item[1]))
        where = " or ".join(f"{name} ({len(words)} characters)" for name, words in found[:2])
        excess = self._excess(text, limit, text.find(found[0][1]) + len(found[0][1]) if found else len(text))
        return self._problem(
            part,
            f"{excess} characters too long for {self.channel.name}: {length} of {limit.most} {limit.unit}",
            f"shorten {where}" if where else "shorten it",
        )

    def _excess(self, text: str, limit: Limit, end: int) -> int:
        """How many characters before ``end`` must go for ``text`` to fit; all of them where that is not enough."""

        def fits(cut: int) -> bool:
            return limit.length(text[: end - cut] + text[end:], self.book.language) <= limit.most

        return bisect_left(range(end), True, key=fits)
