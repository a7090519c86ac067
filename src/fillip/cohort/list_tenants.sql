-- The tenants that have rules. Locks nothing.
SELECT DISTINCT tenant_id FROM cohort_rule ORDER BY tenant_id
