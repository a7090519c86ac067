-- Rejections by day and reason, a page of them.
SELECT day, reason, count(*) AS count FROM rejection_fact
WHERE tenant_id = $tenant_id AND day BETWEEN $first AND $last
  AND (day > $after_day OR (day = $after_day AND reason > $after_name))
GROUP BY ALL ORDER BY day, reason LIMIT $count
