-- Notes the names of what was added of `incoming`. Runs after add_repeats.
INSERT INTO event_key BY NAME
SELECT day, event_key, tenant_id, partition, log_offset, received_at
FROM incoming i SEMI JOIN event_row e ON e.day = i.day AND e.event_key = i.event_key AND e.partition = i.partition
AND e.log_offset = i.log_offset AND e.received_at = i.received_at
