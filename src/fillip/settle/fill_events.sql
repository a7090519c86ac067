-- The originals that a reversal was waiting for: their rows, which are locked, get what the event says.
UPDATE event_met m
SET fingerprint = e.fingerprint, user_id = e.user_id, action = e.action, occurred_at = e.occurred_at,
    received_at = e.received_at, attributes = e.attributes::jsonb, partition = e.partition, log_offset = e.log_offset
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::text[], $8::timestamptz[], $9::timestamptz[],
            $10::text[], $11::int[], $12::bigint[])
  AS e (tenant_id, event_key, event_id, event_source, fingerprint, user_id, action, occurred_at, received_at, attributes,
        partition, log_offset)
WHERE m.tenant_id = e.tenant_id AND m.event_key = e.event_key AND m.fingerprint IS NULL
RETURNING m.tenant_id, m.event_key
