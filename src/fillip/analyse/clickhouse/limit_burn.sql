-- What is used of limits that users share, by limit and key, in the windows of now and in the last day and week: a page.
-- Of a split limit the keys are those that are used in its window of now or were in the last week.
WITH terms AS (
    SELECT limit_id, newest.1 AS span, newest.2 AS measure, newest.3 AS split, newest.4 AS cap, newest.7 AS week_starts_on,
           if(span = 'week' AND week_starts_on = '', 'monday', week_starts_on) AS weekday,
           indexOf({windows:Array(String)}, concat(span, ' ', weekday)) AS place, {starts:Array(Int32)}[place] AS start
    FROM (
        SELECT limit_id, argMax((span, measure, split, amount, deleted, scope, week_starts_on), revision) AS newest FROM fact
        WHERE kind = 'limit' AND tenant_id = {tenant_id:String} AND limit_id >= {after_limit:String}
          AND load <= {newest:UInt64} AND load >= {since_limit:Array(UInt64)}[partition + 1]
        GROUP BY limit_id
    ) WHERE NOT newest.5 AND newest.6 IN ('tenant', 'campaign') AND place > 0
), counters AS (
    SELECT c.limit_id AS limit_id, c.key AS key, c.amount AS used FROM (
        SELECT limit_id, key, day, amount FROM fact FINAL
        WHERE kind = 'counter' AND tenant_id = {tenant_id:String} AND limit_id >= {after_limit:String}
          AND day IN {starts:Array(Int32)} AND load >= {since_counter:Array(UInt64)}[partition + 1]
    ) AS c JOIN terms ON terms.limit_id = c.limit_id AND terms.start = c.day
), uses AS (
    SELECT limit_id, key, min(made_us) AS first_us, sumIf(toInt128(amount), made_us >= {week_since:Int64}) AS week_used,
           sumIf(toInt128(amount), made_us >= {day_since:Int64}) AS day_used, max(made_us) >= {week_since:Int64} AS lately
    FROM fact FINAL
    WHERE kind = 'use' AND tenant_id = {tenant_id:String} AND limit_id >= {after_limit:String}
      AND load >= {since_use:Array(UInt64)}[partition + 1]
    GROUP BY limit_id, key
), lines AS (
    SELECT DISTINCT limit_id, key FROM (
        SELECT limit_id, '' AS key FROM terms WHERE NOT split
        UNION ALL SELECT limit_id, key FROM counters
        UNION ALL SELECT limit_id, key FROM uses WHERE lately AND limit_id IN (SELECT limit_id FROM terms)
    ) WHERE (limit_id, key) > ({after_limit:String}, {after_key:String}) ORDER BY limit_id, key LIMIT {count:UInt32}
)
SELECT l.limit_id, l.key, t.span, t.measure, t.place, t.cap, c.used, u.first_us, u.day_used, u.week_used
FROM lines AS l JOIN terms AS t ON t.limit_id = l.limit_id
  LEFT JOIN counters AS c ON c.limit_id = l.limit_id AND c.key = l.key LEFT JOIN uses AS u ON u.limit_id = l.limit_id AND u.key = l.key
ORDER BY l.limit_id, l.key
