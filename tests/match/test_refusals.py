"""What is the same for a whole batch is looked at once, and what is not, for each event."""

from datetime import timedelta

from msgspec import structs

from tests.builders import T0
from tests.match.conftest import Shop

SPRING = {"starts_at": T0, "ends_at": T0 + timedelta(days=1)}


async def test_a_batch_across_the_start_and_the_end_of_a_schedule_is_told_event_by_event(book_shop: Shop) -> None:
    book_shop.launch("spring", schedule=SPRING)
    early, inside, last, late = [
        await book_shop.event(after=timedelta(hours=hours)) for hours in (-1, 12, 24, 25)
    ]  # fmt: skip

    met = await book_shop.meet([early, inside, last, late])

    assert [match.event for match in met] == [inside, last]
    assert book_shop.refusals == {"not_started": 1, "ended": 1}


async def test_a_batch_all_outside_is_refused_as_often_as_it_has_events(book_shop: Shop) -> None:
    book_shop.launch("spring", schedule=SPRING)
    book_shop.launch("vips", cohorts=["vip"])
    events = [await book_shop.event(after=timedelta(hours=hours)) for hours in (25, 26, 30)]

    [only] = await book_shop.meet(events)  # tells settle under which book they were looked at
    assert (only.event, only.candidates) == (events[0], ())
    assert book_shop.refusals == {"ended": 3, "not_in_cohort": 3}


async def test_events_of_one_batch_that_ask_different_indexes_do_not_mix(book_shop: Shop) -> None:
    book_shop.launch("always")
    event = await book_shop.event()
    stranger = structs.replace(event, action="RETURN")

    assert [match.event for match in await book_shop.meet([stranger, event])] == [event]
