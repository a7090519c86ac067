"""What stands at the end, the model's answer against the ledger's: incentives, counters, badges, wallets with their lots, and quest instances."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from tests.oracle.ledger import SQL
from tests.oracle.limits import Tills, reach
from tests.oracle.quest import QuestLog

Standing = Iterator[tuple[tuple[Any, ...], object]]
"""What it is, and how it stands: both as the ledger's JSON has them."""


def compare_standing(
    connection: psycopg.Connection[Any], tenant_id: str, tills: Tills, quests: QuestLog
) -> Iterator[str]:
    """Differences after all turns were taken."""
    badges = [(("badge", *each), True) for each, names in tills.held.items() if names]
    wanted = dict(
        [
            *badges,
            *_list_incentives(tills),
            *_list_counters(tills),
            *_list_wallets(tills),
            *_list_lots(tills),
            *_list_instances(tills, quests),
        ]
    )
    found = {tuple(name): value for name, value in connection.execute(SQL["standing"], {"tenant": tenant_id})}
    for name in wanted.keys() | found.keys():
        if wanted.get(name) != found.get(name):
            yield f"at the end: {name} should be {wanted.get(name)}, is {found.get(name)}"


def _list_incentives(tills: Tills) -> Standing:
    for name, claim in tills.granted.items():
        for reward in claim.rewards:
            value, gone = reach(claim, reward, tills.taken[name])
            stands = ["reversed" if gone else "granted", value, _count_us(reward["ends"])]
            yield ("incentive", *name, reward["index"]), stands


def _count_us(instant: datetime | None) -> int | None:
    """Since 1970."""
    return None if instant is None else (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _list_counters(tills: Tills) -> Standing:
    for (limit, user, key, first_day), used in tills.used.items():
        if used:
            yield ("counter", limit, user, key, first_day.isoformat()), used


def _list_wallets(tills: Tills) -> Standing:
    """Nobody spends: what was not taken back is there, or comes."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for name, claim in tills.granted.items():
        for reward in claim.rewards:
            if reward["kind"] == "points":
                taken, _ = reach(claim, reward, tills.taken[name])
                wallet = tills.people.find(claim.user), reward.get("currency", "POINTS")
                active, reversed_ = sums[wallet]
                sums[wallet] = [active + reward["value"] - taken, reversed_ + taken]
    yield from ((("wallet", *wallet), sums[wallet]) for wallet in sums)


def _list_lots(tills: Tills) -> Standing:
    """Points that came together stay so, whoever's they are by now: what of them is left, and taken, when they can be spent, and expire. Those of
    which nothing remains do not go along with a merge.
    """
    for name, claim in tills.granted.items():
        for reward in claim.rewards:
            if reward["kind"] == "points":
                taken, _ = reach(claim, reward, tills.taken[name])
                first = tills.origins.get(name, name), reward["index"]
                whose = tills.stayed.get(first, tills.people.find(claim.user))
                dates = [_count_us(reward["opens"]), _count_us(reward["ends"])]
                yield ("lot", *name, reward["index"]), [whose, reward["value"] - taken, taken, *dates]


def _list_instances(tills: Tills, quests: QuestLog) -> Standing:
    """What the model calls completed is denied where the grant was; of a shadow unless it would be granted."""
    for (campaign, user), instances in quests.instances.items():
        for each in instances:
            grant = (campaign.partition("~")[0], each.name, each.completed_by)
            denied = each.state == "completed" and grant not in tills.granted and grant not in tills.told
            state = "denied" if denied else each.state
            name = ("quest", campaign, user, each.key, each.occurrence)
            yield name, [state, each.version, [step.done for step in each.steps]]
