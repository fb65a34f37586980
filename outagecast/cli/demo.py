"""``demo``: the whole job with nothing configured, told to stand-ins on this machine, and the wall at the end."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from outagecast import demo as story
from outagecast.cli import output, progress, screen
from outagecast.cli.signals import Interrupted, Signals
from outagecast.errors import ConfigError, ExitCode, Problem, UsageError

if TYPE_CHECKING:
    from outagecast.app import App
    from outagecast.control import Control
    from outagecast.dry_run import Prepared
    from outagecast.message import Message
    from outagecast.rehearsal import Providers
    from outagecast.report import Report
    from outagecast.wall import Banner

SLOWLY = 0.4  # seconds a stand-in takes to answer where somebody is watching


@click.command()
@click.option("--yes", is_flag=True, help="Do not wait for Enter between the steps.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep everything in this new folder [default: a temporary one].",
)
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the wall here [default: wall.html in the folder].",
)
@click.option("--open", "open_page", is_flag=True, help="Open the wall in the browser at the end.")
def demo(*, yes: bool, folder: Path | None, page: Path | None, open_page: bool) -> int:
    """Tell a made-up outage from first word to last, on all channels, to nobody.

    It needs no configuration, no account and no network: the real adapters speak to stand-ins of X, Facebook, SMS and
    e-mail on this machine. At the end, one page shows what the public would have seen.

    \b
    Examples:
      outagecast demo
      outagecast demo --yes --folder rehearsal --open
    """
    if importlib.util.find_spec("aiosmtpd") is None:
        raise ConfigError(Problem("the demo's mail server needs aiosmtpd", "pip install 'outagecast[demo]'"))
    home = _home(folder)
    page = page or home / "wall.html"
    interactive = not yes and screen.can_ask()
    with ExitStack() as stack:
        from outagecast.rehearsal import Providers

        providers = stack.enter_context(Providers())
        stack.enter_context(story.surroundings(providers.environment))
        telling = Telling(home, providers, interactive=interactive)
        code = telling.tell()
        if telling.shown:
            telling.hang(page)
    _farewell(telling, page, kept=folder, code=code)
    if open_page and telling.shown:
        click.launch(str(page.resolve()))
    return code


def _home(folder: Path | None) -> Path:
    """Where it all happens. Raises UsageError for a folder with something in it: that may be somebody's own ledger."""
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="outagecast-demo-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(Problem(f"{folder} is not empty", "name a new folder"))
    except OSError as error:
        raise UsageError(Problem(f"cannot use {folder}: {error.strerror}", "name another folder")) from None
    return folder.resolve()


@dataclass
class Telling:
    """The story being told, step by step."""

    home: Path
    providers: Providers
    interactive: bool
    shown: list[Banner] = field(default_factory=list)  # what the website showed after each step
    refused: int = 0
    prepared: Prepared | None = None
    began: float = field(default_factory=time.monotonic)

    def tell(self) -> ExitCode:
        """Every step that the audience stays for; the first code that is not 0 ends it."""
        from outagecast import app

        config = story.lay_out(self.home, self.providers)
        if self.interactive:
            for provider in (self.providers.x, self.providers.facebook, self.providers.twilio):
                provider.delay = SLOWLY
        company = app.start(str(config), "demo")
        chapters = story.steps(company.clock.now())
        _say(
            "REHEARSAL", "Everything here goes to stand-ins on this machine. Nobody is told, whatever the screen says."
        )
        try:
            for number, step in enumerate(chapters, 1):
                _title(f"{number} of {len(chapters)}  {step.title}", step.story)
                report = self._announce(company, step)
                if report.exit_code is ExitCode.IN_DOUBT:
                    report = self._resume(company, report)
                if report.exit_code is not ExitCode.DONE:
                    return report.exit_code
        except (click.Abort, Interrupted) as left:
            _say("Stopped.", "Nobody was told anything.")
            return left.code if isinstance(left, Interrupted) else ExitCode.INTERRUPTED
        finally:
            company.close()
        return ExitCode.DONE

    def _announce(self, company: App, step: story.Step) -> Report:
        from outagecast import message

        path = self.home / step.name
        path.write_text(step.written, encoding="utf-8")
        said: Message = message.load(path, zone=story.ZONE)
        screen.write(click.style(f"What the message says{'' if step.name[0] == '1' else ' now'}:", bold=True))
        for line in step.news.splitlines():
            screen.write(f"  {line}")
        self._wait("see what would go out")
        self.prepared = prepared = company.prepare(said)
        output.preview(prepared, wants_json=False, verbose=False)
        self._wait("send it to the stand-ins")
        if step.loses_an_answer:
            self.providers.facebook.behave("reset_after")
            self.providers.facebook.behave("error_500", method="GET")  # and it cannot be asked at once
        report = self._run(company, lambda control: company.announce(prepared, said, control), prepared)
        screen.write("")
        output.outcome(report, story.ZONE, wants_json=False, verbose=False, label="REHEARSAL")
        self._look(report)
        self._wait("go on")
        return report

    def _resume(self, company: App, report: Report) -> Report:
        _title("What now?", "Posting by hand could say it twice; leaving it could say nothing. resume looks first.")
        command = f"outagecast resume {report.incident}"
        screen.write(f"$ {command}")
        self._wait("run it")
        report = self._run(company, lambda control: company.resume(report.incident, control))
        output.outcome(report, story.ZONE, wants_json=False, verbose=False, label="REHEARSAL")
        self._wait("go on")
        return report

    def _run(self, company: App, go: Callable[[Control], Report], prepared: Prepared | None = None) -> Report:
        with Signals() as signals:  # new ones each time: they are over with the run that they stop
            return progress.walk(
                go,
                look=lambda: company.status(None),
                channels=prepared.report.channels if prepared else (),
                bulk={name for name, channel in company.config.channels.items() if channel.is_bulk},
                signals=signals,
                max_time=None,
            )

    def _look(self, report: Report) -> None:
        from outagecast.rehearsal import BANNER
        from outagecast.wall import Banner

        file = self.home / BANNER
        html = file.read_text(encoding="utf-8") if file.exists() else ""
        self.shown.append(Banner(html, self._now()))
        self.refused = max(self.refused, *(channel.counts.refused for channel in report.channels))

    def hang(self, page: Path) -> None:
        """Write the wall."""
        from outagecast import wall
        from outagecast.rehearsal.wall import of_rehearsal

        if self.prepared is None:
            return
        notes = []
        if self.refused:
            who = "1 customer" if self.refused == 1 else f"{self.refused} customers"
            notes.append(f"{who} got no text message: the number had unsubscribed, and the provider refused it.")
        seen = of_rehearsal(self.prepared.plan, self.providers, self.shown, at=self._now(), warnings=notes)
        wall.write(seen, page)

    def _now(self) -> datetime:
        return datetime.now(story.ZONE)

    def _wait(self, what: str) -> None:
        """Until the officer has read: Enter goes on, q stops. Without a terminal it goes on by itself."""
        if not self.interactive:
            return
        asked = time.monotonic()
        answer = screen.ask(click.style(f"\nEnter to {what}, q to stop:", fg="cyan"))
        self.began += time.monotonic() - asked
        if answer in {"q", "quit"}:
            raise click.Abort


def _farewell(telling: Telling, page: Path, *, kept: Path | None, code: ExitCode) -> None:
    if code is ExitCode.DONE:
        posts = len(telling.providers.x.posts) + len(telling.providers.facebook.posts)
        texts, mails = len(telling.providers.twilio.messages), len(telling.providers.smtp.mails)
        taken = time.monotonic() - telling.began
        _title("That was it", f"{posts} posts, {texts} texts and {mails} e-mails in {taken:.1f} s, to nobody.")
    if telling.shown:
        screen.write(f"{click.style('What the public would have seen:', bold=True)} {page.resolve()}")
    if kept:
        record = f"outagecast --config {kept / story.CONFIG} status"
        screen.write(f"{click.style('What was written down:', bold=True)} {record}")
    if code is ExitCode.DONE:
        screen.write(
            f"{click.style('Your own:', bold=True)} outagecast init, "
            "then outagecast preview examples/card-payments.yaml"
        )


def _title(title: str, words: str) -> None:
    screen.write("")
    _say(title, words)
    screen.write("")


def _say(title: str, words: str) -> None:
    screen.write(click.style(title, fg="magenta", bold=True))
    screen.write(words)
