-- Tallies of which nothing counts any more go, $2 of a tenant and $3 in all at most; how many.
-- Locks them, and passes over those that another holds.
WITH due AS (
    SELECT d.tenant_id, d.rule_id, d.user_id
    FROM unnest($1::text[]) AS asked (tenant_id) CROSS JOIN LATERAL (
        SELECT t.tenant_id, t.rule_id, t.user_id FROM cohort_tally t
        WHERE t.tenant_id = asked.tenant_id AND NOT t.is_member AND NOT t.is_listed AND t.forget_at <= now()
        ORDER BY t.forget_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ) d
    LIMIT $3
), gone AS (
    DELETE FROM cohort_tally t USING due
    WHERE t.tenant_id = due.tenant_id AND t.rule_id = due.rule_id AND t.user_id = due.user_id
    RETURNING 1
)
SELECT count(*)::int FROM gone
