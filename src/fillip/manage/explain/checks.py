"""Why and why not: every check of one campaign on one event, in the order of the path, in words for a marketer."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct, structs
from pydantic import BaseModel, ConfigDict, Field

from fillip.core.book.version import CampaignVersion, Trigger, list_triggers
from fillip.core.campaign.campaign import REFUSING
from fillip.core.campaign.reward import RewardKind
from fillip.core.event import ACCEPTED_FOR, Event
from fillip.core.limit import Counter, CounterKey, CounterUse, LimitCharge, weigh
from fillip.core.quest.instance import Instance, QuestState
from fillip.core.rule import RuleError, explain_rule

MAX_AHEAD = timedelta(minutes=5)
Outcome = Literal["granted", "denied", "progress", "no_match"]
CheckName = Literal[
    "state", "schedule", "action", "cohort", "rule", "time", "quest", "reward", "conflict", "limits", "room"
]


class LeafAnswer(BaseModel):
    """One condition of a rule: its place, what it was (`wanted` is false under a `!`), and the values it read.

    Of a named list `reads` has its `version` and its `size`, not the items.
    """

    line: int
    column: int
    text: str = Field(examples=["event.amount_cents >= 5000"])
    wanted: bool
    value: bool | None
    error: str | None
    reads: dict[str, Any] = Field(examples=[{"event.amount_cents": 1200}])


class RuleAnswer(BaseModel):
    """A rule of the campaign that looks at this action, and its conditions."""

    path: str = Field(examples=["quest.steps.0.rule"])
    source: str
    met: bool
    leaves: list[LeafAnswer]


class LimitUse(BaseModel):
    """A limit that the grant falls under: it fits when `used_before + amount <= cap`."""

    limit_id: str
    key: str
    window_start: date
    version: int
    used_before: int
    amount: int
    cap: int
    fits: bool


class WorthAnswer(BaseModel):
    """What a reward is worth for the event; with a formula: its expression, what that read and gave, or its error."""

    kind: RewardKind
    currency: str | None
    value: int | None
    source: str | None = None
    reads: dict[str, Any] | None = None
    amount: int | None = None
    error: str | None = None


class GivenAnswer(BaseModel):
    """What an event gave to a step: 1, or the term of its sum, and what of it was reversed."""

    event_id: str
    event_source: str
    amount: int
    reversed: int
    day: date


class StepAnswer(BaseModel):
    """How far a step is, of how far it must come; of a decision also what it was given."""

    name: str
    done: int
    needed: int
    given: list[GivenAnswer] = []


class InstanceAnswer(BaseModel):
    """An instance of a quest that the event moves on, completes or completed."""

    instance: str = Field(examples=["1"])
    campaign_version: int = Field(description="The version that it goes on, or has ended, under")
    state: QuestState
    started_at: datetime
    ends_at: datetime | None
    steps: list[StepAnswer]


class Check(BaseModel):
    """One check; `reason` says in a word why it did not pass."""

    check: CheckName
    passed: bool
    message: str
    reason: str | None = None
    rules: list[RuleAnswer] | None = None
    instances: list[InstanceAnswer] | None = None
    rewards: list[WorthAnswer] | None = None
    outranked_by: str | None = None
    limits: list[LimitUse] | None = None


class EventAnswer(BaseModel):
    """The event that is explained."""

    event_id: str | None
    event_source: str | None
    user_id: str
    action: str
    occurred_at: datetime
    received_at: datetime
    attributes: dict[str, Any]


class ExplanationAnswer(BaseModel):
    """Why an event earned something from a campaign, or why not. `summary` says it in a sentence.

    `as_of` tells whether this is a decision as it was made, or what the event would earn as everything stands now.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "summary": "ada gets nothing from 'Big baskets': the rule does not hold: event.amount_cents >= 5000"
                    " (event.amount_cents = 1200).",
                    "as_of": "now",
                    "outcome": "no_match",
                    "reason": "rule",
                    "campaign_id": "big-baskets",
                    "campaign_version": 1,
                    "decision_id": None,
                    "event": {
                        "event_id": None,
                        "event_source": None,
                        "user_id": "ada",
                        "action": "PURCHASE",
                        "occurred_at": "2026-01-31T09:30:00Z",
                        "received_at": "2026-01-31T09:30:01Z",
                        "attributes": {"amount_cents": 1200},
                    },
                    "checks": [{"check": "state", "passed": True, "message": "the campaign is running"}],
                }
            ]
        }
    )

    summary: str
    as_of: Literal["decision", "now"]
    outcome: Outcome
    reason: str
    campaign_id: str
    campaign_version: int
    decision_id: UUID | None
    event: EventAnswer
    checks: list[Check]


class EventContext(Struct, frozen=True):
    """An event before one campaign, with what is known of its user: typed attributes and cohorts."""

    campaign_version: CampaignVersion
    event: Event
    user: Mapping[str, object]
    cohorts: frozenset[str]

    @property
    def triggers(self) -> list[Trigger]:
        """The roles that the event can play in the campaign."""
        return [each for each in list_triggers(self.campaign_version) if each.expression.action == self.event.action]


def check_eligibility(context: EventContext, now: datetime) -> list[Check]:
    """The checks that come before quest and limits; `now` is only used to tell an event from the future."""
    return [
        _check_state(context.campaign_version),
        _check_schedule(context),
        _check_action(context),
        _check_cohort(context),
        _check_rules(context),
        _check_time(context.event, now),
    ]


def is_earned(context: EventContext, now: datetime) -> bool:
    """Whether all of `check_eligibility` pass, without words for it."""
    looks = [_check_state(context.campaign_version), _check_action(context), _check_time(context.event, now)]
    return is_open(context) and all(c.passed for c in looks) and any(is_met(context, r) for r in context.triggers)


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
    room = f"there is room under {len(uses)} of {len(uses)} limits" if uses else "no limit caps it"
    return Check(
        check="limits",
        passed=full is None,
        reason="limit" if full else None,
        message=_describe_full(full) if full else room,
        limits=[LimitUse(**structs.asdict(use), fits=use.fits) for use in uses],
    )


def weigh_now(charges: Sequence[LimitCharge], used: Mapping[CounterKey, Counter]) -> list[CounterUse]:
    """The uses of these counters as they stand; a counter not in `used` was never touched."""
    return weigh(charges, {charge.counter: used.get(charge.counter, Counter(0, 0)) for charge in charges})[0]


def summarise(user_id: str, name: str, checks: Sequence[Check], outcome: str) -> str:
    """One sentence that a marketer understands."""
    failed = next((check for check in checks if not check.passed), None)
    if outcome == "granted":
        return f"{user_id} earns the reward of '{name}': every condition holds and every limit has room."
    if outcome == "progress":
        return f"{user_id} earns nothing from '{name}' yet: {next(c.message for c in checks if c.check == 'quest')}."
    if outcome == "denied" and failed:
        return f"{user_id} meets the conditions of '{name}', but the reward is refused: {failed.message}."
    return f"{user_id} gets nothing from '{name}': {failed.message if failed else 'no decision was made'}."


def _check_state(campaign_version: CampaignVersion) -> Check:
    refused = campaign_version.state in REFUSING
    message = f"the campaign is {campaign_version.state}" + (" and grants nothing" if refused else "")
    return Check(check="state", passed=not refused, reason=campaign_version.state if refused else None, message=message)


def _check_schedule(context: EventContext) -> Check:
    schedule, at = context.campaign_version.campaign.schedule, context.event.occurred_at
    reason = schedule.refuse(at)
    bound = schedule.starts_at if reason == "not_started" else schedule.ends_at
    messages = {
        "not_started": f"the event of {_show(at)} comes before the campaign's start on {_show(bound)}",
        "ended": f"the event of {_show(at)} comes after the campaign's end on {_show(bound)}",
    }
    message = messages[reason] if reason else f"the event of {_show(at)} lies in the campaign's schedule"
    return Check(check="schedule", passed=reason is None, reason=reason, message=message)


def _check_action(context: EventContext) -> Check:
    actions = sorted({trigger.expression.action for trigger in list_triggers(context.campaign_version)})
    looks = context.event.action in actions
    message = f"the campaign looks at {', '.join(actions)}" + ("" if looks else f", not at {context.event.action}")
    return Check(check="action", passed=looks, reason=None if looks else "other_action", message=message)


def _check_cohort(context: EventContext) -> Check:
    wanted = context.campaign_version.campaign.cohorts
    if not wanted:
        return Check(check="cohort", passed=True, message="the campaign is open to everyone")
    found = [cohort for cohort in wanted if cohort in context.cohorts]
    where = f"{context.event.user_id} is in cohort {found[0]}" if found else ""
    message = where or f"{context.event.user_id} is in none of the cohorts {', '.join(wanted)}"
    return Check(check="cohort", passed=bool(found), reason=None if found else "not_in_cohort", message=message)


def _check_rules(context: EventContext) -> Check:
    rules = [_explain_trigger(context, trigger) for trigger in context.triggers]
    met = any(rule.met for rule in rules)
    message = "the rule holds" if met else _describe_unmet(rules)
    return Check(check="rule", passed=met, reason=None if met else "rule", message=message, rules=rules)


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


def _describe_unmet(rules: Sequence[RuleAnswer]) -> str:
    if not rules:
        return "no rule looks at this action"
    unmet = "; ".join(_describe_leaf(leaf) for rule in rules for leaf in rule.leaves if leaf.value is not leaf.wanted)
    return f"the rule does not hold: {unmet}"


def _describe_leaf(leaf: LeafAnswer) -> str:
    reads = ", ".join(f"{name} = {_describe_read(name, value)}" for name, value in leaf.reads.items())
    wanted = "" if leaf.wanted else "not "
    error = f", {leaf.error}" if leaf.error else ""
    return f"wanted {wanted}{leaf.text}" + (f" ({reads}{error})" if reads or error else "")


def _describe_read(name: str, value: Any) -> str:  # noqa: ANN401 - whatever an attribute is
    if name.startswith("lists.") and value:
        return f"version {value['version']} with {value['size']} items"
    return _quote(value)


def _check_time(event: Event, now: datetime) -> Check:
    if event.occurred_at > max(event.received_at, now) + MAX_AHEAD:
        message = f"the event of {_show(event.occurred_at)} lies more than 5 minutes in the future and is rejected"
        return Check(check="time", passed=False, reason="in_future", message=message)
    late = event.book.tenant.clock == "live" and event.occurred_at < event.received_at - ACCEPTED_FOR
    message = f"the event came {'more than' if late else 'within'} {ACCEPTED_FOR.days} days after it occurred"
    if event.book.tenant.clock == "history":
        message = "a tenant with clock 'history' takes events of any age"
    return Check(check="time", passed=not late, reason="late" if late else None, message=message)


def _describe_full(use: CounterUse) -> str:
    split = f" for key {use.key}" if use.key else ""
    left = max(use.cap - use.used_before, 0)
    return f"limit {use.limit_id}{split} has {left} of {use.cap} left, this grant needs {use.amount}"


def _show(instant: datetime | None) -> str:
    return instant.strftime("%Y-%m-%d %H:%M:%S UTC") if instant else "never"


def _quote(value: object) -> str:
    return "nothing" if value is None else f'"{value}"' if isinstance(value, str) else str(value)
