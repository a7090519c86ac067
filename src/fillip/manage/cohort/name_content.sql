-- A list that is written comes into force; the one before it, and one that came to nothing, is left to the sweep. Locks
-- both until the commit.
-- Tells whether `named` is there: the sweep removes what has not come into force within an hour.
UPDATE cohort_content SET is_in_force = (content_id = :named), is_left = (content_id <> :named)
WHERE tenant_id = :tenant_id AND content_id IN (:named, :former)
  AND (content_id <> :named OR made_at > now() - interval '30 minutes')
RETURNING content_id = :named
