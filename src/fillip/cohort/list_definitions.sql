-- The rules of a tenant. Locks nothing.
SELECT rule_id, definition::text AS definition FROM cohort_rule WHERE tenant_id = $1
