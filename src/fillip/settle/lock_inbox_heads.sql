-- The last inbox number of users who have one. Locks their inbox heads, in the order of (tenant, user).
SELECT h.tenant_id, h.user_id, h.last_seq
FROM unnest($1::text[], $2::text[]) AS asked (tenant_id, user_id)
JOIN inbox_head h USING (tenant_id, user_id)
ORDER BY h.tenant_id, h.user_id
FOR UPDATE OF h
