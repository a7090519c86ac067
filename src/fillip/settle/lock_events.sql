-- Locks these events, named in sorted order; also those that have not come: whoever fills one of them finds the reversals
-- of this batch. One look into the index for each: a join might be planned as a walk over all of a tenant's rows.
SELECT m.tenant_id, m.event_key, coalesce(u.merged_into, m.user_id) AS user_id, m.action, m.occurred_at, m.fingerprint IS NOT NULL AS come
FROM unnest($1::text[], $2::uuid[]) AS asked (tenant_id, event_key)
CROSS JOIN LATERAL (
    SELECT * FROM event_met e WHERE e.tenant_id = asked.tenant_id AND e.event_key = asked.event_key
    FOR UPDATE
) m
LEFT JOIN user_merge u ON u.tenant_id = m.tenant_id AND u.user_id = m.user_id
