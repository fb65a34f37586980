"""Lengths agree with what the networks' own calculators say; every expectation here was checked against them."""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Callable
from math import ceil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outagecast import measure
from outagecast.measure import X_LIMIT, Sms, sms, x_length

LINK = 23

PLAIN = {
    "": 0,
    "Pană de curent în Sălaj": 23,
    "Pana\u0306 de curent": 14,
    "“citat” … – —": 14,
    "中文": 4,
    "한국어": 6,
    "العربية": 7,
    "\u200d\u2010\u2032\u2026": 5,
    "a\r\nb": 4,
    "\ufffe\ufeff\uffff": 6,
    "\U00020000": 2,
}
EMOJI = {
    "👍": 2,
    "👍🏽": 2,
    "👷🏽‍♂️": 2,
    "👨‍👩‍👧‍👦": 2,
    "🇷🇴🇲🇩": 4,
    "🇷": 2,
    "1\ufe0f\u20e3#\u20e3": 4,
    "1\ufe0f": 3,
    "⚠\ufe0f": 2,
    "⚠\ufe0e": 4,
    "©": 1,
    "©\ufe0f": 2,
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f": 2,
    "👍👍🏽👍": 6,
    # Newer than the emoji that twitter-text 3.1.0 knows: counted piece by piece.
    "🐦\u200d🔥": 5,
    "🫱🏽": 4,
    "🧑🏽\u200d⚕\ufe0f": 5,
}
LINKS = {
    "https://status.exemplu.ro/i/42": LINK,
    "HTTP://EXEMPLU.RO": LINK,
    "exemplu.ro": LINK,
    "vezi exemplu.ro, apoi exemplu.ro.": 5 + LINK + 7 + LINK + 1,
    "str.Mare nr.12 v1.2": 19,
    "str.ro": LINK,
    "exemplu.invalid": 15,
    "exemplu.com": LINK,
    "exemplu.comx": 12,
    "exemplu.com中": LINK + 2,
    "exemplu.RO": LINK,
    "t.co/abc": LINK,
    "https://t.co/abc/def": LINK + 4,
    "https://t.co/" + "a" * 40: LINK,
    "https://t.co/" + "a" * 41: 54,
    "exemplu.ro:8080": LINK + 5,
    "exemplu.ro:8080/": LINK,
    "exemplu.ro?a=1": LINK + 4,
    "exemplu.ro/?a=1&b=2": LINK,
    "https://exemplu.ro?a=1.": LINK + 1,
    "(exemplu.ro/a(b(c)d))": 1 + LINK + 1,
    "exemplu.ro/a(b(c(d)))": LINK + 9,
    "exemplu.ro/()": LINK + 2,
    "exemplu.ro/a,(b)": LINK + 4,
    "exemplu.ro/știri–azi.": LINK + 1,
    "exemplu.ro/中": LINK + 2,
    "a@exemplu.ro": 12,
    "@exemplu.ro": 11,
    "#exemplu.ro $exemplu.ro": 23,
    "/exemplu.ro": 11,
    "/https://exemplu.ro": 1 + LINK,
    "中exemplu.ro": 2 + LINK,
    "。exemplu.ro。": 2 + LINK + 2,
    '"exemplu.ro"': 1 + LINK + 1,
    "中文.com": 8,
    "https://中文.com": LINK,
    "https://exemplu.рф": LINK,
    "exemplu.中国": LINK,
    "a.com.中.com/x": LINK + 6,
    "foo_bar.exemplu.ro": 4 + LINK,
    "http://foo_bar.ro": 17,
    "foo_bar.ro": 10,
    "-exemplu.ro": 11,
    "exemplu-.ro": 11,
    "exemplu.xn--p1ai": LINK,
    "https://xn--a中.ro": 18,
    "https://" + "a" * 63 + ".ro": LINK,
    "https://" + "a" * 64 + ".ro": 75,
    "https://" + "a" * 62 + "\x7f.ro": LINK,
    "https://" + "ă" * 50 + ".ro": LINK,
    "https://" + "中" * 57 + ".ro": LINK,
    "https://" + "中" * 60 + ".ro": 131,
    "https://exemplu.ro/" + "a" * (4096 - 27): LINK,
    "https://exemplu.ro/" + "a" * (4096 - 26): 4089,
    "exemplu.ro/1\ufe0f\u20e3": LINK + 4,
    "😀.exemplu.ro/a": 2 + 1 + LINK,
    "äexemplu.ro": 1 + LINK,
    " äexemplu.ro": 1 + LINK,
    "http://http://exemplu.ro": 7 + LINK,
    "ahttp://exemplu.ro": 18,
    "exemplu.ro\nexemplu.ro": LINK + 1 + LINK,
}
GSM = {
    "": (1, 0),
    "Pana de curent @ 14:30": (1, 22),
    "a" * 160: (1, 160),
    "a" * 161: (2, 161),
    "a" * 306: (2, 306),
    "a" * 307: (3, 307),
    "[€]": (1, 6),
    "€" * 80: (1, 160),
    "€" * 81: (2, 162),
    "a" * 152 + "€" * 5: (2, 162),
    "a" * 152 + "€" + "a" * 152: (3, 306),
    "\r\n" * 80: (1, 160),
    "\f": (1, 2),
    "àäöñüéèùìòÇØøÅåΔΦΓΛΩΠΨΣΘΞÆæßÉ¡¿§£¥¤": (1, 35),
}
UCS = {
    "ă": (1, 1),
    "`": (1, 1),
    "ç": (1, 1),
    "ă" * 70: (1, 70),
    "ă" * 71: (2, 71),
    "ă" * 134: (2, 134),
    "ă" * 135: (3, 135),
    "ă€[]": (1, 4),
    "👍" * 35: (1, 70),
    "👍" * 36: (2, 72),
    "👍" * 67: (3, 134),
    "ă" * 66 + "👷🏽‍♂️" * 2: (2, 80),
    "👨‍👩‍👧‍👦" * 12: (2, 132),
    "👨‍👩‍👧‍👦" * 13: (3, 143),
    "ă" * 66 + "\r\n" + "ă" * 66: (2, 134),
    "ă" * 66 + "a\u0301" + "ă" * 66: (3, 134),
    "ă" * 66 + "🇷🇴" + "ă" * 63: (2, 133),
    "ă" * 65 + "👍🏽" + "ă" * 64: (3, 133),
    "a" + "\u0301" * 80: (2, 81),
    "ă" * 33 + "a" + "\u0301" * 36 + "e" + "\u0301" * 30: (2, 101),
    "🇷🇴\u0301\u0301": (1, 6),
    "\ud83d": (1, 1),
    "\ud83d\udc4d": (1, 2),
}


@pytest.mark.parametrize(("text", "expected"), [*PLAIN.items(), *EMOJI.items(), *LINKS.items()])
def test_x_counts_a_text_as_its_own_library_does(text: str, expected: int) -> None:
    assert expected == x_length(text)


@pytest.mark.parametrize(("text", "expected"), GSM.items())
def test_a_text_of_the_gsm_alphabet_is_counted_in_septets(text: str, expected: tuple[int, int]) -> None:
    assert Sms("GSM-7", *expected) == sms(text)


@pytest.mark.parametrize(("text", "expected"), UCS.items())
def test_any_other_text_is_counted_in_utf_16_code_units(text: str, expected: tuple[int, int]) -> None:
    assert Sms("UCS-2", *expected) == sms(text)


def test_x_agrees_with_every_reference_vector(reference_data: Callable[[str], Path]) -> None:
    vectors = json.loads(reference_data("x-text/vectors.json").read_text(encoding="utf-8"))["vectors"]
    assert [vector["weightedLength"] for vector in vectors] == [x_length(vector["text"]) for vector in vectors]


def test_the_limit_of_x_is_that_of_its_configuration(reference_data: Callable[[str], Path]) -> None:
    rules = json.loads(reference_data("x-text/v3.json").read_text(encoding="utf-8"))
    assert rules["maxWeightedTweetLength"] == X_LIMIT
    for weight in rules["ranges"]:
        for point in (weight["start"], weight["end"]):
            assert weight["weight"] / rules["scale"] == x_length(chr(point))
        assert rules["defaultWeight"] / rules["scale"] == x_length(chr(weight["end"] + 1))


def test_sms_agrees_with_every_reference_vector(reference_data: Callable[[str], Path]) -> None:
    vectors = json.loads(reference_data("sms/vectors.json").read_text(encoding="utf-8"))
    bits = {"GSM-7": 7, "UCS-2": 16}
    assert [
        Sms(vector["encoding"], vector["segments"], vector["message_bits"] // bits[vector["encoding"]])
        for vector in vectors
    ] == [sms(vector["after_smart"]) for vector in vectors]


def test_the_gsm_alphabet_is_that_of_the_calculator(reference_data: Callable[[str], Path]) -> None:
    septets = json.loads(reference_data("sms/unicode_to_gsm7.json").read_text(encoding="utf-8"))
    alphabet = {chr(int(point)): len(code) for point, code in septets.items()}
    found = {character: sms(character) for character in map(chr, range(0x3000))}
    assert alphabet == {character: one.units for character, one in found.items() if one.encoding == "GSM-7"}


PIECES = [
    *PLAIN,
    *EMOJI,
    *[text for text in LINKS if len(text) < 100],
    *UCS,
    "€",
    " ",
    ".",
    "\u0301",
    "\u200d",
    "\ufe0f",
]
ANY = st.characters(codec=None, categories=None)
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(ANY, max_size=5)), max_size=12).map("".join)


@given(TEXTS, TEXTS)
def test_a_space_separates_for_x_whatever_stands_beside_it(one: str, other: str) -> None:
    # The space in front: X treats the very first character of a text differently.
    assert x_length(f" {one}") + x_length(f" {other}") == x_length(f" {one} {other}")


@given(TEXTS)
def test_a_length_is_never_negative_and_only_nothing_is_empty(text: str) -> None:
    assert (x_length(text) > 0) == bool(text)
    assert (sms(text).units > 0) == bool(text)
    assert sms(text).segments >= 1


@given(TEXTS)
def test_x_counts_composed_and_decomposed_letters_alike(text: str) -> None:
    assert x_length(unicodedata.normalize("NFC", text)) == x_length(unicodedata.normalize("NFD", text))


@given(TEXTS, TEXTS)
def test_a_longer_text_never_takes_fewer_parts(text: str, more: str) -> None:
    assert sms(text).segments <= sms(text + more).segments


@given(TEXTS)
def test_every_unit_fits_into_the_parts_unless_a_cluster_is_huge(text: str) -> None:
    counted = sms(text)
    clusters = [len(cluster.encode("utf-16-le", "surrogatepass")) // 2 for cluster in measure._graphemes(text)]
    if max(clusters, default=0) <= 20:
        alone, shared = {"GSM-7": (160, 153), "UCS-2": (70, 67)}[counted.encoding]
        assert counted.units <= (alone if counted.segments == 1 else shared * counted.segments)


@given(st.sampled_from(["ă", "👍", "🇷🇴", "👍🏽", "a\u0301", "👷🏽‍♂️", "👨‍👩‍👧‍👦", "각", "नि"]), st.integers(1, 250))
def test_a_part_never_splits_a_grapheme(cluster: str, count: int) -> None:
    size = len(cluster.encode("utf-16-le")) // 2
    segments = 1 if size * count <= 70 else ceil(count / (67 // size))
    assert Sms("UCS-2", segments, size * count) == sms(cluster * count)


@given(TEXTS)
def test_the_graphemes_of_a_text_make_up_the_text(text: str) -> None:
    clusters = list(measure._graphemes(text))
    assert text == "".join(clusters)
    assert "" not in clusters


STALLS = [
    "a.", "http://", "(", "a", "中", "中.", ".", "-", "_", "a_.", "a.ro", "a.ro ", "a.ro/", "a.ro/(", "a.ro/(a(a)",
    "a.ro?,", "a.ro/,", "xn--", "xn--a.", "👨\u200d", "1\ufe0f\u20e3", "\u0301", "🇷", "\ud83d", "a.com中", "𠀀.",
]  # fmt: skip


@pytest.mark.parametrize("piece", STALLS)
@pytest.mark.parametrize(("before", "after"), [("", ""), ("http://a.ro/(", ").ro")])
def test_no_text_of_a_hundred_thousand_characters_stalls(piece: str, before: str, after: str) -> None:
    text = before + piece * (100_000 // len(piece)) + after
    started = time.process_time()
    x_length(text)
    sms(text)
    assert time.process_time() - started < 3
