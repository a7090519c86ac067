"""Claiming as a life cycle, without any server."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import ParamSpec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillip.core.ledger.claim import ClaimableIncentive, ClaimRefused, claim, confirm, release, reserve

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FREE = ClaimableIncentive("coupon", "granted")


Said = ParamSpec("Said")


def refuse(call: Callable[Said, object], *said: Said.args, **named: Said.kwargs) -> str:
    with pytest.raises(ClaimRefused) as refused:
        call(*said, **named)
    return refused.value.kind


def test_reserve_confirm_and_each_again():
    held = reserve(FREE, "r1", MINUTE, NOW)
    assert reserve(held, "r1", MINUTE, NOW + MINUTE / 2) == held
    assert refuse(reserve, held, "r2", MINUTE, NOW) == "reserved"
    assert refuse(claim, held, NOW) == "reserved"
    done = confirm(held, "r1", NOW)
    assert (done.state, done.claimed_at) == ("claimed", NOW)
    assert confirm(done, "r1", NOW + MINUTE) == reserve(done, "r1", MINUTE, NOW) == done
    assert refuse(confirm, done, "r2", NOW) == refuse(claim, done, NOW) == "already-claimed"
    assert refuse(release, done, "r1") == "already-claimed"


def test_a_time_out_frees_without_a_sweep():
    held = reserve(FREE, "r1", MINUTE, NOW)
    assert refuse(confirm, held, "r1", NOW + MINUTE) == "reservation-timed-out"
    taken = reserve(held, "r2", MINUTE, NOW + MINUTE)
    assert refuse(confirm, taken, "r1", NOW + MINUTE) == "not-reserved"
    assert claim(held, NOW + MINUTE).reservation_id is None


def test_release_frees_and_touches_nobody_elses():
    held = reserve(FREE, "r1", MINUTE, NOW)
    assert release(held, "r2") == held
    assert release(release(held, "r1"), "r1") == FREE


def test_what_has_expired_or_was_reversed_is_gone():
    due = ClaimableIncentive("cashback", "granted", expires_at=NOW + MINUTE)
    assert reserve(due, "r1", 2 * MINUTE, NOW).reserved_until == NOW + MINUTE
    assert refuse(claim, due, NOW + MINUTE) == "expired"
    assert refuse(claim, ClaimableIncentive("cashback", "expired"), NOW) == "expired"
    assert refuse(claim, ClaimableIncentive("cashback", "reversed"), NOW) == "reversed"
    assert refuse(claim, ClaimableIncentive("points", "granted"), NOW) == "not-claimable"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["reserve", "confirm", "release", "claim"]), st.sampled_from("abc"), st.integers(0, 3)
        )
    )
)
def test_it_is_claimed_at_most_once_and_stays_so(moves: list[tuple[str, str, int]]):
    hold, now, claims = ClaimableIncentive("coupon", "granted", expires_at=NOW + 20 * MINUTE), NOW, 0
    for what, name, passed in moves:
        now += passed * MINUTE / 2
        before = hold
        try:
            if what == "reserve":
                hold = reserve(hold, name, MINUTE, now)
            elif what == "release":
                hold = release(hold, name)
            else:
                hold = confirm(hold, name, now) if what == "confirm" else claim(hold, now)
        except ClaimRefused:
            assert hold == before
        claims += hold.claimed_at != before.claimed_at
        assert before.state != "claimed" or hold == before
    assert claims <= 1
