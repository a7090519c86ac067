"""What an event means for a quest: whether it starts it, its steps with the terms of their sums or the values they count, its key."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from msgspec.structs import replace

from fillip.core.book.version import CampaignVersion, Trigger
from fillip.core.campaign.expression import name_path
from fillip.core.campaign.quest import Keyed
from fillip.core.event import Event
from fillip.core.limit import LimitCharge
from fillip.core.match.candidate import Candidate
from fillip.core.match.reward_values import RewardValues
from fillip.core.naming import MAX_ID_BYTES, fits
from fillip.core.rule import Rule, RuleError

_KEY = name_path("key")


def build_quest_candidate(
    event: Event,
    charges: tuple[LimitCharge, ...],
    reward_values: RewardValues,
    triggers: Sequence[Trigger],
    user: Mapping[str, object],
    cohorts: frozenset[str],
) -> tuple[Candidate | None, int]:
    """The candidate that these triggers of one quest make, and how many expressions failed.

    A step whose term or value fails is not met; an event that would open an instance whose key fails has no effect on the quest.
    """
    campaign_version = triggers[0].campaign_version
    quest = campaign_version.campaign.quest
    assert quest is not None, "only campaigns with a quest have steps"
    sums, key = campaign_version.sums, ""
    amounts, failed = _read_amounts(event, triggers, user, cohorts) if sums else ({}, 0)
    met = [trigger.step for trigger in triggers if trigger.step is not None]
    steps = tuple([step for step in met if step in amounts or step not in sums] if sums else met)
    distinct: dict[int, str] = {}
    if rules := campaign_version.distinct:
        distinct = _read_distinct(event, {step: rules[step] for step in steps if step in rules})
        steps, read = tuple([step for step in steps if step in distinct or step not in rules]), len(steps)
        failed += read - len(steps)
    starts = len(met) < len(triggers)  # what is no step is the start
    if not starts and not steps:
        return None, failed
    if isinstance(quest.instance, Keyed) and quest.opens(starts=starts, steps=steps):
        try:
            key = _read_key(event, campaign_version.rules[_KEY])
        except RuleError:
            return None, failed + 1
    routes = campaign_version.route.find(steps, event.typed, user, cohorts) if campaign_version.route else ()
    candidate = Candidate(
        campaign_version=campaign_version,
        charges=charges,
        values=reward_values.values,
        refused=reward_values.refused,
        starts=starts,
        steps=steps,
        amounts=amounts,
        distinct=distinct,
        key=key,
        routes=routes,
        user=user,
        cohorts=cohorts,
    )
    return candidate, failed


def join_candidates(newest: CampaignVersion, found: Mapping[int, Candidate | None]) -> Candidate | None:
    """The one candidate of a quest, from what the event means by version; None where it means nothing to any."""
    if not any(found.values()):
        return None
    first, *retained = [found.get(each.version) or Candidate(each) for each in (newest, *newest.retained)]
    return replace(first, retained=tuple(retained))


def _read_amounts(
    event: Event, triggers: Sequence[Trigger], user: Mapping[str, object], cohorts: frozenset[str]
) -> tuple[dict[int, int], int]:
    amounts, failed = {}, 0
    for trigger in triggers:
        step = trigger.expression.index
        rule = trigger.campaign_version.sums.get(step)
        if rule is None:
            continue
        try:
            amounts[step] = int(rule(event.typed, user, cohorts))
        except RuleError:
            failed += 1
    return amounts, failed


def _read_distinct(event: Event, rules: Mapping[int, Rule]) -> dict[int, str]:
    """The value of each step; without those that fail."""
    found = {}
    for step, rule in rules.items():
        with suppress(RuleError):
            found[step] = _read_key(event, rule)
    return found


def _read_key(event: Event, rule: Rule) -> str:
    key = str(rule(event.typed, {}, frozenset()))
    if not fits(key) or "\0" in key:
        raise RuleError(f"the key is longer than {MAX_ID_BYTES} bytes, or holds a NUL")
    return key
