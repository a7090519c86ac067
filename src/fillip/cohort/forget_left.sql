-- Some tallies of a rule that nobody goes by any more go; how many. Locks them.
WITH left_over AS (
    SELECT tenant_id, rule_id, user_id FROM cohort_tally WHERE tenant_id = $1 AND rule_id = $2 LIMIT $3 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM cohort_tally t USING left_over l
    WHERE t.tenant_id = l.tenant_id AND t.rule_id = l.rule_id AND t.user_id = l.user_id
    RETURNING 1
)
SELECT count(*)::int FROM gone
