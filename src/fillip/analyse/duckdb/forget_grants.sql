-- Removes the incentives of a partition, for a new snapshot.
DELETE FROM grant_fact WHERE partition = $1
