"""Everything an announcement needs is looked at, one line each, and nothing is published."""

from __future__ import annotations

import fcntl
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import outagecast.templates
from outagecast import check, config, registry
from outagecast.check import Area, Item, Verdict
from outagecast.clock import Clock
from outagecast.config import ChannelConfig
from outagecast.errors import ExitCode
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.model import Status
from outagecast.rehearsal import Reply

if TYPE_CHECKING:
    from tests.conftest import Bank

SHIPPED = Path(next(iter(outagecast.templates.__path__)))
OK, WARN, WRONG = Verdict.OK, Verdict.WARN, Verdict.WRONG


@pytest.fixture
def look(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Item]]:
    """A function that checks the bank, or some of its channels, as it is written now."""
    for name, value in bank.providers.environment.items():
        monkeypatch.setenv(name, value)

    def run(*names: str, **options: Any) -> list[Item]:
        bank.write()
        loaded = config.load(bank.folder / "outagecast.yaml")
        chosen = [channel for channel in loaded.channels.values() if not names or channel.name in names]
        return check.Check(loaded, chosen, create, **options).run()

    return run


def create(channel: ChannelConfig) -> Any:
    return registry.create(channel.kind, channel.settings)


def of(items: list[Item], name: str) -> Item:
    found = [item for item in items if item.name == name]
    assert len(found) == 1, found
    return found[0]


def not_ok(items: list[Item]) -> list[str]:
    return [item.name for item in items if item.verdict is not OK]


def test_a_bank_in_order_is_ok_in_every_line(bank: Bank, look: Callable[..., list[Item]]) -> None:
    items = look()

    assert not_ok(items) == []
    assert [item.name for item in items] == [
        *("config", "templates", "playbooks", "audience of sms", "audience of email", "ledger", "disk"),
        *("x", "facebook", "sms", "email", "banner", "clock"),
    ]
    assert check.judge(items) is ExitCode.DONE


def test_nothing_is_published_and_nothing_is_left_behind(bank: Bank, look: Callable[..., list[Item]]) -> None:
    bank.write()
    before = sorted(path.name for path in bank.folder.iterdir())

    look()

    providers = (bank.providers.x, bank.providers.facebook, bank.providers.twilio, bank.providers.website)
    assert {request.method for provider in providers for request in provider.requests} == {"GET"}
    assert all(provider.requests for provider in providers)
    assert set(bank.sent.values()) == {0}
    assert sorted(path.name for path in bank.folder.iterdir()) == before


def test_a_mail_server_hears_no_mail_command(bank: Bank, look: Callable[..., list[Item]]) -> None:
    with mail_server() as (port, heard):
        bank.config["channels"]["email"] |= {"port": port, "host": "127.0.0.1"}
        for name in ("username", "password"):
            del bank.config["channels"]["email"][name]

        assert of(look("email"), "email").verdict is OK
    assert heard == ["EHLO", "NOOP", "QUIT"]


@pytest.mark.parametrize(
    ("watch", "words"),
    [
        ({"command": ["sh", "-c", "true"], "webhook": "env:MY_HOOK"}, None),
        ({"command": ["./incident.yaml"]}, "the command ./incident.yaml is not there, or is no program"),
        ({"command": ["no-such-program"]}, "the command no-such-program is not there, or is no program"),
        ({"webhook": "env:NO_HOOK"}, "the webhook: the environment variable NO_HOOK is not set"),
        ({"webhook": "env:MY_WORD"}, "the webhook env:MY_WORD holds no web address"),
    ],
)
def test_nobody_to_warn_is_a_warning(
    bank: Bank,
    look: Callable[..., list[Item]],
    monkeypatch: pytest.MonkeyPatch,
    watch: dict[str, Any],
    words: str | None,
) -> None:
    monkeypatch.setenv("MY_HOOK", "https://hooks.example.com/T0/swordfish")
    monkeypatch.setenv("MY_WORD", "swordfish")
    bank.config["watch"] = watch

    item = of(look("banner"), "watch")

    assert (item.verdict, item.words) == ((WARN, words) if words else (OK, "somebody can be warned"))


# --- time


def test_providers_that_never_answer_keep_nobody_waiting(bank: Bank, look: Callable[..., list[Item]]) -> None:
    with ExitStack() as stack:
        for name in ("x", "facebook", "sms", "email"):
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))  # accepts, and never says a word
            port = server.getsockname()[1]
            mail = {"host": "127.0.0.1", "port": port}
            bank.config["channels"][name] |= mail if name == "email" else {"api_url": f"http://127.0.0.1:{port}"}
        began = time.monotonic()

        items = look(patience=3.0)
        took = time.monotonic() - began

    assert 3.0 <= took < 4.5
    assert not_ok(items) == ["x", "facebook", "sms", "email"]
    assert {item.words for item in items if item.verdict is WRONG} == {"no answer within 3 seconds"}
    assert check.judge(items) is ExitCode.CONFIG


def test_the_command_ends_within_thirty_seconds() -> None:
    assert check.PATIENCE <= 25  # and the rest for a slow machine to start


def test_providers_that_are_down_are_wrong_at_once(bank: Bank, look: Callable[..., list[Item]]) -> None:
    for provider in (bank.providers.x, bank.providers.facebook, bank.providers.twilio, bank.providers.website):
        provider.close()

    items = look("x", "facebook", "sms", "banner")

    assert [item.verdict for item in items if item.area is Area.CHANNEL] == [WRONG] * 4
    assert "refused" in of(items, "x").words


# --- templates


def broken(bank: Bank, name: str, change: Callable[[str], str]) -> None:
    """Give the bank a template of its own, the shipped one changed."""
    folder = bank.folder / "my-templates" / "en"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(change((SHIPPED / "en" / name).read_text(encoding="utf-8")), encoding="utf-8")
    bank.config["templates"] = "my-templates"


@pytest.mark.parametrize("status", Status)
def test_a_template_that_is_broken_for_one_status_is_found(
    bank: Bank, look: Callable[..., list[Item]], status: Status
) -> None:
    opening = f"{{% block {status} %}}"
    broken(bank, "x.text.j2", lambda text: text.replace(opening, f"{opening}{{{{ nonsense }}}}"))

    found = of(look("x"), "templates")

    assert found.verdict is WRONG
    assert "en/x.text.j2" in found.words
    assert "nonsense" in found.words


@pytest.mark.parametrize("case", ["first", "not first", "cause_unknown", "cause", "workaround", "not workaround"])
def test_a_template_that_is_broken_for_some_messages_is_found(
    bank: Bank, look: Callable[..., list[Item]], case: str
) -> None:
    opening = "{% block investigating %}"
    trap = f"{opening}{{% if {case} %}}{{{{ nonsense }}}}{{% endif %}}"
    broken(bank, "x.text.j2", lambda text: text.replace(opening, trap))

    assert "nonsense" in of(look("x"), "templates").words


def test_templates_that_are_not_where_the_config_says_are_missed(bank: Bank, look: Callable[..., list[Item]]) -> None:
    bank.config["templates"] = "my-tempaltes"

    found = of(look("x"), "templates")

    missing = bank.folder / "my-tempaltes"
    words = f"there is no folder {missing}, which should hold your templates"
    assert (found.verdict, found.words) == (WRONG, words)


def test_a_playbook_that_does_not_fit_is_named(bank: Bank, look: Callable[..., list[Item]]) -> None:
    opening = "{% block scheduled %}"
    broken(bank, "x.text.j2", lambda text: text.replace(opening, f"{opening}{'too long ' * 40}"))

    items = [item for item in look("x") if item.area is Area.PLAYBOOKS]

    assert [(item.name, item.verdict) for item in items] == [("planned-maintenance", WARN)]
    assert "too long for x" in items[0].words


def test_a_playbook_that_takes_something_back_is_tried_as_if_it_had_been_said(
    bank: Bank, look: Callable[..., list[Item]]
) -> None:
    opening = "{% block retracted %}"
    trap = f"{opening}{{% if first %}}{'too long ' * 40}{{% endif %}}"
    broken(bank, "x.text.j2", lambda text: text.replace(opening, trap))

    assert of(look("x"), "playbooks").verdict is OK


def test_a_promised_language_without_templates_is_wrong_for_every_channel_that_speaks_it(
    bank: Bank, look: Callable[..., list[Item]]
) -> None:
    bank.config["organisation"]["languages"] = ["en", "xx"]

    items = [item for item in look() if item.area is Area.TEMPLATES]

    assert {item.verdict for item in items} == {WRONG}
    assert {name for name in ("sms", "smtp.subject") for item in items if name in item.words} == {"sms", "smtp.subject"}
    assert check.judge(items) is ExitCode.BAD_INPUT


# --- audiences


def test_a_bad_row_is_named_by_its_line(bank: Bank, look: Callable[..., list[Item]]) -> None:
    bank.customers(("Ana", "0491570156", "ana@example.com"))

    items = look()

    assert [item.verdict for item in items if item.name == "audience of sms"] == [WRONG, WRONG]
    assert any("customers.csv:2" in item.words for item in items)
    assert check.judge(items) is ExitCode.BAD_INPUT


def test_a_few_bad_rows_among_thousands_are_a_warning(bank: Bank, look: Callable[..., list[Item]]) -> None:
    people = [(f"P{number}", f"+614915{number:05}", f"p{number}@example.com") for number in range(2000)]
    bank.customers(("Ana", "0491570156", "ana@example.com"), *people)

    items = look("sms")

    found = of(items, "audience of sms")
    assert (found.verdict, found.fix) == (WARN, f"correct {bank.folder / 'customers.csv'}:2")
    assert found.words.startswith("2,000 people with phone, 1 row left out")
    assert check.judge(items) is ExitCode.DONE


def test_an_audience_of_nobody_is_a_warning(bank: Bank, look: Callable[..., list[Item]]) -> None:
    bank.customers()

    assert of(look("sms"), "audience of sms").verdict is WARN


# --- the ledger and its disk


def test_a_folder_where_no_ledger_can_be_made_is_wrong(bank: Bank, look: Callable[..., list[Item]]) -> None:
    bank.config["ledger"] = "sqlite:///nowhere/outagecast.db"

    items = look("x")

    found = of(items, "ledger")
    assert (found.verdict, found.fix) == (WRONG, f"mkdir -p {bank.folder / 'nowhere'}")
    assert check.judge(items) is ExitCode.LEDGER


def test_a_damaged_ledger_is_wrong(bank: Bank, look: Callable[..., list[Item]]) -> None:
    (bank.folder / "outagecast.db").write_bytes(b"not a database, by far" * 100)

    assert of(look("x"), "ledger").verdict is WRONG


def test_who_is_announcing_is_named(bank: Bank, look: Callable[..., list[Item]]) -> None:
    SqliteLedger(bank.folder / "outagecast.db").close()
    with (bank.folder / "outagecast.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("ana@desk (process 1, since 03:00 AEDT)\n")
        lock.flush()

        found = of(look("x"), "ledger")

    assert found.verdict is WARN
    assert found.words.startswith("ana@desk (process 1, since 03:00 AEDT) is announcing")


def test_a_run_that_was_cut_short_is_told(bank: Bank, look: Callable[..., list[Item]]) -> None:
    SqliteLedger(bank.folder / "outagecast.db").close()
    (bank.folder / "outagecast.db.lock").write_text("ana@desk (process 1, since 03:00 AEDT)\n")

    found = of(look("x"), "ledger")

    assert (found.verdict, found.fix) == (WARN, "look: outagecast status")


@pytest.mark.parametrize(("room", "verdict"), [(64 << 20, OK), ((64 << 20) - 1, WARN)])
def test_little_room_beside_the_ledger_is_a_warning(
    bank: Bank, look: Callable[..., list[Item]], room: int, verdict: Verdict
) -> None:
    items = look("x", room=lambda folder: room if folder == bank.folder else 0)

    assert of(items, "disk").verdict is verdict


# --- credentials


def test_a_credential_that_is_not_set_is_wrong_with_what_to_type(
    bank: Bank, look: Callable[..., list[Item]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REHEARSAL_X_API_KEY")

    items = look()

    assert not_ok(items) == ["x"]
    assert of(items, "x").fix == "export REHEARSAL_X_API_KEY=… and run again"
    assert check.judge(items) is ExitCode.CONFIG


def test_a_dead_token_is_wrong_and_shows_no_secret(
    bank: Bank, look: Callable[..., list[Item]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REHEARSAL_FACEBOOK_PAGE_TOKEN", "canary-7f3a91")

    found = of(look("facebook"), "facebook")

    assert found.verdict is WRONG
    assert "page_token" in found.fix
    assert "canary" not in f"{found.words}{found.fix}"


def test_a_channel_that_is_not_required_is_only_a_warning(bank: Bank, look: Callable[..., list[Item]]) -> None:
    bank.config["channels"]["x"]["required"] = False
    bank.providers.x.close()

    items = look("x")

    assert of(items, "x").verdict is WARN
    assert check.judge(items) is ExitCode.DONE


def test_a_provider_that_was_asked_too_often_is_a_warning(bank: Bank, look: Callable[..., list[Item]]) -> None:
    bank.providers.x.behave("rate_limited", method="GET")

    assert of(look("x"), "x").verdict is WARN


class At(Clock):
    """A clock that stands still."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now


@pytest.mark.parametrize(("days", "verdict"), [(15, OK), (13, WARN), (-1, WARN)])
def test_a_token_that_ends_soon_is_a_warning(
    bank: Bank, look: Callable[..., list[Item]], days: int, verdict: Verdict
) -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    bank.providers.facebook.token_expires_at = now + timedelta(days=days)

    found = of(look("facebook", clock=At(now)), "facebook")

    assert found.verdict is verdict
    assert f"{now + timedelta(days=days):%Y-%m-%d}" in found.words


def test_a_token_without_the_right_to_post_is_wrong(bank: Bank, look: Callable[..., list[Item]]) -> None:
    bank.providers.facebook.scopes.remove("pages_manage_posts")

    found = of(look("facebook"), "facebook")

    assert found.verdict is WRONG
    assert "pages_manage_posts" in found.words


def test_tokens_that_x_calls_read_only_are_wrong(bank: Bank, look: Callable[..., list[Item]]) -> None:
    answer = {"data": {"id": "1", "username": "ExampleBank", "name": "Example Bank"}}
    bank.providers.x.behave(Reply(200, answer, {"x-access-level": "read"}), method="GET")

    found = of(look("x"), "x")

    assert found.verdict is WRONG
    assert "Read and write" in found.fix


# --- the clock


def introduced(*, behind: float) -> Reply:
    """What X says of the account, by a clock that is this many seconds behind ours."""
    told = datetime.now(UTC) - timedelta(seconds=behind)
    answer = {"data": {"id": "1", "username": "ExampleBank", "name": "Example Bank"}}
    return Reply(200, answer, {"Date": format_datetime(told, usegmt=True)})


@pytest.mark.parametrize(
    ("behind", "verdict", "words"),
    [
        (0, OK, "agrees with"),
        (30, WARN, "ahead of"),
        (-30, WARN, "behind"),
        (90, WRONG, "ahead of"),
        (-90, WRONG, "behind"),
    ],
)
def test_our_clock_is_compared_with_the_servers(
    bank: Bank, look: Callable[..., list[Item]], behind: float, verdict: Verdict, words: str
) -> None:
    bank.providers.x.behave(introduced(behind=behind), method="GET")

    found = of(look("x"), "clock")

    assert found.verdict is verdict
    assert words in found.words


def test_one_server_whose_clock_is_wrong_does_not_make_ours_wrong(bank: Bank, look: Callable[..., list[Item]]) -> None:
    bank.providers.x.behave(introduced(behind=900), method="GET")

    assert of(look("x", "sms"), "clock").verdict is OK


# --- the whole


def test_the_first_of_several_codes_is_the_answer() -> None:
    expected = {
        (Area.TEMPLATES, Area.LEDGER): ExitCode.BAD_INPUT,
        (Area.AUDIENCE, Area.CHANNEL): ExitCode.BAD_INPUT,
        (Area.DISK, Area.CHANNEL): ExitCode.LEDGER,
        (Area.LEDGER, Area.CONFIG): ExitCode.LEDGER,
        (Area.CLOCK, Area.CHANNEL): ExitCode.CONFIG,
    }

    for areas, code in expected.items():
        items = [Item(area, area.value, WRONG, "") for area in areas]

        assert check.judge(items) is code
        assert check.judge(items[::-1]) is code


def test_every_area_has_an_exit_code() -> None:
    assert sorted(itertools.chain(*check.PRECEDENCE.values())) == sorted(Area)


# --- servers


class mail_server:  # noqa: N801 - used as a function
    """A mail server of a few lines that keeps the verbs it hears."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._heard: list[str] = []

    def __enter__(self) -> tuple[int, list[str]]:
        threading.Thread(target=self._serve, daemon=True).start()
        return self._server.getsockname()[1], self._heard

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _serve(self) -> None:
        connection, _ = self._server.accept()
        with closing(connection), connection.makefile("rwb") as lines:
            for answer in self._answers(lines):
                lines.write(answer)
                lines.flush()

    def _answers(self, lines: Any) -> Iterator[bytes]:
        yield b"220 mail.example.com\r\n"
        for line in lines:
            self._heard.append(line.decode().split()[0].upper())
            yield b"250 OK\r\n" if self._heard[-1] != "QUIT" else b"221 Bye\r\n"
            if self._heard[-1] == "QUIT":
                return
