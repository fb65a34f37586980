"""A document's tree to dataclasses: every key known, every value typed, every problem at once with its place.

The dataclass is the schema: its annotations say what a value must be, ``Annotated`` how a text becomes one, ``about``
what a key is for; ``outagecast/json_schema.py`` says the same to editors. These are our own lines, since pydantic
alone took longer to import than all else a preview needs.
"""

from __future__ import annotations

import functools
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import timedelta
from enum import Enum
from keyword import iskeyword
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from outagecast import placeholder
from outagecast.about import purpose
from outagecast.document import MOST_PROBLEMS, Document, Node, Place, foremost, nearest
from outagecast.errors import Problem
from outagecast.text import clean

T = TypeVar("T")
DURATION = re.compile(r"(?:(\d{1,3})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?", re.ASCII)
TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_BAD = object()  # stands for a value whose problem has been noted


class Reshape(NamedTuple):
    """What shorthand stands for: ``by(node)`` is read in the place of the node. ``shorthand`` is its type."""

    by: Callable[[Node], Node]
    shorthand: Any


class Parse(NamedTuple):
    """How a text becomes a value: ``by(text, context)``, raising ValueError with what is wrong and what to write.

    ``pattern`` is found in every text that it takes, and ``choices`` are all of them, for editors: a regular
    expression as Python and ECMA-262 both read it.
    """

    by: Callable[[str, Any], object]
    expected: str = "text"
    pattern: str = ""
    choices: tuple[str, ...] = ()


class Check(NamedTuple):
    """What a value must be beyond its type: ``by(value)`` returns it, or raises ValueError with what is wrong.

    ``distinct`` says, for editors, that it takes a list of one or more, none of them twice.
    """

    by: Callable[[Any], object]
    distinct: bool = False


def whole(pattern: str) -> str:
    """``pattern`` where nothing else may stand beside it but white space."""
    return rf"^\s*(?:{pattern})\s*$"


def read(
    schema: type[T], document: Document, node: Node, *, at: Place = (), context: Any = None, also: Iterable[str] = ()
) -> tuple[T | None, list[Problem]]:
    """What stands at ``at`` as a ``schema``, or every problem with it, in the order of the file.

    ``context`` is handed to every ``Parse``; ``also`` are keys that may stand beside the schema's own, named in hints.
    """
    reader = _Reader(document, context)
    value = reader.value(schema, node, at, sorted(also))
    return (None if value is _BAD or reader.problems else value), foremost(reader.problems)


def duration(text: str) -> timedelta:
    """``30m``, ``1h30m``, ``2d`` as a duration. Raises ValueError with the form it must have."""
    match = DURATION.fullmatch(text.strip())
    if not match or not any(match.groups()):
        raise ValueError(f'"{clean(text, most=60)}" is not a duration; write it like 30m, 2h or 1h30m')
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not length:
        raise ValueError("must be longer than nothing")
    return length


@functools.cache
def keys_of(schema: type) -> Mapping[str, tuple[Field[Any], Any]]:
    """The keys of a mapping that is read as ``schema``, each with its field and its type."""
    hints = typing.get_type_hints(schema, include_extras=True)
    return {_key(item.name): (item, hints[item.name]) for item in fields(schema) if not item.name.startswith("_")}


def _key(name: str) -> str:
    """The file's word for a field: Python wants ``from_`` where people write ``from``."""
    bare = name.removesuffix("_")
    return bare if iskeyword(bare) else name


class _Reader:
    """Walks tree and types side by side and notes what does not fit."""

    def __init__(self, document: Document, context: Any) -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._context = context

    def _note(self, place: Place, message: str, hint: str = "", *, key: bool = False) -> Any:
        self.problems.append(self._document.problem(place, message, hint, key=key))
        return _BAD

    def value(self, kind: Any, node: Node, place: Place, also: list[str] | None = None) -> Any:
        """``node`` as a ``kind``, or _BAD."""
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if kind is Any:
            return node
        if isinstance(node, str) and (left := placeholder.find(node)):
            hint = f"such as: {clean(left.example)}" if left.example else ""
            return self._note(place, f"still to be filled in: {clean(left.wanted)}".rstrip(": "), hint)
        if origin is typing.Annotated:
            return self._annotated(arguments[0], arguments[1:], node, place)
        if origin in {typing.Union, types.UnionType}:
            return self.value(next(option for option in arguments if option is not type(None)), node, place)
        if origin is tuple:
            return self._list(arguments[0], node, place)
        if origin is dict:
            return self._mapping(arguments[0], arguments[1], node, place)
        if is_dataclass(kind):
            return self._dataclass(typing.cast("type", kind), node, place, also or [])
        return self._word(kind, node, place)

    def _annotated(self, kind: Any, extras: tuple[Any, ...], node: Node, place: Place) -> Any:
        for extra in extras:
            node = extra.by(node) if isinstance(extra, Reshape) else node
        parse = next((extra for extra in extras if isinstance(extra, Parse)), None)
        if parse and not isinstance(node, str):
            return self._note(place, f"expected {parse.expected}, not {_shape(node)}")
        try:
            value = parse.by(typing.cast("str", node), self._context) if parse else self.value(kind, node, place)
            for extra in extras:
                value = extra.by(value) if isinstance(extra, Check) and value is not _BAD else value
        except ValueError as error:
            return self._note(place, str(error))
        return value

    def _word(self, kind: Any, node: Node, place: Place) -> Any:
        """A single value of a plain type, of an enum, or one of some literals."""
        choices: Mapping[str, Any] = {}
        if typing.get_origin(kind) is typing.Literal:
            choices = {choice: choice for choice in typing.get_args(kind)}
        elif isinstance(kind, type) and issubclass(kind, Enum):
            choices = {member.value: member for member in kind}
        if not isinstance(node, str):
            expected = "one word" if choices else _EXPECTED.get(kind, "text")
            return self._note(place, f"expected {expected}, not {_shape(node)}")
        if choices:
            if node not in choices:
                return self._note(place, f'"{clean(node, most=60)}" is not valid here', nearest(node, list(choices)))
            return choices[node]
        try:
            return _PLAIN.get(kind, kind)(node)
        except ValueError as error:
            return self._note(place, str(error))

    def _list(self, kind: Any, node: Node, place: Place) -> Any:
        if not isinstance(node, list):
            return self._note(place, f"expected a list, such as [one, two], not {_shape(node)}")
        values = [self.value(kind, item, (*place, number)) for number, item in enumerate(node)]
        return _BAD if any(value is _BAD for value in values) else tuple(values)

    def _mapping(self, name_kind: Any, kind: Any, node: Node, place: Place) -> Any:
        if not isinstance(node, dict):
            return self._note(place, f"expected `name: value` lines, not {_shape(node)}")
        pairs = [
            (self.value(name_kind, name, (*place, name)), self.value(kind, item, (*place, name)))
            for name, item in node.items()
        ]
        return _BAD if any(_BAD in (name, value) for name, value in pairs) else dict(pairs)

    def _dataclass(self, schema: type, node: Node, place: Place, also: list[str]) -> Any:
        keys = keys_of(schema)
        if not isinstance(node, dict):
            hint = f"such as {', '.join(sorted(keys))}"
            return self._note(place, f"expected `name: value` lines, not {_shape(node)}", hint)
        values: dict[str, Any] = {}
        for name, item in node.items():
            if name in keys:
                known, kind = keys[name]
                values[known.name] = self.value(kind, item, (*place, name))
            else:
                # Of thousands of wrong keys nobody reads the last ones' hints, which take long to find.
                hint = nearest(name, sorted(keys) + also) if len(self.problems) <= MOST_PROBLEMS else ""
                self._note((*place, name), f'unknown key "{clean(name)}"', hint, key=True)
        for name, (known, _) in keys.items():
            if known.name not in values and known.default is MISSING and known.default_factory is MISSING:
                values[known.name] = self._note((*place, name), f'"{name}" is missing', purpose(known))
        if any(value is _BAD for value in values.values()):
            return _BAD
        try:
            return schema(**values)
        except ValueError as error:
            return self._note(place, str(error))


def _shape(node: Node) -> str:
    return {list: "a list", dict: "`name: value` lines"}.get(type(node), "text")


def _integer(text: str) -> int:
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 19):
        raise ValueError(f"expected {_EXPECTED[int]}")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not -1e15 < value < 1e15:  # nor is nan
        raise ValueError(f"expected {_EXPECTED[float]}")
    return value


def _truth(text: str) -> bool:
    if text.casefold() not in TRUTHS:
        raise ValueError(f"expected {_EXPECTED[bool]}")
    return TRUTHS[text.casefold()]


_EXPECTED: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "the path of a file",
    timedelta: "a duration, such as 30m",
}
_PLAIN: Mapping[Any, Callable[[str], Any]] = {int: _integer, float: _number, bool: _truth, timedelta: duration}
