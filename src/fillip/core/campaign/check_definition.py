"""Whether a definition goes together, and all that it names is there. What its expressions say is for the checker."""

from collections.abc import Iterator

from msgspec.structs import replace

from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.check_campaign_limits import check_campaign_limits
from fillip.core.campaign.check_codes import check_codes
from fillip.core.campaign.check_quest import check_quest, check_quest_change
from fillip.core.campaign.check_returns import check_returns
from fillip.core.campaign.check_rewards import check_rewards
from fillip.core.campaign.check_variants import check_variants, check_variants_change
from fillip.core.campaign.reward_kind import KINDS
from fillip.core.campaign.vocabulary import Vocabulary
from fillip.core.problem import Fault


def fill_currency(campaign: Campaign, currency: str) -> Campaign:
    """The campaign with the usual currency written into each amount that names none; `currency` is the tenant's."""
    rewards = []
    for reward in campaign.rewards:
        lister = KINDS[reward.kind].list_currencies
        filled = replace(reward, currency=reward.currency or lister(currency, ())[0]) if lister else reward
        rewards.append(filled)
    return replace(campaign, rewards=tuple(rewards))


def check_definition(campaign: Campaign, vocabulary: Vocabulary) -> list[Fault]:
    """All that is wrong with a definition but for what its expressions say, each at its JSON pointer."""
    faults = [
        *_check_kind(campaign),
        *check_codes(campaign),
        *_check_schedule(campaign, vocabulary),
        *_check_names(campaign, vocabulary),
    ]
    faults += [
        *check_rewards(campaign, vocabulary),
        *check_returns(campaign),
        *check_variants(campaign),
        *check_campaign_limits(campaign),
    ]
    return faults + (check_quest(campaign.quest, campaign, vocabulary.now) if campaign.quest else [])


def check_change(before: Campaign, after: Campaign) -> list[Fault]:
    """What keeps a launched campaign from becoming `after`: open instances must stay readable, variants the same."""
    if before.kind != after.kind:
        return [Fault("/kind", "a launched campaign keeps its kind: end it and make another")]
    faults = check_variants_change(before, after)
    return faults + (check_quest_change(before.quest, after.quest) if before.quest and after.quest else [])


def _check_kind(campaign: Campaign) -> Iterator[Fault]:
    if campaign.kind == "SIMPLE":
        if not campaign.action:
            yield Fault("/action", "a SIMPLE campaign needs the action that it rewards")
        if campaign.quest:
            yield Fault("/quest", "a SIMPLE campaign has no quest: its kind would be QUEST")
        return
    if not campaign.quest:
        yield Fault("/quest", "a QUEST campaign needs its quest")
    if campaign.action or campaign.rule != "true":
        yield Fault("/action" if campaign.action else "/rule", "a QUEST has its actions and rules in its steps")


def _check_schedule(campaign: Campaign, vocabulary: Vocabulary) -> Iterator[Fault]:
    starts_at, ends_at = campaign.schedule.starts_at, campaign.schedule.ends_at
    if starts_at and ends_at and ends_at < starts_at:
        yield Fault("/schedule/ends_at", "the schedule ends before it starts")
    elif starts_at and ends_at and campaign.schedule.find_next(starts_at, vocabulary.time_zone) is None:
        yield Fault("/schedule/recurring", "the schedule ends before any of these hours comes")


def _check_names(campaign: Campaign, vocabulary: Vocabulary) -> Iterator[Fault]:
    for each in campaign.expressions:
        if each.is_rule and each.action and each.action not in vocabulary.types.actions:
            at = each.pointer.removesuffix("rule") + "action"
            yield Fault(at, f"unknown action '{each.action}': define it first")
    for index, cohort_id in enumerate(campaign.cohorts):
        if cohort_id not in (vocabulary.types.cohorts or ()):
            yield Fault(f"/cohorts/{index}", f"unknown cohort '{cohort_id}': make it first")
