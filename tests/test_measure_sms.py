"""A text is spelled as it costs least, and says the same."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outagecast.measure import sms, sms_fit, sms_obstacles
from outagecast.measure_sms import septets, unmarked

ROMANIAN = "Plățile cu cardul nu funcționează de la 18:30. Știm și încă nu avem o estimare."
ALPHABET = "".join(septets())


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        (ROMANIAN, "Platile cu cardul nu functioneaza de la 18:30. Stim si inca nu avem o estimare."),
        ("Legacy: şi ţară", "Legacy: si tara"),  # the cedillas of old keyboards
        ("‘It’s’ “5–6”…\u202fpm", "'It's' \"5-6\"... pm"),
        ("Así añadió el único café", "Asi añadio el unico café"),
        ("Nos cœurs, reçus à 18\u00a0h\u00a030 : « même »", 'Nos coeurs, recus à 18 h 30 : " meme "'),
        ("Größe, Ärger – „so“", 'Größe, Ärger - "so"'),
        ("Łódź, Đà Nẵng, İstanbul ılık", "Lodz, Dà Nang, Istanbul ilik"),
        ("Őrült tűz, időpont", "Örült tüz, idöpont"),
        ("Þór og það, ﬁn ﬂow", "Thor og thad, fin flow"),
        ("`so´ it is, 24×7", "'so' it is, 24x7"),
        ("one\u200b two\ufeff th\u00adree\tfour\u2028five", "one two three four\nfive"),
    ],
)
def test_what_the_alphabet_lacks_is_spelled_so_that_it_says_the_same(written: str, spelled: str) -> None:
    assert spelled == sms_fit(written)
    assert sms(spelled).encoding == "GSM-7"


@pytest.mark.parametrize(
    "text",
    [
        "信用卡付款未能使用，見 Plăți。",
        "Карты не работают – “да”",
        "Οι κάρτες – “ναι”",
        "البطاقات “لا” تعمل – ă",
        "Plățile nu merg 😀",
        "The 2½ – hour fault",  # 21/2
        "Punctul 1º – “ă”",  # 10
        "It is 25° – “ă”",
    ],
)
def test_where_one_character_cannot_be_spelled_otherwise_all_keep_their_marks(text: str) -> None:
    assert text == sms_fit(text)


@pytest.mark.parametrize("text", ["Plățile – “ă”", "付款 ă"])
def test_decomposed_letters_are_composed_first(text: str) -> None:
    apart = unicodedata.normalize("NFD", text)

    assert apart != text
    assert sms_fit(text) == sms_fit(apart)


@pytest.mark.parametrize(
    "link",
    [
        "https://exemplu.ro/știri",
        "exemplu.ro/știri–azi",
        "https://plăți.ro",
        "http://10.0.0.1/ă",
        "știri@exemplu.ro",
        "http://foo_bar.ro/ă",
    ],
)
def test_no_link_is_spelled_otherwise(link: str) -> None:
    text = f"Plăți: {link} – “ă”"

    assert text == sms_fit(text)


def test_signs_beside_a_link_are_not_part_of_it() -> None:
    assert sms_fit("Știri („https://exemplu.ro/i/42”)…") == 'Stiri ("https://exemplu.ro/i/42")...'


def test_a_text_that_would_take_more_parts_stays_as_it_was() -> None:
    dots = "…" * 67

    assert (sms(dots).segments, sms(unmarked(dots)).segments) == (1, 2)
    assert dots == sms_fit(dots)


def test_the_characters_in_the_way_are_found() -> None:
    assert sms_obstacles("Plăți 😀 ½") == [6, 8]
    assert sms_obstacles("vezi exemplu.ro/ș") == [16]
    assert sms_obstacles("GSM @ €") == []


LETTERS = "aAeEsStTzZ0189 .,:/-'\"@€[]éñüăâîșțşţáíóúêçœŁđőıÞ“”‘’–…\u00a0\u202f\u00ad\u0301\u0326付я😀½º°"
WORDS = ["https://exemplu.ro/i/42", "exemplu.ro/ș", "x@exemplu.ro", ROMANIAN, "18:30", "Ă", " "]
TEXTS = st.lists(
    st.one_of(st.sampled_from(WORDS), st.text(LETTERS, max_size=30), st.text(max_size=3)), max_size=12
).map("".join)


@given(TEXTS)
def test_a_fitted_text_stays_as_it_is(text: str) -> None:
    assert sms_fit(text) == sms_fit(sms_fit(text))


@given(TEXTS)
def test_a_fitted_text_never_takes_more_parts(text: str) -> None:
    assert sms(sms_fit(text)).segments <= sms(unicodedata.normalize("NFC", text)).segments


@given(st.text(ALPHABET, max_size=400))
def test_a_text_of_the_alphabet_is_left_alone(text: str) -> None:
    assert text == sms_fit(text)


@given(TEXTS)
def test_what_is_in_the_alphabet_is_never_touched(text: str) -> None:
    kept = [character for character in unicodedata.normalize("NFC", text) if character in septets()]
    rest = iter(sms_fit(text))

    assert all(character in rest for character in kept)


def addresses(text: str) -> list[str]:
    """What follows a scheme, without a sign at its end that belongs to the sentence."""
    return [found.rstrip("-'\".") for found in re.findall(r"https://[!-~]+", text)]


@given(TEXTS)
def test_digits_and_links_stay(text: str) -> None:
    composed, fitted = unicodedata.normalize("NFC", text), sms_fit(text)

    assert re.findall(r"[0-9]", composed) == re.findall(r"[0-9]", fitted)
    assert addresses(composed) == addresses(fitted)
    assert ("exemplu.ro/ș" in composed) == ("exemplu.ro/ș" in fitted)


@given(st.characters(categories=["Lu", "Ll"]))
def test_a_letter_stays_a_letter_and_keeps_its_case(letter: str) -> None:
    spelled = unmarked(letter)

    assert spelled.isalpha()
    assert letter.isupper() == spelled[0].isupper()


def test_every_mark_of_the_shipped_languages_can_be_left_out() -> None:
    letters = "ăâîșțĂÂÎȘȚ áíóúÁÍÓÚñÑ¿¡ àâæçéèêëîïôœùûüÿÀÂÆÇÉÈÊËÎÏÔŒÙÛÜŸ äöüßÄÖÜẞ „“”‚‘’«»‹›–—…\u00a0\u202f"

    assert sms(sms_fit(letters)).encoding == "GSM-7"


def test_it_never_takes_more_parts_than_twilio_takes_of_the_same(reference_data: Callable[[str], Path]) -> None:
    vectors = json.loads(reference_data("sms/vectors.json").read_text(encoding="utf-8"))
    for vector in vectors:
        composed = unicodedata.normalize("NFC", vector["text"])
        if not vector["smart_encoding"]:
            assert sms(sms_fit(vector["text"])).segments <= max(vector["segments"], sms(composed).segments)
        if vector["encoding"] == "GSM-7" and not vector["smart_encoding"]:
            assert vector["text"] == sms_fit(vector["text"])


def test_signs_are_spelled_as_twilio_spells_them(reference_data: Callable[[str], Path]) -> None:
    smart = json.loads(reference_data("sms/smart_encoding_map.json").read_text(encoding="utf-8"))
    ours = {sign: unmarked(sign) for sign in smart if len(unicodedata.normalize("NFC", sign)) == 1}
    differing = {
        sign: plain
        for sign, plain in ours.items()
        if plain != sign and plain != smart[sign] and not smart[sign].isspace()  # it makes two spaces of a wide one
    }

    # Quotation marks: not "<", and no comma.
    assert differing == {"‹": "'", "›": "'", "‚": "'"}
