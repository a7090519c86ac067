-- A user's attributes at their revision, and their own time zone, as the worker reads them. Locks nothing.
SELECT u.revision, convert_to(u.attributes::text, 'UTF8') AS attributes, u.time_zone FROM end_user u WHERE u.tenant_id = $1 AND u.user_id = $2
