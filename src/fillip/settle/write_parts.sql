-- What is used in parts of rolling counters by now. The counters are locked, so nobody else writes their parts.
INSERT INTO limit_part (tenant_id, limit_id, user_id, key, window_start, part, used)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::date[], $6::bigint[], $7::bigint[])
ON CONFLICT (tenant_id, limit_id, user_id, key, window_start, part) DO UPDATE SET used = excluded.used
