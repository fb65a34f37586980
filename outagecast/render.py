"""Plan and templates to variants: every error of wording, length or missing fact appears here, and nowhere later."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from outagecast import facts, registry
from outagecast.channel import Carries, Limit
from outagecast.errors import Problem, TemplateError
from outagecast.facts import Fact, Said
from outagecast.message import Message
from outagecast.model import Variant, digest_of
from outagecast.plan import Plan, PlannedChannel
from outagecast.sequel import Sequel
from outagecast.template import Book
from outagecast.wording import Wording

# A short template's ladder, from 1, everything, to the shortest it can be. Each rung drops one thing more: 2 the scope,
# 3 what is not known and all but the apology's first sentence, 4 the contact, 5 all ways round but the first,
# 6 money and after-effects (the cause, once it is over), 7 the cause (money, once it is over), 8 the rest.
RUNGS = 8


class Measure(NamedTuple):
    """How long a part is, in the network's own unit."""

    length: int
    limit: int
    unit: str

    def as_json(self) -> dict[str, object]:
        """The measure's object of the JSON contract."""
        return {"length": self.length, "limit": self.limit, "unit": self.unit}


def measures(kind: str, parts: Mapping[str, str]) -> dict[str, Measure]:
    """How long each part is against its limit."""
    limits = registry.channel_class(kind).parts
    return {
        part: Measure(limit.count(parts[part]), limit.most, limit.unit)
        for part, limit in limits.items()
        if part in parts
    }


def variants(plan: Plan, templates: Path | None = None, books: dict[str, Book] | None = None) -> list[Variant]:
    """One variant per planned channel and language, in the plan's order; what is open already keeps its bytes.

    ``books`` keeps what was compiled, for who renders several plans. Raises TemplateError with every problem.
    """
    books = {} if books is None else books
    rendered: list[Variant] = []
    problems: list[Problem] = []
    for channel in plan.channels:
        if channel.is_open:
            continue
        for language in channel.languages_needed:
            book = books.setdefault(language, Book(language, templates))
            try:
                rendered.append(_Rendering(plan, channel, book).variant())
            except TemplateError as error:
                problems += error.problems
    if problems:
        raise TemplateError(*problems)
    return rendered


def digest(plan: Plan, rendered: list[Variant]) -> str:
    """What an approval signs: the message, who is told, and every byte that will go out. The same on a dry run."""
    return digest_of(
        {
            "incident": plan.message.incident,
            "update": plan.number,
            "message": plan.message.canonical,
            "channels": [[channel.name, channel.kind, channel.audience_digest] for channel in plan.channels],
            "variants": [[item.channel, item.language, dict(item.parts)] for item in rendered],
        }
    )


@dataclass(frozen=True)
class _Rendering:
    """One channel's variant in one language, on its way."""

    plan: Plan
    channel: PlannedChannel
    book: Book

    @cached_property
    def _message(self) -> Message:
        words = self.channel.words
        return (words.message if words else self.plan.message).translated(self.book.language)

    @cached_property
    def _given(self) -> dict[str, Any]:
        given = facts.context(
            self._message,
            Wording(self.book.language, self.plan.organisation.timezone, self.plan.as_of),
            self.plan.next_update_at,
            links=self.channel.config.options.links is True,
            earlier=self._earlier,
            sequel=self.channel.sequel,
        )
        return given | {"organisation": self.plan.organisation.name, "first": self.channel.is_first_word}

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
        rungs = [0] if set(self._written) == set(self._limits) else range(1, RUNGS + 1)
        tried: list[tuple[int, dict[str, str]]] = []
        for rung in rungs:
            parts: dict[str, str] = {}
            for part in self._limits:  # in order: a later part may mark up an earlier one's words
                parts[part] = self._written.get(part) or self._part(part, rung, parts)
            tried.append((rung, parts))
            if self._fits(parts, aim=True):
                return self._checked(rung, parts)
        # None is as short as it should be: the shortest that is allowed, with as much in it as its length holds.
        allowed = [(rung, parts) for rung, parts in tried if self._fits(parts, aim=False)]
        return self._checked(*(min(allowed, key=lambda item: self._lengths(item[1])) if allowed else tried[-1]))

    @cached_property
    def _written(self) -> dict[str, str]:
        """The parts that somebody wrote by hand. Raises TemplateError for one that the channel does not have."""
        written = self._message.variants.get(self.channel.name, {}).get(self.book.language, {})
        if unknown := sorted(set(written) - set(self._limits)):
            place = f"variants.{self.channel.name}.{self.book.language}.{unknown[0]}"
            hint = f"it has {', '.join(self._limits)}"
            raise TemplateError(Problem(f"{place}: {self.channel.kind} has no such part", hint))
        return {part: self._tidied(part, text) for part, text in written.items()}

    def _tidied(self, part: str, text: str) -> str:
        """A text by hand without the blank end that YAML's ``|`` leaves; a headline in one line."""
        if self._limits[part].carries is Carries.NOTHING:
            return " ".join(text.split())
        return "\n".join(line.rstrip() for line in text.splitlines()).strip()

    @property
    def _limits(self) -> Mapping[str, Limit]:
        return self.channel.config.adapter.parts

    def _part(self, part: str, rung: int, parts: Mapping[str, str]) -> str:
        name = f"{self.channel.kind}.{part}.j2"
        return self.book.block(name, self._message.status.value, {**self._given, "rung": rung, "parts": parts})

    def _fits(self, parts: Mapping[str, str], *, aim: bool) -> bool:
        return all(
            limit.count(parts[part]) <= ((limit.aim if aim else None) or limit.most)
            for part, limit in self._limits.items()
        )

    def _lengths(self, parts: Mapping[str, str]) -> list[int]:
        return [limit.count(parts[part]) for part, limit in self._limits.items() if limit.aim]

    def _checked(self, rung: int, parts: dict[str, str]) -> Variant:
        """The variant, once every part is within its limit and states what it must."""
        listed = facts.stated(self._given, self.book.phrases)
        problems, carried, left_out = [], set[str](), set[str]()
        for part, limit in self._limits.items():
            length = limit.count(parts[part])
            if length > limit.most:
                problems.append(self._too_long(part, limit, length, parts[part]))
            text = facts.visible(parts[part]) if part in self.channel.config.adapter.escapes else parts[part]
            found, missing = facts.carried(text, listed, by_hand=part in self._written)
            carried.update(found)
            left_out.update(missing)
            if parts[part]:  # a channel that is taken down says nothing
                needed = facts.required(limit.carries, listed, self._message.status)
                problems += [self._lost(part, fact) for fact in listed if fact.name in needed and fact.name in missing]
        if problems:
            raise TemplateError(*problems)
        return Variant(
            channel=self.channel.name,
            kind=self.channel.kind,
            language=self.book.language,
            parts=parts,
            rung=rung,
            carried=tuple(fact.name for fact in listed if fact.name in carried),
            left_out=tuple(fact.name for fact in listed if fact.name in left_out - carried),
            source=self._source(next(iter(self._limits))) if rung == 0 else f"{self.book.language}/{self.channel.kind}",
        )

    def _source(self, part: str) -> str:
        if part in self._written:
            return f"variants.{self.channel.name}.{self.book.language}.{part}"
        return f"{self.book.language}/{self.channel.kind}.{part}.j2"

    def _lost(self, part: str, fact: Fact) -> Problem:
        hint = (
            f"it must say: {' '.join(map(str, fact.needles[:1]))}" if fact.needles else "phrases.j2 has no words for it"
        )
        return Problem(f"does not state {fact.name}", hint, self._source(part))

    def _too_long(self, part: str, limit: Limit, length: int, text: str) -> Problem:
        """How many characters to lose and where: the longest of the officer's own facts is the place to begin."""
        names = ("title", "summary", "cause", "compensation", "aftermath", "scope", "retraction_reason")
        own = {name: getattr(self._message, name) for name in names}
        own |= {f"apology.{form}": words for form, words in (self._given["apology"] or {}).items()}
        own |= {f"workaround {number}": item for number, item in enumerate(self._message.workaround, 1)}
        found = sorted((item for item in own.items() if item[1] and item[1] in text), key=lambda item: -len(item[1]))
        where = " or ".join(f"{name} ({len(words)} characters)" for name, words in found[:2])
        excess = _excess(text, limit, text.find(found[0][1]) + len(found[0][1]) if found else len(text))
        return Problem(
            f"{excess} characters too long for {self.channel.name}: {length} of {limit.most} {limit.unit}",
            f"shorten {where}" if where else "shorten it",
            self._source(part),
        )


def _excess(text: str, limit: Limit, end: int) -> int:
    """How many characters before ``end`` must go for ``text`` to fit; all of them where that is not enough."""
    return bisect_left(range(end), True, key=lambda cut: limit.count(text[: end - cut] + text[end:]) <= limit.most)
