"""Who is held out: told by a hash of tenant and user, the same for every campaign."""

import pytest

from tests.builders import build_tenant

USERS = [f"user-{number}" for number in range(20_000)]


def list_held_out(percent: int, tenant_id: str = "acme") -> set[str]:
    tenant = build_tenant(tenant_id=tenant_id, holdout_percent=percent)
    return {user for user in USERS if tenant.holds_out(user)}


@pytest.mark.parametrize("percent", [0, 1, 10, 50])
def test_the_share_held_out_is_the_one_asked_for(percent):
    """Within four standard deviations of a fair draw."""
    wanted = len(USERS) * percent / 100
    assert abs(len(list_held_out(percent)) - wanted) <= 4 * (wanted * (1 - percent / 100)) ** 0.5


def test_a_larger_holdout_has_all_of_a_smaller_one():
    assert list_held_out(5) < list_held_out(6) < list_held_out(50)


def test_two_tenants_hold_out_users_that_have_nothing_to_do_with_each_other():
    """Of those whom one holds out, the other does about as many as of all."""
    both = list_held_out(50) & list_held_out(50, "rival")
    assert 0.23 < len(both) / len(USERS) < 0.27
