"""What an event means for a quest: whether it starts it, its steps with the terms of their sums, its key."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from fillip.core.book.version import Entry, Role
from fillip.core.campaign.campaign import KEY_PATH
from fillip.core.campaign.quest import Keyed
from fillip.core.event import Event
from fillip.core.limit import Touch
from fillip.core.match.candidate import Candidate
from fillip.core.match.reward_values import Appraisal
from fillip.core.naming import MAX_ID_BYTES, fits
from fillip.core.rule import RuleError


def nominate_quest(
    event: Event,
    touches: tuple[Touch, ...],
    worth: Appraisal,
    roles: Sequence[Role],
    user: Mapping[str, object],
    cohorts: frozenset[str],
) -> tuple[Candidate | None, int]:
    """The candidate that these roles of one quest make, and how many expressions failed.

    A step whose term fails is not met; an event that would open an instance whose key fails has no effect on the quest.
    """
    entry = roles[0].entry
    quest = entry.campaign.quest
    assert quest is not None, "only campaigns with a quest have steps"
    amounts, failed = _read_amounts(event, roles, user, cohorts)
    summing = {index for index, step in enumerate(quest.steps) if step.sum is not None}
    steps = tuple(r.step for r in roles if r.part == "step" and (r.step in amounts or r.step not in summing))
    starts, key = any(role.part == "start" for role in roles), ""
    if not starts and not steps:
        return None, failed
    if isinstance(quest.instance, Keyed) and quest.opens(starts=starts, steps=steps):
        try:
            key = _read_key(event, roles[0])
        except RuleError:
            return None, failed + 1
    routes = entry.route.find(steps, event.typed, user, cohorts) if entry.route else ()
    what = (starts, steps, amounts, key, routes, user, cohorts)
    return Candidate(entry, touches, worth.values, worth.refused, *what), failed


def nominate_versions(newest: Entry, found: Mapping[int, Candidate | None]) -> Candidate | None:
    """The one candidate of a quest, from what the event means by version; None where it means nothing to any."""
    if not any(found.values()):
        return None
    first, *kept = [found.get(each.version) or Candidate(each) for each in (newest, *newest.kept)]
    return replace(first, kept=tuple(kept))


def _read_amounts(
    event: Event, roles: Sequence[Role], user: Mapping[str, object], cohorts: frozenset[str]
) -> tuple[dict[int, int], int]:
    amounts, failed = {}, 0
    for role in roles:
        rule = role.entry.rules.get(f"quest.steps.{role.step}.sum")
        if rule is None:
            continue
        try:
            amounts[role.step] = int(rule(event.typed, user, cohorts))
        except RuleError:
            failed += 1
    return amounts, failed


def _read_key(event: Event, role: Role) -> str:
    key = str(role.entry.rules[KEY_PATH](event.typed, {}, frozenset()))
    if not fits(key) or "\0" in key:
        raise RuleError(f"the key is longer than {MAX_ID_BYTES} bytes, or holds a NUL")
    return key
