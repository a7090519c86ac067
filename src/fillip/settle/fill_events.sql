-- The originals that a reversal was waiting for: their rows get what the event says.
UPDATE event_met m
SET fingerprint = e.fingerprint, user_id = e.user_id, action = e.action, occurred_at = e.occurred_at,
    received_at = e.received_at, attributes = e.attributes::jsonb, partition = e.partition, log_offset = e.log_offset
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],
            $8::text[], $9::int[], $10::bigint[])
  AS e (tenant_id, event_id, fingerprint, user_id, action, occurred_at, received_at, attributes, partition, log_offset)
WHERE m.tenant_id = e.tenant_id AND m.event_id = e.event_id AND m.fingerprint IS NULL
RETURNING m.tenant_id, m.event_id
