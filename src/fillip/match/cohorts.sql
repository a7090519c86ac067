SELECT cohort_id, version FROM cohort WHERE tenant_id = $1
