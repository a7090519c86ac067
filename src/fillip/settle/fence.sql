-- Locks and moves the offsets of a batch if all of them stand where it starts, and names its tenants to row-level security.
WITH span AS (
    SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::int[])
      AS s (topic, partition, start, stop, generation)
), held AS MATERIALIZED (
    SELECT p.topic, p.partition, p.generation, s.stop
    FROM consumer_position p JOIN span s USING (topic, partition, generation)
    WHERE p.shard = 0 AND p.next_offset = s.start
    ORDER BY p.topic, p.partition
    FOR UPDATE OF p
), moved AS (
    UPDATE consumer_position p SET next_offset = h.stop, owner = $6, updated_at = clock_timestamp()
    FROM held h
    WHERE p.topic = h.topic AND p.partition = h.partition AND p.shard = 0
          AND p.generation = h.generation
    RETURNING 1
)
SELECT (SELECT count(*) FROM moved) AS moved, set_config('app.tenants', $7, true)
