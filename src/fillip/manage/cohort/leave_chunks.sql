-- Chunks of a list to which others have come in at a version are left to the sweep. Locks them until the commit.
UPDATE cohort_chunk SET until = :version, left_at = now()
WHERE tenant_id = :tenant_id AND content_id = :content_id AND chunk = ANY (:chunks) AND until IS NULL AND left_at IS NULL
