-- Pins that a batch stores; one that is there already stays. Locks the rows it makes.
INSERT INTO book_pin (tenant_id, topic, partition, from_offset, book_version, generation)
SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::int[])
ON CONFLICT DO NOTHING
