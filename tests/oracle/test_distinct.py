"""Steps that count different values: the pure core against the reference model, with reversals, in any order."""

from fractions import Fraction

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec import convert

from fillip.core.campaign.quest import Quest
from tests.builders import T0
from tests.core.test_quest import Log, quest_event
from tests.core.test_undoing import Path
from tests.oracle.faults import FAULTS
from tests.oracle.quest import Meeting, QuestLog
from tests.oracle.undoing import undo

FRIENDS = st.sampled_from(["bo", "cy", "di"])
TOLD = st.lists(st.one_of(FRIENDS, FRIENDS, st.integers(1, 8)), min_size=1, max_size=12)
"""The friend of an event, or the number of the event that is taken back."""
QUESTS = st.builds(
    lambda count, ordered: {
        "steps": [
            {"name": "friend", "action": "INVITE", "distinct": "event.friend", "count": count},
            {"name": "more", "action": "INVITE", "count": 2},
        ],
        "start": {"at": "campaign"},
        "ordered": ordered,
    },
    st.integers(2, 3),
    st.booleans(),
)


def play(quest, told):
    """(state, done of each step) of the one instance after each word: as the product has it, and as the model does."""
    log, theirs = Log(convert(quest, Quest)), QuestLog()
    ours, models = [], []
    number, back = 0, dict[int, None]()
    for word in told:
        if isinstance(word, str):
            number += 1
            event = quest_event(number, steps=(0, 1), distinct={0: word})
            log.play(event)
            theirs.advance([_meet(quest, number, word)])
        elif word <= number and word not in back:
            back[word] = None
            _take_back(log, f"e{word}")
            list(undo([("q", each) for each in theirs.instances["q", "u"]], f"e{word}", Fraction(1)))
        ours.append([(each.state, *(step.done for step in each.steps)) for each in log.instances.values()])
        models.append(
            [(each.state, *(step.done for step in each.steps)) for each in theirs.instances.get(("q", "u"), ())]
        )
    return ours, models


def _meet(quest, number: int, friend: str) -> Meeting:
    at = quest_event(number).occurred_at
    return Meeting(
        name=("q", "u"),
        event=f"e{number}",
        version=1,
        quest=quest,
        occurred_at=at,
        clock_at=at,
        zone="UTC",
        offset=number,
        starts=False,
        amounts={0: 1, 1: 1},
        key="",
        campaign_starts_at=T0,
        campaign_ends_at=None,
        values={0: friend},
    )


def _take_back(log: Log, event_id: str) -> None:
    path = Path(log.quest, log)
    path.undo(event_id, Fraction(1))
    log.instances["", 1], log.met["", 1] = path.going.instance, path.given


def check(quest, told):
    """Both say the same."""
    ours, models = play(quest, told)
    assert ours == models


@given(QUESTS, TOLD)
def test_what_is_counted_is_what_the_model_counts(quest, told):
    check(quest, told)


PLANTED = [
    each
    for each in FAULTS
    if each.name in ("a value that counts twice", "a reversal that forgets who else had the value")
]


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found(fault, monkeypatch: pytest.MonkeyPatch):
    fault.plant(monkeypatch)
    play_all = settings(max_examples=1_000, database=None, phases=(Phase.generate,), deadline=None)
    with pytest.raises(AssertionError):
        play_all(given(QUESTS, TOLD)(check))()
