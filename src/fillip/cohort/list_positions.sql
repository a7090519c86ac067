-- The stored positions of a topic, by partition. Locks nothing.
SELECT partition, next_offset, topic_id FROM cohort_position WHERE topic = $1 ORDER BY partition
