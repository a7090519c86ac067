"""Quests as they are defined: steps that a user's events must meet within a window. Their life is in core.quest.instance."""

from typing import Literal

from msgspec import Struct

from fillip.core.local_day import Zone
from fillip.core.schema.types import Field, Kind, ObjectType, Scalar

MAX_DISTINCT = 500
"""Most different values that a step can count: an instance carries a mark of each, of 16 characters."""


class Streak(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`length` days or weeks (from Monday) in a row in the zone of the quest, each with an event.

    `freeze` units may be missed between them; they do not count towards the length. One more, and as many of the first
    fall away as must: it is always the longest that ends with the newest, and met once one of the length has been.
    """

    length: int
    unit: Literal["day", "week"] = "day"
    freeze: int = 0


class Step(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Met by events of `action` for which `rule` holds: `count` of them, or such that `sum` adds up, or a streak.

    `sum` is an int expression over each event; its terms may be negative. The step is met for good the first time that
    they reach `at_least`, or exceed `more_than`. With `distinct`, a string or int expression over each event, `count` is how
    many different values of it there must be.
    """

    name: str
    action: str
    rule: str = "true"
    count: int = 1
    distinct: str | None = None
    sum: str | None = None
    at_least: int | None = None
    more_than: int | None = None
    streak: Streak | None = None

    @property
    def needed(self) -> int:
        """How far the step must come: events, different values, the least sum, or days or weeks."""
        if self.streak:
            return self.streak.length
        if self.sum is None:
            return self.count
        return self.at_least if self.at_least is not None else (self.more_than or 0) + 1


class Start(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What opens an instance: the campaign's own start, the first step event, or an enrolling event with its rule."""

    at: Literal["campaign", "first_step", "event"] = "first_step"
    action: str | None = None
    rule: str = "true"


class Keyed(Struct, frozen=True, forbid_unknown_fields=True):
    """One instance for each value of `key`, a string or int expression over the event that opens it."""

    key: str


class Quest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`window_s` counts from the instance's start, both ends included (None: until the campaign ends).

    `instance`: one at a time for each user, one for each opening event, or one at a time for each value of a key.
    An event dated inside the window counts until `lateness_s` after its end, by the event's clock time; one of a day
    before the newest of a streak until `lateness_s` after the end of that day. `zone` says whose days those of its streaks are.
    """

    steps: tuple[Step, ...]
    start: Start = Start()
    instance: Literal["user", "event"] | Keyed = "user"
    window_s: int | None = None
    lateness_s: int = 0
    ordered: bool = True
    repeatable: bool = False
    zone: Zone = "tenant"

    @property
    def opening_action(self) -> str | None:
        """The one action whose events open instances; None where the campaign does, or where there are several."""
        if self.start.at != "first_step":
            return self.start.action
        actions = {step.action for step in (self.steps[:1] if self.ordered else self.steps)}
        return actions.pop() if len(actions) == 1 else None

    def opens(self, *, starts: bool, steps: tuple[int, ...]) -> bool:
        """Whether an event that meets the start's rule, or these steps, is one that opens instances."""
        if self.start.at == "event":
            return starts
        return 0 in steps if self.ordered and self.start.at == "first_step" else bool(steps)


PROGRESS = ObjectType(
    tuple(Field(name, Scalar(Kind.INT, nullable=False)) for name in ("done", "needed", "steps_met", "occurrence")),
    nullable=False,
)
"""What `progress` reads in the rule of a step, before the event counts: how far this step is and must come, how many
steps of the instance are met, and its number for this key."""
