-- Some parts of a content go; how many. Locks those parts, which nobody writes any more.
WITH removed AS (
    DELETE FROM cohort_part WHERE tenant_id = $1 AND content_id = $2 AND first_id IN (
        SELECT first_id FROM cohort_part WHERE tenant_id = $1 AND content_id = $2 ORDER BY first_id LIMIT $3)
    RETURNING 1
)
SELECT count(*)::int FROM removed
