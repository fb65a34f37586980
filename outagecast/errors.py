"""Everything that can go wrong, and the exit code that says how certain we are.

OutagecastError                 carries its exit code; knows nothing of the command line
├── ConfigError                 78  ┐
├── MessageError                65  │
├── AudienceError               65  │
├── TemplateError               65  ├ nothing was sent
├── PlanError                   65  │
├── UsageError                   2  │
├── ConflictError               22  ┘
├── LedgerError                 74
└── ChannelError
    ├── Rejected                    nothing was published; retrying is useless
    ├── Unavailable                 nothing was published, for certain; retry after ``retry_after`` seconds
    └── Uncertain                   it may be out; never retried blindly
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class ExitCode(IntEnum):
    """What a run ended with, by certainty. Runbooks script against these numbers; they never change meaning."""

    DONE = 0
    BUG = 1
    USAGE = 2
    PARTIAL = 10
    NOTHING_PUBLISHED = 11
    IN_DOUBT = 12
    PENDING = 13
    DIFFERS = 14
    APPROVAL_NEEDED = 20
    APPROVAL_INVALID = 21
    CONFLICT = 22
    MODE_MISMATCH = 23
    OVERDUE = 24
    BAD_INPUT = 65
    LEDGER = 74
    PERMISSION = 77
    CONFIG = 78
    INTERRUPTED = 130
    TERMINATED = 143

    @property
    def label(self) -> str:
        """The name printed in JSON as ``exit_name``, such as ``in_doubt``."""
        return self.name.lower()


# When several apply, the first of these that applies is the answer.
PRECEDENCE: tuple[ExitCode, ...] = (
    ExitCode.DIFFERS,
    ExitCode.IN_DOUBT,
    ExitCode.CONFLICT,
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
    ExitCode.PARTIAL,
    ExitCode.PENDING,
    ExitCode.NOTHING_PUBLISHED,
    ExitCode.OVERDUE,
    ExitCode.DONE,
)


class Problem(NamedTuple):
    """One thing wrong with what somebody wrote: where it is, what it is, and what to do about it."""

    message: str
    hint: str = ""
    file: str | None = None
    line: int | None = None  # counted from 1
    column: int | None = None  # counted from 1

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        text = f"{place}: {self.message}" if place else self.message
        return f"{text} ({self.hint})" if self.hint else text


class OutagecastError(Exception):
    """The root of all errors that a person can do something about."""

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, *problems: Problem | str, exit_code: ExitCode | None = None) -> None:
        self.problems: tuple[Problem, ...] = tuple(
            problem if isinstance(problem, Problem) else Problem(problem) for problem in problems
        )
        if exit_code is not None:
            self.exit_code = exit_code
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class ConfigError(OutagecastError):
    """The configuration, or a credential it names, cannot be used. Nothing was sent."""

    exit_code = ExitCode.CONFIG


class MessageError(OutagecastError):
    """The message file says something we cannot publish. Nothing was sent."""

    exit_code = ExitCode.BAD_INPUT


class AudienceError(OutagecastError):
    """The list of recipients has rows we cannot send to. Nothing was sent."""

    exit_code = ExitCode.BAD_INPUT


class TemplateError(OutagecastError):
    """A template is missing or broken, or its text is too long or lacks a fact. Nothing was sent."""

    exit_code = ExitCode.BAD_INPUT


class PlanError(OutagecastError):
    """Message and configuration do not fit together. Nothing was sent."""

    exit_code = ExitCode.BAD_INPUT


class UsageError(OutagecastError):
    """The command was called with words it cannot act on. Nothing was sent."""

    exit_code = ExitCode.USAGE


class ConflictError(OutagecastError):
    """Somebody else is sending, or something newer is out. Nothing was sent."""

    exit_code = ExitCode.CONFLICT


class LedgerError(OutagecastError):
    """The ledger cannot be read or written, so nothing more may be sent."""

    exit_code = ExitCode.LEDGER


class ChannelError(OutagecastError):
    """A provider, or the way to it, said no. Which of the three below tells what is certain."""

    def __init__(self, message: str, *, code: str = "", hint: str = "") -> None:
        self.code = code  # the provider's own code, such as "21211" or "HTTP 401"
        self.hint = hint
        super().__init__(Problem(message, hint))


class Rejected(ChannelError):
    """Nothing was published, and the same request will be refused again."""

    exit_code = ExitCode.NOTHING_PUBLISHED

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        hint: str = "",
        recipient: bool = False,
        account: bool = False,
        duplicate: bool = False,
        suppress: str = "",
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.recipient = recipient  # the recipient's own reason: a wrong number, unsubscribed; others are unaffected
        self.account = account  # the account's reason: a dead token, no rights; every further call would fail too
        self.duplicate = duplicate  # the provider says it carries this already: look for it
        self.suppress = suppress  # why nothing may be sent to this address again: "stop", "bounce"; empty if it may


class Unavailable(ChannelError):
    """Nothing was published, for certain; try again after ``retry_after`` seconds, or when we think best."""

    exit_code = ExitCode.PENDING

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        hint: str = "",
        retry_after: float | None = None,
        recipient: bool = False,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.retry_after = retry_after  # seconds
        self.recipient = recipient  # the recipient's own reason, such as greylisting; others need not wait


class Uncertain(ChannelError):
    """It may be out. Only evidence, or a person, may say otherwise."""

    exit_code = ExitCode.IN_DOUBT
