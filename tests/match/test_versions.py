"""Earlier versions of a quest that are in force: one candidate of the campaign, with what the event means to each."""

from datetime import timedelta
from typing import Any

from tests.match.conftest import Shop

SCHEDULE = {"schedule": {"ends_at": "2017-03-01T14:00:00Z"}}


def visits(rule: str, **more: Any) -> dict[str, Any]:
    """Two BUYs for which the rule holds."""
    quest = {"steps": [{"name": "visit", "action": "BUY", "rule": rule, "count": 2}]}
    return {"kind": "QUEST", "action": None, "quest": quest, "rewards": [{"kind": "points", "value": 5}]} | more


async def versions(book_shop: Shop, **event: Any) -> list[tuple[int, bool, tuple[int, ...]]]:
    """(version, whether a step is met, values) of the candidate that such an event makes."""
    candidates = [each for match in await book_shop.meet([await book_shop.event(**event)]) for each in match.candidates]
    return [
        (version.campaign_version.version, bool(version.steps), version.values)
        for candidate in candidates
        for version in candidate.versions
    ]


async def test_an_event_is_asked_of_each_version_in_force(book_shop: Shop):
    book_shop.launch("q", **visits("event.amount >= 10"))
    book_shop.change("q", keep=True, **visits("event.amount >= 20", rewards=[{"kind": "points", "value": 7}]))
    assert await versions(book_shop, amount=9) == []
    assert await versions(book_shop, amount=10) == [(2, False, ()), (1, True, (5,))]
    assert await versions(book_shop, amount=20) == [(2, True, (7,)), (1, True, (5,))]


async def test_a_version_that_is_not_kept_is_not_asked(book_shop: Shop):
    book_shop.launch("q", **visits("event.amount >= 10"))
    book_shop.change("q", **visits("event.amount >= 20"))
    assert await versions(book_shop, amount=10) == []


async def test_a_kept_version_has_its_own_cohorts_and_the_end_of_the_campaign(book_shop: Shop):
    book_shop.launch("q", **visits("true"))
    book_shop.change("q", keep=True, **visits("true", cohorts=["vip"], **SCHEDULE))
    assert await versions(book_shop) == [(2, False, ()), (1, True, (5,))]
    assert await versions(book_shop, after=timedelta(hours=2, seconds=1)) == []


async def test_a_pause_is_that_of_all_versions(book_shop: Shop):
    book_shop.launch("q", **visits("event.amount >= 10"))
    book_shop.change("q", keep=True, **visits("event.amount >= 20"))
    book_shop.owner.execute("UPDATE campaign SET state = 'paused'")
    (match,) = await book_shop.meet([await book_shop.event(amount=10)])
    assert [version.campaign_version.is_paused for version in match.candidates[0].versions] == [True, True]


async def test_a_kept_version_reads_its_lists_as_they_are_now(book_shop: Shop):
    book_shop.fill("spring", "a")
    book_shop.launch("q", **visits("event.coupon in lists.spring"))
    book_shop.change("q", keep=True, **visits("event.amount > 1"))
    assert await versions(book_shop, coupon="b") == []
    book_shop.fill("spring", "b")
    await book_shop.books.refresh("acme", book_shop.version)
    assert await versions(book_shop, coupon="b") == [(2, False, ()), (1, True, (5,))]
