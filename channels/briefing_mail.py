"""Sends the sheet for the people who answer customers by e-mail, through your relay, to an audience of your own staff.

The mail is the relay's business, and so its promises are those of ``smtp``: only the words are others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from outagecast.channel import Carries, Limit, Line, Semantics
from outagecast.channels.smtp import LONGEST_PART, LONGEST_SUBJECT, Settings, Smtp
from outagecast.model import Delivery, Receipt


class BriefingMail:
    """One mail for each of the staff, in plain text, so that it can be printed, searched and pasted into a wiki."""

    kind: ClassVar[str] = "briefing_mail"
    parts: ClassVar[Mapping[str, Limit]] = {
        "subject": Limit(LONGEST_SUBJECT, "characters", len, Carries.NOTHING),
        "text": Limit(LONGEST_PART, "bytes", lambda part: len(part.encode(errors="replace"))),
    }
    addresses: ClassVar[Literal["phone", "email"] | None] = "email"
    escapes: ClassVar[frozenset[str]] = frozenset()
    semantics: ClassVar[Semantics] = Smtp.semantics
    imports: ClassVar[tuple[str, ...]] = Smtp.imports

    def __init__(self, settings: Settings) -> None:
        self._relay = Smtp(settings)

    @staticmethod
    def readers() -> str:
        """Who answers people."""
        return "your own people one by one, by the audience's `email`"

    @property
    def connections(self) -> int:
        """How many mails may be under way at once."""
        return self._relay.connections

    def connect(self) -> Line:
        """A connection to the relay."""
        return self._relay.connect()

    def check(self) -> None:
        """Connect, log in and say NOOP. Raises Rejected, Unavailable or ConfigError."""
        self._relay.check()

    def send(self, delivery: Delivery) -> Receipt:
        """Hand one mail to the relay."""
        return self._relay.send(delivery)

    def close(self) -> None:
        """Say goodbye on every idle connection."""
        self._relay.close()
