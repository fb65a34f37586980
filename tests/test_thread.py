"""Two posts where one cannot hold it: how they are worded, in which order they go out, and what every command says."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from outagecast import registry, thread, wall
from outagecast.channel import Channel
from outagecast.cli import cards, matrix
from outagecast.control import Control
from outagecast.doubt import Doubt, Sight, meaning, verdict
from outagecast.errors import ExitCode, Rejected, TemplateError, Unavailable, Uncertain, UsageError
from outagecast.ledger import Event, Move, Opening, Update
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.measure import x_length
from outagecast.model import DOUBTFUL, PUBLISHED, SECOND, Receipt, State, Status, Variant
from outagecast.rehearsal import Reply
from outagecast.rehearsal.x import XPost
from outagecast.transitions import LEADS, TRANSITIONS
from tests.conftest import Bank, Newsroom
from tests.office import SLUG, Office, by_name

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
LONG: dict[str, Any] = {
    "scope": "All our cards are affected, everywhere in the country and abroad.",
    "workaround": [
        "Cash machines and transfers in our app still work.",
        "You can also pay with cash at our branches.",
    ],
    "apology": "We are sorry. We know that you rely on your card.",
}
# With so much room in either post that the hour at which a test runs makes no difference.
ROOMY: dict[str, Any] = {
    "summary": "Our cards are being declined.",
    "scope": "All our cards are affected, everywhere in the country and abroad, in shops, online and at the machines "
    "of other banks, whoever issued the terminal and however you pay.",
    "workaround": None,
    "apology": "We are sorry.",
}
ELSEWHERE = (
    "Cards that we issued abroad work again, in shops and online. All others still fail, everywhere in the country, "
)
ELSEWHERE += "and at the machines of other banks too."
ESSENTIALS = ("are being declined", "It started at", "We are sorry.", "Next update by")
SETTLED = 400.0  # seconds, longer than X's settle time


# -- the words ---------------------------------------------------------------------------------------------------------


def test_the_rest_is_what_the_first_post_leaves_out_in_its_order() -> None:
    full = "Cards fail. All of them. Cash works. We are sorry. We know. Next update by 7pm."
    assert thread.rest(full, "Cards  fail. We are sorry. Next update by 7pm.") == "All of them. Cash works. We know."
    assert thread.rest("信用卡無法使用。所有信用卡。抱歉。", "信用卡無法使用。抱歉。") == "所有信用卡。"


def test_nothing_is_left_of_a_text_that_the_first_post_says_whole_or_that_is_a_link_alone() -> None:
    assert thread.rest("Cards fail. We know.", "We know. Cards fail.") == ""
    assert thread.rest("It is over. https://status.example.com", "It is over.") == ""
    assert thread.rest("It is over. www.example.com https://example.com/a", "It is over.") == ""


def threaded(newsroom: Newsroom, *, on: bool = True, **facts: Any) -> Variant:
    newsroom.settings["channels"]["x"]["thread"] = on
    facts = {"started_at": "2026-11-22T18:30+11:00", "cause": "unknown", "next_update_at": "30m"} | facts
    (variant,) = newsroom.variants("x", **facts)
    return variant


def test_what_one_post_cannot_hold_goes_on_in_a_second_one_only_where_the_config_asks_for_it(
    newsroom: Newsroom,
) -> None:
    alone, two = threaded(newsroom, on=False, **LONG), threaded(newsroom, **LONG)

    assert list(alone.parts) == ["text"]
    assert list(two.parts) == ["text", "text_2"]
    assert two.parts["text"] == alone.parts["text"]
    assert two.rung < alone.rung
    assert "scope" in alone.left_out
    assert "scope" in two.carried
    assert LONG["scope"] in two.parts["text_2"]
    assert all(x_length(text) <= 280 for text in two.parts.values())


def test_the_first_post_stands_alone_with_the_essentials(newsroom: Newsroom) -> None:
    first = threaded(newsroom, **LONG).parts["text"]
    assert [words for words in ESSENTIALS if words not in first] == []


def test_what_fits_one_post_is_one(newsroom: Newsroom) -> None:
    assert list(threaded(newsroom, apology="We are sorry.").parts) == ["text"]


def test_the_end_of_an_apology_is_no_reason_for_a_second_post(newsroom: Newsroom) -> None:
    long: dict[str, Any] = {
        "summary": f"Our cards are being declined, {'in shops, ' * 9}online.",
        "cause": "An update of ours.",
    }

    variant = threaded(newsroom, **long, apology=LONG["apology"], eta="2026-11-22T21:30+11:00")

    assert "We know that you rely on your card." not in variant.parts["text"]
    assert list(variant.parts) == ["text"]


def test_the_richest_text_that_two_posts_hold_is_taken(newsroom: Newsroom) -> None:
    endless = threaded(newsroom, **LONG | {"scope": f"All our cards are affected, {'in every country, ' * 14}now."})
    assert "scope" in endless.left_out
    assert "We know that you rely on your card." in endless.parts["text_2"]


def test_what_the_essentials_alone_make_too_long_is_the_same_error_as_without_a_thread(newsroom: Newsroom) -> None:
    facts = LONG | {"summary": "Our cards are being declined, " * 12}
    said = []
    for on in (False, True):
        with pytest.raises(TemplateError) as caught:
            threaded(newsroom, on=on, **facts)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "of 280 X characters" in said[0]


HAND = "Our debit and credit cards are being declined in shops and online. It started at 6:30pm. Next update by 7:20pm."


def test_both_posts_can_be_written_by_hand_and_are_checked(newsroom: Newsroom) -> None:
    by_hand = {"text": HAND, "text_2": "All our cards.\n\nCash works."}
    variant = threaded(newsroom, variants={"x": {"en": by_hand}}, scope="All our cards.")
    assert (variant.parts, variant.rung) == (by_hand, 0)
    assert "scope" in variant.carried
    with pytest.raises(TemplateError, match=r"variants\.x\.en\.text_2"):
        threaded(newsroom, variants={"x": {"en": by_hand | {"text_2": "Cash works. " * 30}}})
    with pytest.raises(TemplateError, match="has no such part"):
        threaded(newsroom, on=False, variants={"x": {"en": by_hand}})


# -- out in the world --------------------------------------------------------------------------------------------------


@pytest.fixture
def office(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    for name, value in bank.providers.environment.items():
        monkeypatch.setenv(name, value)
    bank.config["channels"] = {"x": bank.config["channels"]["x"] | {"thread": True, "links": True}}
    bank.write(**ROOMY)
    office = Office(bank)
    yield office
    office.close()


def posts(office: Office) -> tuple[XPost, ...]:
    return office.bank.providers.x.posts


def states(office: Office, number: int = 1) -> list[str]:
    return office.states(number)["x"]


def fails(office: Office, *faults: Any) -> None:
    """What the next posts meet, one after the other."""
    for fault in faults:
        office.bank.providers.x.behave(fault)


def test_the_second_post_replies_to_the_first_and_each_is_a_delivery_of_its_own(office: Office) -> None:
    prepared = office.prepare()
    report = office.app.announce(prepared, office.said, Control())

    first, second = posts(office)
    assert (first.text, second.text) == tuple(prepared.variants[0].parts.values())
    assert (first.in_reply_to, second.in_reply_to) == (None, first.id)
    entries = office.app.ledger.entries(SLUG, 1, "x", set(State))
    assert [entry.delivery.target for entry in entries] == ["", SECOND]
    assert len({entry.delivery.key for entry in entries}) == 2
    assert report.exit_code is ExitCode.DONE
    x = by_name(report)["x"]
    assert (x.counts.planned, x.counts.accepted, x.complete, x.provider_id) == (2, 2, True, first.id)


def test_the_next_update_replies_to_the_newest_post_and_may_have_one_or_two(office: Office) -> None:
    office.announce()
    office.announce(status="identified", scope=None)
    office.announce(status="identified", scope=ELSEWHERE, next_update_at="50m")

    first, second, alone, third, fourth = posts(office)
    assert [post.in_reply_to for post in (second, alone, third, fourth)] == [first.id, second.id, alone.id, third.id]
    assert (states(office, 2), states(office, 3)) == (["accepted"], ["accepted", "accepted"])


def test_a_second_post_that_is_refused_as_a_reply_is_one_of_its_own(office: Office) -> None:
    fails(office, "ok", Reply(403, {"title": "Forbidden", "detail": "You may not reply", "status": 403}))
    assert office.announce().exit_code is ExitCode.DONE
    assert [post.in_reply_to for post in posts(office)] == [None, None]


@pytest.mark.parametrize(
    ("fault", "state", "code"),
    [
        ("unauthorized", "failed", ExitCode.NOTHING_PUBLISHED),
        ("rate_limited", "ready", ExitCode.PENDING),
        ("error_500", "in_doubt", ExitCode.IN_DOUBT),
    ],
)
def test_the_second_post_waits_for_the_first_whatever_became_of_it(
    office: Office, fault: Any, state: str, code: ExitCode
) -> None:
    fails(office, fault)

    report = office.announce(control=Control(max_time=0.5))

    assert posts(office) == ()
    assert states(office) == [state, "ready"]
    assert report.exit_code is code
    assert by_name(report)["x"].published == ("unknown" if state == "in_doubt" else "no")
    assert by_name(report)["x"].next_action == f"outagecast resume {SLUG}"


@pytest.mark.parametrize("fault", ["unauthorized", "rate_limited"])
def test_resume_goes_on_with_both_once_the_first_can_go(office: Office, fault: Any) -> None:
    fails(office, fault)
    office.announce(control=Control(max_time=0.5))
    office.clock.pass_by(SETTLED)

    assert office.app.resume(SLUG, Control()).exit_code is ExitCode.DONE
    assert [post.in_reply_to for post in posts(office)] == [None, posts(office)[0].id]


def test_a_first_post_whose_answer_was_lost_is_found_and_the_second_goes_out_under_it(office: Office) -> None:
    fails(office, "error_500_applied")

    report = office.announce()

    first, second = posts(office)
    assert second.in_reply_to == first.id
    assert (report.exit_code, states(office)) == (ExitCode.DONE, ["accepted", "accepted"])


def test_a_first_post_that_no_look_up_finds_holds_the_second_until_a_person_has_looked(office: Office) -> None:
    fails(office, "error_500")
    office.announce()
    office.clock.pass_by(SETTLED)
    assert office.app.resume(SLUG, Control()).exit_code is ExitCode.IN_DOUBT
    assert (states(office), posts(office)) == (["needs_decision", "ready"], ())

    office.app.settle(SLUG, "x", Event.SETTLED_RESEND, url=None, target=None)

    assert states(office) == ["ready", "ready"]
    assert office.app.resume(SLUG, Control()).exit_code is ExitCode.DONE
    assert len(posts(office)) == 2


def test_what_a_person_saw_of_the_first_post_lets_the_second_go_out_under_it(office: Office) -> None:
    fails(office, "error_500_applied")
    office.bank.providers.x.behave("error_500", method="GET", times=9)
    office.announce()
    office.clock.pass_by(SETTLED)
    office.app.resume(SLUG, Control())
    (first,) = posts(office)

    office.app.settle(SLUG, "x", Event.SETTLED_PUBLISHED, url=f"https://x.com/i/status/{first.id}", target=None)

    assert states(office) == ["accepted", "ready"]
    assert office.app.resume(SLUG, Control()).exit_code is ExitCode.DONE
    assert posts(office)[1].in_reply_to == first.id


@pytest.mark.parametrize(
    ("fault", "state", "code"),
    [
        ("unauthorized", "failed", ExitCode.PARTIAL),
        ("rate_limited", "ready", ExitCode.PENDING),
        ("error_500", "in_doubt", ExitCode.IN_DOUBT),
    ],
)
def test_a_second_post_that_is_not_out_is_told_beside_the_first_that_is(
    office: Office, fault: Any, state: str, code: ExitCode
) -> None:
    fails(office, "ok", fault)

    report = office.announce(control=Control(max_time=2))

    x = by_name(report)["x"]
    assert (states(office), report.exit_code) == (["accepted", state], code)
    assert (x.published, x.complete, x.url) == ("yes", False, f"https://x.com/i/status/{posts(office)[0].id}")
    assert x.error
    assert x.error.startswith("its second post: ")
    course = office.app.status(SLUG).course
    assert course
    assert course.row("x").carries == 1  # type: ignore[union-attr]


def test_a_lost_second_post_is_found_among_the_replies(office: Office) -> None:
    fails(office, "ok", "error_500_applied")
    assert office.announce().exit_code is ExitCode.DONE
    assert len(posts(office)) == 2


def test_a_killed_run_goes_on_where_it_was(office: Office) -> None:
    office.made = lambda config: cast("Channel", _Killed(registry.create(config.kind, config.settings)))
    with pytest.raises(_Gone):
        office.announce()
    assert (states(office), len(posts(office))) == (["accepted", "attempting"], 1)
    office.made = lambda config: registry.create(config.kind, config.settings)

    assert office.app.resume(SLUG, Control()).exit_code is ExitCode.IN_DOUBT
    assert (states(office), len(posts(office))) == (["accepted", "in_doubt"], 1)


class _Gone(BaseException):
    """The process is gone."""


class _Killed:
    """An adapter whose process is gone at the second post, before the call."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def send(self, delivery: Any) -> Receipt:
        if delivery.is_second:
            raise _Gone
        receipt: Receipt = self._real.send(delivery)
        return receipt


# -- updates -----------------------------------------------------------------------------------------------------------


def test_a_newer_update_overtakes_a_second_post_that_is_not_out_even_where_it_is_one_post(office: Office) -> None:
    fails(office, "ok", "unauthorized", "rate_limited")
    office.announce()
    office.app.resume(SLUG, Control(max_time=0.5))
    assert states(office) == ["accepted", "ready"]

    office.announce(status="identified", scope=None)

    assert (states(office), states(office, 2)) == (["accepted", "superseded"], ["accepted"])
    assert len(posts(office)) == 2


def test_the_same_words_are_not_posted_again_and_what_is_new_below_them_is(office: Office) -> None:
    at = (office.clock.now() + timedelta(minutes=40)).isoformat()
    office.announce(next_update_at=at)
    report = office.announce(scope=ELSEWHERE, next_update_at=at)

    _, second, third = posts(office)
    assert states(office, 2) == ["unchanged", "accepted"]
    assert third.in_reply_to == second.id
    assert ELSEWHERE in third.text
    assert (report.exit_code, by_name(report)["x"].published) == (ExitCode.DONE, "yes")
    again = office.announce(impact="critical", next_update_at=at)
    assert (states(office, 3), again.exit_code) == (["unchanged", "unchanged"], ExitCode.DONE)
    assert len(posts(office)) == 3


def test_a_second_post_below_one_that_fails_does_not_make_the_channel_look_current(office: Office) -> None:
    office.announce()
    fails(office, "unauthorized")

    report = office.announce(next_update_at="50m")

    assert states(office, 2) == ["failed", "skipped"]
    assert (by_name(report)["x"].published, report.exit_code) == ("no", ExitCode.NOTHING_PUBLISHED)


def test_both_posts_expire(office: Office) -> None:
    fails(office, "rate_limited")
    office.announce(control=Control(max_time=0.5))
    office.clock.pass_by(2 * 3600)
    report = office.app.resume(SLUG, Control())
    assert (states(office), report.exit_code) == (["expired", "expired"], ExitCode.NOTHING_PUBLISHED)


def test_a_correction_is_one_though_only_the_second_post_was_wrong(office: Office) -> None:
    at = (office.clock.now() + timedelta(minutes=40)).isoformat()
    office.announce(next_update_at=at)

    report = office.correct(scope=ELSEWHERE, next_update_at=at)

    assert posts(office)[2].text.startswith("Correction:")
    assert any(ELSEWHERE in post.text for post in posts(office)[2:])
    assert (report.corrects, report.exit_code) == (1, ExitCode.DONE)


def test_a_correction_of_what_x_never_said_says_nothing_there(office: Office) -> None:
    at = (office.clock.now() + timedelta(minutes=40)).isoformat()
    office.announce(next_update_at=at)
    office.correct(impact="minor", next_update_at=at)
    assert (states(office, 2), len(posts(office))) == (["unchanged", "unchanged"], 2)


def test_it_is_taken_back_once_and_deleted_whole(office: Office) -> None:
    office.announce()

    report = office.retract("x")

    assert report.exit_code is ExitCode.DONE
    assert by_name(report)["x"].deleted == 2
    (only,) = posts(office)
    assert only.text.startswith("Correction.")
    assert (states(office), states(office, 2)) == (["missing", "missing"], ["accepted"])
    assert office.retract().update == 2
    assert len(posts(office)) == 1


def test_a_false_alarm_calls_off_the_second_post(office: Office) -> None:
    fails(office, "ok", "rate_limited")
    office.announce(control=Control(max_time=0.5))
    office.retract()
    assert states(office) == ["accepted", "cancelled"]


# -- looking -----------------------------------------------------------------------------------------------------------


def test_both_posts_are_read_back_and_the_one_that_differs_is_named(office: Office) -> None:
    office.announce()
    assert office.app.verify(SLUG, Control()).exit_code is ExitCode.DONE
    assert states(office) == ["verified", "verified"]
    _, second = posts(office)
    office.app.ledger.close()
    office.bank.providers.x._posts[second.id] = replace(second, stored="Something else.")
    office.open()
    office.clock.pass_by(60)

    report = office.app.verify(SLUG, Control())

    assert (states(office), report.exit_code) == (["verified", "mismatch"], ExitCode.DIFFERS)
    difference = by_name(report)["x"].difference
    assert difference
    assert difference.part == "text_2"


def test_a_second_ledger_finds_both_posts_and_asks_for_the_second_only_below_a_first(office: Office) -> None:
    office.announce()
    office.app.close()
    for file in office.bank.folder.glob("outagecast.db*"):
        file.unlink()
    office.open()

    assert office.announce().exit_code is ExitCode.DONE
    assert (states(office), len(posts(office))) == (["accepted", "accepted"], 2)
    assert [request.method for request in office.bank.providers.x.requests].count("POST") == 2


def test_a_first_word_is_looked_for_with_one_question(office: Office) -> None:
    office.announce()
    assert [request.method for request in office.bank.providers.x.requests].count("GET") == 1


def test_where_both_posts_are_in_doubt_a_person_is_asked_of_one_at_a_time(office: Office) -> None:
    fails(office, "rate_limited")
    office.announce(control=Control(max_time=0.5))
    ledger = office.app.ledger
    for entry in ledger.entries(SLUG, 1, "x", {State.READY}):
        for event in (Event.CLAIMED, Event.LOST):  # as a ledger does that is recognised as an older one
            state = State.READY if event is Event.CLAIMED else State.ATTEMPTING
            ledger.move(replace(entry, state=state), Move(event), office.clock.now(), "ana@desk")
    office.clock.pass_by(SETTLED)
    office.app.resume(SLUG, Control())
    assert states(office) == ["needs_decision", "needs_decision"]

    office.app.settle(SLUG, "x", Event.SETTLED_RESEND, url=None, target=None)
    assert states(office) == ["ready", "needs_decision"]
    office.app.settle(SLUG, "x", Event.SETTLED_RESEND, url=None, target=None)
    assert office.app.resume(SLUG, Control()).exit_code is ExitCode.DONE
    assert [post.in_reply_to for post in posts(office)] == [None, posts(office)[0].id]


def test_what_a_thread_costs_is_two_posts(office: Office) -> None:
    office.bank.config["channels"]["x"]["price"] = "0.015 USD"
    office.bank.write()
    office.open()
    assert by_name(office.prepare().report)["x"].cost.units == 2  # type: ignore[union-attr]
    office.announce()
    assert by_name(office.prepare().report)["x"].cost.units == 2  # type: ignore[union-attr]


def test_json_shows_both_posts_with_their_counters(office: Office) -> None:
    (variant,) = by_name(office.prepare().report)["x"].as_json()["variants"]
    assert list(variant["parts"]) == list(variant["measures"]) == ["text", "text_2"]
    assert {measure["limit"] for measure in variant["measures"].values()} == {280}
    assert all(variant["measures"][part]["length"] == x_length(text) for part, text in variant["parts"].items())


def test_the_preview_and_the_wall_show_both_posts_with_their_counters(office: Office) -> None:
    prepared = office.prepare()
    (variant,) = prepared.variants

    seen = wall.of_preview(prepared.plan, prepared.variants, prepared.openings)

    (feed,) = seen.views[0].feeds
    assert [post.text for post in feed.posts] == list(variant.parts.values())
    assert [post.measure for post in feed.posts] == [
        f"{x_length(post.text)} of 280 X characters" for post in feed.posts
    ]
    drawn = " ".join(" ".join(cards.lines(prepared, 80, verbose=False)).split())
    assert [words for words in ("text · ", "text_2 · ", "All our cards are affected") if words not in drawn] == []


def test_a_half_told_update_shows_how_many_of_its_posts_are_out(office: Office) -> None:
    fails(office, "ok", "unauthorized")
    office.announce()
    course = office.app.status(SLUG).course
    assert course
    zone = office.app.config.organisation.timezone
    assert any("1 of 2 posts" in line for line in matrix.table(course, zone, 100))
    office.app.resume(SLUG, Control())
    course = office.app.status(SLUG).course
    assert course
    assert not any("posts" in line or "people" in line for line in matrix.table(course, zone, 100))


# -- every state of two posts ------------------------------------------------------------------------------------------


ANSWERS: dict[str, object] = {
    "receipt": Receipt("1"),
    "later": Unavailable("busy"),
    "no": Rejected("bad"),
    "silence": Uncertain("no answer"),
}
TOLD = frozenset({State.READY, State.FAILED, State.SUPERSEDED})  # as certainly not out


class Pair(NamedTuple):
    """A thread at one moment: what the ledger says of each post, what the public has, and where the run is."""

    states: tuple[State, State] = (State.READY, State.READY)
    copies: tuple[int, int] = (0, 0)
    flying: tuple[int, int] = (0, 0)  # requests that may still be applied
    at: str = ""  # "" between two runs
    calls: int = -1  # the post that the run is sending
    orphan: bool = False  # whether a second was published without a first


class Rules(NamedTuple):
    """When a second post may be claimed."""

    leads: frozenset[State] = LEADS


def after(pair: Pair, post: int, event: Event) -> Pair:
    states = list(pair.states)
    states[post] = TRANSITIONS[states[post], event]
    return pair._replace(states=(states[0], states[1]))


def published(pair: Pair, post: int) -> Pair:
    copies = list(pair.copies)
    copies[post] += 1
    is_orphan = post == 1 and not pair.copies[0]
    return pair._replace(copies=(copies[0], copies[1]), orphan=pair.orphan or is_orphan)


def moves(pair: Pair, rules: Rules) -> Iterator[tuple[str, Pair]]:
    """All that can happen next; X's promise, with the shipped rules about doubt and the shipped table."""
    for post in range(2):
        if pair.flying[post]:
            flying = tuple(count - (number == post) for number, count in enumerate(pair.flying))
            yield "late", published(pair._replace(flying=flying), post)  # type: ignore[arg-type]
    if pair.at:
        yield "crash", pair._replace(at="", calls=-1)
    else:
        yield from between_runs(pair)
        return
    yield from steps(pair, rules)


def between_runs(pair: Pair) -> Iterator[tuple[str, Pair]]:
    begun = pair
    for post, state in enumerate(pair.states):
        if state is State.FAILED:
            begun = after(begun, post, Event.REVIVED)
        elif state is State.ATTEMPTING:
            begun = after(begun, post, Event.LOST)
    yield "run", begun._replace(at="doubt")
    newer = pair
    for post, state in enumerate(pair.states):
        if state is State.READY:
            newer = after(newer, post, Event.SUPERSEDED)
    yield "update", newer
    for post, state in enumerate(pair.states):
        if state is State.NEEDS_DECISION:
            for event in (Event.SETTLED_NOT_PUBLISHED, Event.SETTLED_RESEND):
                yield "person", after(pair, post, Event.SETTLED_PUBLISHED if pair.copies[post] else event)


def steps(pair: Pair, rules: Rules) -> Iterator[tuple[str, Pair]]:
    """What a run does next, the posts in their order."""
    if pair.at == "doubt":
        yield "time is up", pair._replace(at="")
        yield "nothing more is learnt", pair._replace(at="work")
        for post in range(2):
            yield from (("look", found) for found in looked(pair, post))
    elif pair.at == "work":
        ready = [post for post in range(2) if pair.states[post] is State.READY]
        due = [post for post in ready if post == 0 or pair.states[0] in rules.leads]
        for post in due:
            yield "claim", after(pair, post, Event.CLAIMED)._replace(at="call", calls=post)
        yield "end", pair._replace(at="doubt" if due else "")
    elif pair.at == "call":
        for answer, its in called(pair):
            yield "answer", after(its, pair.calls, meaning(ANSWERS[answer]))._replace(at="work", calls=-1)


def called(pair: Pair) -> Iterator[tuple[str, Pair]]:
    post = pair.calls
    yield from ((answer, pair) for answer in ("later", "no", "silence"))
    yield from ((answer, published(pair, post)) for answer in ("receipt", "silence"))
    flying = tuple(count + (number == post) for number, count in enumerate(pair.flying))
    yield "silence", pair._replace(flying=flying)  # type: ignore[arg-type]


def looked(pair: Pair, post: int) -> Iterator[Pair]:
    """What a look-up can come to; within the settle time, or after it, when nothing is on its way any more."""
    state, semantics = pair.states[post], registry.channel_class("x").semantics
    if state not in {State.IN_DOUBT, State.NEEDS_DECISION}:
        return
    for sight in (Sight.SEEN, Sight.UNSEEN, Sight.DENIED):
        if sight is Sight.SEEN and not pair.copies[post]:
            continue
        for age in (timedelta(0), semantics.settle):
            if age and pair.flying[post]:
                continue
            event = verdict(semantics, Doubt(state, NOW - age, NOW - age, 0, None), sight, NOW)
            yield after(pair, post, event) if event else pair


def wrong(pair: Pair) -> str:
    if max(pair.copies) > 1:
        return "duplicate"
    if pair.orphan:
        return "a second post without a first"
    for post, state in enumerate(pair.states):
        if state in TOLD and (pair.copies[post] or pair.flying[post]):
            return "out, told as not"
        if state is State.ACCEPTED and not pair.copies[post]:
            return "not out, told as out"
    return ""


def walk(rules: Rules) -> tuple[int, set[str], set[Pair]]:
    """How many moments there are, what is wrong with any of them, and those from which both posts never can be out."""
    known, todo, found = {Pair()}, deque([Pair()]), set[str]()
    back: dict[Pair, list[Pair]] = {}
    while todo:
        pair = todo.popleft()
        if kind := wrong(pair):
            found.add(kind)
            continue
        for label, later in moves(pair, rules):
            if label != "crash":
                back.setdefault(later, []).append(pair)
            if later not in known:
                known.add(later)
                todo.append(later)
    good = {pair for pair in known if set(pair.states) == {State.ACCEPTED} or State.SUPERSEDED in pair.states}
    todo = deque(good)
    while todo:
        for before in back.get(todo.popleft(), ()):
            if before not in good:
                good.add(before)
                todo.append(before)
    return len(known), found, known - good


def test_no_second_post_is_ever_out_before_its_first_and_none_twice_or_told_wrong_or_lost() -> None:
    count, found, lost = walk(Rules())
    assert (found, lost) == (set(), set())
    assert count > 50


@pytest.mark.parametrize("state", sorted({State.READY, State.FAILED, *DOUBTFUL} - {State.ATTEMPTING}))
def test_a_second_post_that_does_not_wait_is_found_out(state: State) -> None:
    _, found, _ = walk(Rules(LEADS | {state}))
    assert "a second post without a first" in found


@pytest.mark.parametrize("state", State)
def test_the_ledger_gives_a_second_post_exactly_when_the_walk_does(tmp_path: Path, lead: Any, state: State) -> None:
    ledger = SqliteLedger(tmp_path / "outagecast.db")
    variant = Variant("x", "x", "en", {"text": "Cards fail.", "text_2": "All of them."}, 1, "en/x.text.j2", (), ())
    passed_over = state in {State.SKIPPED, State.UNCHANGED}
    first = Opening("x", "", "en", state if passed_over else State.READY, None, None)
    second = Opening("x", SECOND, "en", State.READY, None, None)
    ledger.open(Update(SLUG, 1, Status.INVESTIGATING, "f", "{}", "d", NOW, "ana@desk"), [variant], [first, second])
    if state is State.READY:
        wait = Move(Event.NOT_SENT, not_before=NOW + timedelta(hours=1))
        entry = ledger.claim(SLUG, 1, "x", NOW, "ana@desk")
        assert entry
        ledger.move(entry, wait, NOW, "ana@desk")
    elif not passed_over:
        lead(ledger, ledger.entries(SLUG, 1, "x", {State.READY})[0], state, NOW)

    claimed = ledger.claim(SLUG, 1, "x", NOW, "ana@desk")

    assert (claimed is not None) == (state in LEADS)
    if claimed:
        assert (claimed.delivery.target, dict(claimed.delivery.parts)) == (SECOND, {"text": "All of them."})
    else:
        due = ledger.next_try(SLUG, 1, "x")
        assert due == (NOW + timedelta(hours=1) if state is State.READY else None)
    ledger.close()


def test_what_may_follow_is_what_is_out_or_was_out_before() -> None:
    assert (PUBLISHED - {State.MISSING}) | {State.UNCHANGED} == LEADS


def test_only_a_doubt_can_be_settled(office: Office) -> None:
    office.announce()
    with pytest.raises(UsageError):
        office.app.settle(SLUG, "x", Event.SETTLED_RESEND, url=None, target=None)
