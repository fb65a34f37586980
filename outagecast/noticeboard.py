"""The newest words on each incident, kept in a file of one's own, and the files for people that are made of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from outagecast import atomic, public_file
from outagecast.errors import Rejected
from outagecast.model import Delivery, Status
from outagecast.public_file import judged, make_folder

_OURS = "outagecast"

Draw: TypeAlias = "Callable[[Sequence[Notice], Sequence[str]], Mapping[Path, bytes]]"


@dataclass(frozen=True, slots=True)
class Notice:
    """What is said of one incident in one language."""

    incident: str
    language: str
    update: int
    status: Status
    parts: Mapping[str, str]
    said_at: datetime
    valid_until: datetime | None  # after it the words are old; None where nothing was promised

    @classmethod
    def of(cls, delivery: Delivery, closing_for: timedelta) -> Notice:
        """The notice that a delivery is; closing words hold for ``closing_for``."""
        until = delivery.opened_at + closing_for if delivery.status.is_closing else delivery.expires_at
        return cls(
            delivery.incident,
            delivery.language,
            delivery.update,
            delivery.status,
            dict(delivery.parts),
            delivery.opened_at,
            until,
        )

    def as_json(self) -> dict[str, Any]:
        """What ``from_json`` reads; times in ISO 8601."""
        return {
            "incident": self.incident,
            "language": self.language,
            "update": self.update,
            "status": self.status.value,
            "said_at": self.said_at.isoformat(timespec="seconds"),
            "valid_until": self.valid_until and self.valid_until.isoformat(timespec="seconds"),
            "parts": dict(self.parts),
        }

    def is_over(self, new: Notice) -> bool:
        """Whether it may stay no longer beside ``new``: closing words that have had their time, or an end untold.

        A language may be left out of the end on purpose; that it still fails must not be said in it.
        """
        if self.incident == new.incident and self.update < new.update:
            return new.status.is_closing
        return self.status.is_closing and self.valid_until is not None and self.valid_until < new.said_at

    @classmethod
    def from_json(cls, node: Mapping[str, Any]) -> Notice:
        """The notice that ``as_json`` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        until = node["valid_until"]
        return cls(
            str(node["incident"]),
            str(node["language"]),
            int(node["update"]),
            Status(node["status"]),
            {str(part): str(text) for part, text in dict(node["parts"]).items()},
            datetime.fromisoformat(node["said_at"]),
            datetime.fromisoformat(until) if until else None,
        )


@dataclass(frozen=True)
class Noticeboard:
    """Replaces one incident's notice, and with it the files that ``draw`` makes of all notices, in some languages."""

    record: Path  # JSON: what the files were made of, written after them
    mode: int
    closing_for: timedelta  # how long closing words hold; then the next change takes them off
    draw: Draw

    def put(self, delivery: Delivery) -> None:
        """Put the words in the place of the incident's; without any they come off. Raises ChannelError."""
        with judged(self.record, self.record.parent):
            make_folder(self.record.parent)
            with public_file.alone(self.record):
                before = self._read()
                after = self._with(before, delivery)
                files = self.draw(after, list(dict.fromkeys(notice.language for notice in (*before, *after))))
                if not self.record.exists():
                    _require_free(files)
                for path, data in files.items():
                    atomic.write(path, data, mode=self.mode)
                content = {"written_by": _OURS, "notices": [notice.as_json() for notice in after]}
                text = json.dumps(content, ensure_ascii=False, indent=1)
                atomic.write(self.record, f"{text}\n".encode(), mode=self.mode)

    def carries(self, delivery: Delivery) -> bool:
        """Whether the files say these words; with none, that they say nothing of the incident. Raises ChannelError."""
        with judged(self.record, self.record.parent):
            notices = self._read()
            if not any(delivery.parts.values()):
                return self.record.exists() and all(notice.incident != delivery.incident for notice in notices)
            mine = (delivery.incident, delivery.language, dict(delivery.parts))
            if mine not in [(notice.incident, notice.language, notice.parts) for notice in notices]:
                return False
            files = self.draw(notices, list(dict.fromkeys(notice.language for notice in notices)))
            return all(path.exists() and path.read_bytes() == data for path, data in files.items())

    def check(self) -> None:
        """Whether the files are ours, or free, and can be replaced. Raises ChannelError."""
        folder = self.record.parent
        with judged(self.record, folder):
            if folder.exists():
                notices = self._read()
                if not self.record.exists():
                    _require_free(self.draw(notices, []))
            else:
                folder = folder.parent  # where `put` will make it
            public_file.require_writable(folder)

    def _with(self, notices: Sequence[Notice], delivery: Delivery) -> list[Notice]:
        """The notices with this one in its place, and without closing words that have had their time."""
        new = Notice.of(delivery, self.closing_for)
        if not any(new.parts.values()):  # in every language: one that has left the config would stay up for ever
            return [notice for notice in notices if notice.incident != new.incident]
        kept = [
            new if (notice.incident, notice.language) == (new.incident, new.language) else notice
            for notice in notices
            if (notice.incident, notice.language) == (new.incident, new.language) or not notice.is_over(new)
        ]
        return kept if new in kept else [*kept, new]

    def _read(self) -> list[Notice]:
        """The notices, none where there is no record. Raises Rejected for one that is not ours."""
        try:
            content = json.loads(public_file.read(self.record) or b"{}")
            if content.get("written_by") == _OURS:
                return [Notice.from_json(node) for node in content["notices"]]
        except FileNotFoundError:
            return []
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            pass
        raise _not_ours(self.record)


def _require_free(files: Mapping[Path, bytes]) -> None:
    """Raises Rejected where something of somebody else's stands in the place of a file."""
    for path in files:
        if path.is_symlink() or (path.exists() and not (path.is_file() and path.stat().st_size == 0)):
            raise _not_ours(path)


def _not_ours(path: Path) -> Rejected:
    hint = "set `path` to a file of its own; or move this one away"
    return Rejected(f"{path} has content that is not ours, so it was left alone", hint=hint, account=True)
