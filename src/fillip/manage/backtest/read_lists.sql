-- Some named lists of a tenant as they stood at a version of its book. Locks nothing.
SELECT DISTINCT ON (list_id) list_id, version, items::text AS items FROM named_list_version
WHERE tenant_id = $1 AND list_id = ANY ($2::text[]) AND version <= $3
ORDER BY list_id, version DESC
