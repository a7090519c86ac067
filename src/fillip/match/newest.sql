-- The newest version of each tenant's book. Locks nothing.
SELECT tenant_id, book_version FROM tenant WHERE tenant_id = ANY ($1::text[])
