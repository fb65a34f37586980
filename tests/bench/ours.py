"""Our own bulk send, for the benches: one process freezes a batch, another sends it.

``python -m tests.bench.ours freeze FOLDER CHANNEL COUNT``, then ``… run FOLDER CHANNEL COUNT [off]``: one line of JSON
on what the sending took. ``off``: the same engine, handed the same deliveries by something that writes nothing down.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from outagecast import bulk, config, registry
from outagecast.deliver import Run
from outagecast.ledger import Opening, Update
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.mail import Letterhead
from outagecast.model import State, Status, Variant
from tests.bench import clients, desk
from tests.bench.off import Off, Silent
from tests.bench.rounds import Timing, timed

BY = "bench"


def _texts(kind: str) -> Mapping[str, str]:
    """The words: a mail of as many bytes as the other clients', or the same text."""
    if kind == "twilio_sms":
        return {"text": clients.TEXT}
    line = "Our debit and credit cards are being declined in shops and online. "
    return {"subject": "Card payments are failing", "text": line * 15 + "\n", "html": f"<p>{line * 15}</p>\n"}


def freeze(folder: Path, channel: str, count: int) -> None:
    """A ledger with one update that is owed to so many."""
    kind = config.load(folder / "outagecast.yaml").channels[channel].kind
    now = datetime.now(UTC)
    update = Update(desk.INCIDENT, 1, Status.INVESTIGATING, "bench", "{}", "bench", now, BY)
    variant = Variant(channel, kind, "en", _texts(kind), 1, "bench", (), ())
    target = desk.phone if kind == "twilio_sms" else desk.email
    end = now + timedelta(hours=6)
    openings = (Opening(channel, target(number), "en", State.READY, None, end) for number in range(count))
    ledger = SqliteLedger(folder / "outagecast.db")
    with ledger.lock():
        ledger.open(update, [variant], [])
        ledger.freeze(update, channel, openings)
    ledger.close()


def run(folder: Path, channel: str, count: int, *, off: bool) -> None:
    """Send it, and say what that took."""
    bank = config.load(folder / "outagecast.yaml")
    ledger: Any = SqliteLedger(folder / "outagecast.db")
    if off:
        ledger = Off(ledger, desk.INCIDENT, channel)
        vars(bulk)["Journal"] = Silent
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    Run(
        ledger=ledger,
        incident=desk.INCIDENT,
        numbers={channel: 1},
        channels={channel: bank.channels[channel]},
        create=lambda one: registry.create(one.kind, one.settings),
        by=BY,
    ).run()
    taken = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    sent = {str(tally.state): tally.count for tally in ledger.tallies(desk.INCIDENT, 1)}
    if sent != {State.ACCEPTED: count}:
        sys.exit(f"not all were sent: {sent}")
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": taken, "cpu": cpu, "count": count, "peak_kb": used.ru_maxrss}))


@contextmanager
def frozen(name: str, channel: Mapping[str, Any], count: int) -> Iterator[Path]:
    """A folder with a batch that is ready to be sent."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        desk.Desk(folder).configure({name: channel})
        subprocess.run(_command("freeze", folder, name, count), cwd=desk.REPO, env=_surroundings(), check=True)
        yield folder


def _command(verb: str, folder: Path, name: str, count: int) -> list[str]:
    return [sys.executable, "-m", "tests.bench.ours", verb, str(folder), name, str(count)]


def _surroundings() -> dict[str, str]:
    return {**os.environ, **desk.SECRETS}


def send(name: str, channel: Mapping[str, Any], count: int, *, off: bool = False) -> Timing:
    """Freeze so many and send them; the sending is timed."""
    os.environ.update(desk.SECRETS)
    with frozen(name, channel, count) as folder:
        return timed(_command("run", folder, name, count) + (["off"] if off else []))


def syncs(name: str, channel: Mapping[str, Any], count: int) -> float | None:
    """How often the disk is asked to confirm, by 1,000 messages of a send; None where there is no strace."""
    import shutil

    if not shutil.which("strace"):
        return None
    os.environ.update(desk.SECRETS)
    with frozen(name, channel, count) as folder:
        log = folder / "strace"
        tracer = ["strace", "-f", "-qq", "--seccomp-bpf", "-c", "-e", "trace=fsync,fdatasync", "-o", str(log)]
        timed([*tracer, *_command("run", folder, name, count)])
        rows = [line.split() for line in log.read_text().splitlines()]
    calls = [int(row[3]) for row in rows if row and row[-1] in {"fsync", "fdatasync"}]
    return sum(calls) / count * 1000


def mail_size() -> int:
    """Bytes of one mail."""
    from outagecast.model import Delivery

    now = datetime.now(UTC)
    one = Delivery(
        key="bench",
        incident=desk.INCIDENT,
        update=1,
        status=Status.INVESTIGATING,
        target=desk.email(1),
        language="en",
        parts=_texts("smtp"),
        opened_at=now,
    )
    return len(Letterhead("Example Bank <status@example.com>").write(one).content)


def main(verb: str, folder: str, channel: str, count: str, *more: str) -> None:
    """Do what was asked for."""
    gc.set_threshold(50_000)  # as the command does
    if verb == "freeze":
        freeze(Path(folder), channel, int(count))
    else:
        run(Path(folder), channel, int(count), off="off" in more)


if __name__ == "__main__":
    main(*sys.argv[1:])
