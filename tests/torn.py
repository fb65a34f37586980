"""One process that writes an outage page update by update, and one that reads it as the public does.

``python -m tests.torn write FOLDER PARTS FIRST`` says each number when it is out; it is meant to be killed.
``python -m tests.torn read FOLDER`` ends with its standard input, and tells in JSON what it saw.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from outagecast.channels.status_page import Settings, StatusPage
from outagecast.model import Delivery, Status

AN_INCIDENT = 20  # updates
_NUMBER = re.compile(r"Update (\d+)\.")


def incident(number: int) -> str:
    """The incident that an update, counted over all of them, belongs to."""
    return f"cards-{(number - 1) // AN_INCIDENT}"


def write(folder: Path, parts: dict[str, str], first: int) -> None:
    """Send updates without an end, from this number on."""
    page = StatusPage(Settings(path=folder, public_url="https://status.example.com/"))
    blank = Delivery("k", "", 0, Status.INVESTIGATING, "", "en", parts, datetime.now(UTC))
    for number in range(first, sys.maxsize):
        its = {name: text.replace("@", f"Update {number}.") for name, text in parts.items()}
        page.send(blank._replace(incident=incident(number), update=(number - 1) % AN_INCIDENT + 1, parts=its))
        print(number, flush=True)  # noqa: T201 - to whoever kills it


class Reader:
    """Reads three of the files again and again: each must be whole, and none behind an index that was read before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._newest = 1
        self.reads = 0
        self.seen: set[int] = set()
        self.wrong: list[str] = []

    def look(self) -> None:
        """Read the index, then what it leads to."""
        self._newest = max(self._see("index.html"), self._newest)
        its = incident(self._newest)
        self._see(f"incidents/{its}.html", its)
        self._see("api/v2/summary.json", its)

    def _see(self, name: str, its: str = "") -> int:
        """The newest update that a file tells of."""
        try:
            text = self._folder.joinpath(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            self.wrong.append(f"{name}: {type(error).__name__}")
            return 0
        self.reads += 1
        told = {int(number) for number in _NUMBER.findall(text) if not its or incident(int(number)) == its}
        if not _is_whole(name, text):
            self.wrong.append(f"{name}: torn after {len(text)} characters")
        elif max(told, default=0) < self._newest:
            self.wrong.append(f"{name}: at {max(told, default=0)}, after an index at {self._newest}")
        self.seen |= told
        return max(told, default=0)


def _is_whole(name: str, text: str) -> bool:
    if name.endswith(".html"):
        return text.startswith("<!DOCTYPE html>") and text.rstrip().endswith("</html>") and text.count("<html") == 1
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def read(folder: Path) -> None:
    """Look until standard input ends."""
    end = threading.Thread(target=sys.stdin.read, daemon=True)
    end.start()
    reader = Reader(folder)
    while end.is_alive():
        reader.look()
    json.dump({"wrong": reader.wrong, "seen": len(reader.seen), "reads": reader.reads}, sys.stdout)


if __name__ == "__main__":
    if sys.argv[1] == "read":
        read(Path(sys.argv[2]))
    else:
        write(Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text(encoding="utf-8")), int(sys.argv[4]))
