"""Claims of the reference model: what would be granted for an event, and which claims of it stand against each other."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

Document = Mapping[str, Any]
Name = tuple[str, str, str]
"""(campaign, instance, event): what makes a decision the same one, however often it is made"""
CounterName = tuple[str, str, str, date]
"""(limit, user or '', key or '', first day of the window)"""


@dataclass(frozen=True)
class Touch:
    """What a grant would take from one counter; `counts` are the kind and currency of the rewards whose value is counted,
    None: grants are. `part` is the number of the part of a rolling window, and how many parts behind it count it too.
    `partial`: where less is left, that is given; then `wanted` is what it would have been.
    """

    counter: CounterName
    amount: int
    cap: int
    counts: tuple[str, str | None] | None = None
    part: tuple[int, int] | None = None
    partial: bool = False
    wanted: int | None = None


def is_counted(reward: Document, counts: tuple[str, str | None]) -> bool:
    """Whether the value of a reward is of this kind and currency; a limit of no currency counts those of each."""
    kind, currency = counts
    return reward["kind"] == kind and currency in (None, reward.get("currency", "POINTS"))


Answer = tuple[bool, Mapping[int, int]]
"""Whether the rule holds for what is left of an event, and the value of each reward for it, by index, 0 where there is none."""


@dataclass(frozen=True)
class Claim:
    """A campaign that would grant for this event, if all its limits have room."""

    campaign: str
    instance: str
    event: str
    user: str
    rewards: tuple[Document, ...]  # each with its `index` in the definition
    touches: tuple[Touch, ...]
    day: date  # of its event, in the tenant's zone
    refusal: str | None = None
    version: int = 1
    kept: bool = False  # under an earlier version than the newest
    gives_back: bool = True
    variant: str | None = None
    shadow: bool = False  # its campaign only tells what it would grant
    ask: Callable[[Document], Answer] | None = field(default=None, compare=False, repr=False)
    """Asks the campaign again, as it was decided, for other data of its event."""
    rivals: frozenset[Name] = frozenset()
    """Claims of the same event that are tried before it, any of which leaves it nothing when granted."""
    earlier: frozenset[Name] = frozenset()
    """All claims of the same event that are tried before it."""
    among: Mapping[str, Document] | None = None
    """Of a claim by a backfill, the definitions by which it stands among what others were granted for its event before."""

    @property
    def badges(self) -> frozenset[tuple[str, str]]:
        """(user, badge) of each badge among the rewards, which the user may hold once."""
        return frozenset((self.user, reward["badge"]) for reward in self.rewards if "badge" in reward)

    @property
    def name(self) -> Name:
        """Of the decision."""
        return self.campaign, self.instance, self.event


def set_against(claims: list[Claim], definitions: Mapping[str, Document]) -> Iterator[Claim]:
    """The claims of one event in the order in which they are tried, each with its rivals; `definitions` by campaign.

    The members of an exclusive group share out their places, by priority or by value; then id.
    """
    groups: dict[str, list[Claim]] = {}
    for claim in claims:
        if exclusive := definitions[claim.campaign].get("exclusive"):
            groups.setdefault(exclusive["group"], []).append(claim)
    turns = {name: iter(sorted(each, key=lambda c: _prefer(c, definitions))) for name, each in groups.items()}
    tried: list[Claim] = []
    for claim in claims:
        exclusive = definitions[claim.campaign].get("exclusive")
        mine = next(turns[exclusive["group"]]) if exclusive else claim
        rivals = [c.name for c in tried if _collide(definitions[c.campaign], definitions[mine.campaign])]
        earlier = frozenset(c.name for c in tried)
        tried.append(replace(mine, rivals=frozenset(rivals), earlier=earlier))
    yield from tried


def find_tried_before(claim: Claim, granted: Iterable[Claim], definitions: Mapping[str, Document]) -> Claim:
    """A claim by a backfill with its rivals among what other campaigns were granted for its event, whenever: who ranks behind
    it keeps what it has. A campaign counts once, with all that it was granted.
    """
    others: dict[str, Claim] = {}
    for each in granted:
        if each.event == claim.event and each.campaign != claim.campaign:
            before = others.get(each.campaign)
            others[each.campaign] = replace(each, rewards=before.rewards + each.rewards) if before else each
    ranked = sorted([*others.values(), claim], key=lambda c: (-definitions[c.campaign].get("priority", 0), c.campaign))
    mine = next(each for each in set_against(ranked, definitions) if each.name == claim.name)
    return replace(claim, rivals=claim.rivals | mine.rivals, earlier=claim.earlier | mine.earlier)


def _prefer(claim: Claim, definitions: Mapping[str, Document]) -> tuple[int, int, str]:
    definition = definitions[claim.campaign]
    value, priority = sum(reward.get("value", 0) for reward in claim.rewards), definition.get("priority", 0)
    if definition["exclusive"]["pick"] == "value":
        return -value, -priority, claim.campaign
    return -priority, -value, claim.campaign


def _collide(one: Document, other: Document) -> bool:
    if not (one.get("stackable", True) and other.get("stackable", True)):
        return True
    groups = [(each.get("exclusive") or {}).get("group") for each in (one, other)]
    return groups[0] is not None and groups[0] == groups[1]
