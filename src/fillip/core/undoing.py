"""Quest instances without what was reversed of an event. Pure.

A part lowers what the event gave to sums, by term x share rounded toward zero; steps by count, once or streak lose the
event with the whole alone. An instance is then counted anew from all that is left, in its old window and under the
version that it stands under; a step that was met and lost nothing stays met, also where that version asks for more.
Where it was complete and no longer is, its reward has lost its ground; nothing completes by a reversal alone.
"""

from collections.abc import Mapping, MutableMapping
from fractions import Fraction
from itertools import takewhile

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.instance import Contribution, Instance, QuestState, fresh_steps, hold_back, replay
from fillip.core.quest import Quest
from fillip.core.questing import InstanceKey


class Going(Struct, frozen=True):
    """An instance with the version of its quest and what events gave to its steps, in the order in which they did."""

    quest: Quest
    instance: Instance
    contributions: tuple[Contribution, ...]

    def involves(self, event_id: str) -> bool:
        """Whether the event opened it or gave to it."""
        return event_id in (self.instance.start_event_id, *(each.event_id for each in self.contributions))


class Undone(Struct, frozen=True):
    """An instance that a share of an event was taken out of; `completed_by` is the event whose grant lost its ground.

    `lowered` are the event's contributions as they stand now, `taken` what each of their steps has just lost.
    """

    place: InstanceKey
    was: QuestState
    instance: Instance
    completed_by: str | None
    lowered: tuple[Contribution, ...]
    taken: Mapping[str, int]


def list_involved(goings: Mapping[InstanceKey, Going], tenant_id: str, event_id: str) -> list[InstanceKey]:
    """The instances, of those that stand, that the event opened or gave to."""
    return [
        place
        for place, going in goings.items()
        if place.tenant_id == tenant_id and going.instance.state != "reversed" and going.involves(event_id)
    ]


def undo(goings: MutableMapping[InstanceKey, Going], tenant_id: str, event_id: str, share: Fraction) -> list[Undone]:
    """Take an event, of which `share` is reversed by now, out of the instances that it is in; moves `goings` on.

    Those that the share does not reach are left out of the answer.
    """
    undone = []
    for place in list_involved(goings, tenant_id, event_id):
        going = goings[place]
        given = tuple(
            _lower(going.quest, each, share) if each.event_id == event_id else each for each in going.contributions
        )
        if share < 1 and given == going.contributions:
            continue
        before, after = going.instance, _recount(going, given, event_id if share == 1 else None)
        lost = before.state == "completed" and after.state != "completed"
        pairs = [(old, new) for old, new in zip(going.contributions, given, strict=True) if old != new]
        taken = {new.step: new.reversed - old.reversed for old, new in pairs}
        completed_by = given[-1].event_id if lost else None
        undone.append(Undone(place, before.state, after, completed_by, tuple(new for _, new in pairs), taken))
        goings[place] = replace(going, instance=after, contributions=given)
    return undone


def _lower(quest: Quest, contribution: Contribution, share: Fraction) -> Contribution:
    is_sum = any(step.sum is not None for step in quest.steps if step.name == contribution.step)
    reach = share if is_sum or share == 1 else Fraction(0)
    return replace(contribution, reversed=int(contribution.amount * reach))


def _recount(going: Going, given: tuple[Contribution, ...], gone: str | None) -> Instance:
    """The instance by what is left of `given`, after `gone`, if any, was taken out of it in whole.

    It is `reversed` where its enrolling event is gone, or the first and all later steps. Otherwise it keeps its window;
    one that was lapsed stays so, and one that is complete all the same stays as it was decided.
    """
    before, at = going.instance, going.quest.start.at
    enrolling = at == "event" and before.start_event_id == gone
    if gone and (enrolling or (at == "first_step" and not any(each.left for each in given))):
        return replace(before, state="reversed", steps=fresh_steps(going.quest))
    after = replay(going.quest, before, given, _list_standing(going, given))
    if after.state == "completed":
        after = replace(after, state=before.state)
        return after if before.state in ("completed", "denied") else hold_back(after)
    return replace(after, state="lapsed") if before.state == "lapsed" else after


def _list_standing(going: Going, given: tuple[Contribution, ...]) -> list[str]:
    """The steps that are met and have lost nothing; in an ordered quest nor has any before them."""
    lost = {new.step for old, new in zip(going.contributions, given, strict=True) if old != new}
    steps = going.instance.steps
    whole = takewhile(lambda state: state.name not in lost, steps) if going.quest.ordered else steps
    return [state.name for state in whole if state.met and state.name not in lost]
