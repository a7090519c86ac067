-- The cohorts of these tenants whose lists don't say yet who has joined or left. Locks nothing.
SELECT r.tenant_id, r.cohort_id FROM cohort_rule r
WHERE r.tenant_id = ANY ($1::text[]) AND r.state = 'in_force' AND EXISTS (
    SELECT FROM cohort_tally t WHERE t.tenant_id = r.tenant_id AND t.rule_id = r.rule_id AND t.is_member <> t.is_listed)
