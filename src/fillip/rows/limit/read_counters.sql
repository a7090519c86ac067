-- Counters as they stand. Locks nothing.
SELECT c.tenant_id, c.limit_id, c.user_id, c.key, c.window_start, c.used, c.version
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::date[])
  AS asked (tenant_id, limit_id, user_id, key, window_start)
JOIN limit_counter c USING (tenant_id, limit_id, user_id, key, window_start)
