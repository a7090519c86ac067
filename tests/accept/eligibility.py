"""Near misses, each decided again: with the amount that is told to be missing it is granted, with one unit less it is not."""

from collections.abc import Callable

from fillip.figures import Figure, at_least, expect, note
from tests.manage.eligibility_world import check_near_misses

CASES = 10_000


def accept(tell: Callable[[str], None]) -> list[Figure]:
    """Random books of campaigns in groups, under limits, with quests, codes and badges; wrong ones are told."""
    tell(f"deciding {CASES:,} near misses again")
    told, wrong = check_near_misses(2026, books=5_000, carts=8, wanted=CASES)
    for each in wrong[:5]:
        tell(each)
    return [
        at_least("near misses decided again", CASES, told["near"], ""),
        note("carts", told["carts"], ""),
        note("near misses of campaigns in groups", told["grouped"], ""),
        note("near misses under limits", told["limited"], ""),
        expect("near misses that are wrong", 0, len(wrong), ""),
    ]
