-- Makes a row without a fingerprint for each original that is not known; sorted by the caller. Its other columns are
-- those of the reversal that waits for it.
INSERT INTO event_met (tenant_id, event_id, fingerprint, user_id, action, occurred_at, received_at, attributes,
                       partition, log_offset)
SELECT e.tenant_id, e.event_id, NULL, e.user_id, e.action, e.occurred_at, e.received_at, '{}', e.partition, e.log_offset
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::int[],
            $8::bigint[])
  AS e (tenant_id, event_id, user_id, action, occurred_at, received_at, partition, log_offset)
ON CONFLICT (tenant_id, event_id) DO NOTHING
