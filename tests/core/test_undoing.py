"""Instances without what was reversed: parts in any order come to the same, and a recount of what is left explains it."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fillip.core.campaign.quest import Quest, Start, Step, Streak
from fillip.core.quest.batch import InstanceKey
from fillip.core.quest.instance import Contribution, replay
from fillip.core.quest.reversal import InstanceHistory, InstanceReversal, Recount, _list_standing, close, lower, recount
from fillip.core.quest.step import restart
from tests.core.test_quest import Log, forget_times, name, quest_event

PLACE = InstanceKey("acme", "c", "ada", "", 1)
STEPS = (
    Step("spend", "BUY", sum="event.cents", at_least=20),
    Step("visit", "BUY", count=3),
    Step("come", "BUY", streak=Streak(2, "day", 1)),
    Step("friend", "BUY", distinct="event.friend", count=3),
)
EVENTS = st.lists(
    st.builds(
        lambda day, steps, cents, friend: quest_event(
            day * 86_400, steps=tuple(sorted(steps)), amounts={0: cents}, distinct={3: friend}
        ),
        st.integers(0, 6),
        st.sets(st.integers(0, 3), min_size=1),
        st.integers(-9, 15),
        st.sampled_from(["bo", "cy", "di", "ed"]),
    ),
    min_size=1,
    max_size=12,
)
PARTS = st.lists(st.tuples(st.integers(0, 11), st.integers(1, 4)), max_size=12)
"""(which event, how many quarters of it)"""


class Path:
    """One instance after some events, with what they gave; `undo` as the ledger does it, or by a replay alone."""

    def __init__(self, quest: Quest, log: Log) -> None:
        self.going = InstanceHistory(quest, log.instances["", 1])
        self.given: list[Contribution] = list(log.met["", 1])
        self.replayed = 0

    def undo(self, event_id: str, share: Fraction, *, by_replay: bool = False) -> InstanceReversal | None:
        key = name(event_id)
        if self.going.instance.state == "reversed" or key not in {each.event_key for each in self.given}:
            return None
        lowering = lower(self.going, [each for each in self.given if each.event_key == key], key, share)
        if lowering is None:
            return None
        now = {(each.step, each.event_key): each for each in lowering.lowered}
        self.given = [now.get((each.step, each.event_key), each) for each in self.given]
        counted = recount(lowering)
        if by_replay and any(state.left for state in lowering.steps):
            pairs, standing = zip(self.going.quest.steps, lowering.steps, strict=True), _list_standing(lowering)
            begun = tuple(state if state.name in standing else restart(step, state) for step, state in pairs)
            counted = Recount(begun, {state.name for state in begun})
        self.replayed += bool(counted.replayed)
        asked_for = [each for each in self.given if each.step in counted.replayed]
        done = close(PLACE, lowering, replay(self.going.quest, counted.steps, asked_for))
        self.going = replace(self.going, instance=done.instance)
        return done

    def undo_counted(self, event_id: str, share: Fraction) -> InstanceReversal:
        """The same of an event that counted for it."""
        undone = self.undo(event_id, share)
        assert undone is not None, f"{event_id} gave it nothing"
        return undone


def go(events, ordered, at="campaign", steps=STEPS):
    """The one instance after these; None where they gave nothing."""
    quest = Quest(steps, Start(at), ordered=ordered)
    log = Log(quest).play(*events)
    return Path(quest, log) if log.met.get(("", 1)) else None


@given(EVENTS, PARTS, st.booleans())
def test_parts_come_to_what_they_add_up_to_and_a_recount_explains_the_steps(events, parts, ordered):
    path, at_once, replayed = go(events, ordered), go(events, ordered), go(events, ordered)
    if path is None:
        return
    quarters: dict[str, int] = {}
    for which, more in parts:
        event_id = f"e{which + 1}"
        quarters[event_id] = min(4, quarters.get(event_id, 0) + more)
        share = Fraction(quarters[event_id], 4)
        assert path.undo(event_id, share) == replayed.undo(event_id, share, by_replay=True)
    for event_id, quarter in quarters.items():
        at_once.undo(event_id, Fraction(quarter, 4))
    assert path.given == at_once.given
    reached = {name(event_id): quarter for event_id, quarter in quarters.items()}
    assert all(c.reversed == _expect(c, reached.get(c.event_key, 0)) for c in path.given)
    instance = path.going.instance
    begun = tuple(map(restart, path.going.quest.steps, instance.steps))
    again = replay(path.going.quest, begun, path.given)
    if not all(step.met for step in again):
        assert again == forget_times(instance.steps)
        assert instance.state == "open"
    assert instance.state == "completed" or not all(step.met for step in instance.steps)


def test_a_long_sum_is_counted_anew_without_its_events_and_a_raised_one_with_them():
    events = [quest_event(n, steps=(0,), amounts={0: cents}) for n, cents in enumerate([9, -9, 9, 9, 8])]
    quest = Quest(STEPS[:1], Start("campaign"))
    path = Path(quest, Log(quest).play(*events))
    path.undo("e1", Fraction(1, 3))
    path.undo("e5", Fraction(1))
    assert (path.going.instance.steps[0].done, path.replayed) == (15, 0)
    path.undo("e2", Fraction(1))
    assert (path.going.instance.steps[0].done, path.replayed) == (19, 1), (
        "any may have reached 20 now; one more is wanted"
    )


def _expect(contribution, quarters):
    if quarters == 4:
        return contribution.amount
    return int(contribution.amount * quarters / 4) if contribution.step == "spend" else 0


@given(EVENTS, PARTS, st.booleans())
def test_the_reward_is_lost_once_for_each_completion_and_only_by_what_the_share_reaches(events, parts, ordered):
    if (path := go(events, ordered)) is None:
        return
    lost = 0
    for number, (which, _) in enumerate(parts):
        before = path.going
        undone = path.undo(f"e{which + 1}", Fraction(number + 1, len(parts)))
        lost += bool(undone and undone.completed_by)
        assert before != path.going if undone and undone.taken else undone or before == path.going
    assert lost <= 1


EASY = (Step("visit", "BUY"), STEPS[0], STEPS[2])


STARTS = st.sampled_from(["campaign", "first_step", "first_step"])


@settings(max_examples=200)
@given(EVENTS, PARTS, st.booleans(), STARTS, st.sampled_from([STEPS, EASY, EASY]))
def test_each_step_that_fell_is_told_and_what_could_not_have_begun_is_reversed(events, parts, ordered, at, steps):
    if (path := go(events, ordered, at, steps)) is None:
        return
    quarters: dict[str, int] = {}
    for which, more in parts:
        before, key = path.going.instance, path.given[which % len(path.given)].event_key
        event_id = next(each for each in (f"e{n + 1}" for n in range(len(events))) if name(each) == key)
        quarters[event_id] = min(4, quarters.get(event_id, 0) + more)
        undone = path.undo(event_id, Fraction(quarters[event_id], 4))
        if undone is None:
            continue
        after = path.going.instance
        pairs = list(zip(before.steps, after.steps, strict=True))
        fell = {old.name: (old.done, new.done) for old, new in pairs if new.done < old.done}
        told = {each.step: (each.was, each.done) for each in undone.taken}
        given_to = {each.step for each in undone.lowered}
        assert fell.keys() | given_to == told.keys()
        assert fell.items() <= told.items()
        assert {each.step for each in undone.taken if each.amount} == given_to
        first = steps[:1] if ordered else steps
        left = any(each.left and each.step in {step.name for step in first} for each in path.given)
        assert (after.state == "reversed") == (at == "first_step" and quarters[event_id] == 4 and not left)


ONE_BY_ONE = (Step("view", "VIEW", count=2), Step("buy", "BUY"), Step("rate", "RATE"))


def test_what_counted_behind_a_step_that_fell_counts_no_more_and_is_told():
    told = [quest_event(n, steps=(step,)) for n, step in enumerate((0, 0, 1, 2))]
    quest = Quest(ONE_BY_ONE)
    path = Path(quest, Log(quest).play(*told))
    undone = path.undo_counted("e1", Fraction(1))
    assert [(each.step, each.amount, each.was, each.done) for each in undone.taken] == [
        ("view", 1, 2, 1),
        ("buy", 0, 1, 0),
        ("rate", 0, 1, 0),
    ]
    assert (undone.instance.state, undone.completed_by) == ("open", name("e4"))
    undone = path.undo_counted("e2", Fraction(1))
    assert [(each.step, each.amount, each.was, each.done) for each in undone.taken] == [("view", 1, 1, 0)]
    assert undone.instance.state == "reversed", "no view is left: nothing could have opened it"


def test_an_instance_that_began_with_the_campaign_or_an_enrolment_stands_without_its_steps():
    for start in (Start("campaign"), Start("event", "JOIN")):
        quest = Quest(ONE_BY_ONE[1:], start)
        join = [quest_event(0, steps=(), starts=True)] if start.at == "event" else []
        log = Log(quest).play(*join, quest_event(1, steps=(0,)), quest_event(2, steps=(1,)))
        path = Path(quest, log)
        undone = path.undo_counted(f"e{len(join) + 1}", Fraction(1))
        assert (undone.instance.state, [step.done for step in undone.instance.steps]) == ("open", [0, 0])


def test_a_step_that_a_new_version_left_met_stays_met_while_it_loses_nothing():
    steps = (Step("visit", "BUY"), Step("spend", "BUY", sum="event.cents", at_least=20))
    log = Log(Quest(steps)).play(quest_event(0, steps=(0,)))
    log.quest = Quest((Step("visit", "BUY", count=3), steps[1]))
    log.play(quest_event(1, steps=(1,), amounts={1: 30}, campaign_version=2))
    path = Path(log.quest, log)
    path.undo("e2", Fraction(1, 3))
    lowered = path.going.instance
    assert lowered.state == "completed", "the sum is reached all the same"
    path.undo("e2", Fraction(1))
    assert [(step.met, step.done) for step in path.going.instance.steps] == [(True, 3), (False, 0)]
    path.undo("e1", Fraction(1))
    assert path.going.instance.state == "reversed"
