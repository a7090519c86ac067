-- Opens the next generation of a partition at $6 in the topic with the id $7, if the position is still what was seen.
-- Locks the position. Who reads under the old generation finds no row to settle by any more.
UPDATE consumer_position
SET generation = generation + 1, next_offset = $6, topic_id = $7, owner = $8, updated_at = clock_timestamp()
WHERE topic = $1 AND partition = $2 AND shard = 0 AND next_offset = $3 AND generation = $4 AND topic_id = $5
