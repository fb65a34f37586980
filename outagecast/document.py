"""A YAML file as a tree of plain strings that remembers where each of them stood.

YAML 1.1 reads ``14:30`` as 870, ``NO`` as false and drops the plus of ``+447911…``; so nothing is typed here but by the
schema it is checked against. Aliases, tags and repeated keys are refused: each has hidden an error in real files.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from outagecast.errors import OutagecastError, Problem
from outagecast.text import clean, harmful_characters

Node: TypeAlias = "dict[str, Node] | list[Node] | str"
Place: TypeAlias = "tuple[str | int, ...]"  # the way from the root, such as ("channels", "x", "kind")

_FAST = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
MOST_BYTES = 256 * 1024
MOST_DEPTH = 20
MOST_PROBLEMS = 50
MOST_VALUES = 5_000  # reading more takes longer than anybody waits at night
MOST_COMPARED = 100  # words that a mistyped one is compared with, which is slow

# What YAML's own words mean for somebody who wrote a sentence.
_ADVICE = {
    "mapping values are not allowed here": "put quotes around a text that holds a colon",
    "found character '\\t'": "indent with spaces, not with tabs",
    "that cannot start any token": "put quotes around a text that begins with a sign",
    "found unexpected end of stream": "is a quote or a bracket left open?",
    "but found '<scalar>'": "put quotes around the whole text",
    "could not find expected ':'": "write `key: value`, and indent the further lines of a long text",
}


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its data, and the line and column (from 1) of each key and value."""

    file: str
    data: dict[str, Node]
    _values: Mapping[Place, tuple[int, int]] = field(default_factory=dict)
    _keys: Mapping[Place, tuple[int, int]] = field(default_factory=dict)
    _options: dict[Place, str] = field(default_factory=dict)  # what the command line gave instead

    def put(self, place: Place, value: str, option: str) -> None:
        """Write ``value`` at ``place``, or take away what stands there if it is empty; problems name ``option``.

        Raises ValueError where the way leads through something that holds no named values.
        """
        self._options[place] = option
        around: list[dict[str, Node]] = [self.data]
        for step in place[:-1]:
            inner = around[-1].setdefault(str(step), {})
            if not isinstance(inner, dict):
                raise ValueError(f'"{clean(step, most=60)}" holds no named facts')  # noqa: TRY004 - a wrong value
            around.append(inner)
        if value:
            around[-1][str(place[-1])] = value
            return
        around[-1].pop(str(place[-1]), None)
        for outer, step in reversed(list(zip(around, place[:-1], strict=False))):
            if not outer[str(step)]:
                del outer[str(step)]

    def blank(self, place: Place) -> list[str]:
        """The keys in the mapping at ``place`` that were written without a value, which is as if they were not."""
        mapping: Any = self.data
        for step in place:
            mapping = mapping.get(step) if isinstance(mapping, dict) else None
        given = mapping or {}
        return [str(key[-1]) for key in self._keys if key[:-1] == place and key[-1] not in given]

    def problem(self, place: Place, message: str, hint: str = "", *, key: bool = False) -> Problem:
        """A problem with what stands at ``place``, or at the nearest thing around it that was written."""
        for length in range(len(place), -1, -1):
            around = place[:length]
            if around in self._options:
                return Problem(message, hint, self._options[around])
            marks = self._keys if key and around == place else self._values
            if around in marks:
                return Problem(message, hint, self.file, *marks[around])
        return Problem(message, hint, self.file)


def read(source: str | Path, stdin: typing.BinaryIO | None, error: type[OutagecastError]) -> tuple[str, str]:
    """The name and text of a file, or of ``stdin`` for ``-``. Raises ``error`` for what is not UTF-8 text."""
    name = "<stdin>" if str(source) == "-" else str(source)
    try:
        if str(source) == "-":
            raw = stdin.read(MOST_BYTES + 1) if stdin else b""
        else:
            with Path(source).open("rb") as file:
                raw = file.read(MOST_BYTES + 1)
    except OSError as failure:
        raise error(Problem(f"cannot be read: {failure.strerror}", file=name)) from None
    if len(raw) > MOST_BYTES:
        raise error(Problem(f"longer than {MOST_BYTES // 1024} KiB", file=name))
    try:
        return name, raw.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        guess = "UTF-16" if raw[:2] in {b"\xff\xfe", b"\xfe\xff"} else "another encoding, perhaps Windows-1252"
        before = raw[: failure.start].decode().rpartition("\n")
        at = raw.count(b"\n", 0, failure.start) + 1, len(before[2]) + 1
        raise error(Problem(f"not UTF-8 but {guess}", "save it as UTF-8", name, *at)) from None


def parse(name: str, text: str, error: type[OutagecastError]) -> Document:
    """The document in ``text``. Raises ``error`` with every repeated key, alias and tag, or the first syntax error."""
    if text.lstrip().startswith("{"):
        text = text.replace("\t", " ")  # JSON may be indented with tabs, YAML may not
    if found := yaml.reader.Reader.NON_PRINTABLE.search(text):
        before = text[: found.start()].rpartition("\n")
        at = before[0].count("\n") + len(before[1]) + 1, len(before[2]) + 1
        hint = "save it as UTF-8 text" if found.group() == "\x00" else "retype this text by hand"
        raise error(Problem(f"a character that no text has, U+{ord(found.group()):04X}", hint, name, *at))
    builder = _Builder(name, text, _FAST)
    try:
        root = builder.root()
    except (yaml.YAMLError, ValueError, OverflowError, _TooMuch):
        builder, root = _explained(name, text, error)
    if builder.problems:
        raise error(*foremost(builder.problems))
    if not isinstance(root, dict):
        raise error(Problem("expected `key: value` lines", file=name, line=1, column=1))
    return Document(name, root, builder.values, builder.keys)


def _explained(name: str, text: str, error: type[OutagecastError]) -> tuple[_Builder, Node | None]:
    """The same by PyYAML's own reader, which is slower and says better what it does not understand."""
    builder = _Builder(name, text, yaml.SafeLoader)
    try:
        return builder, builder.root()
    except yaml.MarkedYAMLError as failure:
        mark = failure.problem_mark
        hint = next((advice for words, advice in _ADVICE.items() if words in str(failure.problem)), "")
        raise error(
            Problem(f"not valid YAML: {clean(failure.problem)}", hint, name, *(_place(mark) if mark else ()))
        ) from None
    except (ValueError, OverflowError):  # a number of \U or of %YAML that is out of all bounds
        raise error(Problem("not valid YAML", "", name, *builder.here)) from None
    except _TooMuch as excess:
        raise error(Problem(str(excess), "", name, *builder.here)) from None


def _place(mark: Any) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def foremost(problems: list[Problem]) -> list[Problem]:
    """The first of them in the order of the file, as many as somebody reads."""
    problems = sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0))
    rest = len(problems) - MOST_PROBLEMS
    return problems if rest <= 0 else [*problems[:MOST_PROBLEMS], Problem(f"and {rest} more", file=problems[0].file)]


class _TooMuch(Exception):
    """More than anybody writes by hand."""


class _Builder:
    """Builds the tree from YAML's events, where tags, anchors and repeated keys can still be seen."""

    def __init__(self, name: str, text: str, loader: type[Any]) -> None:
        self.name = name
        self.values: dict[Place, tuple[int, int]] = {}
        self.keys: dict[Place, tuple[int, int]] = {}
        self.problems: list[Problem] = []
        self.here = (1, 1)
        self._loader = loader(text)
        self._count = 0

    def root(self) -> Node | None:
        self._loader.get_event()
        if self._loader.check_event(yaml.StreamEndEvent):
            self.values[()] = (1, 1)
            return {}
        self._loader.get_event()
        node = self._node((), 0)
        self._loader.get_event()
        if not self._loader.check_event(yaml.StreamEndEvent):
            self._report("a second document", "keep one document a file", self._loader.peek_event())
        return {} if node is None else node

    def _report(self, message: str, hint: str, event: Any) -> None:
        self.problems.append(Problem(message, hint, self.name, *_place(event.start_mark)))

    def _node(self, place: Place, depth: int) -> Node | None:
        event = self._loader.get_event()
        self.values[place] = self.here = _place(event.start_mark)
        self._count += 1
        if depth > MOST_DEPTH:
            raise _TooMuch("nested too deeply")
        if self._count > MOST_VALUES:
            raise _TooMuch(f"more than {MOST_VALUES} values")
        if isinstance(event, yaml.AliasEvent):
            self._report("an alias", "write the value out, in quotes if it begins with *", event)
            return None
        if event.anchor:
            self._report("an anchor", "write the value out, in quotes if it begins with &", event)
        if event.tag and event.tag != "!":
            self._report("a tag", "write plain text, in quotes if it begins with !", event)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(place, depth)
        return self._mapping(place, depth)

    def _scalar(self, event: yaml.ScalarEvent) -> str | None:
        text = _text(event)
        if harmful := harmful_characters(text):
            # They hide or reorder text on a screen, so nobody can agree to what they see.
            self._report(f"an invisible character, {harmful[0][1]}", "retype this text by hand", event)
        # A key without a value is a key that was not given.
        return None if not event.style and text in {"", "~", "null", "Null", "NULL"} else text

    def _sequence(self, place: Place, depth: int) -> list[Node]:
        items: list[Node] = []
        while not self._loader.check_event(yaml.SequenceEndEvent):
            item = self._node((*place, len(items)), depth + 1)
            if item is not None:
                items.append(item)
        self._loader.get_event()
        return items

    def _mapping(self, place: Place, depth: int) -> dict[str, Node]:
        result: dict[str, Node] = {}
        seen: dict[str, int] = {}
        while not self._loader.check_event(yaml.MappingEndEvent):
            event = self._loader.peek_event()
            if not isinstance(event, yaml.ScalarEvent):
                self._report("a key must be plain text", "", event)
                self._node((*place, "?"), depth + 1)
                self._node((*place, "?"), depth + 1)
                continue
            self._loader.get_event()
            key = _text(event)
            if harmful := harmful_characters(key):
                self._report(f"an invisible character, {harmful[0][1]}", "retype this text by hand", event)
            if key in seen:
                self._report(f'"{clean(key)}" stands twice', f"the first is on line {seen[key]}", event)
            seen[key], _ = self.keys[(*place, key)] = _place(event.start_mark)
            value = self._node((*place, key), depth + 1)
            if value is not None:
                result[key] = value
        self._loader.get_event()
        return result


def _text(event: yaml.ScalarEvent) -> str:
    """The scalar; a character that JSON writes as two escaped halves is one again."""
    text: str = event.value
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return text


def _among(known: list[str]) -> str:
    return f"expected one of: {clean(', '.join(known), most=600)}"


def nearest(word: str, known: list[str]) -> str:
    """A hint: the known word that ``word`` was probably meant to be, or all of them."""
    import difflib

    known = known[:MOST_COMPARED]
    folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word[:100].casefold().replace("-", "_"), folded, n=1, cutoff=0.6)
    close = close or difflib.get_close_matches(word[:100].casefold(), folded, n=1, cutoff=0.6)
    return f'did you mean "{folded[close[0]]}"?' if close else _among(known) if known else ""
