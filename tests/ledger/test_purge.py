"""What becomes of addresses: hashes that only this machine can make again, and counts that stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from outagecast.errors import LedgerError
from outagecast.ledger import Event, Move, Opening, Purged, Update
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.model import Receipt, State, Status, Variant

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
DAY = timedelta(days=1)
UPDATE = Update("cards", 1, Status.RESOLVED, "f", "{}", "d", NOW, "ana@desk")
PEOPLE = [f"+6149157{number:04d}" for number in range(3000)]
WHERE = ("cards", 1, "sms")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outagecast.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    with closing(SqliteLedger(path)) as ledger:
        yield ledger


def words(channel: str) -> Variant:
    return Variant(channel, channel, "en", {"text": "Cards fail."}, 1, "en/x.text.j2", (), ())


def told(ledger: SqliteLedger, update: Update = UPDATE, people: list[str] = PEOPLE) -> None:
    """Everybody was told, but for one who was refused, one in doubt and one who is unsent."""
    where = (update.incident, update.number, "sms")
    ledger.open(update, [words("x"), words("sms")], [Opening("x", "", "en", State.READY, None, None)])
    entry = ledger.claim(*where[:2], "x", NOW, "ana@desk")
    assert entry
    ledger.move(entry, Move(Event.RECEIPT, receipt=Receipt("77")), NOW, "ana@desk")
    ready = (Opening("sms", target, "en", State.READY, None, NOW + DAY / 4) for target in people)
    ledger.freeze(update, "sms", ready)
    first, second, *rest = ledger.claim_window(*where, len(people) - 1, NOW, "ana@desk")
    moves = [(one, Move(Event.RECEIPT, receipt=Receipt("SM" + one.delivery.target))) for one in rest]
    refused = Move(Event.REFUSED, f"{first.delivery.target} is no number", refused=True)
    ledger.record_many([*moves, (first, refused), (second, Move(Event.LOST))], NOW, "ana@desk")


def kept(path: Path) -> bytes:
    """All that is on the disk beside the ledger."""
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_addresses_become_hashes_and_counts_remain(ledger: SqliteLedger, path: Path) -> None:
    told(ledger)
    before = {item.state: item.count for item in ledger.tallies("cards", 1)}
    assert PEOPLE[7].encode() in kept(path)

    assert ledger.purge(NOW + DAY, NOW + 2 * DAY) == Purged(("cards",), 3000)

    found = kept(path)
    assert not [target for target in PEOPLE if target.encode() in found]
    after = {item.state: item.count for item in ledger.tallies("cards", 1)}
    assert after == {State.EXPIRED: before.pop(State.READY), **before}
    (refused,) = ledger.entries(*WHERE, {State.FAILED})
    assert (refused.delivery.target[0], refused.reason, refused.refused) == ("#", None, True)
    (public,) = ledger.entries("cards", 1, "x", {State.ACCEPTED})
    assert public.receipt == Receipt("77")


def test_nothing_is_ever_sent_to_a_hash(ledger: SqliteLedger) -> None:
    told(ledger, people=PEOPLE[:5])
    ledger.purge(NOW + DAY, NOW + 2 * DAY)
    (doubtful,) = ledger.entries(*WHERE, {State.IN_DOUBT})
    ledger.move(doubtful, Move(Event.EXHAUSTED), NOW + 2 * DAY, "ana@desk")
    (doubtful,) = ledger.entries(*WHERE, {State.NEEDS_DECISION})
    ledger.move(doubtful, Move(Event.SETTLED_RESEND), NOW + 2 * DAY, "ana@desk")

    assert ledger.claim_window(*WHERE, 9, NOW + 2 * DAY, "ana@desk") == []
    assert list(ledger.told("cards", "sms")) == []
    assert [one.channel for one in ledger.reached("cards")] == ["x"]


def test_the_same_person_has_the_same_hash_in_every_incident_of_one_ledger(
    ledger: SqliteLedger, path: Path, tmp_path: Path
) -> None:
    def hashes(one: SqliteLedger, incident: str) -> list[str]:
        return [entry.delivery.target for entry in one.entries(incident, 1, "sms", set(State))]

    told(ledger, people=PEOPLE[:5])
    told(ledger, replace(UPDATE, incident="app"), PEOPLE[:5])
    ledger.purge(NOW + DAY, NOW + 2 * DAY)
    (tmp_path / "elsewhere").mkdir()
    with closing(SqliteLedger(tmp_path / "elsewhere" / "outagecast.db")) as other:
        told(other, people=PEOPLE[:5])
        other.purge(NOW + DAY, NOW + 2 * DAY)
        assert not set(hashes(ledger, "cards")) & set(hashes(other, "cards"))

    assert hashes(ledger, "cards") == hashes(ledger, "app")
    key = path.with_name("outagecast.db.key")
    assert (key.stat().st_mode & 0o777, key.stat().st_size) == (0o600, 32)


def test_only_what_is_over_for_long_enough_is_purged(ledger: SqliteLedger) -> None:
    told(ledger, people=PEOPLE[:5])
    told(ledger, replace(UPDATE, incident="open", status=Status.MONITORING), PEOPLE[:5])
    told(ledger, replace(UPDATE, incident="young", opened_at=NOW + DAY), PEOPLE[:5])
    told(ledger, replace(UPDATE, incident="reopened"), PEOPLE[:5])
    again = replace(UPDATE, incident="reopened", number=2, fingerprint="g", status=Status.INVESTIGATING)
    ledger.open(again, [words("x")], [])

    assert ledger.purge(NOW + DAY, NOW + 2 * DAY, dry_run=True) == Purged(("cards",), 5)
    assert ledger.purge(NOW + DAY, NOW + 2 * DAY) == Purged(("cards",), 5)
    assert ledger.purge(NOW + DAY, NOW + 2 * DAY) == Purged()


def test_what_is_still_being_sent_is_kept(ledger: SqliteLedger) -> None:
    told(ledger, people=PEOPLE[:5])
    early = NOW + timedelta(hours=1)
    assert ledger.purge(early, early) == Purged(kept=("cards",))  # the last one may still be sent
    ledger.claim_window(*WHERE, 9, early, "ana@desk")
    assert ledger.purge(NOW + DAY, NOW + 2 * DAY) == Purged(kept=("cards",))  # or is being sent for long
    assert len(list(ledger.told("cards", "sms"))) == 5


def test_a_purge_that_was_cut_short_is_finished_by_the_next(ledger: SqliteLedger) -> None:
    told(ledger)
    hashed = ledger._purge_slice

    def cut(*args: Any) -> int:
        if states:
            raise LedgerError
        states.append(State.ACCEPTED)
        return hashed(*args)

    states: list[State] = []
    ledger._purge_slice = cut  # type: ignore[method-assign, assignment]
    with pytest.raises(LedgerError):
        ledger.purge(NOW + DAY, NOW + 2 * DAY)
    some = [entry.delivery.target for entry in ledger.entries(*WHERE, {State.ACCEPTED})]
    assert all(target.startswith("#") for target in some)
    assert list(ledger.told("cards", "sms")) == []
    del ledger._purge_slice

    assert ledger.purge(NOW + DAY, NOW + 2 * DAY).incidents == ("cards",)
    assert [entry.delivery.target for entry in ledger.entries(*WHERE, {State.ACCEPTED})] == some
    assert not ledger._db.execute("SELECT 1 FROM delivery WHERE target LIKE '+%'").fetchone()
    assert ledger.purge(NOW + DAY, NOW + 2 * DAY) == Purged()


def test_a_key_that_is_none_is_told_in_words(ledger: SqliteLedger, path: Path) -> None:
    told(ledger, people=PEOPLE[:5])
    path.with_name("outagecast.db.key").write_bytes(b"short")
    with pytest.raises(LedgerError, match=r"outagecast\.db\.key holds no key"):
        ledger.purge(NOW + DAY, NOW + 2 * DAY)
