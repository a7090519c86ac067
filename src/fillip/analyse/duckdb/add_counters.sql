-- Adds incoming counters as they stand.
INSERT INTO counter_fact
SELECT partition, tenant_id, limit_id, key, window_start, used, version FROM incoming_counter WHERE newest
