"""What is said to a relay, as pure bytes: no socket, no clock, and a relay of a few lines that keeps its own books."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import pytest

from outagecast.errors import ChannelError, Rejected, Unavailable, Uncertain
from outagecast.mail import Letterhead
from outagecast.model import Delivery, Receipt, Status
from outagecast.smtp_conversation import LONGEST_LINE, LONGEST_REPLY, Dropped, SmtpConversation

ANA = Delivery(
    key="cards:1:email:ana@example.org",
    incident="cards",
    update=1,
    status=Status.INVESTIGATING,
    target="ana@example.org",
    language="en",
    parts={"subject": "Cards are failing", "text": "We are sorry.\n.\nQUIT\n", "html": "<p>We are sorry.</p>\n"},
    opened_at=datetime(2026, 11, 22, 7, 30, tzinfo=UTC),
)
CROWD = [
    ANA._replace(key=f"cards:1:email:{name}", target=f"{name}@example.org") for name in ("ana", "ben", "cia", "dan")
]
GOOD = {
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 go ahead",
    "END": "250 2.0.0 Ok: queued as 4F1C2",
    "RSET": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
}
HANGS_UP = ""
Result = Receipt | ChannelError
Answer = Callable[[str, str], str]


def opened(*, pipelining: bool = True) -> SmtpConversation:
    return SmtpConversation(Letterhead("Example Bank <status@example.com>"), "relay.example.com", pipelining=pipelining)


def always(**odd: str) -> Answer:
    """A relay that answers Ana's mail so, and is a good one to everybody else."""
    return lambda stage, who: odd.get(stage, GOOD[stage]) if who in {"ana@example.org", ""} else GOOD[stage]


class Relay:
    """A strict relay: no second MAIL in a transaction, no DATA without a recipient. ``answer`` may overrule it.

    ``answer`` is asked with the stage and the recipient, so far as one was named; it hangs up on ``HANGS_UP``.
    """

    def __init__(self, answer: Answer | None = None, *, is_lenient: bool = False) -> None:
        self.answer, self.is_lenient = answer or always(), is_lenient
        self.groups: list[list[str]] = []  # what came in together, by stage
        self.bodies: Counter[str] = Counter()  # how often the whole mail to each came in
        self.answered: dict[str, str] = {}  # what was said to each whole mail
        self.is_gone = False
        self._unread, self._in_body, self._has_mail, self._to, self._named = b"", False, False, "", ""

    def hears(self, data: bytes) -> bytes:
        """What it says to that."""
        self._unread += data
        self.groups.append([])
        said = b""
        while not self.is_gone and (stage := self._next()):
            self.groups[-1].append(stage)
            reply = self._reply(stage)
            self.is_gone = reply == HANGS_UP or reply.startswith("421")
            said += "".join(f"{line}\r\n" for line in reply.split("\n") if line).encode()
        return said

    def _next(self) -> str:
        """The next command, or a whole body, if there is one."""
        if self._in_body:
            body, end, rest = (b"\r\n" + self._unread).partition(b"\r\n.\r\n")
            if not end:
                return ""
            self._unread, self._in_body = rest, False
            assert not self._to or f"\r\nTo: {self._to}\r\n".encode() in body
            assert self._to or not body, "words were sent to nobody"
            self.bodies[self._to] += bool(self._to)
            return "END"
        line, end, rest = self._unread.partition(b"\r\n")
        if not end:
            return ""
        self._unread = rest
        if found := re.fullmatch(rb"RCPT TO:<(.*)>", line):
            self._named = found[1].decode()
        return line[:4].decode()

    def _reply(self, stage: str) -> str:
        has_mail, to = self._has_mail, self._to
        if stage == "MAIL" and has_mail:
            return "503 5.5.1 nested MAIL command"
        if (stage == "RCPT" and not has_mail) or (stage == "DATA" and not to and not self.is_lenient):
            return "503 5.5.1 bad sequence of commands"
        if stage == "END" and not to:
            self._has_mail = False
            return "554 5.5.1 no valid recipients"
        reply = self.answer(stage, "" if stage in {"MAIL", "RSET", "QUIT"} else self._named)
        if stage == "MAIL":
            self._has_mail = reply.startswith("25")
        elif stage == "RCPT" and reply.startswith("25"):
            self._to = self._named
        elif stage == "DATA":
            self._in_body = reply.startswith("35")
        elif stage in {"END", "RSET"}:
            if stage == "END":
                self.answered[to] = reply
            self._has_mail, self._to = False, ""
        return reply


class Talk:
    """One conversation driven to its end, with what came of each delivery, once each."""

    def __init__(self, conversation: SmtpConversation) -> None:
        self.conversation = conversation
        self.results: dict[str, Result] = {}
        self.begun: set[str] = set()
        self.said: list[bytes] = []

    def note(self, outcomes: Iterable[tuple[Delivery, Result]]) -> None:
        for delivery, result in outcomes:
            assert delivery.target not in self.results, "two outcomes for one delivery"
            self.results[delivery.target] = result

    def says(self) -> bytes:
        now = self.conversation.outgoing()
        self.begun.update(delivery.target for delivery in now.begins)
        self.said += [now.data] if now.data else []
        return now.data

    def run(self, relay: Relay, crowd: Sequence[Delivery], cut: Callable[[int], int] = lambda length: length) -> Talk:
        """Drive it, speaking whenever it may; of what is heard, ``cut`` says how many bytes arrive next."""
        waiting, heard = list(crowd), b""
        while not self.conversation.is_over:
            while waiting and self.conversation.room:
                self.conversation.take(waiting.pop(0))
            if data := self.says():
                heard += relay.hears(data)
            if heard:
                most = cut(len(heard))
                self.note(self.conversation.incoming(heard[:most]))
                heard = heard[most:]
            elif relay.is_gone or not self.conversation.is_settled:
                self.note(self.conversation.broken("the connection broke"))
            elif not waiting:
                break
        return self


def commands(group: bytes) -> list[str]:
    return [
        line[:4].decode() for line in group.split(b"\r\n") if line[:4] in {b"MAIL", b"RCPT", b"DATA", b"RSET", b"QUIT"}
    ]


# --- groups of commands


def test_a_mail_costs_one_round_trip_and_nothing_is_said_behind_data() -> None:
    relay = Relay()

    talk = Talk(opened()).run(relay, CROWD)

    envelope = ["MAIL", "RCPT", "DATA"]
    assert relay.groups == [envelope, *[["END", *envelope]] * 3, ["END"]]
    assert set(relay.bodies.values()) == {1}
    assert list(talk.results) == [one.target for one in CROWD]
    assert all(isinstance(result, Receipt) for result in talk.results.values())


def test_without_the_relays_word_for_it_one_command_is_said_at_a_time() -> None:
    relay = Relay()

    Talk(opened(pipelining=False)).run(relay, CROWD)

    assert relay.groups == [["MAIL"], ["RCPT"], ["DATA"], ["END"]] * 4


def test_a_receipt_is_the_message_id_and_the_relays_own_word() -> None:
    talk = Talk(opened()).run(Relay(), [ANA])

    message_id = Letterhead("status@example.com").write(ANA).message_id
    assert talk.results == {ANA.target: Receipt(message_id, detail="2.0.0 Ok: queued as 4F1C2")}


def test_a_delivery_begins_with_its_body_and_is_named_then() -> None:
    conversation, relay, began = opened(), Relay(), []
    for one in CROWD[:2]:
        conversation.take(one)

    for _ in range(3):
        now = conversation.outgoing()
        began.append([delivery.target for delivery in now.begins])
        conversation.incoming(relay.hears(now.data))

    assert began == [[], ["ana@example.org"], ["ben@example.org"]]


def test_one_that_comes_while_a_body_is_under_way_does_not_wait_for_its_answer() -> None:
    conversation, relay = opened(), Relay()
    conversation.take(ANA)
    conversation.incoming(relay.hears(conversation.outgoing().data))
    relay.hears(conversation.outgoing().data)

    conversation.take(CROWD[1])

    assert commands(conversation.outgoing().data) == ["MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize(("pipelining", "room"), [(True, 2), (False, 1)])
def test_there_is_room_for_what_can_be_said_ahead(pipelining: bool, room: int) -> None:
    conversation = opened(pipelining=pipelining)

    assert conversation.room == room
    for one in CROWD[:room]:
        conversation.take(one)
    assert conversation.room == 0


def test_what_can_never_be_said_takes_no_room() -> None:
    conversation = opened()

    with pytest.raises(Rejected):
        conversation.take(ANA._replace(target="ana@example.org>\r\nRCPT TO:<x@example.org"))

    assert conversation.room == 2
    assert conversation.outgoing() == (b"", ())


# --- what each answer means, and each silence

OVER, ON = True, False
EVERYWHERE = [
    ("421 4.3.2 shutting down", Unavailable, OVER),
    ("what?", None, OVER),
    ("2x0 Ok", None, OVER),
    ("199 Ok", None, OVER),
    ("600 Ok", None, OVER),
    ("250Ok", None, OVER),
    ("250-Ok\n251 Ok", None, OVER),
    ("250-" + "x" * LONGEST_LINE, None, OVER),
    ("\n".join(["250-no"] * (LONGEST_REPLY // 6)), None, OVER),
    (HANGS_UP, None, OVER),
]
MEANINGS = [
    *(
        (stage, reply, expected, over)
        for stage in ("MAIL", "RCPT", "DATA", "END")
        for reply, expected, over in EVERYWHERE
    ),
    ("MAIL", "354 what?", Dropped, OVER),
    ("MAIL", "220 what?", Dropped, OVER),
    ("MAIL", "450 4.7.1 later", Unavailable, ON),
    ("MAIL", "550 5.1.8 not your address", Rejected, ON),
    ("RCPT", "354 what?", Dropped, OVER),
    ("RCPT", "251 it will be forwarded", Receipt, ON),
    ("RCPT", "250-2.1.5 Ok\n250-2.1.5 and\n250 2.1.5 more", Receipt, ON),
    ("RCPT", "450 4.2.0 greylisted", Unavailable, ON),
    ("RCPT", "550 5.1.1 no such user", Rejected, ON),
    ("RCPT", "550", Rejected, ON),
    ("DATA", "250 what?", Dropped, OVER),
    ("DATA", "451 4.3.0 later", Unavailable, ON),
    ("DATA", "554 5.5.1 no", Rejected, ON),
    ("END", "250", Receipt, ON),
    ("END", "250-2.0.0 Ok\n250 2.0.0 queued as 1", Receipt, ON),
    ("END", "354 what?", Uncertain, OVER),
    ("END", "452 4.3.1 disk full", Unavailable, ON),
    ("END", "554 5.6.0 we do not like it", Rejected, ON),
]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(("stage", "reply", "expected", "over"), MEANINGS)
def test_each_answer_has_its_meaning_at_each_stage_and_harms_nobody_else(
    stage: str, reply: str, expected: type[Result] | None, over: bool, pipelining: bool
) -> None:
    relay = Relay(always(**{stage: reply}) if stage != "MAIL" else first_mail(reply))

    talk = Talk(opened(pipelining=pipelining)).run(relay, CROWD)

    result = talk.results[ANA.target]
    assert isinstance(result, expected or (Uncertain if stage == "END" else Dropped)), repr(result)
    assert talk.conversation.is_over is over
    assert (ANA.target in talk.begun) is (stage == "END" or expected is Receipt)
    assert isinstance(result, Receipt) is (relay.answered.get(ANA.target, "")[:1] == "2" and expected is Receipt)
    for one in CROWD[1:]:
        if not over:
            assert isinstance(talk.results[one.target], Receipt)
        elif one.target in talk.results:  # said ahead, and not begun
            assert isinstance(talk.results[one.target], Dropped)
            assert one.target not in talk.begun
    assert set(relay.bodies.values()) <= {1}


def first_mail(reply: str) -> Answer:
    replies = iter([reply])
    return lambda stage, who: next(replies, GOOD["MAIL"]) if stage == "MAIL" else GOOD[stage]


@pytest.mark.parametrize(
    ("reply", "suppress"),
    [
        ("550 5.1.1 no such user", "bounce"),
        ("551 5.1.6 moved", "bounce"),
        ("556 5.1.10 takes no mail", "bounce"),
        ("550-5.1.1 no\n550 5.1.1 such user", "bounce"),
        ("550 5.1.2 no such host", ""),
        ("552 5.2.2 mailbox full", ""),
        ("550 5.2.1 receives too much", ""),
        ("550 no such user", ""),
        ("550 5.7.1 5.1.1 policy", ""),
    ],
)
@pytest.mark.parametrize("stage", ["RCPT", "END"])
def test_only_an_address_that_will_never_be_one_is_left_out_for_good(stage: str, reply: str, suppress: str) -> None:
    talk = Talk(opened()).run(Relay(always(**{stage: reply})), [ANA])

    result = talk.results[ANA.target]
    assert isinstance(result, Rejected)
    assert result.suppress == suppress


def test_the_sender_being_refused_leaves_no_recipient_out() -> None:
    talk = Talk(opened()).run(Relay(first_mail("550 5.1.1 no such sender")), [ANA])

    result = talk.results[ANA.target]
    assert isinstance(result, Rejected)
    assert (result.account, result.recipient, result.suppress) == (True, False, "")


def test_a_relay_that_goes_on_though_it_refused_the_recipient_gets_an_empty_mail_for_nobody() -> None:
    relay = Relay(always(RCPT="550 5.1.1 no such user"), is_lenient=True)

    talk = Talk(opened()).run(relay, CROWD)

    assert relay.groups[1] == ["END", "RSET", "MAIL", "RCPT", "DATA"]
    assert ANA.target not in talk.begun
    assert [type(talk.results[one.target]) for one in CROWD] == [Rejected, Receipt, Receipt, Receipt]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "END"])
def test_a_transaction_that_failed_is_reset_before_the_next(stage: str, pipelining: bool) -> None:
    relay = Relay(always(**{stage: "450 later"}) if stage != "MAIL" else first_mail("450 later"))
    conversation = opened(pipelining=pipelining)

    talk = Talk(conversation).run(relay, [ANA])
    talk.run(relay, CROWD[1:2])

    flat = [one for group in relay.groups for one in group]
    assert flat[flat.index("RSET") :] == ["RSET", "MAIL", "RCPT", "DATA", "END"]
    assert conversation.is_settled


def test_a_reset_that_fails_ends_it_without_doubt() -> None:
    talk = Talk(opened()).run(Relay(always(RCPT="550 no", RSET="500 what?")), CROWD[:2])

    assert isinstance(talk.results[ANA.target], Rejected)
    assert isinstance(talk.results[CROWD[1].target], Dropped)
    assert talk.conversation.is_over


@pytest.mark.parametrize("unasked", [b"250 2.0.0 Ok\r\n", b"421 4.4.2 timeout\r\n"])
def test_an_answer_to_what_was_not_asked_ends_it(unasked: bytes) -> None:
    conversation, relay = opened(), Relay()
    talk = Talk(conversation)
    for one in CROWD[:2]:
        conversation.take(one)

    talk.note(conversation.incoming(relay.hears(talk.says()) + unasked))

    assert conversation.is_over
    assert conversation.room == 0
    assert {type(result) for result in talk.results.values()} == {Dropped}
    assert talk.begun == set()
    assert conversation.outgoing() == (b"", ())
    assert list(conversation.incoming(b"250 Ok\r\n")) == []


@pytest.mark.parametrize(
    ("turns", "fates"), [(0, [Dropped, Dropped]), (1, [Dropped, Dropped]), (2, [Uncertain, Dropped])]
)
def test_a_connection_that_breaks_leaves_in_doubt_what_had_begun_alone(turns: int, fates: list[type[Result]]) -> None:
    conversation, relay = opened(), Relay()
    talk = Talk(conversation)
    for one in CROWD[:2]:
        conversation.take(one)
    for turn in range(turns):
        heard = relay.hears(talk.says())
        if turn < turns - 1:
            talk.note(conversation.incoming(heard))

    talk.note(conversation.broken("no answer within 60 seconds"))

    assert [type(result) for result in talk.results.values()] == fates
    assert conversation.is_over
    assert list(conversation.broken("again")) == []
    assert all("no answer within 60 seconds" in str(result) for result in talk.results.values())


def test_half_a_reply_is_none() -> None:
    conversation = opened()
    talk = Talk(conversation)
    conversation.take(ANA)
    relay = Relay()
    conversation.incoming(relay.hears(talk.says()))
    relay.hears(talk.says())

    talk.note(conversation.incoming(b"250 2.0.0 Ok: queued"))
    talk.note(conversation.broken("the connection broke"))

    assert isinstance(talk.results[ANA.target], Uncertain)


@pytest.mark.parametrize(
    "answers",
    [
        b"250 2.0.0 Ok: queued as 4F1C2\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 Go on\r\n",
        b"250 \r\n250 \r\n250 \r\n354 \r\n",
        b"250\r\n250\r\n250\r\n354\r\n",
        b"250 Ok\n250 Ok\n250 Ok\n354 Go on\n",
        b"250 a\rb\r\n250 c\rd\r\n250 e\r\n354 f\r\r\n",
        b"255 for ben@example.org\r\n259 Ok\r\n251 will forward\r\n355 Go on\r\n",
        b"250-2.0.0 Ok:\r\n250 queued\r\n250 Ok\r\n250 Ok\r\n354 Go on\r\n",
        b"250 Ok\r\n250-Ok\r\n250 Ok\r\n250 Ok\r\n354 Go on\r\n",
        b"250 Ok\r\n250 Ok\r\n550 5.1.1 unknown\r\n554 no recipients\r\n",
        b"250 Ok\r\n250 Ok\r\n550 5.1.1 unknown\r\n354 Go on\r\n",
        b"250 Ok\r\n250 Ok\r\n450 4.2.1 later\r\n354 Go on\r\n",
        b"250 Ok\r\n421 closing\r\n",
        b"250 Ok\r\n250 Ok\r\n250 Ok\r\n354 Go on\r\n250 unasked\r\n",
        b"250 Ok\r\n250 Ok\r\n250 Ok\r\n254 what\r\n",
        b"251 Ok\r\n299 Ok\r\n250 Ok\r\n354 Go on\r\n",
        b"199 Ok\r\n250 Ok\r\n250 Ok\r\n354 Go on\r\n",
        b"2x0 Ok\r\n250 Ok\r\n250 Ok\r\n354 Go on\r\n",
        b"354 Ok\r\n250 Ok\r\n250 Ok\r\n354 Go on\r\n",
        b"451 later\r\n250 Ok\r\n250 Ok\r\n354 Go on\r\n",
        b"250 Ok\r\n250 " + b"a" * 9000 + b"\r\n250 Ok\r\n354 Go on\r\n",
    ],
)
@pytest.mark.parametrize("first", [1, 2, 3])
def test_what_is_heard_at_once_means_what_it_means_byte_by_byte(answers: bytes, first: int) -> None:
    def heard(pieces: Iterable[bytes]) -> list[object]:
        conversation = opened()
        conversation.take(ANA)
        conversation.incoming(Relay().hears(conversation.outgoing().data)[: -1 if first == 2 else None])
        conversation.outgoing()
        if first < 3:
            conversation.take(CROWD[1])
            conversation.outgoing()
        outcomes = [(one.target, str(result)) for piece in pieces for one, result in conversation.incoming(piece)]
        return [outcomes, conversation.outgoing(), conversation.is_over, conversation.room, conversation.is_settled]

    assert heard([answers]) == heard(answers[at : at + 1] for at in range(len(answers)))


def test_a_relay_that_does_not_stop_talking_is_not_listened_to() -> None:
    for flood in (b"2" * (LONGEST_LINE + 2), b"250-" + b"x" * 500 + b"\r\n"):
        conversation = opened()
        conversation.take(ANA)
        conversation.outgoing()
        heard = 0
        while not conversation.is_over:
            conversation.incoming(flood)
            heard += len(flood)
            assert heard <= LONGEST_REPLY + 1000


def test_long_answers_end_nothing_as_long_as_each_of_them_ends() -> None:
    wordy = "\n".join([f"250-{'Ok ' * 150}"] * 4 + ["250 2.0.0 Ok"])
    crowd = [ANA._replace(key=str(number), target=f"p{number}@example.org") for number in range(100)]

    talk = Talk(opened()).run(Relay(lambda stage, who: wordy if stage == "END" else GOOD[stage]), crowd)

    assert len(crowd) * len(wordy) > 2 * LONGEST_REPLY
    assert {type(result) for result in talk.results.values()} == {Receipt}


def test_no_error_names_a_recipient_or_colours_a_screen() -> None:
    reply = "550 5.1.1 <ana@example.org>: \x1b[31m see ANA@EXAMPLE.ORG"

    talk = Talk(opened()).run(Relay(always(RCPT=reply)), [ANA])

    assert (
        str(talk.results[ANA.target]) == "the mail server answered RCPT with 550 5.1.1 <(address)>: [31m see (address)"
    )


def test_goodbye_is_said_only_where_it_cannot_become_a_part_of_a_mail() -> None:
    conversation, relay = opened(), Relay()
    polite = [conversation.farewell()]
    conversation.take(ANA)
    while data := conversation.outgoing().data:
        polite.append(conversation.farewell())
        conversation.incoming(relay.hears(data))
        polite.append(conversation.farewell())
    conversation.broken("it hung up")

    assert polite == [b"QUIT\r\n", b"", b"", b"QUIT\r\n", b"QUIT\r\n"]
    assert conversation.farewell() == b""


# --- cut anywhere, and any relay

SESSIONS: list[Answer] = [
    always(),
    always(RCPT="550-5.1.1 no\n550 5.1.1 such user"),
    always(DATA="451 4.3.0 later"),
    always(END="554-5.6.0 we\n554 5.6.0 do not"),
    always(END="250-2.0.0 Ok\n250 2.0.0 queued as 1"),
    always(END="what?"),
    always(END="250-Ok\n251 Ok"),
    always(RCPT="421 4.3.2 bye"),
]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("answer", SESSIONS)
def test_an_answer_means_the_same_however_it_is_cut(answer: Answer, pipelining: bool) -> None:
    def meant(most: int) -> tuple[dict[str, str], bytes, bool]:
        talk = Talk(opened(pipelining=pipelining)).run(Relay(answer), CROWD, lambda length: min(length, most))
        results = {who: repr(result) for who, result in talk.results.items()}
        return results, b"".join(talk.said), talk.conversation.is_over

    whole = meant(65_536)

    for most in range(1, 100):
        assert meant(most) == whole


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("pipelining", [True, False])
def test_whatever_a_relay_does_the_books_of_both_agree(seed: int, pipelining: bool) -> None:
    chance = random.Random(seed)  # noqa: S311 - for a walk that can be repeated
    odd = ["421 bye", "450 later", "550 5.1.1 no", "what?", "354 go", "250 Ok", "250-so\n250 on", HANGS_UP]
    crowd = [ANA._replace(key=str(number), target=f"p{number}@example.org") for number in range(300)]

    def answer(stage: str, who: str) -> str:
        return chance.choice(odd) if chance.random() < 0.04 else GOOD[stage]

    def cut(length: int) -> int:
        return chance.choice([length, chance.randint(1, length)])

    waiting, results, begun = list(crowd), dict[str, Result](), set[str]()
    answered, bodies = dict[str, str](), Counter[str]()
    while waiting:
        relay = Relay(answer, is_lenient=chance.random() < 0.5)
        talk = Talk(opened(pipelining=pipelining)).run(relay, waiting, cut)
        waiting = waiting[len(talk.results) :]
        results |= talk.results
        begun |= talk.begun
        answered |= relay.answered
        bodies += relay.bodies

    assert list(results) == [one.target for one in crowd]
    assert max(bodies.values()) == 1
    assert set(bodies) <= begun
    for who, result in results.items():
        said = answered.get(who, HANGS_UP)
        is_taken = said.startswith("250")
        assert isinstance(result, Receipt) is is_taken, (who, said, result)
        assert isinstance(result, Uncertain) is (who in bodies and not said.startswith(("2", "4", "5"))), (who, said)
        assert who in bodies or isinstance(result, Rejected | Unavailable)
