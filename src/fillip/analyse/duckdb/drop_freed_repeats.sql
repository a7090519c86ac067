-- What counts now is no repeat.
DELETE FROM event_repeat e USING incoming x
WHERE e.partition = x.partition AND e.log_offset = x.log_offset AND e.received_at = x.received_at
