-- Locks nothing. Holds of points that have timed out, or have more to give back, tenant by tenant behind $2, of each at most $3 that
-- have waited longest; without those that are set aside ($5 to $8). As fillip_sweep, which sees all tenants.
SELECT h.tenant_id, h.user_id, h.currency, h.transfer_id
FROM tenant t
CROSS JOIN LATERAL (
    SELECT w.tenant_id, w.user_id, w.currency, w.transfer_id FROM wallet_hold w
    WHERE w.tenant_id = t.tenant_id AND w.due_at <= $1
      AND (w.tenant_id, w.user_id, w.currency, w.transfer_id)
          NOT IN (SELECT * FROM unnest($5::text[], $6::text[], $7::text[], $8::uuid[]))
    ORDER BY w.due_at LIMIT $3
) AS h
WHERE t.tenant_id > $2
ORDER BY t.tenant_id LIMIT $4
