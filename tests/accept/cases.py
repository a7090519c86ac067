"""cases: small inputs that once did harm, of ../shared/cases, each with its right answer.

A case is a folder NN-name with the input it tells of; a function of CASES by the same name plays it on a running set and
gives its figures. To add one, write that function.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fillip.app.up import Stack
from fillip.figures import Figure
from tests.accept import case_rewards
from tests.accept.case_strict import play_ids, play_words
from tests.accept.case_sums import play_reversal_beyond_the_wallet
from tests.accept.case_two_sources import play_two_sources
from tests.accept.case_year_one import play_year_one_at_publish, play_year_one_at_the_worker

FOLDER = Path(__file__).parents[3] / "shared" / "cases"
ABSENT = "../shared/cases is not there"
Play = Callable[[Stack, Path], Awaitable[list[Figure]]]


def find_data() -> bool:
    """Whether the cases are there."""
    return FOLDER.is_dir()


async def accept(stack: Stack, tell: Callable[[str], None]) -> list[Figure]:
    """Play every case that has a function here; a folder without one is told."""
    figures = []
    for folder in sorted(FOLDER.iterdir()):
        play = CASES.get(folder.name)
        if play is None:
            tell(f"{folder.name}: no function plays it")
            continue
        tell(folder.name)
        figures += [
            Figure(f"{folder.name[:2]} {f.name}", f.goal, f.got, f.unit, f.ok) for f in await play(stack, folder)
        ]
    return figures


CASES: dict[str, Play] = {
    "01-year-one-stops-worker": play_year_one_at_the_worker,
    "02-year-one-stops-publish": play_year_one_at_publish,
    "03-cohort-deleted-under-a-rule": case_rewards.play_cohort_under_a_rule,
    "04-last-100-nanoseconds": case_rewards.play_last_nanoseconds,
    "05-points-of-two-currencies-under-one-cap": case_rewards.play_two_currencies,
    "06-ids-that-can-t-be-used-again": play_ids,
    "07-coupon-that-is-dead-on-arrival": case_rewards.play_dead_on_arrival,
    "08-reversal-says-more-than-was-taken": play_reversal_beyond_the_wallet,
    "09-reward-of-nothing": case_rewards.play_reward_of_nothing,
    "10-zone-of-the-machine": case_rewards.play_zone_of_the_machine,
    "11-two-sources-one-id": play_two_sources,
    "12-what-the-words-say": play_words,
}
