"""Where X finds links and emoji in a post: lengths by start, in UTF-16 code units, after twitter-text 3.1.0.

Every scan is linear: a text comes from outside, and nested repetition over it would invite a stall.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

# Character classes hold what JavaScript's case-insensitive matching adds to them (re.IGNORECASE adds other letters).
_NONCHARACTER = r"\ufeff\ufffe\uffff"
# Quotation mark and backtick are not in it: X lets them be part of a domain.
_OUTSIDE_DOMAIN = (
    r"\t-\r !#-,./:-@\[-\^{-~\x85\xa0\u061c\u1680\u180e\u2000-\u200a\u200e\u200f\u2028-\u202f\u205f\u2066-\u2069\u3000"
    + _NONCHARACTER
)
_LATIN = (
    r"\xc0-\xd6\xd8-\xf6\xf8-\u024f\u0253\u0254\u0256\u0257\u0259\u025b\u0260\u0263\u0268\u0269\u026f\u0272\u0275"
    r"\u0280\u0283\u0288-\u028c\u0292\u02bb\u0300-\u036f\u0399\u03b9\u1e00-\u1eff\u1fbe\u2c65\u2c66\u2c7e\u2c7f\ua7dc"
)
_PATH_LAST = rf"#+\-/0-9=A-Z_a-z\u0400-\u04ff\u1c80-\u1c87{_LATIN}"
_PATH_INNER = r"!$%&'*,.:;@\[\]|~\u2013"
_PATH_ANY = _PATH_LAST + _PATH_INNER

_FREE = rf"(?<![#$0-9@A-Za-z\uff03\uff20{_NONCHARACTER}])"  # no mention, hashtag, cashtag or word runs into the link
_SCHEME = rf"{_FREE}[Hh][Tt][Tt][Pp][Ss]?://"
_LABEL_START = rf"{_FREE}[^{_OUTSIDE_DOMAIN}_-]"
_CHAIN = rf"[^{_OUTSIDE_DOMAIN}]+(?:\.[^{_OUTSIDE_DOMAIN}]+)*"
_BARE_LABELS = rf"(?:[-0-9A-Za-z{_LATIN}]+\.)+"
_PUNYCODE_TLD = r"[Xx][Nn]--[-0-9A-Za-z]+"
_PORT = r":[0-9]+"
_GROUP = rf"\((?!\))[{_PATH_ANY}]*+(?:\([{_PATH_ANY}]++\)[{_PATH_ANY}]*+)?\)"
_PATH = rf"/(?:(?:[{_PATH_INNER}]|{_GROUP})*[{_PATH_LAST}])*(?:{_GROUP})*"
_QUERY = r"\?[!#-;=?-\[\]_a-z|~]*[#&\-/-9=A-Z_a-z]"
_SHORT_LINK = rf"[Tt]\.[Cc][Oo]/([0-9A-Za-z]+)(?:{_QUERY})?"
_ASTRAL = "[\U00010000-\U0010ffff]"

_LONGEST_LINK = 4096
_LONGEST_LABEL = 63  # octets of a DNS label, RFC 1035
_LONGEST_SLUG = 40
_LONGEST_TLD = 18
_TONE, _TONES = "\U0001f3fb", "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"


class _Run(NamedTuple):
    """What stands before a dot: a link may start from `low` on, and its domain then ends at `stop`."""

    start: int
    low: int
    end: int
    stop: int


def data_lines(name: str) -> Iterator[str]:
    """The lines of a data file beside this module, without its comments."""
    lines = Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
    return (line for line in lines if not line.startswith("#"))


def code_points_in(ranges: str) -> Iterator[int]:
    """The code points of hexadecimal ranges such as ``23 30-39``."""
    for item in ranges.split():
        first, _, last = item.partition("-")
        yield from range(int(first, 16), int(last or first, 16) + 1)


def code_units(text: str) -> str:
    """The text as JavaScript indexes it: one character per UTF-16 code unit."""
    return _pattern(_ASTRAL).sub(
        lambda found: chr(0xD7C0 + (ord(found[0]) >> 10)) + chr(0xDC00 | ord(found[0]) & 0x3FF), text
    )


def code_points(units: str) -> str:
    """The text with its surrogate pairs, if it has any, joined; a lone surrogate stays."""
    return units.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def links(units: str) -> dict[int, int]:
    """The length X takes each link to have, by its start."""
    found: dict[int, int] = {}
    resume = 0
    for chain in _pattern(_CHAIN).finditer(units):
        for run in _runs(units, *chain.span()):
            start, domain_start = _starts(units, run, resume)
            if start < 0:
                continue
            path_start = _skip(_PORT, units, run.stop)
            path_end = _skip(_PATH, units, path_start)
            resume = _skip(_QUERY, units, path_end)
            domain = units[domain_start : run.stop]
            if not _is_valid(domain, resume - start, domain_start - start):
                continue
            if start < domain_start:
                short = _pattern(_SHORT_LINK).match(units, domain_start, resume)
                if not short:
                    found[start] = resume - start
                elif len(short[1]) <= _LONGEST_SLUG:
                    found[start] = short.end() - start
            elif not (start and units[start - 1] in "-_./"):
                bare = {start + offset: length for offset, length in _bare_domains(domain)}
                # The path, with port and query, goes to the last part; without a path, port and query are mere text.
                if bare and path_end > path_start:
                    bare[max(bare)] += resume - run.stop
                found |= bare
    return found


def emoji(units: str) -> dict[int, int]:
    """The length of each emoji of several code points, by its start (one code point weighs 2 anyway)."""
    if units.isascii():  # most texts; the table of sequences takes long to read
        return {}
    sequences, lengths = _emoji()
    found: dict[int, int] = {}
    resume = 0
    for start in range(len(units) - 1):
        if start < resume:
            continue
        for size in lengths.get(units[start : start + 2], ()):
            if units[start : start + size] in sequences:
                found[start] = size
                resume = start + size
                break
    return found


def _runs(units: str, start: int, end: int) -> list[_Run]:
    """The runs of a dotted chain through which a domain can lead; a domain takes as many of them as it can."""
    spans = []
    while (dot := units.find(".", start, end)) >= 0:
        spans.append((start, dot))
        start = dot + 1
    runs = []
    beyond = 0  # the end of a domain that has the whole run to the right as a label
    for start, dot in reversed(spans):
        # An underscore may stand in a subdomain, not in the label before the top-level domain.
        low = start if beyond else max(start, units.rfind("_", start, dot) + 1)
        stop = beyond or _tld_end(units, dot + 1)
        if stop and units[dot - 1] not in "_-":
            runs.append(_Run(start, low, dot, stop))
            beyond = stop if low == start and units[start] not in "_-" else 0
        else:
            beyond = 0
    return runs[::-1]


def _starts(units: str, run: _Run, resume: int) -> tuple[int, int]:
    """Where the first link through a run and its domain start; -1 twice if none does.

    The character before a link must not belong to the link before.
    """
    floor = resume + 1 if resume else 0
    if run.low == run.start and units[run.start] not in "_-":
        for size in (8, 7):
            start = run.start - size
            if start >= floor and _pattern(_SCHEME).fullmatch(units, start, run.start):
                return start, run.start
    label = _pattern(_LABEL_START)
    found = label.search(units, max(run.low, floor), run.end)
    if not found:
        return -1, -1
    # X prefers a link after the first character of the text to one that starts with it.
    start = 1 if found.start() == 0 and label.match(units, 1, run.end) else found.start()
    return start, start


def _tld_end(units: str, start: int) -> int:
    """Where the top-level domain that starts here ends; 0 if none does."""
    candidate = "".join(map(_upper, units[start : start + _LONGEST_TLD].partition(".")[0]))
    known = _tlds()
    for size in range(len(candidate), 1, -1):
        if candidate[:size] in known and not _pattern("[+0-9@A-Za-z-]").match(units, start + size):
            return start + size
    end = _skip(_PUNYCODE_TLD, units, start)
    return end if end > start else 0


def _bare_domains(domain: str) -> Iterator[tuple[int, int]]:
    """Offset and length of the parts of a domain that X links without a scheme: Latin labels only."""
    labels = _pattern(_BARE_LABELS)
    position = reported = 0
    while found := labels.search(domain, position):
        position = dot = found.end()
        end = 0
        while dot > found.start() and not (end := _tld_end(domain, dot)):
            dot = domain.rfind(".", found.start(), dot - 1) + 1
        if end:
            position = end
            # X looks the part up by its text, which may find an equal one further left.
            offset = domain.find(domain[found.start() : end], reported)
            reported = offset + end - found.start()
            yield offset, end - found.start()


def _is_valid(domain: str, length: int, scheme_length: int) -> bool:
    if length + (scheme_length or len("https://")) > _LONGEST_LINK:
        return False
    if domain.startswith("xn--") and not any(_bare_domains(domain)):
        return False
    return all(_encoded_length(label) <= _LONGEST_LABEL for label in domain.split("."))


def _encoded_length(label: str) -> int:
    """Octets of a label as a resolver would see it; more than allowed if it is too long to bother."""
    parts = re.split("[\u3002\uff0e\uff61]", label)  # the other full stops of RFC 3490
    return sum(map(_encoded_part_length, parts)) + len(parts) - 1


def _encoded_part_length(part: str) -> int:
    if part.isascii():
        return len(part)
    text = code_points(part)
    if len(text) > _LONGEST_LABEL:
        return len(text)
    return len("xn--") + len(text.encode("punycode"))


def _skip(source: str, units: str, start: int) -> int:
    found = _pattern(source).match(units, start)
    return found.end() if found else start


def _upper(unit: str) -> str:
    """The capital as JavaScript compares it: one unit, and never ASCII for another script's letter."""
    upper = unit.upper()
    return upper if len(upper) == 1 and upper.isascii() == unit.isascii() else unit


@cache
def _pattern(source: str) -> re.Pattern[str]:
    return re.compile(source)


@cache
def _tlds() -> frozenset[str]:
    words = (word for line in data_lines("measure_x_tlds.txt") for word in line.split())
    return frozenset(word.upper() if word.isascii() else "".join(map(_upper, word)) for word in words)


@cache
def _emoji() -> tuple[frozenset[str], dict[str, list[int]]]:
    """The sequences, and the lengths to try, longest first, by the first two code units."""
    sequences = set()
    for line in data_lines("measure_x_emoji.txt"):
        firsts, _, rest = line.partition(" | ")
        tail = "".join(chr(int(item, 16)) for item in rest.split())
        for first in code_points_in(firsts):
            for tone in _TONES if _TONE in tail else _TONE:
                sequences.add(code_units(chr(first) + tail.replace(_TONE, tone)))
    lengths: dict[str, list[int]] = {}
    for size, start in sorted({(len(sequence), sequence[:2]) for sequence in sequences}, reverse=True):
        lengths.setdefault(start, []).append(size)
    return frozenset(sequences), lengths
