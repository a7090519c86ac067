"""A batch reads its own rows, also where nobody has analysed the tables yet: how many others a tenant has costs nothing."""

from fillip.core.campaign.reward import Reward
from tests.settle.conftest import World
from tests.settle.test_quests import DISCOUNT, Offers

OTHERS, MOST_READ = 3_000, 300
FILL = f"""
INSERT INTO quest_instance (tenant_id, campaign_id, user_id, instance_key, occurrence, campaign_version, state, started_at,
                            start_event_key, start_offset, steps)
SELECT 'acme', 'discount', 'other' || n, 'o' || n, 1, 1, 'open', now(), gen_random_uuid(), n,
       '[{{"name": "spend", "done": 0, "needed": 1000}}]'
FROM generate_series(1, {OTHERS}) AS n;
INSERT INTO wallet (tenant_id, user_id, currency, pending, active, spent, expired, reversed, floor, last_seq)
SELECT 'acme', 'other' || n, 'POINTS', 0, 5, 0, 0, 0, 0, 1 FROM generate_series(1, {OTHERS}) AS n;
INSERT INTO wallet_lot (tenant_id, lot_id, user_id, currency, amount, remaining, seq, reversed, expires_at)
SELECT 'acme', gen_random_uuid(), 'other' || n, 'POINTS', 5, 5, 1, 0, now() FROM generate_series(1, {OTHERS}) AS n;
INSERT INTO inbox_head (tenant_id, user_id, last_seq) SELECT 'acme', 'other' || n, 1 FROM generate_series(1, {OTHERS}) AS n;
INSERT INTO limit_counter (tenant_id, limit_id, user_id, key, window_start, used, cap, version)
SELECT 'acme', 'once', 'other' || n, '', '1970-01-01', 1, 1, 1 FROM generate_series(1, {OTHERS}) AS n;
"""
READ = "SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables"


async def count_read(world: World) -> dict[str, int]:
    """Rows that were read of each table since the database was made, by index or without."""
    await world.pool.execute("SELECT pg_stat_force_next_flush()")  # of the one session that the batches have taken
    await world.pool.execute("SELECT")
    world.owner.execute("SELECT pg_stat_force_next_flush()")
    return {str(table): int(str(read)) for table, read in world.rows(READ)}


async def test_a_batch_reads_its_own_rows_however_many_others_the_tenant_has(world: World):
    world.owner.execute(FILL)
    world.add_limit("once", 10, scope="user")
    offers = Offers(world, discount=DISCOUNT)
    before = await count_read(world)
    await world.play(offers.event("r1", "OFFER", 0, offer=1, cents=0), offers.event("p1", "BUY", 1, offer=0, cents=600))
    await world.play(offers.event("p2", "BUY", 2, offer=0, cents=600))
    await world.play(world.match("e1", rewards=(Reward("points", 5),)), world.reversal("back", "p2"))
    after = await count_read(world)
    assert world.rows("SELECT campaign_id, outcome FROM decision ORDER BY 1") == [
        ("discount", "granted"),
        ("give", "granted"),
    ]
    read = {table: count - before.get(table, 0) for table, count in after.items()}
    assert {table: count for table, count in read.items() if count > MOST_READ} == {}
