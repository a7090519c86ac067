-- Lets these users of a ladder fall whose time has come by $4: see move_fallen, which holds the tenant's batches until the commit.
SELECT move_fallen($1, $2, $3::text[], $4)
