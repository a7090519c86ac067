"""Which campaigns stand against each other when one event earns several rewards, and who is tried first."""

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from fillip.core.book.version import CampaignVersion
from fillip.core.campaign.campaign import Campaign


class Contender(Protocol):
    """A campaign that would grant for an event, and the values of its rewards."""

    @property
    def campaign_version(self) -> CampaignVersion:
        """The campaign."""

    @property
    def values(self) -> Sequence[int]:
        """One for each reward."""


_C = TypeVar("_C", bound=Contender)
_ANY, _ALONE = ("any", ""), ("alone", "")


def collide(one: Campaign, other: Campaign) -> bool:
    """Whether at most one of two campaigns may grant for an event: of one group, or one of them not stackable."""
    if not (one.stackable and other.stackable):
        return True
    return one.exclusive is not None and other.exclusive is not None and one.exclusive.group == other.exclusive.group


def rank(contenders: Sequence[_C]) -> Sequence[_C]:
    """The contenders of one event in the order in which they are tried; given by priority, start and campaign id.

    The members of an exclusive group share out their places among themselves: by priority, value and id, or by value,
    priority and id. Everyone else keeps their place. What is equal in all of it keeps its order.
    """
    groups: dict[str, list[_C]] = defaultdict(list)
    for contender in contenders:
        if exclusive := contender.campaign_version.campaign.exclusive:
            groups[exclusive.group].append(contender)
    if not any(len(members) > 1 for members in groups.values()):
        return contenders
    waiting = {group: deque(sorted(members, key=_prefer)) for group, members in groups.items()}
    ranked = []
    for contender in contenders:
        exclusive = contender.campaign_version.campaign.exclusive
        ranked.append(waiting[exclusive.group].popleft() if exclusive else contender)
    return ranked


class Winners:
    """The campaigns that were granted for one event, in their order; asked in constant time, however many they are."""

    def __init__(self) -> None:
        """None yet."""
        self.count = 0
        self._firsts: dict[tuple[str, str], tuple[int, str]] = {}

    def add(self, campaign_version: CampaignVersion) -> None:
        """It was granted."""
        campaign = campaign_version.campaign
        for name in (_ANY, *([] if campaign.stackable else [_ALONE]), *_list_groups(campaign)):
            self._firsts.setdefault(name, (self.count, campaign_version.campaign_id))
        self.count += 1

    def find(self, campaign_version: CampaignVersion) -> str | None:
        """The first campaign that won the event before `campaign_version` and leaves it nothing; None when it may still grant."""
        campaign = campaign_version.campaign
        names = [_ALONE, *_list_groups(campaign)] if campaign.stackable else [_ANY]
        return min((self._firsts[name] for name in names if name in self._firsts), default=(0, None))[1]


class EarlierGrant(Struct, frozen=True):
    """A campaign that was granted for an event, and what its rewards came to."""

    campaign_version: CampaignVersion
    values: Sequence[int]


def stand_among(asked: Contender, granted: Sequence[EarlierGrant]) -> tuple[Winners, list[str]]:
    """Of campaigns that were granted for an event, the winners that are tried before `asked`; and the ids of those tried
    after it that it would have left nothing.
    """
    contenders: list[Contender] = [*granted, asked]
    contenders.sort(key=lambda each: (-each.campaign_version.campaign.priority, each.campaign_version.campaign_id))
    ranked = rank(contenders)
    place, winners = next(n for n, each in enumerate(ranked) if each is asked), Winners()
    for each in ranked[:place]:
        winners.add(each.campaign_version)
    campaign = asked.campaign_version.campaign
    behind = [each.campaign_version for each in ranked[place + 1 :]]
    return winners, [each.campaign_id for each in behind if collide(campaign, each.campaign)]


def _list_groups(campaign: Campaign) -> list[tuple[str, str]]:
    return [("group", campaign.exclusive.group)] if campaign.exclusive else []


def _prefer(contender: Contender) -> tuple[int, int, str]:
    campaign, value = contender.campaign_version.campaign, sum(contender.values)
    if campaign.exclusive and campaign.exclusive.pick == "value":
        return -value, -campaign.priority, contender.campaign_version.campaign_id
    return -campaign.priority, -value, contender.campaign_version.campaign_id
