-- What is kept of these users under these rules. Locks the tallies in the order of their keys.
SELECT t.tenant_id, t.rule_id, t.user_id, t.terms
FROM unnest($1::text[], $2::uuid[], $3::text[]) AS asked (tenant_id, rule_id, user_id)
JOIN cohort_tally t USING (tenant_id, rule_id, user_id)
ORDER BY t.tenant_id, t.rule_id, t.user_id
FOR UPDATE OF t
