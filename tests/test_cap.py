from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from lxml import etree

from outagecast import cap
from outagecast.history import History
from outagecast.model import Impact
from tests.told import BASE, FUZZ, HOSTILE, WINDOW, history, inert, line, said

NEXT: dict[str, Any] = {"next_update_at": "2026-11-22T19:20:00+11:00"}
NIGHT = (said(**NEXT), said("cards", 2, "19:30", "identified"), said("cards", 3, "20:50", "monitoring"))
FIXED = said("cards", 4, "21:40", "resolved")
FALSE = said("cards", 4, "21:40", "retracted", retraction_reason="A monitor was broken.")
WORK = (
    said("cards", 1, "09:00", "scheduled", **WINDOW),
    said("cards", 2, "10:00", "in_progress", **WINDOW),
    said("cards", 3, "11:00", "completed", **WINDOW),
)
PATH = "cap/cards.cap.xml"


def alert(*statements: Any, drill: bool = False, told: History | None = None) -> Any:
    content = cap.files(told or history(*statements), BASE, drill=drill)[PATH]
    return etree.fromstring(content, etree.XMLParser(resolve_entities=False))


def text(node: Any, path: str) -> str:
    """All that stands at ``path``, such as ``info/urgency``."""
    steps = "/".join(f"c:{step}" for step in path.split("/"))
    return "|".join(node.xpath(f"{steps}/text()", namespaces={"c": "urn:oasis:names:tc:emergency:cap:1.2"}))


LIVES = [
    *(NIGHT[:1], NIGHT[:2], NIGHT, (*NIGHT, FIXED), (*NIGHT, FALSE), WORK[:1], WORK[:2], WORK),
    (said(workaround=["Pay cash."], scope="Everybody.", impact="critical", started_at="2026-11-22T18:30:00+11:00"),),
]


@pytest.mark.parametrize("statements", LIVES)
@pytest.mark.parametrize("drill", [False, True])
def test_every_message_is_valid(statements: Any, drill: bool, reference_data: Callable[[str], Path]) -> None:
    schema = etree.XMLSchema(etree.parse(reference_data("cap/CAP-v1.2.xsd")))

    schema.assertValid(alert(*statements, drill=drill))


@pytest.mark.parametrize(
    ("statements", "kind", "response"),
    [
        (NIGHT[:1], "Alert", "Monitor"),
        (NIGHT[:2], "Update", "Monitor"),
        ((*NIGHT, FIXED), "Update", "AllClear"),
        ((*NIGHT, FALSE), "Cancel", "AllClear"),
        (WORK[:1], "Alert", "Prepare"),
        (WORK, "Update", "AllClear"),
    ],
)
def test_the_first_is_an_alert_and_what_follows_updates_or_cancels_it(
    statements: Any, kind: str, response: str
) -> None:
    node = alert(*statements)

    assert (text(node, "msgType"), text(node, "info/responseType")) == (kind, response)
    assert (text(node, "status"), text(node, "scope")) == ("Actual", "Public")


def test_an_update_refers_to_all_before_it_by_sender_identifier_and_time() -> None:
    node = alert(*NIGHT)

    assert text(alert(*NIGHT[:1]), "references") == ""
    assert text(node, "identifier") == "cards.3"
    assert text(node, "references") == (
        "status.example.com,cards.1,2026-11-22T18:50:00+11:00 status.example.com,cards.2,2026-11-22T19:30:00+11:00"
    )
    assert text(node, "incidents") == "cards"


def test_a_cancel_says_why_the_alarm_was_false() -> None:
    assert text(alert(*NIGHT, FALSE), "note") == "A monitor was broken."


def test_a_drill_is_an_exercise() -> None:
    assert text(alert(*NIGHT, drill=True), "status") == "Exercise"


def test_each_language_has_an_info_with_its_own_page() -> None:
    told = history(said(), said(language="ro", title="Plățile nu merg"), languages=("en", "ro"))

    node = alert(told=told)

    assert text(node, "info/language") == "en-US|ro-RO"
    assert text(node, "info/headline") == "Card payments are failing|Plățile nu merg"
    assert text(node, "info/web") == f"{BASE}/incidents/cards.html|{BASE}/ro/incidents/cards.html"


@pytest.mark.parametrize("code", ["en-AU", "zh-Hant", "tlh"])
def test_a_language_that_is_more_exact_or_unknown_stays_as_it_is(code: str) -> None:
    assert text(alert(told=history(said(language=code), languages=(code,))), "info/language") == code


@pytest.mark.parametrize(
    ("at", "written"), [("2026-11-22T07:50:00+00:00", "2026-11-22T07:50:00-00:00"), ("2026-11-22T18:50:30+11:00",) * 2]
)
def test_times_have_an_offset_which_for_utc_is_minus_zero(at: str, written: str) -> None:
    assert text(alert(said(at=at)), "sent") == written


@pytest.mark.parametrize(
    ("statements", "expires"),
    [
        (NIGHT[:1], "2026-11-22T19:50:00+11:00"),  # twice as far as the next word
        (NIGHT[:2], "2026-11-23T19:30:00+11:00"),  # nothing is promised: a day
        (WORK[:1], "2026-11-29T05:00:00+11:00"),  # the end of the work
        ((said(status="scheduled", **NEXT, **WINDOW),), "2026-11-29T05:00:00+11:00"),
        ((said(next_update_at="2026-11-22T18:00:00+11:00"),), "2026-11-23T18:50:00+11:00"),  # that is past
    ],
)
def test_a_message_outlives_the_next_word_so_that_a_late_one_is_not_taken_for_the_end(
    statements: Any, expires: str
) -> None:
    assert text(alert(*statements), "info/expires") == expires


@pytest.mark.parametrize(
    ("statements", "urgency", "certainty"),
    [
        (NIGHT[:1], "Immediate", "Observed"),
        (NIGHT, "Past", "Observed"),
        ((*NIGHT, FIXED), "Past", "Observed"),
        ((*NIGHT, FALSE), "Past", "Unlikely"),
        (WORK[:1], "Future", "Likely"),
        (WORK[:2], "Immediate", "Observed"),
    ],
)
def test_the_status_sets_urgency_and_certainty(statements: Any, urgency: str, certainty: str) -> None:
    node = alert(*statements)

    assert (text(node, "info/urgency"), text(node, "info/certainty")) == (urgency, certainty)


def test_the_onset_is_when_it_began_or_when_work_will() -> None:
    assert text(alert(said(started_at="2026-11-22T18:30:00+11:00")), "info/onset") == "2026-11-22T18:30:00+11:00"
    assert text(alert(*WORK[:1]), "info/onset") == WINDOW["window_start"]
    assert text(alert(said()), "info/onset") == ""


def test_no_impact_is_said_to_be_a_threat_to_life() -> None:
    found = [text(alert(said(impact=impact)), "info/severity") for impact in Impact]

    assert found == ["Minor", "Minor", "Moderate", "Severe", "Minor"]


def test_the_words_say_what_fails_what_to_do_who_is_affected_and_where_to_turn() -> None:
    node = alert(said(workaround=["Pay cash.", "Use the app."], scope="All our cards."))

    assert text(node, "info/description").startswith("Card payments are failing\nOur cards are being declined.")
    assert text(node, "info/instruction") == "Pay cash.\nUse the app."
    assert text(node, "info/area/areaDesc") == "All our cards."
    assert (text(node, "info/contact"), text(node, "info/senderName")) == ("13 20 32", "Example Bank")
    assert text(node, "info/parameter/value") == "investigating"


@FUZZ
@given(words=HOSTILE)
def test_hostile_words_come_back_as_words(words: str) -> None:
    node = alert(said(title=words, summary=words, workaround=[words], scope=words, organisation=words, phone=words))

    for name in ("event", "headline", "instruction", "senderName", "contact", "area/areaDesc"):
        assert text(node, f"info/{name}") == inert(words), name
    assert text(node, "info/description") == "\n".join(filter(None, [line(words)] * 3))
