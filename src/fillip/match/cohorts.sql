-- A tenant's cohorts that have a list: which of its versions is in force. Locks nothing.
SELECT cohort_id, version, content_id, size FROM cohort WHERE tenant_id = $1 AND version > 0
