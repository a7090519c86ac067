-- These chunks of a cohort's list as they are in force. Locks nothing: its cohort's row is locked.
SELECT chunk, members FROM cohort_chunk
WHERE tenant_id = :tenant_id AND content_id = :content_id AND until IS NULL AND left_at IS NULL AND chunk = ANY (:chunks)
