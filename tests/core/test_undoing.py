"""Instances without what was reversed: parts in any order come to the same, and a recount of what is left explains it."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from fillip.core.instance import replay
from fillip.core.quest import Quest, Start, Step, Streak
from fillip.core.questing import InstanceKey
from fillip.core.undoing import Going, undo

from .test_quest import Log, meeting

PLACE = InstanceKey("acme", "c", "ada", "", 1)
STEPS = (
    Step("spend", "BUY", sum="event.cents", at_least=20),
    Step("visit", "BUY", count=3),
    Step("come", "BUY", streak=Streak(2, "day", 1)),
)
EVENTS = st.lists(
    st.builds(
        lambda day, steps, cents: meeting(day * 86_400, steps=tuple(sorted(steps)), amounts={0: cents}),
        st.integers(0, 6),
        st.sets(st.integers(0, 2), min_size=1),
        st.integers(-9, 15),
    ),
    min_size=1,
    max_size=12,
)
PARTS = st.lists(st.tuples(st.integers(0, 11), st.integers(1, 4)), max_size=12)
"""(which event, how many quarters of it)"""


def go(events, ordered):
    """The one instance after these, with what they gave."""
    quest = Quest(STEPS, Start("campaign"), ordered=ordered)
    log = Log(quest).play(*events)
    return {PLACE: Going(quest, log.instances["", 1], tuple(log.met["", 1]))} if log.met.get(("", 1)) else {}


@given(EVENTS, PARTS, st.booleans())
def test_parts_come_to_what_they_add_up_to_and_a_recount_explains_the_steps(events, parts, ordered):
    quarters: dict[str, int] = {}
    goings, at_once = go(events, ordered), go(events, ordered)
    for which, more in parts:
        event_id = f"e{which + 1}"
        quarters[event_id] = min(4, quarters.get(event_id, 0) + more)
        undo(goings, "acme", event_id, Fraction(quarters[event_id], 4))
    for event_id, reached in quarters.items():
        undo(at_once, "acme", event_id, Fraction(reached, 4))
    for place, going in goings.items():
        assert going.contributions == at_once[place].contributions
        assert all(c.reversed == _expect(c, quarters.get(c.event_id, 0)) for c in going.contributions)
        again = replay(going.quest, going.instance, going.contributions)
        assert going.instance.state != "completed" or again.state == "completed"
        if again.state != "completed":
            assert (again.steps, again.state) == (going.instance.steps, going.instance.state)
        assert going.instance.state == "completed" or not all(step.met for step in going.instance.steps)


def _expect(contribution, quarters):
    if quarters == 4:
        return contribution.amount
    return int(contribution.amount * quarters / 4) if contribution.step == "spend" else 0


@given(EVENTS, PARTS, st.booleans())
def test_the_reward_is_lost_once_for_each_completion_and_only_by_what_the_share_reaches(events, parts, ordered):
    goings = go(events, ordered)
    lost = 0
    for number, (which, _) in enumerate(parts):
        before = dict(goings)
        undone = undo(goings, "acme", f"e{which + 1}", Fraction(number + 1, len(parts)))
        lost += sum(each.completed_by is not None for each in undone)
        assert all(before[each.place] != goings[each.place] for each in undone if each.taken)
        assert {each.place for each in undone} >= {place for place in goings if goings[place] != before[place]}
    assert lost <= 1


def test_a_step_that_a_new_version_left_met_stays_met_while_it_loses_nothing():
    steps = (Step("visit", "BUY"), Step("spend", "BUY", sum="event.cents", at_least=20))
    log = Log(Quest(steps)).play(meeting(0, steps=(0,)))
    log.quest = Quest((Step("visit", "BUY", count=3), steps[1]))
    log.play(meeting(1, steps=(1,), amounts={1: 30}, campaign_version=2))
    goings = {PLACE: Going(log.quest, log.instances["", 1], tuple(log.met["", 1]))}
    undo(goings, "acme", "e2", Fraction(1, 3))
    assert goings[PLACE].instance.state == "completed", "the sum is reached all the same"
    undo(goings, "acme", "e2", Fraction(1))
    assert [(step.met, step.done) for step in goings[PLACE].instance.steps] == [(True, 3), (False, 0)]
    undo(goings, "acme", "e1", Fraction(1))
    assert goings[PLACE].instance.state == "reversed"
