-- Shows the rest of the transaction one tenant's rows. Locks nothing.
SELECT set_config('app.tenant', $1, true)
