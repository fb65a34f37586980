"""The words an officer reads: what a state is called, who a channel reaches, when something is."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from outagecast.audience import Rows
    from outagecast.report import ChannelReport

WORDS = {  # a delivery's state, and its colour
    "accepted": ("PUBLISHED", "green"),
    "verified": ("VERIFIED", "green"),
    "unchanged": ("UNCHANGED", "green"),
    "attempting": ("UNKNOWN", "yellow"),
    "in_doubt": ("UNKNOWN", "yellow"),
    "needs_decision": ("UNKNOWN", "yellow"),
    "mismatch": ("DIFFERENT", "red"),
    "missing": ("GONE", "red"),
    "failed": ("NOT PUBLISHED", "red"),
    "ready": ("WAITING", "cyan"),
    "superseded": ("OVERTAKEN", "cyan"),
    "expired": ("TOO OLD", "red"),
    "cancelled": ("CANCELLED", "cyan"),
    "skipped": ("SKIPPED", "cyan"),
}


def of_people(channel: ChannelReport) -> bool:
    """Whether a channel reaches people one by one."""
    from outagecast import registry

    try:
        return registry.channel_class(channel.kind).addresses is not None
    except KeyError:  # its package is gone; the ledger remembers more than the config
        return channel.counts.planned > 1


def clock(time: datetime, zone: ZoneInfo) -> str:
    """A time by the organisation's clock, with the day where it is not today."""
    from outagecast.wording import Wording

    wording = Wording("en", zone, datetime.now(zone))
    return f"{wording.moment(time)} ({wording.zone_name})"


def people(count: int) -> str:
    """``1 person``, ``10,000 people``."""
    return "1 person" if count == 1 else f"{count:,} people"


def of_rows(rows: Rows) -> dict[str, int]:
    """What became of an audience's rows that are nobody's to be told."""
    return {
        "not selected": rows.unselected,
        "twice in the file": rows.duplicates,
        "without an address": rows.without,
        "of other countries": rows.elsewhere.total(),
        "left out as bad": rows.bad,
    }


def seconds(count: int) -> str:
    """A wait as people say it."""
    if count < 120:
        return f"{count} s"
    return f"{count // 60} min" if count < 7200 else f"{count / 3600:.1f} h"


def speed(rate: float | None, left: int | None) -> str:
    """``1,840 a second, 5 min left``; empty where nobody can say."""
    if not rate:
        return ""
    told = f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
    return f"{told} a second{f', {seconds(left)} left' if left else ''}"
