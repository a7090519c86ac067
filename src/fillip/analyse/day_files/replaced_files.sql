-- Files that have not counted for so many seconds.
SELECT path FROM day_file WHERE replaced_at < now() - to_seconds($1)
