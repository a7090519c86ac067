"""What an event would do to a user's instances of a quest, each under the version that it goes on under."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.match.candidate import Candidate
from fillip.core.match.quest_candidate import build_quest_candidate, join_candidates
from fillip.core.match.reward_values import RewardValues
from fillip.core.quest.batch import read_quest_event
from fillip.core.quest.instance import Instance, QuestEvent, Transition, advance, find_end
from fillip.core.quest.repair import choose_instance, repair
from fillip.core.repair import REPAIR, read_repair
from fillip.manage.explain import wording
from fillip.manage.explain.answer import Check
from fillip.manage.explain.checks import EventContext, describe_instance, is_met, is_open
from fillip.manage.explain.explanation import describe_refused

MAX_SHOWN = 20
"""Most open instances shown of a user whom the event moves on in none."""


class Trial(Struct, frozen=True):
    """The check; `context` is before the version that it is told by, the newest or one kept beside it.

    `met`: whether the event is anything to the quest at all, as far as can be told without its instances.
    """

    context: EventContext
    check: Check
    completes: bool
    met: bool


def build_quest_event(context: EventContext) -> QuestEvent:
    """What the event means for the quest, in all its versions in force; nothing where it meets none."""
    newest = context.campaign_version
    found = {view.campaign_version.version: _nominate(view) for view in context.views}
    candidate = join_candidates(newest, found) or Candidate(newest, retained=tuple(map(Candidate, newest.retained)))
    return read_quest_event(context.event, candidate)


def try_quest(context: EventContext, quest_event: QuestEvent, known: Sequence[Instance]) -> Trial:
    """Let the event meet the instances on paper: open ones and the newest of each key, in order of start.

    Explained under the version of the first instance completed; else moved; else open; else under the newest.
    """
    newest = context.campaign_version
    if context.event.action == REPAIR:
        return _try_repair(context, quest_event, known)
    met = any(each.starts or each.steps for each in (quest_event, *quest_event.retained))
    views = {view.campaign_version.version: view for view in context.views}
    done = advance(known, quest_event).moved
    moved = [each for each in done if each.instance.state not in ("lapsed", "closed")]
    if not moved:
        standing = [  # each at the version that its next event is met under
            replace(each, campaign_version=quest_event.under(each.campaign_version).campaign_version)
            for each in known
            if each.state == "open"
        ]
        version = standing[0].campaign_version if standing else newest.version
        end = find_end(known, quest_event)
        message = wording.tell_still(standing, newest.version, lapsed=bool(done), end=end)
        instances = [describe_instance(each) for each in standing[:MAX_SHOWN]]
        check = Check(check="quest", passed=False, reason="quest", message=message, instances=instances or None)
        return Trial(views[version], check, False, met)
    first = next((each for each in moved if each.instance.state == "completed"), moved[0])
    message = wording.tell_moved(moved, newest.version, known)
    instances = [describe_instance(each.instance) for each in moved]
    check = Check(check="quest", passed=True, message=message, instances=instances)
    return Trial(views[first.version], check, first.instance.state == "completed", met)


def _try_repair(context: EventContext, quest_event: QuestEvent, known: Sequence[Instance]) -> Trial:
    """One that has counted is told as it did; another is tried."""
    order = read_repair(context.event.attributes)
    instance = choose_instance(order, known)
    if instance and any(step.repaired_by == context.event.key for step in instance.steps):
        told = describe_instance(instance)
        return Trial(
            context,
            Check(check="quest", passed=True, message=wording.tell_repaired(instance), instances=[told]),
            False,
            True,
        )
    under = quest_event.under(instance.campaign_version) if instance else quest_event
    moved = repair(instance, order, under)
    views = {view.campaign_version.version: view for view in context.views}
    view = views[under.campaign_version]
    if not isinstance(moved, Transition):
        return Trial(view, describe_refused(moved), False, True)
    message = wording.tell_moved([moved], context.campaign_version.version, known)
    check = Check(check="quest", passed=True, message=message, instances=[describe_instance(moved.instance)])
    return Trial(view, check, moved.instance.state == "completed", True)


def _nominate(view: EventContext) -> Candidate | None:
    met = [trigger for trigger in view.triggers if is_met(view, trigger)] if is_open(view) else []
    if not met:
        return None
    return build_quest_candidate(
        view.event, (), RewardValues(view.campaign_version.values), met, view.user, view.cohorts
    )[0]
