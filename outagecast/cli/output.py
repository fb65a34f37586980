"""The only place that draws, asks or dumps JSON. What was sent never depends on whether it could be printed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from outagecast.errors import ExitCode, Problem
from outagecast.text import printable

if TYPE_CHECKING:
    from outagecast.app import Control, Prepared
    from outagecast.deliver import Progress
    from outagecast.report import ChannelReport, Report

_WORDS = {  # the state in an officer's words, and its colour
    "accepted": ("PUBLISHED", "green"),
    "verified": ("PUBLISHED", "green"),
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
_MOST_WIDE = 100


def write(text: str, *, err: bool = False) -> None:
    """Print a line; a closed pipe, a full disk or a narrow encoding must not stop anything."""
    stream = sys.stderr if err else sys.stdout
    with contextlib.suppress(OSError, ValueError, AttributeError):
        encoding = getattr(stream, "encoding", None) or "ascii"
        click.echo(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)


def note(text: str, *, only_if: bool = True) -> None:
    """A line for people, beside the result."""
    if only_if:
        write(printable(text), err=True)


def dump(report: Report) -> None:
    """The JSON contract, one object."""
    write(json.dumps(report.as_json(), ensure_ascii=False, indent=2))


def failure(problems: Sequence[Problem], code: ExitCode, *, wants_json: bool) -> None:
    """Why nothing was done, on standard error; with ``--json`` also as the one object."""
    if wants_json:
        from outagecast.report import Report

        dump(Report(exit_code=code, errors=problems))
    for problem in problems:
        place = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part is not None)
        hint = click.style(f"  ({problem.hint})", dim=True) if problem.hint else ""
        write(
            f"{click.style(printable(place) + ': ', bold=True) if place else ''}{printable(problem.message)}{hint}",
            err=True,
        )


def preview(prepared: Prepared, *, wants_json: bool, for_people: bool = False) -> None:
    """Every channel's exact text with its measures; on standard error where it comes before a question."""
    if wants_json:
        dump(prepared.report)
        return
    for line in _preview_lines(prepared):
        write(line, err=for_people)


def _preview_lines(prepared: Prepared) -> Iterator[str]:
    report, plan = prepared.report, prepared.plan
    name = click.style(report.incident or "", bold=True)
    yield f"{name}  update {report.update}  {report.status}  {click.style('nothing is sent yet', fg='cyan')}"
    if plan.next_update_at:
        yield f"Next update promised by {_clock(plan.next_update_at, plan.organisation.timezone)}."
    for warning in report.warnings[:3]:
        yield click.style(f"! {printable(warning)}", fg="yellow")
    for channel, planned in zip(report.channels, plan.channels, strict=True):
        yield ""
        yield from _channel_lines(channel, Counter(target.language for target in planned.targets))
    yield ""
    yield click.style(f"digest {(report.digest or '')[:12]}", dim=True)


def _channel_lines(channel: ChannelReport, readers: Counter[str]) -> Iterator[str]:
    """One channel: its heading, then each language's parts exactly as they will go out."""
    from outagecast import registry

    bulk = registry.channel_class(channel.kind).addresses is not None
    facts = [f"{sum(readers.values()):,} people"] if bulk else []
    if channel.cost:
        facts.append(f"{channel.cost.units:,} billed = {channel.cost.total:,.2f} {channel.cost.price.currency}")
    if channel.state.value not in {"ready", "skipped"} or not channel.counts.planned:
        facts.append(_WORDS[channel.state.value][0].lower())
    yield _rule(f"{channel.channel} ({channel.kind})", ", ".join(facts))
    if not channel.counts.planned:
        yield f"  {printable(channel.error or 'nothing goes out here: ' + _why_not(channel))}"
        return
    for variant in channel.variants:
        yield from _variant_lines(variant, readers[variant.language] if bulk else 0)


def _why_not(channel: ChannelReport) -> str:
    if channel.unchanged:
        return "it carries these very words already"
    return "it does not carry this status, or nothing was ever announced there"


def _variant_lines(variant: Any, people: int) -> Iterator[str]:
    from outagecast import facts, measure, registry, render

    adapter = registry.channel_class(variant.kind)
    measures = render.measures(variant.kind, variant.parts)
    for part, text in variant.parts.items():
        measured = measures[part]
        size = f"{measured.length:,} of {measured.limit:,} {measured.unit}"
        if adapter.addresses == "phone":
            sms = measure.sms(text)
            size = f"{sms.segments} of {measured.limit} segments ({sms.units} units, {sms.encoding})"
        who = f", {people:,} people" if people and part == next(iter(variant.parts)) else ""
        heading = f"  {variant.language} · {part}{who} · {size}"
        yield click.style(heading, fg="red" if measured.length > measured.limit else "cyan")
        if part in adapter.escapes and "text" in variant.parts:
            yield "    the same words, marked up"
            continue
        shown = facts.visible(text) if part in adapter.escapes else text
        for line in (printable(shown).strip() or "(the banner is taken down)").splitlines():
            yield from textwrap.wrap(line, _width() - 4, initial_indent="    ", subsequent_indent="    ") or [""]
    if variant.left_out:
        yield click.style(f"    left out: {', '.join(variant.left_out)}", dim=True)


def outcome(report: Report, zone: ZoneInfo, *, wants_json: bool) -> None:
    """What is out, what is not, what is unknown, and the one command to type next."""
    if wants_json:
        dump(report)
        return
    if report.incident is None:
        write("Nothing was ever announced from this ledger.")
        return
    for line in _outcome_lines(report, zone):
        write(line)


def _outcome_lines(report: Report, zone: ZoneInfo) -> Iterator[str]:
    yield f"{click.style(report.incident or '', bold=True)}  update {report.update}  {report.status}  LIVE"
    yield _verdict(report.channels)
    yield ""
    widest = max((len(channel.channel) for channel in report.channels), default=0)
    for channel in report.channels:
        word, colour = _WORDS[channel.state.value]
        if channel.counts.accepted and channel.state.value not in {"accepted", "verified"}:
            word = f"PARTLY, {word}" if channel.counts.planned > 1 else word
        label = click.style(f"{word:<14}", fg=colour, bold=True)
        first, *rest = _story(channel, report.update, zone) or [""]
        yield f"  {channel.channel:<{widest}}  {label} {first}".rstrip()
        for line in rest:
            yield " " * (widest + 19) + line
    if report.next_update_at and report.exit_code in {ExitCode.DONE, ExitCode.OVERDUE}:
        yield f"\nNext update promised by {_clock(report.next_update_at, zone)}."
    commands = list(dict.fromkeys(channel.next_action for channel in report.channels if channel.next_action))
    for command in commands[:3]:
        yield f"\n{click.style('Next:', bold=True)} {command}"
    if report.exit_code is not ExitCode.DONE:
        yield click.style(f"exit {int(report.exit_code)} ({report.exit_code.label.replace('_', ' ')})", dim=True)


def _verdict(channels: Sequence[ChannelReport]) -> str:
    """How many channels are out, unknown, waiting and not out, in words."""
    active = [channel for channel in channels if channel.state.value != "skipped"]
    if not active:
        return "Nothing had to go out."
    tally = Counter(
        {"yes": "published", "unknown": "unknown"}.get(channel.published, "not published") for channel in active
    )
    if tally["published"] == len(active) and all(channel.complete for channel in active):
        return f"All {len(active)} channels published." if len(active) > 1 else "Published."
    parts = [f"{tally[word]} {word}" for word in ("published", "unknown", "not published") if tally[word]]
    return f"Of {len(active)} channels: {', '.join(parts)}."


def _story(channel: ChannelReport, update: int | None, zone: ZoneInfo) -> list[str]:
    """What an officer needs to know of a channel, one thing a line."""
    counts, lines = channel.counts, []
    if counts.planned > 1:
        named = {"accepted": counts.accepted, "refused": counts.refused, "failed": counts.failed}
        named |= {"unknown": counts.in_doubt, "waiting": counts.pending}
        lines.append(
            f"{counts.planned:,} people: " + ", ".join(f"{count:,} {word}" for word, count in named.items() if count)
        )
    elif channel.published == "yes" and channel.changed_at:
        where = printable(channel.url or channel.provider_id or "")
        lines.append(f"{channel.changed_at.astimezone(zone):%H:%M:%S}  {where}".strip())
    if channel.update != update and channel.published == "yes":
        lines.append(f"carries update {channel.update}")
    if channel.state.value in {"attempting", "in_doubt", "needs_decision"}:
        lines.append("It may be live. Do not post by hand yet.")
    if channel.error:
        lines += textwrap.wrap(printable(channel.error), max(_width() - 24, 40))
    if channel.retry_after_s:
        lines.append(f"can be tried again in {channel.retry_after_s} s")
    return lines


def question(prepared: Prepared) -> str:
    """Ask whether to send: ``send``, ``edit`` or ``no``. A first announcement wants the word typed."""
    report = prepared.report
    people = sum(channel.counts.planned for channel in report.channels if channel.counts.planned > 1)
    names = ", ".join(channel.channel for channel in report.channels if channel.counts.planned)
    costs: dict[str, Decimal] = {}
    for channel in report.channels:
        if channel.cost:
            currency = channel.cost.price.currency
            costs[currency] = costs.get(currency, Decimal()) + channel.cost.total
    write("", err=True)
    live = click.style("LIVE", fg="red", bold=True)
    write(f"{live}  {report.incident}, update {report.update}, on {names or 'no channel'}", err=True)
    if people or costs:
        price = "; ".join(f"{amount:,.2f} {currency}" for currency, amount in costs.items())
        write(f"      {people:,} people one by one{f', {price}' if price else ''}", err=True)
    if report.update == 1:
        answer = click.prompt("Type send, e to edit, anything else to stop", err=True, default="", show_default=False)
        return {"send": "send", "e": "edit"}.get(answer.strip().casefold(), "no")
    return "send" if click.confirm("Send it?", err=True) else "no"


class Watch:
    """Live progress on a terminal, a line for each public channel elsewhere; and the signals that stop a run."""

    def __init__(self, channels: Sequence[ChannelReport]) -> None:
        self._planned = {channel.channel: channel.counts.planned for channel in channels}
        self._seen: dict[str, Counter[str]] = {name: Counter() for name, planned in self._planned.items() if planned}
        self._said: dict[str, str] = {}
        self._mutex = threading.Lock()
        self._control: Control | None = None
        self._live: Any = None
        self._before: dict[int, Any] = {}

    def control(self, max_time: float | None) -> Control:
        """What a run reports to and is stopped by."""
        from outagecast.app import Control

        self._control = Control(watch=self._watch, max_time=max_time)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._interrupt)
        return self._control

    def __enter__(self) -> Watch:
        if sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                console=Console(stderr=True), refresh_per_second=8, transient=True, get_renderable=self._table
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._live:
            self._live.stop()

    def _interrupt(self, number: int, _: FrameType | None) -> None:
        """First: start nothing more, let what is under way end. Second: leave now; resume will find out."""
        if self._control is None:
            return
        if self._control.stop.is_set() and number == signal.SIGINT:
            os._exit(ExitCode.INTERRUPTED)
        self._control.interrupted = ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED
        self._control.stop.set()
        note("stopping: what is under way is being finished; press Ctrl-C again to leave it in doubt")

    def _watch(self, progress: Progress) -> None:
        with self._mutex:
            seen = self._seen.setdefault(progress.channel, Counter())
            seen[progress.state.value] += 1
            self._said[progress.channel] = progress.reason or ""
        bulk = self._planned.get(progress.channel, 1) > 1
        if self._live is None and not bulk and progress.state.value != "attempting":
            word = _WORDS[progress.state.value][0].lower()
            note(f"{progress.channel}: {word}{f' ({progress.reason})' if progress.reason else ''}")

    def _table(self) -> Any:
        """The channels as they stand this moment."""
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        with self._mutex:
            for name, seen in self._seen.items():
                finished = {state: count for state, count in seen.items() if state not in {"attempting", "ready"}}
                planned = self._planned.get(name, 1)
                if planned > 1:
                    words, colour = f"{sum(finished.values()):,} of {planned:,}", "cyan"
                elif finished:
                    words, colour = _WORDS[list(finished)[-1]]
                else:
                    words, colour = ("sending", "cyan") if seen else ("waiting", "white")
                table.add_row(Text(f"  {name}"), Text(words, style=colour), Text(printable(self._said.get(name, ""))))
        return table


def _clock(time: datetime, zone: ZoneInfo) -> str:
    from outagecast.wording import Wording

    wording = Wording("en", zone, datetime.now(zone))
    return f"{wording.moment(time)} ({wording.zone_name})"


def _rule(left: str, right: str) -> str:
    """A heading across the screen."""
    bar = "─" if (getattr(sys.stdout, "encoding", "") or "").lower().replace("-", "") == "utf8" else "-"
    head = f"{bar * 2} {left} "
    tail = f" {right} {bar * 2}" if right else ""
    return click.style(f"{head}{bar * max(_width() - len(head) - len(tail), 2)}{tail}", bold=True)


def _width() -> int:
    return min(shutil.get_terminal_size((80, 24)).columns, _MOST_WIDE)
