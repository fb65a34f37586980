"""JSON Schema of the message and the configuration, for editors, out of the dataclasses that read these files.

An editor takes an unquoted ``30`` for a number and ``true`` for a boolean, where we read every value as text; so a text
may be either here, and a key without a value, which we take for one that was left out, may hold null. What it cannot
know is what keys must be beside each other: ``preview`` and ``check`` do. It keeps to what draft 7 has too, since some
editors know no more. https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, is_dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, TypeAlias

from outagecast import registry
from outagecast.about import purpose
from outagecast.config import CHANNEL_NAME, PHONE_OPTIONS, File, Options
from outagecast.errors import ConfigError
from outagecast.message import Message
from outagecast.schema import DURATION, TRUTHS, Check, Parse, Reshape, keys_of, whole
from outagecast.secret import REFERENCE, Secret

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Node: TypeAlias = "dict[str, Any]"


def message() -> Node:
    """The schema of a message file."""
    return {"$schema": DIALECT, "title": "A message of outagecast", **_for_editors(_mapping_of(Message))}


def config() -> Node:
    """The schema of a configuration, with every kind of channel that is installed."""
    keys = _mapping_of(File)
    keys["properties"]["channels"] |= {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": f"^{CHANNEL_NAME}$"},
        "additionalProperties": _or_null(_channel()),
    }
    return {"$schema": DIALECT, "title": "A configuration of outagecast", **_for_editors(keys)}


FILES: Mapping[str, Callable[[], Node]] = {"message": message, "config": config}


def _channel() -> Node:
    """An entry of ``channels``: its ``kind`` decides which other keys it may have."""
    branches = {kind: keys for kind in registry.kinds() if (keys := _keys_of_kind(kind))}
    kind = {"enum": list(branches), "description": purpose(keys_of(Options)["kind"][0])}
    return {
        "type": "object",
        "properties": {"kind": kind},
        "required": ["kind"],
        "allOf": [
            {"if": {"properties": {"kind": {"const": name}}, "required": ["kind"]}, "then": keys}
            for name, keys in branches.items()
        ],
    }


def _keys_of_kind(kind: str) -> Node | None:
    """What stands beside one ``kind``; None where its package is for another version of outagecast."""
    try:
        adapter, settings = registry.channel_class(kind), registry.settings_class(kind)
    except ConfigError:
        return None
    keys = _mapping_of(Options, settings)
    keys["properties"]["kind"] = {"const": kind}
    for key in PHONE_OPTIONS if adapter.addresses != "phone" else ():
        del keys["properties"][key]
    if adapter.addresses is None:
        del keys["properties"]["audience"]
    else:
        keys["required"].append("audience")
        keys["properties"]["audience"] = _described(keys_of(Options)["audience"][0], _value(str))
    return keys


def _mapping_of(*schemas: type) -> Node:
    """A mapping with the keys of these dataclasses and no others."""
    keys = {name: key for schema in schemas for name, key in keys_of(schema).items()}
    required = [name for name, (item, _) in keys.items() if _is_required(item)]
    properties = {
        name: _described(item, _value(kind) if name in required else _or_null(_value(kind)))
        for name, (item, kind) in keys.items()
    }
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _is_required(item: Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _described(item: Field[Any], node: Node) -> Node:
    """``node`` with what the key is for, and what counts without it."""
    said = {"description": purpose(item)} if purpose(item) else {}
    simple = isinstance(item.default, str | int)
    return {**said, **node, **({"default": item.default} if simple else {})}


def _value(kind: Any) -> Node:
    """What may stand where a ``kind`` is read."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return {}
    if origin is typing.Annotated:
        return _annotated(arguments[0], arguments[1:])
    if origin in {typing.Union, types.UnionType}:
        return _value(next(option for option in arguments if option is not type(None)))
    if origin is tuple:
        return {"type": "array", "items": _or_null(_value(arguments[0]))}
    if origin is dict:
        names = _value(arguments[0])
        named = {"propertyNames": {"pattern": names["pattern"]}} if "pattern" in names else {}
        return {"type": "object", **named, "additionalProperties": _or_null(_value(arguments[1]))}
    if is_dataclass(kind):
        return _mapping_of(typing.cast("type", kind))
    return _word(kind)


def _annotated(kind: Any, extras: tuple[Any, ...]) -> Node:
    parse = next((extra for extra in extras if isinstance(extra, Parse)), None)
    node = _text(parse.pattern, parse.choices, parse.expected) if parse else _value(kind)
    for extra in extras:
        if isinstance(extra, Check) and extra.distinct:
            node = {**node, "minItems": 1, "uniqueItems": True}
        if isinstance(extra, Reshape):
            node = _either(_value(extra.shorthand), node)
    return node


def _word(kind: Any) -> Node:
    """A single value of a plain type, of an enum, or one of some literals."""
    if typing.get_origin(kind) is typing.Literal:
        return _text(choices=typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _text(choices=[member.value for member in kind])
    return _PLAIN.get(kind) or _text()


def _text(pattern: str = "", choices: Iterable[str] = (), expected: str = "text") -> Node:
    """A text in which ``pattern`` is found, or that is one of ``choices``; ``expected`` says what it should be."""
    if choices := [str(choice) for choice in choices]:
        return {"enum": choices}
    looks_like = {"number": "1", "boolean": "true"}
    types = ["string", *(name for name, text in looks_like.items() if re.search(pattern, text))]
    said = {"pattern": pattern, "patternErrorMessage": f"expected {expected}"}  # an extension of VS Code's
    return {**_typed(types), **(said if pattern else {})}


def _either(one: Node, other: Node) -> Node:
    """Both at once, where no keyword but ``type`` concerns the values of both."""
    return {**one, **other, **_typed([*_types(one), *_types(other)])}


def _or_null(node: Node) -> Node:
    if "enum" in node:
        return {**node, "enum": [*node["enum"], None]}
    return {**node, **_typed([*_types(node), "null"])} if "type" in node else node


def _typed(types: list[str]) -> Node:
    return {"type": types if len(types) > 1 else types[0]}


def _types(node: Node) -> list[str]:
    types: str | list[str] = node.get("type", [])
    return [types] if isinstance(types, str) else types


def _for_editors(node: Any) -> Any:
    """The same schema, said so that they do not offer true, false and null to who writes a sentence or a status."""
    if isinstance(node, list):
        return [_for_editors(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {name: _for_editors(value) for name, value in node.items()}
    choices, types = node.get("enum", []), _types(node)
    if None in choices:
        return _offering({"enum": [choice for choice in choices if choice is not None]}, ["null"], node)
    if "string" in types and "integer" not in types and node.get("pattern") != _TRUTH and len(types) > 1:
        return _offering(_typed([name for name in types if name not in _UNOFFERED]), types, node)
    return node


def _offering(offered: Node, allowed: Iterable[str], node: Node) -> Node:
    """``node`` with what is ``offered``, and with what is ``allowed`` said by what is not."""
    rest = {name: value for name, value in node.items() if name not in offered}
    return {**rest, "anyOf": [offered, {"not": {"type": sorted(_TYPES.difference(allowed))}}]}


_TYPES = frozenset({"array", "boolean", "null", "number", "object", "string"})
_UNOFFERED = frozenset({"boolean", "null", "number"})
_TRUTH = f"^({'|'.join(''.join(f'[{letter.upper()}{letter}]' for letter in word) for word in TRUTHS)})$"
_PLAIN: Mapping[Any, Node] = {
    int: {"type": ["integer", "string"], "pattern": "^-?[0-9]{1,18}$"},
    float: {"type": ["number", "string"]},
    bool: {"type": ["boolean", "string"], "pattern": _TRUTH},
    timedelta: _text(whole(rf"(?=\d){DURATION.pattern}"), expected="a duration, such as 30m"),
    Secret: _text(REFERENCE, expected="a reference: env:NAME, file:PATH or keyring:SERVICE/NAME"),
}
