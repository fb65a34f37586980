"""How times are said in each language: by the reader's clock, with a zone that nobody can mistake."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Moment:
    """One time as the reader hears it."""

    clock: str  # 6:30pm
    day: str  # Sunday 22 November
    when: str  # the clock alone on the day of writing, else with its day
    iso: str  # for machines

    def __str__(self) -> str:
        return self.when


@dataclass(frozen=True, slots=True)
class Window:
    """The time of planned work as the reader hears it; always with its day, since it is read long before."""

    start: Moment
    end: Moment
    span: str  # Sunday 29 November, 1am to 5am


@dataclass(frozen=True, slots=True)
class Wording:
    """Says times in ``language`` by the clock of ``zone``, to a reader on the day ``as_of``."""

    language: str
    zone: ZoneInfo
    as_of: datetime

    @property
    def zone_name(self) -> str:
        """The zone as people name it: by its city, since AEDT and EST each mean two things."""
        city = self.zone.key.rsplit("/", 1)[-1].replace("_", " ")
        if self.zone.key in {"UTC", "Etc/UTC", "Etc/GMT", "GMT"}:
            return "UTC"
        return f"{city} time" if self.language == "en" else city

    def moment(self, time: datetime) -> Moment:
        """``time`` as it is said; the day is named where it is not the day of writing."""
        local = time.astimezone(self.zone)
        clock, day = self._clock(local), self._day(local.date())
        if local.date() == self.as_of.astimezone(self.zone).date():
            when = clock
        else:
            when = f"{clock} on {day}" if self.language == "en" else f"{day}, {clock}"
        return Moment(clock, day, when, local.isoformat(timespec="minutes"))

    def window(self, start: datetime, end: datetime) -> Window:
        """A stretch of time; the second day is named where it is another."""
        first, last = self.moment(start), self.moment(end)
        to = "to" if self.language == "en" else "–"
        until = last.clock if last.day == first.day else f"{last.day}, {last.clock}"
        return Window(first, last, f"{first.day}, {first.clock} {to} {until}")

    def _clock(self, local: datetime) -> str:
        if self.language != "en":
            return f"{local:%H:%M}"
        if (local.hour, local.minute) in {(0, 0), (12, 0)}:
            return "midday" if local.hour else "midnight"
        # Not Babel's: it puts U+202F before "PM", which halves an SMS and counts twice on X.
        minutes = f":{local:%M}" if local.minute else ""
        return f"{local.hour % 12 or 12}{minutes}{'pm' if local.hour >= 12 else 'am'}"

    def _day(self, day: date) -> str:
        if self.language == "en":
            return f"{day:%A} {day.day} {day:%B}"
        from babel.dates import format_date

        return format_date(day, "EEEE d MMMM", locale=self.language.replace("-", "_"))


def round_up(time: datetime, step: timedelta = timedelta(minutes=5)) -> datetime:
    """``time`` moved up to the next full ``step`` of the hour: people promise quarters, not seconds."""
    excess = timedelta(minutes=time.minute, seconds=time.second, microseconds=time.microsecond) % step
    return time + (step - excess) if excess else time
