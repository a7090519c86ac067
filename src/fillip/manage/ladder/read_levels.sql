-- Where a user stands on each ladder of the tenant by what is in its window at :at. Locks nothing.
SELECT l.currency, l.names[w.place] AS level, l.thresholds[w.place] AS threshold, w.earned, l.names[w.place + 1] AS next_level,
       l.thresholds[w.place + 1] AS next_threshold, w.falls_at, CASE WHEN u.level = l.names[w.place] THEN u.since END AS since,
       l.filled_to IS NOT NULL OR l.followed_to IS NOT NULL AS is_following
FROM ladder l
CROSS JOIN LATERAL weigh_levels(l.tenant_id, l.currency, ARRAY[:user_id], :at) w
LEFT JOIN user_level u ON u.tenant_id = l.tenant_id AND u.currency = l.currency AND u.user_id = w.user_id
WHERE l.tenant_id = :tenant_id AND NOT l.leaving
ORDER BY l.currency
