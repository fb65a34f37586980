"""Kind -> class, by dotted name, imported on first use; others' adapters by entry points."""

from __future__ import annotations

import importlib
import typing
from functools import cache
from typing import Any

from outagecast.channel import Channel
from outagecast.errors import ConfigError, Problem

BUILTIN = {
    "x": "outagecast.channels.x:X",
    "facebook": "outagecast.channels.facebook:Facebook",
    "twilio_sms": "outagecast.channels.twilio_sms:TwilioSms",
    "smtp": "outagecast.channels.smtp:Smtp",
    "banner": "outagecast.channels.banner:Banner",
    "status_page": "outagecast.channels.status_page:StatusPage",
    "phone_script": "outagecast.channels.phone_script:PhoneScript",
    "briefing": "outagecast.channels.briefing:Briefing",
    "briefing_mail": "outagecast.channels.briefing_mail:BriefingMail",
}
ENTRY_POINTS = "outagecast.channels.v1"
STATED = ("kind", "parts", "addresses", "escapes", "semantics", "imports")  # what the core asks a class, unmade


@cache
def kinds() -> tuple[str, ...]:
    """Every kind that a config may name: the shipped ones first, then those of installed packages."""
    from importlib.metadata import entry_points

    return (*BUILTIN, *sorted(point.name for point in entry_points(group=ENTRY_POINTS) if point.name not in BUILTIN))


def is_known(kind: str) -> bool:
    """Whether somebody provides ``kind``; the installed packages are only asked about what is not shipped."""
    return kind in BUILTIN or kind in kinds()


@cache
def channel_class(kind: str) -> type[Channel]:
    """The class that speaks to ``kind``. Raises KeyError where nobody provides it, ConfigError for half of one."""
    if kind in BUILTIN:
        module, _, name = BUILTIN[kind].partition(":")
        return typing.cast("type[Channel]", getattr(importlib.import_module(module), name))
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS, name=kind):
        found = point.load()
        if lacking := [name for name in STATED if not hasattr(found, name)]:
            hint = "its package is for another version of outagecast"
            raise ConfigError(Problem(f'the kind "{kind}" ({point.value}) does not state {", ".join(lacking)}', hint))
        return typing.cast("type[Channel]", found)
    raise KeyError(kind)


@cache
def settings_class(kind: str) -> type[Any]:
    """The dataclass of settings that the kind's constructor takes."""
    return typing.cast("type[Any]", typing.get_type_hints(channel_class(kind).__init__)["settings"])


def create(kind: str, settings: object) -> Channel:
    """A channel of ``kind``; it opens nothing until it is used."""
    constructor = typing.cast("typing.Callable[[object], Channel]", channel_class(kind))
    return constructor(settings)
