-- The chunk that tells of one user, of each cohort of the tenant. Locks nothing.
SELECT c.cohort_id, n.number, found.members
FROM user_number n JOIN cohort c ON c.tenant_id = n.tenant_id
JOIN LATERAL (
    SELECT k.members FROM cohort_chunk k
    WHERE k.tenant_id = c.tenant_id AND k.content_id = c.content_id AND k.chunk = n.number >> 16
      AND k.version <= c.version AND k.until IS NULL
) found ON true
WHERE n.tenant_id = :tenant_id AND n.user_id = :user_id
