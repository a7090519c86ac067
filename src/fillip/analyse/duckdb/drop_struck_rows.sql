-- The others go at once.
DELETE FROM event_row e USING struck_now x
WHERE e.partition = x.partition AND e.log_offset = x.log_offset AND e.received_at = x.received_at
