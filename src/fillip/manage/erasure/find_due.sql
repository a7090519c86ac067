-- The erasure that is due first, of all tenants, and that no process holds. Locks nothing.
SELECT tenant_id, erasure_id FROM erasure
WHERE next_at <= now() AND (held_until IS NULL OR held_until < now())
ORDER BY next_at LIMIT 1
