"""Rewards that end with a day, month or year: the pure core against the reference model, by the tenant's calendar and the users' own."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec import convert

from fillip.core.campaign.period_end import PeriodEnd
from fillip.core.campaign.reward import Reward
from tests.builders import build_tenant
from tests.oracle.catalogue import OWN_ZONES
from tests.oracle.dates import date_reward
from tests.oracle.faults import FAULTS
from tests.oracle.model import Book, Seen, _is_over

HOURS = st.integers(-60, 60)
ENDS = st.builds(
    lambda end_of, after, zone: {"end_of": end_of, "after": after, "zone": zone},
    st.sampled_from(["day", "day", "month", "year"]),
    st.integers(0, 2),
    st.sampled_from(["tenant", "user"]),
)
TENANTS, OWN = st.sampled_from(["America/New_York", "Europe/Berlin"]), st.sampled_from(OWN_ZONES)
NEW_YEARS_EVE = datetime(2035, 12, 31, 12, tzinfo=UTC)


def check(hour, came, ends, zone, own):
    """Both say the same of whether it is over for an event that comes `came` hours around the end of its day, month or year."""
    at = NEW_YEARS_EVE + timedelta(hours=hour)
    end = datetime(at.year + ends["after"], 12, 31, 12, tzinfo=UTC)
    if ends["end_of"] != "year":
        end = at + timedelta(days=ends["after"] * (31 if ends["end_of"] == "month" else 1))
    received_at = end + timedelta(hours=came)
    tenant = {"tenant_id": "acme", "time_zone": zone, "clock": "live"}
    book = Book(tenant=tenant, actions={}, campaigns={}, zones={"ann": own})
    event = {"id": "e", "source": "/till", "type": "BUY", "subject": "ann", "time": at.isoformat(), "data": {}}
    models = _is_over(Seen(event, received_at, book, 0), date_reward({"expires": ends}, at, tenant, own))
    reward = Reward("cashback", 5, "EUR", expires=convert(ends, PeriodEnd))
    assert reward.is_over(at, received_at, build_tenant(time_zone=zone, clock="live"), own) == models


PLAY = given(HOURS, HOURS, ENDS, TENANTS, OWN)


def test_what_is_over_is_what_the_model_says():
    PLAY(check)()


PLANTED = [each for each in FAULTS if each.name.startswith("rewards that end with")]


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found(fault, monkeypatch: pytest.MonkeyPatch):
    fault.plant(monkeypatch)
    play = settings(max_examples=1_000, database=None, phases=(Phase.generate,), deadline=None)
    with pytest.raises(AssertionError):
        play(PLAY(check))()
