-- The stored position of a partition; where there is none, it is made at $3 in the log with the id $4. Locks what it makes.
WITH stored AS (
    SELECT next_offset, generation, topic_id FROM consumer_position
    WHERE topic = $1 AND partition = $2 AND shard = 0 ORDER BY generation DESC LIMIT 1
), made AS (
    INSERT INTO consumer_position (topic, partition, next_offset, topic_id, owner)
    SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT FROM stored)
    ON CONFLICT DO NOTHING RETURNING next_offset, generation, topic_id
)
SELECT * FROM stored UNION ALL SELECT * FROM made
