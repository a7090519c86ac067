-- A tenant's cohorts: which content is in force. Locks nothing.
SELECT cohort_id, version, content_id, size FROM cohort WHERE tenant_id = $1
