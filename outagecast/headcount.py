"""Whom each channel that reaches people would tell, out of its audience's file: counted before the first incident."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from outagecast import audience, dialling
from outagecast.audience import Rows
from outagecast.config import ChannelConfig, Config
from outagecast.errors import AudienceError, ExitCode, Problem
from outagecast.ledger import Ledger
from outagecast.report import Cost

_PROBLEM = ("file", "line", "message", "hint")
BAD_ROWS = ("file", "line", "channel", "problem")  # the columns of what is written down of the rows that cannot be used


@dataclass(frozen=True, slots=True)
class Headcount:
    """One channel's audience."""

    channel: ChannelConfig
    rows: Rows = field(default_factory=Rows)
    people: int = 0  # who would be told
    languages: Mapping[str, int] = field(default_factory=dict)
    countries: Mapping[str, int] = field(default_factory=dict)  # of phone numbers, the most frequent first
    suppressed: Mapping[str, int] = field(default_factory=dict)  # who would be told were it not for the list, by why
    problems: Sequence[Problem] = ()  # why nothing would be sent

    @property
    def cost(self) -> Cost | None:
        """What one update costs; of texts, with one segment each."""
        price = self.channel.options.price
        return Cost(self.people, price) if price else None

    @property
    def seconds(self) -> int | None:
        """How long one update takes at the channel's own rates, of texts with one segment each; None without any."""
        rates = [rate for rate in (self.channel.options.rate, self.channel.options.segment_rate) if rate]
        return math.ceil(self.people / min(rates)) if rates else None

    def as_json(self) -> dict[str, Any]:
        """The channel's object in JSON."""
        cost = self.cost
        return {
            "channel": self.channel.name,
            "audience": self.channel.options.audience,
            "people": self.people,
            "languages": dict(self.languages),
            "countries": dict(self.countries),
            "suppressed": dict(self.suppressed),
            "not_selected": self.rows.unselected,
            "without_address": self.rows.without,
            "duplicates": self.rows.duplicates,
            "other_countries": dict(self.rows.elsewhere),
            "bad_rows": self.rows.bad,
            "cost": cost and {"units": cost.units, "amount": str(cost.total), "currency": cost.price.currency},
            "seconds": self.seconds,
            "errors": [{name: getattr(problem, name) for name in _PROBLEM} for problem in self.problems],
        }


def take(channel: ChannelConfig, config: Config, ledger: Ledger | None, bad_rows: TextIO | None = None) -> Headcount:
    """Count one channel's audience; ``bad_rows`` gets every row that cannot be used, as CSV."""
    sink = _Sink(channel.name, bad_rows) if bad_rows else None
    try:
        listing = audience.of(channel, config, accept_bad_rows=True, faults=sink)
    except AudienceError as error:
        return Headcount(channel, problems=error.problems)
    roll, rows = listing.roll, listing.rows
    roll.suppress((item.address, item.why) for item in (ledger.suppressed() if ledger else ()))
    told, languages, suppressed = 0, Counter[str](), Counter[str]()
    for group in roll.groups:
        if group.suppressed:
            suppressed[group.suppressed] += group.people
        else:
            told += group.people
            languages[group.language] += group.people
    by_phone = channel.adapter.addresses == "phone"
    countries = Counter(map(dialling.country, roll.addresses())) if by_phone else Counter[str]()
    problems = listing.too_many_bad_rows
    roll.close()
    return Headcount(channel, rows, told, languages, dict(countries.most_common()), suppressed, problems)


def judge(counts: Sequence[Headcount]) -> ExitCode:
    """Whether every audience can be used."""
    return ExitCode.BAD_INPUT if any(count.problems for count in counts) else ExitCode.DONE


def as_json(counts: Sequence[Headcount]) -> dict[str, Any]:
    """The audiences as one JSON object."""
    code = judge(counts)
    return {
        "schema_version": 1,
        "exit_code": int(code),
        "exit_name": code.label,
        "audiences": [count.as_json() for count in counts],
    }


class _Sink:
    """Writes down every row that cannot be used."""

    def __init__(self, channel: str, file: TextIO) -> None:
        self._channel, self._writer = channel, csv.writer(file)

    def append(self, problem: Problem, /) -> None:
        # One cell, which begins with a quote or a number: no spreadsheet takes it for a formula.
        words = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
        self._writer.writerow((problem.file, problem.line, self._channel, words))
