-- Forgets what lots gave later, as one partition told it: a new snapshot replaces it.
DELETE FROM lot_fact WHERE partition = $1 AND is_later
