-- Of these events, which are locked: what each said, whether some of it was taken back, whether it waits for the backfill of campaign $5,
-- and whether a worker decided it under version $3 of the tenant's book or a later one. That its pin tells, which each batch with a match
-- has. Locks nothing. One look into the index for each.
SELECT m.event_key, m.fingerprint,
       EXISTS (
           SELECT FROM reversal r WHERE r.tenant_id = $1 AND r.event_key = m.event_key AND r.state <> 'refused'
       ) AS reversed,
       EXISTS (
           SELECT FROM backfill_waiting w WHERE w.tenant_id = $1 AND w.campaign_id = $5 AND w.event_key = m.event_key
       ) AS waits,
       coalesce((
           SELECT b.book_version FROM book_pin b
           WHERE b.tenant_id = $1 AND b.topic = $4 AND b.partition = m.partition AND b.from_offset <= m.log_offset
             AND b.generation = coalesce((SELECT max(p.generation) FROM consumer_position p
                                          WHERE p.topic = $4 AND p.partition = m.partition AND p.shard = 0), 0)
           ORDER BY b.from_offset DESC LIMIT 1
       ), 0) >= $3 AS decided_since
FROM unnest($2::uuid[]) AS asked (event_key)
CROSS JOIN LATERAL (
    SELECT * FROM event_met e WHERE e.tenant_id = $1 AND e.event_key = asked.event_key
    OFFSET 0
) m
