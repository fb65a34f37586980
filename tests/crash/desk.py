"""A bank in a folder, stand-ins of all providers, and a forge to run announcements that may be killed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml

from outagecast.model import SECOND
from outagecast.rehearsal import Providers

ROOT = Path(__file__).parents[2]
MESSAGE = {
    "incident": "cards",
    "status": "investigating",
    "title": "Card payments are failing",
    "summary": "Our cards are being declined in shops and online.",
    "cause": "unknown",
    "workaround": ["Cash machines still work."],
    "next_update_at": "6h",
    "apology": "We are sorry.",
}
LONG = {  # than one post on X
    "scope": "All our cards are affected, everywhere in the country and abroad, whoever issued the till.",
    "workaround": ["Cash machines still work.", "You can pay with cash at all of our branches until midnight."],
    "apology": "We are sorry. We know that you rely on your card, above all if you are at a till right now.",
}
PEOPLE = {"ana": "+61491570156", "ben": "+61491570157"}
HANG = 0.4  # seconds after which a run gives up on a provider that hangs
EARLIER = -7200.0  # seconds: every run is in the past, so that stand-ins' own stamps are never before an attempt


class Forge:
    """A process that runs jobs in forks of itself; see ``tests.crash.forge``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.forge"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process, contextlib.suppress(BrokenPipeError):  # it ended by itself
            if self._process.stdin:
                self._process.stdin.close()

    def run(self, **job: Any) -> dict[str, Any]:
        """Have one job done: how its process ended, and what it said."""
        if not self._process.stdin or not self._process.stdout:
            raise RuntimeError("the forge has no pipes")
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the forge ended with {self._process.wait(10)}")
        found: dict[str, Any] = json.loads(answer)
        return found


class Copy(NamedTuple):
    """One thing that a provider carries: for whom, under which of its ids, and in which words."""

    target: str
    id: str
    parts: dict[str, str]


@dataclass
class Desk:
    """Where one cell of the sweep is played: channels in a folder of their own, some or all of the five."""

    folder: Path
    forge: Forge
    channels: tuple[str, ...]
    moved: float = EARLIER  # seconds that the clock of the next run is moved by
    providers: Providers = field(default_factory=Providers)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.providers)
            self._write()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _write(self) -> None:
        self.site.mkdir(parents=True)
        rows = [f"{name},{phone},{name}@example.com" for name, phone in PEOPLE.items()]
        (self.folder / "customers.csv").write_text("\n".join(["name,phone,email", *rows, ""]))
        stand_ins = self.providers.config(self.site)
        stand_ins["thread"] = {**stand_ins["x"], "thread": True}
        channels = {name: it for name, it in stand_ins.items() if name in self.channels}
        for name in {"email"} | ({"sms"} if len(channels) == 1 else set()):  # else two texts are under way at once
            if name in channels:
                channels[name]["connections"] = 1
        config = {
            "organisation": {"name": "Example Bank", "timezone": "UTC", "status_page": "https://status.example.com"},
            "ledger": "sqlite:///outagecast.db",
            "audiences": {"customers": {"file": "customers.csv"}},
            "channels": channels,
        }
        (self.folder / "outagecast.yaml").write_text(yaml.safe_dump(config))
        (self.folder / "incident.yaml").write_text(yaml.safe_dump(MESSAGE | (LONG if "thread" in channels else {})))

    @property
    def site(self) -> Path:
        """The folder of the banner's file; nothing else is in it."""
        return self.folder / "public" / "parts"

    @property
    def banner(self) -> Path:
        """The banner's file."""
        return self.site / "banner.html"

    def run(self, verb: str, **job: Any) -> dict[str, Any]:
        """One run in a process of its own, which may be killed at ``point``."""
        job |= {"folder": str(self.folder), "env": self.providers.environment, "moved": self.moved}
        ended = self.forge.run(verb=verb, **job)
        self.settle()
        return ended

    def settle(self) -> None:
        """Wait until the stand-ins have done with what had reached them, for a moment: one may hang."""
        until = time.monotonic() + 0.1
        for provider in (self.providers.x, self.providers.facebook, self.providers.twilio):
            with socket.create_connection(("127.0.0.1", provider.port), 5):
                pass
            while provider._server and provider._server._open and time.monotonic() < until:
                time.sleep(0.002)
        if "email" in self.channels:
            mail = self.providers.smtp
            with contextlib.suppress(OSError), smtplib.SMTP(mail.host, mail.port, "localhost", 5) as client:
                client.noop()

    def target(self, channel: str) -> tuple[str, ...]:
        """Whom a channel is to reach."""
        mails = tuple(f"{name}@example.com" for name in PEOPLE)
        people = {"thread": ("", SECOND), "sms": tuple(PEOPLE.values()), "email": mails}
        return people.get(channel, ("",))

    def out(self, channel: str) -> list[Copy]:
        """What the public, or each customer, has."""
        if channel == "x":
            return [Copy("", post.id, {"text": post.text}) for post in self.providers.x.posts]
        if channel == "thread":
            ids = {post.id for post in self.providers.x.posts}
            return [
                Copy(SECOND if post.in_reply_to in ids else "", post.id, {"text": post.text})
                for post in self.providers.x.posts
            ]
        if channel == "facebook":
            return [Copy("", post.id, {"text": post.text}) for post in self.providers.facebook.posts]
        if channel == "sms":
            return [Copy(item.to, item.id, {"text": item.text}) for item in self.providers.twilio.messages]
        if channel == "email":
            return [
                Copy(address, mail.id, {"subject": mail.subject, "text": mail.text})
                for mail in self.providers.smtp.mails
                for address in mail.to
            ]
        return self._on_the_site()

    def _on_the_site(self) -> list[Copy]:
        """Every copy of our section, in whatever file of the folder the web server would show."""
        found = []
        for path in self.site.glob("[!.]*") if self.site.is_dir() else ():
            if path.is_file():
                _, *sections = path.read_text().split("<!-- outagecast:begin cards en -->\n")
                ends = (section.partition("\n<!-- outagecast:end cards en -->\n")[0] for section in sections)
                found += [Copy("", "", {"html": html}) for html in ends]
        return found

    # -- obstacles in the banner's way ---------------------------------------------------------------------------

    @contextmanager
    def obstacle(self, name: str) -> Iterator[None]:
        """Something that stands in the way of the banner, until it is taken away."""
        with ExitStack() as stack:
            getattr(self, f"_{name}", contextlib.nullcontext)(*([stack] if hasattr(self, f"_{name}") else []))
            yield

    def _folder_missing(self, stack: ExitStack) -> None:
        if not self.banner.exists():
            self.site.rmdir()

    def _two_folders_missing(self, stack: ExitStack) -> None:
        away = self.folder / "away"
        self.site.parent.rename(away)

        def back() -> None:
            shutil.rmtree(self.site.parent, ignore_errors=True)
            away.rename(self.site.parent)

        stack.callback(back)

    def _path_is_folder(self, stack: ExitStack) -> None:
        self._replace(stack, self.banner.mkdir)

    def _path_is_link(self, stack: ExitStack) -> None:
        elsewhere = self.folder / "elsewhere.html"
        elsewhere.touch()
        self._replace(stack, lambda: self.banner.symlink_to(elsewhere))

    def _path_is_pipe(self, stack: ExitStack) -> None:
        self._replace(stack, lambda: os.mkfifo(self.banner))

    def _foreign_content(self, stack: ExitStack) -> None:
        self._replace(stack, lambda: self.banner.write_text("<p>Our shop opens at nine."))

    def _busy(self, stack: ExitStack) -> None:
        folder = os.open(self.site, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, folder)
        fcntl.flock(folder, fcntl.LOCK_EX)

    def _replace(self, stack: ExitStack, make: Any) -> None:
        """Put something else at the banner's path; what was there comes back afterwards."""
        kept = self.folder / "kept.html"
        with contextlib.suppress(FileNotFoundError):
            self.banner.rename(kept)
        make()

        def back() -> None:
            try:
                self.banner.unlink()
            except OSError as error:
                if error.errno not in {errno.EISDIR, errno.EPERM}:
                    raise
                self.banner.rmdir()
            with contextlib.suppress(FileNotFoundError):
                kept.rename(self.banner)

        stack.callback(back)
