"""What an event would do to a user's instances of a quest, each under the version that it goes on under."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.match.candidate import Candidate
from fillip.core.match.quest_candidate import nominate_quest, nominate_versions
from fillip.core.match.reward_values import Appraisal
from fillip.core.quest.batch import read_meeting
from fillip.core.quest.instance import Instance, Meeting, Moved, advance
from fillip.manage.explain.checks import Check, Situation, describe_instance, is_met, is_open

MAX_SHOWN = 20
"""Most open instances shown of a user whom the event moves on in none."""


class Trial(Struct, frozen=True):
    """The check; `situation` is before the version that it is told by, the newest or one kept beside it.

    `met`: whether the event is anything to the quest at all, as far as can be told without its instances.
    """

    situation: Situation
    check: Check
    completes: bool
    met: bool


def imagine_meeting(situation: Situation) -> Meeting:
    """What the event means for the quest, in all its versions in force; nothing where it meets none."""
    newest = situation.entry
    found = {entry.version: _nominate(replace(situation, entry=entry)) for entry in (newest, *newest.kept)}
    candidate = nominate_versions(newest, found) or Candidate(newest, kept=tuple(map(Candidate, newest.kept)))
    return read_meeting(situation.event, candidate)


def try_quest(situation: Situation, meeting: Meeting, known: Sequence[Instance]) -> Trial:
    """Let the event meet the instances on paper: open ones and the newest of each key, in order of start.

    It is told by the version of the first instance that it completes, else moves on, else that is open, else the newest.
    """
    newest = situation.entry
    met = any(each.starts or each.steps for each in (meeting, *meeting.kept))
    views = {entry.version: replace(situation, entry=entry) for entry in (newest, *newest.kept)}
    done = advance(known, meeting).moved
    moved = [each for each in done if each.instance.state not in ("lapsed", "closed")]
    if not moved:
        standing = [_place(each, meeting) for each in known if each.state == "open"]
        version = standing[0].campaign_version if standing else newest.version
        return Trial(views[version], _explain_still(standing, newest.version, lapsed=bool(done)), False, met)
    first = next((each for each in moved if each.instance.state == "completed"), moved[0])
    message = "the event " + "; ".join(_describe_move(each, newest.version) for each in moved)
    instances = [describe_instance(each.instance) for each in moved]
    check = Check(check="quest", passed=True, message=message, instances=instances)
    return Trial(views[first.version], check, first.instance.state == "completed", met)


def _nominate(view: Situation) -> Candidate | None:
    met = [role for role in view.roles if is_met(view, role)] if is_open(view) else []
    if not met:
        return None
    return nominate_quest(view.event, (), Appraisal(view.entry.values), met, view.user, view.cohorts)[0]


def _place(instance: Instance, meeting: Meeting) -> Instance:
    """The instance at the version that its next event is met under."""
    return replace(instance, campaign_version=meeting.under(instance.campaign_version).campaign_version)


def _explain_still(standing: Sequence[Instance], newest: int, *, lapsed: bool) -> Check:
    message = "the event moves no instance of the quest on" + (": the open one has lapsed" if lapsed else "")
    kept = [each for each in standing if each.campaign_version != newest]
    if kept and not lapsed:
        message += f": instance {kept[0].name} goes on under version {kept[0].campaign_version}"
    instances = [describe_instance(each) for each in standing[:MAX_SHOWN]] or None
    return Check(check="quest", passed=False, reason="quest", message=message, instances=instances)


def _describe_move(moved: Moved, newest: int) -> str:
    instance = moved.instance
    steps = ", ".join(f"{step.name} {step.done} of {step.needed}" for step in instance.steps)
    verb = "completes" if instance.state == "completed" else "moves on"
    kept = f" under version {moved.version}" if moved.version != newest else ""
    return f"{verb} instance {instance.name} of the quest{kept}: {steps}"
