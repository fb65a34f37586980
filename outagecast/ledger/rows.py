"""Rows of the ledger's tables as the nouns they stand for, and back."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from hashlib import blake2b

from outagecast.ledger import Entry, Update
from outagecast.model import Delivery, Receipt, State, Status, posts


def to_update(row: sqlite3.Row) -> Update:
    return Update(
        incident=row["incident"],
        number=row["number"],
        status=Status(row["status"]),
        fingerprint=row["fingerprint"],
        written=row["written"],
        digest=row["digest"],
        opened_at=moment(row["opened_at"]),
        opened_by=row["opened_by"],
        started_at=maybe(row["started_at"]),
        next_update_at=maybe(row["next_update_at"]),
        corrects=row["corrects"],
    )


def from_update(update: Update) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(update, name) for name in Update.__slots__}
    return {name: stamp(value) if isinstance(value, datetime) else value for name, value in values.items()}


class Keys:
    """The keys of an update's deliveries on a channel: of the same words to the same target always the same, whatever
    ledger they were drawn in.
    """

    def __init__(self, incident: str, number: int, channel: str) -> None:
        self._number = number
        self._begun = blake2b(f"{incident}\0{channel}\0".encode(), digest_size=16)

    def of(self, target: str, language: str, digest: str) -> str:
        """That of one delivery. ``digest``: of its variant."""
        key = self._begun.copy()  # of a million, what they share is taken in once
        key.update(f"{target}\0{language}\0{digest}\0{self._number}".encode())
        return key.hexdigest()


def to_entry(row: sqlite3.Row) -> Entry:
    return Entry(
        id=row["id"],
        channel=row["channel"],
        state=State(row["state"]),
        attempts=row["attempts"],
        replays=row["replays"],
        changed_at=moment(row["changed_at"]),
        refused=bool(row["refused"]),
        reason=row["reason"],
        code=row["code"],
        not_before=maybe(row["not_before"]),
        receipt=Receipt(row["provider_id"], row["url"], row["detail"]) if row["provider_id"] else None,
        delivery=Delivery(
            key=Keys(row["incident"], row["number"], row["channel"]).of(row["target"], row["language"], row["words"]),
            incident=row["incident"],
            update=row["number"],
            status=Status(row["update_status"]),
            target=row["target"],
            language=row["language"],
            parts=parts_of(row),
            opened_at=moment(row["update_opened_at"]),
            attempted_at=maybe(row["attempted_at"]),
            expires_at=maybe(row["expires_at"]),
            thread=Receipt(row["thread_id"]) if row["thread_id"] else None,
            edits=Receipt(row["edits"]) if row["edits"] else None,
        ),
    )


def parts_of(row: sqlite3.Row) -> dict[str, str]:
    """The words of one delivery: a thread's second post has those that are named for it."""
    its = posts(json.loads(row["parts"]))
    return its[row["target"]] if row["target"] in its else its[""]


def stamp(time: datetime | None) -> str | None:
    """UTC, of fixed width, so that stamps sort as text."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if time else None


def moment(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)


def maybe(stamp: str | None) -> datetime | None:
    return moment(stamp) if stamp else None
