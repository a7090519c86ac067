"""Near misses decided again, among campaigns of all kinds under limits: `make accept ONLY=eligibility` does it 10,000 times."""

from tests.manage.eligibility_world import check_near_misses


def test_what_is_nearly_earned_is_granted_with_what_it_lacks_and_not_with_less() -> None:
    told, wrong = check_near_misses(11, books=40, carts=6)
    assert wrong == []
    assert min(told["near"], 10 * told["grouped"], 10 * told["limited"]) > 100
