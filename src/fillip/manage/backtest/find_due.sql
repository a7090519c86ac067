-- The backtest that is next, of all tenants: of the tenant that was served longest ago and has none going on, the one asked first.
-- Locks nothing.
SELECT d.tenant_id, d.backtest_id
FROM (
    SELECT tenant_id, (array_agg(backtest_id ORDER BY asked_at))[1] AS backtest_id, min(asked_at) AS asked_at
    FROM backtest WHERE state IN ('waiting', 'running')
    GROUP BY tenant_id
    HAVING count(*) FILTER (WHERE held_until >= now()) = 0
) d CROSS JOIN LATERAL (SELECT max(b.begun_at) AS begun_at FROM backtest b WHERE b.tenant_id = d.tenant_id) mine
ORDER BY mine.begun_at NULLS FIRST, d.asked_at
LIMIT 1
