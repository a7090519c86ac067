-- Some of the users whom the list of a rule does not hold as its tallies do; it will. Locks their tallies, and passes over those that
-- another holds.
-- An array, so that each is looked up by the key: joined, all tallies of the rule would be read for each.
WITH picked AS (
    SELECT user_id FROM cohort_tally
    WHERE tenant_id = :tenant_id AND rule_id = :rule_id AND is_member <> is_listed
    ORDER BY changed_at LIMIT :most FOR UPDATE SKIP LOCKED
)
UPDATE cohort_tally t SET is_listed = is_member, changed_at = NULL
WHERE t.tenant_id = :tenant_id AND t.rule_id = :rule_id AND t.user_id = ANY (ARRAY (SELECT user_id FROM picked))
RETURNING t.user_id, t.is_member, extract(epoch FROM clock_timestamp() - old.changed_at)::float8 AS behind_s
