-- Each part of a tenant's book as it stood at a version, but other campaigns, cohorts and lists. Locks nothing.
SELECT DISTINCT ON (kind, object_id) kind, object_id, document::text AS document FROM book_change
WHERE tenant_id = $1 AND book_version <= $3 AND kind IN ('tenant', 'action', 'limit', 'campaign')
  AND (kind <> 'campaign' OR object_id = $2)
ORDER BY kind, object_id, book_version DESC
