-- These chunks of some cohorts' lists as they are in force. Locks nothing: the lists are held.
SELECT content_id, chunk, members FROM cohort_chunk
WHERE tenant_id = :tenant_id AND content_id = ANY (:content_ids) AND chunk = ANY (:chunks) AND until IS NULL AND left_at IS NULL
