"""Quest instances without what was reversed of an event. Pure.

A part lowers what the event gave to sums, by term x share rounded toward zero; steps by count, once or streak lose the
event with the whole alone. An instance is then counted anew from all that is left, in its old window and under the
version that it stands under; a step that was met and lost nothing stays met, also where that version asks for more.
Where it was complete and no longer is, its reward has lost its ground; nothing completes by a reversal alone.

Counting anew needs no event as long as order decides nothing: a count or a sum that no event but the last can have
brought to its goal has come as far as its events add up to (StepState.total, .peak). Otherwise, for streaks, and where different
values count, the events of a step are replayed in their order: of one whose value is left another may have it too.
"""

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from itertools import takewhile
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.campaign.quest import Quest
from fillip.core.quest.batch import InstanceKey
from fillip.core.quest.instance import Contribution, Instance, QuestState, hold_back
from fillip.core.quest.step import StepState, fresh_steps, restart


class InstanceHistory(Struct, frozen=True):
    """An instance that stands (not `reversed`), with the version of its quest that it is at."""

    quest: Quest
    instance: Instance


class Lowering(Struct, frozen=True):
    """What a share of an event takes out of an instance: `taken` is what each step loses, `lowered` are the event's
    contributions that it changes, as they stand now, and `steps` as they were but for their sums.

    `gone` is the key of the event where nothing is left of it.
    """

    history: InstanceHistory
    steps: tuple[StepState, ...]
    lowered: tuple[Contribution, ...]
    taken: Mapping[str, int]
    gone: UUID | None


class Recount(Struct, frozen=True):
    """The steps counted anew; those of `replayed` stand at their beginning, since the order of their events matters."""

    steps: tuple[StepState, ...]
    replayed: Collection[str] = ()


class StepTaken(Struct, frozen=True):
    """What a reversal did to a step that fell, or that the event had given to: how far it `was`, and is `done`.

    `amount` is what was taken of the event's own contribution: 0 where the step fell with one before it.
    """

    step: str
    amount: int
    was: int
    done: int


class InstanceReversal(Struct, frozen=True):
    """An instance that a share of an event was taken out of; `completed_by` is the event whose grant lost its ground.

    `lowered` are the event's contributions as they stand now, `taken` the steps that it took from, in their order.
    """

    place: InstanceKey
    was: QuestState
    instance: Instance
    completed_by: UUID | None
    lowered: tuple[Contribution, ...]
    taken: tuple[StepTaken, ...]


def lower(history: InstanceHistory, given: Sequence[Contribution], event_key: UUID, share: Fraction) -> Lowering | None:
    """Take an event, of which `share` is reversed by now, out of what it has `given`; None where that reaches nothing."""
    pairs = [(old, _lower(history.quest, old, share)) for old in given]
    changed = [(old, new) for old, new in pairs if old != new]
    if share < 1 and not changed:
        return None
    taken = {new.step: new.reversed - old.reversed for old, new in changed}
    steps = tuple(_lower_sums(state, changed) for state in history.instance.steps)
    if share == 1:  # a repair that is taken back is none: there may be another
        steps = tuple(replace(each, repaired_by=None) if each.repaired_by == event_key else each for each in steps)
    return Lowering(history, steps, tuple(new for _, new in changed), taken, event_key if share == 1 else None)


def recount(lowering: Lowering) -> Recount:
    """Count the instance anew, as far as its sums tell."""
    quest, standing = lowering.history.quest, _list_standing(lowering)
    if _is_void(lowering):
        return Recount(fresh_steps(quest))
    steps, replayed = [], set[str]()
    waits, recounted = False, False  # in order: a step before is not met, or its events decide what counts behind it
    for step, state in zip(quest.steps, lowering.steps, strict=True):
        now = restart(step, state)
        if state.name in standing:
            now = state
        elif state.left and not waits:
            if step.streak or step.distinct is not None or state.peak >= step.needed or recounted:
                replayed.add(state.name)
            else:
                now = replace(now, done=state.total)
        if quest.ordered and state.name not in standing:
            waits |= not now.met and state.name not in replayed
            recounted = True
        steps.append(now)
    return Recount(tuple(steps), replayed)


def close(place: InstanceKey, lowering: Lowering, steps: tuple[StepState, ...]) -> InstanceReversal:
    """The instance with its steps counted anew.

    It is `reversed` where its enrolling event is gone, or nothing that it could have begun with is left. Otherwise it keeps its window;
    one that was lapsed or closed stays so, and one that is complete all the same stays as it was decided.
    """
    before, after = lowering.history.instance, replace(lowering.history.instance, steps=steps)
    if _is_void(lowering):
        after = replace(after, state="reversed", completed_by=None)
    elif not all(state.met for state in steps):
        state: QuestState = before.state if before.state in ("lapsed", "closed") else "open"
        after = replace(after, state=state, completed_by=None)
    elif before.state not in ("completed", "denied"):
        after = hold_back(after)
    lost = before.state == "completed" and after.state != "completed"
    completed_by = before.completed_by if lost else None
    return InstanceReversal(place, before.state, after, completed_by, lowering.lowered, _list_taken(lowering, after))


def _list_taken(lowering: Lowering, after: Instance) -> tuple[StepTaken, ...]:
    pairs = zip(lowering.history.instance.steps, after.steps, strict=True)
    taken = (StepTaken(now.name, lowering.taken.get(now.name, 0), was.done, now.done) for was, now in pairs)
    return tuple(each for each in taken if each.amount or each.done < each.was)


def _lower(quest: Quest, contribution: Contribution, share: Fraction) -> Contribution:
    is_sum = any(step.sum is not None for step in quest.steps if step.name == contribution.step)
    reach = share if is_sum or share == 1 else Fraction(0)
    return replace(contribution, reversed=int(contribution.amount * reach))


def _lower_sums(state: StepState, changed: Sequence[tuple[Contribution, Contribution]]) -> StepState:
    """A negative term that is taken back raises all sums behind it, so also the highest of them by that much at most."""
    for old, new in changed:
        if new.step == state.name:
            more = new.left - old.left
            gone = bool(old.left) - bool(new.left)
            state = replace(state, total=state.total + more, peak=state.peak + max(more, 0), left=state.left - gone)
    return state


def _is_void(lowering: Lowering) -> bool:
    """Whether nothing is left that the instance could have begun with: in order, only the first step's events are that."""
    quest = lowering.history.quest
    enrolling = quest.start.at == "event" and lowering.history.instance.start_event_key == lowering.gone
    first = lowering.steps[:1] if quest.ordered else lowering.steps
    nothing_left = quest.start.at == "first_step" and not any(state.begun for state in first)
    return lowering.gone is not None and (enrolling or nothing_left)


def _list_standing(lowering: Lowering) -> list[str]:
    """The steps that are met and have lost nothing; in an ordered quest nor has any before them."""
    ordered, lost = lowering.history.quest.ordered, lowering.taken
    whole = takewhile(lambda state: state.name not in lost, lowering.steps) if ordered else lowering.steps
    return [state.name for state in whole if state.met and state.name not in lost]
