-- The merge whose portions have waited longest, of all tenants. Locks nothing. As fillip_sweep, which sees all tenants.
SELECT tenant_id, user_id FROM user_merge WHERE next_at <= now() ORDER BY next_at LIMIT 1
