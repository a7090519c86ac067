-- Notes when partitions were counted to their ends. Locks their positions, and passes over those that a batch holds.
WITH ends AS (
    SELECT p.topic, p.partition
    FROM unnest($1::text[], $2::int[], $3::bigint[]) AS e (topic, partition, next_offset) JOIN cohort_position p USING (topic, partition)
    WHERE p.next_offset >= e.next_offset
    FOR NO KEY UPDATE OF p SKIP LOCKED
)
UPDATE cohort_position p SET caught_up_at = $4 FROM ends e WHERE p.topic = e.topic AND p.partition = e.partition
