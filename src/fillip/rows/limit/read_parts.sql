-- What is used in the parts of rolling counters, those from a first to a last number. Locks nothing: who decides has locked the counters.
SELECT asked.tenant_id, asked.limit_id, asked.user_id, asked.key, p.part, p.used
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::date[], $6::bigint[], $7::bigint[])
  AS asked (tenant_id, limit_id, user_id, key, window_start, first, last)
CROSS JOIN LATERAL (
    SELECT l.part, l.used FROM limit_part l
    WHERE l.tenant_id = asked.tenant_id AND l.limit_id = asked.limit_id AND l.user_id = asked.user_id AND l.key = asked.key
      AND l.window_start = asked.window_start AND l.part BETWEEN asked.first AND asked.last
    OFFSET 0
) p
