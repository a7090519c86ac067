-- The next chunks ($6 at most, behind $5) of a cohort's list at version $4 that were not so at version $3. Locks nothing.
SELECT chunk, members FROM cohort_chunk
WHERE tenant_id = $1 AND content_id = $2 AND version > $3 AND version <= $4 AND coalesce(until > $4, true) AND chunk > $5
ORDER BY chunk LIMIT $6
