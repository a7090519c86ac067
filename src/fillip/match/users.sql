-- The attributes and time zones of these users, as far as they are known. Locks nothing.
SELECT u.tenant_id, u.user_id, u.revision, convert_to(u.attributes::text, 'UTF8') AS attributes, u.time_zone
FROM unnest($1::text[], $2::text[]) AS asked (tenant_id, user_id)
JOIN end_user u USING (tenant_id, user_id)
