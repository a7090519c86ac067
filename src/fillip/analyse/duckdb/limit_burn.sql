-- What is used of limits that users share, by limit and key, in the windows of now and in the last day and week: a page.
-- Of a split limit the keys are those that are used in its window of now or were in the last week.
WITH windows AS (
    SELECT unnest($spans) AS span, unnest($weekdays) AS weekday, unnest($starts) AS start, unnest($ends) AS ends_at
), terms AS (
    SELECT limit_id, t.span, t.measure, t.split, t.cap, w.start, w.ends_at
    FROM (
        SELECT limit_id, arg_max(struct_pack(deleted, scope, span, week_starts_on, measure, split, cap), book_version) AS t
        FROM limit_fact WHERE tenant_id = $tenant_id AND limit_id >= $after_limit GROUP BY limit_id
    ) JOIN windows w ON w.span = t.span AND (w.span <> 'week' OR w.weekday = coalesce(t.week_starts_on, 'monday'))
    WHERE NOT t.deleted AND t.scope IN ('tenant', 'campaign')
), counters AS (
    SELECT c.limit_id, c.key, c.used FROM counter_fact c JOIN terms ON terms.limit_id = c.limit_id AND terms.start = c.window_start
    WHERE c.tenant_id = $tenant_id
), uses AS (
    SELECT limit_id, key, sum(used) AS week_used,
           coalesce(sum(used) FILTER (WHERE hour >= $day_since), 0) AS day_used
    FROM use_fact WHERE tenant_id = $tenant_id AND hour >= $week_since AND limit_id >= $after_limit GROUP BY limit_id, key
), lines AS (
    SELECT limit_id, key FROM (
        SELECT limit_id, '' AS key FROM terms WHERE NOT split
        UNION SELECT limit_id, key FROM counters
        UNION SELECT limit_id, key FROM uses SEMI JOIN terms USING (limit_id)
    ) WHERE (limit_id, key) > ($after_limit, $after_key) ORDER BY limit_id, key LIMIT $count
), firsts AS (
    SELECT limit_id, key, min(hour) AS first_hour FROM use_fact SEMI JOIN lines USING (limit_id, key)
    WHERE tenant_id = $tenant_id GROUP BY limit_id, key
)
SELECT limit_id, key, terms.span, terms.measure, terms.start, terms.ends_at AT TIME ZONE 'UTC', terms.cap,
       coalesce(counters.used, 0), firsts.first_hour AT TIME ZONE 'UTC', coalesce(uses.day_used, 0), coalesce(uses.week_used, 0)
FROM lines JOIN terms USING (limit_id) LEFT JOIN counters USING (limit_id, key) LEFT JOIN uses USING (limit_id, key)
     LEFT JOIN firsts USING (limit_id, key)
ORDER BY limit_id, key
