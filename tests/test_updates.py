"""Updates after the first word: built on the last one, in an order that makes sense, and read as what they are."""

from __future__ import annotations

import io
import itertools
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outagecast import changes, config, message, plan, render
from outagecast.app import App
from outagecast.audience import Audience
from outagecast.changes import Change, Edit
from outagecast.clock import Clock
from outagecast.control import Control
from outagecast.errors import ConflictError, ExitCode, MessageError, PlanError, UsageError
from outagecast.ledger import Carried, Past
from outagecast.model import State, Status
from outagecast.report import Report
from outagecast.roll import Group
from outagecast.sequel import Sequel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Bank, Newsroom

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
WORKS = ("components.Card payments=operational", "summary=Our cards work again.", "workaround=")
WINDOW = {"start": "2026-11-29T01:00+11:00", "end": "2026-11-29T05:00+11:00"}
OTHER_WINDOW = {"start": "2026-11-29T02:00+11:00", "end": "2026-11-29T06:00+11:00"}
ROMANIAN = {
    "ro": {"cause": "Necunoscută", "scope": "Toate cardurile.", "apology": {"short": "Scuze.", "long": "Scuze."}}
}


def written(**facts: Any) -> str:
    base = {"incident": "cards", "status": "investigating", "title": "Cards fail", "summary": "Cards are declined."}
    return json.dumps({**base, **facts})


def build(before: str, *facts: str, status: str | None = None, now: datetime = NOW) -> dict[str, Any]:
    """What an update says that builds on one written like this."""
    built = message.build_on(before, "update 3 of cards", status=status, facts=facts, now=now)
    said: dict[str, Any] = json.loads(built.as_written())
    return said


# -- building on the last update ---


@given(
    st.text(st.characters(exclude_categories=("C", "Z")), min_size=1), st.text("ab: ,{}[]#&*!|>'\"%@`\\\n", min_size=1)
)
def test_what_was_written_is_read_back_as_it_was(word: str, text: str) -> None:
    given_ = {
        "summary": f"a{word}",
        "components": {word: "operational"},
        "variants": {"x": {"en": {"text": f"b{text}"}}},
    }
    before = message.load("-", stdin=io.BytesIO(written(**given_).encode()))

    again = message.build_on(before.as_written(), "update 1 of cards", now=NOW)

    assert (again, again.canonical) == (before, before.canonical)


def test_an_update_says_what_the_last_one_said_but_for_what_is_given() -> None:
    before = written(cause="unknown", scope="Everyone.", workaround=["Use cash.", "Use transfers."])

    said = build(before, "cause=A power cut.", status="identified")

    assert said == {**json.loads(before), "cause": "A power cut.", "status": "identified"}


def test_times_that_have_passed_are_not_promised_again() -> None:
    before = written(
        next_update_at="2026-11-22T19:59+11:00", eta="2026-11-22T20:00+11:00", started_at="2026-11-22T18:30+11:00"
    )

    said = build(before, status="identified")

    assert said.keys() == {"incident", "status", "title", "summary", "started_at"}


def test_times_to_come_durations_and_times_that_are_given_stay() -> None:
    to_come = {"next_update_at": "2026-11-22T20:01+11:00", "eta": "2026-11-22T20:01+11:00"}
    given_ = ("next_update_at=2026-11-22T19:59+11:00", "eta=2026-11-22T19:00+11:00")

    assert build(written(**to_come), status="identified").items() >= to_come.items()
    assert build(written(next_update_at="30m"), status="identified")["next_update_at"] == "30m"
    assert build(written(**to_come), *given_, now=NOW + timedelta(hours=2))["eta"] == "2026-11-22T19:00+11:00"


def test_what_says_nothing_new_is_the_same_update_whatever_the_time() -> None:
    before = written(
        status="identified", next_update_at="2026-11-22T19:30+11:00", variants={"x": {"en": {"text": "Hi"}}}
    )

    assert build(before, status="identified") == build(before, "title=Cards  fail") | {"title": "Cards fail"}
    assert build(before) == json.loads(before)


def test_wording_by_hand_is_of_one_update_only() -> None:
    before = written(variants={"x": {"en": {"text": "Cards are declined."}}})

    assert "variants" not in build(before, status="resolved")
    assert build(before, "variants.x.en.text=They work.")["variants"] == {"x": {"en": {"text": "They work."}}}


def test_when_it_ended_stays_in_a_follow_up_and_goes_where_it_is_back() -> None:
    before = written(status="resolved", ended_at="2026-11-22T19:30+11:00")

    assert "ended_at" in build(before, "cause=A power cut.")
    assert "ended_at" not in build(before, status="monitoring")


def test_problems_point_to_the_update_or_to_the_option() -> None:
    before = written(components={"Card payments": "major_outage"})

    with pytest.raises(MessageError) as caught:
        build(before, status="resolved")
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("update 3 of cards", None)
    assert "components.Card payments=operational" in problem.hint

    with pytest.raises(MessageError) as caught:
        build(before, "colour=red", status="fixed")
    assert sorted(str(problem.file) for problem in caught.value.problems) == ["--set colour", "--status"]


def test_what_a_language_still_says_of_a_fact_that_changed_is_taken_out() -> None:
    before = written(cause="unknown", scope="All cards.", apology="We are sorry.", translations=ROMANIAN)

    def left(*facts: str) -> set[str]:
        return set(build(before, *facts)["translations"]["ro"])

    assert left("cause=A power cut.") == {"scope", "apology"}
    assert left("apology=Sorry.", "translations.ro.apology.short=Pardon.") == {"cause", "scope"}  # the long one is old
    assert left("scope=All  cards.", "status=identified") == {"cause", "scope", "apology"}


def test_of_a_component_only_the_name_is_translated() -> None:
    names = {"ro": {"components": {"Cards": "Carduri", "App": "Aplicația"}}}
    before = written(components={"Cards": "major_outage", "App": "partial_outage"}, translations=names)

    said = build(before, "components.Cards=operational", "components.App=")

    assert said["translations"]["ro"]["components"] == {"Cards": "Carduri"}


def test_a_fact_is_given_in_its_languages_left_alone_or_taken_out_of_all() -> None:
    before = written(cause="unknown", scope="All cards.", apology="We are sorry.", translations=ROMANIAN)

    said = build(
        before, "cause=A power cut.", "translations.ro.cause=O pană de curent.", "scope=", "apology=We are sorry."
    )

    assert said["translations"]["ro"] == {"cause": "O pană de curent.", "apology": ROMANIAN["ro"]["apology"]}


def test_the_same_holds_for_a_file_with_facts_of_the_command_line() -> None:
    raw = written(apology={"short": "Sorry.", "long": "We are sorry."}, translations=ROMANIAN).encode()

    old = message.load("-", stdin=io.BytesIO(raw), facts=["apology.short=We regret it."])
    new = ["apology.short=We regret it.", "translations.ro.apology.short=Regretăm."]

    assert old.translations["ro"].apology is None
    assert message.load("-", stdin=io.BytesIO(raw), facts=new).translations["ro"].apology == message.Apology(
        short="Regretăm.", long="Scuze."
    )


# -- which status may follow which ---

ALLOWED = {
    "investigating": "investigating identified monitoring resolved retracted",
    "identified": "investigating identified monitoring resolved retracted",
    "monitoring": "investigating identified monitoring resolved retracted",
    "resolved": "resolved retracted",
    "scheduled": "scheduled in_progress completed retracted",
    "in_progress": "in_progress completed retracted",
    "completed": "completed",
}
REOPENED = {"resolved": "investigating identified monitoring", "completed": "scheduled in_progress"}
FIRST = {status: "scheduled" if Status(status).is_maintenance else "investigating" for status in ALLOWED}


def may_follow(newsroom: Newsroom, before: str, after: str, *, reopen: bool, first: str | None = None) -> bool:
    newsroom.updates.clear()
    for number, status in enumerate([first or FIRST[before], before]):
        newsroom.said(newsroom.now, status=status, window=WINDOW, scope=f"{number}")
    try:
        newsroom.plan("x", status=after, window=WINDOW, reopen=reopen)
    except (PlanError, UsageError):
        return False
    return True


@pytest.mark.parametrize(("before", "after"), [*itertools.product(ALLOWED, Status)])
def test_the_order_of_statuses(newsroom: Newsroom, before: str, after: Status) -> None:
    assert may_follow(newsroom, before, after, reopen=False) == (after in ALLOWED[before].split())
    assert may_follow(newsroom, before, after, reopen=True) == (after in REOPENED.get(before, "").split())


@pytest.mark.parametrize("first", ["investigating", "scheduled"])
def test_a_false_alarm_is_taken_up_again_only_as_what_it_was(newsroom: Newsroom, first: str) -> None:
    def follows(*, reopen: bool) -> set[str]:
        return {s for s in Status if may_follow(newsroom, "retracted", s, reopen=reopen, first=first)}

    assert follows(reopen=False) == {"retracted"}
    assert follows(reopen=True) == {
        s for s in Status if not s.is_closing and s.is_maintenance == (first == "scheduled")
    }


def test_a_refusal_says_what_to_do(newsroom: Newsroom) -> None:
    newsroom.said(newsroom.now)
    with pytest.raises(UsageError, match="nothing to reopen of card-payments: it is investigating"):
        newsroom.plan("x", status="identified", reopen=True)
    with pytest.raises(PlanError, match="card-payments is an incident, and scheduled is said of planned work"):
        newsroom.plan("x", status="scheduled", window=WINDOW)

    newsroom.said(newsroom.now, status="resolved")
    with pytest.raises(PlanError, match=r"resolved, and identified would open it again") as caught:
        newsroom.plan("x", status="identified")
    assert (caught.value.exit_code, "--reopen" in caught.value.problems[0].hint) == (ExitCode.BAD_INPUT, True)


def test_of_what_was_never_announced_anything_is_the_first_word(newsroom: Newsroom) -> None:
    newsroom.said(newsroom.now, status="resolved")

    assert newsroom.plan("x", status="monitoring").number == 2
    assert newsroom.plan("x", status="scheduled", window=WINDOW).number == 2
    with pytest.raises(UsageError, match="nothing to reopen"):
        newsroom.plan("x", status="monitoring", reopen=True)


# -- what an update is to whom ---


def to_people(
    newsroom: Newsroom, carried: dict[str, int], **facts: Any
) -> tuple[plan.PlannedChannel, dict[str, State]]:
    """The SMS channel of an update, and what is opened for each person; ``carried``: who has which update."""
    reopen = facts.pop("reopen", False)
    on = facts.pop("on", None)
    if on:
        newsroom.settings["channels"]["twilio_sms"]["on"] = on
    settings = newsroom.config
    known = {name: Carried(number, State.ACCEPTED, "") for name, number in carried.items()}
    crowd = Audience(tuple(Group("en", known.get(name), name=name) for name in ("ana", "ben", "eve")))
    drawn = plan.draw(
        newsroom.message(**facts),
        settings,
        audiences={"twilio_sms": crowd},
        past=Past("card-payments", tuple(newsroom.updates)),
        only=["twilio_sms"],
        reopen=reopen,
        now=newsroom.now,
    )
    opened = plan.openings(drawn, render.variants(drawn), settings)
    return drawn.channels[0], {item.target: item.state for item in opened}


def test_who_heard_the_end_hears_that_it_is_back_and_nobody_else_does(newsroom: Newsroom) -> None:
    newsroom.said(newsroom.now)
    newsroom.said(newsroom.now, status="resolved")

    channel, states = to_people(newsroom, {"ana": 2, "ben": 1}, status="identified", reopen=True)

    # Eve is told for the first time; Ben was never told that it was over.
    assert states == {"ana": State.READY, "ben": State.SKIPPED, "eve": State.READY}
    assert channel.sequel is Sequel.BACK


def test_phones_stay_quiet_in_a_follow_up_unless_the_config_says_so(newsroom: Newsroom) -> None:
    newsroom.said(newsroom.now)
    newsroom.said(newsroom.now, status="resolved", scope="Everyone.")
    more = {"status": "resolved", "scope": "Everyone in Sydney."}

    channel, states = to_people(newsroom, {"ana": 2, "ben": 1}, **more)
    assert states == {"ana": State.SKIPPED, "ben": State.READY, "eve": State.SKIPPED}
    assert channel.sequel is None  # to Ben, who gets it, it is the end

    channel, states = to_people(newsroom, {"ana": 2, "ben": 2}, on=["first", "follow_up"], **more)
    assert states == {"ana": State.READY, "ben": State.READY, "eve": State.SKIPPED}
    assert channel.sequel is Sequel.FOLLOW_UP


def test_a_second_word_on_planned_work_is_a_reminder_or_a_new_time(newsroom: Newsroom) -> None:
    newsroom.said(newsroom.now, status="scheduled", window=WINDOW)
    in_utc = {"start": "2026-11-28T14:00Z", "end": "2026-11-28T18:00Z"}

    def sequel(window: dict[str, str], **carried: int) -> Sequel | None:
        return to_people(newsroom, carried, status="scheduled", window=window, scope="All.")[0].sequel

    assert sequel(WINDOW, ana=1) is sequel(in_utc, ana=1) is Sequel.REMINDER
    assert sequel(OTHER_WINDOW, ana=1) is Sequel.MOVED
    assert sequel(WINDOW) is None


# -- what changed ---


def test_facts_that_changed_are_told_in_the_order_of_the_message() -> None:
    before = written(
        cause="unknown", workaround="Use cash.", contact={"phone": "1"}, eta="30m", briefing={"say": ["Hi."]}
    )
    after = written(
        status="identified", workaround=["Use  cash."], contact={"phone": "2"}, cause="A cut.", scope="All."
    )

    assert changes.of_facts(before, after) == [
        Change("status", "investigating", "identified"),
        Change("scope", None, "All."),
        Change("cause", "unknown", "A cut."),
        Change("eta", "30m", None),
        Change("contact.phone", "1", "2"),
    ]


@pytest.mark.parametrize(
    ("before", "after", "edits"),
    [
        ("one two three four five six", "one two three four five six", []),
        (
            "all cards work, one two three four",
            "no cards fail, one two three four",
            [Edit("all cards work,", "no cards fail,")],
        ),
        ("one two three four five six.", "one two three four five “six” seven", [Edit("", "seven")]),
        ("We know. one two three four five", "one two three four five", [Edit("We know.", "")]),
        ("one two three four", "five six seven eight", [Edit("", "five six seven eight")]),
        ("", "five six", [Edit("", "five six")]),
        ("信用卡付款失敗，我們正在調查。", "信用卡付款失敗，我們正在維修。", [Edit("調查。", "維修。")]),
    ],
)
def test_words_that_changed_are_told_in_runs_that_can_be_read(before: str, after: str, edits: list[Edit]) -> None:
    assert changes.of_words(before, after) == edits


# -- the whole way ---


class SetClock(Clock):
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        return self.time


@dataclass
class Office:
    """The bank's own app, in this process, at a time of its own."""

    bank: Bank
    app: App

    def announce(
        self, *facts: str, status: str | None = None, slug: str = "card-payments", reopen: bool = False
    ) -> Report:
        """``announce --incident``."""
        said = self.app.build_on(slug, status, facts)
        return self.app.announce(self.app.prepare(said, reopen=reopen), said, Control())

    def open(self, **facts: Any) -> Report:
        """``announce incident.yaml``."""
        self.bank.write(**facts)
        said = message.load(self.bank.folder / "incident.yaml")
        return self.app.announce(self.app.prepare(said), said, Control())

    def prepared(self, **facts: Any) -> Report:
        self.bank.write(**facts)
        return self.app.prepare(message.load(self.bank.folder / "incident.yaml")).report

    def wait(self, **time: int) -> None:
        self.app.clock.time += timedelta(**time)  # type: ignore[attr-defined]


@pytest.fixture
def office(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    for name, value in bank.providers.environment.items():
        monkeypatch.setenv(name, value)
    app = App(config.load(bank.folder / "outagecast.yaml"), "ana@desk", SetClock())
    yield Office(bank, app)
    app.close()


def sent(bank: Bank) -> tuple[int, int, int, int]:
    """Posts on X and on Facebook, texts and mails."""
    told = bank.sent
    return told["x"], told["facebook"], told["sms"], told["email"]


def test_an_incident_is_told_over_followed_up_and_told_again_when_it_is_back(office: Office) -> None:
    bank, providers = office.bank, office.bank.providers
    office.open()
    assert sent(bank) == (1, 1, 2, 2)

    office.announce("cause=A power cut.", status="identified")
    assert sent(bank) == (2, 2, 2, 2)

    office.announce(*WORKS, status="resolved")
    assert sent(bank) == (3, 3, 4, 4)

    office.wait(hours=14)
    more = office.announce("cause=A switch failed.", "compensation=We refund every fee.")
    assert (more.update, more.status, more.exit_code) == (4, "resolved", ExitCode.DONE)
    assert sent(bank) == (4, 4, 4, 6)
    assert next(its.error for its in more.channels if its.channel == "sms") == plan.Reason.NO_FOLLOW_UP
    assert providers.smtp.mails[-1].subject == "What happened: “Card payments are failing”"
    assert providers.x.posts[-1].text.startswith("What happened: A switch failed.")
    assert "We refund every fee." in providers.x.posts[-1].text

    office.wait(hours=1)
    back = ("components.Card payments=major_outage", "summary=Our cards are being declined again.", "cause=unknown")
    report = office.announce(*back, status="investigating", reopen=True)
    assert (report.update, report.exit_code) == (5, ExitCode.DONE)
    assert sent(bank) == (5, 5, 6, 8)
    for text in (providers.x.posts[-1].text, providers.twilio.messages[-1].text, providers.smtp.mails[-1].text):
        assert "We told you that this was over. It is not." in " ".join(text.split())

    # The same once more, --reopen and all, repeats nothing.
    again = office.announce(*back, status="investigating")
    assert (again.update, again.exit_code, sent(bank)) == (5, ExitCode.DONE, (5, 5, 6, 8))


def test_an_update_of_no_new_facts_repeats_nothing_even_when_its_time_has_passed(office: Office) -> None:
    office.open(next_update_at=(datetime.now(UTC) + timedelta(minutes=30)).isoformat(timespec="minutes"))
    before = sent(office.bank)
    office.wait(hours=1)

    same = office.announce()
    assert (same.update, sent(office.bank)) == (1, before)

    new = office.announce(status="identified")
    assert new.update == 2
    assert new.next_update_at
    assert timedelta(minutes=30) <= new.next_update_at - office.app.clock.now() < timedelta(minutes=35)
    assert office.announce(status="identified").update == 2


def test_resolved_before_announced_is_sent_nowhere_and_stands_in_nobodys_way(office: Office) -> None:
    works = {"components": {"Card payments": "operational"}, "summary": "Our cards work again.", "next_update_at": None}
    early = office.open(status="resolved", **works)
    assert {channel.state for channel in early.channels} == {State.SKIPPED}
    assert sent(office.bank) == (0, 0, 0, 0)

    assert office.announce("components.Card payments=degraded_performance", status="monitoring").update == 2
    assert sent(office.bank) == (1, 1, 2, 2)
    assert office.announce("components.Card payments=operational", "cause=A cable.", status="resolved").update == 3
    assert sent(office.bank) == (2, 2, 4, 4)


def test_two_incidents_at_once_keep_to_themselves(office: Office) -> None:
    providers = office.bank.providers
    office.open()
    other = {"incident": "mobile-app", "title": "Our app is down", "summary": "You cannot log in.", "components": None}
    office.open(**other)
    office.announce("cause=A power cut.", status="identified")
    office.announce("cause=A bad release.", status="identified", slug="mobile-app")

    posts = providers.x.posts
    assert [post.in_reply_to for post in posts] == [None, None, posts[0].id, posts[1].id]
    assert "power cut" in posts[2].text
    assert "bad release" in posts[3].text
    office.announce(*WORKS, status="resolved")
    assert office.app.status("mobile-app").status == "identified"
    assert office.app.status("card-payments").status == "resolved"


def test_a_new_name_beside_an_open_incident_of_the_same_component_is_asked_about(office: Office) -> None:
    office.open()
    asked = 'is this an update of "card-payments"? announce it with --incident card-payments'

    assert asked in office.prepared(incident="cards-again", components={"card  Payments": "major_outage"}).warnings
    assert asked not in office.prepared(incident="app", components={"Mobile app": "major_outage"}).warnings
    same = {"components": {"Card payments": "major_outage"}}
    assert asked not in office.prepared(incident="work", status="scheduled", window=WINDOW, **same).warnings
    assert asked not in office.prepared(incident="card-payments", status="identified", window=None, **same).warnings

    office.announce(*WORKS, status="resolved")
    assert asked not in office.prepared(incident="cards-again", status="investigating", **same).warnings


def test_the_message_of_an_older_update_is_a_conflict_still(office: Office) -> None:
    office.open()
    office.announce(status="identified")
    before = sent(office.bank)

    with pytest.raises(ConflictError, match="this is update 1 of card-payments again, and update 2 is newer"):
        office.announce(status="investigating")
    assert sent(office.bank) == before


def test_a_preview_has_what_changed_and_what_each_channel_carries(office: Office) -> None:
    first = office.open()
    report = office.prepared(status="identified", cause="A power cut.")

    assert report.changes == [
        Change("status", "investigating", "identified"),
        Change("cause", "unknown", "A power cut."),
    ]
    by_name = {channel.channel: channel for channel in report.channels}
    carried = {channel.channel: channel.variants[0].parts for channel in first.channels}
    assert {name: its.previous["en"].parts for name, its in by_name.items()} == carried
    found = by_name["x"].as_json()["variants"][0]["previous"]
    assert found == {"update": 1, "parts": carried["x"]}
    assert office.open(status="identified", cause="A power cut.").changes == report.changes


# -- on the command line ---


def test_on_a_terminal_an_update_shows_what_it_changes_and_is_asked_about_once(bank: Bank) -> None:
    bank.run("announce", "incident.yaml", "--yes")

    screen = bank.terminal("announce", "--incident", "card-payments", "--status", "identified", "--set", "cause=A cut.")
    screen.expect("Send it? [y/N]")
    screen.type("y\r")

    assert screen.wait() == 0
    assert "Changed since update 1:\n  status: investigating -> identified\n  cause: unknown -> A cut.\n" in screen.text
    on_x, *_ = re.findall(r"    since update 1:\n((?:    [+-] .*\n)+)", screen.text)
    assert {"    + We have found the cause: A cut.", "    - https://status.example.com"} <= set(on_x.splitlines())
    assert "it carries these very words already, as update 1" in screen.text
    assert max(map(len, screen.text.partition("Send it?")[0].splitlines())) <= 80
    assert "\x1b[32m    + We have found the cause: A cut." in screen.raw
    assert bank.json("status")["update"] == 2


def test_a_runbook_gets_the_changes_beside_the_outcome(bank: Bank) -> None:
    bank.run("announce", "incident.yaml", "--yes")

    done = bank.run("announce", "--incident", "card-payments", "--set", "cause=A cut.", "--yes", "--json")

    assert json.loads(done.stdout)["changes"] == [{"fact": "cause", "before": "unknown", "after": "A cut."}]
    assert "Changed since update 1:\n  cause: unknown -> A cut.\n" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "there is no message"),
        (("incident.yaml", "--incident", "card-payments"), 2, "a message file and --incident do not go together"),
        (("--incident", "cards"), 65, 'there is no incident "cards"'),
        (("--incident", "card-payments", "--set", "incident=other"), 2, "--set incident=… does not go with --incident"),
        (("--incident", "card-payments", "--reopen", "--set", "scope=All."), 2, "there is nothing to reopen"),
    ],
)
@pytest.mark.parametrize("command", [("preview",), ("announce", "--yes")])
def test_what_cannot_be_built_on_is_refused(
    office: Office, command: tuple[str, ...], arguments: tuple[str, ...], code: int, words: str, run_here: Any
) -> None:
    office.open()
    before = sent(office.bank)

    told = run_here(*command, *arguments)

    assert told.returncode == code
    assert words in told.stderr
    assert sent(office.bank) == before


@pytest.fixture
def run_here(bank: Bank, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """The command line in this process and the bank's folder."""
    from subprocess import CompletedProcess

    from outagecast.cli import run

    monkeypatch.chdir(bank.folder)

    def call(*arguments: str) -> CompletedProcess[str]:
        capsys.readouterr()
        code = run(list(arguments))
        told = capsys.readouterr()
        return CompletedProcess(arguments, code, told.out, told.err)

    return call
