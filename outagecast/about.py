"""What a key of a file is for, beside the field that holds it: said where the key is missing, and by editors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, field
from typing import Any


def about(text: str, *, default: Any = MISSING, default_factory: Callable[[], Any] | Any = MISSING) -> Any:
    """A dataclass field with what it is for, in a few words that begin small and end without a full stop."""
    return field(default=default, default_factory=default_factory, metadata={"about": text})


def purpose(item: Field[Any]) -> str:
    """What ``about`` says of a field; empty where nobody said."""
    return str(item.metadata.get("about", ""))
