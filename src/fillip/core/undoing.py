"""Quest instances without an event that was reversed. Pure."""

from collections.abc import MutableMapping

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.instance import Contribution, Instance, QuestState, fresh_steps, replay
from fillip.core.quest import Quest
from fillip.core.questing import InstanceKey


class Going(Struct, frozen=True):
    """An instance with the version of its quest and what events gave to its steps, in their order."""

    quest: Quest
    instance: Instance
    contributions: tuple[Contribution, ...]


class Undone(Struct, frozen=True):
    """An instance that an event was taken out of; `completed_by` is the event whose grant has lost its ground."""

    place: InstanceKey
    was: QuestState
    instance: Instance
    completed_by: str | None


def undo(goings: MutableMapping[InstanceKey, Going], tenant_id: str, event_id: str) -> list[Undone]:
    """Take an event out of all instances that it opened or gave to; moves `goings` on."""
    undone = []
    for place, going in goings.items():
        before = going.instance
        took_part = event_id in (before.start_event_id, *(each.event_id for each in going.contributions))
        if place.tenant_id != tenant_id or not took_part or before.state == "reversed":
            continue
        after = _without(going, event_id)
        lost = before.state == "completed" and after.instance.state != "completed"
        completed_by = going.contributions[-1].event_id if lost and going.contributions else None
        undone.append(Undone(place, before.state, after.instance, completed_by))
        goings[place] = after
    return undone


def _without(going: Going, event_id: str) -> Going:
    """The instance by its other contributions alone.

    It is `reversed` where its enrolling event is gone, or the first and all later steps. Otherwise it keeps its window;
    one that was lapsed stays so, and one that is complete all the same stays as it was decided.
    """
    rest = tuple(each for each in going.contributions if each.event_id != event_id)
    before, at = going.instance, going.quest.start.at
    if (at == "event" and before.start_event_id == event_id) or (at == "first_step" and not rest):
        gone = replace(before, state="reversed", steps=fresh_steps(going.quest))
        return Going(going.quest, gone, rest)
    after = replay(going.quest, before, rest)
    if after.state == "completed" or before.state == "lapsed":
        after = replace(after, state=before.state)
    return Going(going.quest, after, rest)
