-- Sorted by the caller, so that two workers with the same ids wait for each other in one order. A row without a
-- fingerprint stands for an event that is not known yet and that a reversal names.
INSERT INTO event_met (tenant_id, event_id, fingerprint, user_id, action, occurred_at, received_at, attributes,
                       partition, log_offset)
SELECT e.tenant_id, e.event_id, e.fingerprint, e.user_id, e.action, e.occurred_at, e.received_at,
       e.attributes::jsonb, e.partition, e.log_offset
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],
            $8::text[], $9::int[], $10::bigint[])
  AS e (tenant_id, event_id, fingerprint, user_id, action, occurred_at, received_at, attributes, partition, log_offset)
ON CONFLICT (tenant_id, event_id) DO NOTHING
RETURNING tenant_id, event_id
