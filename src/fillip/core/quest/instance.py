"""The life of quest instances: opened, moved on step by step, completed once.

    (none) --start--> open --last step--> completed   (or denied, when the grant is then refused)
                      open --an event after the window and its lateness--> lapsed
               open, lapsed --another begins, and the quest can't be repeated--> closed

An instance takes an event iff the event's time lies in its window, both ends included, and the event's clock time
(broker time; in a tenant with clock `history` the event's own) is not past the window's end by more than the lateness.
`lapsed` is the mark that an event has found it over, and decides nothing: should one still come that it takes, it counts. So
it does not matter which event lapses an instance, nor which events find one that they don't count for; an event changes
nothing else of it. A history may be told in any order, so what is over for one event is not for the next: where a quest
can't be repeated, an instance is closed for good when another of its key begins, and one of them at most is completed.
Steps are met in log order, never re-sorted; an event counts in full for every instance. The days of a streak alone count
by the calendar, in whatever order they come (see core.streak).
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, datetime, timedelta
from operator import attrgetter
from typing import Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.book.route import EVERYWHERE, Route
from fillip.core.campaign.campaign import Schedule
from fillip.core.campaign.quest import Quest
from fillip.core.identity import name_instance
from fillip.core.instant import add_span
from fillip.core.local_day import find_day
from fillip.core.quest.step import StepState, add_event, carry, fresh_steps, list_waiting
from fillip.core.quest.streak import is_closed, list_left_out

QuestState = Literal["open", "completed", "denied", "lapsed", "closed", "reversed"]

MAX_OPEN, MAX_TOGETHER = 10_000, 100
"""Most instances of one quest that a user may have open (an event that would open another is denied `too_many_open`), and most of
them that one event may find: all where the quest has no route (see core.route), else those of one route.
"""
_OCCURRENCE = attrgetter("occurrence")


class Instance(Struct, frozen=True):
    """One go of a user at a quest; `occurrence` numbers those of one key from 1.

    `start_event_key` and what is with it name the event that opened it. `start_offset` is that one's place in the log:
    instances are served in this order. `start` are its attributes as sent, kept where a rule reads them; `route` is how
    events find it. `completed_by` is the key of the event that completed it.
    """

    key: str
    occurrence: int
    campaign_version: int
    state: QuestState
    started_at: datetime
    ends_at: datetime | None
    start_event_key: UUID | None
    start_event_id: str | None
    start_event_source: str | None
    start_offset: int
    steps: tuple[StepState, ...]
    start: dict[str, object] | None = None
    completed_by: UUID | None = None
    route: int = EVERYWHERE

    @property
    def is_unfinished(self) -> bool:
        """Whether events may still count for it, as far as its state goes."""
        return self.state in ("open", "lapsed")

    def is_waiting(self, first: datetime) -> bool:
        """Whether it is unfinished and ends at `first` or later."""
        return self.is_unfinished and (self.ends_at is None or self.ends_at >= first)

    @property
    def name(self) -> str:
        """What decisions and frames call it."""
        return name_instance(self.key, self.occurrence)


class Contribution(Struct, frozen=True):
    """What an event gave to a step: 1, or the term of its sum, and how much of it reversals have taken.

    `value` is the event's, of a step that counts different ones.
    """

    step: str
    event_key: UUID
    amount: int
    day: date
    reversed: int = 0
    value: str = ""

    @property
    def left(self) -> int:
        """What still counts of it; 0 when the event was reversed in whole."""
        return self.amount - self.reversed


class QuestEvent(Struct, frozen=True):
    """What one event means for one version of a quest.

    `starts`: it meets the start's rule. `steps` are the indexes of the steps whose rule holds as far as match can tell,
    `amounts` the terms of their sums, `distinct` the values of those that count different ones; `late_rule_holds(instance, step)` runs the part of the rule that reads `start` or
    `progress`. `key` is that of the instance it would open, `start` what that keeps of its attributes. `route` is how the version's instances are found,
    `routes` where those are that it can count for. `time_zone` and `day` are the tenant's, or the user's where the quest goes by that. `retained` is what it means for earlier versions in force, the first first.
    """

    quest: Quest
    campaign_version: int
    event_key: UUID
    source: str
    event_id: str
    occurred_at: datetime
    clock_at: datetime
    time_zone: str
    day: date
    sequence: int
    steps: tuple[int, ...] = ()
    starts: bool = False
    amounts: dict[int, int] = {}
    distinct: dict[int, str] = {}
    key: str = ""
    start: dict[str, object] | None = None
    schedule: Schedule = Schedule()
    late_rule_holds: Callable[[Instance, int], bool] = lambda instance, index: True
    route: Route | None = None
    routes: tuple[int, ...] = ()
    retained: tuple["QuestEvent", ...] = ()

    def under(self, campaign_version: int) -> "QuestEvent":
        """What the event means for an instance at a version: by the earliest one in force that is not before it.

        Where all are before it (the book is older than the instance) it is the newest.
        """
        if not self.retained:  # asked several times an event
            return self
        return next((each for each in self.retained if campaign_version <= each.campaign_version), self)

    @property
    def due_day(self) -> date:
        """The first day that is not over by more than the lateness when it comes."""
        return find_day(self.clock_at - timedelta(seconds=self.quest.lateness_s), self.time_zone)

    @property
    def opens(self) -> bool:
        """Whether it is an event that opens instances."""
        return self.quest.opens(starts=self.starts, steps=self.steps)

    def place(self, start: dict[str, object] | None) -> int:
        """The route of an instance that was opened by an event with these attributes."""
        return self.route.place(start) if self.route else EVERYWHERE

    def list_routes(self) -> set[int] | None:
        """Where all instances are that the event can count for, or stand beside one that it opens; None: anywhere.

        A quest that has a route keeps it (see manage.quest_rules), so what stands under an earlier version without one is
        EVERYWHERE.
        """
        if self.route is None:
            return None
        found = {EVERYWHERE, *self.routes, *(route for version in self.retained for route in version.routes)}
        return found | {self.place(self.start)} if self.opens else found


class Transition(Struct, frozen=True):
    """An instance after an event that was met under `version`, and what the event gave to its steps."""

    instance: Instance
    version: int
    met: tuple[Contribution, ...] = ()


class Advance(Struct, frozen=True):
    """What an event does to a user's instances of a quest, in order of their start.

    `refused` is the instance that it would have opened, had the user not too many open.
    """

    moved: Sequence[Transition]
    refused: Instance | None = None


def advance(known: Iterable[Instance], quest_event: QuestEvent, open_now: int = 0) -> Advance:
    """Let an event lapse instances, then open one, which may close another, then count for each that takes it.

    Each goes on under its own version (see QuestEvent.under); what opens does so under the newest.

    `known` are, of the user's unfinished instances, those that the event finds by its routes or its key, those whose
    window it lies in at least; and the newest of the event's key. Those that nothing happens to are left out of the
    answer. `open_now` is how many are open, also where they are not known.
    """
    before = list(known)
    if len(before) > 1:
        before.sort(key=lambda each: (each.start_offset, each.key, each.occurrence))
    current = [_lapse(each, quest_event.under(each.campaign_version)) for each in before]
    opened = _open(current, quest_event)
    refused = None
    if opened and (open_now >= MAX_OPEN or _are_too_many(current, opened, quest_event)):
        opened, refused = None, opened
    if opened and not quest_event.quest.repeatable:
        current = [_close(each, opened) for each in current]
    told = []
    for old, each in zip(before, current, strict=True):
        under = quest_event.under(each.campaign_version)
        if moved := meet(each, under):
            told.append(moved)
        elif each is not old:
            told.append(Transition(each, under.campaign_version))
    if opened:
        told.append(meet(opened, quest_event) or Transition(opened, quest_event.campaign_version))
    return Advance(told, refused)


def _are_too_many(current: Sequence[Instance], opened: Instance, quest_event: QuestEvent) -> bool:
    """Whether every event that finds the one opened finds as many already that are not over as one may find."""
    if len(current) < MAX_TOGETHER:
        return False
    alike = (each for each in current if quest_event.route is None or each.route in (EVERYWHERE, opened.route))
    return sum(each.is_unfinished and not is_over(each.ends_at, quest_event) for each in alike) >= MAX_TOGETHER


def meet(instance: Instance, quest_event: QuestEvent) -> Transition | None:
    """The instance after the event has counted for the steps that wait for it; None where it counts for none."""
    if not _takes(instance, quest_event):
        return None
    taken = migrate(instance, quest_event)
    states, met, quest, day = list(taken.steps), [], quest_event.quest, quest_event.day
    for index in list_waiting(quest, states):
        step = quest.steps[index]
        if index not in quest_event.steps:
            continue
        if step.streak and is_closed(step.streak, states[index].last, day, quest_event.due_day):
            continue
        amount, value = quest_event.amounts.get(index, 1), quest_event.distinct.get(index, "")
        skipped = list_left_out(quest, quest_event.time_zone) if step.streak else ()
        if quest_event.late_rule_holds(taken, index) and (
            state := add_event(step, states[index], amount, day, value, skipped)
        ):
            total, peak = state.total + amount, max(state.peak, state.total)
            met_at = quest_event.occurred_at if state.met else None
            states[index] = replace(state, total=total, peak=peak, left=state.left + 1, met_at=met_at)
            met.append(Contribution(state.name, quest_event.event_key, amount, day, value=value))
    if not met:
        return None
    if list_waiting(quest, states):
        after = replace(taken, steps=tuple(states), state="open")
    else:
        after = replace(taken, steps=tuple(states), state="completed", completed_by=quest_event.event_key)
    return Transition(after, quest_event.campaign_version, tuple(met))


def replay(
    quest: Quest, steps: Sequence[StepState], contributions: Iterable[Contribution], skipped: Collection[date] = ()
) -> tuple[StepState, ...]:
    """The steps after what is left of these contributions, in order, has counted once more; see core.streak for `skipped`.

    What was once counted is not asked again whether its rule holds, or whether it came in time. A contribution to a step whose turn has not come,
    or which is met without it, gives nothing.
    """
    states = list(steps)
    for each in contributions:
        for index in list_waiting(quest, states) if each.left else ():
            if states[index].name == each.step and (
                state := add_event(quest.steps[index], states[index], each.left, each.day, each.value, skipped)
            ):
                states[index] = state
    return tuple(states)


def migrate(instance: Instance, quest_event: QuestEvent) -> Instance:
    """An open or lapsed instance of an earlier version under the event's: steps of the same name keep how far they are.

    Nothing completes by the change alone: a step that was not met before still wants one event, and where all that is
    left was met, the last one does.
    """
    if instance.campaign_version >= quest_event.campaign_version or not instance.is_unfinished:
        return instance
    old = {state.name: state for state in instance.steps}
    states = [carry(old.get(fresh.name, fresh), fresh.needed) for fresh in fresh_steps(quest_event.quest)]
    route = quest_event.place(instance.start) if quest_event.route else instance.route
    return hold_back(replace(instance, steps=tuple(states), campaign_version=quest_event.campaign_version, route=route))


def hold_back(instance: Instance) -> Instance:
    """If a change alone made every step met, lower the last by one: only an event completes a quest."""
    *others, last = instance.steps
    if all(state.met for state in instance.steps):
        return replace(instance, steps=(*others, replace(last, done=last.needed - 1, met_at=None)))
    return instance


def _takes(instance: Instance, quest_event: QuestEvent) -> bool:
    if not instance.is_unfinished or quest_event.occurred_at < instance.started_at:
        return False
    if instance.ends_at is None:
        return True
    return quest_event.occurred_at <= instance.ends_at and not is_over(instance.ends_at, quest_event)


def is_over(ends_at: datetime | None, quest_event: QuestEvent) -> bool:
    """Whether an event comes later than the end of a window and the lateness."""
    if ends_at is None or quest_event.clock_at <= ends_at:  # mostly: to add a span takes longer
        return False
    return quest_event.clock_at > add_span(ends_at, quest_event.quest.lateness_s)


def _lapse(instance: Instance, quest_event: QuestEvent) -> Instance:
    over = instance.state == "open" and is_over(instance.ends_at, quest_event)
    return replace(instance, state="lapsed") if over else instance


def _close(instance: Instance, follower: Instance) -> Instance:
    """The same, closed where the other is the next of its key."""
    is_next = (instance.key, instance.occurrence + 1) == (follower.key, follower.occurrence)
    return replace(instance, state="closed") if is_next and instance.is_unfinished else instance


def find_end(known: Iterable[Instance], quest_event: QuestEvent) -> Instance | None:
    """What ends a quest for the event's user, so that no event of its key and time counts or opens another: an instance that is done with
    where the quest can't be repeated, or the one that would begin, where the window that all share is over.

    `known` has, of the event's key, what waits and the newest. Of a quest with several keys an event that opens none has no key.
    """
    if quest_event.quest.instance != "user" and not quest_event.opens:
        return None
    newest, blocking = _look(known, quest_event)
    found = blocking or _begin(newest, quest_event)
    return None if _takes(found, quest_event) else found


def _look(known: Iterable[Instance], quest_event: QuestEvent) -> tuple[Instance | None, Instance | None]:
    """Of the instances of the event's key the newest, and one that stands in the way of another."""
    same = [instance for instance in known if instance.key == quest_event.key]
    newest = max(same, key=_OCCURRENCE) if len(same) > 1 else same[0] if same else None
    for one in same:
        if _blocks(one, newest, quest_event):
            return newest, one
    return newest, None


def _open(known: Sequence[Instance], quest_event: QuestEvent) -> Instance | None:
    """The instance that the event opens, if it may."""
    if not quest_event.opens:
        return None
    newest, blocking = _look(known, quest_event)
    if blocking:
        return None
    instance = _begin(newest, quest_event)
    return instance if _takes(instance, quest_event) and _is_admitted(instance, quest_event) else None


def _begin(newest: Instance | None, quest_event: QuestEvent) -> Instance:
    """The next instance of the event's key."""
    quest = quest_event.quest
    from_campaign = quest.start.at == "campaign"
    started_at = (quest_event.schedule.starts_at if from_campaign else None) or quest_event.occurred_at
    ends_at = quest_event.schedule.ends_at if quest.window_s is None else add_span(started_at, quest.window_s)
    return Instance(
        key=quest_event.key,
        occurrence=newest.occurrence + 1 if newest else 1,
        campaign_version=quest_event.campaign_version,
        state="open",
        started_at=started_at,
        ends_at=ends_at,
        start_event_key=None if from_campaign else quest_event.event_key,
        start_event_id=None if from_campaign else quest_event.event_id,
        start_event_source=None if from_campaign else quest_event.source,
        start_offset=quest_event.sequence,
        steps=fresh_steps(quest),
        start=quest_event.start,
        route=quest_event.place(quest_event.start),
    )


def _blocks(instance: Instance, newest: Instance | None, quest_event: QuestEvent) -> bool:
    """Whether an instance of the same key stands in the way of a new one: the newest, or one whose window is not past."""
    quest = quest_event.quest
    if not instance.is_unfinished:
        return instance is newest and instance.state != "reversed" and not quest.repeatable
    if is_over(instance.ends_at, quest_event.under(instance.campaign_version)):
        return instance is newest and quest.start.at == "campaign"
    within = instance.ends_at is None or quest_event.occurred_at <= instance.ends_at
    return within or (instance is newest and not quest.repeatable)


def _is_admitted(instance: Instance, quest_event: QuestEvent) -> bool:
    """Whether the step that is to open the instance counts for it, as far as its rule reads the instance."""
    if quest_event.quest.start.at != "first_step":
        return True
    waiting = [0] if quest_event.quest.ordered else quest_event.steps
    return any(index in quest_event.steps and quest_event.late_rule_holds(instance, index) for index in waiting)
