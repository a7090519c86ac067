-- How many events stand in spans of the log, by the hour of their receipt: each once.
SELECT date_trunc('hour', received_at) AS hour, count(*) AS events
FROM events e SEMI JOIN (
    SELECT s.partition, s.action, s.first_offset, s.end_offset,
           coalesce(s.starts_at, '-infinity'::timestamptz) AS starts_at, coalesce(s.ends_at, 'infinity'::timestamptz) AS ends_at
    FROM (SELECT unnest(from_json($spans::json, '[{"partition": "INTEGER", "first_offset": "BIGINT", "end_offset": "BIGINT",
        "action": "VARCHAR", "starts_at": "TIMESTAMPTZ", "ends_at": "TIMESTAMPTZ"}]')) AS s)
) s ON e.partition = s.partition AND e.action = s.action AND e.log_offset >= s.first_offset AND e.log_offset < s.end_offset
   AND e.occurred_at >= s.starts_at AND e.occurred_at <= s.ends_at
WHERE received_at >= make_timestamp($since_us) AT TIME ZONE 'UTC'
GROUP BY ALL
