-- The tenant with the chunk that was left first, if nobody can be reading it any more. Locks nothing.
-- As fillip_sweep, which sees all tenants. A worker reads a list in minutes at most.
SELECT tenant_id FROM cohort_chunk WHERE left_at < $1::timestamptz - interval '15 minutes' ORDER BY left_at LIMIT 1
