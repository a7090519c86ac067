-- What is counted of two users by rules of cohorts of which the first has any. Locks these tallies in the order of their keys.
SELECT t.rule_id, t.user_id, t.terms, t.is_listed, r.definition
FROM cohort_rule r JOIN cohort_tally t ON t.tenant_id = r.tenant_id AND t.rule_id = r.rule_id AND t.user_id = ANY (ARRAY[:user_id, :into])
WHERE r.tenant_id = :tenant_id AND EXISTS (
    SELECT FROM cohort_tally g WHERE g.tenant_id = r.tenant_id AND g.rule_id = r.rule_id AND g.user_id = :user_id)
ORDER BY t.rule_id, t.user_id
FOR UPDATE OF t
