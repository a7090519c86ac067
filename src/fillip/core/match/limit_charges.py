"""Which counters a grant would take from, and how much."""

from collections.abc import Mapping, Sequence

from fillip.core.book.version import CampaignVersion
from fillip.core.by_hand import GRANT
from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.reward import Reward
from fillip.core.event import Event
from fillip.core.limit import CounterKey, Limit, LimitCharge
from fillip.core.naming import MAX_ID_BYTES, fits
from fillip.core.repair import REPAIR, read_repair
from fillip.core.rolling import find_part
from fillip.core.rule import RuleError
from fillip.core.tenant import end_window, start_window


def list_charges(
    event: Event,
    campaign_version: CampaignVersion,
    values: Sequence[int],
    user: Mapping[str, object],
    cohorts: frozenset[str],
) -> tuple[LimitCharge, ...]:
    """One charge per limit that a grant of `campaign_version` for this event falls under; `values` has one for each reward.

    A grant by hand falls under those of whatever action the campaign looks at, a repair under those of its step's. Raises RuleError from a key
    expression.
    """
    book, variant = event.book, event.find_variant(campaign_version)
    rewards = campaign_version.campaign.list_rewards(variant)
    key = campaign_version.campaign_id, campaign_version.version, variant
    limits = book.limits_by_version[key] if rewards else ()  # nobody's variant, and nothing is given
    actions = _list_actions(event, campaign_version.campaign)
    charges = [
        _charge(event, limit, _read_key(event, limit, user, cohorts), rewards, values)
        for limit in limits
        if limit.action is None or limit.action in actions
    ]
    return tuple(charges)


def _list_actions(event: Event, campaign: Campaign) -> set[str]:
    """Of which actions the limits count it."""
    if event.action == GRANT:
        return {each.action for each in campaign.expressions}
    if event.action == REPAIR and campaign.quest:
        repaired = read_repair(event.attributes).step
        return {step.action for step in campaign.quest.steps if step.name == repaired}
    return {event.action}


def charge_counter(
    event: Event, limit: Limit, key: str, amount: int, counted: tuple[int, ...] | None = None
) -> LimitCharge:
    """What takes `amount` from the counter that a limit has for the event's user and instant; `key` is '' where it is not split."""
    window_start = start_window(limit.span, event.find_day(limit.zone), limit.week_starts_on)
    return LimitCharge(
        counter=CounterKey(event.tenant_id, limit.limit_id, event.user_id if limit.per_user else "", key, window_start),
        amount=amount,
        cap=limit.cap,
        resets_at=end_window(limit.span, window_start, event.tell_time_zone(limit.zone)),
        part=find_part(limit.rolling_s, event.occurred_at) if limit.rolling_s else None,
        counted=counted,
        over=limit.over,
        time_zone=event.user_time_zone if limit.zone == "user" else None,
    )


def find_counted(limit: Limit, rewards: Mapping[int, Reward]) -> tuple[int, ...] | None:
    """Of these rewards, by their index, those of its kind and currency, whose values a limit adds up; None where it counts grants, or
    codes.
    """
    if limit.measure == "count":
        return None
    return tuple(index for index, reward in rewards.items() if limit.adds_up(reward.kind, reward.currency))


def _charge(event: Event, limit: Limit, key: str, rewards: Mapping[int, Reward], values: Sequence[int]) -> LimitCharge:
    if limit.measure == "count" and not limit.pool and not key:  # the same for all that the event is granted
        known = event.charged.get(limit.limit_id)
        if known is None:
            known = event.charged[limit.limit_id] = charge_counter(event, limit, key, 1)
        return known
    counted = find_counted(limit, rewards)
    if counted is not None:
        amount = sum(values[index] for index in counted)
    else:
        amount = sum(1 for reward in rewards.values() if reward.pool == limit.pool) if limit.pool else 1
    return charge_counter(event, limit, key, amount, counted)


def _read_key(event: Event, limit: Limit, user: Mapping[str, object], cohorts: frozenset[str]) -> str:
    if limit.key and event.action in (GRANT, REPAIR):
        what = "grant by hand" if event.action == GRANT else "repair"
        raise RuleError(f"limit {limit.limit_id} counts by {limit.key}, which a {what} does not have")
    key = str(event.book.key_rules[limit.limit_id](event.typed, user, cohorts)) if limit.key else ""
    if key and (not fits(key) or "\0" in key):
        raise RuleError(f"the key of limit {limit.limit_id} is longer than {MAX_ID_BYTES} bytes, or holds a NUL")
    return key
