-- Records events that were not known; which they were. Locks the rows it makes.
-- Sorted by the caller, so that two workers with the same ids wait for each other in one order. A row without a
-- fingerprint stands for an event that is not known yet and that a reversal names.
INSERT INTO event_met (tenant_id, event_key, event_id, event_source, fingerprint, user_id, action, occurred_at,
                       received_at, attributes, partition, log_offset)
SELECT e.tenant_id, e.event_key, e.event_id, e.event_source, e.fingerprint, e.user_id, e.action, e.occurred_at,
       e.received_at, e.attributes::jsonb, e.partition, e.log_offset
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::text[], $8::timestamptz[], $9::timestamptz[],
            $10::text[], $11::int[], $12::bigint[])
  AS e (tenant_id, event_key, event_id, event_source, fingerprint, user_id, action, occurred_at, received_at, attributes,
        partition, log_offset)
ON CONFLICT (tenant_id, event_key) DO NOTHING
RETURNING tenant_id, event_key
