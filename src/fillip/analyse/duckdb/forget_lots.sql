-- Forgets what the transfers of one partition changed of lots: a new snapshot replaces it.
DELETE FROM lot_fact WHERE partition = $1 AND NOT is_later
