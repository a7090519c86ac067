"""Points of before: transfers and parts say when their lots expire, as if they had always done so."""

from collections.abc import Callable

import psycopg

from fillip.migrations import migrate

LOTS = {"b": "2026-05-31 22:00+00", "a": None, "c": "2026-06-30 22:00+00"}
LOT = """
INSERT INTO wallet_lot (tenant_id, lot_id, user_id, currency, amount, remaining, seq, reversed, expires_at)
VALUES (%s, lpad(%s, 32, '0')::uuid, 'ada', 'POINTS', 9, 9, 1, 0, %s)
"""
MOVE = """
INSERT INTO wallet_transfer (tenant_id, transfer_id, user_id, currency, seq, kind, debit, credit, amount, lots, source_id,
    pending_after, active_after, made_at)
SELECT %s, lpad(%s::text, 32, '0')::uuid, 'ada', 'POINTS', %s, 'spend', 'active', 'spent', 1, jsonb_object_agg(lpad(lot, 32, '0'), -1), 's',
    0, 0, timestamptz '2026-03-01 00:00+00' + %s * interval '1 day'
FROM unnest(%s::text[]) lot
"""
GIVE = "INSERT INTO wallet_part (tenant_id, transfer_id, part, amount, lots) SELECT tenant_id, transfer_id, 1, 1, lots FROM wallet_transfer"
SAID = """
SELECT seq, expiries[1] IS NULL, expiries[2] = timestamptz '2026-05-31 22:00+00', expiries[3] = timestamptz '2026-06-30 22:00+00'
FROM wallet_transfer WHERE tenant_id = %s ORDER BY seq
"""


def test_changes_of_lots_of_before_say_when_these_expire(make_database_at: Callable[[str], str]) -> None:
    database = make_database_at("0012")
    with psycopg.connect(database, autocommit=True) as owner:
        for tenant_id in ("acme", "rival"):
            owner.execute(
                "INSERT INTO tenant (tenant_id, name, time_zone, currency, clock) VALUES (%s, 'T', 'UTC', 'USD', 'live')",
                [tenant_id],
            )
            for lot, expires_at in LOTS.items():
                owner.execute(LOT, [tenant_id, lot, expires_at if tenant_id == "acme" else None])
            for seq, lots in enumerate((["a"], ["c", "b", "a"]), 1):
                owner.execute(MOVE, [tenant_id, seq, seq, seq, lots])
        owner.execute(GIVE)
    migrate(database)
    with psycopg.connect(database) as owner:
        assert owner.execute(SAID, ["acme"]).fetchall() == [(1, True, None, None), (2, True, True, True)]
        assert owner.execute(SAID, ["rival"]).fetchall() == [(n, True, None, None) for n in (1, 2)]
        alike = "SELECT count(*) FROM wallet_part p JOIN wallet_transfer t USING (tenant_id, transfer_id, currency, made_at) WHERE p.expiries IS NOT DISTINCT FROM t.expiries"
        assert owner.execute(alike).fetchone() == (4,)
        forced = "SELECT count(*) FROM pg_class WHERE relname IN ('wallet_lot', 'wallet_transfer', 'wallet_part') AND relforcerowsecurity"
        assert owner.execute(forced).fetchone() == (3,)
