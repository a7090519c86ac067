-- Changes of levels by day of the tenant's calendar and currency, a page of them.
WITH moves AS (
    SELECT (changed_at AT TIME ZONE $zone)::date AS day, currency, direction, from_level, to_level, count(*) AS changes
    FROM level_fact WHERE tenant_id = $tenant_id GROUP BY ALL
)
SELECT day, currency, coalesce(sum(changes) FILTER (direction = 'up'), 0)::bigint, coalesce(sum(changes) FILTER (direction = 'down'), 0)::bigint,
       coalesce(sum(changes) FILTER (direction = 'renamed'), 0)::bigint,
       list({'direction': direction, 'from_level': from_level, 'to_level': to_level, 'changes': changes}
            ORDER BY direction, from_level, to_level)
FROM moves
WHERE day BETWEEN $first AND $last AND (day > $after_day OR (day = $after_day AND currency > $after_name))
GROUP BY day, currency ORDER BY day, currency LIMIT $count
