"""Draws what every channel would say: a card for each text, side by side where the screen is wide enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import click

from outagecast.cli import screen
from outagecast.cli.words import WORDS, of_people, of_rows, people
from outagecast.text import printable

if TYPE_CHECKING:
    from outagecast.audience import Audience
    from outagecast.dry_run import Prepared
    from outagecast.model import Variant
    from outagecast.plan import PlannedChannel
    from outagecast.report import ChannelReport

MOST_WIDE = 240  # columns of the whole picture
_LEAST, _MOST = 58, 100  # columns of one card that read well
_GAP = 2

Card: TypeAlias = "list[str]"


def lines(prepared: Prepared, columns: int, *, verbose: bool) -> Iterator[str]:
    """Every channel, in the plan's order. One of several languages has them side by side, below its own heading."""
    channels = [
        _Channel(report, planned, verbose)
        for report, planned in zip(prepared.report.channels, prepared.plan.channels, strict=True)
    ]
    most = max([len(channels), *(len(channel.said) for channel in channels)])
    abreast = max(1, min(most, (columns + _GAP) // (_LEAST + _GAP)))
    width = min(_MOST, (columns + _GAP) // abreast - _GAP)
    alone: list[Card] = []  # of channels that say one thing; they share a row
    for channel in channels:
        cards = channel.cards(width)
        if len(cards) == 1:
            alone.append([*channel.heading(width), *cards[0]])
        else:
            yield from _rows(alone, abreast, width)
            alone = []
            yield from ("", *channel.heading(abreast * (width + _GAP) - _GAP))
            rows = _rows(cards, abreast, width)
            next(rows)  # no blank line below the heading
            yield from rows
    yield from _rows(alone, abreast, width)


def _rows(cards: Sequence[Card], abreast: int, width: int) -> Iterator[str]:
    """Cards side by side, a blank line above each row; below one another where one has an address that is too long."""
    for first in range(0, len(cards), abreast):
        row = cards[first : first + abreast]
        if any(screen.cells(line) > width for card in row for line in card):
            yield from (line for card in row for line in ("", *card))
        else:
            yield ""
            yield from _beside(row, width)


def _beside(row: Sequence[Card], width: int) -> Iterator[str]:
    for number in range(max(map(len, row))):
        cells = [card[number] if number < len(card) else "" for card in row]
        padded = [f"{cell}{' ' * (width - screen.cells(cell) + _GAP)}" for cell in cells[:-1]]
        yield "".join([*padded, cells[-1]]).rstrip()


class _Channel(NamedTuple):
    """One channel, and what it would say."""

    report: ChannelReport
    planned: PlannedChannel
    verbose: bool

    @property
    def said(self) -> Sequence[Variant]:
        """The texts that would go out; none where nothing does."""
        return self.report.variants if self.report.counts.planned else ()

    @property
    def _readers(self) -> Counter[str]:
        return self.planned.readers

    def heading(self, columns: int) -> Card:
        """Its name; on the right how many people, what it costs, and what is unusual about it."""
        report, facts = self.report, []
        if of_people(report):
            facts.append(people(report.counts.planned or self._readers.total()))
        if report.cost:
            facts.append(f"{report.cost.units:,} billed = {report.cost.total:,.2f} {report.cost.price.currency}")
        if report.state.value not in {"ready", "skipped"}:
            facts.append(WORDS[report.state.value][0].lower())
        if self.planned.edits:
            facts.append("edits the earlier post")
        kind = f" ({report.kind})" if report.kind != report.channel else ""
        head = screen.rule(f"{report.channel}{kind}", ", ".join(facts), columns).splitlines()
        if self.verbose and self.planned.audience:
            head += _audience_lines(self.planned.audience, columns)
        return head

    def cards(self, columns: int) -> list[Card]:
        """A card for each language; one that says why, where nothing goes out."""
        if not self.said:
            return [screen.wrap(f"Nothing goes out here: {_why_not(self.report)}.", columns, "  ")]
        return [list(self._card(variant, columns)) for variant in self.said]

    def _card(self, variant: Variant, columns: int) -> Iterator[str]:
        readers = self._readers
        who = people(readers[variant.language]) if of_people(self.report) and len(readers) > 1 else ""
        said = " · ".join(filter(None, [_language(variant), who, _completeness(variant)]))
        yield from (click.style(line, fg="cyan") for line in screen.wrap(said, columns, "  "))
        for part in variant.parts:
            yield from self._part_lines(variant, part, columns)
        if self.verbose:
            said = f"from {variant.source}; states {', '.join(variant.carried)}"
            yield from _dim(said, columns)

    def _part_lines(self, variant: Variant, part: str, columns: int) -> Iterator[str]:
        """How long a part is, its words as they will go out, and what is new in them."""
        from outagecast import facts, registry, render, spelling
        from outagecast.cli import changed
        from outagecast.model import first_of

        is_markup = part in registry.channel_class(variant.kind).escapes
        text = variant.parts[part]
        yield from (click.style(line, bold=True) for line in screen.wrap(_size(variant, part), columns, "  "))
        if is_markup and "text" in variant.parts:
            yield "    the same words, marked up"
            return
        if registry.channel_class(variant.kind).parts[first_of(part)].for_programs:
            yield "    the facts, for programs"
            return
        shown = facts.visible(text) if is_markup else text
        if is_markup:
            shown = "\n".join(line for line in shown.splitlines() if line.strip())
        for line in (printable(shown).strip() or "(nothing: it is taken down)").splitlines():
            yield from screen.wrap(line, columns, "    ") or [""]
        if spelled := spelling.of(variant).get(part):
            measured = render.measures(variant.kind, variant.parts, variant.language)[part]
            yield from _dim(spelled.words(measured.length, measured.unit), columns)
        before = self.report.previous.get(variant.language)
        if before and part in before.parts:
            was = facts.visible(before.parts[part]) if is_markup else before.parts[part]
            yield from changed.words(was, shown, before.update, columns, verbose=self.verbose)


def _language(variant: Variant) -> str:
    from outagecast import language

    return language.name(variant.language)


def _completeness(variant: Variant) -> str:
    """Which of the message's facts a text leaves out, and who wrote it if no template did; empty of an empty text."""
    if not any(variant.parts.values()):
        return ""
    from outagecast import ladder

    said = f"left out: {', '.join(variant.left_out)}" if variant.left_out else "says everything"
    if not variant.rung:
        return f"written by hand · {said}"
    return f"rung {variant.rung} of {ladder.RUNGS}, {said}" if variant.rung > 1 else said


def _size(variant: Variant, part: str) -> str:
    """A part's length as its network counts it."""
    from outagecast import measure, registry, render

    measured = render.measures(variant.kind, {part: variant.parts[part]}, variant.language)[part]
    if registry.channel_class(variant.kind).addresses == "phone":
        sms = measure.sms(variant.parts[part])
        return f"{part} · {sms.segments} of {measured.limit} segments ({sms.units} units, {sms.encoding})"
    return f"{part} · {measured.length:,} of {measured.limit:,} {measured.unit}"


def _audience_lines(audience: Audience, columns: int) -> list[str]:
    """What became of the rows of the audience's file."""
    told = ", ".join(f"{count:,} {words}" for words, count in of_rows(audience.rows).items() if count)
    said = f"audience: {people(audience.people)}{f'; {told}' if told else ''}"
    return screen.wrap(said, columns, "  ")


def _why_not(channel: ChannelReport) -> str:
    if channel.unchanged:
        of_which = max((words.update for words in channel.previous.values()), default=None)
        return f"it carries these very words already{f', as update {of_which}' if of_which else ''}"
    if not channel.counts.skipped:
        return "there is nobody to tell"
    return channel.error or "it does not carry this status, or nothing was ever announced there"


def _dim(text: str, columns: int) -> Iterator[str]:
    return (click.style(line, dim=True) for line in screen.wrap(text, columns, "    "))
