-- What was used of a limit by hour, a page of them.
SELECT hour AT TIME ZONE 'UTC', sum(used) AS used FROM use_fact
WHERE tenant_id = $tenant_id AND limit_id = $limit_id AND ($key::varchar IS NULL OR key = $key)
  AND hour >= $begin AND hour < $end AND hour > $after
GROUP BY hour ORDER BY hour LIMIT $count
