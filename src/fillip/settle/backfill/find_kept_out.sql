-- Of these events, by their places in the log: those that were rejected there, and those of users who are being erased. Locks nothing.
SELECT e.place, coalesce(r.rejected, false) AS rejected, coalesce(u.erasing, false) AS erasing
FROM unnest($2::int[], $3::bigint[], $4::text[]) WITH ORDINALITY AS e (partition, log_offset, user_id, place)
LEFT JOIN LATERAL (
    SELECT true AS rejected FROM rejection r
    WHERE r.topic = $5 AND r.partition = e.partition AND r.log_offset = e.log_offset AND r.tenant_id = $1
      AND r.generation = coalesce((SELECT max(p.generation) FROM consumer_position p
                                   WHERE p.topic = $5 AND p.partition = e.partition AND p.shard = 0), 0)
) r ON true
LEFT JOIN LATERAL (
    SELECT true AS erasing FROM erasure a WHERE a.tenant_id = $1 AND a.user_id = e.user_id
) u ON true
WHERE r.rejected OR u.erasing
