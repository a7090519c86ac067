-- From now on a file does not count.
UPDATE day_file SET replaced_at = now() WHERE path = $1
