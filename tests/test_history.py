from __future__ import annotations

from datetime import datetime

import pytest

from outagecast.history import recent
from outagecast.model import ComponentState, Impact
from tests.told import GROUPS, WINDOW, history, said

DOWN = [["App", "Aplicația", "major_outage"]]


def test_a_statement_comes_back_from_json_as_it_was() -> None:
    told = said(components=DOWN)

    assert type(told).from_json(told.as_json()) == told


def test_a_statement_whose_facts_are_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        type(said()).of("cards", 1, "en", {"html": "", "data": "[]"})


def test_an_incident_speaks_its_pages_first_language_whatever_came_first() -> None:
    told = history(said(language="ro"), said(), said(language="fr"), languages=("en", "ro", "fr"))

    (incident,) = told.incidents
    assert [list(update) for update in incident.updates] == [["en", "ro", "fr"]]
    assert (incident.newest.language, incident.newest_in("ro").language) == ("en", "ro")


def test_an_end_counts_from_the_first_word_of_it_after_the_last_reopening() -> None:
    over, again = said("cards", 2, "19:00", "resolved"), said("cards", 3, "20:00", "investigating")
    last, more = said("cards", 4, "21:00", "resolved"), said("cards", 5, "22:00", "resolved")

    def end(*updates: object) -> datetime | None:
        return history(said(), *updates).incidents[0].resolved_at  # type: ignore[arg-type]

    assert end(over) == over.at
    assert end(over, again) is None
    assert end(over, again, last, more) == last.at


def test_planned_work_that_is_called_off_keeps_its_time() -> None:
    (work,) = history(said(status="scheduled", **WINDOW), said("cards", 2, "19:00", "retracted")).incidents

    assert work.is_planned
    assert work.window is not None
    assert work.window[0].isoformat() == WINDOW["window_start"]
    assert work.impact is Impact.MAINTENANCE


@pytest.mark.parametrize("status", ["scheduled", "resolved", "completed", "retracted"])
def test_what_is_only_planned_or_over_takes_nothing_from_a_component(status: str) -> None:
    assert said(status=status, components=DOWN).states == {"App": ComponentState.OPERATIONAL}


def test_a_component_is_as_bad_as_the_worst_that_is_said_of_it_and_work_outweighs_no_failure() -> None:
    work = said("work", 1, "09:00", "in_progress", components=[["App", "App", "under_maintenance"]], **WINDOW)
    slow = said("slow", 1, "10:00", components=[["App", "App", "degraded_performance"]])

    assert history(work).states["App"] is ComponentState.UNDER_MAINTENANCE
    assert history(work, slow).states["App"] is ComponentState.DEGRADED_PERFORMANCE
    assert history(work, slow, said("down", 1, "11:00", components=DOWN)).states == {
        name: ComponentState.MAJOR_OUTAGE if name == "App" else ComponentState.OPERATIONAL
        for names in GROUPS.values()
        for name in names
    }


@pytest.mark.parametrize(
    ("facts", "impact"),
    [
        ({"impact": "critical", "components": [["App", "App", "degraded_performance"]]}, "critical"),
        ({"components": [["App", "App", "partial_outage"]]}, "major"),
        ({}, "minor"),  # it fails, and nobody said how badly
        ({"status": "monitoring"}, "none"),
        ({"status": "resolved"}, "none"),
    ],
)
def test_an_impact_that_nobody_stated_follows_from_the_components(facts: dict[str, object], impact: str) -> None:
    assert history(said(**facts)).incidents[0].impact == impact  # type: ignore[arg-type]


def test_the_words_are_the_articles() -> None:
    assert said(workaround=["Pay <cash>."]).words.splitlines()[-1] == "Pay <cash>."


def test_the_recent_past_is_the_newest_and_all_that_is_open() -> None:
    over = [
        said(name, number, clock, status)
        for name, clock in (("b", "10:00"), ("c", "11:00"))
        for number, status in ((1, "investigating"), (2, "resolved"))
    ]
    told = history(said("a", 1, "09:00"), *over)

    assert [incident.slug for incident in recent(told.incidents, 1)] == ["c", "a"]
