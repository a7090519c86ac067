-- The position of a partition: where there is none, or it is of a log that is gone or begins behind it, the first offset $3 of the log
-- with the id $4. Locks what it makes or moves. Counting again adds nothing, so nobody has to look at it first.
WITH moved AS (
    INSERT INTO cohort_position AS p (topic, partition, next_offset, topic_id) VALUES ($1, $2, $3, $4)
    ON CONFLICT (topic, partition) DO UPDATE
        SET next_offset = excluded.next_offset, topic_id = excluded.topic_id, caught_up_at = NULL
        WHERE p.topic_id <> excluded.topic_id OR p.next_offset < excluded.next_offset
    RETURNING next_offset, topic_id, old.next_offset AS before
)
SELECT next_offset, topic_id, before FROM moved
UNION ALL
SELECT next_offset, topic_id, NULL FROM cohort_position
WHERE topic = $1 AND partition = $2 AND NOT EXISTS (SELECT FROM moved)
