"""What can go wrong with a rule: at saving (refused, with its place) and at run time (no match, counted)."""

from fillip.core.errors import FillipError, Refused


class RuleRefused(Refused):
    """A rule that cannot be saved; line and column count from 1, columns in code points."""

    kind = "rule-refused"

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(f"line {line}, column {column}: {message}", at=f"{line}:{column}")
        self.line = line
        self.column = column
        self.message = message


class RuleError(FillipError):
    """CEL's answer is an error (null where a value is needed, overflow, no such key): the event does not match."""


class BudgetSpentError(RuleError):
    """The rule went through more list items than it may; nothing absorbs this error."""
