-- A rejected receipt does not count later.
DELETE FROM event_repeat e USING rejected_now x
WHERE e.partition = x.partition AND e.log_offset = x.log_offset AND e.received_at = x.received_at
