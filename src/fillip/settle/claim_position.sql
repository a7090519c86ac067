-- The stored offset of a partition, made at $3 when there is none.
WITH made AS (
    INSERT INTO consumer_position (topic, partition, next_offset, owner) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING next_offset
)
SELECT next_offset FROM made
UNION ALL
SELECT next_offset FROM consumer_position WHERE topic = $1 AND partition = $2 AND generation = 0 AND shard = 0
LIMIT 1
