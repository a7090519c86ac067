"""Which campaigns are open to all: at every instant those that are asked one by one."""

import random
from datetime import datetime, timedelta

from msgspec.structs import replace

from fillip.core.book.open_campaigns import OpenCampaigns
from fillip.core.campaign.campaign import Schedule
from fillip.manage.eligibility.standing import is_open
from tests.builders import build_event
from tests.manage.eligibility_world import NOW, draw_book


def test_what_is_open_is_the_same_whether_it_is_asked_one_by_one_or_known_from_before() -> None:
    dice, seen = random.Random(4), set[frozenset[str]]()
    for _ in range(60):
        book = draw_book(dice)
        timed = {
            name: replace(each, campaign=replace(each.campaign, schedule=Schedule(_draw(dice), _draw(dice))))
            for name, each in book.campaign_versions.items()
        }
        book = replace(book, campaign_versions=timed)
        open_campaigns = OpenCampaigns(list(timed.values()))
        others = {each.campaign_id for each in open_campaigns.others}
        for at in (NOW + timedelta(microseconds=dice.randrange(-1, 8)) for _ in range(12)):
            found = set(open_campaigns.find(at))
            event = build_event(book, user_id="ada", at=at)
            assert found == {
                name for name, each in timed.items() if name not in others and is_open(event, each, frozenset())
            }
            seen.add(frozenset(found))
    assert len(seen) > 50


def _draw(dice: random.Random) -> datetime | None:
    return dice.choice([None, NOW + timedelta(microseconds=dice.randrange(6))])
