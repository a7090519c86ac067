-- How many seconds a list is behind the events: since the oldest change that it doesn't hold, or the oldest reversal that is not taken out, or since an event can have come that is
-- not counted. NULL where that can't be told. Locks nothing.
SELECT extract(epoch FROM clock_timestamp() - least(
    (SELECT min(changed_at) FROM cohort_tally WHERE tenant_id = :tenant_id AND rule_id = :rule_id AND is_member <> is_listed),
    (SELECT min(received_at) FROM cohort_reversal WHERE tenant_id = :tenant_id),
    (SELECT min(greatest(received_at, caught_up_at)) FROM cohort_position)
))::float8 AS behind_s
