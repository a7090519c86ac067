-- The changes of levels of a tenant's users, as they are announced.
SELECT user_id, currency, number, direction, from_level, to_level, earned, next_level, next_threshold, falls_at, changed_at
FROM level_change WHERE tenant_id = %(tenant)s
