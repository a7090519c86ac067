-- Who these users of a tenant are by now: themselves, or whom they were merged into. Locks nothing.
SELECT DISTINCT coalesce(m.merged_into, a.user_id)
FROM unnest(%(users)s::text[]) AS a (user_id)
LEFT JOIN user_merge m ON m.tenant_id = %(tenant)s AND m.user_id = a.user_id
