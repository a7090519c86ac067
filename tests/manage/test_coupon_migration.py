"""Codes of before: nothing is lost or taken for another when they come to be compared without their case."""

from collections.abc import Callable

import psycopg

from fillip.migrations import migrate

POOLS = {"one": ("AbC", "X-1"), "two": ("abc", "Y-1"), "three": ("Z-1", "z-2"), "four": ("q", "Q")}


def test_pools_whose_codes_only_their_case_tells_apart_stay_as_they_were(
    make_database_at: Callable[[str], str],
) -> None:
    """Given codes that differ by case within a pool and across two, then these pools are case-sensitive, and no other is."""
    database = make_database_at("0019")
    with psycopg.connect(database) as owner:
        tenant = (
            "INSERT INTO tenant (tenant_id, name, time_zone, currency, clock) VALUES (%s, 'T', 'UTC', 'EUR', 'live')"
        )
        for tenant_id in ("acme", "rival"):
            owner.execute(tenant, [tenant_id])
        for pool, codes in POOLS.items():
            owner.execute("INSERT INTO coupon_pool (tenant_id, pool_id, name) VALUES ('acme', %s, 'P')", [pool])
            for code in codes:
                owner.execute("INSERT INTO coupon (tenant_id, code, pool_id) VALUES ('acme', %s, %s)", [code, pool])
        owner.execute("INSERT INTO coupon_pool (tenant_id, pool_id, name) VALUES ('rival', 'one', 'P')")
        owner.execute("INSERT INTO coupon (tenant_id, code, pool_id) VALUES ('rival', 'ABC', 'one')")
    migrate(database)
    with psycopg.connect(database) as owner:
        for table in ("coupon_pool", "coupon"):
            found = owner.execute(f"SELECT DISTINCT tenant_id, pool_id FROM {table} WHERE case_sensitive ORDER BY 1, 2")
            assert found.fetchall() == [("acme", "four"), ("acme", "one"), ("acme", "two")]
        assert owner.execute("SELECT count(*) FROM coupon").fetchone() == (9,)
