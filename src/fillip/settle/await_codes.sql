-- As take_codes, which locks them, but where another batch holds codes it waits: what that one leaves over may be the last.
SELECT c.tenant_id, c.pool_id, c.code
FROM unnest($1::text[], $2::text[], $3::int[]) WITH ORDINALITY AS asked (tenant_id, pool_id, wanted, place)
CROSS JOIN LATERAL (
    SELECT f.tenant_id, f.pool_id, f.code FROM coupon f
    WHERE f.tenant_id = asked.tenant_id AND f.pool_id = asked.pool_id AND f.incentive_id IS NULL
    ORDER BY f.code LIMIT asked.wanted
    FOR UPDATE
) c
ORDER BY asked.place, c.code
