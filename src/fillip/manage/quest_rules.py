"""Quests at saving: every expression typed by what it may read, and nothing that contradicts itself or can't be met."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from fillip.core.book.route import find_path, list_asked_by_step
from fillip.core.campaign.campaign import KEY_PATH, Campaign, Checked
from fillip.core.campaign.quest import PROGRESS, Keyed, Quest, Step
from fillip.core.index import read_clauses
from fillip.core.instant import add_span
from fillip.core.problem import Fault
from fillip.core.quest.instance import MAX_OPEN, MAX_TOGETHER
from fillip.core.rule import RuleRefused, decode_rule, list_reads
from fillip.core.schema.types import EMPTY, ObjectType
from fillip.manage.cel import CheckedRule, check_rule
from fillip.manage.rule_names import read_cohorts, refuse_unknown_cohorts

DAY_S = 86_400


def check_path(
    campaign: Campaign,
    path: str,
    source: str,
    action: str,
    actions: Mapping[str, ObjectType],
    user: ObjectType,
    lists: ObjectType,
    cohorts: Collection[str] | None = None,
) -> Checked:
    """The expression at `path` of a campaign over events of `action`, typed; raises RuleRefused with line and column.

    The rule of a step may also read `start` (where one action opens instances) and `progress`, a key the event and
    lists alone. `cohorts` are those that it may name; None where it was saved before, which keeps them there.
    """
    if path == KEY_PATH:
        rule = check_rule(source, actions[action], EMPTY, expect="key", lists=lists)
        if rule.uses_cohorts:
            raise RuleRefused(1, 1, "a key goes by the event alone: 'cohorts' can't be used")
        return Checked(rule.checked, uses_lists=rule.uses_lists, cost=rule.cost)
    if path.endswith(".sum") or path.startswith("rewards."):
        rule = check_rule(source, actions[action], user, expect="int", lists=lists)
    elif campaign.quest and path.startswith("quest.steps."):
        start = actions.get(campaign.quest.opening_action or "")
        rule = _check_step(source, actions[action], user, lists, start)
    else:
        rule = check_rule(source, actions[action], user, lists=lists)
    if campaign.quest and path.endswith(".rule"):
        _refuse_never(rule)
    return _keep(rule, cohorts)


def _keep(rule: CheckedRule, cohorts: Collection[str] | None) -> Checked:
    """What is stored of a rule; raises RuleRefused where it names a cohort that is not among these."""
    tree = decode_rule(rule.checked)
    reads = read_cohorts(tree)
    if cohorts is not None:
        refuse_unknown_cohorts(tree, reads, cohorts)
    return Checked(
        rule.checked,
        uses_user=rule.uses_user,
        uses_cohorts=rule.uses_cohorts,
        uses_instance=rule.uses_instance,
        uses_lists=rule.uses_lists,
        cost=rule.cost,
        cohorts=tuple(sorted({name for name, _ in reads.named})),
        all_cohorts=reads.all,
    )


def _refuse_never(rule: CheckedRule) -> None:
    tree = decode_rule(rule.checked)
    if why := read_clauses(tree.root).explain_never():
        raise RuleRefused(*tree.locate(tree.root.offset), f"it can never hold: {why}")


def _check_step(
    source: str, action: ObjectType, user: ObjectType, lists: ObjectType, start: ObjectType | None
) -> CheckedRule:
    try:
        return check_rule(source, action, user, start=start, progress=PROGRESS, lists=lists)
    except RuleRefused as refused:
        if start is None and refused.message.startswith("undeclared reference to 'start"):
            why = "'start' is the event that opened the instance: here the campaign's start does, or events of several actions"
            raise RuleRefused(refused.line, refused.column, why) from None
        raise


def depends_on(campaign: Campaign, path: str, action: str, checked: Checked, changed: str | None) -> bool:
    """Whether the expression at `path` over events of `action` reads what has changed: an action, or users (None)."""
    if changed is None:
        return checked.uses_user
    return action == changed or (
        checked.uses_instance and campaign.quest is not None and campaign.quest.opening_action == changed
    )


def find_quest_faults(quest: Quest, campaign: Campaign, now: datetime | None) -> Iterator[Fault]:
    """Everything in a quest that contradicts itself or can't be reached; `now` is None where history is told."""
    yield from _check_steps(quest)
    yield from _check_start(quest)
    yield from _check_window(quest, campaign)
    yield from _check_past(quest, campaign, now)


def find_change_faults(before: Quest, after: Quest) -> Iterator[Fault]:
    """What of a launched quest can't change: the names of instances and steps, what measures a step."""
    if before.instance != after.instance or before.start.at != after.start.at:
        yield Fault("/quest/instance", "a launched quest keeps its start and instances: end it and make another")
    if [step.name for step in before.steps] != [step.name for step in after.steps]:
        yield Fault("/quest/steps", "a launched quest keeps its steps by name: end it and make another")
        return
    for index, (old, new) in enumerate(zip(before.steps, after.steps, strict=True)):
        if _name_measure(old) != _name_measure(new):
            yield Fault(
                f"/quest/steps/{index}", "a launched step keeps what it measures: end the quest and make another"
            )


def find_route_faults(quest: Quest, before: Mapping[str, Checked], after: Mapping[str, Checked]) -> Iterator[Fault]:
    """Where open instances would no longer be found by the attribute that all steps ask for; by the checked rules."""
    path = find_path(list_asked_by_step(quest, before))
    if path and path != find_path(list_asked_by_step(quest, after)):
        start = f"start.{'.'.join(path)}"
        message = f"a launched quest goes on to ask for {start}: open instances are found by what first has to equal it"
        yield Fault("/quest/steps/0/rule", message)


def list_warnings(quest: Quest, checked: Mapping[str, Checked]) -> Iterator[Fault]:
    """The steps of a keyed quest that do not ask for what the key reads."""
    if not isinstance(quest.instance, Keyed):
        return
    reads = [path for path, _ in list_reads(decode_rule(checked[KEY_PATH].code).root) if path.startswith("event.")]
    for index, asked in enumerate(list_asked_by_step(quest, checked)):
        if reads and not any(f"event.{'.'.join(path)}" in reads for path in asked):
            start = reads[0].replace("event.", "start.", 1)
            message = (
                "does not ask for the key: an event counts for every open instance that waits for this step, and a user"
                f" can have {MAX_TOGETHER} open; with '{reads[0]} == {start}' in each step's rule, {MAX_OPEN}"
            )
            yield Fault(f"/quest/steps/{index}/rule", message)


def _name_measure(step: Step) -> tuple[str | None, str | None]:
    return step.sum, step.streak.unit if step.streak else None


def _check_steps(quest: Quest) -> Iterator[Fault]:
    names = Counter(step.name for step in quest.steps)
    for index, step in enumerate(quest.steps):
        at = f"/quest/steps/{index}"
        if names[step.name] > 1:
            yield Fault(f"{at}/name", f"two steps are called '{step.name}'")
        yield from _check_measure(step, at)


def _check_measure(step: Step, at: str) -> Iterator[Fault]:
    thresholds = [name for name in ("at_least", "more_than") if getattr(step, name) is not None]
    if step.sum is None and thresholds:
        yield Fault(f"{at}/{thresholds[0]}", "goes with a sum only")
    elif step.sum is not None and len(thresholds) != 1:
        yield Fault(f"{at}/sum", "a sum needs either at_least or more_than")
    measures = [name for name, given in _list_measures(step) if given]
    if len(measures) > 1:
        yield Fault(f"{at}/{measures[1]}", f"a step has one measure: it can't have a {measures[0]} too")
    if step.streak and step.streak.freeze >= step.streak.length:
        yield Fault(f"{at}/streak/freeze", "must be less than the length: there would be no streak")


def _list_measures(step: Step) -> list[tuple[str, bool]]:
    return [("count", step.count != 1), ("sum", step.sum is not None), ("streak", step.streak is not None)]


def _check_start(quest: Quest) -> Iterator[Fault]:
    at_event = quest.start.at == "event"
    if at_event != (quest.start.action is not None):
        yield Fault("/quest/start/action", "goes with a start at 'event', and only with it")
    elif not at_event and quest.start.rule != "true":
        yield Fault("/quest/start/rule", "goes with a start at 'event' only")
    if quest.instance != "user" and quest.start.at == "campaign":
        yield Fault("/quest/instance", "no event opens a quest that starts with the campaign: only 'user' goes with it")
    elif isinstance(quest.instance, Keyed) and not at_event and quest.opening_action is None:
        message = "events of several actions may open the quest: no key can be read; start it at one event"
        yield Fault("/quest/instance/key", message)
    if quest.instance == "event" and quest.repeatable:
        yield Fault("/quest/repeatable", "every opening event has an instance of its own already")


def _check_window(quest: Quest, campaign: Campaign) -> Iterator[Fault]:
    starts_at, ends_at = campaign.schedule.starts_at, campaign.schedule.ends_at
    span_s = (ends_at - starts_at).total_seconds() if starts_at and ends_at else None
    if quest.window_s and span_s is not None and quest.window_s > span_s:
        yield Fault("/quest/window_s", "longer than the campaign's schedule: its end can't be reached")
    room_s = min((s for s in (quest.window_s, span_s) if s is not None), default=None)
    if room_s is None:
        return
    streaks = [(index, _measure_streak(step)) for index, step in enumerate(quest.steps) if step.streak]
    for index, least_s in streaks:
        if least_s > room_s:
            yield Fault(f"/quest/steps/{index}/streak/length", _explain_short(least_s, room_s))
            return
    if quest.ordered and sum(least_s for _, least_s in streaks) > room_s:
        yield Fault("/quest/window_s", "shorter than the streaks one after the other: the quest can't be completed")


def _check_past(quest: Quest, campaign: Campaign, now: datetime | None) -> Iterator[Fault]:
    """A window that opens with the campaign is the same for all: it needs a start, and may be over before anyone can come."""
    if quest.start.at != "campaign" or not quest.window_s:
        return
    starts_at = campaign.schedule.starts_at or now  # it will be launched at `now` or later
    if starts_at is None:
        message = "counts from the campaign's start, which is open: give schedule.starts_at, or start at first_step"
        yield Fault("/quest/window_s", message)
    elif now and add_span(starts_at, quest.window_s + quest.lateness_s) < now:
        ended_at = add_span(starts_at, quest.window_s).isoformat()
        message = f"it began with the campaign and ended on {ended_at}: no event can fall into it any more"
        yield Fault("/quest/window_s", message)


def _measure_streak(step: Step) -> int:
    """The least time from a streak's first event to its last: the whole units between those two, less an hour for DST."""
    assert step.streak is not None, "only streaks have a length"
    unit_s = DAY_S if step.streak.unit == "day" else 7 * DAY_S
    return max((step.streak.length - 2) * unit_s - 3600, 0)


def _explain_short(least_s: int, room_s: float) -> str:
    return f"takes {least_s / DAY_S:.1f} days at least, the quest leaves {room_s / DAY_S:.1f}: it can't be reached"
