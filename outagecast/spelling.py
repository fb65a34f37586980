"""What was spelled otherwise so that a text costs less on its network, and what keeps one from costing less."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from outagecast import measure, registry
from outagecast.model import Variant

_FEW = 0.1  # of a text: where more of it is foreign to the network's letters, it is in a language that needs them
_SHOWN = 6  # characters that are named; nobody reads more


class Spelling(NamedTuple):
    """What a text's spelling for its network changed."""

    replaced: tuple[str, ...]  # each character once, in the order of the text
    times: int  # how many characters were
    length: int  # of the text without it, in the unit of its measure

    def as_json(self) -> dict[str, object]:
        """The object of the JSON contract."""
        return {"replaced": list(self.replaced), "count": self.times, "length_before": self.length}

    def words(self, length: int, unit: str) -> str:
        """What was done and what it saves, in a line; ``length`` is what the text has now."""
        are_letters = all(map(str.isalpha, self.replaced))
        noun, how = ("letter", "without marks") if are_letters else ("character", "plainly")
        said = f"{_number(self.times, noun)} written {how} ({_listed(self.replaced)})"
        if length >= self.length:
            return said
        return f"{said}: {_number(length, unit.removesuffix('s'))} instead of {self.length}"


def of(variant: Variant) -> Mapping[str, Spelling]:
    """The parts of ``variant`` whose spelling was changed, as far as it is known: of what is open, it is forgotten."""
    limits = registry.channel_class(variant.kind).parts
    found = {}
    for part, before in variant.unfitted.items():
        kept = set(variant.parts[part])
        gone = [character for character in unicodedata.normalize("NFC", before) if character not in kept]
        if gone:
            length = limits[part].length(before, variant.language)
            found[part] = Spelling(tuple(dict.fromkeys(gone)), len(gone), length)
    return found


def advice(variants: Iterable[Variant]) -> Iterator[str]:
    """Which few characters make a text cost more, and where they stand."""
    for variant in variants:
        for part, limit in registry.channel_class(variant.kind).parts.items():
            if limit.fit is measure.sms_fit:
                # What makes the fullest text cost more has taken facts out of the one that goes out.
                fullest = _costly(variant, variant.fullest.get(part, ""), "would make the whole text")
                yield from list(_costly(variant, variant.parts[part], "makes it")) or fullest


def _costly(variant: Variant, text: str, makes: str) -> Iterator[str]:
    at = measure.sms_obstacles(text)
    there = frozenset(at)
    without = "".join(character for place, character in enumerate(text) if place not in there)
    now, then = measure.sms(text).segments, measure.sms(measure.sms_fit(without)).segments
    if then < now and len(at) <= _FEW * len(text):
        named = _listed(dict.fromkeys(text[place] for place in at))
        before = " ".join(text[: at[0]].split()[-3:])
        where = f"character {at[0] + 1}{f', after “{before}”' if before else ''}"
        yield (
            f"{variant.channel} ({variant.language}): {named} ({where}) {makes} {_number(now, 'segment')} instead of "
            f"{then}; write it otherwise"
        )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _listed(characters: Iterable[str]) -> str:
    """Characters side by side; those that are not seen by their number."""
    shown = [sign if sign.isprintable() else f"U+{ord(sign):04X}" for sign in characters]
    return " ".join([*shown[:_SHOWN], *(["…"] if len(shown) > _SHOWN else [])])
