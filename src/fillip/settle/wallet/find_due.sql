-- Locks nothing. Wallets with something due, tenant by tenant behind $3, of each at most $4 that have waited longest, and how many lots
-- are due in each, counted up to $2 or a little more; without those that are set aside ($6 to $8). As fillip_sweep, which sees all tenants.
SELECT w.tenant_id, w.user_id, w.currency, d.lots
FROM tenant t
CROSS JOIN LATERAL (
    SELECT w.* FROM wallet w
    WHERE w.tenant_id = t.tenant_id AND w.due_at <= $1
      AND (w.tenant_id, w.user_id, w.currency) NOT IN (SELECT * FROM unnest($6::text[], $7::text[], $8::text[]))
    ORDER BY w.due_at LIMIT $4
) AS w
CROSS JOIN LATERAL (
    SELECT count(*)::int AS lots
    FROM list_due_lots(w.tenant_id, w.user_id, w.currency, w.activated_to, w.expired_to, $1, $2)
) AS d
WHERE t.tenant_id > $3
ORDER BY t.tenant_id LIMIT $5
