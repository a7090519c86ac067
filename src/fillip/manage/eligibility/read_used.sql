-- Of these limits ($2) the counters without a key that a user ($3) has, or all users share, in windows that begin on these days ($4), as far
-- as any was used. Locks nothing.
SELECT c.limit_id, c.user_id, c.window_start, c.used, c.version
FROM unnest($2::text[]) AS asked (limit_id)
JOIN limit_counter c ON c.tenant_id = $1 AND c.limit_id = asked.limit_id AND c.user_id = ANY (ARRAY['', $3::text]) AND c.key = ''
  AND c.window_start = ANY ($4::date[])
