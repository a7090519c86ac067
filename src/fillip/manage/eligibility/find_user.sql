-- A user's attributes at their revision, with levels, and their own time zone, as the worker reads them. Locks nothing.
SELECT u.revision, convert_to(u.attributes::text, 'UTF8') AS attributes, u.time_zone FROM read_users(ARRAY[$1::text], ARRAY[$2::text]) u
