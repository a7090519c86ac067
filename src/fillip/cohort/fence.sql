-- Locks and moves the positions of a batch if all of them stand where it starts; how many were moved.
WITH span AS (
    SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::timestamptz[])
      AS s (topic, partition, start, stop, received_at)
), held AS MATERIALIZED (
    SELECT p.topic, p.partition, s.stop, s.received_at
    FROM cohort_position p JOIN span s USING (topic, partition)
    WHERE p.next_offset = s.start
    ORDER BY p.topic, p.partition
    FOR UPDATE OF p
), moved AS (
    UPDATE cohort_position p SET next_offset = h.stop, received_at = h.received_at
    FROM held h WHERE p.topic = h.topic AND p.partition = h.partition
    RETURNING 1
)
SELECT count(*)::int FROM moved
