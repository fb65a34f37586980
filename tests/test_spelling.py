"""What a text's spelling for its network saved, and what keeps it from saving, is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outagecast import render, spelling
from outagecast.model import Variant
from outagecast.spelling import Spelling

if TYPE_CHECKING:
    from tests.conftest import Newsroom

ROMANIAN = (
    "Example Bank: plățile cu cardul nu merg de la 18:30. Bancomatele și transferurile din aplicație merg. Încă nu "
    "știm de ce. Ne pare rău. Revenim la 19:30."
)
FACTS: dict[str, Any] = {"title": "Plățile cu cardul", "summary": "Plățile cu cardul nu merg."}


def text(words: str, unfitted: str = "", language: str = "ro") -> Variant:
    parts = {"text": words}
    before = {"text": unfitted or words}
    return Variant("sms", "twilio_sms", language, parts, 0, f"variants.sms.{language}.text", (), (), unfitted=before)


def by_hand(newsroom: Newsroom, words: str, **facts: Any) -> Variant:
    """What goes out of an SMS that somebody wrote."""
    (variant,) = newsroom.variants(
        "twilio_sms", **{**FACTS, "next_update_at": None, "variants": {"twilio_sms": {"en": {"text": words}}}, **facts}
    )
    return variant


# --- what was done


def test_marks_are_left_out_of_an_sms_wherever_its_words_come_from(newsroom: Newsroom) -> None:
    written = by_hand(newsroom, "Plățile cu cardul nu merg. Depanăm. Revenim la 19:20.", next_update_at="30m")
    (rendered,) = newsroom.variants("twilio_sms", **FACTS)

    assert written.parts["text"] == "Platile cu cardul nu merg. Depanam. Revenim la 19:20."
    assert "Platile cu cardul nu merg." in rendered.parts["text"]
    assert written.carried[:1] == rendered.carried[:1] == ("summary",)


def test_other_channels_keep_every_mark(newsroom: Newsroom) -> None:
    texts = newsroom.texts(**FACTS)

    assert all("Plățile cu cardul nu merg" in words for name, words in texts.items() if name in {"x.text", "smtp.text"})


def test_a_text_in_a_script_of_its_own_keeps_its_marks_and_its_facts(newsroom: Newsroom) -> None:
    written = by_hand(newsroom, "付款 – Plățile cu cardul nu merg. 19:20", next_update_at="30m")

    assert written.parts["text"] == "付款 – Plățile cu cardul nu merg. 19:20"
    assert written.carried[:1] == ("summary",)


def test_what_it_saves_is_said() -> None:
    measured = render.measures("twilio_sms", {"text": ROMANIAN.translate(str.maketrans("ățșÎ", "atsI"))})["text"]
    variant = text(ROMANIAN.translate(str.maketrans("ățșÎ", "atsI")), ROMANIAN)
    found = spelling.of(variant)["text"]

    assert found == Spelling(("ă", "ț", "ș", "Î"), 8, 3)
    assert found.words(measured.length, measured.unit) == (
        "8 letters written without marks (ă ț ș Î): 1 segment instead of 3"
    )


def test_signs_are_not_called_letters_and_what_saves_nothing_says_so_by_silence() -> None:
    assert Spelling(("ă", "’"), 2, 2).words(1, "segments") == (
        "2 characters written plainly (ă ’): 1 segment instead of 2"
    )
    assert Spelling(("ă",), 1, 2).words(2, "segments") == "1 letter written without marks (ă)"
    assert Spelling(tuple("\u202f–—…“”‘’"), 9, 1).words(1, "segments") == (
        "9 characters written plainly (U+202F – — … “ ” …)"
    )


def test_what_was_not_changed_is_not_told() -> None:
    assert spelling.of(text("Cards fail.")) == {}
    assert spelling.of(Variant("x", "x", "ro", {"text": ROMANIAN}, 1, "ro/x", (), ())) == {}


# --- what could not be done


def test_the_character_that_makes_an_sms_cost_more_is_named_with_its_place() -> None:
    words = "Example Bank: our cards have been failing since 6:30pm 😀. Cash machines and transfers in our app work."

    assert list(spelling.advice([text(words, language="en")])) == [
        "sms (en): 😀 (character 56, after “failing since 6:30pm”) makes it 2 segments instead of 1; write it otherwise"
    ]


def test_a_link_with_marks_keeps_all_others_and_is_named() -> None:
    words = ROMANIAN.replace("19:30.", "19:30: https://exemplu.ro/ș")

    (advice,) = spelling.advice([text(words)])

    assert advice.endswith("makes it 3 segments instead of 2; write it otherwise")


def test_a_language_that_needs_its_letters_is_left_in_peace() -> None:
    chinese = "Example Bank：信用卡及扣賬卡自18:30起未能付款。櫃員機轉賬正常。19:30前更新。" * 3
    cyrillic = "Example Bank: карты не работают с 18:30. Банкоматы и переводы работают. Следующее сообщение 19:30." * 2

    assert list(spelling.advice([text(chinese, language="zh-Hant"), text(cyrillic, language="ru")])) == []


def test_what_costs_no_more_draws_no_advice() -> None:
    mail = Variant("email", "smtp", "en", {"subject": "😀", "text": "😀" * 100, "html": "😀"}, 1, "en/smtp", (), ())

    assert list(spelling.advice([text("Cards fail 😀.", language="en"), mail])) == []


def test_a_character_that_takes_facts_out_of_the_text_is_named(newsroom: Newsroom) -> None:
    said = {**FACTS, "title": "Cards fail", "summary": "Cards fail.", "started_at": "2026-11-22T18:30+11:00"}
    ways = ["Cash machines work.", "Transfers in our app and internet banking work as on any other day 😀."]
    (cut,) = newsroom.variants("twilio_sms", **said, cause="unknown", workaround=ways)

    assert "😀" not in cut.parts["text"]
    assert [advice for advice in spelling.advice([cut]) if "😀" in advice and "would make the whole text" in advice]
