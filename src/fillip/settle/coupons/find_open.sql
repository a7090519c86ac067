-- Locks nothing. The first generation that is not done of each tenant behind $1, tenant by tenant, without those set aside ($3, $4). As
-- fillip_sweep, which sees all tenants.
SELECT g.tenant_id, g.generation_id
FROM tenant t
CROSS JOIN LATERAL (
    SELECT o.tenant_id, o.generation_id FROM coupon_generation o
    WHERE o.tenant_id = t.tenant_id AND o.finished_at IS NULL
      AND (o.tenant_id, o.generation_id) NOT IN (SELECT * FROM unnest($3::text[], $4::uuid[]))
    ORDER BY o.generation_id LIMIT 1
) AS g
WHERE t.tenant_id > $1
ORDER BY t.tenant_id LIMIT $2
