-- The rules that are being built, those first that were saved first. Locks nothing.
SELECT tenant_id, cohort_id, rule_id FROM cohort_rule WHERE state = 'building' ORDER BY saved_at LIMIT 100
