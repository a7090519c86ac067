-- The items of one version of a named list. Locks nothing.
SELECT items::text AS items FROM named_list_version
WHERE tenant_id = $1 AND list_id = $2 AND version = $3
