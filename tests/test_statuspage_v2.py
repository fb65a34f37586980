from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator, FormatChecker

from outagecast import statuspage_v2
from outagecast.history import History
from tests.told import BASE, FUZZ, HOSTILE, WINDOW, history, inert, line, said

DOWN = [["Card payments", "Card payments", "major_outage"]]
SLOW = [["Card payments", "Card payments", "degraded_performance"]]
WORK = said(
    "work", 1, "09:00", "scheduled", title="The app moves", components=[["App", "App", "under_maintenance"]], **WINDOW
)
NIGHT = (
    said("cards", 1, "18:50", components=DOWN, started_at="2026-11-22T18:30:00+11:00"),
    said("cards", 2, "19:30", "identified", components=SLOW),
)
PATHS = [
    *("api/v2/components.json", "api/v2/incidents.json", "api/v2/incidents/unresolved.json"),
    *("api/v2/scheduled-maintenances.json", "api/v2/scheduled-maintenances/active.json"),
    *("api/v2/scheduled-maintenances/upcoming.json", "api/v2/status.json", "api/v2/summary.json"),
]


def read(told: History, name: str = "summary") -> dict[str, Any]:
    node: dict[str, Any] = json.loads(statuspage_v2.files(told, BASE)[f"api/v2/{name}.json"])
    return node


def whole(told: History) -> dict[str, Any]:
    """All files as one summary, which the schema describes."""
    return read(told) | read(told, "incidents") | read(told, "scheduled-maintenances")


@pytest.fixture
def validator(reference_data: Callable[[str], Path]) -> Draft202012Validator:
    schema = json.loads(reference_data("statuspage/summary.schema.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema, format_checker=FormatChecker())


LIVES = {
    "nothing was ever said": history(),
    "something fails": history(*NIGHT),
    "it works again": history(*NIGHT, said("cards", 3, "20:50", "monitoring")),
    "it is over": history(*NIGHT, said("cards", 3, "21:40", "resolved")),
    "it was a false alarm": history(*NIGHT, said("cards", 3, "21:40", "retracted", retraction_reason="No.")),
    "work is planned": history(WORK),
    "work is under way": history(WORK, said("work", 2, "10:00", "in_progress", **WINDOW)),
    "work is done": history(WORK, said("work", 2, "11:00", "completed", **WINDOW)),
    "work was called off": history(WORK, said("work", 2, "11:00", "retracted")),
    "all at once": history(*NIGHT, WORK),
}


@pytest.mark.parametrize("life", LIVES)
def test_every_file_is_there_and_valid_whatever_happened(life: str, validator: Draft202012Validator) -> None:
    written = {path: json.loads(content) for path, content in statuspage_v2.files(LIVES[life], BASE).items()}

    assert sorted(written) == PATHS
    summary = written["api/v2/summary.json"]
    for node in written.values():
        assert [error.message for error in validator.iter_errors(summary | node)] == []


def test_the_summary_lists_what_goes_on_and_what_is_ahead_and_nothing_that_is_over() -> None:
    over = said("app", 1, "08:00"), said("app", 2, "09:00", "resolved")
    done = said("old", 1, "07:00", "scheduled", **WINDOW), said("old", 2, "08:00", "completed", **WINDOW)

    node = read(history(*NIGHT, *over, *done, WORK))

    assert [one["shortlink"] for one in node["incidents"]] == [f"{BASE}/incidents/cards.html"]
    assert [one["name"] for one in node["scheduled_maintenances"]] == ["The app moves"]
    assert len(read(history(*NIGHT, *over), "incidents")["incidents"]) == 2
    assert len(read(history(*done, WORK), "scheduled-maintenances")["scheduled_maintenances"]) == 2


def test_an_incident_has_its_updates_newest_first_with_what_each_changed() -> None:
    (node,) = read(history(*NIGHT))["incidents"]

    new, old = node["incident_updates"]
    assert (new["status"], old["status"]) == ("identified", "investigating")
    assert new["body"] == "Card payments are failing\nOur cards are being declined."
    assert old["affected_components"][0] | {"code": ""} == {
        "code": "",
        "name": "Card payments",
        "old_status": "operational",
        "new_status": "major_outage",
    }
    assert new["affected_components"][0]["old_status"] == "major_outage"
    assert new["affected_components"][0]["code"] == node["components"][0]["id"]
    assert (node["started_at"], node["created_at"]) == ("2026-11-22T07:30:00.000Z", "2026-11-22T07:50:00.000Z")


def test_ids_stay_from_update_to_update_and_differ_between_things() -> None:
    before, after = (read(history(*NIGHT[:count], WORK)) for count in (1, 2))

    def ids(node: dict[str, Any]) -> list[str]:
        named = [*node["components"], *node["incidents"], *node["scheduled_maintenances"], node["page"]]
        return [one["id"] for one in named]

    assert ids(before) == ids(after)
    assert len(set(ids(after))) == len(ids(after))


def test_components_stand_after_their_group_which_is_as_bad_as_the_worst_of_them() -> None:
    nodes = read(history(*NIGHT), "components")["components"]

    assert [(node["name"], node["status"], node["group"], node["position"]) for node in nodes] == [
        ("Cards", "degraded_performance", True, 0),
        ("Card payments", "degraded_performance", False, 1),
        ("Cash machines", "operational", False, 2),
        ("Online", "operational", True, 3),
        ("App", "operational", False, 4),
    ]
    assert nodes[0]["components"] == [nodes[1]["id"], nodes[2]["id"]]
    assert {node["group_id"] for node in nodes[1:3]} == {nodes[0]["id"]}
    assert nodes[1]["updated_at"] == nodes[0]["updated_at"] == "2026-11-22T08:30:00.000Z"
    assert read(history(*NIGHT))["incidents"][0]["components"] == [nodes[1]]


def test_a_component_that_is_listed_nowhere_is_named_while_it_fails() -> None:
    told = history(said(components=[["Phone line", "Phone line", "partial_outage"]]))

    last = read(told)["components"][-1]

    assert (last["name"], last["status"], last["group_id"]) == ("Phone line", "partial_outage", None)


@pytest.mark.parametrize(
    ("told", "indicator"),
    [
        (history(), "none"),
        (history(said()), "minor"),
        (history(said(components=DOWN)), "critical"),
        (history(said(components=DOWN, impact="major")), "major"),
        (history(WORK), "none"),
        (history(said("work", 1, "09:00", "in_progress", **WINDOW)), "maintenance"),
        (history(said("work", 1, "09:00", "in_progress", **WINDOW), said(components=SLOW)), "minor"),
        (history(said(), said("cards", 2, "20:00", "retracted")), "none"),
    ],
)
def test_the_indicator_is_the_worst_of_what_goes_on(told: History, indicator: str) -> None:
    assert read(told, "status")["status"]["indicator"] == indicator
    assert (read(told, "status")["status"]["description"] == "All Systems Operational") is (indicator == "none")


def test_what_is_over_keeps_the_worst_impact_it_had() -> None:
    told = history(*NIGHT, said("cards", 3, "21:40", "resolved", impact="none"))

    (node,) = read(told, "incidents")["incidents"]

    assert (node["impact"], node["resolved_at"]) == ("critical", "2026-11-22T10:40:00.000Z")


def test_a_false_alarm_counts_as_resolved_and_planned_work_that_is_called_off_as_completed() -> None:
    alarm = read(LIVES["it was a false alarm"], "incidents")["incidents"][0]
    work = read(LIVES["work was called off"], "scheduled-maintenances")["scheduled_maintenances"][0]

    assert (alarm["status"], alarm["incident_updates"][0]["status"], alarm["impact"]) == (
        "resolved",
        "resolved",
        "none",
    )
    assert (work["status"], work["incident_updates"][0]["status"]) == ("completed", "completed")
    assert (work["scheduled_for"], work["scheduled_until"]) == ("2026-11-28T14:00:00.000Z", "2026-11-28T18:00:00.000Z")


def test_what_is_planned_takes_nothing_away_before_it_begins() -> None:
    node = read(history(WORK))

    assert {one["status"] for one in node["components"]} == {"operational"}
    assert (
        node["scheduled_maintenances"][0]["incident_updates"][0]["affected_components"][0]["new_status"]
        == "operational"
    )


def test_the_past_is_cut_off_at_fifty_and_what_is_open_never() -> None:
    forgotten = said("forgotten", 1, "00:01", day="2026-01-01")
    past = [
        said(f"i{number}", update, f"{number // 60:02}:{number % 60:02}", status, day="2026-02-01")
        for number in range(80)
        for update, status in ((1, "investigating"), (2, "resolved"))
    ]

    listed = read(history(forgotten, *past), "incidents")["incidents"]

    assert len(listed) == 51
    assert listed[0]["shortlink"].endswith("/i79.html")
    assert listed[-1]["shortlink"].endswith("/forgotten.html")


@FUZZ
@given(text=HOSTILE)
def test_hostile_words_come_back_as_words(text: str) -> None:
    components = [[text, text, "major_outage"]]
    node = read(
        history(said(title=text, summary=text, components=components, groups={text: [text]}, organisation=text))
    )

    assert node["page"]["name"] == node["incidents"][0]["name"] == inert(text)
    assert [one["name"] for one in node["components"]] == [inert(text), inert(text)]
    assert node["incidents"][0]["incident_updates"][0]["body"] == "\n".join(filter(None, [line(text)] * 2))
