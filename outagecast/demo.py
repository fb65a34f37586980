"""The demo's story: a made-up bank, its customers, and an outage in three statements, told to rehearsal stand-ins.

Everything in it is relative to the moment it is told, so that it always reads true. Nothing of the host is used but its
clock: the providers' secrets are made up anew, and proxies, credentials and settings in the environment are put aside.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import yaml

if TYPE_CHECKING:
    from outagecast.rehearsal import Providers

CONFIG = "outagecast.yaml"
CUSTOMERS = "customers.csv"
ZONE = ZoneInfo("Australia/Sydney")
UNSUBSCRIBED = "+61491570110"

# Numbers that no one will ever have: https://www.acma.gov.au/phone-numbers-use-tv-shows-films-and-creative-works
_NUMBERS = (
    *("570006", "570156", "570157", "570158", "570159", "570110", "570313", "570737", "571266", "571491", "571804"),
    *("572549", "572665", "572983", "573770", "573087", "574118", "574632", "575254", "575789", "576398", "576801"),
)
_NAMES = (
    *("Ana", "Ben", "Chi", "Dora", "Eli", "Fatima", "George", "Hana", "Ivan", "Jun", "Kofi", "Lena", "Mihai", "Nadia"),
    *("Omar", "Priya", "Quentin", "Rosa", "Sam", "Tara", "Uma", "Victor", "Wei", "Yusuf"),
)
_OTHERS = ("PROXY", "OUTAGECAST_", "TWILIO_")  # what libraries and we would read from the host's environment


@dataclass(frozen=True, slots=True)
class Step:
    """One statement: what happened, and the message as its file holds it."""

    name: str  # the file's
    title: str
    story: str
    facts: Mapping[str, Any]
    changed: frozenset[str] = field(default_factory=frozenset)  # the facts that the step before did not state so
    loses_an_answer: bool = False  # Facebook publishes the post, and its answer never arrives

    @property
    def written(self) -> str:
        """The message file."""
        return _yaml(self.facts)

    @property
    def news(self) -> str:
        """What is new in it, as the file writes it."""
        return _yaml({name: value for name, value in self.facts.items() if name in self.changed})


def steps(now: datetime) -> tuple[Step, ...]:
    """The story as it is told at ``now``: the first word, an update, the end."""
    minute = now.astimezone(UTC).replace(second=0, microsecond=0)  # a local time plus minutes may not exist
    started = _full_five(minute - timedelta(minutes=20))
    first: dict[str, Any] = {
        "incident": f"card-payments-{minute.astimezone(ZONE):%Y-%m-%d}",
        "status": "investigating",
        "impact": "major",
        "title": "Card payments are failing",
        "summary": "Our cards are being declined in shops and online.",
        "components": {"Card payments": "major_outage"},
        "scope": "All our cards, everywhere.",
        "started_at": _written(started),
        "cause": "unknown",
        "workaround": ["Cash machines and app transfers still work."],
        "aftermath": "A declined payment takes no money from your account.",
        "apology": {
            "short": "We're sorry, above all if you're at a till right now.",
            "long": "We're sorry. We know you rely on your card, and that being declined at a till is upsetting.",
        },
        "compensation": "If this costs you a fee, we will refund it.",
    }
    found = first | {
        "status": "identified",
        "summary": "Our cards are still being declined in shops and online.",
        "cause": "A fault in the system that approves card payments.",
        "eta": _written(_full_five(minute + timedelta(minutes=75))),
        "apology": {
            "short": "We're sorry.",
            "long": "We're sorry that this goes on. We know how it is to stand at a till and be declined.",
        },
    }
    fixed = {name: value for name, value in found.items() if name not in {"eta", "workaround"}} | {
        "status": "resolved",
        "title": "Card payments are working again",
        "summary": "You can pay by card in shops and online as usual.",
        "components": {"Card payments": "operational"},
        "ended_at": _written(minute),
        "apology": {
            "short": "We're sorry.",
            "long": "We're sorry. You rely on your card, and today it let you down.",
        },
    }
    return (
        Step(
            name="1-first-word.yaml",
            title="The first word",
            story="Cards are being declined. Nobody knows why yet, and customers should not have to wait for that.",
            facts=first,
            changed=frozenset(first),
        ),
        Step(
            name="2-cause-found.yaml",
            title="An update",
            story="The cause is found, and there is an estimate. Facebook will publish this and lose its answer.",
            facts=found,
            changed=_changed(first, found),
            loses_an_answer=True,
        ),
        Step(
            name="3-fixed.yaml",
            title="The end",
            story="Cards work again. Whoever was told of the outage is told that it is over.",
            facts=fixed,
            changed=_changed(found, fixed),
        ),
    )


def lay_out(folder: Path, providers: Providers) -> Path:
    """Write the bank's config and its customers into ``folder``; the config's path."""
    providers.twilio.unsubscribed = frozenset({UNSUBSCRIBED})
    channels = providers.config(folder)
    channels["sms"]["price"] = "0.0515 AUD"
    config = {
        "organisation": {
            "name": "Example Bank",
            "timezone": ZONE.key,
            "phone": "13 20 32",
            "status_page": "https://status.example.com",
        },
        "audiences": {"customers": {"file": CUSTOMERS}},
        "channels": channels,
    }
    (folder / CONFIG).write_text(_yaml(config), encoding="utf-8")
    (folder / CUSTOMERS).write_text("".join(_customers()), encoding="utf-8")
    return folder / CONFIG


@contextmanager
def surroundings(environment: Mapping[str, str]) -> Iterator[None]:
    """While it lasts, the environment holds ``environment`` and nothing that could lead out of this machine."""
    before = dict(os.environ)
    try:
        for name in before:
            if any(word in name.upper() for word in _OTHERS):
                del os.environ[name]
        # Nothing can be made below a device, so no compiled text is kept in the user's own folder.
        apart = dict.fromkeys(("NETRC", "XDG_CACHE_HOME", "XDG_STATE_HOME"), os.devnull)
        os.environ |= {"NO_PROXY": "*", **apart, **environment}
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _customers() -> Iterator[str]:
    """Two of them have given no phone number, one no address."""
    yield "name,phone,email,language\n"
    for index, name in enumerate(_NAMES):
        phone = f"+61491{_NUMBERS[index]}" if index < len(_NUMBERS) else ""
        yield f"{name},{phone},{'' if name == 'Ben' else f'{name.lower()}@example.com'},en\n"


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(name for name, value in after.items() if before.get(name) != value)


def _full_five(time: datetime) -> datetime:
    return time.replace(minute=time.minute - time.minute % 5)


def _written(time: datetime) -> str:
    return time.astimezone(ZONE).isoformat(timespec="minutes")


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
