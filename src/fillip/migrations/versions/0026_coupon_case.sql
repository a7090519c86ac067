-- Codes are compared without their case, but in pools that say otherwise. Rewrites the table of codes, locked meanwhile.
ALTER TABLE coupon_pool ADD COLUMN case_sensitive boolean NOT NULL DEFAULT false;
ALTER TABLE coupon
    ADD COLUMN case_sensitive boolean NOT NULL DEFAULT false,  -- as its pool, which never changes
    ADD COLUMN folded text COLLATE "C" NOT NULL GENERATED ALWAYS AS (lower(code)) STORED CHECK (octet_length(folded) <= 64);

-- Pools with codes that only their case tells apart, in whatever pools these are, go on as they were.
ALTER TABLE coupon_pool NO FORCE ROW LEVEL SECURITY;
ALTER TABLE coupon NO FORCE ROW LEVEL SECURITY;
UPDATE coupon_pool p SET case_sensitive = true
FROM (
    SELECT DISTINCT c.tenant_id, c.pool_id
    FROM (SELECT tenant_id, folded FROM coupon GROUP BY tenant_id, folded HAVING count(*) > 1) AS twice
    JOIN coupon c USING (tenant_id, folded)
) AS s
WHERE p.tenant_id = s.tenant_id AND p.pool_id = s.pool_id;
UPDATE coupon c SET case_sensitive = true
FROM coupon_pool p
WHERE p.case_sensitive AND c.tenant_id = p.tenant_id AND c.pool_id = p.pool_id;
ALTER TABLE coupon FORCE ROW LEVEL SECURITY;
ALTER TABLE coupon_pool FORCE ROW LEVEL SECURITY;

-- A look-up is one step in the first index, or in the key where a code is compared as it is. The second finds codes of such pools that another
-- pool's would be taken for: those are refused.
CREATE UNIQUE INDEX coupon_folded ON coupon (tenant_id, folded) WHERE NOT case_sensitive;
CREATE INDEX coupon_exact ON coupon (tenant_id, folded) WHERE case_sensitive;

-- Has the adding of codes to a tenant's pools alone until the transaction ends, so that no two that clash are added at once.
CREATE FUNCTION hold_codes(tenant_id text) RETURNS void LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT pg_advisory_xact_lock(hashtextextended(tenant_id, 7071));
END;

GRANT SELECT ON coupon_pool TO fillip_worker;
