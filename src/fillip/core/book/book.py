"""The book: one tenant's campaigns, limits, cohorts, lists and schemas at one version. A batch pins one."""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from operator import is_

from msgspec import Struct

from fillip.core.book.eligibility import EligibilityIndex
from fillip.core.book.open_campaigns import OpenCampaigns
from fillip.core.book.version import CampaignVersion, Trigger
from fillip.core.campaign.formula import MAX_VALUE
from fillip.core.campaign.reward import Reward
from fillip.core.campaign.worth import weigh_rewards
from fillip.core.cohort import Cohort
from fillip.core.limit import Limit, Span
from fillip.core.local_day import Zone
from fillip.core.named_list import Lists
from fillip.core.redemption import name_code
from fillip.core.rule import Rule, compile_rule
from fillip.core.schema.numbers import Number, list_numbers
from fillip.core.schema.reader import ReadEvent
from fillip.core.tenant import Tenant, Weekday


class Action(Struct, frozen=True, dict=True):
    """A verb and its JSON Schema. `read` validates an event's attributes and gives what rules read; it raises Unreadable."""

    name: str
    schema: Mapping[str, object]
    read: ReadEvent

    @cached_property
    def numbers(self) -> tuple[Number, ...]:
        """The numbers among its events' attributes."""
        return list_numbers(self.schema)


class Book(Struct, frozen=True, dict=True):
    """`by_action` has, for each action, of redemptions for each code, the triggers that its events may fire: only these are looked at.

    `numbered` is how many of the tenant's users had a number; whoever got one later is in none of these cohorts. `backfilling` are
    campaigns whose events may still have to wait for their backfill: the ledger knows. `has_merged` is whether events may come under the id
    of a user that was merged into another: the ledger knows of whom.
    """

    tenant: Tenant
    version: int
    actions: Mapping[str, Action]
    read_user: Callable[[Mapping[str, object]], dict[str, object]]
    campaign_versions: Mapping[str, CampaignVersion]
    by_action: Mapping[str, EligibilityIndex]
    limits: Mapping[str, Limit]
    cohorts: Mapping[str, Cohort]
    lists: Lists = {}
    numbered: int = 0
    backfilling: frozenset[str] = frozenset()
    has_merged: bool = False

    @cached_property
    def limits_by_version(self) -> dict[tuple[str, int, str | None], tuple[Limit, ...]]:
        """Limits that a grant under each campaign version, to each of its variants, may touch, in the order of their ids."""
        by_campaign: dict[str | None, list[Limit]] = {None: []}
        for limit in self.limits.values():
            by_campaign.setdefault(limit.campaign_id, []).append(limit)
        versions = [
            version
            for campaign_version in self.campaign_versions.values()
            for version in (campaign_version, *campaign_version.retained)
        ]
        return {
            (each.campaign_id, each.version, variant): _choose_limits(each.campaign_id, rewards.values(), by_campaign)
            for each in versions
            for variant, rewards in each.campaign.rewards_by_variant.items()
        }

    @cached_property
    def by_worth(self) -> tuple[CampaignVersion, ...]:
        """The campaigns by what their rewards are worth where no event tells, the most first: see weigh_rewards."""
        versions = self.campaign_versions.values()
        worth = {
            each.campaign_id: weigh_rewards(zip(each.campaign.rewards, each.values, strict=True)) for each in versions
        }
        return tuple(sorted(versions, key=lambda each: (worth[each.campaign_id], each.campaign_id)))

    @cached_property
    def open_campaigns(self) -> OpenCampaigns:
        """Which of them are open to all, as `by_worth`."""
        return OpenCampaigns(self.by_worth)

    @cached_property
    def most_value(self) -> int:
        """The most that one grant can come to, all its rewards together."""
        rewards = [each.campaign.rewards for each in self.campaign_versions.values()]
        return max((sum(MAX_VALUE if each.formula else each.value for each in some) for some in rewards), default=0)

    @cached_property
    def standing_limits(self) -> dict[str, Limit]:
        """The limits, by id, of which user and time tell the counter before there is an event: those without a key."""
        return {limit_id: each for limit_id, each in self.limits.items() if not each.key}

    @cached_property
    def standing_windows(self) -> frozenset[tuple[Span, Zone, Weekday | None]]:
        """What tells when the windows of `standing_limits` begin."""
        return frozenset((each.span, each.zone, each.week_starts_on) for each in self.standing_limits.values())

    @cached_property
    def narrow_limits(self) -> frozenset[str]:
        """Of `standing_limits`, by id, those that may have no room for the least that some campaign could grant even before they are used."""
        return frozenset(limit_id for limit_id, each in self.standing_limits.items() if self.find_most(each) > each.cap)

    def find_most(self, limit: Limit) -> int:
        """No campaign needs more room under a limit for the least that it could grant."""
        if limit.pool:
            return self._most_rewards
        return self._most_fixed if limit.measure == "value" else 1

    @cached_property
    def _most_rewards(self) -> int:
        return max((len(each.campaign.rewards) for each in self.campaign_versions.values()), default=0)

    @cached_property
    def _most_fixed(self) -> int:
        rewards = [each.campaign.rewards for each in self.campaign_versions.values()]
        return max((sum(1 if each.formula else max(each.value, 1) for each in some) for some in rewards), default=0)

    @cached_property
    def has_quests(self) -> bool:
        """Whether any campaign has one."""
        return any(each.campaign.quest for each in self.campaign_versions.values())

    @cached_property
    def has_single_quests(self) -> bool:
        """Whether any campaign has one that a user may be through with: it can't be repeated."""
        return any(
            each.campaign.quest and not each.campaign.quest.repeatable for each in self.campaign_versions.values()
        )

    @cached_property
    def cohort_names(self) -> frozenset[str]:
        """The cohorts that campaigns are for."""
        return frozenset(name for each in self.campaign_versions.values() for name in each.campaign.cohorts)

    @cached_property
    def zoned_actions(self) -> frozenset[str]:
        """The actions whose events may go by the days of their user's own zone, which has to be known then."""
        own = [key for key, limits in self.limits_by_version.items() if any(limit.zone == "user" for limit in limits)]
        capped = {(campaign_id, version) for campaign_id, version, _ in own}
        return frozenset(
            trigger.expression.action
            for campaign_version in self.campaign_versions.values()
            for trigger in campaign_version.triggers
            if trigger.campaign_version.campaign.has_user_days
            or (trigger.campaign_version.campaign_id, trigger.campaign_version.version) in capped
        )

    @cached_property
    def key_rules(self) -> dict[str, Rule]:
        """Compiled key expressions by limit id."""
        keyed = ((limit.limit_id, limit.key_checked) for limit in self.limits.values() if limit.key_checked)
        return {limit_id: compile_rule(code, self.lists) for limit_id, code in keyed}


class Unbuilt(Struct, frozen=True):
    """In place of the book of a tenant whose definitions can't be read, and why: nothing of it can be decided."""

    why: str


def _choose_limits(
    campaign_id: str, rewards: Iterable[Reward], by_campaign: Mapping[str | None, list[Limit]]
) -> tuple[Limit, ...]:
    units: set[tuple[str | None, str | None]] = {(None, None)}
    pools: set[str | None] = {None}
    for reward in rewards:
        units |= {(reward.kind, None), (reward.kind, reward.currency)}
        pools.add(reward.pool)
    limits = [*by_campaign[None], *by_campaign.get(campaign_id, ())]
    mine = (limit for limit in limits if (limit.reward_kind, limit.currency) in units and limit.pool in pools)
    return tuple(sorted(mine, key=lambda limit: limit.limit_id))


def index_triggers(
    campaign_versions: Iterable[CampaignVersion], old: Mapping[str, EligibilityIndex], time_zone: str
) -> dict[str, EligibilityIndex]:
    """The triggers of a book by action (see Event.index), of a tenant in a zone; an index of `old` is kept where nothing has changed."""
    triggers: dict[str, list[Trigger]] = {}
    for campaign_version in campaign_versions:
        for trigger in campaign_version.triggers:
            codes = trigger.campaign_version.campaign.codes
            for name in map(name_code, codes) if codes else (trigger.expression.action,):
                triggers.setdefault(name, []).append(trigger)
    indexes: dict[str, EligibilityIndex] = {}
    same: dict[tuple[int, ...], EligibilityIndex] = {}  # the codes of a campaign share one
    for name, each in triggers.items():
        index, these = old.get(name), tuple(map(id, each))
        if index and len(index.triggers) == len(each) and all(map(is_, index.triggers, each)):
            same[these] = index
        elif these not in same:
            same[these] = EligibilityIndex(each, time_zone)
        indexes[name] = same[these]
    return indexes
