"""Steps that count different values: each once, whoever brings it, and by another event where one is taken back."""

from fractions import Fraction

import pytest
from msgspec.structs import replace

from fillip.core.campaign.campaign import Campaign, Schedule
from fillip.core.campaign.check_quest import check_quest, check_quest_change
from fillip.core.campaign.quest import Quest, Step, Streak
from tests.builders import build_campaign
from tests.core.test_quest import Log, play, quest_event
from tests.core.test_undoing import Path

INVITE = Step("friend", "INVITE", distinct="event.friend_id", count=3)
THREE_FRIENDS = Quest((INVITE,))


def invite(friend: str, after_s: float = 0):
    """One more invitation."""
    return quest_event(after_s, distinct={0: friend})


def invite_all(*friends: str) -> Path:
    """The one instance after these invitations."""
    return Path(THREE_FRIENDS, Log(THREE_FRIENDS).play(*(invite(friend, at) for at, friend in enumerate(friends))))


def test_the_third_different_friend_completes_however_often_the_others_came():
    often = [invite("bo"), invite("bo", 1), invite("cy", 2), invite("bo", 3)]
    assert play(THREE_FRIENDS, *often) == [("open", (2,))]
    assert play(THREE_FRIENDS, *often, invite("di", 4)) == [("completed", (3,))]


def test_each_instance_counts_for_itself():
    quest = replace(THREE_FRIENDS, repeatable=True)
    friends = [invite(friend, at) for at, friend in enumerate(["bo", "cy", "di", "bo", "bo"])]
    assert play(quest, *friends) == [("completed", (3,)), ("open", (1,))]


def test_a_friend_stays_counted_by_another_invitation_when_the_first_is_taken_back():
    path = invite_all("bo", "bo", "cy")
    undone = path.undo_counted("e1", Fraction(1))
    assert [(each.was, each.done) for each in undone.taken] == [(2, 2)]
    undone = path.undo_counted("e2", Fraction(1))
    assert [(each.was, each.done) for each in undone.taken] == [(2, 1)]


def test_a_completed_instance_loses_its_reward_with_the_last_invitation_of_a_friend_alone():
    path = invite_all("bo", "cy", "bo", "di")
    assert path.undo_counted("e1", Fraction(1)).completed_by is None
    undone = path.undo_counted("e3", Fraction(1))
    assert (undone.instance.state, undone.completed_by is not None) == ("open", True)


def test_who_was_invited_is_remembered_when_the_number_changes():
    log = Log(THREE_FRIENDS).play(invite("bo"), invite("cy", 1))
    log.quest = Quest((replace(INVITE, count=4),))
    more = [replace(invite(friend, at + 2), campaign_version=2) for at, friend in enumerate(["bo", "di", "ed"])]
    log.play(*more[:2])
    assert log.show() == [("open", (3,))]
    log.play(more[2])
    assert log.show() == [("completed", (4,))]


def test_a_change_alone_completes_nothing_it_takes_one_friend_more():
    log = Log(THREE_FRIENDS).play(invite("bo"), invite("cy", 1))
    log.quest = Quest((replace(INVITE, count=2),))
    log.play(replace(invite("cy", 2), campaign_version=2))
    assert log.show() == [("open", (1,))]
    log.play(replace(invite("di", 3), campaign_version=2))
    assert log.show() == [("completed", (2,))]


def find_faults(step: Step) -> list[tuple[str, str]]:
    """What is wrong with a quest of this step."""
    quest = Quest((step,))
    campaign: Campaign = build_campaign(quest=quest, schedule=Schedule())
    return [(fault.at, fault.message) for fault in check_quest(quest, campaign, None)]


@pytest.mark.parametrize(
    ("changes", "at", "says"),
    [
        ({"count": 1}, "count", "2 or more"),
        ({"count": 501}, "count", "at most 500"),
        ({"count": 1, "sum": "event.n", "at_least": 5}, "distinct", "not with a sum"),
        ({"count": 1, "streak": Streak(3)}, "distinct", "not with a streak"),
    ],
)
def test_what_contradicts_itself_is_named_with_its_place(changes, at, says):
    ((place, message),) = find_faults(replace(INVITE, **changes))
    assert place == f"/quest/steps/0/{at}"
    assert says in message


def test_a_launched_step_keeps_what_it_counts():
    other = Quest((replace(INVITE, distinct="event.email"),))
    assert [fault.at for fault in check_quest_change(THREE_FRIENDS, other)] == ["/quest/steps/0"]
    assert check_quest_change(THREE_FRIENDS, Quest((replace(INVITE, count=500),))) == []
