"""A test send to oneself: the very words, on the real channel, stamped TEST, outside any incident.

No ledger, no update, one attempt: nothing is recorded, so nothing can be resumed.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from outagecast import audience, plan, render, translations
from outagecast.audience import Audience
from outagecast.channel import Channel
from outagecast.clock import Clock
from outagecast.config import ChannelConfig, Config
from outagecast.errors import ConfigError, ExitCode, OutagecastError, Problem, Rejected, Unavailable, UsageError
from outagecast.message import Message
from outagecast.model import Delivery, Status, Variant
from outagecast.report import Report
from outagecast.roll import Group
from outagecast.text import clean

STAMP = "TEST: "
LIFETIME = timedelta(hours=1)  # in a provider's queue; a test that arrives tomorrow alarms somebody
INCIDENT = "test"  # in the Message-ID, among others
_BODY = re.compile(r"<body[^>]*>|\A(?!.*<body)", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title[^>]*>", re.IGNORECASE)
_HINT = "+ and the whole number, or name@domain"


@dataclass(frozen=True, slots=True)
class Trial:
    """One text to oneself, before or after it was sent."""

    channel: ChannelConfig
    variant: Variant
    target: str
    state: Literal["ready", "accepted", "failed", "in_doubt"] = "ready"
    provider_id: str | None = None
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The trial's object in JSON: as the report's channels, where they share a field."""
        published = {"accepted": "yes", "in_doubt": "unknown"}.get(self.state, "no")
        return {
            "channel": self.channel.name,
            "kind": self.channel.kind,
            "language": self.variant.language,
            "target": self.target,
            "state": self.state,
            "published": published,
            "provider_id": self.provider_id,
            "error": self.error,
            "parts": dict(self.variant.parts),
        }


def prepare(
    message: Message,
    config: Config,
    address: str,
    *,
    only: Collection[str] = (),
    without: Collection[str] = (),
    left_out: Sequence[str] = (),
    clock: Clock,
) -> list[Trial]:
    """The stamped texts that ``address`` would get, one a channel and language. Raises every error of the message.

    Raises UsageError for what is not an address, or one that no channel sends to.
    """
    column, target = recipient(address)
    config = translations.leave_out(config, left_out)
    channels = [channel for channel in plan.select(config, only, without) if channel.adapter.addresses == column]
    if not channels:
        what = "a phone number" if column == "phone" else "an e-mail address"
        hint = "see what is configured: outagecast channels"
        raise UsageError(Problem(f"{address} is {what}, and no channel sends to one", hint))
    names = [channel.name for channel in channels]
    drawn = plan.draw(
        message,
        config,
        # Only ourselves: whether the real audience can be read is not the question here.
        audiences={
            channel.name: Audience(tuple(Group(language, name=target) for language in channel.options.languages or ()))
            for channel in channels
        },
        only=names,
        now=clock.now(),
    )
    by_name = {channel.name: channel for channel in channels}
    return [
        Trial(by_name[variant.channel], _stamped(variant, by_name[variant.channel]), target)
        for variant in render.variants(drawn, config.templates)
    ]


def send(
    trials: Sequence[Trial], status: Status, create: Callable[[ChannelConfig], Channel], clock: Clock
) -> Iterator[Trial]:
    """Each trial with what became of it, as soon as it is known."""
    for trial in trials:
        adapter = create(trial.channel)
        try:
            yield _attempt(adapter, trial, _delivery(trial, status, clock))
        finally:
            adapter.close()


def judge(trials: Sequence[Trial]) -> ExitCode:
    """The exit code: what is certain of all of them."""
    states = {trial.state for trial in trials}
    if "in_doubt" in states:
        return ExitCode.IN_DOUBT
    if "failed" in states:
        return ExitCode.PARTIAL if "accepted" in states else ExitCode.NOTHING_PUBLISHED
    return ExitCode.DONE


def as_json(trials: Sequence[Trial], status: Status) -> dict[str, Any]:
    """One JSON object, of the report's shape."""
    shape = Report(status=status.value, mode="test", exit_code=judge(trials)).as_json()
    return {**shape, "channels": [trial.as_json() for trial in trials]}


def recipient(given: str) -> tuple[Literal["phone", "email"], str]:
    """The audience's column that such an address stands in, and its one form. Raises UsageError for what is none."""
    column: Literal["phone", "email"] = "email" if "@" in given else "phone"
    target = audience.normal(given.strip(), column)
    if target is None:
        raise UsageError(Problem(f'"{clean(given, most=60)}" is not an address to send a test to', _HINT))
    return column, target


def _stamped(variant: Variant, channel: ChannelConfig) -> Variant:
    """The variant with TEST at the start of every part, also as a reader of the HTML sees it.

    A part may become longer than we allow ourselves; the providers' own limits are far off.
    """
    parts = {
        part: _stamped_html(text) if part in channel.adapter.escapes else f"{STAMP}{text}"
        for part, text in variant.parts.items()
    }
    return replace(variant, parts=parts)


def _stamped_html(page: str) -> str:
    titled = _TITLE.sub(lambda found: f"{found.group()}{STAMP}", page, count=1)
    return _BODY.sub(lambda found: f"{found.group()}<p><strong>{STAMP.strip()}</strong></p>", titled, count=1)


def _delivery(trial: Trial, status: Status, clock: Clock) -> Delivery:
    now = clock.now()
    return Delivery(
        key=secrets.token_hex(16),  # a new one each time: a second test is a second text
        incident=INCIDENT,
        update=0,
        status=status,
        target=trial.target,
        language=trial.variant.language,
        parts=trial.variant.parts,
        opened_at=now,
        attempted_at=now,
        expires_at=now + LIFETIME,
    )


def _attempt(adapter: Channel, trial: Trial, delivery: Delivery) -> Trial:
    try:
        receipt = adapter.send(delivery)
    except (Rejected, Unavailable, ConfigError) as error:
        return replace(trial, state="failed", error=_words(error))
    except OutagecastError as error:
        return replace(trial, state="in_doubt", error=_words(error))
    except Exception as error:  # noqa: BLE001 - whatever it was, the request may have arrived
        return replace(trial, state="in_doubt", error=clean(f"{type(error).__name__}: {error}"))
    return replace(trial, state="accepted", provider_id=receipt.provider_id)


def _words(error: OutagecastError) -> str:
    return clean(" ".join(str(problem) for problem in error.problems), most=500)
