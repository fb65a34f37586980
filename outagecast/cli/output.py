"""What a run would say, what it did, and why it did not; for people, and as the one JSON object."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from outagecast.cli import screen
from outagecast.cli.words import WORDS, clock, of_people, people, seconds, speed
from outagecast.errors import ExitCode, Problem
from outagecast.text import printable

if TYPE_CHECKING:
    from outagecast.dry_run import Prepared
    from outagecast.report import ChannelReport, Report

_MOST_ADVICE = 3  # lines; the rest under -v
_MOST_REFUSALS = 4  # reasons
_NOTED = {"verified": "seen", "mismatch": "noticed", "missing": "noticed"}  # what was done at the time that is shown
_UNKNOWN = {"attempting", "in_doubt", "needs_decision"}
_CHANGED_NOTHING = {ExitCode.USAGE, ExitCode.CONFLICT, ExitCode.BAD_INPUT, ExitCode.LEDGER, ExitCode.PERMISSION}
_CHANGED_NOTHING |= {ExitCode.CONFIG, ExitCode.INTERRUPTED, ExitCode.TERMINATED}


def dump(report: Report) -> None:
    """The JSON contract, one object."""
    unicode = screen.is_unicode(sys.stdout)
    screen.write(json.dumps(report.as_json(), ensure_ascii=not unicode, indent=2))


def failure(problems: Sequence[Problem], code: ExitCode, *, mode: str, wants_json: bool, was_to_send: bool) -> None:
    """Why nothing was done, on standard error; with ``--json`` also as the one object."""
    if wants_json:
        from outagecast.report import Report

        dump(Report(mode=mode, exit_code=code, errors=problems))
    explain(problems)
    if not any("outagecast " in f"{problem.message} {problem.hint}" for problem in problems):
        screen.note(f"What to do: outagecast explain {int(code)}")
    told = any("nothing was sent" in problem.message.casefold() for problem in problems)
    if was_to_send and not told and code in _CHANGED_NOTHING:
        screen.note("Nothing was sent.")


def explain(problems: Sequence[Problem]) -> None:
    """Each problem on a line: where it is, what it is, and what to do about it."""
    for problem in problems:
        place = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part is not None)
        where = click.style(f"{printable(place)}: ", bold=True) if place else ""
        hint = click.style(f"  ({printable(problem.hint)})", dim=True) if problem.hint else ""
        screen.write(f"{where}{printable(problem.message)}{hint}", err=True)


def advice(warnings: Sequence[str], *, verbose: bool) -> None:
    """What nobody should find out from the public, on standard error."""
    for line in _advice_lines(warnings, screen.width(err=True), verbose=verbose):
        screen.write(line, err=True)


def alarm(warnings: Sequence[str]) -> None:
    """What must not be overlooked, all of it, on standard error."""
    for warning in warnings:
        lines = screen.wrap(f"! {printable(warning)}", screen.width(err=True))
        screen.write("\n  ".join(click.style(line, fg="red", bold=True) for line in lines), err=True)


def _advice_lines(warnings: Sequence[str], columns: int, *, verbose: bool) -> Iterator[str]:
    shown = warnings if verbose or len(warnings) <= _MOST_ADVICE else warnings[: _MOST_ADVICE - 1]
    for warning in shown:
        first, *rest = screen.wrap(f"! {printable(warning)}", columns - 2)
        yield from (click.style(line, fg="yellow") for line in (first, *(f"  {line}" for line in rest)))
    if len(shown) < len(warnings):
        yield click.style(f"! and {len(warnings) - len(shown)} more: outagecast -v preview …", fg="yellow")


# -- before --------------------------------------------------------------------------------------------------------


def preview(prepared: Prepared, *, wants_json: bool, verbose: bool, for_people: bool = False) -> None:
    """Every channel's exact text with its measures; on standard error where it comes before a question."""
    if wants_json:
        dump(prepared.report)
        return
    from outagecast.cli import cards

    columns, wide = screen.width(err=for_people), screen.width(err=for_people, most=cards.MOST_WIDE)
    shown = (
        *_before_texts(prepared, columns, verbose=verbose),
        *cards.lines(prepared, wide, verbose=verbose),
        *_after_texts(prepared.report, columns, verbose=verbose),
    )
    for line in shown:
        screen.write(line, err=for_people)


def _head_lines(report: Report, mode: str, columns: int) -> Iterator[str]:
    """Which incident, which update, and whether it is real."""
    number = f"update {report.update}{f', corrects {report.corrects}' if report.corrects else ''}"
    name, *rest = screen.wrap(f"{report.incident}  {number}  {report.status}  {mode}", columns)
    yield click.style(name, bold=True)
    yield from rest


def _before_texts(prepared: Prepared, columns: int, *, verbose: bool) -> Iterator[str]:
    report, plan = prepared.report, prepared.plan
    yield from _head_lines(report, "PREVIEW", columns)
    if plan.next_update_at:
        said = f"Next update promised by {clock(plan.next_update_at, plan.organisation.timezone)}."
        yield from screen.wrap(said, columns)
    yield from _change_lines(report, columns, verbose=verbose)
    yield from _advice_lines(report.warnings, columns, verbose=verbose)


def _after_texts(report: Report, columns: int, *, verbose: bool) -> Iterator[str]:
    yield ""
    digest = f"digest {report.digest if verbose else (report.digest or '')[:12]}"
    gap = "  " if len(digest) + 22 <= columns else "\n"
    yield f"Nothing is sent yet.{gap}{click.style(digest, dim=True)}"


def changes(report: Report, *, verbose: bool) -> None:
    """What an update says otherwise than the one before, on standard error."""
    for line in _change_lines(report, screen.width(err=True), verbose=verbose):
        screen.write(line, err=True)


def _change_lines(report: Report, columns: int, *, verbose: bool) -> Iterator[str]:
    from outagecast.cli import changed

    if report.changes:
        yield from changed.facts(report.changes, (report.update or 1) - 1, columns, verbose=verbose)


def question(prepared: Prepared) -> str:
    """Ask whether to send: ``send``, ``edit`` or ``no``. A first announcement wants the word typed."""
    for line in _question_lines(prepared.report, screen.width(err=True)):
        screen.write(line, err=True)
    if prepared.plan.is_new and prepared.report.update == 1:
        answer = screen.ask("Type send to publish, e to edit the file, anything else to stop:")
        return {"send": "send", "e": "edit"}.get(answer, "no")
    return "send" if screen.ask("Send it? [y/N]") in {"y", "yes"} else "no"


def confirm(report: Report, word: str, purpose: str) -> bool:
    """Ask for ``word``, to be typed, once it is clear what is at stake."""
    for line in _question_lines(report, screen.width(err=True)):
        screen.write(line, err=True)
    return screen.ask(f"Type {word} to {purpose}, anything else to stop:") == word


def ask_to_edit() -> bool:
    """Ask what to do with a file that cannot be announced as it is."""
    return screen.ask("Type e to edit the file again, anything else to stop:") == "e"


def confirm_cancel(report: Report) -> bool:
    """Whether somebody wants it called off: asked with how many would never be told."""
    lines = [click.style(f"{report.incident}  update {report.update}  {report.status}", bold=True)]
    for channel in report.channels:
        told = f"{people(channel.counts.accepted)} {'has' if channel.counts.accepted == 1 else 'have'} it"
        left = people(channel.counts.pending) if channel.frozen else "everybody else"
        lines.append(f"{channel.channel}: {told}; {left} would not be told.")
    for line in lines:
        for wrapped in screen.wrap(line, screen.width(err=True)):
            screen.write(wrapped, err=True)
    return screen.ask("Call it off, for good? [y/N]") in {"y", "yes"}


def _question_lines(report: Report, columns: int) -> Iterator[str]:
    """Which incident, which channels, how many people, what it costs: only what this run would still send."""
    due = [channel for channel in report.channels if is_due(channel)]
    costs: dict[str, Decimal] = {}
    for channel in due:
        if channel.cost and channel.counts.planned:
            cost, currency = (channel.cost.total * _due(channel) / channel.counts.planned, channel.cost.price.currency)
            costs[currency] = costs.get(currency, Decimal()) + cost
    public = [channel.channel for channel in due if not of_people(channel)]
    told = [f"{channel.channel} to {people(_due(channel))}" for channel in due if of_people(channel)]
    yield ""
    live = click.style("LIVE", fg="red", bold=True)
    yield f"{live}  {report.incident}  update {report.update}  {report.status}"
    yield from screen.wrap(", ".join(public + told), columns, "      ")
    if costs:
        yield "      " + ", ".join(f"{amount:,.2f} {currency}" for currency, amount in costs.items())


def is_due(channel: ChannelReport) -> bool:
    """Whether this run would send something here, or find out about it."""
    return _due(channel) > 0


def _due(channel: ChannelReport) -> int:
    return channel.counts.pending + channel.counts.failed + channel.counts.in_doubt


# -- after ---------------------------------------------------------------------------------------------------------


def outcome(
    report: Report, zone: ZoneInfo, *, wants_json: bool, verbose: bool, label: str = "LIVE", is_status: bool = False
) -> None:
    """What is out, what is not, what is unknown, and the one command to type next; ``label`` says to whom.

    ``is_status``: through all of its updates, with the clocks; else of this run alone.
    """
    explain(report.errors)
    if wants_json:
        dump(report)
    elif report.incident is None:
        screen.write("Nothing was ever announced from this ledger.")
    else:
        lines = _status_lines if is_status and report.course else _outcome_lines
        for line in lines(report, zone, screen.width(), label, verbose=verbose):
            screen.write(line)


def _status_lines(report: Report, zone: ZoneInfo, columns: int, label: str, *, verbose: bool) -> Iterator[str]:
    from outagecast.cli import matrix

    assert report.course is not None  # noqa: S101 - for the type checker
    yield from _head_lines(report, label, columns)
    yield from screen.wrap(_verdict(report.channels), columns)
    yield ""
    yield from matrix.table(report.course, zone, columns)
    told = [channel for channel in report.channels if verbose or not _is_fine(channel) or channel.differs]
    told = [channel for channel in told if verbose or channel.state.value != "skipped"]
    widest = max((len(channel.channel) for channel in told), default=0)
    if told:
        yield ""
    for channel in told:
        yield from _state_lines(channel, report, zone, (widest, columns), verbose=verbose)
    yield ""
    yield from matrix.clocks(report.course, zone, columns)
    yield from _end_lines(report, matrix.command(report.course))


def _outcome_lines(report: Report, zone: ZoneInfo, columns: int, label: str, *, verbose: bool) -> Iterator[str]:
    yield from _head_lines(report, label, columns)
    yield from screen.wrap(_verdict(report.channels), columns)
    yield from screen.wrap(_seen(report.channels), columns)
    yield ""
    widest = max((len(channel.channel) for channel in report.channels), default=0)
    for channel in report.channels:
        yield from _state_lines(channel, report, zone, (widest, columns), verbose=verbose)
    if report.next_update_at and any(channel.published == "yes" for channel in report.channels):
        yield ""
        yield from screen.wrap(f"Next update promised by {clock(report.next_update_at, zone)}.", columns)
    yield from _end_lines(report)


def _end_lines(report: Report, otherwise: str | None = None) -> Iterator[str]:
    """How it ended, and what to type next."""
    if report.exit_code is not ExitCode.DONE:
        yield click.style(f"\nexit {int(report.exit_code)} ({report.exit_code.label.replace('_', ' ')})", dim=True)
    commands = dict.fromkeys(channel.next_action for channel in report.channels if channel.next_action)
    for number, command in enumerate(commands or ([otherwise] if otherwise else [])):
        blank = "\n" if number == 0 and report.exit_code is ExitCode.DONE else ""
        yield f"{blank}{click.style('Next:', bold=True) if number == 0 else '  or:'} {command}"


def _state_lines(
    channel: ChannelReport, report: Report, zone: ZoneInfo, layout: tuple[int, int], *, verbose: bool
) -> Iterator[str]:
    """One channel: its state in an officer's words, then the story beside it, or below on a narrow screen."""
    widest, columns = layout
    word, colour = WORDS[channel.state.value]
    if channel.sending or channel.held:
        word, colour = ("PAUSED", "yellow") if channel.held else ("SENDING", "cyan")
    elif channel.counts.accepted and not _is_fine(channel):
        word, colour = "PARTLY OUT", "yellow"
    elif word == "GONE" and of_people(channel):
        word = "NOT DELIVERED"
    label = click.style(f"{word:<13}", fg=colour, bold=True)
    story = [*_story(channel, report.update, zone, verbose=verbose), *_crowd(channel, report.incident or "", zone)]
    indent = " " * (widest + 19)
    head = f"  {channel.channel:<{widest}}  {label}"
    is_narrow = columns - len(indent) < 30
    if is_narrow:
        indent = "    "
        yield head.rstrip()
    lines = [wrapped for line in story for wrapped in screen.wrap(line, columns, indent)]
    if not is_narrow:
        yield f"{head}  {lines[0].strip() if lines else ''}".rstrip()
    yield from lines if is_narrow else lines[1:]
    if channel.difference:
        from outagecast.cli import difference

        yield from difference.lines(channel.difference, channel.kind, columns, indent)


def _is_fine(channel: ChannelReport) -> bool:
    counts, state = channel.counts, channel.state.value
    is_wholly = counts.mismatch + counts.missing == counts.accepted  # different, or gone, for everybody
    return state in {"accepted", "verified", "unchanged"} or (state in {"mismatch", "missing"} and is_wholly)


def _verdict(channels: Sequence[ChannelReport]) -> str:
    """How many channels are out, in part, unknown, waiting and not out, in words."""
    active = [channel for channel in channels if channel.state.value != "skipped"]
    if not active:
        return "Nothing had to go out."
    tally = Counter(_verdict_word(channel) for channel in active)
    if tally["published"] == len(active):
        return f"All {len(active)} channels published." if len(active) > 1 else "Published."
    (word, count), *rest = [(word, tally[word]) for word in _VERDICTS if tally[word]]
    word = "published in part" if word == "in part" else word
    if len(active) == 1:
        return f"{word.capitalize()}."
    return ", ".join([f"{count} of {len(active)} channels {word}", *(f"{more} {other}" for other, more in rest)]) + "."


_VERDICTS = ("published", "in part", "being sent", "paused", "different", "gone", "unknown", "waiting", "not published")
_SEEN = {  # what reading a channel back came to
    "seen": "as sent",
    "different": "different",
    "gone": "gone",
    "unconfirmed": "not to be seen yet",
    "failed": "not readable now",
    "impossible": "cannot be read back",
}


def _seen(channels: Sequence[ChannelReport]) -> str:
    """What reading back came to, if this run has read anything back."""
    tally = Counter(channel.read_back.value for channel in channels if channel.read_back)
    told = ", ".join(f"{tally[result]} {words}" for result, words in _SEEN.items() if tally[result])
    return f"Read back: {told}." if told else ""


def _verdict_word(channel: ChannelReport) -> str:
    if channel.held or channel.sending:
        return "paused" if channel.held else "being sent"
    if channel.differs and _is_fine(channel):
        return "gone" if channel.state.value == "missing" else "different"
    if channel.published == "yes":
        return "published" if _is_fine(channel) else "in part"
    if channel.published == "unknown":
        return "unknown"
    return "waiting" if channel.state.value == "ready" else "not published"


def _story(channel: ChannelReport, update: int | None, zone: ZoneInfo, *, verbose: bool) -> list[str]:
    """What an officer needs to know of a channel, one thing a line."""
    counts, lines = channel.counts, []
    if counts.planned and of_people(channel):
        named = {"delivered": counts.verified, "not delivered": counts.missing, "different": counts.mismatch}
        named |= {"refused": counts.refused, "failed": counts.failed - channel.unsent, "not sent": channel.unsent}
        named |= {"unknown": counts.in_doubt, "waiting": counts.pending}
        rest = "".join(f", {count:,} {word}" for word, count in named.items() if count)
        lines.append(f"accepted for {counts.accepted:,} of {people(counts.planned)}{rest}")
    elif channel.changed_at and (channel.published == "yes" or channel.differs):
        local = channel.changed_at.astimezone(zone)
        at = f"{local:%H:%M:%S}" if local.date() == datetime.now(zone).date() else f"{local:%d %b %H:%M}"
        at = f"{_NOTED[channel.state.value]} {at}" if channel.state.value in _NOTED else at
        lines.append(f"{at}  {printable(channel.url or channel.provider_id or '')}".strip())
    if channel.update != update and channel.published == "yes":
        lines.append(f"carries update {channel.update}")
    if channel.state.value in _UNKNOWN:
        may = "Some may have it." if of_people(channel) else "It may be live."
        lines.append(f"{may} Do not {'send' if of_people(channel) else 'post'} by hand yet.")
    if channel.read_back and channel.state.value == "accepted":
        lines.append(_SEEN[channel.read_back.value] + (":" if _has_more(channel) else ""))
    if _has_more(channel):
        lines.append(printable(channel.error or ""))
    if channel.deleted:
        lines.append(f"{'1 earlier post' if channel.deleted == 1 else f'{channel.deleted} earlier posts'} deleted")
    if channel.differs and not of_people(channel):
        lines.append("Look there now. To say it again, announce an update.")
    if channel.owner and channel.state.value in {"failed", "needs_decision"}:
        lines.append(f"Call: {printable(channel.owner)}")
    if channel.retry_after_s:
        when = "resume will know more" if channel.state.value == "in_doubt" else "can be tried again"
        when = "can be asked again" if channel.read_back else when
        lines.append(f"{when} in {seconds(channel.retry_after_s)}")
    if verbose:
        lines.append(f"update {channel.update}, {channel.attempts} attempts, {channel.provider_id or 'no provider id'}")
    return lines


def _crowd(channel: ChannelReport, incident: str, zone: ZoneInfo) -> Iterator[str]:
    """Of many people: how fast they are told, why some are not, who has paused it, and what can be done about it."""
    if not channel.frozen:
        yield "Not everybody who is to be told is written down yet."
    if fast := speed(channel.rate, channel.seconds_left):
        yield fast
    for refusal in channel.refusals[:_MOST_REFUSALS]:
        yield f"{refusal.count:,} refused: {printable(refusal.words)}"
    if held := channel.held:
        yield f"paused at {clock(held.at, zone)} by {printable(held.by)}: {printable(held.why)}"
        yield f"To call off the rest: outagecast cancel {incident}"
    if channel.sending:
        doing = "ends what is under way" if channel.held else "is sending it"
        yield f"{printable(channel.sending)} {doing}."
        if not channel.held:
            yield f"To stop it: outagecast pause {incident}"


def crowd(channel: ChannelReport, incident: str, zone: ZoneInfo) -> str:
    """The same in one line."""
    counts = channel.counts
    told = [f"{counts.planned - counts.pending:,} of {people(counts.planned)}"]
    told += [fast] if (fast := speed(channel.rate, channel.seconds_left)) else []
    told += [f"{counts.refused:,} refused"] if counts.refused else []
    line = f"{channel.channel}: {', '.join(told)}"
    if held := channel.held:
        at = clock(held.at, zone)
        line += f". PAUSED at {at} by {printable(held.by)}: {printable(held.why)}. Next: outagecast resume {incident}"
    return line


def _has_more(channel: ChannelReport) -> bool:
    """Whether its error says something that the screen does not say anyway."""
    if channel.state.value == "unchanged" or channel.difference:
        return False
    return channel.error not in {None, *_SEEN.values()}
