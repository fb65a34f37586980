"""From a message, through the shipped templates, to every form that programs read."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from outagecast import atom_feed, cap, icalendar_feed, statuspage_v2
from outagecast.history import History, Statement
from outagecast.model import Status
from tests.conftest import Newsroom

BASE = "https://status.example.com"
COLONS = {"en": ": ", "ro": ": ", "zh-Hant": "：", "es": ": ", "fr": "\N{NO-BREAK SPACE}: ", "de": ": "}
WINDOW = {"start": "2026-11-29T01:00+11:00", "end": "2026-11-29T05:00+11:00"}
FACTS: dict[str, Any] = {"impact": "major", "workaround": ["Pay cash."], "started_at": "2026-11-22T18:30+11:00"}


@pytest.fixture
def page(newsroom: Newsroom) -> Newsroom:
    """A newsroom with an outage page."""
    newsroom.settings["channels"] = {"page": {"kind": "status_page", "path": "public"}}
    newsroom.settings["components"] = {"Cards": ["Card payments"]}
    return newsroom


def forms(page: Newsroom, *messages: dict[str, Any]) -> dict[str, bytes]:
    """Every file of all forms, once these were said, an hour between each two."""
    statements = []
    for number, facts in enumerate(messages, 1):
        page.now += timedelta(hours=1)
        for variant in page.variants("page", **FACTS | facts):
            statements.append(Statement.of("card-payments", number, variant.language, variant.parts))
    told = History.of(statements, page.settings["organisation"].get("languages", ["en"]))
    return {
        path: content
        for form in (statuspage_v2, atom_feed, cap, icalendar_feed)
        for path, content in form.files(told, BASE).items()
    }


@pytest.mark.parametrize("status", Status)
def test_what_the_shipped_templates_say_of_every_status_makes_valid_forms(
    page: Newsroom, status: Status, reference_data: Callable[[str], Path]
) -> None:
    facts: dict[str, Any] = {"status": status, "retraction_reason": "A monitor was broken."}
    if status.is_maintenance:
        facts |= {"window": WINDOW, "impact": "maintenance"}
    state = "operational" if status.is_closing else "degraded_performance"

    files = forms(page, facts | {"components": {"Card payments": state}})

    etree.RelaxNG(etree.parse(reference_data("atom/atom.rng"))).assertValid(etree.fromstring(files["history.atom"]))
    schema = etree.XMLSchema(etree.parse(reference_data("cap/CAP-v1.2.xsd")))
    schema.assertValid(etree.fromstring(files["cap/card-payments.cap.xml"]))
    assert (b"BEGIN:VEVENT" in files["maintenance.ics"]) is status.is_maintenance
    assert json.loads(files["api/v2/components.json"])["components"][0]["name"] == "Cards"


@pytest.mark.parametrize("language", COLONS)
def test_a_label_and_what_it_names_are_one_line_in_every_language(page: Newsroom, language: str) -> None:
    page.settings["organisation"]["languages"] = [language]

    files = forms(page, {})

    body = json.loads(files["api/v2/summary.json"])["incidents"][0]["incident_updates"][0]["body"]
    assert f"{COLONS[language]}Pay cash." in body
    assert body.splitlines()[0].startswith("Our debit and credit cards")
