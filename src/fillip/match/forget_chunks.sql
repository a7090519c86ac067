-- Some chunks of a tenant that were left go; how many. Locks those, which nobody writes any more.
WITH due AS (
    SELECT content_id, chunk, version FROM cohort_chunk
    WHERE tenant_id = $1 AND left_at < $2::timestamptz - interval '15 minutes' ORDER BY left_at LIMIT $3
), removed AS (
    DELETE FROM cohort_chunk c USING due
    WHERE c.tenant_id = $1 AND (c.content_id, c.chunk, c.version) = (due.content_id, due.chunk, due.version)
    RETURNING 1
)
SELECT count(*)::int FROM removed
