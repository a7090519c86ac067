-- What was taken back of each of these originals by the last reversal of it, and what asking again for its incentives came to. Locks nothing: the originals are locked.
SELECT asked.tenant_id, asked.event_key, newest.share, newest.reevaluations::text AS reevaluations
FROM unnest($1::text[], $2::uuid[]) AS asked (tenant_id, event_key)
CROSS JOIN LATERAL (
    SELECT r.share, r.reevaluations
    FROM reversal r
    WHERE r.tenant_id = asked.tenant_id AND r.event_key = asked.event_key AND r.state = 'applied'
    ORDER BY r.number DESC LIMIT 1
) newest
