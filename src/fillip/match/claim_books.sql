-- Tells that a reader is about to read these books; those of them that exist. Locks its rows of them.
INSERT INTO book_held AS h (tenant_id, reader_id, book_version)
SELECT tenant_id, $1, -1 FROM tenant WHERE tenant_id = ANY ($2::text[]) ORDER BY tenant_id
ON CONFLICT (tenant_id, reader_id) DO UPDATE SET book_version = h.book_version
RETURNING tenant_id
