-- Marks a user's entries in (after, through] as taken in. Locks those that were not yet.
UPDATE inbox SET acked_at = clock_timestamp()
WHERE tenant_id = $1 AND user_id = $2 AND seq > $3 AND seq <= $4 AND acked_at IS NULL
