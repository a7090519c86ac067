SELECT tenant_id, limit_id, user_id, key, window_start, used, version
FROM limit_counter WHERE tenant_id = ANY (%(tenants)s)
