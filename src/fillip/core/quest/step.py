"""Steps of a quest instance: how far one has come, and what an event adds to it. Pure."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.campaign.quest import Quest, Step
from fillip.core.quest.distinct import add_value
from fillip.core.quest.streak import join_day, measure


class StepState(Struct, frozen=True, omit_defaults=True):
    """How far a step has come of how far it must: events, different values, the sum, or days or weeks.

    Of a streak `last` is the first day of its newest unit, and `days` the units up to it (see core.streak). `values` are
    marks of those counted (see core.quest.distinct).
    What events gave to it in all, whatever became of `done`: `left` of them have something left, which adds up to
    `total`; the sum before the last of them, and before any other, was at most `peak`. `met_at` is when the event
    happened that met it; None too where it was met by a change of the quest, or counted anew after a reversal.
    `repaired_by` is the key of the event that repaired its streak, as long as that is not taken back.
    """

    name: str
    done: int
    needed: int
    last: date | None = None
    days: str = ""
    values: tuple[str, ...] = ()
    total: int = 0
    peak: int = 0
    left: int = 0
    met_at: datetime | None = None
    repaired_by: UUID | None = None

    @property
    def begun(self) -> int:
        """How many events have given to it that an instance can begin with: a repair is none."""
        return self.left - (self.repaired_by is not None)

    @property
    def met(self) -> bool:
        """Whether it is done; nothing is added to it then, so it stays so."""
        return self.done >= self.needed


def fresh_steps(quest: Quest) -> tuple[StepState, ...]:
    """The steps of a new instance."""
    return tuple([StepState(step.name, 0, step.needed) for step in quest.steps])


def restart(step: Step, state: StepState) -> StepState:
    """The step at its beginning, before anything is counted anew; what events gave to it in all stays known."""
    return replace(state, name=step.name, done=0, needed=step.needed, last=None, days="", values=(), met_at=None)


def list_waiting(quest: Quest, states: Sequence[StepState]) -> list[int]:
    """The places of the steps that the next event may count for."""
    waiting = []
    for index, state in enumerate(states):
        if state.done < state.needed:
            waiting.append(index)
            if quest.ordered:
                break
    return waiting


def add_event(
    step: Step, state: StepState, amount: int, day: date, value: str, skipped: Collection[date]
) -> StepState | None:
    """The step with one event more; None where the event gives nothing. A second one of a streak's day, or of a value, keeps it."""
    if step.distinct is not None:
        values = add_value(state.values, value)
        return replace(state, done=min(len(values), state.needed), values=values) if values else state
    if not step.streak:
        return replace(state, done=state.done + amount) if amount else None
    joined = join_day(step.streak, state.last, state.days, day, skipped)
    if joined is None or joined == (state.last, state.days):
        return joined and state
    last, days = joined
    return replace(state, done=measure(step.streak, days), last=last, days=days)


def carry(state: StepState, needed: int) -> StepState:
    """The step where it now needs so much: what was met stays met, and what was not is not met by that."""
    done = max(state.done, needed) if state.met else min(state.done, needed - 1)
    return replace(state, done=done, needed=needed)
