-- The event of a name that was received since an instant, the last one where it was sent with several dates.
SELECT source, id, user_id, action, occurred_at, received_at, data, partition, log_offset FROM events
WHERE source = $source AND id = $id AND received_at >= make_timestamp($since_us) AT TIME ZONE 'UTC'
ORDER BY received_at DESC
LIMIT 1
