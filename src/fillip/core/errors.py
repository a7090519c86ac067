"""One tree of errors. The type says what to do: retry, dead-letter, refuse, or crash."""

from typing import Literal

RejectReason = Literal[
    "too_large",
    "undecodable",
    "too_deep",
    "nul_character",
    "not_an_event",
    "unknown_tenant",
    "unknown_action",
    "schema_violation",
    "in_future",
    "conflicting_duplicate",
    "undecidable",
]
"""Why an event can't be decided: the words stored in the ledger, and counted."""


class FillipError(Exception):
    """Root of all errors that Fillip raises on purpose; its text is the message for a person."""


class Retry(FillipError):
    """A server is away or busy: nothing happened, the same call may be made again."""


class Busy(Retry):
    """The server answers, but a lock, a race or its patience stood in the way: what is asked of it may be too much."""


class Fenced(Retry):
    """Another worker, or an earlier attempt, has settled this batch: drop it and go on from the stored offsets."""


class Refused(FillipError):
    """The caller asked for something that cannot be; asking again changes nothing.

    `kind` is the stable last part of the problem's type, `at` the place in the input (JSON pointer or line:column).
    """

    kind = "refused"

    def __init__(self, message: str, *, at: str | None = None) -> None:
        super().__init__(message)
        self.at = at


class Unreadable(Refused):
    """An event that cannot be taken in; `reason` is the word stored in the ledger and counted."""

    def __init__(self, reason: RejectReason, message: str, *, at: str | None = None) -> None:
        super().__init__(message, at=at)
        self.reason = reason


class Crash(FillipError):
    """Going on could do harm: the process ends with one clear line and a non-zero exit."""
