-- Locks nothing. Incentives that are due, tenant by tenant behind $2, of each at most $3 that have been due longest; without those that
-- are set aside ($5, $6). As fillip_sweep, which sees all tenants. Points expire in their wallets.
SELECT i.tenant_id, i.incentive_id
FROM tenant t
CROSS JOIN LATERAL (
    SELECT d.tenant_id, d.incentive_id FROM incentive d
    WHERE d.tenant_id = t.tenant_id AND d.state = 'granted' AND d.kind <> 'points' AND d.expires_at <= $1
      AND (d.tenant_id, d.incentive_id) NOT IN (SELECT * FROM unnest($5::text[], $6::uuid[]))
    ORDER BY d.expires_at LIMIT $3
) AS i
WHERE t.tenant_id > $2
ORDER BY t.tenant_id LIMIT $4
