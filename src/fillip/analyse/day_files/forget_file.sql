-- A file that is removed.
DELETE FROM day_file WHERE path = $1
