-- Whether a tenant has cohorts by events that are still to count what stands before these ends (offsets by topic and partition). Locks nothing.
SELECT EXISTS (SELECT FROM cohort_rule WHERE tenant_id = :tenant_id) AND EXISTS (
    SELECT FROM jsonb_each(:ends) AS t CROSS JOIN LATERAL jsonb_each_text(t.value) AS p
    LEFT JOIN cohort_position c ON c.topic = t.key AND c.partition = p.key::integer
    WHERE coalesce(c.next_offset, 0) < p.value::bigint
)
