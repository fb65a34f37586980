"""What each kind of channel is and promises, out of its adapter's declarations: for ``channels`` and the docs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from outagecast import registry
from outagecast.channel import Briefs, Carries, Channel, Finds, LookUp, ReadsBack, Threads, Withdraws
from outagecast.config import EVERY_STATUS, ChannelConfig

_REACHES = {
    None: "everybody, with one public post",
    "phone": "people one by one, by the audience's `phone`",
    "email": "people one by one, by the audience's `email`",
}
_LOOKS_UP = {
    LookUp.NONE: "no",
    LookUp.EVENTUAL: "yes; not to find it proves nothing",
    LookUp.STRONG: "yes; not to find it proves that it is not out",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of channel."""

    name: str
    adapter: type[Channel]

    @property
    def about(self) -> str:
        """What it is: the first sentence of its module, without the addresses of pages."""
        words = (sys.modules[self.adapter.__module__].__doc__ or self.adapter.__doc__ or self.name).split("\n\n")[0]
        return re.sub(r":?\s*https?://\S+|\.$", "", " ".join(words.split())).rstrip(".:")

    @property
    def looks_up(self) -> LookUp:
        """What looking for a lost delivery proves."""
        return self.adapter.semantics.lookup if issubclass(self.adapter, Finds) else LookUp.NONE

    def rows(self) -> Iterator[tuple[str, str]]:
        """What people want to know of it: a name, and the answer."""
        yield "what it is", self.about
        yield "reaches", _reaches(self.adapter)
        for part, limit in self.adapter.parts.items():
            most = f"at most {limit.most:,} {limit.unit}"
            few = f", and {limit.aim} where the words allow" if limit.aim else ""
            facts = {Carries.EVERYTHING: "every fact", Carries.ESSENTIALS: "the essential facts", Carries.NOTHING: ""}
            carries = facts[limit.carries]
            yield f"`{part}`", f"{most}{few}{f'; carries {carries}' if carries else ''}"
        if issubclass(self.adapter, Threads):
            yield "threads", "two posts at most, where its settings ask for it"
        yield "looks for a lost one", _LOOKS_UP[self.looks_up]
        yield "reads back", _yes(issubclass(self.adapter, ReadsBack))
        yield "withdraws", _yes(issubclass(self.adapter, Withdraws))
        yield "promise", self.adapter.semantics.promise
        yield "source", self.adapter.semantics.source

    def as_json(self) -> dict[str, Any]:
        """The kind as a JSON object."""
        return {
            "kind": self.name,
            "about": self.about,
            "public": self.adapter.addresses is None and not issubclass(self.adapter, Briefs),
            "addresses": self.adapter.addresses,
            "parts": {
                part: {"limit": limit.most, "unit": limit.unit, "aim": limit.aim, "carries": limit.carries.value}
                for part, limit in self.adapter.parts.items()
            },
            "looks_up": self.looks_up.value,
            "reads_back": issubclass(self.adapter, ReadsBack),
            "withdraws": issubclass(self.adapter, Withdraws),
            "threads": issubclass(self.adapter, Threads),
            "idempotency": self.adapter.semantics.idempotency.value,
            "promise": self.adapter.semantics.promise,
            "source": self.adapter.semantics.source,
        }


def kinds() -> list[Kind]:
    """Every kind that a config may name."""
    return [Kind(name, registry.channel_class(name)) for name in registry.kinds()]


def configured(channel: ChannelConfig) -> dict[str, Any]:
    """A configured channel as a JSON object."""
    options = channel.options
    return {
        "channel": channel.name,
        "kind": channel.kind,
        "enabled": options.enabled,
        "required": options.required,
        "languages": list(options.languages or ()),
        "on": [str(status) for status in options.on or ()],
        "audience": options.audience,
    }


def carried(channel: ChannelConfig) -> str:
    """The statuses that a configured channel carries, in words."""
    on = [str(status) for status in channel.options.on or ()]
    return "every status" if set(on) >= set(EVERY_STATUS) else ", ".join(on)


def _reaches(adapter: type[Channel]) -> str:
    return adapter.readers() if issubclass(adapter, Briefs) else _REACHES[adapter.addresses]


def _yes(can: bool) -> str:
    return "yes" if can else "no"
