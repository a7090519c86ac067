-- Some rules of these tenants. Locks nothing.
SELECT tenant_id, rule_id, saved_at, definition::text AS definition, rule_checked, sum_checked
FROM cohort_rule WHERE tenant_id = ANY ($1::text[]) AND rule_id = ANY ($2::uuid[])
