"""The whole path for whoever asks: what an update is, resuming, settling, and what a status says."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import yaml

from outagecast import app as application
from outagecast import message
from outagecast.app import App
from outagecast.channel import Channel, Idempotency, Limit, LookUp, OnDoubt, Semantics
from outagecast.clock import Clock
from outagecast.config import ChannelConfig
from outagecast.config import load as load_config
from outagecast.control import Control
from outagecast.dry_run import Prepared
from outagecast.errors import (
    ConfigError,
    ConflictError,
    ExitCode,
    LedgerError,
    MessageError,
    PlanError,
    Rejected,
    Unavailable,
    Uncertain,
    UsageError,
)
from outagecast.ledger import Event, Move
from outagecast.ledger.witness import Mark, recall
from outagecast.message import Message
from outagecast.model import Delivery, Receipt, State
from outagecast.report import ChannelReport, Report

START = datetime(2026, 11, 22, 7, 32, tzinfo=UTC)
HOLD = Semantics(Idempotency.NONE, LookUp.EVENTUAL, OnDoubt.HOLD, timedelta(minutes=5), "test")

CONFIG: dict[str, Any] = {
    "organisation": {"name": "Example Bank", "timezone": "UTC", "status_page": "https://status.example.com"},
    "audiences": {"customers": {"file": "customers.csv"}},
    "channels": {
        "x": {
            "kind": "x",
            "api_key": "env:A",
            "api_secret": "env:A",
            "access_token": "env:A",
            "access_token_secret": "env:A",
        },
        "facebook": {"kind": "facebook", "page_id": "100", "page_token": "env:A"},
        "sms": {
            "kind": "twilio_sms",
            "account_sid": "env:A",
            "auth_token": "env:A",
            "messaging_service_sid": "MG" + "0" * 32,
            "audience": "customers",
        },
    },
}
MESSAGE: dict[str, Any] = {
    "incident": "cards",
    "status": "investigating",
    "title": "Card payments are failing",
    "summary": "Our cards are being declined in shops and online.",
    "started_at": "2026-11-22T07:00+00:00",
    "cause": "unknown",
    "workaround": ["Cash machines still work."],
    "next_update_at": "30m",
    "apology": "We are sorry.",
}
RESOLVED: dict[str, Any] = {
    "status": "resolved",
    "summary": "Cards work again.",
    "next_update_at": None,
    "cause": "A power cut.",
}
IDENTIFIED: dict[str, Any] = {"status": "identified", "cause": "A power cut."}


class SetClock(Clock):
    """A clock that moves when somebody waits for it, or when a test says so."""

    def __init__(self) -> None:
        self.time = START
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            return self.time

    def wait(self, seconds: float, stop: threading.Event) -> None:
        with self._lock:
            self.time += timedelta(seconds=seconds)


class Postbox:
    """Every provider at once, in this process: takes everything, unless told otherwise for a channel or a person."""

    kind: ClassVar[str] = "x"
    parts: ClassVar[Mapping[str, Limit]] = {}
    addresses: ClassVar[Literal["phone", "email"] | None] = None
    escapes: ClassVar[frozenset[str]] = frozenset()
    semantics: ClassVar[Semantics] = HOLD
    imports: ClassVar[tuple[str, ...]] = ()

    def __init__(self, name: str, desk: Desk) -> None:
        self.name, self.desk = name, desk

    def check(self) -> None:
        raise AssertionError("nothing is checked in a run")

    def send(self, delivery: Delivery) -> Receipt:
        with self.desk.lock:
            self.desk.sent.append((self.name, delivery))
            number = len(self.desk.sent)
        for about in (self.name, delivery.target):
            if trouble := self.desk.trouble.get(about):
                raise trouble
        return Receipt(f"{self.name}-{number}", f"https://{self.name}.example/{number}")

    def find(self, delivery: Delivery) -> Receipt | None:
        self.desk.asked.append((self.name, delivery))
        return self.desk.shown.get(self.name)

    def close(self) -> None:
        pass


@dataclass
class Desk:
    """An organisation's desk: one config, and providers that remember."""

    folder: Path
    clock: SetClock = field(default_factory=SetClock)
    sent: list[tuple[str, Delivery]] = field(default_factory=list)
    asked: list[tuple[str, Delivery]] = field(default_factory=list)
    trouble: dict[str, Exception] = field(default_factory=dict)
    shown: dict[str, Receipt] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    opened: list[App] = field(default_factory=list)

    def app(self, ledger: str = "outagecast.db", channels: dict[str, Any] | None = None, **changes: Any) -> App:
        chosen = CONFIG["channels"] if channels is None else channels
        path = self.folder / "outagecast.yaml"
        path.write_text(
            yaml.safe_dump({**CONFIG, "ledger": f"sqlite:///{ledger}", "channels": chosen, **changes}, sort_keys=False)
        )
        made = App(load_config(path), "ana@desk", self.clock, self._create)
        self.opened.append(made)
        return made

    def _create(self, config: ChannelConfig) -> Channel:
        return Postbox(config.name, self)

    def audience(self, *names: str) -> None:
        rows = [f"{name},+614915701{number:02},en" for number, name in enumerate(names, 50)]
        (self.folder / "customers.csv").write_text("\n".join(["name,phone,language", *rows]) + "\n")

    def say(self, **facts: Any) -> Message:
        path = self.folder / "incident.yaml"
        path.write_text(yaml.safe_dump({name: fact for name, fact in {**MESSAGE, **facts}.items() if fact is not None}))
        return message.load(path)

    def announce(self, *only: str, app: App | None = None, control: Control | None = None, **facts: Any) -> Report:
        said, mine = self.say(**facts), app or self.app()
        return mine.announce(mine.prepare(said, only=only), said, control or Control())

    def prepare(self, *only: str, **facts: Any) -> Prepared:
        return self.app().prepare(self.say(**facts), only=only)

    @property
    def calls(self) -> list[tuple[str, int]]:
        """(channel, update) of everything sent."""
        return sorted((name, delivery.update) for name, delivery in self.sent)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    desk.audience("Ana", "Ben")
    yield desk
    for app in desk.opened:
        if "ledger" in vars(app):
            app.ledger.close()


def by_name(report: Report) -> dict[str, ChannelReport]:
    return {channel.channel: channel for channel in report.channels}


def states(report: Report) -> dict[str, str]:
    return {channel.channel: channel.state.value for channel in report.channels}


ANA, BEN = "+61491570150", "+61491570151"
PUBLIC = ("x", "facebook")
OUT = {"x": "accepted", "facebook": "accepted", "sms": "accepted"}


# -- what an update is ---


def test_an_announcement_goes_to_every_channel_and_everybody_once(desk: Desk) -> None:
    report = desk.announce()
    assert (report.exit_code, report.update, states(report)) == (ExitCode.DONE, 1, OUT)
    assert desk.calls == [("facebook", 1), ("sms", 1), ("sms", 1), ("x", 1)]
    assert sorted(item.target for name, item in desk.sent if name == "sms") == [ANA, BEN]


def test_the_same_message_again_sends_nothing_and_says_it_is_done(desk: Desk) -> None:
    desk.announce()
    before = list(desk.sent)
    report = desk.announce()
    assert (report.exit_code, report.update, states(report)) == (ExitCode.DONE, 1, OUT)
    assert desk.sent == before


def test_key_order_comments_and_the_briefing_make_no_new_update(desk: Desk) -> None:
    desk.announce()
    path = desk.folder / "incident.yaml"
    shuffled = dict(reversed(MESSAGE.items())) | {"briefing": {"say": ["Be kind."]}}
    path.write_text("# a comment\n" + yaml.safe_dump(shuffled, sort_keys=False))
    app, said = desk.app(), message.load(path)
    report = app.announce(app.prepare(said), said, Control())
    assert (report.update, len(desk.sent)) == (1, 4)


def test_what_went_to_some_channels_first_goes_to_the_rest_as_the_same_update(desk: Desk) -> None:
    first = desk.announce("x")
    assert (first.exit_code, states(first), desk.calls) == (ExitCode.DONE, {"x": "accepted"}, [("x", 1)])
    desk.clock.wait(600, threading.Event())
    rest = desk.announce()
    assert (rest.exit_code, rest.update, states(rest)) == (ExitCode.DONE, 1, OUT)
    assert desk.calls == [("facebook", 1), ("sms", 1), ("sms", 1), ("x", 1)]


def test_a_duration_is_resolved_once_and_kept_for_the_channels_that_follow(desk: Desk) -> None:
    first = desk.announce("x")
    assert first.next_update_at == datetime(2026, 11, 22, 8, 5, tzinfo=UTC)  # 07:32 + 30m, up to full five minutes
    desk.clock.wait(1200, threading.Event())
    rest = desk.announce()
    assert rest.next_update_at == first.next_update_at
    texts = {name: " ".join(delivery.parts.values()) for name, delivery in desk.sent}
    assert all("8:05" in text for text in texts.values()), texts


def test_an_older_message_again_is_a_conflict_and_sends_nothing(desk: Desk) -> None:
    desk.announce()
    desk.announce(**IDENTIFIED)
    before = list(desk.sent)
    with pytest.raises(ConflictError) as caught:
        desk.announce()
    assert caught.value.exit_code == ExitCode.CONFLICT
    assert "this is update 1 of cards again, and update 2 is newer" in str(caught.value)
    assert desk.sent == before


def test_a_changed_fact_is_the_next_update_in_the_same_thread(desk: Desk) -> None:
    first = desk.announce(*PUBLIC)
    report = desk.announce(*PUBLIC, **IDENTIFIED)
    assert (report.update, report.status, report.exit_code) == (2, "identified", ExitCode.DONE)
    threads = {name: item.thread and item.thread.provider_id for name, item in desk.sent if item.update == 2}
    assert threads == {name: item.provider_id for name, item in by_name(first).items()}


def test_a_channel_whose_words_did_not_change_is_not_posted_again(desk: Desk) -> None:
    text = "Our cards are declined since 7am. Cash machines still work. We are sorry. Next word 8:05am."
    written = {"x": {"en": {"text": text}}}
    desk.announce("x", variants=written)
    report = desk.announce("x", variants=written, briefing=None, compensation="We refund fees.")
    assert (report.update, report.exit_code, states(report)) == (2, ExitCode.DONE, {"x": "unchanged"})
    assert by_name(report)["x"].published == "yes"
    assert desk.calls == [("x", 1)]


def test_who_was_refused_for_their_own_reason_hears_no_first_word_again(desk: Desk) -> None:
    desk.trouble[BEN] = Rejected("unsubscribed", recipient=True)
    desk.announce("sms")
    desk.announce("sms", **IDENTIFIED)
    desk.announce("sms", **RESOLVED)
    assert [item.update for name, item in desk.sent if item.target == BEN] == [1]
    assert [item.update for name, item in desk.sent if item.target == ANA] == [1, 3]


def test_words_that_may_be_there_already_are_not_posted_again_but_looked_for(desk: Desk) -> None:
    text = "Our cards are declined since 7am. Cash machines still work. We are sorry. Next word 8:05am."
    written = {"x": {"en": {"text": text}}}
    desk.trouble["x"] = Uncertain("no answer")
    desk.announce("x", variants=written)
    desk.trouble.clear()
    desk.shown.clear()
    report = desk.announce("x", variants=written, compensation="We refund fees.")
    assert (report.update, report.exit_code, states(report)) == (2, ExitCode.IN_DOUBT, {"x": "in_doubt"})
    assert desk.calls == [("x", 1)]
    desk.shown["x"] = Receipt("x-1", "https://x.example/1")
    assert states(desk.app().resume("cards", Control())) == {"x": "accepted"}
    assert desk.calls == [("x", 1)]


@pytest.mark.parametrize("gone", [Event.GONE, Event.SEEN_DIFFERENT])
def test_words_that_the_public_no_longer_sees_are_posted_again(desk: Desk, gone: Event) -> None:
    text = "Our cards are declined since 7am. Cash machines still work. We are sorry. Next word 8:05am."
    written = {"x": {"en": {"text": text}}}
    desk.announce("x", variants=written)
    ledger = desk.app().ledger
    (entry,) = ledger.entries("cards", 1, "x", {State.ACCEPTED})
    ledger.move(entry, Move(gone), desk.clock.now(), "ana@desk")
    desk.announce("x", variants=written, compensation="We refund fees.")
    assert desk.calls == [("x", 1), ("x", 2)]


def test_no_all_clear_goes_where_nothing_was_announced(desk: Desk) -> None:
    desk.announce("x")
    report = desk.announce(**RESOLVED)
    assert states(report) == {"x": "accepted", "facebook": "skipped", "sms": "skipped"}
    assert (report.exit_code, desk.calls) == (ExitCode.DONE, [("x", 1), ("x", 2)])


def test_personal_messages_carry_the_first_word_and_the_last(desk: Desk) -> None:
    desk.announce()
    middle = desk.announce(**IDENTIFIED)
    last = desk.announce(**RESOLVED)
    assert (states(middle)["sms"], states(last)["sms"]) == ("skipped", "accepted")
    assert [number for name, number in desk.calls if name == "sms"] == [1, 1, 3, 3]


def test_who_got_no_first_word_gets_the_newest_facts_as_first_word(desk: Desk) -> None:
    desk.trouble[BEN] = Unavailable("cannot be reached", retry_after=3600.0)
    first = desk.announce()
    assert (first.exit_code, by_name(first)["sms"].counts.pending) == (ExitCode.PENDING, 1)
    desk.trouble.clear()
    second = desk.announce(**IDENTIFIED)
    assert by_name(second)["sms"].counts == type(by_name(second)["sms"].counts)(planned=1, accepted=1, skipped=1)
    assert [item.update for name, item in desk.sent if item.target == BEN][-1] == 2
    assert [item.update for name, item in desk.sent if item.target == ANA] == [1]
    assert [item.state for item in desk.app().ledger.entries("cards", 1, "sms", set(State))] == [
        State.ACCEPTED,
        State.SUPERSEDED,
    ]


def test_words_of_an_older_update_never_follow_a_newer_one(desk: Desk) -> None:
    desk.trouble["x"] = Unavailable("cannot be reached", retry_after=3600.0)
    desk.announce("x", "facebook")
    desk.trouble.clear()
    desk.announce("x", "facebook", **IDENTIFIED)
    desk.clock.wait(3600, threading.Event())
    report = desk.app().resume("cards", Control())
    assert report.exit_code == ExitCode.DONE
    assert [item.update for name, item in desk.sent if name == "x"] == [1, 2]


@pytest.mark.parametrize("trouble", [Rejected("dead token", account=True), Unavailable("down", retry_after=3600.0)])
def test_an_outage_is_not_announced_after_it_was_resolved_elsewhere(desk: Desk, trouble: Exception) -> None:
    desk.trouble["x"] = trouble
    desk.announce(*PUBLIC)
    desk.trouble.clear()
    desk.announce(*PUBLIC, **RESOLVED)
    desk.clock.wait(300, threading.Event())
    report = desk.app().resume("cards", Control())
    assert [item.update for name, item in desk.sent if name == "x"] == [1]  # the one that failed
    assert (report.exit_code, states(report)["x"]) == (ExitCode.DONE, "skipped")


def test_a_changed_all_clear_follows_up_where_the_first_went(desk: Desk) -> None:
    desk.announce()
    desk.announce(**RESOLVED)
    report = desk.announce(**RESOLVED, compensation="We refund any fee.")
    assert (report.update, report.exit_code, states(report)["x"]) == (3, ExitCode.DONE, "accepted")


def test_a_doubtful_update_stays_in_doubt_while_the_newer_one_goes_out(desk: Desk) -> None:
    desk.trouble["x"] = Uncertain("no answer")
    assert desk.announce("x").exit_code == ExitCode.IN_DOUBT
    desk.trouble.clear()
    report = desk.announce("x", **IDENTIFIED)
    assert (report.exit_code, states(report)) == (ExitCode.DONE, {"x": "accepted"})
    (old,) = desk.app().ledger.entries("cards", 1, "x", set(State))
    assert old.state is State.IN_DOUBT
    assert desk.calls == [("x", 1), ("x", 2)]


# -- the dry run ---


def test_a_dry_run_sends_nothing_writes_nothing_and_says_what_the_real_one_will(desk: Desk) -> None:
    prepared = desk.prepare()
    assert not (desk.folder / "outagecast.db").exists()
    assert desk.sent == []
    real = desk.announce()
    assert (real.digest, prepared.report.mode, prepared.report.update) == (prepared.digest, "dry_run", 1)
    parts = {(item.channel, item.language): dict(item.parts) for item in prepared.variants}
    assert all(parts[name, item.language] == dict(item.parts) for name, item in desk.sent)


def test_a_dry_run_of_what_is_out_says_so_with_the_same_digest(desk: Desk) -> None:
    real = desk.announce()
    desk.clock.wait(900, threading.Event())
    again = desk.prepare()
    assert (again.digest, states(again.report)) == (real.digest, OUT)


def test_the_digest_tells_a_subset_from_the_whole_and_one_audience_from_another(desk: Desk) -> None:
    whole, part = desk.prepare().digest, desk.prepare("x").digest
    desk.audience("Ana", "Ben", "Chi")
    assert len({whole, part, desk.prepare().digest}) == 3


def test_a_status_tells_the_digest_of_what_was_opened_last(desk: Desk) -> None:
    desk.announce("x")
    whole = desk.announce()
    desk.announce("x")
    assert desk.app().status("cards").digest == whole.digest


# -- a ledger that was lost, or put back ---


def put_back(desk: Desk) -> None:
    """Announce, and go on with a copy of the ledger from before anything was out."""
    path, copy = desk.folder / "outagecast.db", desk.folder / "copy.db"
    desk.trouble["x"] = Unavailable("later", retry_after=600)
    first = desk.app()
    desk.announce("x", app=first)
    first.close()
    shutil.copy(path, copy)
    desk.trouble.clear()
    desk.clock.time += timedelta(minutes=20)
    first = desk.app()
    first.resume("cards", Control())
    first.close()
    assert desk.calls == [("x", 1), ("x", 1)]  # one of them was refused
    shutil.copy(copy, path)


def test_a_ledger_that_was_put_back_sends_nothing_again_that_is_seen(desk: Desk) -> None:
    put_back(desk)
    desk.shown["x"] = Receipt("x-2")
    outcome = desk.app().resume("cards", Control())

    assert (states(outcome), desk.calls) == ({"x": "accepted"}, [("x", 1), ("x", 1)])
    assert "older copy" in desk.app().status("cards").warnings[0]


def test_a_ledger_that_was_put_back_leaves_to_a_person_what_is_not_seen(desk: Desk) -> None:
    put_back(desk)
    outcome = desk.app().resume("cards", Control())
    assert (states(outcome), outcome.exit_code) == ({"x": "needs_decision"}, ExitCode.IN_DOUBT)
    assert desk.calls == [("x", 1), ("x", 1)]


def test_a_ledger_that_was_lost_is_missed_before_anything_is_sent(desk: Desk) -> None:
    first = desk.app()
    desk.announce("x", app=first)
    first.close()
    for file in desk.folder.glob("outagecast.db*"):
        file.unlink()
    desk.shown["x"] = Receipt("x-1")
    desk.asked.clear()

    warnings = desk.prepare("x").report.warnings
    again = desk.announce("x")

    assert "the ledger that was used here before is gone" in warnings[0]
    assert "the ledger that was used here before is gone" in again.warnings[0]
    assert (states(again), desk.calls, len(desk.asked)) == ({"x": "accepted"}, [("x", 1)], 1)


def test_a_ledger_is_remembered_before_anything_is_sent_since_the_run_may_be_killed(desk: Desk) -> None:
    known: list[Mark | None] = []
    desk.announce("x", control=Control(watch=lambda _: known.append(recall(desk.folder / "outagecast.db"))))
    assert known[0] is not None


def test_an_update_after_a_ledger_was_lost_is_looked_for_too(desk: Desk) -> None:
    first = desk.app()
    desk.announce("x", app=first)
    first.close()
    for file in desk.folder.glob("outagecast.db*"):
        file.unlink()
    desk.announce("x")
    desk.asked.clear()
    desk.announce("x", **IDENTIFIED)
    assert len(desk.asked) == 1


# -- who else is there ---


def test_two_who_announce_at_once_do_not_both(desk: Desk) -> None:
    said, mine, theirs = desk.say(), desk.app(), desk.app()
    with theirs.ledger.lock(), pytest.raises(ConflictError, match="is announcing from this ledger"):
        mine.announce(mine.prepare(said), said, Control())
    assert desk.sent == []


def test_who_prepared_before_another_announced_is_told_by_whom(desk: Desk) -> None:
    said, mine = desk.say(**IDENTIFIED), desk.app()
    prepared = mine.prepare(said)
    desk.announce()
    before = list(desk.sent)
    with pytest.raises(ConflictError, match="ana@desk opened update 1 before you; nothing was sent"):
        mine.announce(prepared, said, Control())
    assert desk.sent == before


def test_two_who_prepared_the_same_send_it_once(desk: Desk) -> None:
    said, mine = desk.say(), desk.app()
    prepared = mine.prepare(said)
    desk.announce()
    report = mine.announce(prepared, said, Control())
    assert (report.exit_code, len(desk.sent)) == (ExitCode.DONE, 4)


def test_a_second_ledger_knows_nothing_of_the_first(desk: Desk) -> None:
    desk.announce("x")
    report = desk.announce("x", app=desk.app("other.db"))
    assert (report.update, desk.calls) == (1, [("x", 1), ("x", 1)])
    assert len({delivery.key for _, delivery in desk.sent}) == 1  # a provider that knows keys would see it


# -- resuming ---


def test_resuming_sends_what_is_certainly_unsent_and_nothing_else(desk: Desk) -> None:
    desk.trouble = {"facebook": Rejected("dead token", account=True), BEN: Unavailable("down", retry_after=60.0)}
    first = desk.announce()
    assert first.exit_code == ExitCode.PARTIAL
    assert states(first) == {"x": "accepted", "facebook": "failed", "sms": "ready"}
    assert by_name(first)["sms"].retry_after_s == 60
    desk.trouble.clear()
    desk.clock.wait(60, threading.Event())
    report = desk.app().resume(None, Control())
    assert (report.exit_code, states(report)) == (ExitCode.DONE, OUT)
    assert desk.calls == [("facebook", 1), ("facebook", 1), ("sms", 1), ("sms", 1), ("sms", 1), ("x", 1)]


def test_the_same_message_again_resumes_too(desk: Desk) -> None:
    desk.trouble = {"facebook": Rejected("dead token", account=True)}
    desk.announce()
    desk.trouble.clear()
    assert desk.announce("facebook").exit_code == ExitCode.DONE
    assert desk.calls.count(("facebook", 1)) == 2
    assert desk.calls.count(("x", 1)) == 1


def test_a_recipient_who_was_refused_for_their_own_reason_is_not_tried_again(desk: Desk) -> None:
    desk.trouble[BEN] = Rejected("unsubscribed", recipient=True)
    desk.announce()
    desk.trouble.clear()
    app = desk.app()
    assert by_name(app.resume("cards", Control()))["sms"].counts.refused == 1
    assert [item.update for _, item in desk.sent if item.target == BEN] == [1]
    with pytest.raises(UsageError, match="nothing is unfinished"):
        app.resume(None, Control())


def test_all_that_failed_is_revived_however_much_it_is(desk: Desk) -> None:
    names = [f"P{number}" for number in range(515)]
    rows = [f"{name},+6149157{number:04},en" for number, name in enumerate(names)]
    (desk.folder / "customers.csv").write_text("\n".join(["name,phone,language", *rows]) + "\n")
    desk.trouble = {f"+6149157{number:04}": Rejected("no such number", recipient=True) for number in range(505)}
    desk.trouble |= {f"+6149157{number:04}": Rejected("no sender") for number in range(505, 515)}
    desk.announce("sms")
    desk.trouble = {}
    report = desk.app().resume("cards", Control())
    counts = by_name(report)["sms"].counts
    assert (counts.accepted, counts.refused, counts.failed) == (10, 505, 0)


def test_what_fails_again_is_tried_once_a_resume(desk: Desk) -> None:
    desk.trouble["x"] = Rejected("too long")
    desk.announce("x")
    report = desk.app().resume("cards", Control())
    assert (report.exit_code, len(desk.sent)) == (ExitCode.NOTHING_PUBLISHED, 2)


def test_what_failed_is_not_revived_once_a_newer_update_passed_the_channel_over(desk: Desk) -> None:
    channels = {"sms": {**CONFIG["channels"]["sms"], "on": ["investigating"]}}
    desk.trouble[BEN] = Rejected("no sender")
    desk.announce(app=desk.app(channels=channels))
    desk.trouble.clear()
    desk.announce(app=desk.app(channels=channels), **IDENTIFIED)
    report = desk.app(channels=channels).resume("cards", Control())
    assert by_name(report)["sms"].counts.failed == 1
    assert [item.update for _, item in desk.sent if item.target == BEN] == [1]


def test_resuming_where_nothing_was_ever_announced_is_a_usage_error(desk: Desk) -> None:
    with pytest.raises(UsageError, match="nothing is unfinished"):
        desk.app().resume(None, Control())
    assert not (desk.folder / "outagecast.db").exists()


def test_resuming_with_all_out_is_a_usage_error_unless_the_incident_is_named(desk: Desk) -> None:
    desk.announce()
    with pytest.raises(UsageError, match="nothing is unfinished"):
        desk.app().resume(None, Control())
    assert desk.app().resume("cards", Control()).exit_code == ExitCode.DONE


def test_resuming_one_of_many_lists_them(desk: Desk) -> None:
    desk.trouble["x"] = Unavailable("down", retry_after=3600.0)
    desk.announce("x")
    desk.clock.wait(1, threading.Event())
    desk.announce("x", incident="power")
    desk.trouble.clear()
    desk.announce("x", incident="water")
    with pytest.raises(UsageError) as caught:
        desk.app().resume(None, Control())
    assert str(caught.value) == "more than one incident is unfinished (name one: power, cards)"
    assert caught.value.exit_code == ExitCode.USAGE


def test_an_older_failure_on_a_channel_that_has_moved_on_is_not_unfinished(desk: Desk) -> None:
    desk.trouble["x"] = Rejected("dead token", account=True)
    desk.announce()
    desk.trouble.clear()
    desk.announce(**IDENTIFIED)  # the texts stay at update 1, where X failed
    with pytest.raises(UsageError, match="nothing is unfinished"):
        desk.app().resume(None, Control())


def test_an_unknown_incident_is_named_with_the_nearest_one(desk: Desk) -> None:
    desk.announce("x")
    for ask in (desk.app().status, lambda slug: desk.app().resume(slug, Control())):
        with pytest.raises(PlanError) as caught:
            ask("card")
        assert caught.value.exit_code == ExitCode.BAD_INPUT
        assert 'there is no incident "card"' in str(caught.value)
        assert "cards" in caught.value.problems[0].hint


def test_doubt_on_a_channel_at_an_older_update_is_looked_up_while_others_are_newer(desk: Desk) -> None:
    desk.trouble["sms"] = Uncertain("no answer")
    desk.announce()
    desk.trouble.clear()
    desk.announce(**IDENTIFIED)
    desk.shown["sms"] = Receipt("sms-9")
    report = desk.app().resume("cards", Control())
    assert (states(report), report.exit_code, report.update) == (OUT, ExitCode.DONE, 2)
    assert {name: item.update for name, item in by_name(report).items()} == {"x": 2, "facebook": 2, "sms": 1}


def test_a_channel_that_left_the_config_is_shown_and_not_used(desk: Desk) -> None:
    desk.trouble["x"] = Unavailable("down", retry_after=1.0)
    desk.announce(*PUBLIC, control=Control(max_time=0.1))
    desk.trouble.clear()
    before = len(desk.sent)
    left = {"facebook": CONFIG["channels"]["facebook"]}
    report = desk.app(channels=left).resume("cards", Control())
    assert (states(report), len(desk.sent)) == ({"x": "ready", "facebook": "accepted"}, before)
    assert by_name(report)["x"].next_action == "put the channel x back into the config"
    assert report.exit_code == ExitCode.DONE


def test_a_channel_that_was_switched_off_is_not_used(desk: Desk) -> None:
    desk.trouble["x"] = Rejected("dead token", account=True)
    desk.announce(*PUBLIC)
    desk.trouble.clear()
    channels = {name: {**CONFIG["channels"][name], "enabled": name != "x"} for name in PUBLIC}
    report = desk.app(channels=channels).resume("cards", Control())
    assert (states(report)["x"], desk.calls.count(("x", 1))) == ("failed", 1)


def test_a_run_with_no_time_opens_everything_and_sends_nothing(desk: Desk) -> None:
    report = desk.announce(control=Control(max_time=0))
    assert (report.exit_code, desk.sent) == (ExitCode.PENDING, [])
    assert {channel.retry_after_s for channel in report.channels} == {0}
    assert desk.app().resume(None, Control()).exit_code == ExitCode.DONE


def test_an_interrupted_run_says_so_and_can_be_resumed(desk: Desk) -> None:
    control = Control(interrupted=ExitCode.TERMINATED)
    control.stop.set()
    assert desk.announce(control=control).exit_code == ExitCode.TERMINATED
    assert desk.app().resume(None, Control()).exit_code == ExitCode.DONE


# -- settling by hand ---


@pytest.fixture
def doubtful(desk: Desk) -> Desk:
    desk.trouble["x"] = Uncertain("no answer")
    assert desk.announce("x").exit_code == ExitCode.IN_DOUBT
    desk.trouble.clear()
    return desk


def test_what_a_person_saw_is_out_and_stays_out(doubtful: Desk) -> None:
    url = "https://x.com/examplebank/status/1"
    report = doubtful.app().settle("cards", "x", Event.SETTLED_PUBLISHED, url=url, target=None)
    assert (report.exit_code, states(report), by_name(report)["x"].url) == (ExitCode.DONE, {"x": "accepted"}, url)
    doubtful.app().resume("cards", Control())
    assert len(doubtful.sent) == 1


@pytest.mark.parametrize("decision", [Event.SETTLED_NOT_PUBLISHED, Event.SETTLED_RESEND])
def test_nobody_decides_that_it_is_not_out_while_it_may_still_appear(doubtful: Desk, decision: Event) -> None:
    with pytest.raises(UsageError, match=r"it may still appear, however it looks now \(look again in 300 s"):
        doubtful.app().settle("cards", "x", decision, url=None, target=None)
    assert states(doubtful.app().status("cards")) == {"x": "in_doubt"}
    doubtful.clock.wait(300, threading.Event())
    doubtful.app().settle("cards", "x", decision, url=None, target=None)


def test_what_a_person_did_not_find_failed_and_is_sent_when_somebody_resumes(doubtful: Desk) -> None:
    doubtful.clock.wait(301, threading.Event())
    report = doubtful.app().settle("cards", "x", Event.SETTLED_NOT_PUBLISHED, url=None, target=None)
    assert (report.exit_code, states(report)) == (ExitCode.NOTHING_PUBLISHED, {"x": "failed"})
    assert doubtful.app().resume("cards", Control()).exit_code == ExitCode.DONE
    assert len(doubtful.sent) == 2


def test_what_a_person_wants_sent_again_is_sent_at_the_next_resume(doubtful: Desk) -> None:
    doubtful.clock.wait(3600, threading.Event())
    report = doubtful.app().settle("cards", "x", Event.SETTLED_RESEND, url=None, target=None)
    assert (report.exit_code, states(report), len(doubtful.sent)) == (ExitCode.PENDING, {"x": "ready"}, 1)
    doubtful.clock.time = START + timedelta(minutes=10)
    assert doubtful.app().resume("cards", Control()).exit_code == ExitCode.DONE
    assert doubtful.sent[-1][1].attempted_at == START + timedelta(minutes=10)


def test_a_decision_is_recorded_with_the_name_of_who_took_it(doubtful: Desk) -> None:
    app = doubtful.app()
    app.by = "ben@desk"
    app.settle("cards", "x", Event.SETTLED_PUBLISHED, url=None, target=None)
    history = app.ledger._db.execute('SELECT event, "by" FROM transition ORDER BY seq')  # type: ignore[attr-defined]
    assert [tuple(row) for row in history][-2:] == [("exhausted", "ben@desk"), ("settled_published", "ben@desk")]


def test_one_recipient_of_many_can_be_settled_alone(desk: Desk) -> None:
    desk.trouble["sms"] = Uncertain("no answer")
    desk.announce("sms")
    report = desk.app().settle("cards", "sms", Event.SETTLED_PUBLISHED, url=None, target=BEN)
    counts = by_name(report)["sms"].counts
    assert (counts.accepted, counts.in_doubt, report.exit_code) == (1, 1, ExitCode.IN_DOUBT)
    with pytest.raises(UsageError, match="nothing of cards is in doubt on sms"):
        desk.app().settle("cards", "sms", Event.SETTLED_PUBLISHED, url=None, target=BEN)


def test_everybody_in_doubt_is_settled_however_many_they_are(desk: Desk) -> None:
    rows = [f"P,+6149157{number:04},en" for number in range(510)]
    (desk.folder / "customers.csv").write_text("\n".join(["name,phone,language", *rows]) + "\n")
    desk.announce("sms", control=Control(max_time=0))
    ledger = desk.app().ledger
    while entry := ledger.claim("cards", 1, "sms", desk.clock.now(), "ana@desk"):
        ledger.move(entry, Move(Event.LOST), desk.clock.now(), "ana@desk")
    report = desk.app().settle("cards", "sms", Event.SETTLED_PUBLISHED, url=None, target=None)
    assert (by_name(report)["sms"].counts.accepted, report.exit_code) == (510, ExitCode.DONE)


def test_a_provider_that_keeps_losing_answers_is_asked_for_no_more_in_this_run(desk: Desk) -> None:
    desk.audience(*(f"P{number}" for number in range(40)))
    desk.trouble["sms"] = Uncertain("no answer")
    report = desk.announce("sms")
    counts = by_name(report)["sms"].counts
    assert report.exit_code == ExitCode.IN_DOUBT
    assert 5 <= counts.in_doubt <= 13  # five in a row, and what the other workers had begun
    assert counts.pending == 40 - counts.in_doubt


def test_what_a_person_saw_of_people_has_no_address(desk: Desk) -> None:
    desk.trouble[BEN] = Uncertain("no answer")
    desk.announce("sms")
    report = desk.app().settle("cards", "sms", Event.SETTLED_PUBLISHED, url="", target=BEN)
    assert (report.exit_code, by_name(report)["sms"].counts.accepted) == (ExitCode.DONE, 2)


def test_the_id_of_what_a_person_saw_is_replied_to_by_the_next_update(doubtful: Desk) -> None:
    doubtful.app().settle("cards", "x", Event.SETTLED_PUBLISHED, url="https://x.com/bank/status/77", target=None)
    doubtful.announce("x", **IDENTIFIED)
    thread = doubtful.sent[-1][1].thread
    assert thread is not None
    assert thread.provider_id == "77"


@pytest.mark.parametrize("channel", ["facebook", "sms", "nowhere"])
def test_nothing_is_settled_where_nothing_is_in_doubt(doubtful: Desk, channel: str) -> None:
    with pytest.raises(UsageError, match=f"nothing of cards is in doubt on {channel}"):
        doubtful.app().settle("cards", channel, Event.SETTLED_RESEND, url=None, target=None)


def test_doubt_about_an_older_update_can_be_settled_but_its_words_not_sent_again(doubtful: Desk) -> None:
    doubtful.announce("x", **IDENTIFIED)
    doubtful.clock.wait(301, threading.Event())
    with pytest.raises(ConflictError, match="update 1 of cards is in doubt, and a newer one is out"):
        doubtful.app().settle("cards", "x", Event.SETTLED_RESEND, url=None, target=None)
    report = doubtful.app().settle("cards", "x", Event.SETTLED_NOT_PUBLISHED, url=None, target=None)
    assert report.exit_code == ExitCode.DONE
    doubtful.app().resume("cards", Control())
    assert doubtful.calls == [("x", 1), ("x", 2)]


# -- looking ---


def test_a_status_where_nothing_was_announced_is_empty_and_makes_no_ledger(desk: Desk) -> None:
    report = desk.app().status(None)
    assert (report.incident, list(report.channels), report.exit_code) == (None, [], ExitCode.DONE)
    assert not (desk.folder / "outagecast.db").exists()
    assert desk.app().incidents() == []


def test_a_status_shows_which_update_each_channel_carries(desk: Desk) -> None:
    desk.announce()
    desk.announce("x", **IDENTIFIED)
    report = desk.app().status(None)
    assert (report.incident, report.update, report.status) == ("cards", 2, "identified")
    assert {name: item.update for name, item in by_name(report).items()} == {"x": 2, "facebook": 1, "sms": 1}


def test_a_status_tells_the_newest_update_though_no_channel_carries_it(desk: Desk) -> None:
    desk.announce("sms")
    desk.announce("sms", **IDENTIFIED)
    report = desk.app().status("cards")
    assert (report.update, report.status, states(report)) == (2, "identified", {"sms": "accepted"})


def test_a_status_is_overdue_once_the_promised_word_is(desk: Desk) -> None:
    desk.announce()
    desk.clock.wait(33 * 60, threading.Event())
    in_time = desk.app().status("cards")
    desk.clock.wait(60, threading.Event())
    late = desk.app().status("cards")
    assert (in_time.exit_code, in_time.overdue) == (ExitCode.DONE, False)
    assert (late.exit_code, late.overdue) == (ExitCode.OVERDUE, True)
    desk.announce(**RESOLVED)
    assert desk.app().status("cards").exit_code == ExitCode.DONE


def test_a_ledger_in_a_place_that_is_no_folder_is_not_there(desk: Desk) -> None:
    (desk.folder / "file").write_text("")
    app = desk.app("file/outagecast.db")
    assert not app.has_ledger
    said = desk.say()
    with pytest.raises(LedgerError, match="cannot open the ledger"):
        app.announce(app.prepare(said), said, Control())
    assert desk.sent == []


def test_a_ledger_that_cannot_be_looked_at_is_not_taken_for_none(desk: Desk) -> None:
    loop = desk.folder / "loop"
    loop.symlink_to(loop)
    with pytest.raises(LedgerError, match="cannot open the ledger"):
        desk.app("loop/outagecast.db").status(None)


# -- starting ---


def test_a_bad_message_is_told_before_a_bad_config(desk: Desk) -> None:
    bad = desk.folder / "bad.yaml"
    bad.write_text("nonsense: 1\n")
    good = desk.folder / "good.yaml"
    good.write_text(yaml.safe_dump(MESSAGE))
    with pytest.raises(MessageError):
        application.load(str(bad), str(bad), by="ana@desk")
    with pytest.raises(ConfigError):
        application.load(str(bad), str(good), by="ana@desk")


def test_the_app_starts_from_a_config_file(desk: Desk) -> None:
    path = desk.app().config.path
    (desk.folder / "incident.yaml").write_text(yaml.safe_dump(MESSAGE))
    app, said = application.load(str(path), str(desk.folder / "incident.yaml"), by="ana@desk", status="identified")
    assert (app.by, said.status.value, list(app.config.channels)) == (
        "ana@desk",
        "identified",
        list(CONFIG["channels"]),
    )
    assert isinstance(app.clock, Clock)
