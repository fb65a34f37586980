"""Plan and templates to variants: every error of wording, length or missing fact appears here, and nowhere later."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

import outagecast.templates
from outagecast import facts, registry
from outagecast.channel import Limit
from outagecast.errors import Problem, TemplateError
from outagecast.message import Message
from outagecast.model import Variant, digest_of
from outagecast.plan import Plan, PlannedChannel
from outagecast.wording import Wording

RUNGS = 6  # a template's ladder, from 1, everything, to the shortest it can be
_BREAK = "\x1e"  # between paragraphs while a text is being rendered; no fact can hold it
_SHIPPED = Path(next(iter(outagecast.templates.__path__)))


@dataclass(frozen=True, slots=True)
class Measure:
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


def variants(plan: Plan, templates: Path | None = None) -> list[Variant]:
    """One variant per planned channel and language, in the plan's order; what is open already keeps its bytes.

    Raises TemplateError with every problem.
    """
    books: dict[str, _Book] = {}
    rendered: list[Variant] = []
    problems: list[Problem] = []
    for channel in plan.channels:
        if channel.is_open:
            continue
        for language in channel.languages_needed:
            book = books.setdefault(language, _Book(language, templates))
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
class _Book:
    """The templates of one language: the user's own folder first, then the shipped ones."""

    language: str
    own: Path | None
    _phrases: dict[str, str] = field(default_factory=dict)

    @cached_property
    def _environment(self) -> jinja2.Environment:
        folders = [folder / self.language for folder in (self.own, _SHIPPED) if folder]
        environment = ImmutableSandboxedEnvironment(
            loader=jinja2.FileSystemLoader(folders),
            undefined=jinja2.StrictUndefined,
            autoescape=lambda name: bool(name and name.endswith(".html.j2")),
            extensions=[_Paragraphs],
        )
        environment.filters.update(sentence=_sentence, bare=_bare, plain=facts.plain, blocks=_blocks, opening=_opening)
        return environment

    def block(self, name: str, block: str, given: Mapping[str, Any]) -> str:
        """The text of one block of one template. Raises TemplateError saying which and where."""
        try:
            template = self._environment.get_template(name)
            if block not in template.blocks:
                raise TemplateError(Problem(f"has no block for {block}", "", f"{self.language}/{name}"))
            context = template.new_context({**given, "say": self.phrases})
            return "".join(template.blocks[block](context))
        except jinja2.TemplateNotFound:
            hint = f"write it in your templates folder, or take {self.language} out of the languages"
            raise TemplateError(Problem("there is no such template", hint, f"{self.language}/{name}")) from None
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(Problem(error.message or "", "", f"{self.language}/{name}", error.lineno)) from None
        except (jinja2.TemplateError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise TemplateError(Problem(f"block {block}: {error}", "", f"{self.language}/{name}")) from None

    @property
    def phrases(self) -> dict[str, Any]:
        """The language's shared phrases: what ``phrases.j2`` sets."""
        if not self._phrases:
            try:
                module = self._environment.get_template("phrases.j2").module
            except jinja2.TemplateNotFound:
                raise TemplateError(Problem("there is no such template", "", f"{self.language}/phrases.j2")) from None
            self._phrases.update({name: value for name, value in vars(module).items() if not name.startswith("_")})
        return self._phrases


@dataclass(frozen=True)
class _Rendering:
    """One channel's variant in one language, on its way."""

    plan: Plan
    channel: PlannedChannel
    book: _Book

    @cached_property
    def _message(self) -> Message:
        return self.plan.message.translated(self.book.language)

    @cached_property
    def _given(self) -> dict[str, Any]:
        wording = Wording(self.book.language, self.plan.organisation.timezone, self.plan.as_of)
        given = facts.context(
            self._message, wording, self.plan.next_update_at, links=self.channel.config.options.links is True
        )
        return given | {"organisation": self.plan.organisation.name, "first": self.channel.is_first_word}

    def variant(self) -> Variant:
        """The richest text that fits; a text written by hand goes through the same gate."""
        written = self._message.variants.get(self.channel.name, {}).get(self.book.language, {})
        rungs = [0] if self._is_handwritten(written) else range(1, RUNGS + 1)
        tried: list[tuple[int, dict[str, str]]] = []
        for rung in rungs:
            parts: dict[str, str] = {}
            for part in self._limits:  # in order: a later part may mark up an earlier one's words
                parts[part] = written.get(part) or self._part(part, rung, parts)
            tried.append((rung, parts))
            if self._fits(parts, aim=True):
                return self._checked(rung, parts)
        # No rung is as short as it should be: the richest that is still allowed, else say what is too long.
        allowed = [(rung, parts) for rung, parts in tried if self._fits(parts, aim=False)]
        return self._checked(*(allowed or tried)[-1])

    @property
    def _limits(self) -> Mapping[str, Limit]:
        return self.channel.config.adapter.parts

    def _is_handwritten(self, written: Mapping[str, str]) -> bool:
        if unknown := set(written) - set(self._limits):
            known = ", ".join(self._limits)
            place = f"variants.{self.channel.name}.{self.book.language}"
            raise TemplateError(
                Problem(f"{place}: {self.channel.kind} has no part {sorted(unknown)[0]}", f"it has {known}")
            )
        return set(written) == set(self._limits)

    def _part(self, part: str, rung: int, parts: Mapping[str, str]) -> str:
        name = f"{self.channel.kind}.{part}.j2"
        text = self.book.block(name, self._message.status.value, {**self._given, "rung": rung, "parts": parts})
        return re.sub(r"\n\s*\n", "\n", text.strip()) if part in self.channel.config.adapter.escapes else _flow(text)

    def _fits(self, parts: Mapping[str, str], *, aim: bool) -> bool:
        return all(
            limit.count(parts[part]) <= ((limit.aim if aim else None) or limit.most)
            for part, limit in self._limits.items()
        )

    def _checked(self, rung: int, parts: dict[str, str]) -> Variant:
        """The variant, once every part is within its limit and states what it must."""
        listed = facts.stated(self._given, self.book.phrases)
        problems, carried, left_out = [], set[str](), set[str]()
        for part, limit in self._limits.items():
            length = limit.count(parts[part])
            if length > limit.most:
                problems.append(self._too_long(part, limit, length, parts[part]))
            text = facts.visible(parts[part]) if part in self.channel.config.adapter.escapes else parts[part]
            found, missing = facts.carried(text, listed)
            carried.update(found)
            left_out.update(missing)
            if parts[part]:  # a channel that is taken down says nothing
                lost = [name for name in missing if name in facts.required(limit.carries, listed)]
                problems += [
                    Problem(f"does not state {name}", "the message states it", self._source(part)) for name in lost
                ]
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
        if self._message.variants.get(self.channel.name, {}).get(self.book.language, {}).get(part):
            return f"variants.{self.channel.name}.{self.book.language}.{part}"
        return f"{self.book.language}/{self.channel.kind}.{part}.j2"

    def _too_long(self, part: str, limit: Limit, length: int, text: str) -> Problem:
        """How much to lose and where: the longest of the officer's own facts in it is the place to begin."""
        own = {
            name: getattr(self._message, name) for name in ("summary", "cause", "compensation", "aftermath", "scope")
        }
        own |= {"apology": self._message.apology.short if self._message.apology else None}
        own |= {f"workaround {number}": item for number, item in enumerate(self._message.workaround, 1)}
        longest = sorted((item for item in own.items() if item[1] and item[1] in text), key=lambda item: -len(item[1]))[
            :2
        ]
        where = " and ".join(f"{name} ({len(words)} characters)" for name, words in longest)
        return Problem(
            f"{length - limit.most} {limit.unit} too long for {self.channel.name}: {length} of {limit.most}",
            f"shorten {where}" if where else "shorten it",
            self._source(part),
        )


class _Paragraphs(jinja2.ext.Extension):
    """Marks the blank lines of a text template before its tags leave others behind."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002 - jinja2's
        return source if name and name.endswith(".html.j2") else re.sub(r"\n[ \t]*\n", f"\n{_BREAK}\n", source)


def _flow(text: str) -> str:
    """Paragraphs each on one line, list items on lines of their own; a line break alone says nothing."""
    paragraphs = (_lines(paragraph) for paragraph in text.split(_BREAK))
    return "\n\n".join("\n".join(lines) for lines in paragraphs if lines)


def _lines(paragraph: str) -> list[str]:
    lines: list[str] = []
    for line in (" ".join(line.split()) for line in paragraph.splitlines()):
        if line.startswith("- ") or not lines:
            lines += [line] if line else []
        elif line:
            lines[-1] = f"{lines[-1]} {line}"
    return lines


def _blocks(text: str) -> list[dict[str, object]]:
    """The paragraphs of a text part as headings (ending in a colon), lists and plain paragraphs."""
    blocks: list[dict[str, object]] = []
    for paragraph in text.split("\n\n"):
        lines = paragraph.splitlines()
        if all(line.startswith("- ") for line in lines):
            blocks.append({"kind": "list", "entries": [line[2:] for line in lines]})
        elif len(lines) == 1 and lines[0].endswith(":"):
            blocks.append({"kind": "heading", "text": lines[0][:-1]})
        else:
            blocks.append({"kind": "paragraph", "text": "\n".join(lines)})
    return blocks


def _sentence(text: str) -> str:
    """``text`` with a full stop, unless it ends a sentence already."""
    stop = "" if not text or text[-1] in ".!?…。！？" else "."
    return text + stop  # a Markup text stays one


def _opening(text: str) -> str:
    """``text`` with a capital first letter, to open a sentence."""
    return text[:1].upper() + text[1:]


def _bare(text: str) -> str:
    """``text`` without its full stop, to stand before a colon or in a headline."""
    return text.rstrip(".。")
