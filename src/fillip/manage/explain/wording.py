"""The sentences of explanations, for a marketer: what each check says, passed or not, and the summary. Pure."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import json

from fillip.core.by_hand import GrantOrder
from fillip.core.campaign.campaign import CampaignState, Schedule, ScheduleReason
from fillip.core.campaign.formula import MAX_VALUE
from fillip.core.campaign.reward_kind import KINDS
from fillip.core.campaign.variant import Variant
from fillip.core.event import ACCEPTED_FOR, MAX_AHEAD
from fillip.core.ledger.settlement import MAX_GRANTS
from fillip.core.limit import CounterUse
from fillip.core.quest.instance import MAX_OPEN, MAX_TOGETHER, Instance, Transition
from fillip.core.quest.streak import MAX_UNITS
from fillip.core.repair import RepairOrder
from fillip.manage.explain.answer import Check, LeafAnswer, Outcome, RuleAnswer, WorthAnswer

REWARDS = {
    None: "every reward has a value",
    "no_value": "a reward is worth nothing for this event, so nothing is given",
    "value_too_large": f"a reward is worth more than {MAX_VALUE} for this event, so nothing is given",
    "expired": "a reward had expired before the event came, so nothing is given",
    "value_error": "the formula of a reward fails for this event, so nothing is given",
}
"""By why no reward is given."""
STOCK: dict[str, str] = {
    **{reason: message for traits in KINDS.values() for reason, message in traits.refusals.items()},
    "too_many_grants": f"the event had {MAX_GRANTS} grants already",
    "too_many_open": f"{MAX_TOGETHER} instances that the event finds were open already, or {MAX_OPEN} in all",
}
"""By the reason of a decision that was denied behind its limits."""

REPAIRS: dict[str, str] = {
    "no_instance": "the user has no such instance of the quest",
    "already_repaired": "a streak of the instance was repaired before: once for each instance",
    "instance_over": "the instance has ended, or its window and lateness are over",
    "no_streak": "the quest has no step of that name with a streak",
    "step_not_waiting": "the step is met already, or its turn has not come",
    "outside_window": "the day is no part of the instance's window",
    "day_not_over": "the day is not over yet, so it can still be met",
    "too_far_back": f"the day lies too far back: a streak knows the last {MAX_UNITS:,} up to its newest",
    "already_counted": "the day is counted already",
    "joins_nothing": "the streak would be no longer with that day",
    "no_value": "the day would complete the quest, and what a reward is worth follows from the event that does so: repair an earlier day",
}
"""By the reason why a day of a streak is not repaired."""

WAITING = "the event waits until the campaign's backfill has decided what came before it"
CHANGED = "nothing stands in its way as its user stands now, so the user's attributes or cohorts were others when it was looked at"
SHADOW = "the campaign is in shadow: this is what it would give by itself, before limits and other campaigns"


def summarise(user_id: str, name: str, checks: Sequence[Check], outcome: Outcome) -> str:
    """One sentence on the campaign of this name."""
    failed = next((check for check in checks if not check.passed), None)
    if any(check.check == "backfill" for check in checks):
        return f"{user_id} gets nothing from '{name}' yet: {WAITING}."
    if outcome == "granted" and any(check.check == "by_hand" for check in checks):
        return f"{user_id} was granted the reward of '{name}' by hand."
    if failed and failed.check == "quest" and any(check.check == "repair" for check in checks):
        return f"no day of {user_id}'s streak in '{name}' is repaired: {failed.message}."
    if outcome == "granted" and (left := _find_cut(checks)):
        return f"{user_id} earns a part of the reward of '{name}': {left}."
    if outcome == "granted":
        return f"{user_id} earns the reward of '{name}': every condition holds and every limit has room."
    if outcome == "progress":
        return f"{user_id} earns nothing from '{name}' yet: {next(c.message for c in checks if c.check == 'quest')}."
    if outcome == "denied" and failed:
        return f"{user_id} meets the conditions of '{name}', but the reward is refused: {failed.message}."
    return f"{user_id} gets nothing from '{name}': {failed.message if failed else 'no decision was made'}."


def tell_would(user_id: str, name: str, rewards: Sequence[WorthAnswer], obstacles: Sequence[Check]) -> str:
    """What the user would earn, but for the obstacles."""
    given = " and ".join(map(_tell_worth, rewards)) or "nothing"
    why = ", and ".join(each.message for each in obstacles)
    return f"{user_id} would earn {given} from '{name}', but {why}."


def tell_ahead(at: datetime) -> str:
    """That a trial is of an instant that has not come."""
    return f"the event of {_show(at)} lies in the future"


def _tell_worth(reward: WorthAnswer) -> str:
    """Money by its unit: 500 of it read as 500 EUR would be a hundred times too much."""
    traits = KINDS[reward.kind]
    if not reward.value or not traits.list_currencies:
        return f"a {reward.kind}"
    unit = reward.currency if traits.wallet else f"minor units of {reward.currency} as {reward.kind}"
    return f"{reward.value} {unit}"


def _find_cut(checks: Sequence[Check]) -> str | None:
    """What the limits say where one of them gave what was left."""
    uses = ((check.message, use) for check in checks for use in check.limits or ())
    return next((message for message, use in uses if use.wanted is not None), None)


def tell_state(state: CampaignState, *, grants: bool) -> str:
    """Whether the campaign grants at all."""
    return f"the campaign is {state}" + ("" if grants else " and grants nothing")


def tell_holdout(user_id: str, percent: int, *, held_out: bool) -> str:
    """Whether the user is one of those who get nothing."""
    who = f"{user_id} is" if held_out else f"{user_id} is not"
    return f"{who} among the {percent} % of users who are held out" + (" and get nothing" if held_out else "")


def tell_variant(user_id: str, variants: Sequence[Variant], variant: str, *, control: bool) -> str:
    """Which variant of a campaign the user is in; `control`: it gets nothing."""
    percent = next(each.percent for each in variants if each.variant_id == variant)
    who = f"{user_id} is in variant {variant} of {len(variants)}, with {percent} % of all users by a hash of tenant, campaign and user"
    return who + (": a control, which gets nothing" if control else "")


def tell_schedule(schedule: Schedule, at: datetime, reason: ScheduleReason | None, time_zone: str) -> str:
    """How an event of `at` lies to the schedule of a tenant in this zone, which refuses it for `reason`."""
    if reason == "not_started":
        return f"the event of {_show(at)} comes before the campaign's start on {_show(schedule.starts_at)}"
    if reason == "ended":
        return f"the event of {_show(at)} comes after the campaign's end on {_show(schedule.ends_at)}"
    if reason == "outside_hours":
        zone, opens_at = ZoneInfo(time_zone), schedule.find_next(at, time_zone)
        local = at.astimezone(zone)
        opens = f"it is next open from {opens_at.astimezone(zone):%A, %F %T} on" if opens_at else "it is not open again"
        return f"the event of {local:%A, %F %T} in {time_zone} lies outside the campaign's hours: {opens}"
    return f"the event of {_show(at)} lies in the campaign's schedule"


def tell_action(actions: Sequence[str], other: str | None) -> str:
    """What the campaign looks at, and what it does not."""
    return f"the campaign looks at {', '.join(actions)}" + (f", not at {other}" if other else "")


def tell_by_hand(order: GrantOrder) -> str:
    """Who asked for a grant by hand, and why."""
    by = f"key {order.by}" if order.by else "a key that is not known"
    return f"it was granted by hand, without rule and schedule, by {by}: {order.reason}"


def tell_repair(order: RepairOrder) -> str:
    """Who asked for a repair, of what, and why."""
    by = f"key {order.by}" if order.by else "a key that is not known"
    return f"{order.day} of step {order.step} is repaired by {by}: {order.reason}"


def tell_repaired(instance: Instance) -> str:
    """That a repair has counted for an instance, as that stands now."""
    steps = ", ".join(f"{step.name} {step.done} of {step.needed}" for step in instance.steps)
    return f"the repair counted for instance {instance.name} of the quest, which is now: {steps}"


def tell_code(codes: Sequence[str], other: object) -> str:
    """Which codes a campaign is for, and what was entered."""
    return f"the campaign is for the code {' or '.join(codes)}, not for {other}"


def tell_cohort(user_id: str, wanted: Sequence[str], cohorts: Collection[str]) -> str:
    """Which of the cohorts that a campaign is for the user is in."""
    if not wanted:
        return "the campaign is open to everyone"
    found = next((cohort for cohort in wanted if cohort in cohorts), None)
    return f"{user_id} is in cohort {found}" if found else f"{user_id} is in none of the cohorts {', '.join(wanted)}"


def tell_rules(rules: Sequence[RuleAnswer]) -> str:
    """Whether one of the rules holds, and else the conditions of all that do not."""
    if any(rule.met for rule in rules):
        return "the rule holds"
    if not rules:
        return "no rule looks at this action"
    unmet = "; ".join(_tell_leaf(leaf) for rule in rules for leaf in rule.leaves if leaf.value is not leaf.wanted)
    return f"the rule does not hold: {unmet}"


def tell_future(occurred_at: datetime) -> str:
    """Why an event is rejected that is too far ahead."""
    minutes = MAX_AHEAD.seconds // 60
    return f"the event of {_show(occurred_at)} lies more than {minutes} minutes in the future and is rejected"


def tell_age(clock: str, *, late: bool) -> str:
    """Whether an event came in time."""
    if clock == "history":
        return "a tenant with clock 'history' takes events of any age"
    return f"the event came {'more than' if late else 'within'} {ACCEPTED_FOR.days} days after it occurred"


def tell_completed(instance: Instance) -> str:
    """Which instance of a quest a decision is for."""
    return f"the event completed instance {instance.name} of the quest, which began at {instance.started_at:%F %T}"


def tell_moved(moved: Sequence[Transition], newest: int, known: Sequence[Instance] = ()) -> str:
    """How an event moves instances on, of a quest whose newest version is `newest`; `known` are those of before."""
    return "the event " + "; ".join(_tell_move(each, newest, known) for each in moved)


def tell_end(instance: Instance) -> str:
    """What ended a quest for a user: see core.quest.instance.find_end."""
    if instance.is_unfinished:
        return f"the window of the quest ended at {_show(instance.ends_at)}"
    met_at = [step.met_at for step in instance.steps if step.met_at]
    when = f" at {_show(max(met_at))}" if len(met_at) == len(instance.steps) else ""
    if instance.state == "denied":
        return f"the steps of the quest were met{when}, its reward was refused, and it can't be repeated"
    return f"the quest was {instance.state}{when}, and can't be repeated"


def tell_still(standing: Sequence[Instance], newest: int, *, lapsed: bool, end: Instance | None = None) -> str:
    """That an event moves nothing on of a user's open instances; `lapsed`: they were over. `end` is what ended the quest for the user."""
    if end and not standing:
        return tell_end(end)
    message = "the event moves no instance of the quest on" + (": the open one has lapsed" if lapsed else "")
    retained = next((each for each in standing if each.campaign_version != newest), None)
    if retained and not lapsed:
        message += f": instance {retained.name} goes on under version {retained.campaign_version}"
    return message


def tell_traces(given: Sequence[tuple[str, int]], begun: int) -> str:
    """What an event that earned nothing yet left in a quest: what it gave to steps, and how many instances it began."""
    told = [f"gave {amount} to step {step}" for step, amount in given]
    told += [f"began {begun} {'instance' if begun == 1 else 'instances'} of the quest"] if begun else []
    return f"the event {' and '.join(told)}"


def tell_conflict(winner: str | None) -> str:
    """Who wins the event instead."""
    return f"campaign {winner} wins the event instead" if winner else "no other campaign wins the event instead"


def tell_limits(full: CounterUse | None, uses: Sequence[CounterUse]) -> str:
    """The limit without room, or that all of them have it, or which gives what is left."""
    if full is None:
        for use in uses:
            if use.wanted is not None and use.used_before + use.amount == use.cap:
                return (
                    f"limit {use.limit_id} has {use.amount} of {use.cap} left and gives that, instead of {use.wanted}"
                )
        count = len(uses)
        return f"there is room under {count} of {count} limits" if count else "no limit caps it"
    split = f" for key {full.key}" if full.key else ""
    left = max(full.cap - full.used_before, 0)
    said = f"limit {full.limit_id}{split} has {left} of {full.cap} left, this grant needs {full.amount}"
    if full.part is not None and full.resets_at:
        return f"{said}; the first of what is used counts no more from {_show(full.resets_at)}"
    own = f", by the user's days in {full.time_zone}" if full.time_zone else ""
    return said + (f"; it counts anew from {_show(full.resets_at)}{own}" if full.resets_at else "")


def tell_key_error(error: Exception) -> str:
    """That the key of a limit fails."""
    return f"a limit's key can't be read: {error}"


def _tell_leaf(leaf: LeafAnswer) -> str:
    reads = ", ".join(f"{name} = {_tell_read(name, value)}" for name, value in leaf.reads.items())
    wanted = "" if leaf.wanted else "not "
    error = f", {leaf.error}" if leaf.error else ""
    return f"wanted {wanted}{leaf.text}" + (f" ({reads}{error})" if reads or error else "")


def _tell_read(name: str, value: Any) -> str:  # noqa: ANN401 - whatever an attribute is
    if name.startswith("lists.") and value:
        return f"version {value['version']} with {value['size']} items"
    return "nothing" if value is None else json.format(json.encode(value, enc_hook=str), indent=0).decode()


def _tell_move(moved: Transition, newest: int, known: Sequence[Instance]) -> str:
    instance = moved.instance
    before = {(step.name, step.values) for each in known if each.name == instance.name for step in each.steps}
    values = {each.step: each.value for each in moved.met}
    repeated = {step.name for step in instance.steps if step.values and (step.name, step.values) in before}
    steps = ", ".join(
        f"{step.name} {step.done} of {step.needed}"
        + (f", which counts '{values[step.name]}' already" if step.name in repeated & values.keys() else "")
        for step in instance.steps
    )
    verb = "completes" if instance.state == "completed" else "moves on"
    retained = f" under version {moved.version}" if moved.version != newest else ""
    return f"{verb} instance {instance.name} of the quest{retained}: {steps}"


def _show(instant: datetime | None) -> str:
    return instant.strftime("%Y-%m-%d %H:%M:%S UTC") if instant else "never"
