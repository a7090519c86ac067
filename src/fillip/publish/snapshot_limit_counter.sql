-- All counters of limits as they stand. Locks nothing.
SELECT * FROM limit_counter ORDER BY tenant_id, limit_id, user_id, key, window_start
