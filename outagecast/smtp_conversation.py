"""What is said to a mail relay on one connection, mail after mail: bytes in, bytes out, no socket and no clock.

Where the relay offers PIPELINING (https://www.rfc-editor.org/rfc/rfc2920), MAIL, RCPT and DATA of the next mail go out
behind the body of the one before, so that a mail costs one round trip; else one command at a time is said. Either way
each mail is a transaction of its own. Replies are https://www.rfc-editor.org/rfc/rfc5321#section-4.2 ones; any other,
and any that was not asked for, ends the conversation, since from then on nobody knows which answer is to what.

Where the connection is lost between the body's first byte and the reply to the final dot, nobody can know whether the
mail is out (https://www.rfc-editor.org/rfc/rfc1047). Lost at any other moment, it is not.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from outagecast.channel import Outcome, Outgoing
from outagecast.errors import ChannelError, Rejected, Unavailable, Uncertain
from outagecast.mail import Letterhead, Mail
from outagecast.model import Delivery, Receipt
from outagecast.secret import redact
from outagecast.text import clean

LONGEST_LINE = 8192  # bytes of one line of a reply; RFC 5321, 4.5.3.1.5 grants it 512
LONGEST_REPLY = 65_536  # bytes
GREYLISTED = 300.0  # seconds; a server that greylists wants to be asked again, but not at once: RFC 6647, 2.1
LOGIN_HINT = "check `username` and `password`; if they were locked or changed, ask the relay's owner for new ones"
MAIL, RCPT, DATA, END, RSET, AUTH = "MAIL", "RCPT", "DATA", "the end of the mail", "RSET", "the login"

_CODES = {b"%d" % code: code for code in range(200, 600)}
# What a relay says when it took a mail, and takes the next one's envelope: nearly always, and read at once.
_ALL_WELL = re.compile(rb"2\d\d (.*)\r\n25\d .*\r\n25\d .*\r\n35\d .*\r\n")
_WANTED = {MAIL: 25, RCPT: 25, DATA: 35, RSET: 25}  # the first two digits of what each is answered with
_ANY_ADDRESS = re.compile(r"[^\s<>:;,\"']+@[^\s<>:;,\"']+")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")  # RFC 3463
_USUAL = re.compile(rb"[!-?A-~]+(?: [!-?A-~]+)*")  # words that hold no address, nor anything else that needs cleaning
# There is no such mailbox, it has moved, or its domain takes no mail at all. Not 5.1.2 and 5.2.1, which a DNS that is
# out of order, and Gmail for a mailbox that gets too much at once, say too: who is left out by mistake hears nothing.
_FOR_GOOD = frozenset({"5.1.1", "5.1.6", "5.1.10"})


class Dropped(Unavailable):
    """The connection had gone before the mail's body began: on another one it may be tried at once."""


@dataclass(slots=True, eq=False)
class _Letter:
    """A mail on its way through the conversation."""

    delivery: Delivery
    mail: Mail
    is_begun: bool = False
    is_told: bool = False  # its outcome


_Asked: TypeAlias = tuple[str, _Letter | None]  # a command that is to be answered: its stage, and the mail
_Said: TypeAlias = tuple[bytes, tuple[_Asked, ...]]
_RESET: _Said = (b"RSET\r\n", ((RSET, None),))
_NOTHING = Outgoing(b"", ())


class SmtpConversation:
    """One connection that is open, encrypted and logged in. ``host`` is what the relay is called in errors."""

    patience: ClassVar[float] = 60.0  # seconds; the RFC's ten minutes (4.5.3.2.6) would hold up the others too long

    def __init__(self, letterhead: Letterhead, host: str, *, pipelining: bool) -> None:
        self._letterhead, self._host, self._pipelining = letterhead, host, pipelining
        self._sender = b"MAIL FROM:<%b>\r\n" % letterhead.address.encode()
        self._held: list[_Letter] = []  # without an outcome, oldest first
        self._waiting: deque[_Letter] = deque()  # those of them of which nothing was said yet
        self._unsaid: list[_Said] = []
        self._asked: deque[_Asked] = deque()  # said and not answered
        self._in_envelope = False  # between MAIL and the answer to DATA
        self._unread = b""  # the beginning of a line
        self._code, self._length = 0, 0  # of a reply of several lines, so far
        self._texts: list[bytes] = []
        self._is_over = False

    @property
    def room(self) -> int:
        """How many more deliveries it takes now."""
        return 0 if self._is_over else (2 if self._pipelining else 1) - len(self._held)

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be said on this connection."""
        return self._is_over

    @property
    def is_settled(self) -> bool:
        """Whether all that was said is answered, and nothing need be said before the next mail."""
        return not (self._asked or self._unsaid)

    def take(self, delivery: Delivery) -> None:
        """Take one delivery, when there is room. Raises Rejected where it can never be said."""
        letter = _Letter(delivery, self._letterhead.write(delivery))
        self._held.append(letter)
        self._waiting.append(letter)

    def outgoing(self) -> Outgoing:
        """What is to be written now; empty where it waits for an answer."""
        if self._is_over:
            return _NOTHING
        # What follows DATA depends on its answer, so nothing is said behind it: RFC 2920, 3.1.
        if self._waiting and not self._in_envelope and (self._pipelining or self.is_settled):
            letter = self._waiting.popleft()
            recipient = b"RCPT TO:<%b>\r\n" % letter.mail.recipient.encode()
            mail, rcpt, data = (MAIL, letter), (RCPT, letter), (DATA, letter)
            if self._pipelining:
                self._unsaid.append((self._sender + recipient + b"DATA\r\n", (mail, rcpt, data)))
            else:
                self._unsaid += ((self._sender, (mail,)), (recipient, (rcpt,)), (b"DATA\r\n", (data,)))
            self._in_envelope = True
        if not self._unsaid or (self._asked and not self._pipelining):
            return _NOTHING
        if self._pipelining:
            now, self._unsaid = self._unsaid, []
        else:
            now = [self._unsaid.pop(0)]
        for _, asked in now:
            self._asked += asked
        stage, first = now[0][1][0]
        begins: tuple[Delivery, ...] = ()
        if stage is END and first is not None and not first.is_told:  # a body is always the first of a group
            first.is_begun, begins = True, (first.delivery,)
        return Outgoing(b"".join([said for said, _ in now]), begins)

    def incoming(self, data: bytes) -> Sequence[Outcome]:
        """What an answer, or a part of one, decides."""
        outcomes: list[Outcome] = []
        if self._is_well(data, outcomes):
            return outcomes
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            if not self._is_over:
                self._hear(line, outcomes)
        if len(self._unread) > LONGEST_LINE and not self._is_over:
            self._finish(f"{self._host} does not stop talking", outcomes)
        return outcomes

    def _is_well(self, data: bytes, outcomes: list[Outcome]) -> bool:
        """Whether a mail is out and the next one may follow; if so, that is settled.

        Line by line it takes half as long again, and comes to the same.
        """
        asked, found = self._asked, _ALL_WELL.fullmatch(data)
        if not found or len(asked) != 4 or self._unread or self._code or self._is_over or len(data) > LONGEST_LINE:
            return False
        (first, sent), _, _, (last, following) = asked
        if first is not END or last is not DATA or sent is None or following is None:
            return False
        asked.clear()
        self._ended(sent, _CODES[data[:3]], found[1], outcomes)
        self._give_body(following)
        return True

    def broken(self, why: str) -> Sequence[Outcome]:
        """The connection ended, or the answer took too long: what that means for each delivery that it holds."""
        outcomes: list[Outcome] = []
        self._finish(clean(why), outcomes)
        return outcomes

    def farewell(self) -> bytes:
        """What is politely said before hanging up; nothing where it would be taken for a part of a mail."""
        return b"" if self._is_over or self._in_envelope or self._unsaid else b"QUIT\r\n"

    def _hear(self, line: bytes, outcomes: list[Outcome]) -> None:
        """Take in one line, which may be a whole reply."""
        code, mark = _CODES.get(line[:3]), line[3:4]
        if code is None or mark not in b" -\r" or self._code not in {0, code}:
            self._finish(f"{self._host} gave an answer that is none", outcomes)
        elif len(line) > LONGEST_LINE:
            self._finish(f"{self._host} does not stop talking", outcomes)
        elif mark == b"-":
            self._code, self._length = code, self._length + len(line)
            self._texts.append(line[4:].strip())
            if self._length > LONGEST_REPLY:
                self._finish(f"{self._host} does not stop talking", outcomes)
        elif self._code:
            said = b"\n".join([*self._texts, line[4:]])
            self._code, self._length, self._texts = 0, 0, []
            self._answered(code, said, outcomes)
        else:
            self._answered(code, line[4:], outcomes)

    def _answered(self, code: int, said: bytes, outcomes: list[Outcome]) -> None:
        """Do what the answer to the oldest command asks for."""
        if not self._asked:
            return self._finish(f"{self._host} said {code} {words(said)} unasked", outcomes)
        stage, letter = self._asked.popleft()
        if code // 10 == _WANTED.get(stage):
            if stage is DATA and letter is not None:
                self._give_body(letter)
        elif stage is END and letter is not None:
            self._ended(letter, code, said, outcomes)
        elif 400 <= code != 421 and letter is not None:
            self._tell(letter, refusal(stage, code, said), outcomes)
            if stage is DATA or not self._pipelining:
                self._in_envelope, self._unsaid = False, [_RESET]
        else:
            self._tell(letter, _broke_off(self._host, stage, code, said), outcomes)
            self._finish(f"{self._host} broke off", outcomes)
        if code == 421:  # it hangs up: RFC 5321, 3.8
            self._finish(f"{self._host} broke off with {code} {words(said)}", outcomes)
        return None

    def _give_body(self, letter: _Letter) -> None:
        self._in_envelope = False
        # Refused before, it has no recipient left, so that the dot alone sends nothing: RFC 2920, 3.1.
        content = b".\r\n" if letter.is_told else letter.mail.content
        self._unsaid = [(content, ((END, letter),)), *([_RESET] if letter.is_told else [])]

    def _ended(self, letter: _Letter, code: int, said: bytes, outcomes: list[Outcome]) -> None:
        if 200 <= code <= 299:
            self._tell(letter, Receipt(letter.mail.message_id, detail=words(said)), outcomes)
        elif code <= 399:
            self._finish(f"{self._host} gave an answer that we do not understand", outcomes)
        else:
            self._tell(letter, refusal(END, code, said), outcomes)
            if self.is_settled:  # else the next one has begun: the transaction was over with its dot
                self._unsaid = [_RESET]

    def _tell(self, letter: _Letter | None, result: Receipt | ChannelError, outcomes: list[Outcome]) -> None:
        if letter is not None and not letter.is_told:
            letter.is_told = True
            self._held.remove(letter)
            outcomes.append((letter.delivery, result))

    def _finish(self, why: str, outcomes: list[Outcome]) -> None:
        self._is_over = True
        for letter in tuple(self._held):
            self._tell(letter, lost(why, is_begun=letter.is_begun), outcomes)


def lost(why: str, *, is_begun: bool) -> Uncertain | Dropped:
    """What it means for a mail that its connection ended."""
    if is_begun:
        return Uncertain(f"{why} while the relay was taking the mail, so it may be out")
    return Dropped(f"{why} before the relay was given the mail; nothing was sent")


def refusal(stage: str, code: int, said: bytes) -> Rejected | Unavailable:
    """What a *no* means; ``stage`` is what it answered."""
    told = f"the mail server answered {stage} with {code} {words(said)}".rstrip()
    status = found[0] if (found := _STATUS.match(words(said))) else ""
    if not 500 <= code <= 599:
        is_recipient = stage == RCPT  # others need not wait
        wait = GREYLISTED if is_recipient else None
        told = f"{told}; nothing was sent"
        return Unavailable(told, code=status or str(code), retry_after=wait, recipient=is_recipient)
    # Postfix says at RCPT what it holds against client, HELO and sender: postconf.5.html#smtpd_delay_reject
    policy = status.startswith("5.7.") or status in {"5.1.7", "5.1.8"} or code in {530, 535}
    account = policy or stage not in {RCPT, DATA, END}
    recipient = not account and (stage == RCPT or status.startswith(("5.1.", "5.2.")))
    hint = ""
    if account:
        login = stage == AUTH or code in {530, 535}
        hint = LOGIN_HINT if login else "may this login send as `from`? ask the relay's owner"
    suppress = "bounce" if recipient and status in _FOR_GOOD else ""
    return Rejected(told, code=status or str(code), hint=hint, account=account, recipient=recipient, suppress=suppress)


def _broke_off(host: str, stage: str, code: int, said: bytes) -> Dropped:
    return Dropped(f"{host} broke off at {stage} with {code} {words(said)}; nothing was sent", code=str(code))


def words(said: bytes) -> str:
    """A reply without the addresses in it; of a long one the beginning, since to look for them takes long."""
    said = said.strip()
    if len(said) <= 300 and _USUAL.fullmatch(said):
        return redact(said.decode())
    return clean(_ANY_ADDRESS.sub("(address)", redact(said.decode("utf-8", "replace"))[:2000]))
