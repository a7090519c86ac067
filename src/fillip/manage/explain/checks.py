"""Why and why not: every check of one campaign on one event, in the order of the path."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, structs

from fillip.core.book.version import CampaignVersion, Trigger, list_triggers
from fillip.core.by_hand import GRANT, read_grant
from fillip.core.campaign.campaign import REFUSING
from fillip.core.campaign.reward_kind.traits import StockRefusal
from fillip.core.event import MAX_AHEAD, Event, is_late
from fillip.core.limit import CounterUse
from fillip.core.match.candidate import is_barred, is_control
from fillip.core.quest.instance import Instance
from fillip.core.redemption import takes_code
from fillip.core.repair import REPAIR, read_repair
from fillip.core.rule import RuleError, explain_rule
from fillip.manage.explain import wording
from fillip.manage.explain.answer import Check, InstanceAnswer, LeafAnswer, LimitUse, RuleAnswer, StepAnswer


class EventContext(Struct, frozen=True):
    """An event before one campaign, with what is known of its user: typed attributes at their revision, and cohorts."""

    campaign_version: CampaignVersion
    event: Event
    user: Mapping[str, object]
    cohorts: frozenset[str]
    user_revision: int | None = None

    @property
    def triggers(self) -> list[Trigger]:
        """The roles that the event can play in the campaign."""
        return [each for each in list_triggers(self.campaign_version) if each.expression.action == self.event.action]

    @property
    def views(self) -> list["EventContext"]:
        """The event before each version of the campaign in force, the newest first."""
        versions = (self.campaign_version, *self.campaign_version.retained)
        return [structs.replace(self, campaign_version=each) for each in versions]


def check_eligibility(context: EventContext, now: datetime) -> list[Check]:
    """The checks that come before quest and limits; `now` is only used to tell an event from the future."""
    return list(make_checks(context, now))


def make_checks(context: EventContext, now: datetime) -> Iterator[Check]:
    """As check_eligibility, each when it is asked for."""
    yield _check_state(context.campaign_version)
    if context.event.action == GRANT:
        yield _check_by_hand(context)
    elif context.event.action == REPAIR:
        yield _check_repair(context)
    else:
        yield _check_schedule(context)
        yield _check_action(context)
        yield _check_cohort(context)
        yield _check_rules(context)
    yield from _check_holdout(context.event)
    yield from _check_variant(context)
    yield _check_time(context.event, now)


def is_earned(context: EventContext, now: datetime) -> bool:
    """Whether all of `check_eligibility` pass, without words for it."""
    looks = [_check_state(context.campaign_version), _check_action(context), _check_time(context.event, now)]
    met = is_open(context) and all(c.passed for c in looks) and any(is_met(context, r) for r in context.triggers)
    return met and not is_barred(context.event, context.campaign_version)


def describe_instance(instance: Instance) -> InstanceAnswer:
    """An instance with its steps."""
    return InstanceAnswer(
        instance=instance.name,
        campaign_version=instance.campaign_version,
        state=instance.state,
        started_at=instance.started_at,
        ends_at=instance.ends_at,
        steps=[StepAnswer(name=step.name, done=step.done, needed=step.needed) for step in instance.steps],
    )


def check_limits(uses: Sequence[CounterUse]) -> Check:
    """Whether every limit has room for the whole grant, with the first that has not in words."""
    full = next((use for use in uses if not use.fits), None)
    return Check(
        check="limits",
        passed=full is None,
        reason="limit" if full else None,
        message=wording.tell_limits(full, uses),
        limits=[LimitUse(**structs.asdict(use), fits=use.fits) for use in uses],
    )


def check_stock(refusal: StockRefusal | None) -> Check:
    """Whether the codes and badges of a grant can be given."""
    message = wording.STOCK[refusal] if refusal else "there are codes for it, and the user does not hold its badge"
    return Check(check="room", passed=refusal is None, reason=refusal, message=message)


def _check_state(campaign_version: CampaignVersion) -> Check:
    refused = campaign_version.state in REFUSING and not campaign_version.is_shadow  # which is told behind all else
    message = wording.tell_state(campaign_version.state, grants=not refused)
    return Check(check="state", passed=not refused, reason=campaign_version.state if refused else None, message=message)


def check_shadow(campaign_version: CampaignVersion) -> list[Check]:
    """What keeps a campaign in shadow from granting, when nothing else does; none of any other."""
    if not campaign_version.is_shadow:
        return []
    return [Check(check="shadow", passed=False, reason="shadow", message=wording.SHADOW)]


def describe_conflict(winner: str | None) -> Check:
    """The check of a campaign that `winner` outranked, or nobody."""
    message, reason = wording.tell_conflict(winner), "outranked" if winner else None
    return Check(check="conflict", passed=not winner, reason=reason, message=message, outranked_by=winner)


def _check_schedule(context: EventContext) -> Check:
    schedule, at = context.campaign_version.campaign.schedule, context.event.occurred_at
    time_zone = context.event.book.tenant.time_zone
    reason = schedule.refuse(at, time_zone)
    message = wording.tell_schedule(schedule, at, reason, time_zone)
    return Check(check="schedule", passed=reason is None, reason=reason, message=message)


def _check_action(context: EventContext) -> Check:
    actions = sorted({trigger.expression.action for trigger in list_triggers(context.campaign_version)})
    looks, event = context.event.action in actions, context.event
    message = wording.tell_action(actions, None if looks else event.action)
    codes = context.campaign_version.campaign.codes
    if looks and codes and not takes_code(codes, event.attributes.get("code")):
        message = wording.tell_code(codes, event.attributes.get("code"))
        return Check(check="action", passed=False, reason="other_code", message=message)
    return Check(check="action", passed=looks, reason=None if looks else "other_action", message=message)


def _check_by_hand(context: EventContext) -> Check:
    """In place of schedule, action, cohort and rule, which a grant by hand does without."""
    order = read_grant(context.event.attributes)
    mine = order.campaign_id == context.campaign_version.campaign_id
    message = wording.tell_by_hand(order) if mine else f"the grant by hand is of campaign {order.campaign_id}"
    return Check(check="by_hand", passed=mine, reason=None if mine else "other_campaign", message=message)


def _check_repair(context: EventContext) -> Check:
    """In place of the same, which a repair does without."""
    order = read_repair(context.event.attributes)
    mine = order.campaign_id == context.campaign_version.campaign_id
    message = wording.tell_repair(order) if mine else f"the repair is of campaign {order.campaign_id}"
    return Check(check="repair", passed=mine, reason=None if mine else "other_campaign", message=message)


def _check_cohort(context: EventContext) -> Check:
    wanted = context.campaign_version.campaign.cohorts
    found = not wanted or any(cohort in context.cohorts for cohort in wanted)
    message = wording.tell_cohort(context.event.user_id, wanted, context.cohorts)
    return Check(check="cohort", passed=found, reason=None if found else "not_in_cohort", message=message)


def _check_rules(context: EventContext) -> Check:
    rules = explain_rules(context)
    met = any(rule.met for rule in rules)
    message = wording.tell_rules(rules)
    return Check(check="rule", passed=met, reason=None if met else "rule", message=message, rules=rules)


def explain_rules(context: EventContext) -> list[RuleAnswer]:
    """Each rule that looks at the event, with its conditions."""
    return [_explain_trigger(context, trigger) for trigger in context.triggers]


def _explain_trigger(context: EventContext, trigger: Trigger) -> RuleAnswer:
    campaign_version, expression = context.campaign_version, trigger.expression
    code, typed, lists = campaign_version.checked[expression.path].code, context.event.typed, campaign_version.lists
    leaves = explain_rule(expression.source, code, typed, context.user, context.cohorts, lists=lists)
    return RuleAnswer(
        path=expression.path,
        source=expression.source,
        met=is_met(context, trigger),
        leaves=[LeafAnswer(**structs.asdict(leaf)) for leaf in leaves],
    )


def is_open(context: EventContext) -> bool:
    """Whether schedule and cohort let the event in."""
    return _check_schedule(context).passed and _check_cohort(context).passed


def is_met(context: EventContext, trigger: Trigger) -> bool:
    """Whether the rule of a role holds; an error is no match."""
    try:
        return bool(trigger.rule(context.event.typed, context.user, context.cohorts))
    except RuleError:
        return False


def _check_holdout(event: Event) -> list[Check]:
    """None where the tenant holds nobody out."""
    tenant, held_out = event.book.tenant, event.held_out
    if not tenant.holdout_percent:
        return []
    message = wording.tell_holdout(event.user_id, tenant.holdout_percent, held_out=held_out)
    return [Check(check="holdout", passed=not held_out, reason="holdout" if held_out else None, message=message)]


def _check_variant(context: EventContext) -> list[Check]:
    """None where the user is in no variant."""
    version = context.campaign_version
    variant, control = context.event.find_variant(version), is_control(context.event, version)
    if variant is None:
        return []
    message = wording.tell_variant(context.event.user_id, version.campaign.variants, variant, control=control)
    reason = "control" if control else None
    return [Check(check="variant", passed=not control, reason=reason, message=message, variant=variant)]


def _check_time(event: Event, now: datetime) -> Check:
    if event.occurred_at > max(event.received_at, now) + MAX_AHEAD:
        return Check(check="time", passed=False, reason="in_future", message=wording.tell_future(event.occurred_at))
    late = is_late(event)
    message = wording.tell_age(event.book.tenant.clock, late=late)
    return Check(check="time", passed=not late, reason="late" if late else None, message=message)
