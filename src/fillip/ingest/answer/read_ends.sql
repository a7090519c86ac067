-- Up to where each partition of a topic is decided, in its newest log. Locks nothing.
SELECT DISTINCT ON (partition) partition, generation, next_offset
FROM consumer_position WHERE topic = $1 AND shard = 0
ORDER BY partition, generation DESC
