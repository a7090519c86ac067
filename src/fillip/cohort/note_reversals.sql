-- Notes reversals that the tallies don't know of yet. Locks what it makes.
INSERT INTO cohort_reversal (topic, partition, "offset", tenant_id, event_key, received_at)
SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::text[], $5::uuid[], $6::timestamptz[])
ON CONFLICT DO NOTHING
