-- The list of a cohort that is deleted is left to the sweep. Locks its chunks until the commit.
UPDATE cohort_chunk SET left_at = now()
WHERE tenant_id = :tenant_id AND content_id = :content_id AND left_at IS NULL
