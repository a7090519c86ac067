-- What is void in a day file, if it counts.
SELECT void FROM day_file WHERE path = $1 AND replaced_at IS NULL
