"""What is priced once for several amounts is what each would be priced at by itself."""

import random

from fillip.manage.eligibility.near import Amounts
from fillip.match import meet_alone
from tests.manage.eligibility_world import COHORTS, draw_book, draw_cart


def test_what_reads_the_event_is_priced_anew_with_each_amount() -> None:
    dice, priced = random.Random(8), set[tuple[int, ...]]()
    for _ in range(30):
        book = draw_book(dice)
        event = draw_cart(dice, book)
        kept, alone = draw_cart(random.Random(1), book).change(event.attributes, event.typed), Amounts(event)
        kept.keep_prices()
        amounts = Amounts(kept)
        for quantity in (40, 7, 23):
            (tried, fresh) = (each.put(("qty",), quantity) for each in (amounts, alone))
            assert tried and fresh
            mine, other = meet_alone(tried, None, COHORTS), meet_alone(fresh, None, COHORTS)
            assert (mine and mine.candidates) == (other and other.candidates)
            priced |= {each.values for each in mine.candidates} if mine else set()
    assert len(priced) > 8
