-- The reversals that the tallies don't know of yet and the workers are past, $1 of each partition, by tenant. Locks nothing.
SELECT r.topic, r.partition, r."offset", r.tenant_id, r.event_key, r.received_at
FROM consumer_position p CROSS JOIN LATERAL (
    SELECT * FROM cohort_reversal r
    WHERE r.topic = p.topic AND r.partition = p.partition AND r."offset" < p.next_offset
    ORDER BY r."offset" LIMIT $1
) r
WHERE p.shard = 0
ORDER BY r.tenant_id, r.topic, r.partition, r."offset"
