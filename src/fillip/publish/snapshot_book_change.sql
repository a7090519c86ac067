-- The newest state of every object, in the order of its change. Locks nothing.
SELECT * FROM (
    SELECT DISTINCT ON (tenant_id, kind, object_id) * FROM book_change
    ORDER BY tenant_id, kind, object_id, book_version DESC
) newest ORDER BY tenant_id, book_version
