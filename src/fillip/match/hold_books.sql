-- Tells under which versions a reader decides. Locks its rows of these books.
INSERT INTO book_held (tenant_id, reader_id, book_version)
SELECT tenant_id, $1, version FROM unnest($2::text[], $3::bigint[]) AS held (tenant_id, version) ORDER BY tenant_id
ON CONFLICT (tenant_id, reader_id) DO UPDATE SET book_version = excluded.book_version
