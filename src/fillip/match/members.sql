SELECT user_id FROM cohort_member WHERE tenant_id = $1 AND cohort_id = $2
