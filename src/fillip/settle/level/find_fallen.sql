-- Locks nothing. Users whose level may fall by $1, tenant by tenant behind $2, of each at most $3 that have been due longest; without those that
-- are set aside ($5 to $7). As fillip_sweep, which sees all tenants.
SELECT f.tenant_id, f.currency, f.user_id
FROM tenant t
CROSS JOIN LATERAL (
    SELECT u.tenant_id, u.currency, u.user_id FROM user_level u
    WHERE u.tenant_id = t.tenant_id AND u.falls_at <= $1
      AND NOT EXISTS (SELECT FROM ladder l WHERE l.tenant_id = u.tenant_id AND l.currency = u.currency AND l.leaving)
      AND (u.tenant_id, u.currency, u.user_id) NOT IN (SELECT * FROM unnest($5::text[], $6::text[], $7::text[]))
    ORDER BY u.falls_at LIMIT $3
) AS f
WHERE t.tenant_id > $2
ORDER BY t.tenant_id LIMIT $4
