-- What these users earned in the window of a ladder at :at. Locks nothing.
SELECT w.user_id, w.earned FROM weigh_levels(:tenant_id, :currency, :users, :at) w
