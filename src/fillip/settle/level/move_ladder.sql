-- Goes on with a ladder by one portion: see move_ladder, which holds the tenant's batches until the commit.
SELECT move_ladder($1, $2, $3)
