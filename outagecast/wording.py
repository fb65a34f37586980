"""How times and sentences are said: by the reader's clock, with a zone and a day that nobody can mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from outagecast import tongue, voice
from outagecast.tongue import Form, Tongue

_STOP = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[”’」』）]*|\n")
_NEXT = re.compile(r"[\s\"'“‘«„(「『¡¿]*(\S?)")
_INITIAL = re.compile(r"(?<![^\W_])[^\W\d_]\.$")  # of "p.m.", "z. B."
_ADDRESS = re.compile(r"https?://|www\.", re.IGNORECASE)
_ENDED = re.compile(r"[.!?…。！？]\s?[\"'”’»“‘」』)）]?$")
_IDEOGRAPH = re.compile("[\u3001-\u303f\u3400-\u9fff\uff01-\uff60]")
# After a full-width mark, and between two ideographs.
_GAP = re.compile(r"(?<=[\u3001-\u303f\uff01-\uff60])\s+(?=\S)|(?<=[\u3400-\u9fff])\s+(?=[\u3001-\u9fff\uff01-\uff60])")
_HALF_A_DAY = timedelta(hours=12)


class Moment(NamedTuple):
    """One time as the reader hears it."""

    clock: str  # 6:30pm
    day: str  # Sunday 22 November
    brief_day: str  # Sun 22 Nov
    when: str  # the clock alone on the day of writing, else with its day
    at: str  # at 6:30pm; at 11pm on Saturday 21 November
    since: str
    by: str
    until: str
    digits: str  # 18:30, for where every character counts
    iso: str  # for machines
    spoken: str = ""  # where it is heard: the clock in words, without the part of the day

    def __str__(self) -> str:
        return self.when

    @property
    def names_day(self) -> bool:
        """Whether the clock alone would be taken for another day's."""
        return self.day in self.when


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
    is_spoken: bool = False  # heard, not read: the clock is said in words

    @property
    def zone_name(self) -> str:
        """The zone as people name it: by its city, since AEDT and EST each mean two things."""
        if self.zone.key in {"UTC", "GMT", "Zulu", "Universal"} or self.zone.key.startswith("Etc/"):
            offset = f"{self.as_of.astimezone(self.zone):%z}"
            return "UTC" if offset == "+0000" else f"UTC{offset[:3]}:{offset[3:]}"
        return self._tongue.zone(self._city())

    def moment(self, time: datetime) -> Moment:
        """``time`` as it is said; the day is named where it is not the day of writing."""
        return self._moment(time.astimezone(self.zone))

    def window(self, start: datetime, end: datetime) -> Window:
        """A stretch of time that names its day, and the second one where it is another."""
        first, last = self.moment(start), self._end(end)
        one_day, two_days = self._tongue.window.one_day, self._tongue.window.two_days
        pattern = one_day if first.day == last.day else two_days
        brief = (first._replace(day=first.brief_day), last._replace(day=last.brief_day))
        return Window(first, last, self._stretched(pattern, first, last), self._stretched(pattern, *brief))

    def lasted(self, start: datetime, end: datetime) -> str:
        """A stretch of time that is over: ``from 6:30pm to 8:50pm``, with its day if that is not the day of writing."""
        first, last = self.moment(start), self.moment(end)
        today, one_day, two_days = self._tongue.lasted
        if not first.names_day and not last.names_day:
            return self._tongue.today(self._stretched(today, first, last))
        same = first.names_day and last.names_day and first.day == last.day
        return self._stretched(one_day if same else two_days, first, last)

    def duration(self, time: timedelta) -> str:
        """How long in full words, to the minute: ``2 hours 20 minutes``."""
        minutes = int(abs(time).total_seconds()) // 60
        units = (("day", minutes // 1440), ("hour", minutes // 60 % 24), ("minute", minutes % 60))
        said = [self._unit(count, unit) for unit, count in units if count]
        joined = " ".join(said or [self._unit(0, "minute")])
        return joined.replace(" ", "") if self._is("zh") else joined

    @property
    def _tongue(self) -> Tongue:
        return voice.of(self.language) if self.is_spoken else tongue.of(self.language)

    def _is(self, language: str) -> bool:
        return self.language.partition("-")[0] == language

    @property
    def _locale(self) -> str:
        """Babel's name of the language; of those that write Chinese in full characters, Hong Kong's."""
        return "zh_Hant_HK" if self._is("zh") else self.language.replace("-", "_")

    @property
    def _today(self) -> date:
        return self.as_of.astimezone(self.zone).date()

    def _moment(self, local: datetime) -> Moment:
        said, digits, day = self._tongue, self._tongue.digits(local.time()), self._day(local.date())
        clock = said.clock.format(digits)
        words = {"clock": clock, "the": said.the(digits), "day": day}
        tonight = clock == "midnight" and local.date() == self._today + timedelta(days=1)
        is_today = tonight or local.date() == self._today
        if not is_today and clock == "midnight":  # of that day's evening, most readers would think
            words["clock"] = f"midnight at the start of {day}"
            is_today = True
        elif is_today:
            words["clock"] = said.today(clock)

        def form(form: Form) -> str:
            return (form.today if is_today else form.other_day).format(**words)

        return Moment(
            clock=clock,
            day=day,
            brief_day=self._day(local.date(), brief=True),
            when=form(said.when),
            at=form(said.at),
            since=form(said.since),
            by=form(said.by),
            until=form(said.until),
            digits=f"{local:%H:%M}",
            iso=local.isoformat(timespec="seconds"),
            spoken=said.bare(clock) if said.bare else "",
        )

    def _end(self, time: datetime) -> Moment:
        """When a window ends: in English, midnight is the end of the day before it."""
        last = self.moment(time)
        if last.clock != "midnight":
            return last
        eve = time.astimezone(self.zone).date() - timedelta(days=1)
        day = self._day(eve)
        when = last.clock if eve == self._today else f"midnight at the end of {day}"
        forms = {form: f"{form} {when}" for form in ("at", "since", "by", "until")}
        return last._replace(day=day, brief_day=self._day(eve, brief=True), when=when, **forms)

    def _stretched(self, pattern: str, first: Moment, last: Moment) -> str:
        begin, finish = (datetime.fromisoformat(moment.iso) for moment in (first, last))
        start, end = (self._tongue.digits(one.time()) for one in (begin, finish))
        if first.day == last.day and finish - begin < _HALF_A_DAY:  # the night after a day is not the one before it
            start, end = self._tongue.once(start, end)
        return pattern.format(
            day=first.day,
            last_day=last.day,
            start=start,
            end=end,
            the_start=self._tongue.the(start),
            the_end=self._tongue.the(end),
            first=first.when,
            last=last.when,
        )

    def _day(self, day: date, *, brief: bool = False) -> str:
        pattern = self._tongue.brief_day if brief else self._tongue.day
        if self._is("en"):
            return f"{day:{pattern}}".format(day.day)
        from babel import UnknownLocaleError
        from babel.dates import format_date

        try:
            return format_date(day, pattern, locale=self._locale)
        except (UnknownLocaleError, ValueError):  # a language that Babel does not know
            return day.isoformat()

    def _city(self) -> str:
        """The zone's city, by its name in the language where it has one."""
        city = self.zone.key.rsplit("/", 1)[-1].replace("_", " ")
        if self._is("en"):
            return city
        from babel import UnknownLocaleError
        from babel.dates import get_timezone_location

        try:
            return get_timezone_location(self.zone, locale=self._locale, return_city=True).rsplit("/", 1)[-1]
        except (UnknownLocaleError, ValueError, LookupError):
            return city

    def _unit(self, count: int, unit: str) -> str:
        if self._is("en"):
            return f"{count} {unit}{'' if count == 1 else 's'}"
        from babel import UnknownLocaleError
        from babel.units import format_unit

        # Of Chinese, Babel has no long patterns; its short ones are whole words.
        length: Literal["short", "long"] = "short" if self._is("zh") else "long"
        try:
            return format_unit(count, f"duration-{unit}", length, locale=self._locale)
        except (UnknownLocaleError, ValueError):
            return f"{count} {unit[0]}"


def round_up(time: datetime, step: timedelta = timedelta(minutes=5)) -> datetime:
    """``time`` moved up to the next full ``step`` of the hour: people promise quarters, not seconds."""
    excess = timedelta(minutes=time.minute, seconds=time.second, microseconds=time.microsecond) % step
    return time + (step - excess) if excess else time


def sentence(text: str) -> str:
    """``text`` ended as a sentence: with a full stop of its script, unless it has an end already."""
    text = bare(text) if text.endswith("..") and not text.endswith("...") else text.rstrip(" ,;:，；：")
    if not text or _ENDED.search(text):
        return text
    return f"{text}{'。' if _IDEOGRAPH.match(text[-1]) else '.'}"


def closed_up(text: str) -> str:
    """``text`` without the spaces for which a script without spaces has no use."""
    return _GAP.sub("", text)


def quoted(text: str, language: str = "en") -> str:
    """``text`` in the language's quotation marks; its own become the inner ones."""
    opened, closed, inner_opened, inner_closed = tongue.of(language).quotes
    outer = {ord(opened[0]): inner_opened, ord(closed[-1]): inner_closed}
    pieces = text.translate(outer).split('"')
    marks = [inner_closed if number % 2 else inner_opened for number in range(len(pieces) - 1)]
    inner = "".join(piece + mark for piece, mark in zip(pieces, [*marks, ""], strict=True))
    return f"{opened}{inner}{closed}"


def opening(text: str) -> str:
    """``text`` with a capital first letter, to open a sentence."""
    return text[:1].upper() + text[1:]


def bare(text: str) -> str:
    """``text`` without its end, to stand inside a line or in a headline."""
    return text.rstrip(" .,;:。，；：")


def sentences(text: str) -> Iterator[str]:
    """The sentences of ``text``. What does not certainly end one keeps two together, which loses nothing."""
    start = 0
    for stop in _STOP.finditer(text):
        if _ends(text, stop.end()) and (sentence := text[start : stop.end()].strip()):
            yield sentence
            start = stop.end()
    if last := text[start:].strip():
        yield last


def _ends(text: str, end: int) -> bool:
    """Whether another sentence, or a link, begins after ``end``."""
    begins = _NEXT.match(text, end)
    letter = begins[1] if begins else ""
    if begins and _ADDRESS.match(text, begins.start(1)):
        return True
    is_small = letter.islower() or letter.isdigit()
    return not is_small and not _INITIAL.search(text, max(0, end - 3), end)


def first_sentence(text: str) -> str:
    """The first sentence of ``text``, all of it where it is one."""
    return next(sentences(text), text)


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
