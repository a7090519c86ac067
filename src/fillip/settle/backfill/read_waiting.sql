-- What these events said, by their numbers, and whether some of each was taken back, or its user is being erased. Locks nothing: the
-- events are locked, by a statement before, so that this one sees all that others did under their locks.
SELECT w.number, m.event_key, m.event_source, m.event_id, m.user_id, m.action, m.occurred_at, m.received_at, m.partition, m.log_offset,
       m.attributes::text AS attributes,
       EXISTS (
           SELECT FROM reversal r WHERE r.tenant_id = $1 AND r.event_key = m.event_key AND r.state <> 'refused'
       ) AS reversed,
       EXISTS (SELECT FROM erasure a WHERE a.tenant_id = $1 AND a.user_id = m.user_id) AS erasing
FROM unnest($2::bigint[], $3::uuid[]) AS w (number, event_key)
CROSS JOIN LATERAL (
    SELECT * FROM event_met e WHERE e.tenant_id = $1 AND e.event_key = w.event_key
    OFFSET 0
) m
ORDER BY w.number
