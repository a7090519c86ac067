-- All limit counters of a tenant. Locks nothing.
SELECT limit_id, user_id, key, window_start, used, version FROM limit_counter WHERE tenant_id = $1
