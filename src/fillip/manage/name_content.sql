-- A list that is written comes into force; the one before it, and one that came to nothing, is left to the sweep.
UPDATE cohort_content SET is_in_force = (content_id = :named), is_left = (content_id <> :named)
WHERE tenant_id = :tenant_id AND content_id IN (:named, :former)
