"""Many recipients: frozen, claimed, recorded and read without waiting for one before turning to the next."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from outagecast.errors import ConflictError, LedgerError
from outagecast.ledger import Carried, Claimed, Event, Heard, Hold, Move, Opening, Suppression, Told, Update
from outagecast.ledger.disk import Reserve
from outagecast.ledger.lock import held_by
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.ledger.store import SLICE
from outagecast.model import Receipt, State, Status, Variant

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OPENED = NOW - MINUTE
UPDATE = Update("cards", 1, Status.INVESTIGATING, "f1", "{}", "d", OPENED, "ana@desk")
WHERE = ("cards", 1, "sms")
SECOND = replace(UPDATE, number=2, fingerprint="f2")

Open = Callable[[], SqliteLedger]


@pytest.fixture
def ledgers(tmp_path: Path) -> Iterator[Open]:
    """Opens the ledger, as each command does anew."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(SqliteLedger(tmp_path / "outagecast.db")))


@pytest.fixture
def ledger(ledgers: Open) -> SqliteLedger:
    return ledgers()


def words(language: str = "en", channel: str = "sms", text: str = "Cards fail.") -> Variant:
    return Variant(channel, "twilio_sms", language, {"text": text}, 1, "en/twilio_sms.text.j2", (), ())


def person(
    target: str, language: str = "en", *, expires_at: datetime | None = None, state: State = State.READY
) -> Opening:
    return Opening("sms", target, language, state, None, expires_at)


def people(*targets: str, expires_at: datetime | None = None) -> list[Opening]:
    return [person(target, expires_at=expires_at) for target in targets]


def frozen(ledger: SqliteLedger, *targets: str, update: Update = UPDATE, expires_at: datetime | None = None) -> None:
    ledger.open(update, [words()], [])
    ledger.freeze(update, "sms", people(*targets, expires_at=expires_at))


def window(ledger: SqliteLedger, most: int = 500, *, number: int = 1, now: datetime = NOW) -> list[Claimed]:
    return ledger.claim_window("cards", number, "sms", most, now, "ana@desk")


def targets(claimed: Sequence[Claimed]) -> list[str]:
    return [one.delivery.target for one in claimed]


def taken(claimed: Claimed) -> tuple[Claimed, Move]:
    return claimed, Move(Event.RECEIPT, receipt=Receipt(f"SM{claimed.delivery.target}", None, "queued"))


def sent(ledger: SqliteLedger, number: int = 1) -> list[str]:
    """All that is due, sent; to whom."""
    claimed = window(ledger, number=number)
    ledger.record_many([taken(one) for one in claimed], NOW, "ana@desk")
    return targets(claimed)


def states(ledger: SqliteLedger, number: int = 1) -> dict[State, int]:
    return {item.state: item.count for item in ledger.tallies("cards", number)}


def history(ledger: SqliteLedger) -> list[str]:
    return [row["event"] for row in ledger._db.execute("SELECT event FROM transition ORDER BY seq")]


# -- freezing ---------------------------------------------------------------------------------------------------------


def test_a_channel_that_is_declared_counts_for_nothing_before_its_people_are_all_there(ledger: SqliteLedger) -> None:
    ledger.open(UPDATE, [words()], [])
    seen: list[object] = []

    def openings() -> Iterator[Opening]:
        for number in range(SLICE + 1):
            yield person(str(number))
        seen.extend([ledger.is_frozen(*WHERE), ledger.tallies("cards", 1), ledger.heard("cards"), window(ledger)])
        seen.extend([ledger.next_try(*WHERE), ledger.entries(*WHERE, set(State)), list(ledger.reached("cards"))])
        past = ledger.past("cards", ())
        seen.append((past.opened, past.begun))

    ledger.freeze(UPDATE, "sms", openings())

    assert seen == [False, [], [], [], None, [], [], (frozenset(), frozenset({("sms", 1)}))]
    past = ledger.past("cards", ())
    assert (ledger.is_frozen(*WHERE), past.opened, past.begun) == (True, frozenset({("sms", 1)}), frozenset())
    assert states(ledger) == {State.READY: SLICE + 1}


def test_what_an_earlier_try_left_is_replaced(ledgers: Open) -> None:
    def broken() -> Iterator[Opening]:
        yield from people(*map(str, range(2 * SLICE)))
        raise ValueError("the file ended")

    ledger = ledgers()
    ledger.open(UPDATE, [words()], [])
    with pytest.raises(ValueError, match="ended"):
        ledger.freeze(UPDATE, "sms", broken())

    again = ledgers()
    again.freeze(UPDATE, "sms", people("7", "new"))

    assert sent(again) == ["7", "new"]


def test_two_channels_may_be_frozen_at_once_though_one_is_begun_anew_in_ids_that_were_the_others(
    ledger: SqliteLedger,
) -> None:
    def broken() -> Iterator[Opening]:
        yield from people("a", "b", "c")
        raise ValueError("the file ended")

    def meanwhile() -> Iterator[Opening]:
        ledger.freeze(UPDATE, "sms", people("d"))
        yield from people("e", "f")
        ledger.freeze(UPDATE, "other", people("g"))

    ledger.open(UPDATE, [words(channel=name) for name in ("sms", "email", "other")], [])
    with pytest.raises(ValueError, match="ended"):
        ledger.freeze(UPDATE, "sms", broken())
    ledger.freeze(UPDATE, "email", meanwhile())

    told = [
        [entry.delivery.target for entry in ledger.entries("cards", 1, channel, {State.READY})]
        for channel in ("sms", "email", "other")
    ]
    assert told == [["d"], ["e", "f"], ["g"]]


def test_what_is_frozen_stays_as_it_is(ledger: SqliteLedger) -> None:
    frozen(ledger, "a")
    frozen(ledger, "a", "b")
    assert sent(ledger) == ["a"]


def test_nobody_is_in_it_twice(ledger: SqliteLedger) -> None:
    frozen(ledger, "b", "a", "b", "c", "b")
    assert sent(ledger) == ["b", "a", "c"]


def test_a_channel_that_was_not_declared_cannot_be_frozen(ledger: SqliteLedger) -> None:
    with pytest.raises(ConflictError, match="update 1 of cards has nothing for sms"):
        ledger.freeze(UPDATE, "sms", people("a"))


def test_who_freezes_an_older_update_while_a_newer_one_is_opened_stops(ledger: SqliteLedger) -> None:
    def openings() -> Iterator[Opening]:
        for number in range(3 * SLICE):
            if number == SLICE:
                ledger.open(SECOND, [words()], [])
            read.append(number)
            yield person(str(number))

    read: list[int] = []
    ledger.open(UPDATE, [words()], [])
    with pytest.raises(ConflictError, match="update 2 of cards was opened for sms meanwhile"):
        ledger.freeze(UPDATE, "sms", openings())
    assert not ledger.is_frozen(*WHERE)
    assert len(read) < 3 * SLICE


def test_a_newer_update_supersedes_what_the_same_people_are_still_to_be_sent_and_no_more(ledger: SqliteLedger) -> None:
    frozen(ledger, "out", "unsent", "elsewhere")
    first, *_ = window(ledger, 1)
    ledger.record_many([taken(first)], NOW, "ana@desk")
    ledger.open(SECOND, [words(), words("ro")], [])
    ledger.freeze(SECOND, "sms", [person("out"), person("unsent", "ro", state=State.SKIPPED)])

    assert states(ledger) == {State.ACCEPTED: 1, State.SUPERSEDED: 1, State.READY: 1}
    assert states(ledger, 2) == {State.READY: 1, State.SKIPPED: 1}
    assert sent(ledger) == ["elsewhere"]
    assert history(ledger) == ["superseded"]


def test_others_write_while_people_are_frozen(ledgers: Open) -> None:
    ledger, other = ledgers(), ledgers()
    ledger.open(UPDATE, [words()], [])

    def openings() -> Iterator[Opening]:
        for number in range(2 * SLICE):
            yield person(str(number))
            if number == SLICE:
                app = replace(UPDATE, incident="app")
                other.open(app, [words(channel="x")], [Opening("x", "", "en", State.READY, None, None)])

    ledger.freeze(UPDATE, "sms", openings())
    assert set(ledger.incidents()) == {"app", "cards"}


# -- sending ----------------------------------------------------------------------------------------------------------


def test_a_window_is_taken_in_the_order_in_which_people_were_frozen(ledgers: Open) -> None:
    ledger = ledgers()
    frozen(ledger, "z", "a", "m", "b")

    assert targets(window(ledger, 3)) == ["z", "a", "m"]
    assert states(ledgers()) == {State.ATTEMPTING: 3, State.READY: 1}
    assert targets(window(ledgers(), 3)) == ["b"]
    assert window(ledger) == []


def test_a_claimed_one_is_the_same_delivery_as_one_that_is_read(ledger: SqliteLedger) -> None:
    ledger.open(UPDATE, [words("ro", text="Cardurile nu merg."), words()], [])
    ledger.freeze(UPDATE, "sms", [person("a", "ro", expires_at=NOW + MINUTE), person("b")])
    both = window(ledger)

    entries = ledger.entries(*WHERE, {State.ATTEMPTING})

    assert [one.delivery for one in both] == [entry.delivery for entry in entries]
    assert [(one.id, one.attempts) for one in both] == [(entry.id, entry.attempts) for entry in entries]
    assert both[0].delivery.parts == {"text": "Cardurile nu merg."}


def test_the_next_update_goes_into_the_thread_of_what_each_one_has(ledger: SqliteLedger) -> None:
    frozen(ledger, "a", "b")
    sent(ledger)
    frozen(ledger, "b", "new", update=SECOND)

    assert [one.delivery.thread for one in window(ledger, number=2)] == [Receipt("SMb"), None]


def test_what_was_put_off_waits_and_goes_after_all_others(ledger: SqliteLedger) -> None:
    frozen(ledger, "a", "b", "c")
    first, second = window(ledger, 2)
    later = Move(Event.NOT_SENT, "busy", "429", not_before=NOW + MINUTE)
    ledger.record_many([(first, later), (second, later._replace(not_before=None))], NOW, "ana@desk")

    assert targets(window(ledger)) == ["b", "c"]
    assert window(ledger) == []
    assert ledger.next_try(*WHERE) == NOW + MINUTE
    (again,) = window(ledger, now=NOW + MINUTE)
    assert (again.delivery.target, again.attempts, again.delivery.attempted_at) == ("a", 2, NOW + MINUTE)


def test_what_has_expired_is_written_off_whole(ledger: SqliteLedger) -> None:
    frozen(ledger, *map(str, range(SLICE + 1)), expires_at=NOW)
    assert window(ledger) == []
    assert states(ledger) == {State.EXPIRED: SLICE + 1}


def test_what_happened_to_a_window_is_written_down_with_what_was_said_of_it(ledger: SqliteLedger) -> None:
    frozen(ledger, *"abcd")
    a, b, c, d = window(ledger)
    ledger.record_many(
        [
            taken(a),
            (b, Move(Event.REFUSED, "no such number", "21211", refused=True)),
            (c, Move(Event.LOST, "no answer")),
            taken(d),
        ],
        NOW + MINUTE,
        "ana@desk",
    )

    entries = {entry.delivery.target: entry for entry in ledger.entries(*WHERE, set(State))}
    assert (entries["a"].receipt, entries["a"].changed_at) == (Receipt("SMa", None, "queued"), NOW + MINUTE)
    assert entries["a"].delivery.attempted_at == NOW
    assert (entries["b"].state, entries["b"].refused, entries["b"].code) == (State.FAILED, True, "21211")
    assert (entries["c"].state, entries["c"].reason) == (State.IN_DOUBT, "no answer")
    assert history(ledger) == ["refused", "lost"]  # the window's own line tells of the others
    assert sum(count for _, count in ledger.windows(*WHERE, NOW)) == 4
    assert sum(count for _, count in ledger.windows(*WHERE, NOW + MINUTE)) == 0


def test_many_were_heard_from_the_first_window_to_the_last(ledger: SqliteLedger) -> None:
    frozen(ledger, "a", "b", "c", "d")
    for minutes in (2, 7):
        (claimed,) = window(ledger, 1, now=NOW + minutes * MINUTE)
        ledger.record_many([taken(claimed)], NOW + 9 * MINUTE, "ana@desk")
    window(ledger, 1, now=NOW + 8 * MINUTE)

    opened = UPDATE.opened_at
    assert ledger.heard("cards") == [
        Heard(1, "sms", State.ACCEPTED, False, 2, NOW + 2 * MINUTE, NOW + 8 * MINUTE),
        Heard(1, "sms", State.ATTEMPTING, False, 1, NOW + 2 * MINUTE, NOW + 8 * MINUTE),
        Heard(1, "sms", State.READY, False, 1, opened, opened),
    ]


def test_of_several_outcomes_all_are_written_down_or_none(ledger: SqliteLedger) -> None:
    frozen(ledger, "a", "b")
    a, b = window(ledger)
    ledger.record_many([taken(b)], NOW, "ana@desk")
    for moves in ([taken(a), taken(b)], [taken(a), (b, Move(Event.LOST))]):
        with pytest.raises(ConflictError):
            ledger.record_many(moves, NOW, "ana@desk")
        assert states(ledger) == {State.ATTEMPTING: 1, State.ACCEPTED: 1}
    with pytest.raises(KeyError):
        ledger.record_many([(a, Move(Event.SEEN))], NOW, "ana@desk")
    ledger.record_many([], NOW, "ana@desk")


def test_every_intent_is_synced_and_receipts_need_not_be(ledger: SqliteLedger) -> None:
    frozen(ledger, "a")
    said: list[str] = []
    ledger._db.set_trace_callback(said.append)
    claimed = window(ledger)
    assert not any("synchronous" in statement for statement in said)
    ledger.record_many([taken(one) for one in claimed], NOW, "ana@desk")
    ledger._db.set_trace_callback(None)
    assert [one for one in said if "synchronous" in one] == ["PRAGMA synchronous=NORMAL", "PRAGMA synchronous=FULL"]
    assert ledger._db.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_many_threads_share_the_windows_and_nobody_is_claimed_twice(ledgers: Open) -> None:
    everybody = [str(number) for number in range(900)]
    frozen(ledgers(), *everybody)
    claimed: list[str] = []

    def work(own: SqliteLedger) -> None:
        while some := window(own, 40):
            claimed.extend(targets(some))
            own.record_many([taken(one) for one in some], NOW, "ana@desk")

    threads = [threading.Thread(target=work, args=(ledgers(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(claimed) == sorted(everybody)
    assert states(ledgers()) == {State.ACCEPTED: 900}


def test_a_full_disk_takes_the_receipts_of_a_window_and_no_new_window(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen(ledger, *map(str, range(1000)))
    with ledger.lock():
        claimed = window(ledger)
        pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
        ledger._db.execute(f"PRAGMA max_page_count={pages}")
        give_back = Reserve.give_back

        def given(reserve: Reserve, error: sqlite3.Error) -> bool:
            ledger._db.execute(f"PRAGMA max_page_count={pages + 1000}")  # as when the reserve is freed
            return give_back(reserve, error)

        monkeypatch.setattr(Reserve, "give_back", given)
        long = Receipt("SM" + "0" * 500)
        ledger.record_many([(one, Move(Event.RECEIPT, receipt=long)) for one in claimed], NOW, "ana@desk")

        assert states(ledger) == {State.ACCEPTED: 500, State.READY: 500}
        with pytest.raises(LedgerError, match="is full"):
            window(ledger)
    assert states(ledger) == {State.ACCEPTED: 500, State.READY: 500}


# -- holding ----------------------------------------------------------------------------------------------------------


def test_what_is_held_is_not_claimed_by_anybody_until_it_is_released(ledgers: Open) -> None:
    ledger, other = ledgers(), ledgers()
    frozen(ledger, "a", "b")
    window(ledger, 1)
    other.hold(*WHERE, "too many refused", NOW, "ben@desk")
    other.hold(*WHERE, "another reason", NOW + MINUTE, "eva@desk")

    assert ledger.held(*WHERE) == Hold(NOW, "ben@desk", "too many refused")
    assert (window(ledger), ledger.claim(*WHERE, NOW, "ana@desk"), ledger.next_try(*WHERE)) == ([], None, None)

    other.release(*WHERE)
    assert (ledger.held(*WHERE), targets(window(ledger))) == (None, ["b"])
    assert ledger.held("cards", 9, "sms") is None


def test_what_is_called_off_is_never_sent_and_what_is_under_way_ends(ledger: SqliteLedger) -> None:
    frozen(ledger, *map(str, range(SLICE + 3)))
    (first,) = window(ledger, 1)

    assert ledger.cancel(*WHERE, NOW, "ben@desk") == SLICE + 2
    assert ledger.cancel(*WHERE, NOW, "ben@desk") == 0
    assert window(ledger) == []
    ledger.record_many([taken(first)], NOW, "ana@desk")
    assert states(ledger) == {State.ACCEPTED: 1, State.CANCELLED: SLICE + 2}
    assert ledger.entries(*WHERE, {State.CANCELLED})[0].reason == "called off by ben@desk"


def test_a_retraction_stops_the_claims_of_a_crowd_at_once(ledgers: Open) -> None:
    ledger, other = ledgers(), ledgers()
    frozen(ledger, *map(str, range(3 * SLICE)))
    claimed: list[list[Claimed]] = []
    sweep = other._sweep

    def observed(*args: object) -> int:
        claimed.append(window(ledger, now=SECOND.opened_at))  # the rest of them is not called off yet
        return sweep(*args)  # type: ignore[arg-type]

    other._sweep = observed  # type: ignore[method-assign, assignment]
    other.open(replace(SECOND, status=Status.RETRACTED), [words()], people("0"))

    assert claimed == [[]]
    assert (
        sum(count for state, count in states(ledger).items() if state in {State.CANCELLED, State.EXPIRED}) == 3 * SLICE
    )


# -- reading ----------------------------------------------------------------------------------------------------------


def test_what_each_one_carries_is_told_once_with_their_newest(ledger: SqliteLedger) -> None:
    frozen(ledger, "c", "b", "a", "d", "e")
    window_ = {one.delivery.target: one for one in window(ledger, 4)}
    ledger.record_many(
        [
            taken(window_["a"]),
            taken(window_["b"]),
            (window_["c"], Move(Event.REFUSED, refused=True)),
            (window_["d"], Move(Event.REFUSED)),
        ],
        NOW,
        "ana@desk",
    )
    ledger.open(SECOND, [words("ro", text="Merg.")], [])
    ledger.freeze(SECOND, "sms", [person("b", "ro"), person("a", "ro", state=State.UNCHANGED)])
    (doubtful,) = window(ledger, number=2)
    ledger.record_many([(doubtful, Move(Event.LOST))], NOW, "ana@desk")

    digest, newer = words().digest, words(text="Merg.").digest
    assert list(ledger.told("cards", "sms")) == [
        Told("a", "en", Carried(1, State.ACCEPTED, digest, NOW, "SMa")),
        Told("b", "ro", Carried(2, State.IN_DOUBT, newer, NOW, None)),
        Told("c", "en", Carried(1, State.FAILED, digest, NOW, None)),
    ]
    assert list(ledger.told("cards", "email")) == []


def test_told_and_reached_come_page_by_page_and_leave_nobody_out(ledger: SqliteLedger) -> None:
    everybody = [f"{number * 7919 % 10007:05d}" for number in range(2 * SLICE + 5)]
    frozen(ledger, *everybody)
    for _ in range(9):
        sent(ledger)
    assert [one.target for one in ledger.told("cards", "sms")] == sorted(everybody)
    assert [one.target for one in ledger.reached("cards")] == sorted(everybody)


def test_entries_of_a_state_are_read_without_those_of_another(ledger: SqliteLedger) -> None:
    frozen(ledger, *map(str, range(1200)))
    claimed = window(ledger, 1199)
    ledger.record_many([taken(one) for one in claimed[1:]], NOW, "ana@desk")
    doubtful = {State.ATTEMPTING, State.READY}
    assert [one.delivery.target for one in ledger.entries(*WHERE, doubtful)] == ["0", "1199"]
    pages: list[str] = []
    last = 0
    while page := ledger.entries(*WHERE, {State.ACCEPTED, State.ATTEMPTING}, after=last):
        pages, last = pages + [one.delivery.target for one in page], page[-1].id
    assert pages == [str(number) for number in range(1199)]


# -- the suppression list ---------------------------------------------------------------------------------------------


def test_whom_nothing_is_sent_to_is_kept_with_the_first_reason(ledger: SqliteLedger) -> None:
    ana = Suppression(" Ana@Example.COM", "email", "bounce", NOW, "email")
    ben = Suppression("+40721000000", "phone", "stop", NOW, "sms")

    assert ledger.suppress([ana, ben]) == 2
    assert ledger.suppress([ana._replace(why="asked"), ben]) == 0
    assert ledger.why_suppressed("ana@example.com ") == "bounce"
    assert list(ledger.suppressed()) == [ben, ana._replace(address="ana@example.com")]
    assert (ledger.unsuppress("ANA@example.com"), ledger.unsuppress("ANA@example.com")) == (True, False)
    assert ledger.why_suppressed("ana@example.com") is None


def test_the_list_is_read_page_by_page(ledger: SqliteLedger) -> None:
    many = [Suppression(f"+{number:05d}", "phone", "stop", NOW, "sms") for number in range(SLICE + 1)]
    ledger.suppress(many)
    assert list(ledger.suppressed()) == many


def test_who_asked_a_provider_to_stop_is_on_the_list_with_the_outcome(ledger: SqliteLedger) -> None:
    frozen(ledger, "+40721000000", "b@example.com")
    phone, mailbox = window(ledger)
    stop = Move(Event.REFUSED, "unsubscribed", "21610", refused=True, suppress="stop")
    ledger.record_many([(phone, stop), (mailbox, stop._replace(suppress="bounce"))], NOW, "ana@desk")

    assert list(ledger.suppressed()) == [
        Suppression("+40721000000", "phone", "stop", NOW, "sms"),
        Suppression("b@example.com", "email", "bounce", NOW, "sms"),
    ]


# -- locks ------------------------------------------------------------------------------------------------------------


def test_a_channel_and_the_public_ones_hold_up_neither_the_other(ledgers: Open, tmp_path: Path) -> None:
    ledger, other = ledgers(), ledgers()
    frozen(ledger, "a")
    with ledger.lock("sms"):
        with other.lock(), ledger.lock("email"):
            assert held_by(tmp_path / "outagecast.db", "sms")[1]
            assert targets(window(ledger)) == ["a"]
        with pytest.raises(ConflictError, match="is sending to sms from this ledger"), other.lock("sms"):
            pytest.fail("two send to one channel")
        assert (tmp_path / "outagecast.db.sms.lock").stat().st_mode & 0o777 == 0o600
        assert held_by(tmp_path / "outagecast.db") == ("", False)


def test_room_for_receipts_is_kept_until_the_last_lock_is_let_go(ledger: SqliteLedger) -> None:
    with ledger.lock("sms"):
        with ledger.lock():
            pass
        assert ledger._reserve._file is not None
    assert ledger._reserve._file is None


def test_a_lock_that_was_replaced_stops_every_writer(ledger: SqliteLedger, tmp_path: Path) -> None:
    frozen(ledger, "a")
    with ledger.lock("sms"), ledger.lock():
        (tmp_path / "outagecast.db.sms.lock").rename(tmp_path / "away")
        with pytest.raises(ConflictError, match="was replaced"):
            window(ledger)


# -- a ledger that was put back ---------------------------------------------------------------------------------------


def test_windows_count_for_how_far_a_ledger_is(ledger: SqliteLedger) -> None:
    frozen(ledger, "a")
    before = ledger._mark()
    window(ledger)
    assert ledger._mark().contradicts(before.ledger, before.changes) is not None
    assert before.contradicts(before.ledger, ledger._mark().changes) is None


def test_an_older_copy_puts_a_whole_crowd_in_doubt_at_once(ledger: SqliteLedger, tmp_path: Path) -> None:
    frozen(ledger, *map(str, range(SLICE + 1)))
    copy = SqliteLedger(tmp_path / "copy.db")
    ledger._db.backup(copy._db)
    copy.close()
    window(ledger)
    ledger.remember()
    ledger.close()
    (tmp_path / "copy.db").replace(tmp_path / "outagecast.db")
    for left in tmp_path.glob("outagecast.db-*"):
        left.unlink()

    with closing(SqliteLedger(tmp_path / "outagecast.db")) as older:
        older.recognise(NOW, "ben@desk")
        assert states(older) == {State.IN_DOUBT: SLICE + 1}
        (entry, *_) = older.entries(*WHERE, {State.IN_DOUBT})
        assert (entry.delivery.attempted_at, entry.attempts) == (OPENED, 1)
