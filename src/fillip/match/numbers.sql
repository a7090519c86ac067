-- The numbers of these users, as far as they have one; of one that was merged into another that of the other. Locks nothing.
SELECT asked.tenant_id, asked.user_id, n.number
FROM unnest($1::text[], $2::text[]) AS asked (tenant_id, user_id)
LEFT JOIN user_merge m ON m.tenant_id = asked.tenant_id AND m.user_id = asked.user_id
JOIN user_number n ON n.tenant_id = asked.tenant_id AND n.user_id = coalesce(m.merged_into, asked.user_id)
