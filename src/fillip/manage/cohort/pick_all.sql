-- The next users (behind `after`) that a rule has a tally of, for its first list; it will hold them as that does. Locks their tallies.
-- An array, so that each is looked up by the key: joined, all tallies of the rule would be read for each.
WITH picked AS (
    SELECT user_id FROM cohort_tally
    WHERE tenant_id = :tenant_id AND rule_id = :rule_id AND user_id > :after
    ORDER BY user_id LIMIT :most FOR UPDATE
)
UPDATE cohort_tally t SET is_listed = is_member, changed_at = NULL
WHERE t.tenant_id = :tenant_id AND t.rule_id = :rule_id AND t.user_id = ANY (ARRAY (SELECT user_id FROM picked))
RETURNING t.user_id, t.is_member
