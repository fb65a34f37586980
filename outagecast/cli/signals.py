"""What Ctrl-C, SIGTERM and SIGHUP do: before a run they end it, during a run they let it finish what is under way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from outagecast.errors import ExitCode

if TYPE_CHECKING:
    from outagecast.control import Control

_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED, signal.SIGHUP: ExitCode.TERMINATED}


class Interrupted(BaseException):
    """Somebody wants to leave now."""

    def __init__(self, code: ExitCode) -> None:
        super().__init__(code)
        self.code = code


def _raise(code: ExitCode) -> None:
    raise Interrupted(code)


class Signals:
    """The handlers of one command, from its beginning to its end."""

    def __init__(self) -> None:
        self._control: Control | None = None
        self._say: Callable[[], None] = lambda: None
        self._leave: Callable[[ExitCode], None] = _raise
        self._is_over = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _CODES}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def draining(
        self, control: Control, say: Callable[[], None], leave: Callable[[ExitCode], None] | None = None
    ) -> Iterator[None]:
        """While it lasts, the first signal lets ``control`` stop the run, and a second Ctrl-C calls ``leave``.

        Without ``leave`` it raises Interrupted, which a run answers by waiting for the calls that are under way.
        """
        self._control, self._say, self._leave = control, say, leave or _raise
        try:
            yield
        finally:
            self._is_over = True  # from here on the result is being told, and telling it takes no time

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._is_over:
            return
        code = _CODES[signal.Signals(number)]
        if self._control is None:
            raise Interrupted(code)
        if self._control.stop.is_set() and number == signal.SIGINT:
            self._leave(code)
        if not self._control.stop.is_set():
            self._control.interrupted = code
            self._control.stop.set()
            self._say()
