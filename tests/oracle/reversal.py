"""Reversals of the reference model, as docs/guide/reversal.md tells them: what is known of each when its turn comes.

What the original was granted is not: tests.oracle.limits replays that. Quests are undone here all the same, since what
becomes of their instances does not go by what was granted.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from tests.oracle.ids import name_event
from tests.oracle.merging import People
from tests.oracle.quest import QuestLog
from tests.oracle.undoing import Undone, involves, undo

REVERSAL = "fillip.reversal"
Pieces = Mapping[str, tuple[Fraction, Fraction | None]]
"""(what of it, the whole of the line where it is told) by line; both as shares of the event"""


@dataclass(frozen=True)
class Reversal:
    """A reversal as it was sent: of `event`, said to be `user`'s, take back a share, or (None) all that is left.

    Both it and the event are named by source and id.
    """

    id: str
    user: str
    event: str
    share: Fraction | None
    lines: Pieces
    after: Mapping[str, Any] | None = None
    """What is left of the event, where it is told."""

    def is_readable(self, schema: Mapping[str, Any]) -> bool:
        """Whether what is left is an event of an action with this schema."""
        told = self.after or {}
        types = {name: each["type"] for name, each in schema.get("properties", {}).items()}
        right = all(_is_of(told[name], types[name]) for name in told.keys() & types.keys())
        return self.after is None or (right and set(schema.get("required", [])) <= told.keys())


@dataclass(frozen=True)
class Past:
    """What was taken back of one event so far, and of its lines."""

    share: Fraction = Fraction(0)
    lines: Pieces = field(default_factory=dict)

    def weigh(self, reversal: Reversal) -> "Past | tuple[str, str]":
        """What will have been taken back after this one too, or (state, reason) of one that takes nothing."""
        if self.share == 1:
            return "nothing", "already_reversed"
        if reversal.share is None:
            return Past(Fraction(1), self.lines)
        lines = dict(self.lines)
        for line, (piece, told) in reversal.lines.items():
            before, known = lines.get(line, (Fraction(0), None))
            if known and told and known != told:
                return "refused", "other_line_whole"
            whole = known or told
            if whole and before + piece > whole:
                return "refused", "exceeds_line" if before < whole else "line_already_reversed"
            lines[line] = before + piece, whole
        if self.share + reversal.share > 1:
            return "refused", "exceeds_whole"
        return Past(self.share + reversal.share, lines)


@dataclass(frozen=True)
class Undoing:
    """A reversal in its turn.

    `refusal` is (state, reason) where no grant has a say in it, `involved` whether the event is part of a quest
    instance that stands, `undone` what it does to those.
    """

    reversal: Reversal
    refusal: tuple[str, str] | None = None
    involved: bool = False
    undone: tuple[Undone, ...] = ()
    readable: bool = True
    """What is left of the event, as far as it is told."""

    @property
    def name(self) -> str:
        """The reversal's name."""
        return self.reversal.id


class Desk:
    """All reversals so far."""

    def __init__(self, quests: QuestLog, people: People) -> None:
        self._quests = quests
        self._people = people
        self._waiting: dict[str, list[Reversal]] = defaultdict(list)
        self._pasts: dict[str, Past] = defaultdict(Past)  # of events that are part of quests
        self._reversed: set[str] = (
            set()
        )  # the first reversal of an event that is not refused here is not refused by its grants either

    def take(
        self, reversal: Reversal, said: Mapping[str, tuple[Any, ...]], actions: Mapping[str, Mapping[str, Any]]
    ) -> Undoing:
        """A reversal whose turn has come; `said` are the events that are recorded: (user, action, …) by id, `actions` the
        schemas in force.
        """
        reversal = replace(reversal, user=self._people.find(reversal.user))
        if reversal.event not in said:
            self._waiting[reversal.event].append(reversal)
            return Undoing(reversal, ("waiting", "unknown_event"))
        user, action, *_ = said[reversal.event]
        if self._people.find(user) != reversal.user:
            return Undoing(reversal, ("refused", "other_user"))
        if action == REVERSAL:
            return Undoing(reversal, ("refused", "is_a_reversal"))
        readable = reversal.is_readable(actions.get(action, {}))
        if readable:
            self._reversed.add(reversal.event)
        return self._undo(reversal, readable)

    def holds(self, event: str) -> bool:
        """Whether some of an event was taken back, or a reversal of it waits."""
        return event in self._reversed or event in self._waiting

    def call(self, event: str) -> list[Reversal]:
        """The reversals that have been waiting for an event that was recorded just now: their turn comes again."""
        return self._waiting.pop(event, [])

    def _undo(self, reversal: Reversal, readable: bool) -> Undoing:
        ids = self._people.list_ids(reversal.user)
        instances = [
            each for user in ids for each in self._quests.list_of(user) if "~" not in each[0]
        ]  # not of a shadow
        if not any(involves(instance, reversal.event) for _, instance in instances):
            return Undoing(reversal, readable=readable)
        past = self._pasts[reversal.event].weigh(reversal)
        if isinstance(past, tuple):
            return Undoing(reversal, past)
        if not readable:
            return Undoing(reversal, ("refused", "unreadable_after"))
        self._pasts[reversal.event] = past
        return Undoing(reversal, None, True, tuple(undo(instances, reversal.event, past.share)))


def read_reversal(event: Mapping[str, Any]) -> Reversal:
    """The CloudEvent of a reversal that says nothing impossible."""
    data = event["data"]
    lines = data.get("lines", [])
    amount = data.get("amount", sum(line["amount"] for line in lines))
    share = Fraction(amount, data["of"]) if "of" in data else None
    pieces = {line["line"]: _read_piece(line, data["of"]) for line in lines}
    name, original = name_event(event["source"], event["id"]), name_original(event)
    return Reversal(name, event["subject"], original, share, pieces, data.get("after"))


def name_original(event: Mapping[str, Any]) -> str:
    """The event that a reversal takes back: of its own source, unless it names one."""
    data = event["data"]
    return name_event(data.get("event_source", event["source"]), data["event_id"])


def _is_of(value: object, types: str | list[str]) -> bool:
    kinds = {"string": str, "integer": int, "number": int | float, "null": type(None)}
    return any(isinstance(value, kinds[each]) for each in ([types] if isinstance(types, str) else types))


def _read_piece(line: Mapping[str, Any], of: int) -> tuple[Fraction, Fraction | None]:
    return Fraction(line["amount"], of), Fraction(line["of"], of) if "of" in line else None
