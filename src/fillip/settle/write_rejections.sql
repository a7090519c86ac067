-- Rejections of a batch, each once. Locks the rows it makes.
INSERT INTO rejection (rejection_id, tenant_id, topic, partition, log_offset, reason, detail, event_id, event_source,
                       original, received_at, generation)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::bigint[], $6::text[], $7::text[], $8::text[],
                     $9::text[], $10::bytea[], $11::timestamptz[], $12::int[])
ON CONFLICT DO NOTHING -- the same log is being read again
