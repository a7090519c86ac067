-- What was asked to be taken back of these events, in the order in which it was, under who the user is by now: of each the first hundred, and some 256 kB.
-- Locks nothing.
SELECT asked.tenant_id, asked.event_key, coalesce(m.merged_into, r.user_id) AS user_id, r.request::text AS request
FROM unnest($1::text[], $2::uuid[]) AS asked (tenant_id, event_key)
CROSS JOIN LATERAL (
    SELECT first.*, sum(pg_column_size(first.request)) OVER (ORDER BY first.number) AS octets
    FROM (
        SELECT e.user_id, e.request, e.number FROM reversal e
        WHERE e.tenant_id = asked.tenant_id AND e.event_key = asked.event_key
        ORDER BY e.number LIMIT 100
    ) first
) r
LEFT JOIN user_merge m ON m.tenant_id = asked.tenant_id AND m.user_id = r.user_id
WHERE r.octets <= 262144
ORDER BY asked.tenant_id, asked.event_key, r.number
