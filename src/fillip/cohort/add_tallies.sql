-- Stores the first tallies of users, except where another was quicker; how many. Locks what it makes.
WITH made AS (
    INSERT INTO cohort_tally (tenant_id, rule_id, user_id, terms, is_member, leaves_at, forget_at, changed_at)
    SELECT tenant_id, rule_id, user_id, terms, is_member, leaves_at, forget_at, CASE WHEN is_member THEN received_at END
    FROM unnest($1::text[], $2::uuid[], $3::text[], $4::bytea[], $5::boolean[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[])
        AS n (tenant_id, rule_id, user_id, terms, is_member, leaves_at, forget_at, received_at)
    ORDER BY tenant_id, rule_id, user_id
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT count(*)::int FROM made
