"""The words that announcements in one language do better without: shipped with its templates, extended by the config.

A phrase counts as a whole, in any case and with or without accents; ``*`` is any ending of a word, ``^`` in front of it
the beginning of a sentence.
"""

from __future__ import annotations

import re
import typing
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from outagecast import document
from outagecast.errors import TemplateError
from outagecast.template import SHIPPED

FILE = "advice.yaml"
_KEYBOARD = str.maketrans({"’": "'", "‘": "'", "\u2011": "-", "\u00a0": " ", "\u202f": " "})
# Before a small letter it was an abbreviation that ended, such as "9 a.m. to 5 p.m.".
_END = re.compile("(?<=[.!?…])[\"'”’»“)]*\\s+(?![a-zß-öø-ÿ])|(?<=[。！？])|\n")
_GAP = re.compile(r"[*^\s-]+")  # between the pieces of a phrase
_FIRST_WITHOUT_SPACES = "\u2e80"  # Chinese and Japanese begin here: no gap tells where a word ends


class Phrase(NamedTuple):
    """Some words to do without; those in ``unless`` in the same sentence make them innocent. All are folded."""

    rule: str
    words: str
    instead: str
    unless: tuple[str, ...] = ()


class Found(NamedTuple):
    """A phrase as it stands in a text."""

    rule: str
    words: str
    instead: str


def sentences(text: str) -> list[str]:
    """The sentences of ``text``; a line break ends one too."""
    return [sentence for piece in _END.split(text) if (sentence := piece.strip())]


def folded(text: str) -> str:
    """``text``, which is NFC, modulo case, accents and typography; each character is still one."""
    return "".join(map(_plain, text.translate(_KEYBOARD)))


@cache
def _plain(letter: str) -> str:
    small = letter.lower() if len(letter.lower()) == 1 else letter
    parts = unicodedata.normalize("NFD", small)
    return parts[0] if len(parts) > 1 and unicodedata.combining(parts[1]) else small


@cache
def shipped(language: str) -> tuple[Phrase, ...]:
    """The phrases that come with the templates of ``language``, or of the one it is a kind of; perhaps none."""
    while not (path := SHIPPED / language / FILE).exists():
        language, separator, _ = language.rpartition("-")
        if not separator:
            return ()
    rules = typing.cast("Any", document.parse(*document.read(path, None, TemplateError), TemplateError).data)
    return tuple(
        Phrase(rule, folded(words), entry["instead"], tuple(map(folded, entry.get("unless", ()))))
        for rule, entries in rules.items()
        for entry in entries
        for words in entry["phrases"]
    )


def own(rule: str, words: Mapping[str, str]) -> tuple[Phrase, ...]:
    """The phrases that a config adds, each with what to say instead."""
    return tuple(Phrase(rule, folded(phrase), instead) for phrase, instead in words.items())


def find(text: str, phrases: Sequence[Phrase]) -> Iterator[Found]:
    """Every phrase in ``text``; of several that overlap the first and longest."""
    text = unicodedata.normalize("NFC", text)
    whole = folded(text)
    likely = [phrase for phrase in phrases if _stem(phrase.words) in whole and _may_hold(whole, phrase.words)]
    for sentence in sentences(text) if likely else ():
        plain = folded(sentence)
        found = [
            (match.start(), -len(match.group()), phrase)
            for phrase in likely
            for match in _matches(phrase.words, plain)
            if not any(any(_matches(word, plain)) for word in phrase.unless)
        ]
        end = 0
        for start, length, phrase in sorted(found, key=lambda item: item[:2]):
            if start >= end:
                end = start - length
                yield Found(phrase.rule, sentence[start:end], phrase.instead)


def is_among(words: str, phrases: Collection[str]) -> bool:
    """Whether some words are one of ``phrases``, which are written as in a list."""
    return any(_pattern(folded(phrase)).fullmatch(folded(words)) for phrase in phrases)


@cache
def _stem(words: str) -> str:
    """The longest piece of a phrase that stands in a text as it is: most phrases are ruled out by it."""
    return max(_GAP.split(words), key=len)


def _may_hold(text: str, words: str) -> bool:
    """Whether all pieces of a phrase stand in a text: to compile its pattern takes longer than to look."""
    return all(piece in text for piece in _GAP.split(words))


def _matches(words: str, sentence: str) -> Iterator[re.Match[str]]:
    """Where a folded phrase stands in a folded sentence, and not inside of longer words."""
    for match in _pattern(words).finditer(sentence):
        start, end = match.span()
        if not (_is_joined(sentence[start - 1 : start + 1]) or _is_joined(sentence[end - 1 : end + 1])):
            yield match


def _is_joined(pair: str) -> bool:
    """Whether two characters belong to one word."""
    return len(pair) == 2 and all(one.isalnum() and one < _FIRST_WITHOUT_SPACES for one in pair)


@cache
def _pattern(words: str) -> re.Pattern[str]:
    bare = words.removeprefix("^")
    pattern = re.sub(r"(?:\\?[\s-])+", r"[\\s-]+", re.escape(bare)).replace(r"\*", r"\w{0,30}")
    return re.compile(pattern if words == bare else rf"^\W*{pattern}")
