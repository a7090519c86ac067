"""What saving a limit checks: its parts go together, its key is typed."""

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.reward import POINTS
from fillip.core.limit import Limit
from fillip.core.problem import Fault
from fillip.core.rule import RuleRefused
from fillip.core.schema.types import EMPTY, ObjectType
from fillip.http.errors import DefinitionRefused
from fillip.manage.rule.checker import check_rule

MAX_KEY_COST = 1_000


def check_key(limit: Limit, action: ObjectType, lists: ObjectType) -> bytes:
    """The key expression of a limit, typed (a string or an int, of the event and lists); raises DefinitionRefused."""
    try:
        rule = check_rule(limit.key or "", action, EMPTY, expect="key", lists=lists)
    except RuleRefused as refused:
        raise DefinitionRefused([Fault("/key", str(refused))]) from None
    if rule.cost > MAX_KEY_COST:
        message = (
            f"the key may cost {rule.cost:,} steps an event, at most {MAX_KEY_COST:,}: a tenant may have many limits"
        )
        raise DefinitionRefused([Fault("/key", message)])
    if rule.uses_cohorts:
        raise DefinitionRefused([Fault("/key", "a key goes by the event alone: 'cohorts' can't be used")])
    return rule.checked


def find_key_action(limit: Limit, campaign: Campaign | None) -> str:
    """The one action whose events can be split by the limit's key; raises DefinitionRefused where there is none.

    A limit with a key is kept with this action, so that no other event of the campaign is asked for its key.
    """
    if campaign is None:
        if limit.action is None:
            raise DefinitionRefused([Fault("/action", "a key needs the action that it reads, or a campaign")])
        return limit.action
    action = _find_granting_action(campaign)
    if limit.action not in (None, action):
        message = f"campaign '{limit.campaign_id}' grants on '{action}': a key reads that"
        raise DefinitionRefused([Fault("/action", message)])
    return action


def check_kept_key(limit: Limit, kept: Mapping[int, Campaign]) -> None:
    """Whether grants under the earlier versions in force have the limit's key too; raises DefinitionRefused."""
    for version, campaign in kept.items():
        if (action := campaign.granting_action()) != limit.action:
            grants = f"grants on '{action}'" if action else "may grant on several actions"
            message = f"version {version}, which open instances are kept under, {grants}: migrate them first"
            raise DefinitionRefused([Fault("/key", message)])


def _find_granting_action(campaign: Campaign) -> str:
    action = campaign.granting_action()
    if action is None:
        message = "an unordered quest may end with events of several actions: no key can be read"
        raise DefinitionRefused([Fault("/key", message)])
    return action


def check_limit(limit: Limit) -> None:
    """Whether the parts of a limit go together; raises DefinitionRefused with all faults."""
    faults = []
    of_campaign = limit.scope in ("campaign", "user_in_campaign")
    if of_campaign != (limit.campaign_id is not None):
        word = "needs" if of_campaign else "can't have"
        faults.append(Fault("/campaign_id", f"scope '{limit.scope}' {word} a campaign_id"))
    if limit.measure == "value" and limit.reward_kind is None:
        faults.append(Fault("/reward_kind", "a limit by value needs the kind of reward whose values it adds up"))
    if limit.currency and not (limit.measure == "value" and limit.reward_kind in ("points", "cashback")):
        faults.append(Fault("/currency", "goes with points or cashback by value only"))
    if faults:
        raise DefinitionRefused(faults)


def fill_limit_currency(limit: Limit, currency: str, points: Collection[str]) -> Limit:
    """The limit with the currency whose values it adds up, where it counts points or cashback by value.

    `currency` is the tenant's, `points` are its currencies of points besides POINTS. Raises DefinitionRefused.
    """
    if limit.measure != "value" or limit.reward_kind not in ("points", "cashback"):
        return limit
    known = sorted({POINTS, *points}) if limit.reward_kind == "points" else [currency]
    if limit.currency is None and len(known) == 1:
        return replace(limit, currency=known[0])
    if limit.currency not in known:
        message = f"name the currency that it adds up, one of {', '.join(known)}: they can't be added to each other"
        raise DefinitionRefused([Fault("/currency", message)])
    return limit
