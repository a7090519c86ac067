"""What a grant's rewards are worth for one event."""

from collections.abc import Mapping, Set
from typing import Literal

from msgspec import Struct

from fillip.core.book.version import CampaignVersion
from fillip.core.by_hand import GRANT, read_grant
from fillip.core.campaign.formula import MAX_VALUE, evaluate
from fillip.core.event import Event
from fillip.core.repair import REPAIR
from fillip.core.rule import RuleError

ValueRefusal = Literal["value_error", "no_value", "value_too_large", "expired"]
"""Why there can be no grant: a formula fails, gives nothing, or more than MAX_VALUE; or a reward is past its date."""


class RewardValues(Struct, frozen=True):
    """The value of each reward (0 where a formula failed, or it goes to other variants), and why they can't be granted, if so."""

    values: tuple[int, ...]
    refused: ValueRefusal | None = None


def value_rewards(
    event: Event, campaign_version: CampaignVersion, user: Mapping[str, object], cohorts: Set[str]
) -> RewardValues:
    """Evaluate the formulas of what the user gets, and whether it can still be claimed, once for the whole grant.

    It is refused whole or not at all: where one of its rewards had expired already when the broker took the event, nothing
    is given. Of a grant by hand, what formulas would give is what it says; for a repair they give nothing.
    """
    variant = event.find_variant(campaign_version)
    if fixed := campaign_version.fixed_values.get(variant):
        return RewardValues(fixed)
    given = campaign_version.campaign.list_rewards(variant)
    refused: ValueRefusal | None = None
    formulas = campaign_version.formulas
    order = read_grant(event.attributes) if event.action == GRANT else None
    if formulas and not order and event.action != campaign_version.campaign.granting_action():
        formulas = {}  # an event that can't complete the quest is not asked: its attributes may be of another type
    values = [value if index in given else 0 for index, value in enumerate(campaign_version.values)]
    for index, (formula, rule) in formulas.items():
        if index not in given:
            continue
        try:
            if order:
                values[index] = order.find_value(index) or 0
            else:
                _, values[index] = evaluate(formula, rule, event.typed, user, cohorts)
        except RuleError:
            refused = refused or "value_error"
            continue
        if not 0 < values[index] <= ((order and formula.max) or MAX_VALUE):
            refused = refused or ("no_value" if values[index] <= 0 else "value_too_large")
    if event.action == REPAIR and campaign_version.formulas.keys() & given.keys():
        refused = "no_value"
    when = event.occurred_at, event.received_at, event.book.tenant
    if refused is None and any(reward.is_over(*when, event.user_time_zone) for reward in given.values()):
        refused = "expired"
    return RewardValues(tuple(values), refused)
