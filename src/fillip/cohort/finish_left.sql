-- Nothing is left of a rule. Locks its row.
DELETE FROM cohort_rule_left WHERE tenant_id = $1 AND rule_id = $2
