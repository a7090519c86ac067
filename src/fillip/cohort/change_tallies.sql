-- Stores tallies that are locked.
UPDATE cohort_tally t
SET terms = n.terms, is_member = n.is_member, leaves_at = n.leaves_at, forget_at = n.forget_at,
    changed_at = CASE WHEN n.is_member <> t.is_listed THEN coalesce(t.changed_at, n.received_at) END
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::bytea[], $5::boolean[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[])
    AS n (tenant_id, rule_id, user_id, terms, is_member, leaves_at, forget_at, received_at)
WHERE t.tenant_id = n.tenant_id AND t.rule_id = n.rule_id AND t.user_id = n.user_id
