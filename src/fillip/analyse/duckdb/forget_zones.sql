-- Removes the time zones of a partition, for a new snapshot.
DELETE FROM zone_fact WHERE partition = $1
