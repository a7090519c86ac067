-- The backfill that is next, of all tenants: the one whose last turn began longest ago. Locks nothing.
SELECT tenant_id, campaign_id FROM backfill
WHERE state IN ('waiting', 'running') AND due_at <= now() AND (held_until IS NULL OR held_until < now())
ORDER BY begun_at NULLS FIRST, launched_at
LIMIT 1
