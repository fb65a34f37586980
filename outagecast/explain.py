"""What each exit code means, and what to do next: the words of ``outagecast explain`` and of docs/exit-codes.md."""

from __future__ import annotations

from dataclasses import dataclass

from outagecast.errors import ExitCode


@dataclass(frozen=True, slots=True)
class Explanation:
    """One exit code, for somebody who is tired and has a telephone ringing."""

    meaning: str
    advice: str  # what to do; commands in backquotes


EXPLANATIONS: dict[ExitCode, Explanation] = {
    ExitCode.DONE: Explanation(
        "Every required channel carries the update.", "Go on. `outagecast status` shows where it can be seen."
    ),
    ExitCode.BUG: Explanation(
        "Outagecast itself has failed.",
        "See what is out before anything else: `outagecast status`. Then report the bug.",
    ),
    ExitCode.USAGE: Explanation(
        "The command cannot be acted on. Nothing was sent.",
        "Correct the command; `outagecast COMMAND --help` has an example.",
    ),
    ExitCode.PARTIAL: Explanation(
        "Some of it is published, and some certainly is not.",
        "Send what is missing with `outagecast resume`. If that fails too, call the owner of the channel it names.",
    ),
    ExitCode.NOTHING_PUBLISHED: Explanation(
        "Nothing is published, for certain.", "Put right what it names, then run the same command again."
    ),
    ExitCode.IN_DOUBT: Explanation(
        "Something may be out, and nobody knows yet.",
        "Post nothing by hand. `outagecast resume` looks for it; if that cannot tell, look yourself, and say what you "
        "found with `outagecast settle`.",
    ),
    ExitCode.PENDING: Explanation(
        "The rest is certainly not out, and can be sent in a while.",
        "Wait as long as it says, then type `outagecast resume`. In JSON the wait is `retry_after_s`; what is `held` "
        "somebody has paused.",
    ),
    ExitCode.DIFFERS: Explanation(
        "It was published, and what the public sees now is something else, or gone.",
        "Look at the channel now; `outagecast verify` shows the difference. To say it again, announce an update.",
    ),
    ExitCode.APPROVAL_NEEDED: Explanation(
        "A second person has to agree first. Nothing was sent.", "Kept for approvals. Not given yet by any command."
    ),
    ExitCode.APPROVAL_INVALID: Explanation(
        "The approval does not fit what would be sent. Nothing was sent.",
        "Kept for approvals. Not given yet by any command.",
    ),
    ExitCode.CONFLICT: Explanation(
        "Another person is announcing from this ledger, or a newer update is out. Nothing was sent.",
        "Read who it is, and talk to them. `outagecast status` shows what is out.",
    ),
    ExitCode.MODE_MISMATCH: Explanation(
        "A drill met live channels, or the other way round. Nothing was sent.",
        "Kept for drills. Not given yet by any command.",
    ),
    ExitCode.OVERDUE: Explanation(
        "A word that was promised is late.", "Say something now, if only that you are still at it: outagecast status."
    ),
    ExitCode.BAD_INPUT: Explanation(
        "The message, an audience or a template cannot be used, or there is no such incident. Nothing was sent.",
        "Correct the line it names, then look with `outagecast preview MESSAGE`.",
    ),
    ExitCode.LEDGER: Explanation(
        "The ledger, the record of what was said, cannot be read or written, or its disk is full.",
        "Make room on the disk or mend the file, then `outagecast resume`. Do not start a second ledger beside it.",
    ),
    ExitCode.PERMISSION: Explanation(
        "A file may not be read or written by this user.", "Change its owner or its rights, then run it again."
    ),
    ExitCode.CONFIG: Explanation(
        "The configuration, or a credential it names, cannot be used. Nothing was sent.",
        "Correct the line it names; `outagecast check` tells whether all is well.",
    ),
    ExitCode.INTERRUPTED: Explanation(
        "Stopped by Ctrl-C. What was under way was finished first.", "Send the rest with `outagecast resume`."
    ),
    ExitCode.TERMINATED: Explanation(
        "Stopped from outside. What was under way was finished first.", "Send the rest with `outagecast resume`."
    ),
}


def find(word: str) -> ExitCode | None:
    """The exit code of a number such as ``12`` or a name such as ``in_doubt``, however it is written."""
    name = word.strip().lower().replace("-", "_").replace(" ", "_")
    return next((code for code in ExitCode if name in {str(int(code)), code.label}), None)
