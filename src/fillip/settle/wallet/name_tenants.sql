-- Names the tenants of a transaction to row-level security. Locks nothing.
SELECT set_config('app.tenants', $1, true)
