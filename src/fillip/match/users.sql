-- The attributes, with levels, and time zones of these users, as far as they are known. Locks nothing.
SELECT u.tenant_id, u.user_id, u.revision, convert_to(u.attributes::text, 'UTF8') AS attributes, u.time_zone
FROM read_users($1::text[], $2::text[]) u
