"""The index against running every rule: random books and events, one answer."""

from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fillip.figures import Figure, at_least, expect
from tests.core.index_world import RULES, SITUATION, compare

EVALUATIONS = 100_000
RULES_A_BOOK, SITUATIONS = 16, 16


def accept(tell: Callable[[str], None]) -> list[Figure]:
    """As many answers as EVALUATIONS asks for, compared; a mismatch is shrunk and told."""
    done, mismatches = 0, 0
    books = st.lists(RULES, min_size=RULES_A_BOOK, max_size=RULES_A_BOOK)
    situations = st.lists(SITUATION, min_size=SITUATIONS, max_size=SITUATIONS)

    @settings(
        max_examples=EVALUATIONS * 21 // 20 // (RULES_A_BOOK * SITUATIONS),  # a few rules are refused for their cost
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(books, situations)
    def check(sources: list[str], given: list[object]) -> None:
        nonlocal done
        done += compare(sources, given)

    tell(f"comparing {EVALUATIONS:,} answers")
    try:
        check()
    except AssertionError as error:
        mismatches = 1
        tell(str(error))
    return [
        at_least("answers compared", EVALUATIONS, done, "evaluations"),
        expect("index and brute force differ", 0, mismatches, "answers"),
    ]
