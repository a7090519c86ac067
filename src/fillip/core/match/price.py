"""What a grant of a campaign would give and take for an event, without what the event means for a quest."""

from collections.abc import Mapping
from typing import cast

from fillip.core.book.version import CampaignVersion
from fillip.core.event import Event
from fillip.core.match.candidate import Candidate, is_barred
from fillip.core.match.limit_charges import list_charges
from fillip.core.match.reward_values import value_rewards


def price(
    event: Event, campaign_version: CampaignVersion, user: Mapping[str, object], cohorts: frozenset[str]
) -> Candidate:
    """The campaign as a candidate. Raises RuleError where the key of a limit fails.

    Of an event that is tried with several attributes it is looked for once, where none of them bears on it.
    """
    known, name = event.prices, (campaign_version.campaign_id, campaign_version.version)
    if known is not None and name in known:
        return cast(Candidate, known[name])
    worth = value_rewards(event, campaign_version, user, cohorts)
    nothing = worth.refused or campaign_version.is_shadow or is_barred(event, campaign_version)
    charges = () if nothing else list_charges(event, campaign_version, worth.values, user, cohorts)
    found = Candidate(campaign_version, charges, worth.values, worth.refused)
    if known is not None and not reads_attributes(event, campaign_version):
        known[name] = found
    return found


def reads_attributes(event: Event, campaign_version: CampaignVersion) -> bool:
    """Whether what a grant would give and take depends on more than user and time."""
    if campaign_version.formulas:
        return True
    name = campaign_version.campaign_id, campaign_version.version, event.find_variant(campaign_version)
    return any(limit.key for limit in event.book.limits_by_version.get(name, ()))
