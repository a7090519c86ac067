-- Which rules these tenants have, and when each was saved. Locks nothing.
SELECT tenant_id, rule_id, saved_at FROM cohort_rule WHERE tenant_id = ANY ($1::text[])
