-- Reads announced counters that users share into `incoming_counter`, each with what was used before the change.
-- Before the first one that is known of a counter nothing was used if it was made then, else what was is not known.
CREATE OR REPLACE TEMP TABLE incoming_counter AS
WITH told AS (
    SELECT partition, op, c.tenant_id, c.limit_id, c.key, c.window_start, c.used, c.version,
           date_trunc('hour', make_timestamp(committed_us)) AT TIME ZONE 'UTC' AS hour
    FROM (SELECT r.partition AS partition, r.message.op AS op, r.message.source.committed_at_us AS committed_us,
                 r.message.after AS c FROM (SELECT unnest(from_json($1::json, '[{
        "partition": "INTEGER", "message": {"op": "VARCHAR", "source": {"committed_at_us": "BIGINT"}, "after": {
        "tenant_id": "VARCHAR", "limit_id": "VARCHAR", "user_id": "VARCHAR", "key": "VARCHAR", "window_start": "DATE",
        "used": "BIGINT", "version": "BIGINT"}}}]')) AS r))
    WHERE c.user_id = '' OR c.user_id IS NULL
)
SELECT t.*, coalesce(lag(t.used) OVER counter, k.used, CASE WHEN op = 'c' THEN 0 ELSE t.used END) AS used_before,
       t.version IS NULL OR row_number() OVER (PARTITION BY t.tenant_id, t.limit_id, t.key, t.window_start
                                               ORDER BY t.version DESC) = 1 AS newest
FROM told t LEFT JOIN counter_fact k ON k.window_start = t.window_start AND k.tenant_id = t.tenant_id
                                    AND k.limit_id = t.limit_id AND k.key = t.key
WHERE k.version IS NULL OR t.version IS NULL OR t.version > k.version
WINDOW counter AS (PARTITION BY t.tenant_id, t.limit_id, t.key, t.window_start ORDER BY t.version)
