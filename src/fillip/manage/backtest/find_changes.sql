-- The versions of a tenant's book that changed what a campaign is decided by: all but other campaigns, and cohorts. Locks nothing.
SELECT book_version FROM book_change
WHERE tenant_id = $1 AND kind <> 'cohort' AND (kind <> 'campaign' OR object_id = $2)
ORDER BY book_version
