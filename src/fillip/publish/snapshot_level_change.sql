-- All changes of users' levels, each user's in order. Locks nothing.
SELECT * FROM level_change ORDER BY tenant_id, user_id, currency, number
