"""Languages: what must be said in each of them, what is left out on purpose, and who was told in which."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from outagecast import message
from outagecast.audience import Audience
from outagecast.control import Control
from outagecast.errors import ExitCode, PlanError, UsageError
from outagecast.ledger import Carried, Past
from outagecast.model import State
from outagecast.plan import Plan, Target, draw
from outagecast.report import Report
from outagecast.roll import Group, Roll
from outagecast.translations import leave_out, remarks
from tests.conftest import Bank
from tests.office import ROMANIAN, SHIPPED, SLUG, Office, by_name

if TYPE_CHECKING:
    from tests.conftest import Newsroom

FACTS: dict[str, Any] = {
    "components": {"Card payments": "major_outage"},
    "scope": "All our cards, everywhere.",
    "cause": "A network switch failed.",
    "workaround": ["Cash machines work.", "Transfers work."],
    "apology": "We are sorry.",
    "compensation": "We will refund any fee.",
    "aftermath": "No money was taken.",
}
RO: dict[str, Any] = {
    "title": "Plățile nu merg",
    "summary": "Cardurile sunt refuzate.",
    "components": {"Card payments": "Plăți cu cardul"},
    "scope": "Toate cardurile, peste tot.",
    "cause": "Un comutator de rețea s-a defectat.",
    "workaround": ["Bancomatele merg.", "Transferurile merg."],
    "apology": "Ne pare rău.",
    "compensation": "Vă returnăm orice comision.",
    "aftermath": "Niciun ban nu a fost luat.",
}
Speak = Callable[..., Plan]
PEOPLE = Audience((Group("ro", name="ana"), Group("en", name="ben")))


@pytest.fixture
def speak(newsroom: Newsroom) -> Speak:
    """A function that plans a message of a bank that promises English and Romanian, and Romanian on X."""
    newsroom.settings["organisation"]["languages"] = ["en", "ro"]
    newsroom.settings["channels"]["x"]["languages"] = ["en", "ro"]

    def planned(*kinds: str, past: Past | None = None, crowd: Audience = PEOPLE, **facts: Any) -> Plan:
        return draw(
            newsroom.message(**facts),
            newsroom.config,
            audiences=dict.fromkeys(("twilio_sms", "smtp"), crowd),
            past=past or Past("card-payments"),
            only=kinds,
            now=newsroom.now,
        )

    return planned


def problems(plan: Callable[[], object]) -> list[str]:
    with pytest.raises(PlanError) as caught:
        plan()
    return [problem.message for problem in caught.value.problems]


# -- what must be said -------------------------------------------------------------------------------------------------


def test_every_text_that_a_promised_language_lacks_is_named_at_once(speak: Speak) -> None:
    missing = problems(lambda: speak("x", **FACTS))

    assert sorted(missing) == sorted(
        f"translations.ro.{fact} is missing" for fact in (*(set(RO) - {"components"}), "components.Card payments")
    )
    for fact in RO:
        rest = {name: text for name, text in RO.items() if name != fact}
        (only,) = problems(lambda rest=rest: speak("x", **FACTS, translations={"ro": rest}))  # type: ignore[misc]
        assert only.startswith(f"translations.ro.{fact}")
    speak("x", **FACTS, translations={"ro": RO})


def test_where_it_is_missing_and_both_ways_out_are_said(newsroom: Newsroom, tmp_path: Path) -> None:
    newsroom.settings["organisation"]["languages"] = ["en", "zh-Hant"]
    newsroom.settings["channels"] = {"banner": newsroom.settings["channels"]["banner"] | {"languages": ["zh-Hant"]}}
    file = tmp_path / "incident.yaml"
    file.write_text(
        "incident: cards\nstatus: investigating\ntitle: Cards fail\nsummary: Cards fail.\ncause: A cut.\n"
        "translations:\n  zh-Hant: {title: 信用卡, summary: 信用卡付款失敗。}\n",
        encoding="utf-8",
    )

    def missing(*facts: str) -> list[str]:
        said = message.load(file, facts=facts)
        with pytest.raises(PlanError) as caught:
            draw(said, newsroom.config, audiences={}, now=newsroom.now)
        return sorted(map(str, caught.value.problems))

    assert missing() == [
        f"{file}:5:1: translations.zh-Hant.cause is missing (say it in Chinese (Traditional); or leave Chinese "
        "(Traditional) out on purpose: --without zh-Hant)"
    ]
    assert missing("scope=All cards.", "cause=", "title=Cards are declined") == [
        '--set scope: translations.zh-Hant.scope is missing (give it: --set "translations.zh-Hant.scope=…"; or leave '
        "Chinese (Traditional) out on purpose: --without zh-Hant)",
        '--set title: translations.zh-Hant.title is missing (give it: --set "translations.zh-Hant.title=…"; or leave '
        "Chinese (Traditional) out on purpose: --without zh-Hant)",
    ]


def test_what_is_unknown_needs_no_words_and_names_may_stay_as_they_are(speak: Speak) -> None:
    unknown = {"cause": "unknown", "scope": "unknown"}
    said = {name: RO[name] for name in ("title", "summary")}

    speak("x", **unknown, translations={"ro": said})
    speak("x", **unknown, translations={"ro": said | unknown})
    speak("x", components={"App": "major_outage"}, translations={"ro": said | {"components": {"App": "App"}}})


def test_no_language_says_more_or_surer_than_the_message(speak: Speak) -> None:
    def refused(ro: dict[str, str], **facts: str) -> list[str]:
        said = {"title": "Plăți", "summary": "Nu merg.", **ro}
        return problems(lambda: speak("x", **facts, translations={"ro": said}))

    assert refused({"compensation": "Vă dăm banii."}) == [
        "translations.ro.compensation: the message has no compensation"
    ]
    assert refused({"cause": "Un comutator."}, cause="unknown") == ["translations.ro.cause: cause is unknown"]
    assert refused({"cause": "unknown"}, cause="A switch.") == ["translations.ro.cause is unknown, and cause is not"]
    assert refused({"workaround": "Bancomatele."}) == ["translations.ro.workaround: 1 where the message has 0"]


def test_two_components_are_not_called_the_same(speak: Speak) -> None:
    said = {"title": "Plăți", "summary": "Nu merg.", "components": {"App": "Aplicația", "Web": "Aplicația"}}
    both = {"App": "major_outage", "Web": "operational"}

    assert problems(lambda: speak("x", components=both, translations={"ro": said})) == [
        "translations.ro.components.App: another component is called so too",
        "translations.ro.components.Web: another component is called so too",
    ]


def test_the_same_number_of_ways_round_is_said_in_every_language(speak: Speak) -> None:
    ro = RO | {"workaround": ["Bancomatele merg."]}

    assert problems(lambda: speak("x", **FACTS, translations={"ro": ro})) == [
        "translations.ro.workaround: 1 where the message has 2"
    ]


def test_a_language_that_is_carried_counts_though_nobody_reads_it_today(speak: Speak, newsroom: Newsroom) -> None:
    assert problems(lambda: speak("smtp")) == ["translations.ro.title is missing", "translations.ro.summary is missing"]
    speak("facebook")  # which carries the first alone

    newsroom.settings["channels"]["smtp"]["languages"] = ["en"]
    speak("smtp")


def test_what_is_open_already_is_finished_as_it_is(speak: Speak, newsroom: Newsroom) -> None:
    newsroom.said(newsroom.now)

    speak("x", past=Past("card-payments", tuple(newsroom.updates), {}, {("x", 1)}))


def test_the_language_of_the_message_is_not_translated(speak: Speak) -> None:
    said = {"en": {"title": "Cards fail"}, "ro": {"title": "Plăți", "summary": "Nu merg."}}

    assert problems(lambda: speak("x", translations=said)) == ["translations.en: the message itself is in English"]


# -- what is left out on purpose ---------------------------------------------------------------------------------------


def test_no_channel_carries_what_is_left_out_and_what_is_left_with_none_carries_the_first(newsroom: Newsroom) -> None:
    newsroom.settings["organisation"]["languages"] = ["en", "hu", "ro"]
    newsroom.settings["channels"]["x"]["languages"] = ["hu", "ro"]
    newsroom.settings["channels"]["banner"]["languages"] = ["ro"]

    spoken = leave_out(newsroom.config, ["ro"])

    assert {name: channel.options.languages for name, channel in spoken.channels.items()} == {
        "x": ("hu",),
        "facebook": ("en",),
        "banner": ("en",),
        "twilio_sms": ("en", "hu"),
        "smtp": ("en", "hu"),
    }


def test_its_readers_read_another_and_all_others_what_they_did() -> None:
    roll = Roll()
    roll.fill([(1, "ana", "ro", None), (2, "ben", "en", None), (3, "cat", "hu", None)])
    before = roll.digest

    roll.spare(["ro"], instead="en")

    assert {group.language: group.people for group in roll.groups} == {"en": 2, "hu": 1}
    assert roll.digest != before


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "messages are written in English, so it cannot be left out (leave out --without, or change the order"),
        ("rom", 'the language "rom" is not promised (did you mean "ro"?)'),
        ("RO", 'the language "RO" is not promised (did you mean "ro"?)'),
    ],
)
def test_what_cannot_be_left_out_is_said(newsroom: Newsroom, language: str, said: str) -> None:
    newsroom.settings["organisation"]["languages"] = ["en", "ro"]

    with pytest.raises(UsageError) as caught:
        leave_out(newsroom.config, [language])

    assert str(caught.value).startswith(said)


def test_where_there_is_one_language_none_can_be_left_out(newsroom: Newsroom) -> None:
    with pytest.raises(UsageError, match="the organisation promises no other"):
        leave_out(newsroom.config, ["ro"])


# -- who was told in which ---------------------------------------------------------------------------------------------


def test_who_was_told_in_another_language_was_told(speak: Speak, newsroom: Newsroom) -> None:
    newsroom.said(newsroom.now)
    english = Carried(1, State.ACCEPTED, "old")
    past = Past("card-payments", tuple(newsroom.updates), {("x", "", "en"): english})
    roll = Roll()
    roll.fill([(1, "ana@example.com", "ro", None), (2, "ben@example.com", "en", None)])
    roll.mark([("Ana@example.com", english), ("ben@example.com", english)])
    crowd = Audience(roll.groups)
    said = {"ro": {name: RO[name] for name in ("title", "summary")}}

    mail, post = (
        speak(kind, past=past, crowd=crowd, status="identified", translations=said).channels[0]
        for kind in ("smtp", "x")
    )

    assert not mail.is_first_word
    assert {target.language: item for target, item in mail.carried.items()} == {"ro": english, "en": english}
    assert post.is_first_word  # the post in Romanian is new
    assert Target("", "ro") not in post.carried


def test_an_account_that_spoke_the_first_language_instead_has_told_its_followers(
    speak: Speak, newsroom: Newsroom
) -> None:
    newsroom.settings["channels"]["x"]["languages"] = ["ro"]
    newsroom.said(newsroom.now)
    english = Carried(1, State.ACCEPTED, "old")
    past = Past("card-payments", tuple(newsroom.updates), {("x", "", "en"): english})

    drawn = speak("x", past=past, status="resolved", translations={"ro": {"title": "A", "summary": "B"}})

    assert drawn.channels[0].carried[Target("", "ro")] == english


# -- from end to end ---------------------------------------------------------------------------------------------------


@pytest.fixture
def office(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """A bank that speaks English and Romanian by templates of its own; Ana reads Romanian, Ben English."""
    for name, value in bank.providers.environment.items():
        monkeypatch.setenv(name, value)
    shutil.copytree(SHIPPED, bank.folder / "words" / "ro")
    rows = ("phone,email,language", "+61491570156,ana@example.com,ro_RO", "+61491570157,ben@example.com,en-AU")
    (bank.folder / "customers.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    bank.config["organisation"]["languages"] = ["en", "ro"]
    bank.config["templates"] = "words"
    for name in ("x", "banner"):
        bank.config["channels"][name]["languages"] = ["en", "ro"]
    bank.write()
    office = Office(bank)
    yield office
    office.close()


def mails(office: Office) -> list[tuple[str, str]]:
    """Who got a mail in which language, in order."""
    found = office.bank.providers.smtp.mails
    return sorted((mail.to[0].partition("@")[0], str(mail.message["Content-Language"])) for mail in found)


def without_romanian(office: Office, *channels: str, **facts: Any) -> Report:
    return office.app.announce(office.prepare(*channels, left_out=("ro",), **facts), office.said, Control())


IN_ROMANIAN = {"ro": ROMANIAN}
OVER: dict[str, Any] = {
    "status": "resolved",
    "summary": "Our cards work again.",
    "components": None,
    "cause": None,
    "workaround": None,
    "translations": {"ro": {"title": "Plățile nu merg", "summary": "Cardurile merg.", "apology": "Ne pare rău."}},
}


def test_the_first_word_goes_out_without_a_language_and_is_finished_as_it_was_begun(office: Office) -> None:
    office.bank.providers.facebook.behave("unauthorized")

    begun = without_romanian(office)

    assert mails(office) == [("ana", "en"), ("ben", "en")]
    assert sorted(mail.to for mail in office.bank.providers.twilio.messages) == ["+61491570156", "+61491570157"]
    assert (len(office.bank.providers.x.posts), office.states(1)["banner"]) == (1, ["accepted"])
    assert begun.warnings[0].startswith("Romanian is left out: nothing is said in it on x, banner; its readers on")

    for left_out in ((), ("ro",)):
        again = office.app.announce(office.prepare(left_out=left_out), office.said, Control())
        assert (again.update, again.exit_code) == (1, ExitCode.DONE)
    assert office.bank.sent == {"x": 1, "facebook": 1, "sms": 2, "email": 2, "banner": 1}


def test_who_was_told_in_english_hears_the_end_in_romanian_and_only_the_end(office: Office) -> None:
    without_romanian(office)

    office.announce(translations=IN_ROMANIAN)  # the same facts, now in both
    assert mails(office) == [("ana", "en"), ("ben", "en")]
    assert office.states(2) == {
        "x": ["unchanged", "accepted"],
        "facebook": ["unchanged"],
        "banner": ["unchanged", "accepted"],
        "sms": ["skipped", "skipped"],
        "email": ["skipped", "skipped"],
    }

    office.announce(**OVER)
    assert mails(office) == [("ana", "en"), ("ana", "ro"), ("ben", "en"), ("ben", "en")]
    assert len(office.bank.providers.twilio.messages) == 4
    assert {tuple(states) for states in office.states(3).values()} == {("accepted",), ("accepted", "accepted")}


def test_an_end_is_told_in_no_language_in_which_nothing_was_announced(office: Office) -> None:
    without_romanian(office, "x", "email")

    report = office.announce("x", "email", **OVER)

    assert office.states(2)["x"] == ["accepted", "skipped"]
    assert by_name(report)["email"].counts.accepted == 2


def test_an_account_that_spoke_english_instead_says_in_its_own_language_that_it_is_over(office: Office) -> None:
    office.bank.config["channels"]["x"]["languages"] = ["ro"]
    office.bank.write()
    office.open()
    assert without_romanian(office, "x").warnings[0] == "Romanian is left out: x: in English instead"

    report = office.announce("x", **OVER)

    assert "x told of it in English before, and says nothing in it now" in report.warnings
    assert [("Cardurile merg." in post.text) for post in office.bank.providers.x.posts] == [False, True]


def test_who_was_told_something_wrong_in_english_hears_what_is_right_in_romanian(office: Office) -> None:
    without_romanian(office, "email")

    office.correct("email", workaround=["Nothing works."], translations=IN_ROMANIAN)

    assert mails(office) == [("ana", "en"), ("ana", "ro"), ("ben", "en"), ("ben", "en")]
    assert office.bank.providers.smtp.mails[-1].subject.startswith("Correction")


def test_a_correction_of_no_word_that_they_read_is_none_for_them(office: Office) -> None:
    without_romanian(office, "email")

    office.correct("email", translations=IN_ROMANIAN)

    assert mails(office) == [("ana", "en"), ("ben", "en")]
    assert office.states(2) == {"email": ["unchanged", "unchanged"]}


def test_who_was_told_in_two_languages_is_told_once_that_it_was_false(office: Office) -> None:
    office.bank.config["channels"]["email"]["on"] = ["first", "identified", "retracted"]
    office.bank.write(cause=None)
    office.open()
    without_romanian(office, "email", "x")
    office.announce("email", "x", status="identified", translations=IN_ROMANIAN)

    office.retract()

    assert [found for found in mails(office) if found[0] == "ana"] == [("ana", "en"), ("ana", "ro"), ("ana", "ro")]
    assert len(office.bank.providers.x.posts) == 5
    assert sum("Cardurile sunt refuzate." in post.text for post in office.bank.providers.x.posts) == 2


def test_each_language_takes_back_what_was_said_in_it(office: Office) -> None:
    office.announce("x", cause=None, translations=IN_ROMANIAN)
    without_romanian(office, "x", status="identified", summary="Our cards fail, our app too.", translations=None)

    office.retract()

    english, romanian = (post.text for post in office.bank.providers.x.posts[-2:])
    assert "Our cards fail, our app too." in english
    assert "Cardurile sunt refuzate." in romanian
    assert "our app too" not in romanian


def test_what_waits_in_the_former_language_is_overtaken(office: Office) -> None:
    prepared = office.prepare("sms", left_out=("ro",), cause=None)
    office.app.announce(prepared, office.said, Control(max_time=0))
    before = office.states(1)["sms"]

    office.announce("sms", status="identified", translations=IN_ROMANIAN)

    assert before == ["ready", "ready"]
    assert office.states(1)["sms"] == ["superseded", "superseded"]
    assert office.states(2)["sms"] == ["accepted", "accepted"]


def test_the_officer_hears_what_a_language_misses_and_which_nobody_speaks(office: Office) -> None:
    office.announce("x", "facebook", cause=None, translations=IN_ROMANIAN)

    french = {"title": "Les cartes", "summary": "Les cartes sont refusées."}
    facts: dict[str, Any] = {"status": "identified", "translations": {"fr": french}}
    warned = without_romanian(office, "x", "facebook", **facts).warnings

    assert warned[:3] == [
        "Romanian is left out: nothing is said in it on x",
        "translations.fr: no channel carries that language",
        "x told of it in Romanian before, and says nothing in it now",
    ]
    assert without_romanian(office, "facebook", cause="A cut.").warnings[0] == (
        "Romanian is left out: none of these channels carries it"
    )


def test_languages_that_are_left_out_alike_are_told_of_together(newsroom: Newsroom) -> None:
    newsroom.settings["organisation"]["languages"] = ["en", "ro", "fr", "de"]
    newsroom.settings["channels"]["x"]["languages"] = ["en", "ro", "fr"]
    newsroom.settings["channels"]["facebook"]["languages"] = ["en", "de"]

    told = remarks(newsroom.message(), newsroom.config, ["x", "facebook", "smtp"], ["ro", "de", "fr", "ro"])

    assert list(told) == [
        "Romanian, French are left out: nothing is said in them on x; their readers on smtp get English",
        "German is left out: nothing is said in it on facebook; its readers on smtp get English",
    ]


def test_words_by_hand_in_a_language_that_their_channel_does_not_carry_are_not_passed_over_in_silence(
    newsroom: Newsroom,
) -> None:
    by_hand = {"x": {"en": {"text": "Cards fail."}, "zh": {"text": "信用卡無法使用。"}}}

    told = remarks(newsroom.message(variants=by_hand), newsroom.config, ["x"], [])

    assert list(told) == ["variants.x.zh: x does not carry that language"]


def test_words_are_compared_with_earlier_ones_of_their_own_language(office: Office) -> None:
    without_romanian(office, "email")

    (mail,) = office.prepare("email", **OVER).report.channels

    assert [words.language for words in mail.variants] == ["en", "ro"]
    assert mail.previous.keys() == {"en"}


def test_words_that_are_on_their_way_cannot_be_left_out(office: Office) -> None:
    office.announce("x", translations=IN_ROMANIAN)

    with pytest.raises(PlanError) as caught:
        office.prepare("x", "facebook", left_out=("ro",))

    assert caught.value.problems[0].message == "this update was opened in Romanian on x, so it cannot be left out"


def test_an_approval_of_one_is_none_of_the_other(office: Office) -> None:
    office.bank.write(translations=IN_ROMANIAN)

    for channel in ("x", "email", "banner"):
        assert office.prepare(channel).digest != office.prepare(channel, left_out=("ro",)).digest


# -- on the command line -----------------------------------------------------------------------------------------------


def test_the_command_stops_before_anything_is_sent_unless_the_language_is_left_out(bank: Bank, office: Office) -> None:
    stopped = bank.run("announce", "incident.yaml", "--yes", "--channel", "x", "--json")

    assert (stopped.returncode, bank.sent["x"]) == (ExitCode.BAD_INPUT, 0)
    assert "--without ro" in stopped.stderr
    errors = json.loads(stopped.stdout)["errors"]
    assert errors[0]["message"] == "translations.ro.title is missing"
    assert (errors[0]["line"], errors[0]["column"]) == (4, 1)

    sent = bank.json("announce", "incident.yaml", "--yes", "--channel", "x", "--without", "ro")
    assert (sent["exit_code"], bank.sent["x"]) == (0, 1)
    assert "Romanian is left out: nothing is said in it on x" in sent["warnings"]


def test_old_words_of_a_fact_that_changed_never_go_out(office: Office) -> None:
    office.announce("x", cause="A switch failed.", translations={"ro": ROMANIAN | {"cause": "Un comutator."}})
    new = ["cause=A power cut."]

    def prepared(*facts: str, left_out: tuple[str, ...] = ()) -> object:
        said = office.app.build_on(SLUG, None, [*new, *facts])
        return office.app.prepare(said, only=["x"], left_out=left_out)

    with pytest.raises(PlanError) as caught:
        prepared()
    assert str(caught.value.problems[0]).startswith("--set cause: translations.ro.cause is missing (give it: --set ")
    assert prepared("translations.ro.cause=O pană de curent.")
    assert prepared(left_out=("ro",))
    assert prepared("cause=")
