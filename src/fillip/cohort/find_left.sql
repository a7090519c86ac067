-- The rule that was left first, once no batch counts by it any more. Locks nothing.
SELECT tenant_id, rule_id FROM cohort_rule_left WHERE left_at < now() - interval '1 minute' ORDER BY left_at LIMIT 1
