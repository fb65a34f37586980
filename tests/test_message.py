from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outagecast import message, schema
from outagecast.errors import MessageError
from outagecast.message import Message

SYDNEY = ZoneInfo("Australia/Sydney")
EXAMPLES = sorted(Path(__file__).parents[1].glob("examples/*.yaml"))
BASE = "incident: card-payments\nstatus: investigating\ntitle: Cards fail\nsummary: Cards are being declined.\n"


def load(text: str | bytes, *facts: str, status: str | None = None, zone: ZoneInfo | None = SYDNEY) -> Message:
    raw = text.encode() if isinstance(text, str) else text
    return message.load("-", stdin=io.BytesIO(raw), facts=facts, status=status, zone=zone)


def problems(text: str, *facts: str, status: str | None = None, zone: ZoneInfo | None = SYDNEY) -> list[str]:
    with pytest.raises(MessageError) as caught:
        load(text, *facts, status=status, zone=zone)
    assert caught.value.exit_code == 65
    return [str(problem).removeprefix("<stdin>:") for problem in caught.value.problems]


@pytest.mark.skipif(not EXAMPLES, reason="the examples are not beside the installed package")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_load(path: Path) -> None:
    assert message.load(path, zone=SYDNEY).summary


def test_four_facts_are_enough() -> None:
    said = load(BASE)
    assert (said.incident, said.status) == ("card-payments", "investigating")
    assert (said.workaround, said.components, said.next_update_at) == ((), {}, None)


def test_a_message_of_nothing_names_every_missing_fact_and_what_it_is() -> None:
    assert problems("") == [
        '1:1: "incident" is missing (a name for the incident, such as card-payments-2026-11-22)',
        '1:1: "status" is missing (one of investigating, identified, monitoring, resolved, scheduled, in_progress, '
        "completed, retracted)",
        '1:1: "title" is missing (the incident in a few words, such as: Card payments are failing)',
        '1:1: "summary" is missing (one sentence: what people cannot do)',
    ]


def test_unknown_keys_are_named_at_every_depth_at_once() -> None:
    text = (
        "impct: major\ncontact: {phon: 1}\nwindow: {begin: x, start: 2026-11-22T18:30+11:00, end: 2026-11-23T18:30Z}\n"
        "apology: {short: a, long: b, lang: c}\n"
        "translations: {ro: {titel: x}}\nbriefing: {sya: [x], faq: [{q: a, a: b, anser: c}]}\n"
    )
    assert problems(BASE + text) == [
        '5:1: unknown key "impct" (did you mean "impact"?)',
        '6:11: unknown key "phon" (did you mean "phone"?)',
        '7:10: unknown key "begin" (expected one of: end, start)',
        '8:30: unknown key "lang" (did you mean "long"?)',
        '9:21: unknown key "titel" (did you mean "title"?)',
        '10:12: unknown key "sya" (did you mean "say"?)',
        '10:41: unknown key "anser" (expected one of: a, q)',
    ]


@pytest.mark.parametrize(
    ("fact", "problem"),
    [
        ("cause: [a]", "5:8: expected text, not a list"),
        ("cause: {a: b}", "5:8: expected text, not `name: value` lines"),
        ("workaround: {a: b}", "5:13: expected a list, such as [one, two], not `name: value` lines"),
        ("workaround: [[a]]", "5:14: expected text, not a list"),
        ("components: [a]", "5:13: expected `name: value` lines, not a list"),
        ("components: {A: [x]}", "5:17: expected one word, not a list"),
        ("contact: 13 20 32", "5:10: expected `name: value` lines, not text (such as phone, url)"),
        ("apology: [a]", "5:10: expected `name: value` lines, not a list (such as long, short)"),
        ("apology: {short: a}", '5:10: "long" is missing'),
        ("window: soon", "5:9: expected `name: value` lines, not text (such as end, start)"),
        ("started_at: [a]", "5:13: expected one time, such as 2026-11-22T18:30+11:00, not a list"),
        ("impact: huge", '5:9: "huge" is not valid here (expected one of: none, minor, major, critical, maintenance)'),
        ("impact: Major", '5:9: "Major" is not valid here (did you mean "major"?)'),
        ("components: {A: outage}", '5:17: "outage" is not valid here (did you mean "'),
        ("cause: '  '", "5:8: is empty; write a value, or remove the line"),
        ("contact: {url: example.com}", '5:16: "example.com" is not a web address; write it like https://'),
        ("contact: {url: 'https://[x'}", '5:16: "https://[x" is not a web address'),
        ("contact: {url: 'https://a b.example'}", "is not a web address"),
        ("contact: {url: 'https://me:canary@a.example'}", "5:16: holds a user name or a password"),
        ("translations: {romanian: {title: x}}", '"romanian" is not a language code; write it like en, ro or zh-Hant'),
        ("translations: {ro: {components: {Card: x}}}", '5:40: "Card" is not among the components'),
        ("variants: {x: {en: {text: ' '}}}", "5:27: is empty; write the text, or remove the line"),
        ("variants: {x: hello}", "5:15: expected `name: value` lines, not text"),
    ],
)
def test_a_wrong_value_says_what_was_expected(fact: str, problem: str) -> None:
    found = problems(BASE + fact)
    assert len(found) == 1
    assert problem in found[0]
    assert "canary" not in found[0]


@pytest.mark.parametrize("slug", ["Card", "a_b", "-a", "a-", "a b", "x" * 65, "é"])
def test_an_incident_is_named_by_a_slug(slug: str) -> None:
    assert "1:11: must be small letters, digits and hyphens" in problems(BASE.replace("card-payments", slug))[0]


@pytest.mark.parametrize(
    ("time", "problem"),
    [
        ("2026-11-22T18:30", "has no offset from UTC; in Australia/Sydney write 2026-11-22T18:30+11:00"),
        ("2026-07-22 18:30", "has no offset from UTC; in Australia/Sydney write 2026-07-22T18:30+10:00"),
        ("2026-10-04T02:30", "02:30 does not exist that day in Australia/Sydney, where the clocks change; is it 2026-10"
         "-04T03:30+11:00?"),
        ("2026-04-05T02:30", "02:30 comes twice that day in Australia/Sydney; write 2026-04-05T02:30+11:00 or 2026-04-"
         "05T02:30+10:00"),
        ("2026-02-30T02:30Z", '"2026-02-30T02:30Z" does not exist: day is out of range for month'),
        ("2026-02-28T24:30Z", "does not exist: hour must be in 0..23"),
        ("2026-02-28T12:30+25:00", "does not exist: no place is +25:00 from UTC"),
        ("2026-02-28T12:30-14:01", "does not exist: no place is -14:01 from UTC"),
        ("0026-11-22T18:30+11:00", "is in the year 26; write it like"),
        ("9999-12-31T23:59-12:00", "is in the year 9999; write it like"),
        ("14:30", '"14:30" is not a time; write it like 2026-11-22T18:30+11:00'),
        ("22/11/2026 18:30", "is not a time"),
        ("2026-11-22", "is not a time"),
        ("٢٠٢٦-11-22T18:30Z", "is not a time"),
        ("now", "is not a time"),
    ],
)  # fmt: skip
def test_a_time_that_cannot_be_is_answered_with_what_to_write(time: str, problem: str) -> None:
    found = problems(f"{BASE}started_at: {time}\n")
    assert len(found) == 1
    assert found[0].startswith("5:13: ")
    assert problem in found[0]


def test_without_a_zone_a_naive_time_is_refused_too() -> None:
    found = problems(f"{BASE}started_at: 2026-11-22T18:30\n", zone=None)
    assert found == ["5:13: has no offset from UTC; write 2026-11-22T18:30+00:00 or your own"]


@pytest.mark.parametrize(
    "time", ["2026-11-22T18:30+11:00", "2026-11-22 07:30Z", "2026-11-22T07:30:00 +00:00", "2026-11-22T07:30:00.123Z"]
)
def test_a_time_with_its_offset_is_that_time(time: str) -> None:
    assert datetime.fromisoformat("2026-11-22T07:30Z") == load(f"{BASE}started_at: {time}\n").started_at


@pytest.mark.parametrize(("written", "minutes"), [("30m", 30), ("1h30m", 90), ("2d", 2880), ("90s", 1.5)])
def test_the_next_update_may_be_a_duration(written: str, minutes: float) -> None:
    assert timedelta(minutes=minutes) == load(f"{BASE}next_update_at: {written}\n").next_update_at


@pytest.mark.parametrize("written", ["30", "30 m", "20 minutes", "-5m", "٣m", "m", "1m1h", "1.5h"])
def test_a_duration_of_another_form_is_refused(written: str) -> None:
    assert [
        f'5:17: "{written}" is neither a time nor a duration; write it like 2026-11-22T18:30+11:00 or 30m'
    ] == problems(f"{BASE}next_update_at: {written}\n")


def test_a_duration_of_nothing_is_refused() -> None:
    assert problems(f"{BASE}next_update_at: 0m\n") == ["5:17: must be longer than nothing"]


@pytest.mark.parametrize("status", ["resolved", "completed"])
def test_a_closing_status_names_no_component_that_is_not_operational(status: str) -> None:
    window = "window: {start: 2026-11-22T01:00Z, end: 2026-11-22T02:00Z}\n"
    text = f"{BASE}{window}components:\n  Cards: operational\n  App: major_outage\n  Web: degraded_performance\n"
    assert [
        f'8:8: {status}, but App is major_outage (say operational, as with --set "components.App=operational", '
        "or keep the status open)",
        f'9:8: {status}, but Web is degraded_performance (say operational, as with --set "components.Web=operational", '
        "or keep the status open)",
    ] == problems(text, status=status)
    assert len(load(text, status="monitoring").components) == 3
    assert len(load(text, status="retracted").components) == 3  # a false alarm must be taken back at once


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ("started_at: 2026-11-22T18:30+11:00\nended_at: 2026-11-22T18:00+11:00", "6:11: ends before it started"),
        ("window: {start: 2026-11-22T18:30Z, end: 2026-11-22T18:30Z}", "5:41: the window ends before it starts"),
        ("started_at: 2026-11-22T18:30Z\nnext_update_at: 2026-11-22T18:30Z", "6:17: the next update comes before the"),
    ],
)
def test_times_that_contradict_each_other_are_refused(facts: str, problem: str) -> None:
    assert problem in problems(f"{BASE}{facts}\n")[0]


@pytest.mark.parametrize("status", ["scheduled", "in_progress", "completed"])
def test_planned_work_needs_its_window(status: str) -> None:
    assert [f'--status: {status} needs "window" (window: {{start: …, end: …}})'] == problems(BASE, status=status)
    window = "window: {start: 2026-11-22T01:00Z, end: 2026-11-22T02:00Z}\n"
    assert status == load(BASE + window, status=status).status


def test_unknown_is_an_honest_value() -> None:
    said = load(f"{BASE}cause: unknown\nscope: unknown\n")
    assert (said.cause, said.scope) == ("unknown", "unknown")


def test_texts_are_one_line_each_and_composed() -> None:
    assert (
        "Cafe\u0301 closed today.".replace("e\u0301", "é")
        == load(f"{BASE}cause: |\n  Cafe\u0301\n  closed   today.\n").cause
    )


def test_a_phone_number_keeps_its_plus_and_its_zeros() -> None:
    assert load(f"{BASE}contact: {{phone: +447911123456}}").contact.phone == "+447911123456"
    assert load(f"{BASE}contact: {{phone: 0441632960000}}").contact.phone == "0441632960000"


def test_an_option_says_another_fact_than_the_file() -> None:
    said = load(
        f"{BASE}cause: old\ncomponents: {{Web 2.0: major_outage}}\n",
        "cause=A power cut = no cards",
        "contact.phone=13 20 32",
        "components.Web 2.0=operational",
        "components.App=partial_outage",
        "workaround=Use cash.",
        "translations.ro.title=Plăți",
        "translations.ro.components.Web 2.0=Site",
        status="identified",
    )
    assert said.status == "identified"
    assert (said.cause, said.contact.phone) == ("A power cut = no cards", "13 20 32")
    assert said.components == {"Web 2.0": "operational", "App": "partial_outage"}
    assert said.workaround == ("Use cash.",)
    assert said.translated("ro").components == {"Site": "operational", "App": "partial_outage"}


def test_an_empty_option_takes_the_fact_away_as_if_it_had_never_stood_there() -> None:
    said = load(f"{BASE}cause: old\ncontact: {{phone: 1}}\n", "cause=", "contact.phone=", "contact.url=", "eta=")
    assert load(BASE).fingerprint == said.fingerprint
    assert problems(BASE, "title=") == [
        '--set title: "title" is missing (the incident in a few words, such as: Card payments are failing)'
    ]
    assert problems(BASE, status="")[0].startswith('--status: "status" is missing')


def test_every_wrong_option_is_named_by_itself() -> None:
    assert problems(BASE, "cause", "=x", "title.short=x", "cause=a\u202eb") == [
        '--set cause: expected NAME=VALUE (such as --set cause="A power cut")',
        '--set =x: expected NAME=VALUE (such as --set cause="A power cut")',
        '--set title.short: "title" holds no named facts',
        "--set cause: an invisible character, U+202E (retype this text by hand)",
    ]


def test_a_wrong_value_of_an_option_is_named_by_the_option_and_not_by_the_files_line() -> None:
    assert {
        '--set impct: unknown key "impct" (did you mean "impact"?)',
        '--set impact: "big" is not valid here (expected one of: none, minor, major, critical, maintenance)',
        '--status: "fixed" is not valid here (expected one of: investigating, identified, monitoring, resolved, '
        "scheduled, in_progress, completed, retracted)",
        "--set contact: expected `name: value` lines, not text (such as phone, url)",
    } == set(problems(f"{BASE}impact: major\n", "impact=big", "impct=major", "contact=x", status="fixed"))


FULL = (
    BASE + "components: {App: operational, Cards: major_outage}\nnext_update_at: 30m\n"
    "started_at: 2026-11-22T18:30+11:00\nworkaround: [Use cash.]\nbriefing: {say: [a]}\n"
)


def test_two_files_that_say_the_same_are_the_same_update() -> None:
    said = load(FULL)
    other = (
        "# written again\nsummary: >\n  Cards are\n  being declined.\ntitle: 'Cards fail'\nstatus: \"investigating\"\n"
        "workaround:\n  - |\n    Use cash.\ncontact: {}\ncause:\nnext_update_at: '30m'\nincident: card-payments\n"
        "components:\n  Cards: major_outage\n  App: operational\nstarted_at: 2026-11-22T18:30+11:00\n"
        "briefing: {say: [quite different]}\n"
    )
    assert said.canonical == load(other).canonical
    assert said.fingerprint == load(other).fingerprint == load(said.as_written()).fingerprint
    assert '"30m"' in said.canonical
    assert "briefing" not in said.canonical


@pytest.mark.parametrize(
    "fact",
    ["cause=A power cut", "next_update_at=60m", "components.App=partial_outage", "title=Cards failed", "workaround="],
)
def test_a_changed_public_fact_is_another_update(fact: str) -> None:
    assert load(FULL).fingerprint != load(FULL, fact).fingerprint
    assert load(FULL).fingerprint != load(FULL, status="identified").fingerprint


def test_a_changed_briefing_alone_is_the_same_update_and_is_kept_in_the_record() -> None:
    said = load(FULL, "briefing.escalation=Call Ana.")
    assert load(FULL).fingerprint == said.fingerprint
    assert json.loads(said.as_written())["briefing"]["escalation"] == "Call Ana."


def test_each_blank_of_a_wording_by_hand_counts() -> None:
    by_hand = BASE + 'variants: {x: {en: {text: "a\\nb"}}}\n'
    assert load(by_hand).fingerprint != load(by_hand.replace("\\n", " ")).fingerprint
    assert load(by_hand).variants["x"]["en"]["text"] == "a\nb"


def test_a_translation_lies_over_the_message_and_leaves_the_rest() -> None:
    text = (
        f"{BASE}cause: A power cut.\ncomponents: {{Cards: major_outage, App: operational}}\napology: Sorry.\n"
        "translations:\n  ro: {title: Cardurile nu merg, components: {Cards: Carduri}, apology: Ne cerem scuze.,\n"
        "       workaround: Folosiți numerar.}\n"
    )
    said = load(text).translated("ro")
    assert (said.title, said.summary, said.cause) == ("Cardurile nu merg", "Cards are being declined.", "A power cut.")
    assert list(said.components) == ["Carduri", "App"]
    assert (said.apology and said.apology.long, said.workaround) == ("Ne cerem scuze.", ("Folosiți numerar.",))
    assert load(text) == load(text).translated("de")


def test_of_thousands_of_wrong_keys_only_those_that_are_shown_are_compared_with_the_right_ones() -> None:
    calls: Counter[str] = Counter()
    sys.setprofile(lambda frame, event, _: calls.update([frame.f_code.co_name]) if event == "call" else None)
    try:
        found = problems(BASE + "".join(f"sumary{number}: x\n" for number in range(4000)))
    finally:
        sys.setprofile(None)
    assert f"<stdin>:{found[-1]}" == "<stdin>: and 3950 more"
    assert 50 <= calls["nearest"] <= 51  # counted, since how long they take depends on what else runs here


KEYS = sorted(schema.keys_of(Message))
VALUES = st.sampled_from(
    [
        *BASE.splitlines(),
        *(f"{key}:" for key in KEYS),
        " ",
        "\n",
        "  a: b",
        "[",
        "{",
        "]",
        "}",
        ",",
        "'",
        '"',
        "- ",
        "x",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400) | st.lists(VALUES, max_size=40).map(lambda found: "\n".join(found).encode()))
def test_any_bytes_are_a_message_or_an_error_of_ours(content: bytes) -> None:
    began = time.process_time()
    for raw in (content, BASE.encode() + content):
        with contextlib.suppress(MessageError):
            load(raw)
    assert time.process_time() - began < 1  # of the processor's time: the machine may be busy


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_option_is_a_fact_or_an_error_of_ours(fact: str, status: str) -> None:
    for facts, said in (([fact], None), ([f"started_at={fact}", f"contact.url={fact}"], None), ([], status)):
        with contextlib.suppress(MessageError):
            load(BASE, *facts, status=said)
