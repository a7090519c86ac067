-- Who these users are by now, those of them that were merged into others. Locks nothing: it stays so while the tallies are shared.
SELECT m.tenant_id, m.user_id, m.merged_into
FROM unnest($1::text[], $2::text[]) AS asked (tenant_id, user_id)
JOIN user_merge m ON m.tenant_id = asked.tenant_id AND m.user_id = asked.user_id
