-- What is counted of two users is of the second by these rules. Both's tallies are locked.
WITH gone AS (
    DELETE FROM cohort_tally t WHERE t.tenant_id = :tenant_id AND t.rule_id = ANY (CAST(:rules AS uuid[])) AND t.user_id = :user_id
)
INSERT INTO cohort_tally AS t (tenant_id, rule_id, user_id, terms, is_member, is_listed, leaves_at, forget_at, changed_at)
SELECT :tenant_id, n.rule_id, :into, n.terms, n.is_member, n.is_listed, n.leaves_at, n.forget_at,
       CASE WHEN n.is_member <> n.is_listed THEN clock_timestamp() END
FROM unnest(CAST(:rules AS uuid[]), CAST(:terms AS bytea[]), CAST(:members AS boolean[]), CAST(:listed AS boolean[]),
            CAST(:leave AS timestamptz[]), CAST(:forget AS timestamptz[])) AS n (rule_id, terms, is_member, is_listed, leaves_at, forget_at)
ON CONFLICT (tenant_id, rule_id, user_id) DO UPDATE SET terms = excluded.terms, is_member = excluded.is_member,
    is_listed = excluded.is_listed, leaves_at = excluded.leaves_at, forget_at = excluded.forget_at,
    changed_at = CASE WHEN excluded.is_member <> excluded.is_listed THEN coalesce(t.changed_at, excluded.changed_at) END
