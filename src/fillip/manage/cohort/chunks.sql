-- The chunks of a cohort's list that are in force. Locks nothing.
SELECT chunk, members FROM cohort_chunk
WHERE tenant_id = :tenant_id AND content_id = :content_id AND until IS NULL AND left_at IS NULL AND chunk >= :first
ORDER BY chunk LIMIT :most
