-- The stored positions of a topic, by partition.
SELECT partition, next_offset, generation, topic_id FROM consumer_position WHERE topic = $1 AND shard = 0
ORDER BY partition
