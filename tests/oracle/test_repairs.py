"""Repairs of streaks: the pure core against the reference model, among events and reversals, in any order."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec import convert
from msgspec.structs import replace

from fillip.core.campaign.campaign import Schedule
from fillip.core.campaign.quest import Quest
from fillip.core.quest import repair as repairing
from fillip.core.quest import reversal as undoing
from fillip.core.quest.instance import QuestEvent, Transition
from fillip.core.quest.step import StepState, restart
from fillip.core.repair import RepairOrder
from tests.builders import build_tenant
from tests.core.test_quest import Log, name, quest_event
from tests.core.test_undoing import Path
from tests.oracle.quest import Meeting, QuestLog
from tests.oracle.undoing import undo

BEGIN = datetime(2011, 12, 24, 12, tzinfo=UTC)
DAY, TAKEN = st.integers(0, 12), st.integers(1, 12)
COME, REPAIR, BACK = (
    st.tuples(st.just(word), what) for word, what in (("come", DAY), ("repair", st.integers(-2, 13)), ("back", TAKEN))
)
FEW_BACK = st.tuples(st.just("back"), st.integers(1, 2))
TOLD = st.one_of(
    st.lists(st.one_of(COME, COME, REPAIR, BACK), min_size=3, max_size=14),
    st.tuples(COME, REPAIR, FEW_BACK, REPAIR),
    st.tuples(COME, COME, REPAIR, FEW_BACK, REPAIR),
)
"""A day on which the user comes, one that is repaired, or the number of what is taken back: all told in their order, on the last day."""
QUESTS = st.builds(
    lambda length, unit, freeze, at, ordered, repeatable: {
        "steps": [
            {"name": "come", "action": "BUY", "streak": {"length": length, "unit": unit, "freeze": freeze}},
            {"name": "more", "action": "BUY", "count": 4},
        ],
        "start": {"at": at},
        "ordered": ordered,
        "repeatable": repeatable,
        "window_s": 11 * 86_400,
        "lateness_s": 30 * 86_400,
    },
    st.integers(2, 5),
    st.sampled_from(["day", "day", "day", "week"]),
    st.integers(0, 1),
    st.sampled_from(["campaign", "first_step"]),
    st.booleans(),
    st.booleans(),
)
ZONES = st.sampled_from(["UTC", "America/New_York"])


def play(quest, told, zone):
    """What the product and the model say of each word, and (state, done of each step) of every instance after it."""
    tenant, log, theirs = build_tenant(time_zone=zone, clock="live"), Log(convert(quest, Quest)), QuestLog()
    ours, models, number, back = [], [], 0, set()
    for word, what in told:
        said = mine = ""
        if word == "come":
            number += 1
            event = tell(number, tenant, BEGIN + timedelta(days=what))
            log.play(event)
            theirs.advance([meet(quest, event)])
        elif word == "repair":
            number += 1
            event = tell(number, tenant, BEGIN + timedelta(days=12))
            day = (BEGIN + timedelta(days=what)).date()
            mine, said = mend(log, event, day), theirs.repair(meet(quest, event), "come", day)
        elif what <= number and what not in back:
            back.add(what)
            take_back(log, f"e{what}")
            list(undo([("q", each) for each in theirs.instances.get(("q", "u"), ())], f"e{what}", Fraction(1)))
        shown = [(each.state, *(step.done for step in each.steps)) for each in log.instances.values()]
        ours.append((mine, shown))
        known = theirs.instances.get(("q", "u"), ())
        models.append((said, [(each.state, *(step.done for step in each.steps)) for each in known]))
    return ours, models


def tell(number, tenant, at) -> QuestEvent:
    clock_at = BEGIN + timedelta(days=12, minutes=number)
    plain = quest_event(steps=(0, 1), schedule=Schedule(starts_at=BEGIN), time_zone=tenant.time_zone)
    return replace(
        plain, occurred_at=at, clock_at=clock_at, day=tenant.local_day(at), sequence=number, event_id=f"e{number}"
    )


def meet(quest, event: QuestEvent) -> Meeting:
    return Meeting(
        name=("q", "u"),
        event=event.event_id,
        version=1,
        quest=quest,
        occurred_at=event.occurred_at,
        clock_at=event.clock_at,
        zone=event.time_zone,
        offset=event.sequence,
        starts=False,
        amounts={0: 1, 1: 1},
        key="",
        campaign_starts_at=BEGIN,
        campaign_ends_at=None,
    )


def mend(log: Log, event: QuestEvent, day) -> str:
    """As the batch does it."""
    order = RepairOrder("q", "come", day, "asked")
    asked = replace(event, quest=log.quest, event_key=name(event.event_id))
    log.sequence += 1
    instance = repairing.choose_instance(order, log.instances.values())
    done = repairing.repair(instance, order, asked)
    if not isinstance(done, Transition):
        return done
    place = (done.instance.key, done.instance.occurrence)
    log.instances[place] = done.instance
    log.met[place] += done.met
    return "repaired"


def take_back(log: Log, event_id: str) -> None:
    for place in list(log.instances):
        path = Path(log.quest, log)
        path.going = replace(path.going, instance=log.instances[place])
        path.given = list(log.met[place])
        path.undo(event_id, Fraction(1))
        log.instances[place], log.met[place] = path.going.instance, path.given


def check(quest, told, zone):
    """Both say the same."""
    ours, models = play(quest, told, zone)
    assert ours == models


@given(QUESTS, TOLD, ZONES)
def test_what_is_repaired_is_what_the_model_repairs(quest, told, zone):
    check(quest, told, zone)


FAULTS = {
    "a repair that forgets what was before the gap": lambda patch: patch.setattr(
        repairing, "join_day", lambda streak, newest, days, day, skipped: (max(newest or day, day), "1")
    ),
    "a second repair after a reversal": lambda patch: patch.setattr(
        undoing, "restart", lambda step, state: replace(restart(step, state), repaired_by=None)
    ),
    "an instance that stands on its repair alone": lambda patch: patch.setattr(
        StepState, "begun", property(lambda self: self.left)
    ),
    "a day outside of the window": lambda patch: patch.setattr(repairing, "_refuse_day", lambda *_: None),
    "a repair that joins nothing": lambda patch: patch.setattr(repairing, "measure", lambda *_: 1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch):
    FAULTS[fault](monkeypatch)
    play_all = settings(max_examples=3_000, database=None, phases=(Phase.generate,), deadline=None)
    with pytest.raises(AssertionError):
        play_all(given(QUESTS, TOLD, ZONES)(check))()
