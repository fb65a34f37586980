"""What is said over HTTP on one kept connection, for one delivery after another: bytes in, bytes out, no socket.

One request is under way at a time: pipelined ones would all be in doubt where the answer to the first is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import ClassVar, TypeAlias

import h11

from outagecast.channel import Outcome, Outgoing
from outagecast.errors import ChannelError, Unavailable, Uncertain
from outagecast.model import Delivery, Receipt
from outagecast.transport import DEADLINE, LONGEST_ANSWER, Way

_NOTHING = Outgoing(b"", ())


Answer: TypeAlias = tuple[int, Mapping[str, str], bytes]  # the status, each header Named-Like-This, the content
Judge: TypeAlias = Callable[[int, Mapping[str, str], bytes], Receipt]


class HttpConversation:
    """POSTs deliveries to one address.

    ``write`` makes the body of one, and may raise Rejected; ``judge`` gives the receipt that an answer is, or raises
    the ChannelError that it means.
    """

    patience: ClassVar[float] = DEADLINE

    def __init__(self, way: Way, write: Callable[[Delivery], bytes], judge: Judge) -> None:
        self._host, self._write, self._judge = way.host, write, judge
        # Nothing packed is asked for, since unpacking would need a bound of its own.
        fixed = {**way.headers, "Host": way.host, "Accept-Encoding": "identity", "Connection": "keep-alive"}
        fixed.pop("Content-Length", None)

        @lru_cache(100)  # checked once for each length that bodies have
        def head(length: int) -> h11.Request:
            headers = [*fixed.items(), ("Content-Length", str(length))]
            return h11.Request(method="POST", target=way.target, headers=headers)

        self._head = head
        self._http = h11.Connection(h11.CLIENT)
        self._body = b""
        self._held: Delivery | None = None
        self._has_begun = self._is_over = False
        self._size, self._status, self._content = 0, 0, bytearray()  # of the answer so far
        self._fields: Iterable[tuple[bytes, bytes]] = ()

    @property
    def room(self) -> int:
        """One, while nothing is under way."""
        return int(self._held is None and not self._is_over)

    @property
    def is_over(self) -> bool:
        """Whether this connection carries no further request."""
        return self._is_over

    def take(self, delivery: Delivery) -> None:
        """Make its request. Raises what ``write`` raises."""
        self._body, self._held, self._has_begun = self._write(delivery), delivery, False

    def outgoing(self) -> Outgoing:
        """The whole request, once."""
        if self._held is None or self._has_begun or self._is_over:
            return _NOTHING
        self._has_begun = True
        self._size, self._content = 0, bytearray()
        parts = (self._head(len(self._body)), h11.Data(self._body), h11.EndOfMessage())
        return Outgoing(b"".join(self._http.send(part) or b"" for part in parts), (self._held,))

    def incoming(self, data: bytes) -> Sequence[Outcome]:
        """What the answer means, once it is whole; no data means that the provider hung up."""
        if self._is_over:
            return ()
        if not data:
            return self.broken("it hung up")
        if not self._has_begun:  # it would be taken for the answer to what is said next
            return self._end("it said something unasked")
        self._size += len(data)
        if self._size > LONGEST_ANSWER:
            return self._end("its answer is too long")
        try:
            answer = self._read(data)
        except h11.RemoteProtocolError:
            return self._end("its answer is no HTTP")
        return self._judged(answer) if answer else ()

    def broken(self, why: str) -> Sequence[Outcome]:
        """What it means that no more will be heard. An answer that names no length is whole by then:
        https://www.rfc-editor.org/rfc/rfc9112#section-8
        """
        answer = None
        if self._has_begun and not self._is_over:
            with suppress(h11.RemoteProtocolError):
                answer = self._read(b"")
        self._is_over = True
        return self._judged(answer) if answer else self._end(why)

    def farewell(self) -> bytes:
        """HTTP knows none."""
        return b""

    def _judged(self, answer: Answer) -> Sequence[Outcome]:
        try:
            return self._conclude(self._judge(*answer))
        except ChannelError as error:
            return self._conclude(error)

    def _end(self, why: str) -> Sequence[Outcome]:
        self._is_over = True
        if self._has_begun:
            return self._conclude(Uncertain(f"{self._host}: {why}; the request had been sent, so it may be out"))
        return self._conclude(Unavailable(f"{self._host}: {why}; nothing was sent"))

    def _conclude(self, outcome: Receipt | ChannelError) -> Sequence[Outcome]:
        held, self._held, self._has_begun = self._held, None, False
        return ((held, outcome),) if held else ()

    def _read(self, data: bytes) -> Answer | None:
        """The answer, if it is whole by now; then the connection is made ready for the next, or is over."""
        self._http.receive_data(data)
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Response):
                self._status, self._fields = event.status_code, event.headers
            elif isinstance(event, h11.Data):
                self._content += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            elif event is h11.NEED_DATA:
                return None
            elif not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError("no answer")
        if self._http.our_state is h11.DONE is self._http.their_state and not self._http.trailing_data[0]:
            self._http.start_next_cycle()
        else:
            self._is_over = True
        names = {name.decode("latin-1").title(): value.decode("latin-1") for name, value in self._fields}
        return self._status, names, bytes(self._content)
