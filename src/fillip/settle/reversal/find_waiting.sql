-- The reversals that wait for these originals. Locks nothing: the originals are locked. One look into the index for each
-- original, as in all statements here: a join might be planned as a walk over all of a tenant's rows.
SELECT r.tenant_id, r.reversal_source, r.reversal_id, coalesce(u.merged_into, r.user_id) AS user_id, r.request::text AS request, r.occurred_at, r.received_at
FROM unnest($1::text[], $2::uuid[]) AS asked (tenant_id, event_key)
CROSS JOIN LATERAL (
    SELECT * FROM reversal w
    WHERE w.tenant_id = asked.tenant_id AND w.event_key = asked.event_key AND w.state = 'waiting'
    ORDER BY w.number
    OFFSET 0
) r
LEFT JOIN user_merge u ON u.tenant_id = r.tenant_id AND u.user_id = r.user_id
ORDER BY r.tenant_id, r.event_key, r.number
