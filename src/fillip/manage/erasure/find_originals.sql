-- Of the tenant's rejected events the next `most` behind a place, and the bytes of those that may name a user: they hold its id, or an
-- escape, by which JSON may spell it. Locks nothing.
SELECT r.rejected_at, r.rejection_id,
    CASE WHEN position(:told IN r.original) > 0 OR position('\\u'::bytea IN r.original) > 0 THEN r.original END AS original
FROM rejection r
WHERE r.tenant_id = :tenant_id AND (r.rejected_at, r.rejection_id) > (:rejected_at, :rejection_id) AND r.rejected_at <= :cut_at
ORDER BY r.rejected_at, r.rejection_id LIMIT :most
