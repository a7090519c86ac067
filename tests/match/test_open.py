"""Who is open to an event, found by bitmaps: the same as asking each campaign, and refusals counted the same."""

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from fillip.core.book.book import index_triggers
from fillip.core.campaign.campaign import CheckedExpression, Schedule
from fillip.core.campaign.hours import Hours
from fillip.core.cohort import Cohort
from fillip.core.index import cells, rules
from fillip.core.rule import compile_rule
from fillip.core.schema.coerce import build_coercer
from fillip.core.schema.types import EMPTY, derive_type
from fillip.manage.rule.checker import check_rule
from fillip.match.refusals import Refusals
from tests.builders import T0, build_campaign, build_version
from tests.match.conftest import BUY

HOURS = st.none() | st.integers(0, 5).map(lambda hours: T0 + timedelta(hours=hours))
ZONE = "America/St_Johns"
RECURRING = st.builds(
    Hours,
    *[st.integers(5, 15).map(lambda hour: f"{hour:02}:30")] * 2,
    st.sampled_from([(), ("tuesday",), ("wednesday",)]),
)
"""T0 is half past eight there, on a wednesday."""
NUMBERS = {"u1": 0, "u2": 70_000}
COHORTS = {"a": Cohort(1, BitMap([0, 70_000])), "b": Cohort(1, BitMap([70_000]))}  # "gone" was deleted
SOURCES = ["true", "event.amount > 1", "event.coupon == 'x'", "event.amount == 1 || event.coupon == 'y'",
           "event.amount % 2 == 1", "event.coupon.startsWith('x')"]  # fmt: skip
SHAPE = derive_type(BUY)
CHECKED = {source: CheckedExpression(check_rule(source, SHAPE, EMPTY).checked) for source in SOURCES}
RUN = {source: compile_rule(checked.code) for source, checked in CHECKED.items()}
READ = build_coercer(SHAPE)


@st.composite
def campaigns(draw):
    starts_at, ends_at = draw(HOURS), draw(HOURS)
    if starts_at and ends_at and ends_at < starts_at:
        starts_at, ends_at = ends_at, starts_at
    recurring = tuple(draw(st.lists(RECURRING, max_size=2)))
    rule, cohorts = draw(st.sampled_from(SOURCES)), draw(st.sets(st.sampled_from(["a", "b", "gone"]), max_size=2))
    campaign = build_campaign(
        rule=rule, schedule=Schedule(starts_at, ends_at, recurring=recurring), cohorts=tuple(cohorts)
    )
    return campaign, draw(st.sampled_from(["running", "running", "ended", "paused"]))


EVENTS = st.tuples(
    st.sampled_from(["u1", "u2", "u3"]),
    st.integers(-60, 360).map(lambda minutes: T0 + timedelta(minutes=minutes)),
    st.fixed_dictionaries({"amount": st.integers(0, 3), "coupon": st.sampled_from(["", "x", "y"])}),
)


def refuse(campaign, user_id, at):
    """Asking one campaign, as its definition says; that it is paused closes nothing: what it meets is denied later."""
    if reason := campaign.schedule.refuse(at, ZONE):
        return reason
    if campaign.cohorts and not any(COHORTS[c].holds(NUMBERS.get(user_id)) for c in campaign.cohorts if c in COHORTS):
        return "not_in_cohort"
    return None


@settings(max_examples=200, deadline=None)
@given(st.lists(campaigns(), min_size=1, max_size=12), st.lists(EVENTS, min_size=1, max_size=6), st.booleans())
def test_bitmaps_tell_what_asking_each_campaign_tells(made, events, hashed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "MANY", 1 if hashed else 16)
        patch.setattr(cells, "_FEW", 1 if hashed else 32)
        compare(made, events)


def compare(made, events):
    """Fails where the index finds other campaigns, or counts other refusals, than asking each."""
    campaign_versions = [
        build_version(f"c{n:02}", c, state=state, checked={"rule": CHECKED[c.rule]})
        for n, (c, state) in enumerate(made)
    ]
    index = index_triggers(campaign_versions, {}, ZONE)["BUY"]
    refusals, counts = Refusals(), Counter[str]()
    for user_id, at, attributes in events:
        typed, open_set, mine = READ(attributes), index.open_at(at), index.list_mine(NUMBERS.get(user_id), COHORTS)
        refusals.add_closed(index, open_set, mine)
        reasons = {e.campaign_id: refuse(e.campaign, user_id, at) for e in campaign_versions}
        counts.update(reason for reason in reasons.values() if reason)
        found = {
            trigger.campaign_version.campaign_id: sure
            for trigger, sure in index.find(open_set, mine, typed, {}, frozenset())
        }
        for campaign_version in campaign_versions:
            held = RUN[campaign_version.campaign.rule](typed, {}, frozenset())
            if reasons[campaign_version.campaign_id] is None and held:
                assert campaign_version.campaign_id in found
            else:
                assert not found.get(campaign_version.campaign_id)
        assert [i for i, reason in reasons.items() if reason and i in found] == []
        assert list(found) == sorted(found)
    assert refusals.tell() == counts


def test_an_index_is_kept_when_another_action_changes():
    def make(name, action):
        return build_version(name, build_campaign(name=name, action=action), checked={"rule": CHECKED["true"]})

    one, two = make("one", "BUY"), make("two", "RETURN")
    before = index_triggers([one, two], {}, ZONE)
    after = index_triggers([one, make("two", "RETURN")], before, ZONE)
    assert after["BUY"] is before["BUY"]
    assert after["RETURN"] is not before["RETURN"]
