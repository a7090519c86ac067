"""The expressions of a campaign: what each is for, and how its place in the definition is written."""

from typing import Literal

from msgspec import Struct

ExpressionKind = Literal["rule", "start", "step", "sum", "distinct", "key", "formula", "limit"]
"""The rule of a SIMPLE campaign, of a quest's start or of a step; a step's sum, or what it counts; the instance's key; a reward's formula; a limit's key."""

_PATHS: dict[ExpressionKind, str] = {
    "rule": "rule",
    "start": "quest.start.rule",
    "step": "quest.steps.{}.rule",
    "sum": "quest.steps.{}.sum",
    "distinct": "quest.steps.{}.distinct",
    "key": "quest.instance.key",
    "formula": "rewards.{}.formula.of",
    "limit": "limits.{}.key",
}


def name_path(kind: ExpressionKind, index: int = -1) -> str:
    """The path that a checked expression is stored by; `index` is that of its step, reward or limit."""
    return _PATHS[kind].format(index)


class Expression(Struct, frozen=True):
    """One expression of a campaign over events of `action`; that is empty where no single action is known.

    `index` is that of the step, reward or limit that it belongs to. `opening_action` is the one whose events a step's rule
    reads as `start`; None where the campaign opens instances, or events of several actions do.
    """

    kind: ExpressionKind
    action: str
    source: str
    index: int = -1
    opening_action: str | None = None

    @property
    def path(self) -> str:
        """Its place in the definition, by dots: the name that its checked form is stored by."""
        return name_path(self.kind, self.index)

    @property
    def pointer(self) -> str:
        """Its place in the definition as a JSON pointer, for faults."""
        return "/" + self.path.replace(".", "/")

    @property
    def is_rule(self) -> bool:
        """Whether it says which events count; the others give a value."""
        return self.kind in ("rule", "start", "step")
