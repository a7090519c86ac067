"""Whether the parts of a limit go together, and with the campaigns that it caps."""

from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.reward_kind import KINDS
from fillip.core.campaign.reward_kind.traits import ListCurrencies
from fillip.core.limit import Limit
from fillip.core.problem import Fault


def check_limit(limit: Limit) -> list[Fault]:
    """All that contradicts itself in a limit, each at its JSON pointer."""
    faults = []
    of_campaign = limit.scope in ("campaign", "user_in_campaign")
    if of_campaign != (limit.campaign_id is not None):
        word = "needs" if of_campaign else "can't have"
        faults.append(Fault("/campaign_id", f"scope '{limit.scope}' {word} a campaign_id"))
    if limit.measure == "value" and limit.reward_kind is None:
        faults.append(Fault("/reward_kind", "a limit by value needs the kind of reward whose values it adds up"))
    if limit.pool and limit.measure != "count":
        faults.append(Fault("/pool", "a limit of a pool counts its codes: make measure 'count'"))
    if limit.pool and limit.reward_kind and "pool" not in KINDS[limit.reward_kind].members:
        faults.append(
            Fault("/pool", f"{KINDS[limit.reward_kind].label} takes no code of a pool: leave reward_kind out")
        )
    if limit.currency and not _find_lister(limit):
        amounts = " or ".join(kind for kind, traits in KINDS.items() if traits.list_currencies)
        faults.append(Fault("/currency", f"goes with {amounts} by value only"))
    if limit.over == "partial" and not _find_lister(limit):
        amounts = " or ".join(kind for kind, traits in KINDS.items() if traits.list_currencies)
        faults.append(Fault("/over", f"'partial' goes with {amounts} by value only: nothing else can be given in part"))
    if limit.week_starts_on and limit.span != "week":
        faults.append(Fault("/week_starts_on", f"goes with span 'week', not '{limit.span}': leave it out"))
    if limit.zone == "user" and limit.span in ("rolling", "lifetime"):
        faults.append(Fault("/zone", f"span '{limit.span}' has no days: leave zone out"))
    if limit.zone == "user" and not limit.per_user:
        message = f"scope '{limit.scope}' is shared by users of all zones, who have no day together: leave zone out"
        faults.append(Fault("/zone", f"{message}, or make the scope 'user' or 'user_in_campaign'"))
    if (limit.span == "rolling") != (limit.rolling_s is not None):
        word = "needs rolling_s: how many seconds a window has" if limit.span == "rolling" else "has no rolling_s"
        faults.append(Fault("/rolling_s", f"span '{limit.span}' {word}"))
    return faults


def list_currencies(limit: Limit, currency: str, points: Collection[str]) -> list[str]:
    """The currencies whose values a limit may add up; none where it does not count amounts by value.

    `currency` is the tenant's, `points` are its currencies of points besides POINTS.
    """
    lister = _find_lister(limit)
    return sorted({*lister(currency, points)}) if lister else []


def fill_limit_currency(limit: Limit, known: Sequence[str]) -> Limit:
    """The limit with the currency that it adds up, where there is but one; `known` are from `list_currencies`."""
    return replace(limit, currency=known[0]) if limit.currency is None and len(known) == 1 else limit


def check_limit_currency(limit: Limit, known: Sequence[str]) -> list[Fault]:
    """Whether a limit names one of the currencies that it may add up, where there are any."""
    if not known or limit.currency in known:
        return []
    message = f"name the currency that it adds up, one of {', '.join(known)}: they can't be added to each other"
    return [Fault("/currency", message)]


def fill_key_action(limit: Limit, campaign: Campaign | None) -> Limit:
    """The limit with the action that its key reads, by its campaign: no other event of the campaign is asked for its key."""
    return replace(limit, action=limit.action or (campaign.granting_action() if campaign else None))


def check_key_action(
    limit: Limit, campaign: Campaign | None, retained: Mapping[int, Campaign] | None = None
) -> list[Fault]:
    """Whether all grants that a limit with a key counts are of the one action that the key reads.

    `campaign` is the one that it caps, if any, `retained` are its earlier versions in force by their number.
    """
    if campaign is None:
        return [] if limit.action else [Fault("/action", "a key needs the action that it reads, or a campaign")]
    action = campaign.granting_action()
    if action is None:
        return [Fault("/key", "an unordered quest may end with events of several actions: no key can be read")]
    if limit.action not in (None, action):
        return [Fault("/action", f"campaign '{limit.campaign_id}' grants on '{action}': a key reads that")]
    for version, earlier in (retained or {}).items():
        if (granting := earlier.granting_action()) != action:
            grants = f"grants on '{granting}'" if granting else "may grant on several actions"
            message = f"version {version}, which open instances are kept under, {grants}: migrate them first"
            return [Fault("/key", message)]
    return []


def counts_amounts(limit: Limit) -> bool:
    """Whether it adds up amounts of a currency."""
    return _find_lister(limit) is not None


def _find_lister(limit: Limit) -> ListCurrencies | None:
    """Where it counts amounts by value: what lists their currencies."""
    return KINDS[limit.reward_kind].list_currencies if limit.measure == "value" and limit.reward_kind else None
