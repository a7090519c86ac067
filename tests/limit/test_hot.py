"""Hot campaigns on a real Valkey: none is missed, few are taken for hot that are not, and nobody waits for any of it."""

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from fillip.app.valkey import connect_valkey
from fillip.core.errors import Retry
from fillip.core.hot import HotTerms
from fillip.core.projection import name_hot, name_users
from fillip.core.sketch import SketchShape
from fillip.embedded.addresses import Addresses
from fillip.limit import hot, hot_campaigns_valkey, hot_valkey
from fillip.limit.hot_campaigns_valkey import ValkeyHotCampaigns
from fillip.limit.hot_valkey import HotCounts
from tests.limit.crowd import decide, meet, read_estimates

NOW_S = 1_900_000_000.0
TERMS = HotTerms(window_s=600, threshold=100)
SMALL = HotTerms(shape=SketchShape(width=32, depth=4), window_s=600, threshold=50)


class Site:
    """Workers and the API on one Valkey, all by one clock."""

    def __init__(self, client: Redis, terms: HotTerms = TERMS) -> None:
        self.client, self.terms, self.now_s = client, terms, NOW_S
        self.tenant = f"t{uuid.uuid4().hex}"
        self.hot = ValkeyHotCampaigns(client, terms, lambda: self.now_s)

    def start_worker(self) -> HotCounts:
        return HotCounts(self.client, self.terms, lambda: self.now_s)

    async def count(self, worker: HotCounts, **counts: int) -> None:
        """Events that meet these campaigns so many times, told at once."""
        worker.count_met([meet(self.tenant, [name.replace("_", "-")] * count) for name, count in counts.items()])
        await worker.tell()

    async def list_hot(self) -> list[str]:
        return [each.campaign_id for each in await self.hot.list_hot(self.tenant)]


@pytest.fixture
async def hot_valkey_client(servers: Addresses) -> AsyncIterator[Redis]:
    # not by Fillip's own client, which gives up after 50 ms
    client = Redis.from_url(servers.valkey_url)
    yield client
    await client.aclose()


@pytest.fixture
def site_of(hot_valkey_client: Redis) -> Callable[..., Site]:
    return lambda terms=TERMS: Site(hot_valkey_client, terms)


async def test_what_workers_count_together_makes_a_campaign_hot_until_the_next_window_ends(
    site_of: Callable[..., Site],
) -> None:
    site = site_of()
    one, two = site.start_worker(), site.start_worker()
    await site.count(one, summer=60, spring=10)
    await site.count(two, summer=39)
    assert await site.list_hot() == []
    await site.count(two, summer=1)
    assert await site.list_hot() == ["summer"]
    [found] = await site.hot.list_hot(site.tenant)
    assert found.since.timestamp() == NOW_S
    assert found.until.timestamp() == (NOW_S // 600 + 2) * 600
    # when the next window is as busy, it is hot without a break
    site.now_s += 600
    await site.count(one, summer=100)
    assert [(each.since, each.campaign_id) for each in await site.hot.list_hot(site.tenant)] == [
        (found.since, "summer")
    ]
    # and when nothing comes any more it cools down
    site.now_s += 1200
    assert await site.list_hot() == []


async def test_a_window_starts_from_nothing(site_of: Callable[..., Site]) -> None:
    site = site_of()
    worker = site.start_worker()
    await site.count(worker, summer=99)
    site.now_s += 600
    await site.count(worker, summer=99)
    assert await site.list_hot() == []


async def test_all_of_it_expires(site_of: Callable[..., Site]) -> None:
    site = site_of()
    worker = site.start_worker()
    await site.count(worker, **{f"c{n}": 100 for n in range(30)})
    worker.count_settled(decide(site.tenant, "c1", ["ann"]))
    await worker.tell()
    names = [name async for name in site.client.scan_iter(match=f"*{{{site.tenant}}}*", count=10_000)]
    assert len(names) == 4
    for name in names:
        most = 1200 if not name.startswith(b"hot:") else 2_000_000_000
        assert 0 < await site.client.ttl(name) <= most, name


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.dictionaries(st.integers(0, 199), st.integers(1, 60), min_size=1, max_size=60), max_size=6))
async def test_no_count_is_too_low_and_no_hot_campaign_is_missed(
    servers: Addresses, batches: list[dict[int, int]]
) -> None:
    """Whatever comes, in whatever batches, through a sketch that is far too small for it."""
    # not by Fillip's own client, which gives up after 50 ms
    client = Redis.from_url(servers.valkey_url)
    try:
        site, truth = Site(client, SMALL), Counter[str]()
        worker = site.start_worker()
        for batch in batches:
            named = {f"c{number}": count for number, count in batch.items()}
            truth.update(named)
            await site.count(worker, **named)
            hot_now = set(await site.list_hot())
            assert {name for name, count in truth.items() if count >= SMALL.threshold} <= hot_now
        if truth:
            number = SMALL.number_window(NOW_S)
            estimates = await read_estimates(client, site.tenant, SMALL, number, truth)
            assert all(estimates[name] >= count for name, count in truth.items())
            assert set(await site.list_hot()) <= {name for name in truth if estimates[name] >= SMALL.threshold}
    finally:
        await client.aclose()


async def test_few_counts_are_too_high_by_more_than_their_share(site_of: Callable[..., Site]) -> None:
    """The bound of the sketch: above the truth by more than e / width of all, for no more than e^-depth of the names."""
    bad = names = 0
    for seed in range(5):  # eleven that each weigh more than the error allowed, and many that may meet them in a cell
        site = site_of(SMALL)
        truth = Counter({f"s{seed}-{n}": 1_000 if n < 11 else 1 for n in range(411)})
        worker = site.start_worker()
        await site.count(worker, **{name.replace("-", "_"): count for name, count in truth.items()})
        estimates = await read_estimates(site.client, site.tenant, SMALL, SMALL.number_window(NOW_S), truth)
        most = SMALL.shape.error_share * truth.total()
        bad += sum(estimates[name] > count + most for name, count in truth.items())
        names += len(truth)
        assert all(estimates[name] >= count for name, count in truth.items())
    assert 0 < bad <= SMALL.shape.error_chance * names, "a bound that is never reached tests nothing"


async def test_users_of_a_hot_campaign_are_counted_and_those_of_a_cold_one_are_not(
    site_of: Callable[..., Site],
) -> None:
    site = site_of()
    worker = site.start_worker()
    await site.count(worker, summer=100, spring=99)
    for campaign_id in ("summer", "spring"):
        worker.count_settled(decide(site.tenant, campaign_id, ["ann", "bob", "ann"]))
    await worker.tell()
    found = await site.hot.find_users(site.tenant, "summer")
    assert found is not None
    assert [(each.user_id, each.decisions) for each in found.users] == [("ann", 2), ("bob", 1)]
    assert (found.over, found.since.timestamp()) == (0, NOW_S)
    assert await site.hot.find_users(site.tenant, "spring") is None
    # the window before still counts, those before it do not
    site.now_s += 600
    await site.count(worker, summer=100)
    worker.count_settled(decide(site.tenant, "summer", ["bob", "bob", "eve"]))
    await worker.tell()
    found = await site.hot.find_users(site.tenant, "summer")
    assert found is not None
    assert [(each.user_id, each.decisions) for each in found.users] == [("bob", 3), ("ann", 2), ("eve", 1)]
    site.now_s += 600
    await site.count(worker, summer=100)
    found = await site.hot.find_users(site.tenant, "summer")
    assert found is not None
    assert {each.user_id for each in found.users} == {"bob", "eve"}
    assert found.since.timestamp() == (site.now_s // 600 - 1) * 600


async def test_few_users_are_kept_and_none_of_them_too_low(
    site_of: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (hot_valkey, hot_campaigns_valkey):
        monkeypatch.setattr(module, "MOST_KEPT", 20)
    site, chance, truth = site_of(), Random(7), Counter[str]()
    worker = site.start_worker()
    await site.count(worker, summer=100)
    for _ in range(20):
        users = [f"u{min(int(chance.paretovariate(0.7)), 500)}" for _ in range(200)]
        truth.update(users)
        worker.count_settled(decide(site.tenant, "summer", users))
        await worker.tell()
    name = name_users(site.tenant, "summer", TERMS, TERMS.number_window(NOW_S))
    assert await site.client.zcard(name) == 20
    found = await site.hot.find_users(site.tenant, "summer")
    assert found is not None
    counts = {each.user_id: each.decisions for each in found.users}
    assert 0 < found.over <= truth.total() // 20
    assert all(truth[user] <= count <= truth[user] + found.over for user, count in counts.items())
    assert {user for user, count in truth.items() if count > found.over} <= counts.keys()


async def test_a_tenant_has_so_many_hot_campaigns_and_what_is_over_is_counted(
    site_of: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_valkey, "MOST_HOT", 3)
    site, untold = site_of(), hot.UNTOLD.labels("tenant_has_many")
    worker, before = site.start_worker(), untold._value.get()
    await site.count(worker, **{f"c{n}": 100 for n in range(5)})
    assert len(await site.list_hot()) == 3
    assert untold._value.get() == before + 2
    site.now_s += 1200
    await site.count(worker, new=100)  # those that have cooled down make room
    assert await site.list_hot() == ["new"]


async def test_the_gauges_tell_how_many_are_hot_and_how_often_the_sketch_is_wrong(site_of: Callable[..., Site]) -> None:
    site = site_of(HotTerms(shape=SketchShape(width=1, depth=1), threshold=100))
    worker = site.start_worker()
    await site.count(worker, **{f"c{n}": 1 for n in range(50)})
    assert (hot.HOT_RATIO._value.get(), hot.FALSE_POSITIVE_RATE._value.get()) == (0, 0)
    await site.count(worker, **{f"c{n}": 2 for n in range(50)})  # one cell holds all 150
    assert 0 < hot.HOT_RATIO._value.get() <= 1
    assert 0 < hot.FALSE_POSITIVE_RATE._value.get() <= 1


async def test_without_valkey_nothing_is_counted_and_nobody_waits(site_of: Callable[..., Site]) -> None:
    site, untold = site_of(), hot.UNTOLD.labels("valkey_away")
    worker, before = site.start_worker(), untold._value.get()
    worker._client = site.hot._client = connect_valkey("redis://127.0.0.1:1/0")
    await site.count(worker, summer=100, spring=1)
    assert untold._value.get() == before + 2
    for asked in (site.hot.list_hot(site.tenant), site.hot.find_users(site.tenant, "summer")):
        with pytest.raises(Retry, match="Valkey is away"):
            await asked


async def test_a_key_of_another_kind_in_one_tenants_place_stops_no_other(site_of: Callable[..., Site]) -> None:
    broken, site = site_of(), site_of()
    await broken.client.set(name_hot(broken.tenant), "?", ex=60)
    worker = site.start_worker()
    worker.count_met([meet(broken.tenant, ["summer"] * 100), meet(site.tenant, ["summer"] * 100)])
    await worker.tell()
    assert await site.list_hot() == ["summer"]
    with pytest.raises(Retry):
        await broken.hot.list_hot(broken.tenant)


async def test_more_campaigns_than_one_call_takes_are_counted_all(site_of: Callable[..., Site]) -> None:
    site = site_of(HotTerms(shape=SketchShape(width=4_096, depth=8), threshold=5))
    await site.count(site.start_worker(), **{f"c{n}": 5 for n in range(700)})
    assert len(await site.list_hot()) == 700
