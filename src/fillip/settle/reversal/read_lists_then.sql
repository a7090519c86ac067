-- Named lists as they stood, each at a version of its tenant's book. Locks nothing: versions never change.
SELECT asked.tenant_id, asked.list_id, asked.book_version, l.version, l.items::text AS items
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS asked (tenant_id, list_id, book_version)
CROSS JOIN LATERAL (
    SELECT n.version, n.items FROM named_list_version n
    WHERE n.tenant_id = asked.tenant_id AND n.list_id = asked.list_id AND n.version <= asked.book_version
    ORDER BY n.version DESC LIMIT 1
) l
