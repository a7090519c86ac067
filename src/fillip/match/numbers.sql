-- The numbers of these users, as far as they have one. Locks nothing.
SELECT tenant_id, user_id, number
FROM unnest($1::text[], $2::text[]) AS asked (tenant_id, user_id) JOIN user_number USING (tenant_id, user_id)
