-- What the newest run of each backfill of a tenant has come to: counts that are not 0.
SELECT campaign_id, run, (
    SELECT coalesce(jsonb_object_agg(what, count), '{}') FROM (
        SELECT 'events_met' AS what, (result -> 'events_met')::int AS count
        UNION ALL
        SELECT 'decisions', (result -> 'granted')::int + coalesce((SELECT sum(n::int) FROM jsonb_each_text(result -> 'denied') AS d (reason, n)), 0)
        UNION ALL
        SELECT reason, n::int FROM jsonb_each_text(result -> 'passed_over') AS p (reason, n)
    ) AS counted WHERE count > 0
)
FROM backfill WHERE tenant_id = %(tenant)s
