-- Lets these users of a ladder fall whose time has come by $4: see move_fallen, which locks their levels, those that are free.
SELECT move_fallen($1, $2, $3::text[], $4)
