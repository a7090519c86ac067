"""Quest instances of the reference model without what was taken back of an event, as docs/guide/reversal.md tells it."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tests.oracle.quest import Instance, Progress, needed

Place = tuple[str, Instance]
"""An instance with its campaign."""


@dataclass(frozen=True)
class Undone:
    """An instance that something was taken out of; `lost` is the event that completed it, where it no longer is so.

    `taken` are the steps that fell, and those that the event had given to: what was taken of that, how far the step was, and
    how far it is.
    """

    campaign: str
    instance: str
    state: str
    taken: dict[str, tuple[int, int, int]]
    lost: str | None


def involves(instance: Instance, event: str) -> bool:
    """Whether the event opened the instance, or gave to it, and the instance stands."""
    return instance.state != "reversed" and event in (instance.opened_by, *(each.event for each in instance.given))


def undo(instances: Iterable[Place], event: str, share: Fraction) -> Iterator[Undone]:
    """Take an event, of which `share` is taken back by now, out of these. Those it does not reach are left out."""
    for campaign, instance in instances:
        if involves(instance, event):
            taken = dict(_lower(instance, event, share))
            if taken or share == 1:
                was, before = instance.state, [step.done for step in instance.steps]
                _recount(instance, taken.keys(), gone=event if share == 1 else None)
                lost = instance.completed_by if was == "completed" != instance.state else None
                fell = _tell_steps(instance, before, taken)
                yield Undone(campaign, instance.name, instance.state, fell, lost)


def _tell_steps(instance: Instance, before: Sequence[int], taken: Mapping[str, int]) -> dict[str, tuple[int, int, int]]:
    told = {}
    for step, was, now in zip(instance.quest["steps"], before, instance.steps, strict=True):
        if step["name"] in taken or now.done < was:
            told[step["name"]] = (taken.get(step["name"], 0), was, now.done)
    return told


def _lower(instance: Instance, event: str, share: Fraction) -> Iterator[tuple[str, int]]:
    """A sum loses its share of the term, rounded toward zero; every other step the whole, with the whole alone."""
    for given in instance.given:
        step = instance.quest["steps"][given.step]
        if given.event == event and (share == 1 or "sum" in step):
            before, given.reversed = given.reversed, int(given.amount * share)
            if given.reversed != before:
                yield step["name"], given.reversed - before


def _recount(instance: Instance, lost: Collection[str], gone: str | None) -> None:
    """Count anew what is left, in the order in which it came, by the instance's own version; `gone` is the event of
    which nothing is left.

    A step that was met stays so, unless it is among those that `lost` something or, in order, behind one.
    """
    at = instance.quest.get("start", {}).get("at", "first_step")
    steps, ordered = instance.quest["steps"], bool(instance.quest.get("ordered", True))
    left = [given for given in instance.given if given.amount != given.reversed]
    begun = [
        given for given in left if (given.step == 0 or not ordered) and not given.repairs
    ]  # what could have opened it
    if gone and ((at == "event" and instance.opened_by == gone) or (at == "first_step" and not begun)):
        instance.state, instance.steps = "reversed", [Progress() for _ in instance.steps]
        return
    touched = False
    for index, step in enumerate(steps):
        touched = step["name"] in lost or (ordered and touched)
        if touched or not instance.steps[index].met:
            instance.steps[index] = Progress()
    for given in left:
        if given.step in instance.list_waiting(ordered=ordered):
            instance.add(given.step, given.amount - given.reversed, given.day, given.value)
    if not instance.is_met:
        instance.state = instance.state if instance.state in ("lapsed", "closed") else "open"
    elif instance.state != "completed":
        _hold_back(instance)


def _hold_back(instance: Instance) -> None:
    """Nothing completes by a reversal alone: the last step still wants one event."""
    last = instance.steps[-1]
    last.done, last.met = needed(instance.quest["steps"][-1]) - 1, False
