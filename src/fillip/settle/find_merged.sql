-- Whether one of these users was merged into another. Locks nothing: it stays so under the lock of the tenants' limits.
SELECT EXISTS (SELECT FROM unnest($1::text[], $2::text[]) AS asked (tenant_id, user_id) JOIN user_merge USING (tenant_id, user_id))
