"""How much later a public post is out while a bulk send is under way: ``make bench``.

``python -m tests.bench.beside``. Two desks post to X and Facebook in turn, round by round. The ledger of one is texting
and mailing a crowd meanwhile. At the other's turn that is stopped, and so takes no processor from it; its own ledger is
as full.
"""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from outagecast.rehearsal import Providers, StandIn
from tests.bench import desk
from tests.bench.sinks import apart, smtp_sink

PUBLIC = ("x", "facebook")
STARTED = 120.0  # seconds that the bulk send may take to begin


class Newsroom:
    """A desk with X and Facebook, and a crowd to be texted and mailed, at ``rate`` a second or as fast as it goes."""

    def __init__(self, folder: Path, people: int, rate: str | None, stack: ExitStack) -> None:
        folder.mkdir()
        relay = stack.enter_context(smtp_sink())
        twilio = stack.enter_context(apart("twilio", "--delay", 0.1))
        self.providers = stack.enter_context(Providers())
        self.bank = desk.Desk(folder, self.providers.environment)
        self.bank.write_audience(people)
        pace = {"rate": rate} if rate else {}
        public = {name: it for name, it in self.providers.config(folder).items() if name in PUBLIC}
        crowd = {"sms": desk.twilio_at(twilio, 64, **pace), "email": desk.smtp_at(relay, 16, **pace)}
        self.bank.configure(public | crowd)
        self._message = self.bank.write_message()

    @contextmanager
    def bulk(self) -> Iterator[subprocess.Popen[bytes]]:
        """Everybody is being texted and mailed meanwhile."""
        longest = ["--max-time", "900"]
        with self.bank.start("announce", str(self._message), "--yes", *longest) as process:
            try:
                until = time.monotonic() + STARTED
                while not self.is_sending() and process.poll() is None and time.monotonic() < until:
                    time.sleep(0.1)
                yield process
                if process.poll() is not None:
                    sys.exit(f"the bulk send was over before all was measured: {process.returncode}\n{self.bank.said}")
            finally:
                process.kill()

    def is_sending(self) -> bool:
        """Whether its public posts are out, and both crowds are being told."""
        from tests.bench.million import ask

        return len(ask(self.bank, "SELECT DISTINCT batch FROM window")) == 2

    def post(self, *arguments: str) -> dict[str, float]:
        """Post what is asked for: seconds from the start of the process to the arrival of each post."""
        stand_ins: dict[str, StandIn] = {"x": self.providers.x, "facebook": self.providers.facebook}
        seen = {name: len(it.requests) for name, it in stand_ins.items()}
        began = datetime.now(UTC)
        only = [word for name in PUBLIC for word in ("--channel", name)]
        with self.bank.start("announce", *arguments, "--yes", *only) as process:
            code = process.wait(60)
        if code:
            sys.exit(f"exit {code}\n{self.bank.said}")
        return {
            name: next((one.at - began).total_seconds() for one in it.requests[seen[name] :] if one.method == "POST")
            for name, it in stand_ins.items()
        }

    def another(self, number: int) -> dict[str, float]:
        """Post the first word on another incident."""
        slug = f"mobile-app-{number}"
        facts = {
            "incident": slug,
            "title": f"Our app is slow, part {number}",
            "summary": f"Our app is slow ({number}).",
        }
        return self.post(str(self.bank.write_message(**facts)))

    def further(self, number: int) -> dict[str, float]:
        """Post one more update on the incident that the crowd is being told of."""
        return self.post("--incident", desk.INCIDENT, "--set", f"scope=Every card whose number ends in {number}.")


def measured(rate: str | None, rounds: int, people: int) -> list[tuple[str, float, float, float]]:
    """Of each kind of post: what it is, ms alone, ms beside a bulk send, and the ratio; medians."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        alone = Newsroom(folder / "alone", people, rate, stack)
        busy = Newsroom(folder / "busy", people, rate, stack)
        with alone.bulk():  # until it has begun: then its ledger is as full
            pass
        rows = []
        with busy.bulk() as process:
            for what in ("another", "further"):
                pairs = []
                for number in range(rounds + 1):
                    beside = getattr(busy, what)(number)
                    process.send_signal(signal.SIGSTOP)
                    pairs.append((getattr(alone, what)(number), beside))
                    process.send_signal(signal.SIGCONT)
                    time.sleep(0.3)
                pairs = pairs[1:]
                for name in PUBLIC:
                    its = [(quiet[name] * 1000, loud[name] * 1000) for quiet, loud in pairs]
                    title = f"{'first word on another incident' if what == 'another' else 'next update'}, {name}"
                    quiet, loud = (statistics.median(times) for times in zip(*its, strict=True))
                    rows.append((title, quiet, loud, statistics.median(b / a for a, b in its)))
        return rows


def main(rounds: str = "9", people: str = "300000") -> None:
    """Measure and print."""
    print("| from the start of the process to the post's arrival | alone, ms | beside a bulk send, ms | ratio | goal |")
    print("|---|---|---|---|---|")
    for rate, words in (("100/s", "100 texts and 100 mails a second"), (None, "as fast as it goes")):
        for title, quiet, loud, ratio in measured(rate, int(rounds), int(people) // (10 if rate else 1)):
            print(f"| {title}; {words} | {quiet:.0f} | {loud:.0f} | {ratio:.2f} | ≤ 1.10 |")
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
