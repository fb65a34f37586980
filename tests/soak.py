"""A bulk send whose process is killed again and again: ``make soak``, or ``python -m tests.soak --people N --kills N``.

The real command line texts and mails everybody, against stand-ins that count by recipient and lose some of their
answers, from an audience with some bad rows. In the end nobody was left out, nobody has two texts, and two mails to one
person are under one Message-ID, so that a mail reader folds them into one.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from outagecast import config
from outagecast.app import App
from outagecast.clock import Clock
from outagecast.errors import ExitCode
from outagecast.ledger import Event, every_entry
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.model import State
from tests.bench import desk
from tests.bench.sinks import Hosted, MailSink, Sink, TwilioSink

DOUBTFUL, BAD = 0.01, 0.001
LONGEST = 120.0  # seconds that a process may go on while nobody more is reached
TRIES = 5  # runs after the last kill, and rounds of a person's decisions


class Soak(NamedTuple):
    """What is asked for."""

    people: int
    kills: int = 14
    seed: int = 0
    delay: float = 0.02  # seconds that the stand-ins take to answer


class Result(NamedTuple):
    """What became of it; each mapping by channel."""

    kills: int
    reached: Mapping[str, int]  # people
    again: Mapping[str, int]  # copies beyond each one's first
    in_doubt: Mapping[str, int]  # people for whom a person was asked to decide
    broken: Sequence[str]  # promises, in words


def soak(folder: Path, asked: Soak, tell: Callable[[str], None] = lambda _: None) -> Result:
    """Announce, kill, go on, kill …, and count."""
    bad = max(1, round(asked.people * BAD))
    bank = desk.Desk(folder)
    bank.write_message()
    bank.write_audience(asked.people, bad)
    texts, mails = TwilioSink(asked.delay, DOUBTFUL), MailSink(asked.delay, DOUBTFUL)
    sinks: Mapping[str, Sink] = {"sms": texts, "email": mails}
    with Hosted(texts) as twilio, Hosted(mails) as relay:
        bank.configure({"sms": desk.twilio_at(twilio.port, 8), "email": desk.smtp_at(relay.port, 16)})
        kills = _kill_all_along(bank, asked, sinks, tell)
        code = _finish(bank)
        tell(f"then on to its end: exit {code}")
        told = left = {name: _in_doubt(bank, name) for name in sinks}
        for _ in range(TRIES):  # the answer to what is sent again may be lost as well
            if any(left.values()):
                _decide(bank, left, sinks)
                code = _finish(bank)
                left = {name: _in_doubt(bank, name) for name in sinks}
                tell(f"a person decided what was in doubt: exit {code}")
    broken = [
        *_judged(texts, [desk.phone(number) for number in range(asked.people)], left["sms"], most=1),
        *_judged(mails, [desk.email(number) for number in range(asked.people)], left["email"], most=2),
    ]
    if kills < asked.kills:
        broken.append(f"only {kills} of {asked.kills} kills struck: it was over too soon")
    if code or any(left.values()):
        still = sum(map(len, left.values()))
        broken.append(f"it ended with exit {code}, and {still} are in doubt\n{bank.said[-2000:]}")
    return Result(
        kills,
        {name: len(sink.taken) for name, sink in sinks.items()},
        {name: sink.count - len(sink.taken) for name, sink in sinks.items()},
        {name: len(its) for name, its in told.items()},
        broken,
    )


def _kill_all_along(bank: desk.Desk, asked: Soak, sinks: Mapping[str, Sink], tell: Callable[[str], None]) -> int:
    """Run it so many times and kill it each time, first before anybody is reached; how many kills struck."""
    rolls = random.Random(asked.seed)  # noqa: S311 - it has to be repeatable
    moments = sorted(rolls.randrange(1, round(asked.people * 1.8)) for _ in range(asked.kills - 1))
    struck = 0
    for least in (0, *moments):
        # What was not opened yet can only be announced; what was may be finished either way.
        verb = "resume" if _count(sinks) and rolls.random() < 0.5 else "announce"
        with _going(bank, verb) as process:
            _wait(process, lambda least=least: _count(sinks) >= least, sinks)  # type: ignore[misc]
            time.sleep(rolls.uniform(0.0, 0.1) if least else rolls.uniform(0.3, 0.8))
            struck += process.poll() is None
        tell(f"{verb} killed after {sinks['sms'].count:,} texts and {sinks['email'].count:,} mails")
    return struck


def _finish(bank: desk.Desk) -> int:
    """Resume until nothing is left to do that a machine may do; the last exit code."""
    code = int(ExitCode.PENDING)
    for _ in range(TRIES):
        with _going(bank, "resume") as process:
            code = process.wait(LONGEST)
        if code in {ExitCode.DONE, ExitCode.IN_DOUBT}:
            break
    return code


@contextmanager
def _going(bank: desk.Desk, verb: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the command line, killed at the end unless it has ended."""
    arguments = ["resume", desk.INCIDENT]
    if verb == "announce":
        arguments = ["announce", str(bank.folder / f"{desk.INCIDENT}.yaml"), "--yes", "--accept-bad-rows"]
    with bank.start(*arguments) as process:
        try:
            yield process
        finally:
            process.kill()  # SIGKILL


def _wait(process: subprocess.Popen[bytes], done: Callable[[], bool], sinks: Mapping[str, Sink]) -> None:
    """Wait until ``done``, or it has ended. Raises TimeoutError where nothing happens any more."""
    last, since = -1, time.monotonic()
    while process.poll() is None and not done():
        if (now := _count(sinks)) != last:
            last, since = now, time.monotonic()
        if time.monotonic() - since > LONGEST:
            raise TimeoutError(f"nobody was reached for {LONGEST:g} seconds")
        time.sleep(0.002)


def _count(sinks: Mapping[str, Sink]) -> int:
    return sum(sink.count for sink in sinks.values())


def _in_doubt(bank: desk.Desk, channel: str) -> set[str]:
    """Whom the ledger says to be in doubt."""
    ledger = SqliteLedger(bank.ledger)
    try:
        entries = every_entry(ledger, desk.INCIDENT, 1, channel, {State.IN_DOUBT, State.NEEDS_DECISION})
        return {entry.delivery.target for entry in entries}
    finally:
        ledger.close()


class _Later(Clock):
    """The clock on a person's wall, who may decide once what was sent has had its time to appear."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=2)


def _decide(bank: desk.Desk, doubts: Mapping[str, Collection[str]], sinks: Mapping[str, Sink]) -> None:
    """What a person does who sees at the provider what was taken."""
    office = App(config.load(bank.folder / "outagecast.yaml"), "soak", _Later())
    try:
        for channel, targets in doubts.items():
            for target in targets:
                is_out = target in sinks[channel].taken
                event = Event.SETTLED_PUBLISHED if is_out else Event.SETTLED_RESEND
                office.settle(desk.INCIDENT, channel, event, url=None, target=target)
    finally:
        office.close()


def _judged(sink: Sink, people: Sequence[str], in_doubt: Collection[str], *, most: int) -> Iterator[str]:
    """Each promise that was broken, in words."""
    kind = type(sink).__name__
    if never := [one for one in people if one not in sink.taken and one not in in_doubt]:
        yield f"{kind}: {len(never)} were never reached, and nobody was told, such as {never[0]}"
    if too_often := [one for one, ids in sink.taken.items() if len(ids) > most]:
        yield f"{kind}: {len(too_often)} have more than {most}, such as {too_often[0]}"
    if apart := [one for one, ids in sink.taken.items() if most > 1 and len(set(ids)) > 1]:
        yield f"{kind}: {len(apart)} have two that nothing tells to be one, such as {apart[0]}"
    if strangers := sink.taken.keys() - set(people):
        yield f"{kind}: {len(strangers)} were never meant, such as {next(iter(strangers))}"


def main(arguments: Sequence[str]) -> int:
    """Soak, and print what became of it; 1 where a promise is broken."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--people", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args(arguments)
    asked = Soak(given.people, given.kills, given.seed, delay=0.005)
    sys.stdout.write(f"{asked}\n")
    with tempfile.TemporaryDirectory() as folder:
        result = soak(Path(folder), asked, lambda line: (sys.stdout.write(f"  {line}\n"), sys.stdout.flush())[1])
    sys.stdout.write(
        f"{result.kills} kills; people reached: {dict(result.reached)}; copies beyond the first: {dict(result.again)}; "
        f"left to a person: {dict(result.in_doubt)}\n"
    )
    sys.stdout.write("".join(f"BROKEN: {words}\n" for words in result.broken) or "Every promise was kept.\n")
    return int(bool(result.broken))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
