INSERT INTO book_pin (tenant_id, topic, partition, from_offset, book_version)
SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[])
ON CONFLICT DO NOTHING
