-- Reversals behind a mark in the order of their receipt, of past events of their own users, whenever they came; each with the name
-- of the event that it takes back.
WITH asked AS MATERIALIZED (
    SELECT coalesce(data->>'event_source', source) AS source, data->>'event_id' AS id, user_id, received_at, partition, log_offset, data
    FROM events
    WHERE action = 'fillip.reversal'
      AND received_at >= make_timestamp($received_us) AT TIME ZONE 'UTC'
      AND (received_at > make_timestamp($received_us) AT TIME ZONE 'UTC'
           OR (partition, log_offset) > ($partition, $log_offset))
)
SELECT a.* FROM asked a
WHERE (a.source, a.id, a.user_id) IN (
    SELECT (e.source, e.id, e.user_id) FROM events e
    WHERE list_contains($actions, e.action)
      AND e.occurred_at >= make_timestamp($first_us) AT TIME ZONE 'UTC'
      AND e.occurred_at < make_timestamp($until_us) AT TIME ZONE 'UTC'
)
ORDER BY a.received_at, a.partition, a.log_offset
LIMIT $limit
