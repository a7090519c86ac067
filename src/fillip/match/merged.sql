-- Who these users are by now, those of them that were merged into others. Locks nothing.
SELECT m.tenant_id, m.user_id, m.merged_into
FROM unnest($1::text[], $2::text[]) AS asked (tenant_id, user_id)
JOIN user_merge m USING (tenant_id, user_id)
