"""Sends one text by a channel to each of several ports: ``python tests/fuzz/probe.py KIND SECONDS PORT...``.

Prints as JSON what came of each: its name, the seconds it took, the megabytes by which the process grew.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from outagecast.channels import facebook, smtp, twilio_sms, x
from outagecast.errors import ChannelError, Rejected, Unavailable, Uncertain
from outagecast.model import Delivery, Status
from outagecast.secret import Secret
from outagecast.transport import Session

SECRET = Secret("env:FUZZ_SECRET")


def channel(kind: str, port: int, seconds: float) -> Any:
    url = f"http://127.0.0.1:{port}"
    if kind == "x":
        login = dict.fromkeys(("api_key", "api_secret", "access_token", "access_token_secret"), SECRET)
        return x.X(x.Settings(**login, api_url=url))  # type: ignore[arg-type]
    if kind == "facebook":
        return facebook.Facebook(facebook.Settings(page_id="100", page_token=SECRET, api_url=url))
    if kind == "twilio_sms":
        return twilio_sms.TwilioSms(
            twilio_sms.Settings(account_sid=SECRET, auth_token=SECRET, from_="+61491570000", api_url=url)
        )
    relay = smtp.Settings(host="127.0.0.1", port=port, tls="none", from_="status@example.com")
    return smtp.Smtp(relay, login=seconds, transaction=seconds)


def send(kind: str, port: int, seconds: float) -> str:
    delivery = Delivery(
        key="cards/1",
        incident="cards",
        update=1,
        status=Status.INVESTIGATING,
        target="ana@example.org" if kind == "smtp" else "+61491570156",
        language="en",
        parts={"text": "Cards fail.", "subject": "Cards fail", "html": "<p>Cards fail.</p>"},
        opened_at=datetime.now(UTC),
    )
    subject = channel(kind, port, seconds)
    try:
        subject.send(delivery)
    except ChannelError as error:
        return next(base.__name__ for base in (Rejected, Unavailable, Uncertain) if isinstance(error, base))
    finally:
        subject.close()
    return "Receipt"


def peak() -> float:
    """The most memory that this process ever held, in megabytes."""
    status = Path("/proc/self/status")
    if status.exists():  # what `getrusage` says there counts the process that started this one
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def main(kind: str, seconds: float, *ports: int) -> None:
    assert Session.__init__.__kwdefaults__
    Session.__init__.__kwdefaults__["deadline"] = seconds
    send(kind, 1, seconds)  # where nobody is, so that imports do not count
    found = []
    for port in ports:
        before, began = peak(), time.monotonic()
        said = send(kind, port, seconds)
        found.append((said, time.monotonic() - began, peak() - before))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), *map(int, sys.argv[3:]))
