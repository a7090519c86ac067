-- Reversals that the tallies know of go. Locks them.
DELETE FROM cohort_reversal r USING unnest($1::text[], $2::int[], $3::bigint[]) AS known (topic, partition, "offset")
WHERE r.topic = known.topic AND r.partition = known.partition AND r."offset" = known."offset"
