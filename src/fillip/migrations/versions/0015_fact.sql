-- Says with each change of lots when these lots expire, and lets what lots gave later be announced. Locks transfers of points and
-- parts, and writes those anew that name lots which expire.
ALTER TABLE wallet_transfer ADD COLUMN expiries timestamptz[]; -- of `lots`, in the order of their ids; NULL where none of them expires
ALTER TABLE wallet_part
    ADD COLUMN currency text CHECK (octet_length(currency) <= 32),
    ADD COLUMN expiries timestamptz[],
    ADD COLUMN made_at timestamptz;

-- The owner reads and writes what was there before: as owner, not as a tenant.
ALTER TABLE wallet_lot NO FORCE ROW LEVEL SECURITY;
ALTER TABLE wallet_transfer NO FORCE ROW LEVEL SECURITY;
ALTER TABLE wallet_part NO FORCE ROW LEVEL SECURITY;
CREATE FUNCTION pg_temp.list_expiries(tenant text, lots jsonb) RETURNS timestamptz[] LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN count(l.expires_at) > 0 THEN array_agg(l.expires_at ORDER BY n.place) END
    FROM jsonb_object_keys(lots) WITH ORDINALITY AS n (lot_id, place)
    LEFT JOIN wallet_lot l ON l.tenant_id = tenant AND l.lot_id = n.lot_id::uuid
$$;
UPDATE wallet_transfer t SET expiries = pg_temp.list_expiries(t.tenant_id, t.lots)
WHERE pg_temp.list_expiries(t.tenant_id, t.lots) IS NOT NULL;
-- when it gave was not kept: as if at once
UPDATE wallet_part p SET currency = t.currency, made_at = t.made_at, expiries = pg_temp.list_expiries(p.tenant_id, p.lots)
FROM wallet_transfer t WHERE t.tenant_id = p.tenant_id AND t.transfer_id = p.transfer_id;
ALTER TABLE wallet_lot FORCE ROW LEVEL SECURITY;
ALTER TABLE wallet_transfer FORCE ROW LEVEL SECURITY;
ALTER TABLE wallet_part FORCE ROW LEVEL SECURITY;
ALTER TABLE wallet_part ALTER currency SET NOT NULL, ALTER made_at SET NOT NULL;

ALTER PUBLICATION fillip ADD TABLE wallet_part;
