-- The import whose portions have waited longest, of all tenants. Locks nothing. As fillip_sweep, which sees all tenants.
SELECT tenant_id, import_id FROM balance_import WHERE next_at <= now() ORDER BY next_at LIMIT 1
