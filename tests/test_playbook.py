"""Messages that were agreed upon beforehand: complete, fitting, and never announced before they are filled in."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import outagecast.templates
from outagecast import advice, audience, config, message, placeholder, plan, playbook, render, schema
from outagecast.config import Config
from outagecast.errors import MessageError, UsageError
from outagecast.ledger import NOTHING_PAST
from outagecast.message import Message
from outagecast.playbook import Finding
from outagecast.roll import Group
from tests.conftest import CHANNELS

SYDNEY = ZoneInfo("Australia/Sydney")
NOW = datetime(2026, 11, 22, 18, 50, tzinfo=SYDNEY)
TODAY = NOW.date()
SCENARIOS = sorted(path.stem for path in playbook.SHIPPED.glob("*.yaml"))
PROMISED = ["en", "ro", "zh-Hant", "es", "fr", "de"]
SHIPPED = Path(next(iter(outagecast.templates.__path__)))
ENGLISH = {path.name for path in (SHIPPED / "en").glob("*.j2")}
SPOKEN = sorted(folder.name for folder in SHIPPED.iterdir() if {path.name for path in folder.glob("*.j2")} >= ENGLISH)
OWN = """
playbook: {title: Cards are declined, owner: Ana Pop, reviewed: 2026-11-01}
status: investigating
title: Cards do not work
summary: FILL IN what fails | Our cards are being declined.
started_at: FILL IN when it began
workaround: [Cash machines still work., FILL IN what else works | Branches are open.]
components: {Card payments: major_outage}
scope: unknown
apology: {short: We are sorry., long: We are very sorry.}
translations:
  ro:
    title: Cardurile nu merg
    summary: FILL IN ce nu merge | Cardurile noastre sunt respinse.
    workaround: [Bancomatele merg., FILL IN ce mai merge | Sucursalele sunt deschise.]
    components: {Card payments: Plăți cu cardul}
    apology: {short: Ne pare rău., long: Ne pare foarte rău.}
"""


class Desk:
    """A bank's folder: its config and its own playbooks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.playbooks: dict[str, Any] = {"folder": "mine"}
        self.languages = ["en"]
        self.extra: dict[str, Any] = {}

    def put(self, name: str, text: str = OWN) -> Path:
        """Write a playbook."""
        path = self.folder / "mine" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    @property
    def config(self) -> Config:
        """The configuration as it stands, with a channel of every kind in every language."""
        channels = {kind: {"kind": kind, "languages": self.languages, **its} for kind, its in CHANNELS.items()}
        data = {
            "organisation": {
                "name": "Example Bank",
                "timezone": "Australia/Sydney",
                "languages": self.languages,
                "phone": "13 20 32",
                "status_page": "https://status.example.com",
            },
            "playbooks": self.playbooks,
            "audiences": {"customers": {"file": "customers.csv"}},
            "channels": channels,
            **self.extra,
        }
        path = self.folder / "outagecast.yaml"
        path.write_text(json.dumps(data), encoding="utf-8")
        return config.load(path)

    def examine(self, now: datetime = NOW) -> list[Finding]:
        """What is wrong with the playbooks, where all of them can be announced."""
        return playbook.examine(self.config, now, lambda _: None)[1]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def own(desk: Desk, text: str = OWN) -> playbook.Playbook:
    return playbook.load(desk.put("cards.yaml", text), desk.config, NOW)


def drafted(book: playbook.Playbook, *languages: str, **given: Any) -> dict[str, Any]:
    return book.draft(languages or ("en",), NOW, **{"incident": "cards", **given})


def load(facts: dict[str, Any]) -> Message:
    return message.load("-", stdin=io.BytesIO(playbook.written(facts, ["A comment."]).encode()), zone=SYDNEY)


def left(facts: dict[str, Any]) -> list[str]:
    """What a message does not say yet."""
    return [problem.message for problem in playbook.open_places("x.yaml", playbook.written(facts, []), NOW)]


# --- placeholders


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FILL IN what fails | Our cards fail.", ("", "what fails", "Our cards fail.")),
        ("FILL IN what fails", ("", "what fails", "")),
        ("FILL IN: what fails", ("", "what fails", "")),
        ("FILL IN", ("", "", "")),
        ("Call us: FILL IN the number | 13 20 32", ("Call us: ", "the number", "13 20 32")),
        ("請致電FILL IN 號碼", ("請致電", "號碼", "")),
        ("Please fill in the form.", None),
        ("REFILL INK", None),
    ],
)
def test_a_placeholder_is_what_says_so_in_capitals(text: str, expected: tuple[str, str, str] | None) -> None:
    assert placeholder.find(text) == expected


def test_a_placeholder_is_filled_by_its_example_or_else_by_what_it_asks_for() -> None:
    texts = ("FILL IN what fails | Our cards fail.", "FILL IN what fails", "Call FILL IN the number | 13 20 32")

    filled = [found.filled for text in texts if (found := placeholder.find(text))]

    assert filled == ["Our cards fail.", "what fails", "Call 13 20 32"]


@pytest.mark.parametrize(
    "fact",
    [
        *("title: FILL IN it", "cause: FILL IN it", "impact: FILL IN it", "started_at: FILL IN it"),
        *("next_update_at: FILL IN it", "apology: FILL IN it", "workaround: FILL IN it", "workaround: [FILL IN it]"),
        *("components: {Cards: FILL IN it}", "components: {FILL IN it: operational}", "contact: {url: FILL IN it}"),
        *("translations: {ro: {cause: FILL IN it}}", "variants: {x: {en: {text: FILL IN it}}}"),
        "briefing: {say: [FILL IN it]}",
    ],
)
def test_no_value_of_a_message_may_still_be_open(fact: str) -> None:
    base = {"incident": "cards", "status": "investigating", "title": "Cards fail", "summary": "Cards are declined."}
    lines = [f"{name}: {value}" for name, value in base.items() if not fact.startswith(f"{name}:")]

    with pytest.raises(MessageError) as caught:
        message.load("-", stdin=io.BytesIO("\n".join([*lines, fact]).encode()))

    assert [(problem.message, problem.line) for problem in caught.value.problems] == [
        ("still to be filled in: it", len(lines) + 1)
    ]


def test_what_is_open_and_what_is_wrong_are_told_together_and_in_order() -> None:
    text = "incident: FILL IN its name\nstatus: open\ntitle: FILL IN it | Cards fail\nsummary: Cards fail.\n"

    with pytest.raises(MessageError) as caught:
        message.load("-", stdin=io.BytesIO(text.encode()))

    assert [str(problem) for problem in caught.value.problems] == [
        "<stdin>:1:11: still to be filled in: its name",
        *[str(problem) for problem in caught.value.problems[1:2]],
        "<stdin>:3:8: still to be filled in: it (such as: Cards fail)",
    ]
    assert '"open" is not valid here' in caught.value.problems[1].message


# --- the shipped ones


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_shipped_playbook_is_whole_in_every_language(scenario: str) -> None:
    assert sorted(playbook.find(scenario, None, NOW).languages) == sorted(PROMISED)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("first", PROMISED)
def test_a_shipped_playbook_cannot_be_announced_as_it_is_in_any_language(scenario: str, first: str) -> None:
    book = playbook.find(scenario, None, NOW)

    facts = drafted(book, first, *(language for language in PROMISED if language != first), incident="cards")

    open_places = left(facts)
    assert len(open_places) >= len(PROMISED)
    assert all(words.startswith("still to be filled in: ") for words in open_places)
    assert not any("the same in" in words for words in open_places)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_shipped_playbook_promises_nothing_that_only_its_user_can(scenario: str) -> None:
    facts = playbook.find(scenario, None, NOW).facts

    assert {"compensation", "eta", "next_update_at", "contact", "variants"} & set(facts) == set()


@pytest.mark.parametrize("language", SPOKEN)
def test_the_shipped_playbooks_fit_on_every_channel(desk: Desk, language: str) -> None:
    desk.playbooks, desk.languages = {}, [language]
    settings = desk.config
    rendered: list[str] = []

    def attempt(said: Message) -> None:
        crowd = dict.fromkeys(("twilio_sms", "smtp"), audience.Audience((Group(language),)))
        drawn = plan.draw(said, settings, audiences=crowd, past=NOTHING_PAST, now=NOW)
        rendered.extend(variant.channel for variant in render.variants(drawn))

    assert playbook.examine(settings, NOW, attempt) == (len(SCENARIOS), [])
    assert sorted(rendered) == sorted([*CHANNELS] * len(SCENARIOS))


@pytest.mark.parametrize("language", PROMISED)
def test_the_shipped_playbooks_need_no_advice(desk: Desk, language: str) -> None:
    desk.playbooks, desk.languages = {}, [language, *(other for other in PROMISED if other != language)]
    settings = desk.config
    given: list[str] = []

    playbook.examine(
        settings, NOW, lambda said: given.extend(one.said() for one in advice.give(said, settings, NOTHING_PAST, NOW))
    )

    assert given == []


def test_the_scenarios_that_were_asked_for_are_shipped() -> None:
    assert set(SCENARIOS) == {
        *("card-payments", "online-banking", "mobile-data", "total-outage", "slow-logins"),
        *("planned-maintenance", "false-alarm"),
    }


# --- a new message


def test_a_new_message_says_what_the_playbook_says_and_asks_for_the_rest(desk: Desk) -> None:
    facts = drafted(own(desk))

    assert {name: fact for name, fact in facts.items() if name not in {"workaround", "summary"}} == {
        "incident": "cards",
        "status": "investigating",
        "title": "Cards do not work",
        "started_at": "FILL IN when it began | 2026-11-22T18:50+11:00",
        "components": {"Card payments": "major_outage"},
        "scope": "unknown",
        "apology": {"short": "We are sorry.", "long": "We are very sorry."},
    }
    assert left(facts) == [
        f"still to be filled in: {what}" for what in ("what fails", "when it began", "what else works")
    ]


def test_a_new_message_is_written_in_the_first_language_and_the_others_are_its_translations(desk: Desk) -> None:
    facts = drafted(own(desk), "ro", "en")

    assert (facts["title"], facts["components"]) == ("Cardurile nu merg", {"Plăți cu cardul": "major_outage"})
    assert facts["scope"] == "unknown"
    assert facts["translations"] == {
        "en": {
            "title": "Cards do not work",
            "summary": "FILL IN what fails | Our cards are being declined.",
            "workaround": ["Cash machines still work.", "FILL IN what else works | Branches are open."],
            "apology": {"short": "We are sorry.", "long": "We are very sorry."},
            "components": {"Plăți cu cardul": "Card payments"},
        }
    }


def test_a_language_that_the_organisation_does_not_promise_is_left_out(desk: Desk) -> None:
    assert "translations" not in drafted(own(desk), "en")


def test_what_has_no_words_in_a_language_is_asked_for_in_it(desk: Desk) -> None:
    text = OWN.replace("    title: Cardurile nu merg\n", "").replace("[Bancomatele merg., ", "[")
    book = own(desk, text)

    translated = drafted(book, "en", "ro")["translations"]["ro"]

    assert book.lacks("ro") == ["title", "workaround"]
    assert translated["title"] == "FILL IN the same in ro | Cards do not work"
    assert translated["workaround"] == [
        "FILL IN the same in ro | Cash machines still work.",
        "FILL IN the same in ro | Branches are open.",
    ]


def test_a_language_that_nobody_wrote_is_asked_for_as_a_whole(desk: Desk) -> None:
    facts = drafted(own(desk), "it", "en")

    assert facts["title"] == "FILL IN the same in it | Cards do not work"
    assert facts["apology"]["short"] == "FILL IN the same in it | We are sorry."
    assert list(facts["components"]) == ["FILL IN the same in it | Card payments"]
    assert facts["translations"]["en"]["title"] == "Cards do not work"


def test_a_message_whose_placeholders_are_filled_can_be_announced(desk: Desk) -> None:
    text = playbook.written(drafted(own(desk), "en", "ro", started_at=NOW), ["Look."])

    said = message.load("-", stdin=io.BytesIO(re.sub(r"FILL IN .*\| ", "", text).encode()), zone=SYDNEY)

    assert said.workaround == ("Cash machines still work.", "Branches are open.")
    assert said.started_at == NOW
    assert said.translated("ro").summary == "Cardurile noastre sunt respinse."


@pytest.mark.parametrize("time", ["2025-01-01T08:00+11:00", "FILL IN when", "FILL IN when | 2025-01-01T08:00+11:00"])
def test_a_time_is_open_whatever_a_playbook_says(desk: Desk, time: str) -> None:
    facts = drafted(own(desk, OWN.replace("FILL IN when it began", time)))

    assert placeholder.find(facts["started_at"])


def test_a_duration_needs_no_filling_in(desk: Desk) -> None:
    assert drafted(own(desk, f"{OWN}next_update_at: 20m"))["next_update_at"] == "20m"


def test_an_old_incidents_name_is_not_used_again(desk: Desk) -> None:
    book = own(desk, f"{OWN}incident: cards-2025")

    assert (book.incident, drafted(book)["incident"]) == ("", "cards")


def test_a_message_is_written_so_that_people_can_edit_it(desk: Desk) -> None:
    text = playbook.written(drafted(own(desk), "ro", "en"), ["Cards are declined"])

    assert text.startswith("# Cards are declined\nincident: cards\n")
    assert "  Plăți cu cardul: major_outage\n" in text
    assert "workaround:\n  - Bancomatele merg.\n" in text
    assert '"' not in text


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        (set(), "cards-2026-11-22"),
        ({"cards-2026-11-22"}, "cards-2026-11-22-2"),
        ({"cards-2026-11-22", "cards-2026-11-22-2"}, "cards-2026-11-22-3"),
    ],
)
def test_a_new_incident_has_a_name_that_nothing_has(taken: set[str], expected: str) -> None:
    assert playbook.slug("cards", TODAY, taken) == expected


def test_a_name_is_a_good_one_however_long_the_scenarios() -> None:
    assert message.SLUG.fullmatch(playbook.slug("a" * 47 + "-" + "b" * 16, TODAY, set()))


# --- when it began


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("now", "2026-11-22T18:50:00+11:00"),
        ("18:30", "2026-11-22T18:30:00+11:00"),
        ("8:05", "2026-11-22T08:05:00+11:00"),
        ("18:50", "2026-11-22T18:50:00+11:00"),
        ("18:51", "2026-11-21T18:51:00+11:00"),  # of today it would be still to come
        ("2026-11-20T09:00+02:00", "2026-11-20T09:00:00+02:00"),
    ],
)
def test_a_start_is_by_the_organisations_clock_and_past(given: str, expected: str) -> None:
    assert playbook.parse_start(given, NOW).isoformat() == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("25:00", "is not a time"),
        ("half six", "is not a time"),
        ("2026-11-22T18:30", "in Australia/Sydney write 2026-11-22T18:30+11:00"),
    ],
)
def test_a_start_that_is_no_time_says_what_to_write(given: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        playbook.parse_start(given, NOW)


@pytest.mark.parametrize(("given", "words"), [("02:30", "comes twice"), ("02:00", "comes twice")])
def test_an_hour_that_comes_twice_is_asked_about(given: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        playbook.parse_start(given, datetime(2026, 4, 5, 12, tzinfo=SYDNEY))


def test_an_hour_that_the_clocks_left_out_is_refused() -> None:
    with pytest.raises(ValueError, match="does not exist that day"):
        playbook.parse_start("02:30", datetime(2026, 10, 4, 12, tzinfo=SYDNEY))


# --- one's own


def test_ones_own_come_first_and_replace_the_shipped_ones_of_their_name(desk: Desk) -> None:
    mine = {desk.put("zebra.yaml"), desk.put("card-payments.yml")}
    desk.put("deeper.yaml").rename(desk.folder / "mine" / ".hidden.yaml")
    (desk.folder / "mine" / "inner").mkdir()
    (desk.folder / "mine" / "inner" / "deep.yaml").write_text(OWN)

    known = playbook.paths(desk.config)

    assert set(list(known.values())[:2]) == mine
    assert sorted(known) == sorted({*SCENARIOS, "zebra"})


def test_ones_own_are_written_in_the_organisations_first_language(desk: Desk) -> None:
    desk.languages = ["ro", "en"]

    assert own(desk, OWN.replace("ro:", "en:")).language == "ro"


def test_a_bad_playbook_names_every_place_at_once(desk: Desk) -> None:
    text = "playbook: {owner: Ana, reviewed: yesterday, titel: x}\nstatus: open\ntitle: Cards\nsumary: FILL IN it\n"

    with pytest.raises(MessageError) as caught:
        own(desk, text)

    found = [(problem.line, problem.message) for problem in caught.value.problems]
    assert {line for line, _ in found} == {1, 2, 4}
    words = " ".join(message for _, message in found)
    for expected in ("is not a day", 'unknown key "titel"', '"title" is missing', '"open" is not valid', '"sumary"'):
        assert expected in words
    assert "FILL IN" not in words


def test_a_file_that_is_no_good_name_is_refused(desk: Desk) -> None:
    with pytest.raises(MessageError, match="is no name for a playbook"):
        playbook.load(desk.put("Cards 2.yaml"), desk.config, NOW)


def test_a_misspelt_scenario_is_told_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        playbook.find("card-payment", None, NOW)
    assert 'did you mean "card-payments"' in caught.value.problems[0].hint


# --- on a quiet day


def test_what_cannot_be_announced_is_wrong_if_it_is_ones_own_and_else_a_warning(desk: Desk) -> None:
    desk.put("cards.yaml")

    def attempt(said: Message) -> None:
        raise MessageError("too long")

    count, found = playbook.examine(desk.config, NOW, attempt)

    assert count == len(SCENARIOS) + 1
    assert {finding.name: finding.is_wrong for finding in found} == {"cards": True, **dict.fromkeys(SCENARIOS, False)}


def test_each_playbook_is_tried_as_new_would_write_it(desk: Desk) -> None:
    desk.languages = ["ro", "en"]
    desk.put("cards.yaml", OWN.replace("playbook: {", "playbook: {language: en, "))
    tried: list[Message] = []

    playbook.examine(desk.config, NOW, tried.append)

    assert tried[0].summary == "Cardurile noastre sunt respinse."
    assert tried[0].workaround == ("Bancomatele merg.", "Sucursalele sunt deschise.")
    assert tried[0].translations["en"].title == "Cards do not work"
    assert tried[0].started_at == NOW


def test_a_language_that_is_lacking_is_named_with_its_facts_and_whom_to_ask(desk: Desk) -> None:
    desk.languages = ["en", "it"]
    desk.put("cards.yaml")

    mine, *shipped = desk.examine()

    assert mine.problem.message == "has no it for title, summary, workaround, apology, components.Card payments"
    assert (mine.is_wrong, mine.problem.hint) == (True, "ask Ana Pop")
    assert [finding.is_wrong for finding in shipped] == [False] * len(SCENARIOS)


@pytest.mark.parametrize(
    ("head", "days", "due"),
    [
        ("reviewed: 2026-11-01", 180, False),
        ("reviewed: 2026-11-01", 181, True),
        ("reviewed: 2026-11-01, review_every: 30d", 30, False),
        ("reviewed: 2026-11-01, review_every: 30d", 31, True),
        ("reviewed: 2026-11-01", -1, True),
    ],
)
def test_a_playbook_is_to_be_read_again_in_time(desk: Desk, head: str, days: int, due: bool) -> None:
    desk.put("cards.yaml", OWN.replace("reviewed: 2026-11-01", head))
    then = datetime(2026, 11, 1, 12, tzinfo=SYDNEY) + timedelta(days=days)

    found = desk.examine(then)

    assert [finding.is_wrong for finding in found] == [False] * due
    assert all("Ana Pop" in finding.problem.hint for finding in found)


def test_how_often_is_the_configs_to_say_and_so_is_the_owner_of_what_names_nobody(desk: Desk) -> None:
    desk.playbooks |= {"review_every": "10d", "owner": "Head of communications"}
    desk.put("cards.yaml", OWN.replace("owner: Ana Pop, ", ""))

    (found,) = desk.examine()

    assert found.problem.message == "last reviewed 2026-11-01, 21 days ago"
    assert found.problem.hint.startswith("Head of communications")


def test_a_playbook_that_says_nothing_of_a_review_needs_one(desk: Desk) -> None:
    desk.put("cards.yaml", OWN.replace(", reviewed: 2026-11-01", ""))

    assert [finding.problem.message for finding in desk.examine()] == ["nobody has said when it was reviewed"]


def test_a_shipped_playbook_is_nobodys_to_review(desk: Desk) -> None:
    desk.playbooks = {}

    assert desk.examine(datetime(2040, 1, 1, tzinfo=UTC)) == []


def test_a_folder_that_is_not_there_is_wrong(desk: Desk) -> None:
    (found,) = desk.examine()

    assert (found.is_wrong, found.name) == (True, "playbooks")
    assert str(desk.folder / "mine") in found.problem.message


def test_the_head_says_nothing_that_is_not_explained() -> None:
    assert all(item.metadata["about"] for item, _ in schema.keys_of(playbook.Head).values())


def test_a_day_is_a_day() -> None:
    assert playbook._day(" 2026-11-01 ", None) == date(2026, 11, 1)
