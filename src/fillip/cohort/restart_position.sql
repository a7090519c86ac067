-- Lets a partition be counted from $4 on, if its position is still what was seen. Locks it. Counting again adds nothing.
UPDATE cohort_position SET next_offset = $4, caught_up_at = NULL
WHERE topic = $1 AND partition = $2 AND next_offset = $3 AND topic_id = $5
