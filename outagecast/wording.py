"""How times and sentences are said: by the reader's clock, with a zone and a day that nobody can mistake."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

# Babel's own formats have either the year or short names; English is said without Babel.
_DAYS = {"de": "EEEE, d. MMMM", "es": "EEEE d 'de' MMMM", "ro": "EEEE, d MMMM", "zh": "M月d日（EEEE）"}
_FIRST_SENTENCE = re.compile(r".+?(?:[.!?…](?=\s)|[。！？])")
_INNER_QUOTES = str.maketrans('“”"', "‘’'")
_ENDED = re.compile(r"[.!?…。！？][\"'”’»」)）]?$")


class Moment(NamedTuple):
    """One time as the reader hears it."""

    clock: str  # 6:30pm
    day: str  # Sunday 22 November
    brief_day: str  # Sun 22 Nov
    when: str  # the clock alone on the day of writing, else with its day
    iso: str  # for machines

    def __str__(self) -> str:
        return self.when

    @property
    def names_day(self) -> bool:
        """Whether the clock alone would be taken for another day's."""
        return self.when != self.clock


class Window(NamedTuple):
    """The time of planned work as the reader hears it; always with its day, since it is read long before."""

    start: Moment
    end: Moment
    span: str  # Sunday 29 November, 1am to 5am
    brief: str  # Sun 29 Nov, 1am to 5am


@dataclass(frozen=True, slots=True)
class Wording:
    """Says times in ``language`` by the clock of ``zone``, to a reader on the day ``as_of``."""

    language: str
    zone: ZoneInfo
    as_of: datetime

    @property
    def zone_name(self) -> str:
        """The zone as people name it: by its city, since AEDT and EST each mean two things."""
        if self.zone.key in {"UTC", "GMT", "Zulu", "Universal"} or self.zone.key.startswith("Etc/"):
            offset = f"{self.as_of.astimezone(self.zone):%z}"
            return "UTC" if offset == "+0000" else f"UTC{offset[:3]}:{offset[3:]}"
        city = self.zone.key.rsplit("/", 1)[-1].replace("_", " ")
        return f"{city} time" if self._english else city

    def moment(self, time: datetime) -> Moment:
        """``time`` as it is said; the day is named where it is not the day of writing."""
        local = time.astimezone(self.zone)
        clock, day = self._clock(local), self._day(local.date())
        if local.date() == self._today or (clock == "midnight" and local.date() == self._today + timedelta(days=1)):
            when = clock
        elif clock == "midnight":  # of that day's evening, most readers would think
            when = f"midnight at the start of {day}"
        else:
            when = f"{clock} on {day}" if self._english else f"{day}, {clock}"
        return Moment(clock, day, self._day(local.date(), brief=True), when, local.isoformat(timespec="minutes"))

    def window(self, start: datetime, end: datetime) -> Window:
        """A stretch of time that names its day, and the second one where it is another."""
        first, last = self.moment(start), self._end(end)
        return Window(
            first,
            last,
            self._span(first, last, first.day, last.day),
            self._span(first, last, first.brief_day, last.brief_day),
        )

    def lasted(self, start: datetime, end: datetime) -> str:
        """A stretch of time that is over: ``from 6:30pm to 8:50pm``, with its day if that is not the day of writing."""
        first, last = self.moment(start), self.moment(end)
        if not self._english:
            return f"{first} – {last}"
        if first.names_day and last.names_day and first.day == last.day:
            return f"from {first.clock} to {last}"
        return f"from {first} to {last}"

    @property
    def _english(self) -> bool:
        return self.language.partition("-")[0] == "en"

    @property
    def _today(self) -> date:
        return self.as_of.astimezone(self.zone).date()

    def _end(self, time: datetime) -> Moment:
        """When a window ends: midnight is the end of the day before it."""
        last = self.moment(time)
        if not self._english or last.clock != "midnight":
            return last
        eve = time.astimezone(self.zone).date() - timedelta(days=1)
        day = self._day(eve)
        when = last.clock if eve == self._today else f"midnight at the end of {day}"
        return Moment(last.clock, day, self._day(eve, brief=True), when, last.iso)

    def _span(self, first: Moment, last: Moment, first_day: str, last_day: str) -> str:
        to = "to" if self._english else "–"
        if first_day == last_day:
            return f"{first_day}, {first.clock} {to} {last.clock}"
        if self._english:
            return f"{first.clock} on {first_day} to {last.clock} on {last_day}"
        return f"{first_day}, {first.clock} – {last_day}, {last.clock}"

    def _clock(self, local: datetime) -> str:
        if not self._english:
            return f"{local:%H:%M}"
        if (local.hour, local.minute) in {(0, 0), (12, 0)}:
            return "midday" if local.hour else "midnight"
        # Not Babel's: it puts U+202F before "PM", which halves an SMS and counts twice on X.
        minutes = f":{local:%M}" if local.minute else ""
        return f"{local.hour % 12 or 12}{minutes}{'pm' if local.hour >= 12 else 'am'}"

    def _day(self, day: date, *, brief: bool = False) -> str:
        if self._english:
            return f"{day:%a} {day.day} {day:%b}" if brief else f"{day:%A} {day.day} {day:%B}"
        from babel import UnknownLocaleError
        from babel.dates import format_date

        pattern = _DAYS.get(self.language.partition("-")[0], "EEEE d MMMM")
        if brief:
            pattern = pattern.replace("EEEE", "EEE").replace("MMMM", "MMM")
        try:
            return format_date(day, pattern, locale=self.language.replace("-", "_"))
        except (UnknownLocaleError, ValueError):  # a language that Babel does not know
            return day.isoformat()


def round_up(time: datetime, step: timedelta = timedelta(minutes=5)) -> datetime:
    """``time`` moved up to the next full ``step`` of the hour: people promise quarters, not seconds."""
    excess = timedelta(minutes=time.minute, seconds=time.second, microseconds=time.microsecond) % step
    return time + (step - excess) if excess else time


def sentence(text: str) -> str:
    """``text`` ended as a sentence: with a full stop, unless it has an end already."""
    text = bare(text) if text.endswith("..") and not text.endswith("...") else text.rstrip(" ,;:")
    return text if not text or _ENDED.search(text) else f"{text}."


def quoted(text: str) -> str:
    """``text`` in quotation marks; its own become single ones."""
    return f"“{text.translate(_INNER_QUOTES)}”"


def opening(text: str) -> str:
    """``text`` with a capital first letter, to open a sentence."""
    return text[:1].upper() + text[1:]


def bare(text: str) -> str:
    """``text`` without its end, to stand inside a line or in a headline."""
    return text.rstrip(" .,;:。")


def first_sentence(text: str) -> str:
    """The first sentence of ``text``, all of it where it is one."""
    found = _FIRST_SENTENCE.match(text)
    return found.group() if found else text


def span(time: timedelta) -> str:
    """How long, in full units: ``95 s``, ``12 min``, ``2 h 5 min``, ``3 days``."""
    seconds = int(abs(time).total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
    return f"{minutes // (24 * 60)} days"
