-- The cohort whose run is next, of all tenants: of the tenant that was served longest ago and has none going on, the one due first.
-- Locks nothing.
SELECT d.tenant_id, d.cohort_id
FROM (
    SELECT tenant_id, (array_agg(cohort_id ORDER BY next_run_at))[1] AS cohort_id, min(next_run_at) AS next_run_at
    FROM cohort WHERE kind = 'sql' AND next_run_at <= now()
    GROUP BY tenant_id
) d CROSS JOIN LATERAL (
    SELECT max(c.begun_at) AS begun_at, max(c.held_until) AS held_until
    FROM cohort c WHERE c.tenant_id = d.tenant_id AND c.kind = 'sql'
) mine
WHERE mine.held_until IS NULL OR mine.held_until < now()
ORDER BY mine.begun_at NULLS FIRST, d.next_run_at
LIMIT 1
