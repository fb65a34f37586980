"""What every ledger must do, whatever keeps it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from outagecast.errors import ConflictError
from outagecast.ledger import (
    NOTHING_PAST,
    Carried,
    Entry,
    Event,
    Heard,
    Ledger,
    Move,
    Opening,
    Past,
    Tally,
    Update,
)
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.model import Receipt, State, Status, Variant
from outagecast.transitions import TRANSITIONS

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SLUG = "card-payments"
Open = Callable[[], Ledger]


@pytest.fixture(params=["sqlite"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same ledger, again each time."""
    opened: list[Ledger] = []

    def sqlite() -> Ledger:
        opened.append(SqliteLedger(tmp_path / "ledger.db"))
        return opened[-1]

    yield {"sqlite": sqlite}[request.param]
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(connect: Open) -> Ledger:
    return connect()


def update(number: int = 1, *, words: str = "cards fail", incident: str = SLUG) -> Update:
    return Update(
        incident=incident,
        number=number,
        status=Status.INVESTIGATING,
        fingerprint=f"{words} {number}",
        written='{"summary": "Cards fail."}',
        digest=f"digest {number}",
        opened_at=NOW + number * MINUTE,
        opened_by="ana@desk",
        started_at=NOW,
        next_update_at=NOW + 30 * MINUTE,
    )


def variant(text: str = "Cards fail.", channel: str = "x", language: str = "en") -> Variant:
    return Variant(
        channel,
        channel,
        language,
        {"text": text},
        2,
        "en/x.text.j2",
        ["title"],
        ["cause"],
    )


def opening(
    target: str = "",
    *,
    channel: str = "x",
    state: State = State.READY,
    expires_at: datetime | None = None,
) -> Opening:
    return Opening(channel, target, "en", state, None, expires_at)


def claim(ledger: Ledger, number: int = 1, *, channel: str = "x", now: datetime = NOW) -> Entry:
    entry = ledger.claim(SLUG, number, channel, now, "ana@desk")
    assert entry is not None
    return entry


def states(ledger: Ledger, number: int = 1) -> dict[State, int]:
    return {item.state: item.count for item in ledger.tallies(SLUG, number)}


def accept(ledger: Ledger, entry: Entry, provider_id: str = "1") -> None:
    receipt = Receipt(provider_id, f"https://x.example/{provider_id}", "queued")
    ledger.move(entry, Move(Event.RECEIPT, receipt=receipt), NOW, "ana@desk")


def test_what_was_opened_is_read_back_as_it_was_written(ledger: Ledger) -> None:
    ledger.open(update(), [variant()], [opening()])
    past = ledger.past(SLUG)
    assert Past(SLUG, [update()], {}, frozenset({("x", 1)})) == past
    assert [variant()] == ledger.variants(SLUG, 1)
    assert past.updates[0].summary == "Cards fail."


def test_what_was_opened_is_known_to_whoever_opens_the_ledger_next(
    connect: Open,
) -> None:
    first = connect()
    first.open(update(), [variant()], [opening()])
    first.close()
    assert [update()] == list(connect().past(SLUG).updates)


def test_an_incident_that_was_never_announced_has_no_past(ledger: Ledger) -> None:
    past = ledger.past("unheard-of")
    assert ([], {}, frozenset()) == (
        list(past.updates),
        dict(past.carried),
        past.opened,
    )
    assert NOTHING_PAST.updates == ()
    assert ledger.incidents() == []
    assert ledger.variants("unheard-of", 1) == []


def test_the_incident_that_changed_last_comes_first(ledger: Ledger) -> None:
    ledger.open(update(1, incident="older"), [variant()], [opening()])
    ledger.open(update(2, incident="younger"), [variant()], [opening()])
    assert ledger.incidents() == ["younger", "older"]
    ledger.open(update(3, incident="older"), [variant()], [opening()])
    assert ledger.incidents() == ["older", "younger"]


def test_a_claimed_delivery_carries_all_that_an_adapter_needs(ledger: Ledger) -> None:
    expires = NOW + 60 * MINUTE
    ledger.open(update(), [variant("Ce naiba?", "x")], [opening("+40", expires_at=expires)])
    entry = claim(ledger, now=NOW + 5 * MINUTE)
    delivery = entry.delivery
    assert (entry.state, entry.attempts, entry.replays) == (State.ATTEMPTING, 1, 0)
    assert (
        delivery.incident,
        delivery.update,
        delivery.status,
        delivery.target,
        delivery.language,
    ) == (SLUG, 1, Status.INVESTIGATING, "+40", "en")
    assert dict(delivery.parts) == {"text": "Ce naiba?"}
    assert (NOW + MINUTE, NOW + 5 * MINUTE, expires) == (
        delivery.opened_at,
        delivery.attempted_at,
        delivery.expires_at,
    )
    assert delivery.thread is None


def test_a_delivery_is_claimed_once(ledger: Ledger) -> None:
    ledger.open(update(), [variant()], [opening()])
    claim(ledger)
    assert ledger.claim(SLUG, 1, "x", NOW, "ben@desk") is None
    assert ledger.next_try(SLUG, 1, "x") is None


def test_a_claim_is_on_disk_before_it_is_answered(connect: Open) -> None:
    connect().open(update(), [variant()], [opening()])
    claim(connect())
    assert states(connect()) == {State.ATTEMPTING: 1}


def test_what_was_passed_over_is_never_claimed(ledger: Ledger) -> None:
    passed = [opening(str(number), state=state) for number, state in enumerate((State.SKIPPED, State.UNCHANGED))]
    ledger.open(update(), [variant()], passed)
    assert ledger.claim(SLUG, 1, "x", NOW, "ana@desk") is None
    assert ledger.next_try(SLUG, 1, "x") is None


def test_keys_differ_by_target_channel_and_update_and_are_the_same_in_every_ledger(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.open(
        update(),
        [variant(), variant(channel="sms")],
        [opening("a"), opening("b"), opening("a", channel="sms")],
    )
    ledger.open(update(2), [variant()], [opening("c")])
    keys = [
        claim(ledger).delivery.key,
        claim(ledger, channel="sms").delivery.key,
        claim(ledger, 2).delivery.key,
    ]
    assert len(set(keys)) == 3
    other = SqliteLedger(tmp_path / "other.db")
    other.open(update(), [variant()], [opening("a")])
    assert keys[0] == claim(other).delivery.key
    other.close()


def test_a_receipt_is_kept_and_shown(ledger: Ledger) -> None:
    ledger.open(update(), [variant()], [opening()])
    accept(ledger, claim(ledger), "77")
    (entry,) = ledger.entries(SLUG, 1, "x", {State.ACCEPTED})
    assert Receipt("77", "https://x.example/77", "queued") == entry.receipt
    carried = Carried(1, State.ACCEPTED, variant().digest, entry.delivery.attempted_at, "77")
    assert {("x", "", "en"): carried} == dict(ledger.past(SLUG).carried)


def test_the_next_update_is_threaded_to_the_newest_one_that_still_stands(
    ledger: Ledger,
) -> None:
    for number in (1, 2, 3, 4):
        ledger.open(update(number), [variant(str(number))], [opening()])
        entry = claim(ledger, number)
        if number != 3:  # the third was never taken
            accept(ledger, entry, f"post-{number}")
    (last,) = ledger.entries(SLUG, 4, "x", {State.ACCEPTED})
    assert Receipt("post-2") == last.delivery.thread
    (second,) = ledger.entries(SLUG, 2, "x", {State.ACCEPTED})
    ledger.move(second, Move(Event.GONE), NOW, "ana@desk")
    (last,) = ledger.entries(SLUG, 4, "x", {State.ACCEPTED})
    assert Receipt("post-1") == last.delivery.thread  # nobody can answer a post that was deleted


def test_what_may_be_out_counts_as_carried_and_what_is_certainly_not_does_not(
    ledger: Ledger, lead: Callable[..., None]
) -> None:
    carried = {
        State.ACCEPTED: True,
        State.IN_DOUBT: True,
        State.ATTEMPTING: True,
        State.READY: False,
        State.FAILED: False,
    }
    ledger.open(update(), [variant()], [opening(state.value) for state in carried])
    for entry in ledger.entries(SLUG, 1, "x", {State.READY}):
        lead(ledger, entry, State(entry.delivery.target), NOW)
    assert {name.value for name, is_carried in carried.items() if is_carried} == {
        target for _, target, _ in ledger.past(SLUG).carried
    }
    assert dict(ledger.past(SLUG, ["facebook"]).carried) == {}


def test_a_delivery_that_was_put_off_is_claimed_when_its_time_has_come(
    ledger: Ledger,
) -> None:
    ledger.open(update(), [variant()], [opening()])
    due = NOW + timedelta(seconds=5)
    ledger.move(
        claim(ledger),
        Move(Event.NOT_SENT, "later", "429", not_before=due),
        NOW,
        "ana@desk",
    )
    assert due == ledger.next_try(SLUG, 1, "x")
    assert ledger.claim(SLUG, 1, "x", due - timedelta(microseconds=1), "ana@desk") is None
    assert claim(ledger, now=due).attempts == 2


def test_what_was_never_tried_goes_before_what_was_put_off(ledger: Ledger) -> None:
    ledger.open(update(), [variant()], [opening("a"), opening("b")])
    ledger.move(
        claim(ledger),
        Move(Event.NOT_SENT, not_before=NOW),
        NOW,
        "ana@desk",
    )
    assert claim(ledger, now=NOW + MINUTE).delivery.target == "b"
    assert claim(ledger, now=NOW + MINUTE).delivery.target == "a"


def test_what_has_expired_is_written_off_and_never_claimed(ledger: Ledger) -> None:
    old = [opening("a", expires_at=NOW), opening("b", expires_at=NOW)]
    ledger.open(
        update(), [variant(), variant(channel="sms")], [*old, opening("c", channel="sms", expires_at=NOW + MINUTE)]
    )

    assert ledger.claim(SLUG, 1, "x", NOW, "ana@desk") is None
    assert claim(ledger, channel="sms").delivery.target == "c"
    assert states(ledger) == {State.EXPIRED: 2, State.ATTEMPTING: 1}


def test_an_attempt_that_is_forgotten_does_not_date_a_later_doubt(
    ledger: Ledger,
) -> None:
    ledger.open(update(), [variant()], [opening()])
    ledger.move(claim(ledger), Move(Event.NOT_SENT), NOW, "ana@desk")
    entry = claim(ledger, now=NOW + MINUTE)
    assert entry.delivery.attempted_at == NOW + MINUTE
    ledger.move(entry, Move(Event.LOST), NOW + 2 * MINUTE, "ana@desk")
    (doubtful,) = ledger.entries(SLUG, 1, "x", {State.IN_DOUBT})
    assert (doubtful.delivery.attempted_at, doubtful.changed_at) == (
        NOW + MINUTE,
        NOW + 2 * MINUTE,
    )


def test_a_replay_is_counted_unless_it_was_certainly_not_sent(ledger: Ledger) -> None:
    ledger.open(update(), [variant()], [opening()])
    ledger.move(claim(ledger), Move(Event.LOST), NOW, "ana@desk")

    def happens(event: Event) -> int:
        (entry,) = ledger.entries(SLUG, 1, "x", {State.IN_DOUBT})
        ledger.move(entry, Move(event), NOW, "ana@desk")
        return ledger.entries(SLUG, 1, "x", {State.IN_DOUBT})[0].replays

    assert [happens(event) for event in (Event.REPLAYED, Event.NOT_SENT, Event.REPLAYED, Event.REFUSED)] == [1, 0, 1, 1]


@pytest.mark.parametrize("state", [state for state in State if state not in {State.SKIPPED, State.UNCHANGED}])
def test_only_what_the_table_allows_can_be_written_down(
    ledger: Ledger, lead: Callable[..., None], state: State
) -> None:
    ledger.open(update(), [variant()], [opening(event.value) for event in Event])
    for entry in ledger.entries(SLUG, 1, "x", {State.READY}):
        event = Event(entry.delivery.target)
        lead(ledger, entry, state, NOW)
        (here,) = (item for item in ledger.entries(SLUG, 1, "x", {state}) if item.id == entry.id)
        expected = TRANSITIONS.get((state, event))
        if expected is None:
            with pytest.raises(KeyError):
                ledger.move(here, Move(event), NOW, "ana@desk")
            assert here in ledger.entries(SLUG, 1, "x", {state})
        else:
            assert ledger.move(here, Move(event), NOW, "ana@desk") is expected
            assert entry.id in {item.id for item in ledger.entries(SLUG, 1, "x", {expected})}


def test_a_move_from_a_state_that_was_left_meanwhile_is_refused_and_changes_nothing(
    ledger: Ledger,
) -> None:
    ledger.open(update(), [variant()], [opening()])
    entry = claim(ledger)
    accept(ledger, entry)
    with pytest.raises(ConflictError):
        ledger.move(entry, Move(Event.LOST), NOW, "ben@desk")
    assert states(ledger) == {State.ACCEPTED: 1}


def test_tallies_count_by_channel_state_and_whose_fault_it_was(ledger: Ledger) -> None:
    ledger.open(
        update(),
        [variant(), variant(channel="sms")],
        [opening(), *(opening(str(number), channel="sms") for number in range(3))],
    )
    ledger.move(
        claim(ledger, channel="sms"),
        Move(Event.REFUSED, refused=True),
        NOW,
        "ana@desk",
    )
    ledger.move(claim(ledger, channel="sms"), Move(Event.REFUSED), NOW, "ana@desk")
    assert {
        Tally("x", State.READY, False, 1),
        Tally("sms", State.READY, False, 1),
        Tally("sms", State.FAILED, True, 1),
        Tally("sms", State.FAILED, False, 1),
    } == set(ledger.tallies(SLUG, 1))


def test_what_was_heard_of_each_update_counts_from_when_it_may_have_been_out(ledger: Ledger) -> None:
    ledger.open(update(), [variant(), variant(channel="sms")], [opening(), *(opening(n, channel="sms") for n in "123")])
    accept(ledger, claim(ledger, now=NOW + 2 * MINUTE))
    for minutes, target in ((3, "1"), (5, "2")):
        entry = claim(ledger, channel="sms", now=NOW + minutes * MINUTE)
        assert entry.delivery.target == target
        ledger.move(entry, Move(Event.LOST), NOW + 20 * MINUTE, "ana@desk")
        found = replace(entry, state=State.IN_DOUBT)
        ledger.move(found, Move(Event.FOUND, receipt=Receipt("7")), NOW + 30 * MINUTE, "ana@desk")
    ledger.open(update(2), [variant()], [opening(state=State.SKIPPED)])

    assert ledger.heard(SLUG) == [
        Heard(1, "x", State.ACCEPTED, False, 1, NOW + 2 * MINUTE, NOW + 2 * MINUTE),
        Heard(1, "sms", State.ACCEPTED, False, 2, NOW + 3 * MINUTE, NOW + 5 * MINUTE),
        Heard(1, "sms", State.READY, False, 1, NOW + MINUTE, NOW + MINUTE),
        Heard(2, "x", State.SKIPPED, False, 1, NOW + 2 * MINUTE, NOW + 2 * MINUTE),
    ]
    assert ledger.heard("nothing") == []


def test_the_newest_update_of_each_incident_comes_the_last_changed_first(ledger: Ledger) -> None:
    for number, incident in ((1, "cards"), (2, "cards"), (1, "app")):
        ledger.open(update(number, incident=incident), [variant()], [opening()])

    assert [(one.incident, one.number) for one in ledger.latest()] == [("cards", 2), ("app", 1)]


def test_a_retraction_calls_off_what_is_queued_of_the_incident_and_of_no_other(ledger: Ledger) -> None:
    ledger.open(update(), [variant(), variant(channel="sms")], [opening(), opening("1", channel="sms")])
    ledger.open(update(incident="app"), [variant()], [opening()])
    accept(ledger, claim(ledger))

    ledger.open(replace(update(2), status=Status.RETRACTED), [variant()], [opening()])

    assert states(ledger) == {State.ACCEPTED: 1, State.CANCELLED: 1}
    assert states(ledger, 2) == {State.READY: 1}
    assert [item.state for item in ledger.tallies("app", 1)] == [State.READY]
    assert ledger.next_try(SLUG, 1, "sms") is None
    (entry,) = ledger.entries(SLUG, 1, "sms", {State.CANCELLED})
    assert (entry.reason, entry.changed_at) == ("update 2 took it back before it was sent", update(2).opened_at)


def test_whom_an_incident_reached_and_what_they_are_owed(ledger: Ledger) -> None:
    ledger.open(update(), [variant(), variant(channel="sms")], [opening(), *(opening(n, channel="sms") for n in "12")])
    accept(ledger, claim(ledger))
    ledger.move(claim(ledger, channel="sms"), Move(Event.LOST), NOW, "ana@desk")
    ledger.move(claim(ledger, channel="sms"), Move(Event.REFUSED, refused=True), NOW, "ana@desk")
    ledger.open(update(2), [variant()], [opening()])
    ledger.open(update(3), [variant()], [opening(state=State.SKIPPED)])

    assert sorted(ledger.reached(SLUG)) == [
        ("sms", "1", "en", 1, None),
        ("sms", "2", "en", None, 1),
        ("x", "", "en", 1, None),
    ]
    assert list(ledger.reached("nothing")) == []


def test_what_an_update_corrects_and_which_post_a_delivery_edits_are_kept(ledger: Ledger) -> None:
    ledger.open(update(), [variant()], [opening()])
    ledger.open(replace(update(2), corrects=1), [variant()], [opening()._replace(edits="77")])

    assert [one.corrects for one in ledger.past(SLUG).updates] == [None, 1]
    assert claim(ledger, 2).delivery.edits == Receipt("77")


def test_entries_come_page_by_page_until_all_were_seen(ledger: Ledger) -> None:
    ledger.open(update(), [variant()], [opening(str(number)) for number in range(1203)])
    seen: list[str] = []
    last = pages = 0
    while page := ledger.entries(SLUG, 1, "x", {State.READY}, after=last):
        seen += [entry.delivery.target for entry in page]
        last, pages = page[-1].id, pages + 1
    assert [str(number) for number in range(1203)] == seen
    assert pages > 1


def test_a_newer_update_supersedes_what_of_the_older_is_unsent_and_nothing_else(
    ledger: Ledger,
) -> None:
    ledger.open(update(), [variant()], [opening("out"), opening("unsent"), opening("elsewhere")])
    accept(ledger, claim(ledger))
    skipped = opening("unsent", state=State.SKIPPED)
    ledger.open(update(2), [variant("New.")], [opening("out"), skipped])
    assert states(ledger) == {State.ACCEPTED: 1, State.SUPERSEDED: 1, State.READY: 1}
    assert claim(ledger).delivery.target == "elsewhere"
    assert states(ledger, 2) == {State.READY: 1, State.SKIPPED: 1}


def test_doubt_about_an_older_update_outlives_a_newer_one(ledger: Ledger) -> None:
    ledger.open(update(), [variant()], [opening()])
    ledger.move(claim(ledger), Move(Event.LOST), NOW, "ana@desk")
    ledger.open(update(2), [variant("New.")], [opening()])
    assert (states(ledger), states(ledger, 2)) == (
        {State.IN_DOUBT: 1},
        {State.READY: 1},
    )


def test_the_same_update_gets_the_channels_it_lacks_and_keeps_its_words_and_time(
    ledger: Ledger,
) -> None:
    ledger.open(update(), [variant()], [opening()])
    accept(ledger, claim(ledger))
    later = replace(update(), opened_at=NOW + 9 * MINUTE, digest="of both", opened_by="ben@desk")
    ledger.open(
        later,
        [variant("Other words."), variant(channel="sms")],
        [opening(), opening("a", channel="sms")],
    )
    assert [replace(update(), digest="of both")] == list(ledger.past(SLUG).updates)
    assert [item.parts["text"] for item in ledger.variants(SLUG, 1)] == [
        "Cards fail.",
        "Cards fail.",
    ]
    assert Counter({State.ACCEPTED: 1, State.READY: 1}) == Counter(item.state for item in ledger.tallies(SLUG, 1))


def test_opening_the_same_update_again_changes_nothing(ledger: Ledger) -> None:
    ledger.open(update(), [variant()], [opening()])
    ledger.open(replace(update(), digest="of a part"), [], [])
    assert ledger.past(SLUG).updates[0].digest == "digest 1"


@pytest.mark.parametrize(
    "late",
    [
        update(1, words="mine"),
        update(2, words="mine"),
        replace(update(3), fingerprint=update(1).fingerprint),
    ],
    ids=[
        "an older number",
        "the same number, other words",
        "the words of an older update under a new number",
    ],
)
def test_who_opens_an_update_too_late_is_told_by_whom_and_nothing_is_opened(ledger: Ledger, late: Update) -> None:
    ledger.open(update(1), [variant()], [opening()])
    ledger.open(update(2), [variant("New.")], [opening()])
    before = (ledger.past(SLUG), ledger.tallies(SLUG, 1), ledger.tallies(SLUG, 2))
    with pytest.raises(ConflictError, match=r"ana@desk opened update \d before you; nothing was sent"):
        ledger.open(late, [variant("Mine.")], [opening()])
    assert before == (
        ledger.past(SLUG),
        ledger.tallies(SLUG, 1),
        ledger.tallies(SLUG, 2),
    )


def test_an_opening_that_fails_halfway_leaves_nothing_behind(ledger: Ledger) -> None:
    def broken() -> Iterator[Opening]:
        yield opening("a")
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        ledger.open(update(), [variant()], broken())
    assert (list(ledger.past(SLUG).updates), ledger.tallies(SLUG, 1)) == ([], [])
    ledger.open(update(), [variant()], [opening("a")])
    assert states(ledger) == {State.READY: 1}


def test_only_one_may_send_and_the_other_is_told_who_is(connect: Open) -> None:
    first, second = connect(), connect()
    with first.lock():
        with pytest.raises(ConflictError) as caught, second.lock():
            pytest.fail("two hold the lock")
        assert "is announcing from this ledger" in str(caught.value)
        assert "@" in str(caught.value)
        assert "since" in str(caught.value)
    with second.lock():
        pass


def test_the_lock_is_free_again_after_an_error_under_it(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="a bug"), ledger.lock():
        raise ValueError("a bug")
    with ledger.lock():
        pass


def test_whoever_reads_needs_no_lock(connect: Open) -> None:
    first, second = connect(), connect()
    first.open(update(), [variant()], [opening()])
    with first.lock():
        assert second.incidents() == [SLUG]


def test_many_threads_share_a_ledger_and_no_delivery_is_claimed_twice(
    ledger: Ledger,
) -> None:
    ledger.open(update(), [variant()], [opening(str(number)) for number in range(120)])
    claimed: list[str] = []

    def work() -> None:
        while entry := ledger.claim(SLUG, 1, "x", NOW, threading.current_thread().name):
            claimed.append(entry.delivery.target)
            accept(ledger, entry)
            ledger.tallies(SLUG, 1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(str(number) for number in range(120)) == sorted(claimed)
    assert states(ledger) == {State.ACCEPTED: 120}


def test_the_place_is_told_to_people(ledger: Ledger) -> None:
    assert "ledger.db" in ledger.place
