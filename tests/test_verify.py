"""Reading back: what is equal, what is drift, how long to look, and what may never change a state."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from outagecast.config import ChannelConfig
from outagecast.control import Control
from outagecast.errors import LedgerError
from outagecast.ledger import Event, Move
from outagecast.model import Delivery, Published, ReadBack, State, Status
from outagecast.rehearsal import Reply
from outagecast.verify import LONGEST_TEXT, MANY, MOST_FAILED, PATIENCE, judged
from tests.office import Office

if TYPE_CHECKING:
    from outagecast.report import ChannelReport, Report
    from tests.conftest import Bank

NOT_FOUND = Reply(200, {"errors": [{"type": "https://api.twitter.com/2/problems/resource-not-found", "detail": "no"}]})
NO_SUCH_POST = Reply(400, {"error": {"code": 100, "message": "no", "fbtrace_id": "A"}})


class Desk(Office):
    """An office where somebody looks at what the public sees."""

    def verify(self, **options: Any) -> Report:
        return self.app.verify(None, Control(**options))

    def look(self, channel: str = "x", **options: Any) -> ChannelReport:
        """The report on one channel, looked at again."""
        return next(item for item in self.verify(**options).channels if item.channel == channel)

    def later(self) -> None:
        """Long after everything was sent."""
        self.clock.pass_by(PATIENCE)

    def asked(self, provider: str, path: str) -> int:
        """How often the provider was asked for something whose address holds ``path``."""
        requests = getattr(self.bank.providers, provider).requests
        return sum(request.method == "GET" and path in request.path for request in requests)


@pytest.fixture
def desk(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    for name, value in bank.providers.environment.items():
        monkeypatch.setenv(name, value)
    desk = Desk(bank)
    yield desk
    desk.close()


def rewrite(bank: Bank, provider: str, old: str, new: str) -> None:
    """Somebody edits the posts by hand."""
    server = getattr(bank.providers, provider)
    for post in server.posts:
        names = ("text", "stored") if provider == "x" else ("text",)
        server._posts[post.id] = replace(post, **{name: getattr(post, name).replace(old, new) for name in names})


def forget(bank: Bank, provider: str) -> None:
    """Somebody deletes the posts by hand."""
    getattr(bank.providers, provider)._posts.clear()


def carry(bank: Bank, status: str, *, code: int | None = None, of: int | None = None) -> None:
    """The carriers come to an end with the first ``of`` texts, or all."""
    held = bank.providers.twilio._messages
    for sid in list(held)[:of]:
        held[sid] = replace(held[sid], status=status, error_code=code)


def delivery(**parts: str) -> Delivery:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    return Delivery("k", "cards", 1, Status.INVESTIGATING, "", "en", parts, now)


# -- what is equal ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seen",
    [
        "Plăți eșuate. Sorry.",
        "Pla\u0306t\u0326i es\u0326uate. Sorry.",
        "Plăți\n eșuate.\u00a0 Sorry. ",
        "Plăți eșuate.\r\nSorry.",
    ],
)
def test_composition_and_white_space_make_no_difference(seen: str) -> None:
    assert judged(delivery(text="Plăți eșuate.\nSorry."), "x", Published({"text": seen})).result is ReadBack.SEEN


@pytest.mark.parametrize(
    "seen", ["Plati esuate. Sorry.", "plăți eșuate. Sorry.", "Plăți eșuate. Sorry", "Plățieșuate. Sorry."]
)
def test_a_letter_a_capital_a_stop_and_a_space_do(seen: str) -> None:
    assert judged(delivery(text="Plăți eșuate.\nSorry."), "x", Published({"text": seen})).result is ReadBack.DIFFERENT


@pytest.mark.parametrize("seen", [None, Published({"html": ""}), Published({"html": " \n"}), Published({})])
def test_where_nothing_is_to_be_seen_it_is_gone_unless_it_was_taken_down(seen: Published | None) -> None:
    assert judged(delivery(html="<p>Cards fail.</p>"), "banner", seen).result is ReadBack.GONE
    assert judged(delivery(html=""), "banner", seen).result is ReadBack.SEEN


def test_what_was_taken_down_and_is_still_up_is_different() -> None:
    look = judged(delivery(html=""), "banner", Published({"html": "<p>Cards fail.</p>"}))

    assert (look.result, look.reason) == (ReadBack.DIFFERENT, '"Cards fail." was not in what was sent')


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ("Cards work. Next update by 6pm.", '"fail." was sent, "work." is seen'),
        ("Cards fail.", '"Next update by 6pm." was sent, and is not seen'),
        ("Cards fail. Next update by 6pm. Call 0900.", '"Call 0900." was not in what was sent'),
        ("Cards\u200b fail. Next update by 6pm.", '"Cards" was sent, "Cards" is seen'),
    ],
)
def test_the_first_difference_is_told_in_a_sentence(seen: str, words: str) -> None:
    assert judged(delivery(text="Cards fail. Next update by 6pm."), "x", Published({"text": seen})).reason == words


def test_of_html_the_words_are_told_and_where_they_are_equal_the_markup() -> None:
    sent = delivery(html='<p>Cards <a href="https://example.com">fail</a>.</p>')
    words = judged(sent, "banner", Published({"html": '<p>Cards <a href="https://example.com">work</a>.</p>'}))
    markup = judged(
        sent, "banner", Published({"html": '<p class="x">Cards <a href="https://example.com">fail</a>.</p>'})
    )

    assert "<" not in (words.reason or "")
    assert 'class="x"' in (markup.reason or "")


def test_a_hostile_text_is_harmless_bounded_and_soon_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    from outagecast.secret import Secret

    monkeypatch.setenv("CANARY", "canary-5f1e9c77")
    secret = Secret("env:CANARY").reveal()
    seen = f"\x1b[2J{secret} \u202e" + "a " * 500_000

    look = judged(delivery(text="Cards fail."), "x", Published({"text": seen}))

    assert look.difference is not None
    told = f"{look.reason} {look.difference.seen}"
    assert len(look.difference.seen) == LONGEST_TEXT
    assert [part for part in ("\x1b", "\u202e", secret) if part in told] == []


@pytest.mark.parametrize("odd", ["<!--", "<a href='", "<script>", "<p", "&"])
def test_odd_markup_without_end_is_soon_read(odd: str) -> None:
    began = time.process_time()

    look = judged(delivery(html="<p>Cards fail.</p>"), "banner", Published({"html": odd * 100_000}))

    assert look.result is ReadBack.DIFFERENT
    assert time.process_time() - began < 5  # without a bound it is hours


# -- every channel ---------------------------------------------------------------------------------------------------


def test_every_channel_that_can_be_read_is_verified_and_mail_is_told_as_unreadable(desk: Desk) -> None:
    desk.announce()
    desk.bank.providers.twilio.deliver()

    found = desk.verify()

    assert {item.channel: (item.state.value, item.read_back and item.read_back.value) for item in found.channels} == {
        "x": ("verified", "seen"),
        "facebook": ("verified", "seen"),
        "banner": ("verified", "seen"),
        "sms": ("verified", "seen"),
        "email": ("accepted", "impossible"),
    }
    assert found.exit_code == 0


@pytest.mark.parametrize("provider", ["x", "facebook"])
def test_what_somebody_changed_or_deleted_is_told_and_what_they_mend_is_well_again(desk: Desk, provider: str) -> None:
    desk.announce(provider)
    held = getattr(desk.bank.providers, provider)
    desk.later()
    states = [desk.look(provider).state]

    rewrite(desk.bank, provider, "declined", "accepted")
    changed = desk.look(provider)
    rewrite(desk.bank, provider, "accepted", "declined")
    states += [changed.state, desk.look(provider).state]
    kept = dict(held._posts)
    forget(desk.bank, provider)
    gone = desk.look(provider)
    held._posts.update(kept)
    states += [gone.state, desk.look(provider).state]

    assert states == [State.VERIFIED, State.MISMATCH, State.VERIFIED, State.MISSING, State.VERIFIED]
    assert (changed.published, changed.complete, changed.error) == (
        *("yes", False, '"declined" was sent, "accepted" is seen'),
    )
    assert changed.difference
    assert changed.difference.seen == changed.difference.sent.replace("declined", "accepted")
    assert (gone.published, gone.complete, gone.error) == ("no", False, "it is not there any more")
    assert gone.difference is None


def test_the_banner_is_read_past_caches_where_the_public_reads_it(desk: Desk) -> None:
    desk.announce("banner")
    desk.later()
    first = desk.look("banner").state
    website = desk.bank.providers.website
    queries = [request.query.get("outagecast") for request in website.requests]
    other = desk.bank.folder / "old.html"
    other.write_text("<p>Welcome</p>", encoding="utf-8")
    website.files["banner.html"] = other  # the file is right, and what the public gets is not

    assert first is State.VERIFIED
    assert len(set(queries)) == len(queries) > 0
    assert None not in queries
    assert desk.look("banner").state is State.MISSING


def test_without_a_public_address_the_banners_file_is_read(desk: Desk) -> None:
    del desk.bank.config["channels"]["banner"]["public_url"]
    desk.bank.write()
    desk.open()
    desk.announce("banner")
    path = desk.bank.folder / "banner.html"
    desk.later()

    first = desk.look("banner").state
    path.write_text(path.read_text(encoding="utf-8").replace("cards", "shoes"), encoding="utf-8")

    assert (first, desk.look("banner").state) == (State.VERIFIED, State.MISMATCH)
    assert desk.bank.providers.website.requests == ()


def test_a_banner_that_was_taken_down_is_verified_and_one_put_back_is_not(desk: Desk) -> None:
    desk.announce("banner")
    path = desk.bank.folder / "banner.html"
    before = path.read_text(encoding="utf-8")
    desk.bank.write(
        status="resolved",
        summary="Cards work again.",
        components={"Card payments": "operational"},
        next_update_at=None,
        workaround=None,
    )
    desk.announce("banner")
    desk.later()

    taken = desk.look("banner").state
    path.write_text(before, encoding="utf-8")

    assert (taken, desk.look("banner").state) == (State.VERIFIED, State.MISMATCH)


def test_drift_is_14_on_a_required_channel_and_told_on_an_optional_one(desk: Desk) -> None:
    desk.announce("x", "facebook")
    desk.later()
    forget(desk.bank, "facebook")
    required = desk.verify().exit_code
    desk.bank.config["channels"]["facebook"]["required"] = False
    desk.bank.write()
    desk.open()

    found = desk.verify()

    assert (int(required), int(found.exit_code)) == (14, 0)
    assert [item.state.value for item in found.channels] == ["verified", "missing"]


def test_words_that_were_left_unchanged_are_read_where_they_were_published(desk: Desk) -> None:
    desk.announce("x")
    (post,) = desk.bank.providers.x.posts
    desk.bank.write(cause="A power cut.", variants={"x": {"en": {"text": post.text}}})
    assert desk.announce("x").channels[0].state is State.UNCHANGED
    desk.later()

    well = desk.look("x")
    forget(desk.bank, "x")
    gone = desk.look("x")

    assert (well.state, well.update) == (State.VERIFIED, 1)
    assert (gone.state, gone.update) == (State.MISSING, 1)
    assert [(item.state, item.update) for item in desk.app.status(None).channels] == [(State.MISSING, 1)]


def test_a_channel_that_left_the_config_cannot_be_read(desk: Desk) -> None:
    desk.announce("x", "banner")
    del desk.bank.config["channels"]["x"]
    desk.bank.write()
    desk.open()

    found = desk.look("x")

    assert (found.read_back, found.error) == (ReadBack.IMPOSSIBLE, "the channel is not in the config")


# -- patience --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("provider", "hides"), [("x", NOT_FOUND), ("facebook", NO_SUCH_POST)])
def test_what_was_just_published_is_looked_for_until_it_shows(desk: Desk, provider: str, hides: Reply) -> None:
    desk.announce(provider)
    server = getattr(desk.bank.providers, provider)
    page = Reply(200, {"id": "100"})
    for _ in range(3):
        server.behave(hides, method="GET")
        if provider == "facebook":  # which then asks whether the page itself can be read
            server.behave(page, method="GET")
    began = desk.clock.now()

    found = desk.look(provider)

    assert found.state is State.VERIFIED
    assert 0.5 + 1 + 2 <= (desk.clock.now() - began).total_seconds() < 5


def test_words_that_are_only_shown_later_are_not_called_different(desk: Desk) -> None:
    desk.announce("x")
    old = Reply(200, {"data": {"id": "1", "text": "An older text"}})
    desk.bank.providers.x.behave(old, method="GET", times=2)

    assert desk.look().state is State.VERIFIED


def test_patience_ends_and_then_it_is_missing(desk: Desk) -> None:
    desk.announce("x")
    forget(desk.bank, "x")
    began = desk.clock.now()

    found = desk.look()

    assert (found.state, found.read_back) == (State.MISSING, ReadBack.GONE)
    assert PATIENCE - 1 <= (desk.clock.now() - began).total_seconds() <= PATIENCE + 1
    assert 6 <= desk.asked("x", "/2/tweets/") <= 12


def test_a_time_that_ends_before_patience_does_proves_nothing(desk: Desk) -> None:
    desk.announce("x")
    forget(desk.bank, "x")

    found = desk.verify(max_time=3.0)

    (x,) = found.channels
    assert (x.state, x.read_back, x.error) == (State.ACCEPTED, ReadBack.UNCONFIRMED, "not to be seen yet")
    assert (int(found.exit_code), x.next_action) == (13, "outagecast verify card-payments")


def test_with_no_time_at_all_nobody_is_asked(desk: Desk) -> None:
    desk.announce("x")
    before = desk.asked("x", "/2/tweets/")

    found = desk.verify(max_time=0.0)

    assert (int(found.exit_code), desk.asked("x", "/2/tweets/")) == (13, before)
    assert found.channels[0].read_back is ReadBack.UNCONFIRMED


def test_what_is_old_is_asked_for_once(desk: Desk) -> None:
    desk.announce("x")
    desk.later()
    forget(desk.bank, "x")

    assert desk.look().state is State.MISSING
    assert desk.asked("x", "/2/tweets/") == 1


def test_a_run_that_is_stopped_asks_no_more(desk: Desk) -> None:
    desk.announce("x")
    stop = threading.Event()
    stop.set()

    assert desk.look(stop=stop).read_back is ReadBack.UNCONFIRMED
    assert desk.asked("x", "/2/tweets/") == 0


# -- what changes no state -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("error_500", "cannot be read now"),
        ("reset_before", "nothing was changed"),
        ("garbage_200", "cannot be read now"),
        ("unauthorized", "Unauthorized"),
        ("rate_limited", "Too Many Requests"),
        (Reply(200, {"errors": [{"type": "x/not-authorized-for-resource", "detail": "hidden"}]}), "hidden"),
    ],
)
def test_a_read_back_that_fails_changes_no_state_and_is_13(desk: Desk, fault: Any, words: str) -> None:
    desk.announce("x")
    desk.later()
    assert desk.look().state is State.VERIFIED
    desk.bank.providers.x.behave(fault, method="GET")

    found = desk.verify()

    (x,) = found.channels
    assert (x.state, x.read_back, int(found.exit_code)) == (State.VERIFIED, ReadBack.FAILED, 13)
    assert words in (x.error or "")
    assert (x.retry_after_s is not None) == (fault == "rate_limited")


def test_a_bug_in_an_adapter_is_a_look_that_failed(desk: Desk) -> None:
    desk.announce("x")
    desk.later()

    class Odd:
        def read_back(self, *_: object) -> Any:
            raise ZeroDivisionError("odd")

        def close(self) -> None:
            pass

    desk.made = lambda _: Odd()  # type: ignore[assignment,return-value]
    found = desk.look()

    assert (found.state, found.read_back, found.error) == (State.ACCEPTED, ReadBack.FAILED, "ZeroDivisionError: odd")


def test_an_adapter_that_cannot_be_made_is_a_look_that_failed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.announce("x")
    desk.later()
    monkeypatch.delenv("REHEARSAL_X_API_KEY")

    found = desk.look()

    assert (found.state, found.read_back) == (State.ACCEPTED, ReadBack.FAILED)
    assert "REHEARSAL_X_API_KEY" in (found.error or "")


def test_one_may_look_while_another_run_holds_the_ledger(desk: Desk) -> None:
    desk.announce("x")
    desk.later()

    with desk.app.ledger.lock():
        other = Desk(desk.bank)
        other.clock = desk.clock
        other.open()
        assert other.look().state is State.VERIFIED
        other.close()


def test_of_two_who_look_at_the_same_moment_the_second_yields(desk: Desk) -> None:
    desk.announce("x")
    desk.later()
    ledger = desk.app.ledger
    real = desk.made

    class Slow:
        """Somebody else finds it gone between our question and our note."""

        def __init__(self, config: ChannelConfig) -> None:
            self.inner: Any = real(config)

        def read_back(self, *asked: Any) -> Any:
            (entry,) = ledger.entries("card-payments", 1, "x", {State.ACCEPTED})
            ledger.move(entry, Move(Event.GONE, "first"), desk.clock.now(), "ben@desk")
            return self.inner.read_back(*asked)

        def close(self) -> None:
            self.inner.close()

    desk.made = Slow  # type: ignore[assignment]

    found = desk.look()

    assert (found.state, found.error) == (State.MISSING, "first")


def test_what_cannot_be_written_down_is_said(desk: Desk) -> None:
    desk.announce("x")
    desk.later()
    desk.app.ledger._db.execute(  # type: ignore[attr-defined]
        "CREATE TRIGGER full BEFORE INSERT ON transition BEGIN SELECT raise(ABORT, 'no room'); END"
    )

    with pytest.raises(LedgerError):
        desk.verify()


# -- many people -----------------------------------------------------------------------------------------------------


def people(desk: Desk, count: int) -> None:
    rows = ((f"P{number}", f"+6149157{number:04}", f"p{number}@example.com") for number in range(count))
    desk.bank.customers(*rows)


def test_texts_are_counted_by_what_became_of_them(desk: Desk) -> None:
    people(desk, 10)
    desk.announce("sms")
    desk.later()
    carry(desk.bank, "delivered")
    carry(desk.bank, "sent", of=4)
    carry(desk.bank, "undelivered", code=30003, of=3)
    carry(desk.bank, "failed", code=30007, of=1)

    found = desk.verify()

    (sms,) = found.channels
    counts = sms.counts
    assert (counts.accepted, counts.verified, counts.missing, counts.planned) == (10, 6, 3, 10)
    assert (sms.published, sms.complete, int(found.exit_code)) == ("yes", False, 14)
    assert sms.error == (
        "2 × not delivered: the phone is off or out of reach (error 30003); "
        "1 × not sent: the carrier took it for spam (error 30007)"
    )


def test_texts_on_their_way_are_waited_for_and_then_pending(desk: Desk) -> None:
    desk.announce("sms")

    found = desk.verify()

    (sms,) = found.channels
    assert (sms.state, sms.read_back, int(found.exit_code)) == (State.ACCEPTED, ReadBack.UNCONFIRMED, 13)
    desk.bank.providers.twilio.deliver()
    assert desk.look("sms").state is State.VERIFIED


def test_what_no_carrier_confirmed_in_a_day_counts_as_unreadable(desk: Desk) -> None:
    desk.announce("sms")
    carry(desk.bank, "sent")
    desk.clock.pass_by(86_401)

    found = desk.verify()

    (sms,) = found.channels
    assert (sms.state, sms.read_back, int(found.exit_code)) == (State.ACCEPTED, ReadBack.IMPOSSIBLE, 0)
    assert sms.error == "2 × never confirmed by the carrier"


def test_what_has_reached_a_person_is_not_asked_about_again(desk: Desk) -> None:
    people(desk, 5)
    desk.announce("sms")
    desk.later()
    carry(desk.bank, "sent")
    carry(desk.bank, "delivered", of=4)
    desk.verify()
    before = desk.asked("twilio", "/Messages/SM")

    found = desk.look("sms")

    assert (found.counts.verified, desk.asked("twilio", "/Messages/SM") - before) == (4, 1)


@pytest.mark.parametrize(("lost", "code", "state"), [(1, 0, "verified"), (2, 14, "missing")])
def test_a_few_of_many_out_of_reach_are_counted_and_no_alarm(desk: Desk, lost: int, code: int, state: str) -> None:
    people(desk, 20)
    desk.announce("sms")
    desk.later()
    carry(desk.bank, "delivered")
    carry(desk.bank, "undelivered", code=30005, of=lost)

    found = desk.verify()

    (sms,) = found.channels
    assert (sms.state.value, sms.counts.missing, int(found.exit_code)) == (state, lost, code)
    assert sms.read_back is (ReadBack.GONE if code else ReadBack.SEEN)


def test_dead_credentials_are_tried_on_few_and_not_on_everybody(desk: Desk) -> None:
    people(desk, 200)
    desk.announce("sms")
    desk.later()
    desk.bank.providers.twilio.behave("unauthorized", method="GET", times=300)

    found = desk.look("sms")

    assert (found.read_back, found.counts.verified) == (ReadBack.FAILED, 0)
    assert desk.asked("twilio", "/Messages/SM") <= 8  # as many as are asked at once


def test_a_provider_that_keeps_failing_is_left_alone(desk: Desk) -> None:
    people(desk, 200)
    desk.announce("sms")
    desk.later()
    desk.bank.providers.twilio.behave("error_500", method="GET", times=300)

    assert desk.look("sms").read_back is ReadBack.FAILED
    assert desk.asked("twilio", "/Messages/SM") <= MOST_FAILED + 8


def test_people_are_asked_about_at_the_channels_pace(desk: Desk) -> None:
    people(desk, 21)
    desk.announce("sms")
    desk.bank.config["channels"]["sms"]["rate"] = "2/s"
    desk.bank.write()
    desk.open()
    desk.later()
    carry(desk.bank, "delivered")
    began = desk.clock.now()

    assert desk.look("sms").state is State.VERIFIED
    assert 10 <= (desk.clock.now() - began).total_seconds() < 12


def test_redacted_texts_cannot_be_compared(desk: Desk) -> None:
    desk.announce("sms")
    desk.later()
    held = desk.bank.providers.twilio._messages
    for sid, text in list(held.items()):
        held[sid] = replace(text, text="", status="delivered")

    found = desk.verify()

    assert (found.channels[0].state, found.channels[0].read_back) == (State.ACCEPTED, ReadBack.IMPOSSIBLE)
    assert int(found.exit_code) == 0


# -- very many people: by a list -------------------------------------------------------------------------------------


@pytest.fixture
def crowd(desk: Desk) -> Desk:
    """More people than are asked about one by one, each of whom has been sent a text."""
    people(desk, MANY + 5)
    desk.announce("sms")
    return desk


def test_many_are_read_from_a_list_and_only_what_it_does_not_tell_is_asked_about_alone(crowd: Desk) -> None:
    twilio, held = crowd.bank.providers.twilio, crowd.bank.providers.twilio._messages
    numbers = [message.to for message in twilio.messages]
    crowd.later()
    twilio.deliver(lost={numbers[0]: 30005, numbers[1]: 30003})
    changed, waiting = list(held)[2:4]
    held[changed] = replace(held[changed], text="Other words.")
    held[waiting] = replace(held[waiting], status="accepted", sent_at=None)
    before = crowd.asked("twilio", "/Messages")

    sms = crowd.look("sms")

    assert (sms.counts.planned, sms.counts.verified, sms.counts.missing) == (MANY + 5, MANY + 1, 2)
    assert sms.difference is not None
    assert sms.difference.seen == "Other words."
    assert crowd.asked("twilio", "/Messages/SM") == 1
    assert crowd.asked("twilio", "/Messages") - before == 1 + 3
    listed = [(row.address, row.kind, row.why, row.source) for row in crowd.app.ledger.suppressed()]
    assert listed == [(numbers[0], "phone", "bounce", "sms")]  # and not the phone that is only off
    assert crowd.look("sms").counts.verified == MANY + 1
    assert crowd.asked("twilio", "/Messages/SM") == 1 + 4  # by now too few to be worth a list


def test_what_a_list_does_not_tell_is_pending_and_nobody_is_asked_about_alone(crowd: Desk) -> None:
    twilio, held = crowd.bank.providers.twilio, crowd.bank.providers.twilio._messages
    began = crowd.clock.now()

    def look(result: ReadBack, questions: int, **options: Any) -> None:
        before = crowd.asked("twilio", "/Messages")
        sms = crowd.look("sms", **options)
        assert (sms.read_back, sms.counts.verified) == (result, 0)
        assert crowd.asked("twilio", "/Messages") - before == questions

    look(ReadBack.UNCONFIRMED, 1)  # all wait in the provider's queue
    twilio.deliver()
    look(ReadBack.UNCONFIRMED, 0, max_time=0.0)
    for fault in ("unauthorized", "error_500", "garbage_200"):
        twilio.behave(fault, method="GET")
        look(ReadBack.FAILED, 1)
    for sid in list(held):
        held[sid] = replace(held[sid], text="")
    look(ReadBack.IMPOSSIBLE, 3)  # and an account that keeps no texts will never tell

    assert crowd.clock.now() == began
