"""The judgement: exit codes by certainty, counts, and what `published` and `complete` say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from outagecast import report
from outagecast.config import ChannelConfig, Options
from outagecast.errors import PRECEDENCE, ExitCode, Problem
from outagecast.ledger import Opening, Update
from outagecast.ledger.sqlite import SqliteLedger
from outagecast.model import Receipt, State, Status, Variant
from outagecast.report import ChannelReport, Counts, Report

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
SLUG = "cards"

ACCEPTED = Counts(planned=1, accepted=1)
VERIFIED = Counts(planned=1, accepted=1, verified=1)
FAILED = Counts(planned=1, failed=1)
DOUBT = Counts(planned=1, in_doubt=1)
PENDING = Counts(planned=1, pending=1)
SKIPPED = Counts(skipped=1)


def channel(counts: Counts = ACCEPTED, state: State = State.ACCEPTED, **changes: Any) -> ChannelReport:
    return ChannelReport("x", "x", state, counts, 1, **changes)


GONE = channel(state=State.MISSING, differs=True)


def test_what_is_most_urgent_is_said_first() -> None:
    assert [int(code) for code in PRECEDENCE] == [14, 12, 22, 130, 143, 10, 13, 11, 24, 0]


@pytest.mark.parametrize(
    ("channels", "code"),
    [
        ([], 0),
        ([channel()], 0),
        ([channel(VERIFIED, State.VERIFIED)], 0),
        ([channel(SKIPPED, State.SKIPPED)], 0),
        ([channel(SKIPPED, State.UNCHANGED, unchanged=True)], 0),
        ([channel(), channel(FAILED)], 10),
        ([channel(SKIPPED, unchanged=True), channel(FAILED)], 10),
        ([channel(Counts(planned=3, accepted=2, failed=1))], 10),
        ([channel(FAILED)], 11),
        ([channel(FAILED), channel(SKIPPED)], 11),
        ([channel(DOUBT)], 12),
        ([channel(), channel(DOUBT), channel(FAILED), channel(PENDING)], 12),
        ([channel(PENDING)], 13),
        ([channel(), channel(PENDING)], 13),
        ([channel(FAILED), channel(PENDING)], 13),  # "nothing, certain" is not yet true
        ([channel(), channel(FAILED), channel(PENDING)], 10),
        ([GONE], 14),
        ([channel(state=State.MISMATCH, differs=True)], 14),
        ([GONE, channel(DOUBT), channel(FAILED)], 14),
        ([channel(DOUBT, State.IN_DOUBT, differs=True)], 14),
    ],
)
def test_the_code_says_what_is_certain(channels: list[ChannelReport], code: int) -> None:
    assert report.judge(channels) == code


@pytest.mark.parametrize(
    ("channels", "code"),
    [
        ([channel(FAILED, required=False)], 0),
        ([channel(DOUBT, required=False)], 0),
        ([channel(PENDING, required=False)], 0),
        ([replace(GONE, required=False)], 0),
        ([channel(), channel(FAILED, required=False)], 0),
        ([channel(FAILED), channel(FAILED, required=False)], 11),
        ([channel(FAILED), channel(required=False)], 10),  # somebody carries it: "nothing published" would be untrue
        ([channel(FAILED), channel(DOUBT, required=False)], 12),  # and so it would while somebody may
        ([channel(FAILED), channel(), channel(DOUBT, required=False)], 10),
    ],
)
def test_what_is_not_required_changes_the_code_only_where_it_would_be_untrue(
    channels: list[ChannelReport], code: int
) -> None:
    assert report.judge(channels) == code


@pytest.mark.parametrize("signal", [ExitCode.INTERRUPTED, ExitCode.TERMINATED])
@pytest.mark.parametrize(("counts", "first"), [(ACCEPTED, False), (FAILED, False), (PENDING, False), (DOUBT, True)])
def test_an_interruption_comes_after_doubt_and_before_all_that_can_be_resumed(
    signal: ExitCode, counts: Counts, first: bool
) -> None:
    assert report.judge([channel(counts)], interrupted=signal) == (ExitCode.IN_DOUBT if first else signal)


@pytest.mark.parametrize(("channels", "code"), [([channel()], 24), ([channel(FAILED)], 11), ([channel(PENDING)], 13)])
def test_what_is_overdue_matters_once_nothing_else_does(channels: list[ChannelReport], code: int) -> None:
    assert report.judge(channels, overdue=True) == code


@pytest.mark.parametrize(
    ("refused", "planned", "code"),
    [(1, 20, 0), (3, 60, 0), (7, 140, 0), (1, 19, 10), (6, 119, 10), (50_000, 1_000_000, 0), (50_001, 1_000_000, 10)],
)
def test_refusals_for_the_recipients_own_reason_are_borne_up_to_five_percent(
    refused: int, planned: int, code: int
) -> None:
    counts = Counts(planned=planned, accepted=planned - refused, refused=refused)
    assert report.judge([channel(counts)]) == code


def test_an_audience_of_nothing_but_refusals_published_nothing() -> None:
    assert report.judge([channel(Counts(planned=2, refused=2))]) == ExitCode.NOTHING_PUBLISHED


@pytest.mark.parametrize(
    ("counts", "unchanged", "published", "complete"),
    [
        (ACCEPTED, False, "yes", True),
        (Counts(planned=3, accepted=1, in_doubt=1, failed=1), False, "yes", False),
        (SKIPPED, True, "yes", True),
        (Counts(planned=2, in_doubt=1, failed=1), False, "unknown", False),
        (FAILED, False, "no", False),
        (PENDING, False, "no", False),
        (SKIPPED, False, "no", True),
    ],
)
def test_published_and_complete_answer_the_runbooks_two_questions(
    counts: Counts, unchanged: bool, published: str, complete: bool
) -> None:
    item = channel(counts, unchanged=unchanged)
    assert (item.published, item.complete) == (published, complete)


# -- what the ledger knows ---


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(tmp_path / "outagecast.db")
    yield ledger
    ledger.close()


Judge = Callable[..., ChannelReport]
X = ChannelConfig(name="x", options=Options(kind="x"), settings=SimpleNamespace())
VARIANT = Variant("x", "x", "en", {"text": "Cards fail."}, 1, "en/x.text.j2", ["title"], ["cause"])
PASSED_OVER = {State.SKIPPED, State.UNCHANGED}


@pytest.fixture
def judged(ledger: SqliteLedger, lead: Callable[..., None]) -> Judge:
    """The report on a channel whose deliveries are in these states; ``refused``, of the failed ones."""

    def judge(*states: State, refused: int = 0, due: datetime | None = None) -> ChannelReport:
        update = Update(SLUG, 1, Status.INVESTIGATING, "f", "{}", "d", NOW, "ana@desk")
        openings = [
            Opening("x", str(number), "en", state if state in PASSED_OVER else State.READY, None, None)
            for number, state in enumerate(states)
        ]
        ledger.open(update, [VARIANT], openings)
        ready = ledger.entries(SLUG, 1, "x", {State.READY})
        for entry, state in zip(ready, [state for state in states if state not in PASSED_OVER], strict=True):
            own = state is State.FAILED and refused > 0
            refused -= own
            receipt = Receipt("77", "https://x.example/77") if state in {State.ACCEPTED, State.MISSING} else None
            not_before = due if state is State.READY else None
            last = {"reason": f"is {state}", "refused": own, "receipt": receipt, "not_before": not_before}
            lead(ledger, entry, state, NOW, **last)
        (result,) = report.recorded(ledger, SLUG, {"x": 1}, {"x": X}, NOW)
        return result

    return judge


def test_each_state_is_counted_where_it_belongs(judged: Judge) -> None:
    every = judged(*(state for state in State if state is not State.READY), State.READY, due=NOW + timedelta(hours=1))
    assert every.counts == Counts(
        planned=12, accepted=4, verified=1, refused=0, failed=4, in_doubt=3, pending=1, skipped=2, mismatch=1, missing=1
    )


def test_refusals_are_counted_apart_from_failures(judged: Judge) -> None:
    result = judged(State.FAILED, State.FAILED, State.ACCEPTED, refused=1)
    assert (result.counts.refused, result.counts.failed, result.counts.planned) == (1, 1, 3)


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        ([State.ACCEPTED, State.NEEDS_DECISION, State.IN_DOUBT, State.FAILED], State.NEEDS_DECISION),
        ([State.ACCEPTED, State.IN_DOUBT, State.ATTEMPTING], State.IN_DOUBT),
        ([State.ATTEMPTING, State.FAILED], State.ATTEMPTING),
        ([State.ACCEPTED, State.FAILED], State.FAILED),
        ([State.ACCEPTED, State.EXPIRED], State.EXPIRED),
        ([State.VERIFIED, State.ACCEPTED], State.ACCEPTED),
        ([State.VERIFIED, State.UNCHANGED], State.VERIFIED),
        ([State.UNCHANGED, State.SKIPPED], State.UNCHANGED),
        ([State.SKIPPED], State.SKIPPED),
    ],
)
def test_a_channels_state_is_the_worst_of_its_recipients(judged: Judge, states: list[State], worst: State) -> None:
    assert judged(*states).state == worst


def test_few_refusals_do_not_make_a_channel_fail_and_many_do(judged: Judge) -> None:
    assert judged(State.FAILED, *[State.ACCEPTED] * 19, refused=1).state is State.ACCEPTED


def test_many_refusals_make_a_channel_fail(judged: Judge) -> None:
    assert judged(State.FAILED, *[State.ACCEPTED] * 18, refused=1).state is State.FAILED


@pytest.mark.parametrize(("failed", "words"), [(1, None), (2, "outagecast resume cards")])
def test_no_resume_is_offered_for_whom_the_provider_refused_for_their_own_reason(
    judged: Judge, failed: int, words: str | None
) -> None:
    assert judged(*[State.FAILED] * failed, State.ACCEPTED, refused=1).next_action == words


def test_a_post_that_is_gone_is_told_even_beside_doubt(judged: Judge) -> None:
    result = judged(State.MISSING, State.IN_DOUBT)
    assert (result.state, result.differs, report.judge([result])) == (State.IN_DOUBT, True, ExitCode.DIFFERS)


@pytest.mark.parametrize(("ahead", "seconds"), [(7.2, 8), (0.0, 0), (-9.0, 0)])
def test_what_is_pending_says_after_how_many_seconds_to_resume(judged: Judge, ahead: float, seconds: int) -> None:
    assert judged(State.READY, due=NOW + timedelta(seconds=ahead)).retry_after_s == seconds


def test_what_may_be_sent_at_once_says_so_though_others_wait_or_failed(judged: Judge) -> None:
    assert judged(State.FAILED, State.READY).retry_after_s == 0


def test_what_is_out_has_no_time_to_resume(judged: Judge) -> None:
    result = judged(State.ACCEPTED)
    assert (result.retry_after_s, result.error, result.next_action) == (None, None, None)
    assert (result.provider_id, result.url, result.attempts) == ("77", "https://x.example/77", 1)


def test_what_failed_says_why_and_what_to_type(judged: Judge) -> None:
    result = judged(State.FAILED)
    assert (result.error, result.next_action) == ("is failed", "outagecast resume cards")


def test_a_channel_without_readers_is_skipped_and_not_left_out(ledger: SqliteLedger) -> None:
    ledger.open(Update(SLUG, 1, Status.INVESTIGATING, "f", "{}", "d", NOW, "ana@desk"), [], [])
    (result,) = report.recorded(ledger, SLUG, {"x": 1}, {"x": X}, NOW)
    assert (result.state, result.counts, result.required) == (State.SKIPPED, Counts(), True)
    assert report.recorded(ledger, SLUG, {"x": 1}, {}, NOW) == []


@pytest.mark.parametrize(
    ("state", "configured", "words"),
    [
        (State.READY, True, "outagecast resume cards"),
        (State.ATTEMPTING, True, "outagecast resume cards"),
        (State.IN_DOUBT, True, "outagecast resume cards"),
        (State.FAILED, True, "outagecast resume cards"),
        (State.NEEDS_DECISION, True, "outagecast settle cards x --published URL | --not-published | --resend"),
        (State.NEEDS_DECISION, False, "outagecast settle cards x --published URL | --not-published | --resend"),
        (State.READY, False, "put the channel x back into the config"),
        (State.IN_DOUBT, False, "put the channel x back into the config"),
        (State.ACCEPTED, True, None),
        (State.ACCEPTED, False, None),
        (State.SKIPPED, True, None),
        (State.EXPIRED, True, None),
    ],
)
def test_the_one_command_to_type_next(state: State, configured: bool, words: str | None) -> None:
    assert report.next_action("cards", "x", state, configured=configured) == words


# -- the JSON ---


def test_the_json_has_the_shape_that_runbooks_read(judged: Judge) -> None:
    result = judged(State.ACCEPTED)
    whole = Report(
        incident=SLUG,
        update=1,
        status="investigating",
        digest="d",
        exit_code=ExitCode.PARTIAL,
        errors=[Problem("wrong", "right", "m.yaml", 3, 7)],
        warnings=["look"],
        channels=[result],
    ).as_json()
    assert list(whole) == [
        *("schema_version", "incident", "update", "status", "corrects", "mode", "digest", "exit_code"),
        *("exit_name", "overdue"),
        *("next_due_at", "updates", "silent", "score", "errors", "warnings", "changes", "channels"),
    ]
    assert (whole["schema_version"], whole["exit_code"], whole["exit_name"], whole["mode"]) == (
        1,
        10,
        "partial",
        "live",
    )
    assert whole["errors"] == [{"file": "m.yaml", "line": 3, "column": 7, "message": "wrong", "hint": "right"}]
    (item,) = whole["channels"]
    assert {
        *("channel", "kind", "state", "published", "complete", "counts", "provider_id", "url", "update"),
        *("attempts", "error", "next_action", "retry_after_s", "variants"),
    } <= item.keys()
    assert item["counts"] == {
        **dict.fromkeys(("planned", "accepted"), 1),
        **dict.fromkeys(("verified", "refused", "failed", "in_doubt", "pending", "skipped", "mismatch", "missing"), 0),
    }
    assert item["variants"] == [
        {
            "language": "en",
            "parts": {"text": "Cards fail."},
            "measures": {"text": {"length": 11, "limit": 280, "unit": "X characters", "spelling": None}},
            "rung": 1,
            "source": "en/x.text.j2",
            "facts": {"carried": ["title"], "left_out": ["cause"]},
            "previous": None,
        }
    ]


def test_whose_account_it_is_comes_with_what_it_refused(ledger: SqliteLedger, lead: Callable[..., None]) -> None:
    update = Update(SLUG, 1, Status.INVESTIGATING, "f", "{}", "d", NOW, "ana@desk")
    ledger.open(update, [VARIANT], [Opening("x", "", "en", State.READY, None, None)])
    lead(ledger, ledger.entries(SLUG, 1, "x", {State.READY})[0], State.FAILED, NOW)
    mine = replace(X, options=Options(kind="x", owner="Web team, ext. 4711"))
    (found,) = report.recorded(ledger, SLUG, {"x": 1}, {"x": mine}, NOW)
    assert found.as_json()["owner"] == "Web team, ext. 4711"
